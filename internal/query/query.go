// Package query turns questions into SQL and SQL into rows: the query packs
// (queries/*.sql with metadata, written once for DuckDB and Athena), the SQL
// behind the events command, parameters rendered by type, and the contract of
// the engines that run it. It never touches the hot store.
package query

import (
	"context"
	"time"
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
	// slice is valid until the next call.
	Next() ([]any, error)
	// Stats is complete once Next returned io.EOF.
	Stats() Stats
	Close() error
}

// Date is a calendar day in a result, YYYY-MM-DD.
type Date string

// Stats says what an answer took.
type Stats struct {
	Rows         int64
	BytesScanned int64
	Files        int64
	Elapsed      time.Duration
}
