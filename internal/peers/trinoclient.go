//go:build integration

package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
)

var _ query.Engine = (*TrinoServer)(nil)

// Close does nothing: the server ends with its test.
func (s *TrinoServer) Close() error { return nil }

// trinoAnswer is what each request of a statement answers.
//
// Source: Trino documentation, "Trino client REST API".
type trinoAnswer struct {
	NextURI string `json:"nextUri"`
	Columns []struct{ Name, Type string }
	Data    [][]json.RawMessage
	Error   *struct{ Message, ErrorName string }
	Stats   struct{ PhysicalInputBytes int64 }
}

// noNodes is the error of a server that doesn't know yet, or for a moment, that it can
// run queries of a catalog itself: a node announces each of its catalogs every few
// seconds, and is forgotten when the machine is too busy for that.
const noNodes = "NO_NODES_AVAILABLE"

// Query runs a statement in the server's database and returns its rows, as the
// contract of query.Engine says. Its error has Trino's code and words, in the form in
// which Athena reports them.
func (s *TrinoServer) Query(ctx context.Context, sql string) (query.Rows, error) {
	for end := time.Now().Add(2 * time.Minute); ; {
		rows, err := s.query(ctx, sql)
		if err == nil || !strings.HasPrefix(err.Error(), noNodes) || time.Now().After(end) {
			return rows, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func (s *TrinoServer) query(ctx context.Context, sql string) (query.Rows, error) {
	r := &trinoRows{}
	answer, err := s.ask(ctx, http.MethodPost, s.url+"/v1/statement", sql)
	for {
		if err != nil {
			return nil, err
		}
		if e := answer.Error; e != nil {
			return nil, fmt.Errorf("%s: %s", e.ErrorName, e.Message)
		}
		if r.columns == nil {
			for _, c := range answer.Columns {
				r.columns = append(r.columns, query.Column{Name: c.Name, Type: c.Type})
			}
		}
		for _, row := range answer.Data {
			values := make([]any, len(row))
			for i, raw := range row {
				if values[i], err = trinoValue(r.columns[i].Type, raw); err != nil {
					return nil, fmt.Errorf("column %s: %w", r.columns[i].Name, err)
				}
			}
			r.rows = append(r.rows, values)
		}
		r.stats.BytesScanned = answer.Stats.PhysicalInputBytes
		if answer.NextURI == "" {
			return r, nil
		}
		answer, err = s.ask(ctx, http.MethodGet, answer.NextURI, "")
	}
}

func (s *TrinoServer) ask(ctx context.Context, method, url, body string) (*trinoAnswer, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		for k, v := range map[string]string{"User": "test", "Catalog": "hive", "Schema": s.database, "Time-Zone": "UTC", "Source": "iamtrack"} {
			req.Header.Set("X-Trino-"+k, v)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusServiceUnavailable: // it is starting, or busy
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
			continue
		default:
			return nil, fmt.Errorf("trino: %s: %.300s", resp.Status, data)
		}
		answer := &trinoAnswer{}
		d := json.NewDecoder(bytes.NewReader(data))
		if err := d.Decode(answer); err != nil {
			return nil, fmt.Errorf("trino: %w", err)
		}
		return answer, nil
	}
}

// trinoValue is a cell's Go value.
func trinoValue(kind string, raw json.RawMessage) (any, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	base, _, _ := strings.Cut(kind, "(")
	var text string
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	} else {
		text = string(raw)
	}
	switch base {
	case "boolean":
		return strconv.ParseBool(text)
	case "tinyint", "smallint", "integer", "bigint":
		return strconv.ParseInt(text, 10, 64)
	case "real", "double", "decimal":
		return strconv.ParseFloat(text, 64)
	case "date":
		return query.Date(text), nil
	case "timestamp":
		if strings.HasSuffix(kind, "with time zone") {
			return text, nil // athenatest writes it as it is
		}
		return time.Parse(time.DateTime, text)
	}
	return text, nil
}

// trinoRows is a result in memory.
type trinoRows struct {
	columns []query.Column
	rows    [][]any
	stats   query.Stats
}

func (r *trinoRows) Columns() []query.Column { return r.columns }
func (r *trinoRows) Stats() query.Stats      { return r.stats }
func (r *trinoRows) Close() error            { return nil }

func (r *trinoRows) Next() ([]any, error) {
	if len(r.rows) == 0 {
		return nil, io.EOF
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	r.stats.Rows++
	return row, nil
}
