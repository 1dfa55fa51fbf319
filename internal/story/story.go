// Package story tells who did what: who touched a thing (Who), all that one person
// did (Timeline), and where the credentials of a session come from and lead to
// (Trace). It asks the lake in SQL, so that the work is done where the events are
// and what comes back is counted and folded already, and package lineage for how
// an actor is known. It prints nothing and knows no clock: the command line, and
// whoever else tells stories, does that.
//
// A person here is also a workload: whoever is at the root of a chain. Names are
// unique in one account only, so a Person is known by kind, name and, where the
// kind needs one, account: "alice" in the records of account 1 and "alice @ 1" in
// those of others are one, alice of account 2 is another.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Asker answers SQL over the lake's events of some days, both inclusive; a
// query.RangeEngine is one.
type Asker interface {
	QueryRange(ctx context.Context, sql string, since, until event.Date) (query.Rows, error)
}

// Reader reads one event whole; package lake's Lake is one.
type Reader interface {
	Event(ctx context.Context, key event.Key, date event.Date) (event.Event, error)
}

// Teller tells stories. Not safe for concurrent use.
type Teller struct {
	ask      Asker
	events   Reader
	links    lineage.Source
	resolver *lineage.Resolver
}

// New returns a Teller over a lake and the links that were recorded beside it.
func New(ask Asker, events Reader, links lineage.Source) *Teller {
	return &Teller{ask: ask, events: events, links: links, resolver: lineage.NewResolver(links)}
}

// Range bounds a story in time, [Since, Until); zero means no bound.
type Range struct{ Since, Until time.Time }

// days are the days that the range touches.
func (r Range) days() (since, until event.Date) {
	since, until = math.MinInt32, math.MaxInt32
	if !r.Since.IsZero() {
		since = event.DateOf(r.Since.UnixMilli())
	}
	if !r.Until.IsZero() {
		until = event.DateOf(r.Until.UnixMilli()) // a day too many does no harm
	}
	return since, until
}

// each calls f with each row of an answer. The slice is f's only until it returns.
func (t *Teller) each(ctx context.Context, r Range, sql string, f func(row row) error) (err error) {
	since, until := r.days()
	rows, err := t.ask.QueryRange(ctx, sql, since, until)
	if err != nil {
		return fmt.Errorf("ask the lake: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		values, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask the lake: %w", err)
		}
		if err := f(values); err != nil {
			return err
		}
	}
}

// row is a row of an answer.
type row []any

func (r row) text(i int) string { s, _ := r[i].(string); return s }
func (r row) int(i int) int64   { n, _ := r[i].(int64); return n }
func (r row) bool(i int) bool   { b, _ := r[i].(bool); return b }

// ms is a timestamp in milliseconds since the epoch.
func (r row) ms(i int) int64 {
	t, ok := r[i].(time.Time)
	if !ok {
		return 0
	}
	return t.UnixMilli()
}

func (r row) list(i int) []string {
	values, _ := r[i].([]any)
	out := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Place is where an event lies.
type Place struct {
	Key  event.Key
	Time int64 // ms since the epoch
}

// placeSQL is a text that sorts by time, account and event id; place reads it.
const placeSQL = `concat(CAST(epoch_ms(event_time) AS VARCHAR), '|', CAST(length(account_id) AS VARCHAR), '|', account_id, event_id)`

func place(text string) (Place, error) {
	ms, rest, _ := strings.Cut(text, "|")
	n, rest, _ := strings.Cut(rest, "|")
	at, errTime := strconv.ParseInt(ms, 10, 64)
	size, errSize := strconv.Atoi(n)
	runes := []rune(rest)
	if errTime != nil || errSize != nil || size > len(runes) {
		return Place{}, fmt.Errorf("an event's place %q can't be read", text)
	}
	return Place{event.Key{AccountID: string(runes[:size]), EventID: string(runes[size:])}, at}, nil
}

func places(texts []string) ([]Place, error) {
	out := make([]Place, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = place(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Resolve reads an event and tells who is behind it.
func (t *Teller) Resolve(ctx context.Context, at Place) (event.Event, lineage.Resolution, error) {
	e, err := t.events.Event(ctx, at.Key, event.DateOf(at.Time))
	if err != nil {
		return e, lineage.Resolution{}, fmt.Errorf("read event %s: %w", at.Key.EventID, err)
	}
	r, err := t.resolver.Resolve(ctx, &e)
	return e, r, err
}

// literals renders texts as a list for IN.
func literals(texts []string) (string, error) {
	out := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = query.Literal(text); err != nil {
			return "", err
		}
	}
	return strings.Join(out, ", "), nil
}

// all joins conditions; none is true.
func all(conditions []string) string {
	if len(conditions) == 0 {
		return "true"
	}
	return strings.Join(conditions, " AND ")
}
