// Package querytest holds engines of package query to one answer: it writes a lake
// of a simulated organization, and asks all built-in queries of two engines, with
// every kind of parameter, comparing row by row, value by value.
package querytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

// End is when the lake's history ends, and Days is how long it is; the clocks of
// Europe and America change within.
var End = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Days is the length of the history.
const Days = 90

// Lake fills a bucket with a simulated organization's history of about so many
// records, and returns how many events the lake has. Half of the records that a
// filter drops are kept all the same, marked, as those are that a critical rule
// fires on.
func Lake(tb testing.TB, bucket lake.Bucket, records int) int {
	tb.Helper()
	world, err := simulate.New(simulate.Config{Seed: 42, Days: Days, Events: records, End: End})
	if err != nil {
		tb.Fatal(err)
	}
	noise, err := filter.New(filter.Config{ServiceEvents: true})
	if err != nil {
		tb.Fatal(err)
	}
	events := map[event.Date][]event.Event{}
	dropped := map[event.Date][]event.Filtered{}
	parser, observer, links := event.NewParser(), lineage.NewObserver(), store.OpenMem()
	n := 0
	for r := range world.Events() {
		e, err := parser.Parse(r.JSON)
		if err != nil {
			tb.Fatal(err)
		}
		reason := noise.Reason(&e)
		observer.Observe(&e, reason != "")
		if n++; reason != "" && n%2 == 0 {
			dropped[e.Date()] = append(dropped[e.Date()], event.Filtered{
				EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID, AWSRegion: e.AWSRegion,
				EventSource: e.EventSource, EventName: e.EventName, Reason: reason,
			})
			continue
		}
		e.FilteredBy = reason
		events[e.Date()] = append(events[e.Date()], e)
	}
	if err := links.RecordLineage(tb.Context(), observer.Batch()); err != nil {
		tb.Fatal(err)
	}
	resolver := lineage.NewResolver(links)
	l := lake.New(bucket, lake.Options{})
	total := 0
	for d, day := range events {
		for i := range day {
			if err := resolver.Fill(tb.Context(), &day[i]); err != nil {
				tb.Fatal(err)
			}
		}
		slices.SortFunc(day, func(a, b event.Event) int { return a.Compare(&b) })
		thin := dropped[d]
		slices.SortFunc(thin, func(a, b event.Filtered) int {
			if c := strings.Compare(a.AccountID, b.AccountID); c != 0 {
				return c
			}
			if a.EventTime != b.EventTime {
				return int(a.EventTime - b.EventTime)
			}
			return strings.Compare(a.EventID, b.EventID)
		})
		if _, _, err := l.Merge(tb.Context(), d, lake.Input{Events: each(day), Filtered: each(thin)}); err != nil {
			tb.Fatal(err)
		}
		total += len(day)
	}
	return total
}

func each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Case is a query with its parameters.
type Case struct {
	Name   string
	Query  query.Query
	Params query.Params
}

// Cases are all built-in queries: in UTC and in a zone whose clock changes within
// the history, over their own look-back and over all of it, with their own number of
// rows and with all, with each parameter's default and others. Without all it is one
// case for each query.
func Cases(tb testing.TB, all bool) []Case {
	tb.Helper()
	catalogue, err := query.LoadCatalogue("")
	if err != nil {
		tb.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		tb.Fatal(err)
	}
	whole := End.AddDate(0, 0, -Days)
	var cases []Case
	for _, q := range catalogue.List() {
		required := map[string]string{}
		for _, p := range q.Params {
			if p.Required {
				required[p.Name] = given[p.Type]
			}
		}
		add := func(name string, p query.Params) {
			p.Now = End
			values := map[string]string{}
			for k, v := range required {
				values[k] = v
			}
			for k, v := range p.Values {
				values[k] = v
			}
			p.Values = values
			cases = append(cases, Case{q.Name + "/" + name, q, p})
		}
		add("berlin", query.Params{Since: whole, Limit: -1, TZ: berlin})
		if !all {
			continue
		}
		add("utc", query.Params{Since: whole, Limit: -1})
		add("look-back", query.Params{})
		add("look-back-berlin", query.Params{TZ: berlin, OffStart: "20:00", OffEnd: "07:30"})
		for _, p := range q.Params {
			for i, v := range variants[p.Type] {
				add(fmt.Sprintf("%s-%d", p.Name, i), query.Params{Since: whole, Limit: -1, TZ: berlin, Values: map[string]string{p.Name: v}})
			}
		}
	}
	return cases
}

// given stand for parameters that have no default.
var given = map[string]string{"text": "A*", "pattern": "*", "int": "1", "date": "2026-10-25"}

// variants are other values of each type; hostile ones among them.
var variants = map[string][]string{
	"text":    {"A*", "", "it's", `a\b%_"`},
	"pattern": {"*a*", "CI-*", "it's*\\%_\"\x00", "203.0.113.*"},
	"int":     {"0", "1", "1000", "-1"},
	"date":    {"2026-10-25", "2000-01-01"},
}

// Answer asks a question of an engine.
type Answer func(ctx context.Context) (query.Rows, error)

// Compare asks a case of two engines and reports where their answers differ. It
// returns how many rows there are.
func Compare(tb testing.TB, c Case, want, got query.Engine) int {
	tb.Helper()
	return CompareAnswers(tb, c.Name,
		func(ctx context.Context) (query.Rows, error) { return c.Query.Run(ctx, want, c.Params) },
		func(ctx context.Context) (query.Rows, error) { return c.Query.Run(ctx, got, c.Params) })
}

// CompareAnswers reports where two answers differ: names, number and order of rows,
// and values with their types. It returns how many rows there are.
func CompareAnswers(tb testing.TB, name string, want, got Answer) int {
	tb.Helper()
	wantNames, wantRows, err := read(tb.Context(), want)
	if err != nil {
		tb.Errorf("%s: the engine to compare with: %v", name, err)
		return 0
	}
	gotNames, gotRows, err := read(tb.Context(), got)
	if err != nil {
		tb.Errorf("%s: %v", name, err)
		return 0
	}
	if d := cmp.Diff(wantNames, gotNames); d != "" {
		tb.Errorf("%s: columns (-want +got):\n%s", name, d)
	}
	for i := range min(len(wantRows), len(gotRows)) {
		if d := cmp.Diff(wantRows[i], gotRows[i]); d != "" {
			tb.Errorf("%s: row %d of %d (-want +got):\n%s", name, i+1, len(wantRows), d)
			return len(wantRows)
		}
	}
	if len(wantRows) != len(gotRows) {
		tb.Errorf("%s: %d rows, want %d", name, len(gotRows), len(wantRows))
	}
	return len(wantRows)
}

// read reads an answer to its end.
func read(ctx context.Context, ask Answer) (names []string, all [][]any, err error) {
	rows, err := ask(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for _, col := range rows.Columns() {
		names = append(names, col.Name)
	}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return names, all, nil
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, slices.Clone(row))
	}
}
