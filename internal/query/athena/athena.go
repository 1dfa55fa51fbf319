// Package athena answers SQL over a lake in S3 with Amazon Athena: the same
// statements that package duckdb answers on one machine, since both speak the
// dialect that the query files are written in.
//
// A query is started in a workgroup, waited for, and its result fetched page by
// page. Whoever goes away meanwhile leaves no query behind: it is stopped. A query
// that failed because the exporter replaced a day's file under it is run once more.
// What a query read and about what it cost is told with its last row. Athena charges
// by the bytes that it reads, so a query that names no range of event_date is warned
// about; what it may read at most is the workgroup's to say.
//
// The tables are query.LakeTables, in a database of the Glue Data Catalog. Only
// statements that read are let through; what they may read is decided by IAM.
package athena

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
)

// API is what the engine asks of Athena in one region; *awsapi.Athena is one.
type API interface {
	Region() string
	StartQuery(ctx context.Context, q awsapi.AthenaQuery) (id string, err error)
	QueryState(ctx context.Context, id string) (awsapi.AthenaState, error)
	QueryResults(ctx context.Context, id, token string) (awsapi.AthenaPage, error)
	StopQuery(ctx context.Context, id string) error
}

// Options of an engine.
type Options struct {
	Workgroup string // where queries are run
	Database  string // of the tables events and filtered
	Catalog   string // of the database; "": AwsDataCatalog
	// Output is where results are written, s3://BUCKET/PREFIX/; "": as the workgroup
	// says.
	Output string
	// Warn is told what a person should know before the answer; nil: nobody is.
	Warn func(string)
	// Timeout bounds each query from its start until its rows are closed; 0 means
	// none.
	Timeout time.Duration
	// MaxRows ends each result after so many rows, with Stats.Truncated set; 0
	// means no limit.
	MaxRows int64
	// Poll is the pause before the first look at a query; each one is half as long
	// again as the last, up to 20 times the first. 0 means 200 ms.
	Poll time.Duration
}

// Engine is a query.Engine over the lake of one database. Safe for concurrent use.
type Engine struct {
	api     API
	options Options
}

var _ query.Engine = (*Engine)(nil)

// New returns an engine. It asks nobody: what is missing shows with the first query.
func New(api API, o Options) (*Engine, error) {
	if o.Workgroup == "" || o.Database == "" {
		return nil, errors.New("open Athena: a workgroup and a database are needed")
	}
	o.Poll = cmp.Or(o.Poll, 200*time.Millisecond)
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return &Engine{api: api, options: o}, nil
}

// Close does nothing: a query ends with its rows.
func (e *Engine) Close() error { return nil }

// Query runs one statement over the whole lake. It returns when Athena has the
// answer, so that its errors come from here.
func (e *Engine) Query(ctx context.Context, sql string) (query.Rows, error) {
	s, err := parse(sql)
	if err != nil {
		return nil, err
	}
	if s.unbounded() {
		e.options.Warn("the query names no range of event_date, so Athena reads the files of all days, and charges for them; " +
			"a condition such as event_date >= DATE '" + time.Now().UTC().AddDate(0, 0, -30).Format(time.DateOnly) + "' bounds it (one on event_time doesn't)")
	}
	return e.ask(ctx, sql)
}

// QueryRange runs one statement over the days since to until, both inclusive: the
// tables hold only these days. The statement must not have a WITH table of the name
// of one of them.
func (e *Engine) QueryRange(ctx context.Context, sql string, since, until event.Date) (query.Rows, error) {
	s, err := parse(sql)
	if err != nil {
		return nil, err
	}
	return e.ask(ctx, s.during(e.options.Database, since, until))
}

func (e *Engine) ask(ctx context.Context, sql string) (query.Rows, error) {
	if len(sql) > maxSQL {
		return nil, fmt.Errorf("query: the statement has %d bytes, and Athena takes at most %d: name fewer values, or put them in a pattern", len(sql), maxSQL)
	}
	start := time.Now()
	cancel := context.CancelFunc(func() {})
	if e.options.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, e.options.Timeout, fmt.Errorf("stopped after %s, the most that a query may take", e.options.Timeout))
	}
	r, err := e.open(ctx, sql)
	if err != nil {
		cancel()
		return nil, err
	}
	r.start, r.cancel = start, cancel
	return r, nil
}

// maxSQL is the longest statement, in bytes.
//
// Source: Amazon Athena API Reference, "StartQueryExecution", QueryString.
const maxSQL = 262144
