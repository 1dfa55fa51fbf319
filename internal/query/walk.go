package query

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// The walk's steps. With a limit it looks at the newest days first, a month and
// then four times as many each time, since a person who asks for 50 events
// mostly gets them from the last days. Without one it takes as many days as
// make walkBytes of files, so that sorting a step fits in memory whatever the
// lake's size.
const (
	walkDays   = 30
	walkGrowth = 4
	walkBytes  = 16 << 20
)

// Events lists the filter's events, newest first: exactly the rows of EventsSQL
// run over the whole lake, without looking at all of it when there is a limit,
// and without sorting all of it at once when there is none. Days lie one after
// the other in time, so the rows of a newer step all come before an older one's.
func Events(ctx context.Context, engine RangeEngine, f EventFilter) (Rows, error) {
	sql, err := EventsSQL(f)
	if err != nil {
		return nil, err
	}
	all, err := engine.Days(ctx)
	if err != nil {
		return nil, err
	}
	inRange := func(d Day) bool {
		return (f.Since.IsZero() || !d.Date.Time().Add(24*time.Hour).Before(f.Since)) &&
			(f.Until.IsZero() || d.Date.Time().Before(f.Until))
	}
	all = slices.DeleteFunc(slices.Clone(all), func(d Day) bool { return !inRange(d) })
	w := &walk{ctx: ctx, engine: engine, filter: f, sql: sql, days: all, step: walkDays, start: time.Now()}
	if err := w.next(); err != nil {
		return nil, err
	}
	return w, nil
}

// walk is the Rows of Events: those of one step after the other.
type walk struct {
	ctx    context.Context
	engine RangeEngine
	filter EventFilter
	sql    string
	days   []Day // still to be looked at, ascending
	step   int   // days of the next step, with a limit

	rows    Rows // of the present step
	columns []Column
	stats   Stats // of the steps done
	start   time.Time
	done    bool
}

// next begins the next step. Without any days left it still asks once, so that
// an empty answer has its columns.
func (w *walk) next() error {
	n := len(w.days)
	var since, until event.Date = 0, -1 // no day at all
	if n > 0 {
		until = w.days[n-1].Date
		take := 0
		if w.filter.Limit > 0 {
			take = min(n, w.step)
			w.step *= walkGrowth
		} else {
			for bytes := int64(0); take < n && (take == 0 || bytes+w.days[n-1-take].Bytes <= walkBytes); take++ {
				bytes += w.days[n-1-take].Bytes
			}
		}
		since = w.days[n-take].Date
		w.days = w.days[:n-take]
	}
	sql := w.sql
	if w.filter.Limit > 0 && w.stats.Rows > 0 {
		f := w.filter
		f.Limit -= int(w.stats.Rows)
		var err error
		if sql, err = EventsSQL(f); err != nil {
			return err
		}
	}
	rows, err := w.engine.QueryRange(w.ctx, sql, since, until)
	if err != nil {
		w.done = true
		return err
	}
	w.rows, w.columns = rows, rows.Columns()
	return nil
}

func (w *walk) Columns() []Column { return w.columns }

func (w *walk) Next() ([]any, error) {
	for !w.done {
		row, err := w.rows.Next()
		if !errors.Is(err, io.EOF) {
			return row, err
		}
		w.add(w.rows.Stats())
		if err := w.rows.Close(); err != nil {
			w.done = true
			return nil, err
		}
		w.rows = nil
		full := w.filter.Limit > 0 && w.stats.Rows >= int64(w.filter.Limit)
		if w.done = full || len(w.days) == 0 || w.stats.Truncated; !w.done {
			if err := w.next(); err != nil {
				return nil, err
			}
		}
	}
	w.stats.Elapsed = time.Since(w.start)
	return nil, io.EOF
}

func (w *walk) add(s Stats) {
	w.stats.Rows += s.Rows
	w.stats.BytesScanned += s.BytesScanned
	w.stats.Files += s.Files
	w.stats.Truncated = w.stats.Truncated || s.Truncated
}

func (w *walk) Stats() Stats { return w.stats }

func (w *walk) Close() error {
	w.done = true
	if w.rows == nil {
		return nil
	}
	rows := w.rows
	w.rows = nil
	return rows.Close()
}
