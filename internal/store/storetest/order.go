package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// row is one thing to write: exactly one field is set.
type row struct {
	event    *event.Event
	filtered *event.Filtered
	fact     *rule.Fact
	conflict *event.Event
	rejected *store.Rejected
}

// apply writes rows in as few calls as their order allows, and settles.
func apply(ctx context.Context, s store.Store, rows []row) error {
	for len(rows) > 0 {
		var events []event.Event
		var filtered []event.Filtered
		var f store.Findings
		n := 0
		hot := func(r row) bool { return r.event != nil || r.filtered != nil }
		for ; n < len(rows) && hot(rows[n]) == hot(rows[0]); n++ {
			switch r := rows[n]; {
			case r.event != nil:
				events = append(events, *r.event)
			case r.filtered != nil:
				filtered = append(filtered, *r.filtered)
			case r.fact != nil:
				f.Facts = append(f.Facts, *r.fact)
			case r.conflict != nil:
				f.Conflicts = append(f.Conflicts, *r.conflict)
			default:
				f.Rejected = append(f.Rejected, *r.rejected)
			}
		}
		var err error
		if hot(rows[0]) {
			err = s.Put(ctx, events, filtered)
		} else {
			_, err = s.Record(ctx, f, Settle)
		}
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	// What a Put superseded is settled by the next Record.
	_, err := s.Record(ctx, store.Findings{}, Settle)
	return err
}

// drawRows draws rows over few keys, so that they meet. The contents of a key lie
// on one day: on several, which days become dirty tells the order of arrival.
func drawRows(t *rapid.T) []row {
	content := func() event.Event {
		n := rapid.IntRange(0, 4).Draw(t, "key")
		minor := rapid.IntRange(8, 10).Draw(t, "minor")
		hash := uint64(minor)<<60 | uint64(n)
		return made(n, onDay(n%2), version(fmt.Sprintf("1.%d", minor), hash))
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		e := content()
		switch rapid.IntRange(0, 6).Draw(t, "what") {
		case 0, 1:
			return row{event: &e}
		case 2:
			n := rapid.IntRange(0, 6).Draw(t, "filtered key")
			// Some have the key of an event, on its day or another, and several
			// times and reasons: all are kept.
			f := dropped(n, onDay(rapid.IntRange(0, 1).Draw(t, "day")))
			f.EventTime += int64(rapid.IntRange(0, 1).Draw(t, "later"))
			f.Reason = rapid.SampledFrom([]string{"service", "role"}).Draw(t, "reason")
			return row{filtered: &f}
		case 3, 4:
			f := fact(rapid.SampledFrom([]string{"each", "group", "each2"}).Draw(t, "group"), e)
			return row{fact: &f}
		case 5:
			return row{conflict: &e}
		}
		n := rapid.IntRange(0, 2).Draw(t, "rejected")
		at := rapid.IntRange(0, 2).Draw(t, "seen")
		return row{rejected: &store.Rejected{SHA256: fmt.Sprint(n), File: fmt.Sprint("f", at), Seen: newClock().at.Add(time.Duration(at/2) * time.Hour)}}
	}), 1, 14).Draw(t, "rows")
}

// testOrder: any order, any split into calls, any repetition of the same rows end
// in the same state.
func testOrder(t *testing.T, open Open) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		ctx := t.Context()
		one := fresh(t, open)
		noError(t, apply(ctx, one, rows))
		want := mustDump(t, one)

		two := fresh(t, open)
		shuffled := rapid.Permutation(append(slices.Clone(rows), rows[:rapid.IntRange(0, len(rows)).Draw(rt, "repeated")]...)).Draw(rt, "order")
		for len(shuffled) > 0 {
			n := rapid.IntRange(1, len(shuffled)).Draw(rt, "call")
			if err := apply(ctx, two, shuffled[:n]); err != nil {
				rt.Fatal(err)
			}
			shuffled = shuffled[n:]
		}
		got := mustDump(t, two)
		noError(t, one.Close())
		noError(t, two.Close())
		if d := Diff(want, got); d != "" {
			rt.Fatalf("the order of arrival shows (-first +second):\n%s", d)
		}
	})
}

// Writers is how many writers Work knows.
const Writers = 8

// Work returns the calls of a writer, 0 to Writers-1. The rows of all writers
// overlap and contradict each other; every call may be repeated, and any order of
// all calls, at once or not, ends in the same state.
func Work(writer int) []func(context.Context, store.Store) error {
	const keys, part = 60, 10
	var calls []func(context.Context, store.Store) error
	for from := 0; from < keys; from += part {
		var hot, findings []row
		for n := from; n < from+part; n++ {
			content := (n + writer) % 4
			e := made(n, onDay(n%3), version(fmt.Sprintf("1.%d", content), uint64(content)<<8|uint64(n)))
			d := dropped(n+keys/2, onDay((n+keys/2)%3))
			f, g := fact("each", e), fact("group", e)
			hot = append(hot, row{event: &e}, row{filtered: &d})
			findings = append(findings, row{fact: &f}, row{fact: &g})
		}
		rows := slices.Concat(hot, findings)
		calls = append(calls, func(ctx context.Context, s store.Store) error {
			if err := apply(ctx, s, rows); err != nil {
				return err
			}
			// All in one stream, each its own part of it, so that a lost update shows.
			return s.UpdateStream(ctx, stream("eu-west-1"), marks(int64(writer*keys+from)))
		})
	}
	return calls
}

// DoWork does the work of a writer.
func DoWork(ctx context.Context, s store.Store, writer int) error {
	for _, call := range Work(writer) {
		if err := call(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// testConcurrency: many goroutines write overlapping rows, others read; the state
// is that of one writer.
func testConcurrency(t *testing.T, open Open) {
	ctx := t.Context()
	one := fresh(t, open)
	for w := range Writers {
		noError(t, DoWork(ctx, one, w))
	}
	many := fresh(t, open)
	errs := make(chan error, 2*Writers)
	var wg sync.WaitGroup
	for w := range Writers {
		wg.Go(func() {
			if err := DoWork(ctx, many, w); err != nil {
				errs <- err
			}
		})
		wg.Go(func() {
			for range 5 {
				if _, err := Dump(ctx, many); err != nil {
					errs <- err
					return
				}
				// Half of a Put is never seen: an event and its version go together.
				for e, err := range many.Day(ctx, day0) {
					if err != nil {
						errs <- err
						return
					}
					got, err := many.Find(ctx, []event.Key{e.Key()})
					if err == nil && got[e.Key()].Version.Compare(e.Version()) < 0 {
						err = fmt.Errorf("event %s went back to a lesser version", e.EventID)
					}
					if err != nil {
						errs <- err
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if d := Diff(mustDump(t, one), mustDump(t, many)); d != "" {
		t.Fatalf("many writers (-one +many):\n%s", d)
	}

	t.Run("a lease has one holder", func(t *testing.T) {
		s := fresh(t, open)
		holders := make(chan int, Writers)
		var wg sync.WaitGroup
		for w := range Writers {
			wg.Go(func() {
				if _, err := s.Acquire(ctx, "lake", fmt.Sprint(w), time.Minute); err == nil {
					holders <- w
				}
			})
		}
		wg.Wait()
		close(holders)
		n := 0
		for range holders {
			n++
		}
		same(t, "holders", n, 1)
	})
}
