package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
	walkBytes  = 4 << 20 // which unpack to twenty times that
)

// A filter is first asked for keys alone, reading the few columns that it is
// about, and then for all columns of the events found, if they are at most
// findMost: reading 40 columns of thousands of files to find a handful of rows
// takes several times as long. It is not worth it for few columns.
const (
	findMost    = 1000
	findColumns = 8
)

// Events lists the filter's events, newest first: exactly the rows of EventsSQL
// run over the whole lake. On a RangeEngine it doesn't look at all of the lake when
// there is a limit, and doesn't sort all of it at once when there is none: days lie
// one after the other in time, so the rows of a newer step all come before an older
// one's. Another engine is asked once.
func Events(ctx context.Context, e Engine, f EventFilter) (Rows, error) {
	engine, ok := e.(RangeEngine)
	if !ok {
		sql, err := EventsSQL(f)
		if err != nil {
			return nil, err
		}
		return e.Query(ctx, sql)
	}
	columns, err := f.columns()
	if err != nil {
		return nil, err
	}
	where, err := f.where()
	if err != nil {
		return nil, err
	}
	all, err := engine.Days(ctx)
	if err != nil {
		return nil, err
	}
	outside := func(d Day) bool {
		start := d.Date.Time()
		return !f.Since.IsZero() && start.Add(24*time.Hour).Before(f.Since) || !f.Until.IsZero() && !start.Before(f.Until)
	}
	bare, err := EventFilter{Since: f.Since, Until: f.Until}.where()
	if err != nil {
		return nil, err
	}
	w := &walk{
		ctx: ctx, engine: engine, limit: f.Limit, list: columns, where: where,
		find: len(where) > len(bare) && len(columns) > findColumns,
		days: slices.DeleteFunc(slices.Clone(all), outside), step: walkDays, start: time.Now(),
	}
	if err := w.next(); err != nil {
		return nil, err
	}
	return w, nil
}

// walk is the Rows of Events: those of one step after the other.
type walk struct {
	ctx    context.Context
	engine RangeEngine
	limit  int // 0: none
	list   []string
	where  []string
	find   bool  // look for keys first
	days   []Day // still to be looked at, ascending
	step   int   // days of the next step, with a limit

	rows    Rows // of the present step
	columns []Column
	stats   Stats // of the steps done
	start   time.Time
	done    bool
}

// next begins the next step that has rows, or the last one. Without any days
// left it still asks once, so that an empty answer has its columns.
func (w *walk) next() error {
	for {
		since, until := w.take()
		where := w.where
		if w.find && since <= until {
			keys, err := w.findKeys(since, until)
			if err != nil {
				return err
			}
			if len(keys) == 0 && len(w.days) > 0 {
				continue
			}
			if len(keys) <= findMost {
				var more []string
				if more, since, until, err = among(keys); err != nil {
					return err
				}
				where = append(slices.Clone(where), more...)
			}
		}
		rows, err := w.engine.QueryRange(w.ctx, listSQL(w.list, where, w.left()), since, until)
		if err != nil {
			w.done = true
			return err
		}
		w.rows, w.columns = rows, rows.Columns()
		return nil
	}
}

// left is how many rows are still wanted, 0 for all.
func (w *walk) left() int {
	if w.limit <= 0 {
		return 0
	}
	return w.limit - int(w.stats.Rows)
}

// take removes the next step's days from those to be looked at.
func (w *walk) take() (since, until event.Date) {
	n := len(w.days)
	if n == 0 {
		return 0, -1 // no day at all
	}
	take := 0
	if w.limit > 0 {
		take = min(n, w.step)
		w.step *= walkGrowth
	} else {
		for bytes := int64(0); take < n && (take == 0 || bytes+w.days[n-1-take].Bytes <= walkBytes); take++ {
			bytes += w.days[n-1-take].Bytes
		}
	}
	since, until = w.days[n-take].Date, w.days[n-1].Date
	w.days = w.days[:n-take]
	return since, until
}

// foundKey is an event that a step is about.
type foundKey struct {
	date Date
	id   string
}

// findKeys returns the step's events in their order: as many as are wanted, or
// one more than findMost if there are that many.
func (w *walk) findKeys(since, until event.Date) ([]foundKey, error) {
	limit := findMost + 1
	if left := w.left(); left > 0 {
		limit = min(limit, left)
	}
	rows, err := w.engine.QueryRange(w.ctx, listSQL([]string{PartitionColumn, "event_id"}, w.where, limit), since, until)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var keys []foundKey
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		date, okDate := row[0].(Date)
		id, okID := row[1].(string)
		if !okDate || !okID {
			return nil, fmt.Errorf("list events: an event has the key (%v, %v)", row[0], row[1])
		}
		keys = append(keys, foundKey{date, id})
	}
	s := rows.Stats()
	s.Rows = 0 // they are not the answer's
	w.add(s)
	return keys, nil
}

// among returns the conditions that an event is one of those found, and the
// range of their days. The filter's own conditions must be asked as well: two
// accounts may have events of one id.
func among(keys []foundKey) (where []string, since, until event.Date, err error) {
	if len(keys) == 0 {
		return nil, 0, -1, nil
	}
	var dates, ids []string
	seen := map[Date]bool{}
	for _, k := range keys {
		if !seen[k.date] {
			seen[k.date] = true
			d, err := event.ParseDate(string(k.date))
			if err != nil {
				return nil, 0, 0, fmt.Errorf("list events: %w", err)
			}
			if len(dates) == 0 {
				until = d
			}
			since = d // newest first: the last one is the earliest
			dates = append(dates, dateLiteral(d))
		}
		id, err := literal(k.id)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("list events: %w", err)
		}
		ids = append(ids, id)
	}
	return []string{
		PartitionColumn + " IN (" + strings.Join(dates, ", ") + ")",
		"event_id IN (" + strings.Join(ids, ", ") + ")",
	}, since, until, nil
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
		full := w.limit > 0 && w.stats.Rows >= int64(w.limit)
		if w.done = full || len(w.days) == 0 || w.stats.Truncated; !w.done {
			if err := w.next(); err != nil {
				w.done = true
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
	w.stats.USD += s.USD
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
