// Package athenatest is an Athena for tests: a server on this machine that speaks the
// part of Athena's API that package athena uses, and has the SQL run by whatever
// engine a test gives it. It keeps Athena's habits: a query is queued, runs and ends
// while it is asked for; a token that comes again starts nothing; results come in
// pages, all as text, with the names of a SELECT's columns as the first row and
// nothing where a value is NULL; workgroups refuse what they don't permit. A test can
// make any request fail, before or after it had its effect.
package athenatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
)

// Options of a server.
type Options struct {
	// Run answers a statement, as a query.Engine does.
	Run func(ctx context.Context, sql string) (query.Rows, error)
	// Workgroups by name; a query in another one is refused.
	Workgroups map[string]Workgroup
	// Databases that there are.
	Databases []string
	// PageRows is how many rows a page has at most; 0 means as many as are asked for.
	PageRows int
	// Looks is how often a query is asked for before it has ended, at least; 0 means
	// twice.
	Looks int
	// Fail may make a request fail: op is the operation, n counts its requests from
	// 1. nil: none does.
	Fail func(op string, n int) *Failure
	// End may end a query in another way than by its SQL; n counts queries from 1.
	// nil: none does.
	End func(n int, sql string) *Ending
}

// Workgroup is where queries are run.
type Workgroup struct {
	Output    string // s3://…; "": none is set
	Disabled  bool
	ScanLimit int64 // bytes a query may read; 0: any
}

// Failure is an answer that is an error.
type Failure struct {
	Status        int
	Code, Message string
	After         bool // the request had its effect all the same
}

// Ending is how a query ends.
type Ending struct {
	State     string // FAILED, CANCELLED
	Reason    string
	Retryable bool
	Never     bool // it runs until it is stopped
	Scanned   int64
}

// Server is a running Athena.
type Server struct {
	*httptest.Server
	o Options

	mu      sync.Mutex
	calls   map[string]int
	order   []*execution
	byID    map[string]*execution
	byToken map[string]*execution
}

type execution struct {
	id, sql, workgroup, statement string
	looks                         int
	cancel                        context.CancelFunc
	done                          chan struct{}

	// Set before done is closed.
	state, reason string
	retryable     bool
	scanned       int64
	columns       []query.Column
	rows          [][]*string
}

// New starts a server that stops with the test.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	if o.Looks == 0 {
		o.Looks = 2
	}
	s := &Server{o: o, calls: map[string]int{}, byID: map[string]*execution{}, byToken: map[string]*execution{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	tb.Cleanup(func() {
		s.mu.Lock()
		all := slices.Clone(s.order)
		s.mu.Unlock()
		for _, x := range all {
			x.cancel()
			<-x.done
		}
		s.Close()
	})
	return s
}

// Calls is how often an operation was asked for, refused ones too.
func (s *Server) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Queries are the statements of the queries that were started, in order.
func (s *Server) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range s.order {
		out = append(out, x.sql)
	}
	return out
}

// Running are the ids of the queries that have not ended.
func (s *Server) Running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range s.order {
		select {
		case <-x.done:
		default:
			out = append(out, x.id)
		}
	}
	return out
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	_, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonAthena.")
	if !ok {
		answer(w, http.StatusBadRequest, failure("UnknownOperationException", ""))
		return
	}
	s.mu.Lock()
	s.calls[op]++
	n := s.calls[op]
	s.mu.Unlock()
	var failed *Failure
	if s.o.Fail != nil {
		failed = s.o.Fail(op, n)
	}
	if failed != nil && !failed.After {
		answer(w, failed.Status, failure(failed.Code, failed.Message))
		return
	}
	status, body := s.do(op, r)
	if failed != nil {
		status, body = failed.Status, failure(failed.Code, failed.Message)
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone away misses nothing
}

func failure(code, message string) map[string]string {
	return map[string]string{"__type": code, "message": message, "Message": message}
}

// invalid is Athena's answer to whatever is wrong with a request.
func invalid(format string, args ...any) (int, any) {
	return http.StatusBadRequest, failure("InvalidRequestException", fmt.Sprintf(format, args...))
}

func (s *Server) do(op string, r *http.Request) (int, any) {
	var in struct {
		QueryString, WorkGroup, ClientRequestToken, NextToken string
		ID                                                    string `json:"QueryExecutionId"`
		MaxResults                                            int
		QueryExecutionContext                                 struct{ Database string }
		ResultConfiguration                                   struct{ OutputLocation string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return http.StatusBadRequest, failure("SerializationException", err.Error())
	}
	if op == "StartQueryExecution" {
		return s.start(in.QueryString, in.WorkGroup, in.QueryExecutionContext.Database, in.ResultConfiguration.OutputLocation, in.ClientRequestToken)
	}
	s.mu.Lock()
	x := s.byID[in.ID]
	s.mu.Unlock()
	if x == nil {
		return invalid("QueryExecution %s was not found", in.ID)
	}
	switch op {
	case "GetQueryExecution":
		return http.StatusOK, map[string]any{"QueryExecution": s.look(x)}
	case "StopQueryExecution":
		x.cancel()
		<-x.done
		return http.StatusOK, struct{}{}
	case "GetQueryResults":
		return s.page(x, in.NextToken, in.MaxResults)
	}
	return http.StatusBadRequest, failure("UnknownOperationException", op)
}

func (s *Server) start(sql, workgroup, database, output, token string) (int, any) {
	g, ok := s.o.Workgroups[workgroup]
	switch {
	case len(token) < 32 || len(token) > 128:
		return invalid("1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have length between 32 and 128")
	case len(sql) < 1 || len(sql) > 262144:
		return invalid("1 validation error detected: Value at 'queryString' failed to satisfy constraint: Member must have length less than or equal to 262144")
	case !ok:
		return invalid("WorkGroup %s is not found.", workgroup)
	case g.Disabled:
		return invalid("WorkGroup %s is disabled.", workgroup)
	case g.Output == "" && output == "":
		return invalid("No output location provided. An output location is required either through the Workgroup result configuration setting or as an API input.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.byToken[token]; x != nil {
		if x.sql != sql {
			return invalid("Idempotent parameters do not match")
		}
		return http.StatusOK, map[string]string{"QueryExecutionId": x.id}
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &execution{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(s.order)+1), sql: sql, workgroup: workgroup, cancel: cancel, done: make(chan struct{})}
	x.statement = "UTILITY"
	word := strings.ToLower(strings.Fields(sql + " ;")[0])
	if word == "select" || word == "with" || word == "values" || strings.HasPrefix(word, "(") {
		x.statement = "DML"
	}
	s.order = append(s.order, x)
	s.byID[x.id], s.byToken[token] = x, x
	go s.run(ctx, x, len(s.order), slices.Contains(s.o.Databases, database), database, g)
	return http.StatusOK, map[string]string{"QueryExecutionId": x.id}
}

// run runs a query to its end.
func (s *Server) run(ctx context.Context, x *execution, n int, known bool, database string, g Workgroup) {
	defer close(x.done)
	defer x.cancel()
	var end *Ending
	if s.o.End != nil {
		end = s.o.End(n, x.sql)
	}
	switch {
	case end != nil && end.Never:
		<-ctx.Done()
		x.state, x.reason, x.scanned = "CANCELLED", "Query was cancelled", end.Scanned
		return
	case end != nil:
		x.state, x.reason, x.retryable, x.scanned = end.State, end.Reason, end.Retryable, end.Scanned
		return
	case !known:
		x.state, x.reason = "FAILED", fmt.Sprintf("SCHEMA_NOT_FOUND: line 1:15: Schema '%s' does not exist", database)
		return
	}
	// The engine of the test has one database.
	err := x.execute(ctx, s.o.Run, strings.ReplaceAll(x.sql, `"`+database+`".`, ""))
	switch {
	case ctx.Err() != nil:
		x.state, x.reason = "CANCELLED", "Query was cancelled"
	case err != nil:
		x.state, x.reason = "FAILED", err.Error()
	case g.ScanLimit > 0 && x.scanned > g.ScanLimit:
		x.state, x.reason, x.rows = "CANCELLED", "Query cancelled! : Bytes scanned limit was exceeded", nil
	default:
		x.state = "SUCCEEDED"
	}
}

func (x *execution) execute(ctx context.Context, run func(context.Context, string) (query.Rows, error), sql string) (err error) {
	rows, err := run(ctx, sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	x.columns = rows.Columns()
	if x.statement == "DML" {
		header := make([]*string, len(x.columns))
		for i := range x.columns {
			header[i] = &x.columns[i].Name
		}
		x.rows = append(x.rows, header)
	}
	for {
		values, err := rows.Next()
		if errors.Is(err, io.EOF) {
			x.scanned = rows.Stats().BytesScanned
			return nil
		}
		if err != nil {
			return err
		}
		row := make([]*string, len(values))
		for i, v := range values {
			row[i] = cell(v)
		}
		x.rows = append(x.rows, row)
	}
}

// look is a query as it is described.
func (s *Server) look(x *execution) map[string]any {
	s.mu.Lock()
	x.looks++
	looks := x.looks
	s.mu.Unlock()
	status := map[string]any{"State": "QUEUED", "SubmissionDateTime": float64(time.Now().UnixMilli()) / 1000}
	statistics := map[string]any{}
	ended := false
	if looks >= s.o.Looks {
		status["State"] = "RUNNING"
		select {
		case <-x.done:
			ended = true
		default:
		}
	}
	if ended {
		status["State"] = x.state
		statistics["DataScannedInBytes"] = x.scanned
		if x.reason != "" {
			status["StateChangeReason"] = x.reason
		}
		if x.state == "FAILED" {
			status["AthenaError"] = map[string]any{"ErrorCategory": 2, "ErrorType": 1, "Retryable": x.retryable, "ErrorMessage": x.reason}
		}
	}
	return map[string]any{
		"QueryExecutionId": x.id, "Query": x.sql, "StatementType": x.statement, "WorkGroup": x.workgroup,
		"Status": status, "Statistics": statistics,
	}
}

// page is a part of a query's result; the token is the number of its first row.
func (s *Server) page(x *execution, token string, most int) (int, any) {
	select {
	case <-x.done:
	default:
		return invalid("Query has not yet finished. Current state: RUNNING")
	}
	if x.state != "SUCCEEDED" {
		return invalid("Query did not finish successfully. Final query state: %s", x.state)
	}
	from := 0
	if token != "" {
		if _, err := fmt.Sscanf(token, "row-%d", &from); err != nil || from > len(x.rows) {
			return invalid("Unrecognized next token")
		}
	}
	if most < 1 || most > 1000 {
		return invalid("MaxResults is out of range")
	}
	if s.o.PageRows > 0 {
		most = min(most, s.o.PageRows)
	}
	to := min(from+most, len(x.rows))
	rows := []any{}
	for _, row := range x.rows[from:to] {
		data := make([]map[string]string, len(row))
		for i, v := range row {
			data[i] = map[string]string{}
			if v != nil {
				data[i]["VarCharValue"] = *v
			}
		}
		rows = append(rows, map[string]any{"Data": data})
	}
	info := make([]map[string]any, len(x.columns))
	for i, c := range x.columns {
		kind, precision, scale := typeOf(c.Type)
		info[i] = map[string]any{"CatalogName": "hive", "Name": c.Name, "Label": c.Name, "Type": kind, "Precision": precision, "Scale": scale, "Nullable": "UNKNOWN"}
	}
	out := map[string]any{"UpdateCount": 0, "ResultSet": map[string]any{"Rows": rows, "ResultSetMetadata": map[string]any{"ColumnInfo": info}}}
	if to < len(x.rows) {
		out["NextToken"] = fmt.Sprintf("row-%d", to)
	}
	return http.StatusOK, out
}
