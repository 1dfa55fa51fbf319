package athena

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/query"
)

// rows is a result that is fetched page by page. Not safe for concurrent use.
type rows struct {
	ctx    context.Context
	engine *Engine
	id     string

	columns []query.Column
	types   []string // Athena's
	page    [][]*string
	token   string // of the next page
	values  []any

	stats  query.Stats
	start  time.Time
	cancel context.CancelFunc
	failed error // what Next returns from now on
}

// read fetches a result's first page.
func (e *Engine) read(ctx context.Context, id string, state awsapi.AthenaState) (*rows, error) {
	r := &rows{ctx: ctx, engine: e, id: id}
	r.stats.BytesScanned = state.BytesScanned
	r.stats.USD = cost(state.Statement, state.BytesScanned)
	p, err := e.api.QueryResults(ctx, id, "")
	if err != nil {
		return nil, r.explain(err)
	}
	names := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		names[i] = c.Name
		kind := strings.ToUpper(c.Type)
		if c.Type == "decimal" {
			kind = fmt.Sprintf("DECIMAL(%d,%d)", c.Precision, c.Scale)
		}
		r.columns = append(r.columns, query.Column{Name: c.Name, Type: kind})
		r.types = append(r.types, c.Type)
	}
	r.page, r.token = p.Rows, p.Token
	// The first row of a SELECT's first page repeats the names. Other statements
	// (SHOW, DESCRIBE, EXPLAIN) have none, and their first row is data.
	if state.Statement == selecting && len(r.page) > 0 && isHeader(r.page[0], names) {
		r.page = r.page[1:]
	}
	r.values = make([]any, len(r.columns))
	return r, nil
}

func isHeader(row []*string, names []string) bool {
	return slices.EqualFunc(row, names, func(v *string, name string) bool { return v != nil && *v == name })
}

// explain makes an error of a page a sentence.
func (r *rows) explain(err error) error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("query: %w", context.Cause(r.ctx))
	}
	return fmt.Errorf("query: %w", err)
}

// Columns describes the result.
func (r *rows) Columns() []query.Column { return r.columns }

// Next returns the next row, or io.EOF. Lists, rows and maps come as the text that
// Athena makes of them, which can't be told apart in all cases.
func (r *rows) Next() ([]any, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	for len(r.page) == 0 {
		if r.token == "" {
			return nil, r.finish(io.EOF)
		}
		p, err := r.engine.api.QueryResults(r.ctx, r.id, r.token)
		if err != nil {
			return nil, r.finish(r.explain(err))
		}
		r.page, r.token = p.Rows, p.Token
	}
	if limit := r.engine.options.MaxRows; limit > 0 && r.stats.Rows >= limit {
		r.stats.Truncated = true
		return nil, r.finish(io.EOF)
	}
	row := r.page[0]
	r.page = r.page[1:]
	if len(row) > len(r.columns) {
		return nil, r.finish(fmt.Errorf("query: a row of Athena's answer has %d values for %d columns", len(row), len(r.columns)))
	}
	clear(r.values)
	for i, cell := range row {
		if cell == nil {
			continue
		}
		v, err := value(r.types[i], *cell)
		if err != nil {
			return nil, r.finish(fmt.Errorf("query: column %s: %w", r.columns[i].Name, err))
		}
		r.values[i] = v
	}
	r.stats.Rows++
	return r.values, nil
}

// finish ends the result with io.EOF or an error.
func (r *rows) finish(err error) error {
	r.failed, r.page = err, nil
	r.stats.Elapsed = time.Since(r.start)
	return err
}

// Stats tells what the answer took.
func (r *rows) Stats() query.Stats { return r.stats }

// Close lets go of the rows that were not read. The query itself has ended.
func (r *rows) Close() error {
	if r.failed == nil {
		r.failed = errors.New("the result is closed")
	}
	r.page, r.token = nil, ""
	r.cancel()
	return nil
}

// value is the Go value of a cell, by its column's type.
//
// Source: Amazon Athena User Guide, "Data types in Amazon Athena"; API Reference,
// "ColumnInfo".
func value(kind, text string) (v any, err error) {
	switch kind {
	case "boolean":
		v, err = strconv.ParseBool(text)
	case "tinyint", "smallint", "integer", "int", "bigint":
		v, err = strconv.ParseInt(text, 10, 64)
	case "float", "real", "double", "decimal":
		v, err = strconv.ParseFloat(text, 64)
	case "date":
		v = query.Date(text)
	case "timestamp":
		v, err = time.Parse(time.DateTime, text) // takes fractions of a second, too
	case "timestamp with time zone":
		v, err = zoned(text)
	default:
		v = text
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no %s", text, kind)
	}
	return v, nil
}

// zoned reads an instant whose zone is a name or an offset.
func zoned(text string) (time.Time, error) {
	at := strings.LastIndexByte(text, ' ')
	if at < 0 {
		return time.Time{}, errors.New("no zone")
	}
	clock, zone := text[:at], text[at+1:]
	if strings.HasPrefix(zone, "+") || strings.HasPrefix(zone, "-") {
		t, err := time.Parse(time.DateTime+"Z07:00", clock+zone)
		return t.UTC(), err
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(time.DateTime, clock, location)
	return t.UTC(), err
}
