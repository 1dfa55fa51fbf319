package lake_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
)

const day = laketest.Day

// smallEvent draws from so few keys, times and contents that all of them collide.
func smallEvent(t *rapid.T) event.Event {
	e := event.Event{
		AccountID:    rapid.SampledFrom([]string{"", "000000000001", "000000000002"}).Draw(t, "account"),
		EventID:      fmt.Sprintf("id-%d", rapid.IntRange(0, 5).Draw(t, "id")),
		EventTime:    day.Time().UnixMilli() + int64(rapid.IntRange(0, 3).Draw(t, "time")),
		EventVersion: rapid.SampledFrom([]string{"", "1.9", "1.10"}).Draw(t, "version"),
		EventName:    rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name"),
		Category:     event.CategoryIAM,
		Outcome:      event.OutcomeOK,
	}
	e.RecordHash = int64(len(e.EventVersion))<<62 + e.EventTime<<8 + int64(e.EventName[0]) // tells contents apart
	return e
}

func smallFiltered(t *rapid.T) event.Filtered {
	f := laketest.Thin(smallEvent(t))
	f.Reason = rapid.SampledFrom([]string{"service", "role"}).Draw(t, "reason")
	return f
}

func greatest(all []event.Event) []event.Event {
	best := map[event.Key]event.Event{}
	for _, e := range all {
		if b, ok := best[e.Key()]; !ok || e.Version().Compare(b.Version()) > 0 {
			best[e.Key()] = e
		}
	}
	out := []event.Event{}
	for _, e := range best {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b event.Event) int { return a.Compare(&b) })
	return out
}

func everything[T any](t *rapid.T, rows func(func(T, error) bool)) []T {
	out := []T{}
	for r, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// Any order, split and repetition of merges gives the rows that one merge of
// everything gives; and those are what the contract says.
func TestMergeOrderSplitRepetition(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(smallEvent), 0, 25).Draw(t, "events")
		thin := rapid.SliceOfN(rapid.Custom(smallFiltered), 0, 15).Draw(t, "filtered")
		once := lake.New(lake.OpenMem(), lake.Options{})
		lost := map[string]bool{}
		merge := func(l *lake.Lake, es []event.Event, fs []event.Filtered) bool {
			in := laketest.Input(es, fs)
			in.Lost = func(es []event.Event) error {
				for _, e := range es {
					lost[fmt.Sprint(e)] = true
				}
				return nil
			}
			s, changed, err := l.Merge(ctx, day, in)
			if err != nil {
				t.Fatal(err)
			}
			if s.Events != int64(len(everything(t, l.Events(ctx, day)))) || s.Filtered != int64(len(everything(t, l.Filtered(ctx, day)))) {
				t.Fatalf("stats are wrong: %+v", s)
			}
			return changed
		}
		merge(once, all, thin)
		want := everything(t, once.Events(ctx, day))
		wantThin := everything(t, once.Filtered(ctx, day))
		if diff := gocmp.Diff(greatest(all), want); diff != "" {
			t.Fatalf("one merge: %s", diff)
		}
		for _, e := range all {
			if !slices.ContainsFunc(want, func(w event.Event) bool { return w.Key() == e.Key() && w.Version() == e.Version() }) && !lost[fmt.Sprint(e)] {
				t.Fatalf("%v is neither stored nor was handed out", e)
			}
		}
		keys := map[event.Key]bool{}
		for _, f := range wantThin {
			if keys[f.Key()] || slices.ContainsFunc(want, func(e event.Event) bool { return e.Key() == f.Key() }) {
				t.Fatalf("filtered row %v is there twice or beside its event", f)
			}
			keys[f.Key()] = true
		}
		for _, f := range thin {
			if !keys[f.Key()] && !slices.ContainsFunc(want, func(e event.Event) bool { return e.Key() == f.Key() }) {
				t.Fatalf("filtered row %v is gone", f)
			}
		}

		split := lake.New(lake.OpenMem(), lake.Options{})
		es := rapid.Permutation(append(slices.Clone(all), all[:len(all)/2]...)).Draw(t, "order")
		fs := rapid.Permutation(append(slices.Clone(thin), thin[:len(thin)/2]...)).Draw(t, "order of filtered")
		for len(es)+len(fs) > 0 {
			i, j := rapid.IntRange(0, len(es)).Draw(t, "cut"), rapid.IntRange(0, len(fs)).Draw(t, "cut of filtered")
			if i+j == 0 {
				i, j = min(1, len(es)), min(1, len(fs))
			}
			merge(split, es[:i], fs[:j])
			es, fs = es[i:], fs[j:]
		}
		if diff := gocmp.Diff(want, everything(t, split.Events(ctx, day))); diff != "" {
			t.Fatalf("split: %s", diff)
		}
		if diff := gocmp.Diff(wantThin, everything(t, split.Filtered(ctx, day))); diff != "" {
			t.Fatalf("split: filtered: %s", diff)
		}
		for _, l := range []*lake.Lake{once, split} {
			if merge(l, all, thin) {
				t.Fatal("merging all again changed something")
			}
		}
	})
}

// Elsewhere gives what a map of all days gives, whatever the state of the index.
func TestElsewhereIsExact(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		b := lake.OpenMem()
		l := lake.New(b, lake.Options{})
		want := map[event.Key]map[event.Date]event.Version{}
		n := rapid.IntRange(1, 8).Draw(t, "merges")
		for range n {
			d := day + event.Date(rapid.SampledFrom([]int{0, 1, 27, 28, 400}).Draw(t, "day"))
			rows := rapid.SliceOfNDistinct(rapid.Custom(smallEvent), 0, 6, func(e event.Event) event.Key { return e.Key() }).Draw(t, "rows")
			for i := range rows {
				rows[i].EventTime += int64(d-day) * 24 * 3600 * 1000
			}
			if _, _, err := l.Merge(ctx, d, laketest.Input(rows, nil)); err != nil {
				t.Fatal(err)
			}
			for _, e := range rows {
				if want[e.Key()] == nil {
					want[e.Key()] = map[event.Date]event.Version{}
				}
				if e.Version().Compare(want[e.Key()][d]) > 0 {
					want[e.Key()][d] = e.Version()
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "fresh") == 0 {
				l = lake.New(b, lake.Options{})
			}
			var ask []event.Key
			for range rapid.IntRange(1, 20).Draw(t, "asked") {
				e := smallEvent(t)
				ask = append(ask, e.Key())
			}
			not := day + event.Date(rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "not"))
			got, err := l.Elsewhere(ctx, ask, not)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range ask {
				var places []lake.Place
				for d, v := range want[k] {
					if d != not {
						places = append(places, lake.Place{Date: d, Version: v})
					}
				}
				slices.SortFunc(places, func(a, b lake.Place) int { return cmp.Compare(a.Date, b.Date) })
				if diff := gocmp.Diff(places, got[k]); diff != "" {
					t.Fatalf("%v: %s", k, diff)
				}
			}
		}
	})
}
