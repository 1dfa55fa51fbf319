// Package query turns questions into SQL and SQL into rows: the query packs
// (queries/*.sql with metadata, written once for DuckDB and Athena), the SQL
// behind the events command, parameters rendered by type, and the contract of
// the engines that run it. It never touches the hot store.
package query

import (
	"context"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Engine runs SQL over the lake. The tables are events (columns of event.Event
// and event_date) and filtered (event.Filtered and event_date). Safe for
// concurrent use.
type Engine interface {
	// Query runs one statement. The error of a bad statement is the engine's
	// own text, scrubbed of paths.
	Query(ctx context.Context, sql string) (Rows, error)
	Close() error
}

// RangeEngine is an Engine that can leave most of the lake unopened.
type RangeEngine interface {
	Engine
	// QueryRange is Query over the days since to until, both inclusive: the
	// tables hold only these days.
	QueryRange(ctx context.Context, sql string, since, until event.Date) (Rows, error)
	// Days lists the days that hold events, ascending.
	Days(ctx context.Context) ([]Day, error)
}

// Day is one day of the lake.
type Day struct {
	Date  event.Date
	Bytes int64 // size of the day's file of events
}

// Column of a result.
type Column struct {
	Name string
	Type string // the engine's name for it
}

// Rows is a result, read once and then closed.
type Rows interface {
	Columns() []Column
	// Next returns the next row, or io.EOF. Values are nil, bool, int64,
	// float64, string, time.Time (UTC, for timestamps), Date, or []any. The
	// slice is valid until the next call. Integers beyond 64 bits, times of
	// day, intervals and the like come as text; structs and maps as JSON text.
	Next() ([]any, error)
	// Stats is complete once Next returned io.EOF.
	Stats() Stats
	Close() error
}

// Date is a calendar day in a result, YYYY-MM-DD.
type Date string

// Stats says what an answer took.
type Stats struct {
	Rows int64
	// BytesScanned is what was read from the lake's files: footers, and the
	// column chunks that the query touched (compressed).
	BytesScanned int64
	// Files is how many of the lake's files the engine was given to look at; 0
	// when the engine doesn't tell.
	Files int64
	// USD is what the answer cost, in US dollars, by list price; 0 for an engine
	// that costs nothing.
	USD     float64
	Elapsed time.Duration
	// Truncated tells that a limit of the engine ended the result early.
	Truncated bool
}
