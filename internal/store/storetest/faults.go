package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// writes are the writing methods by the name of their fault points, each with a
// call that changes something in a store that prepare made ready. Leases, which
// have a life of their own, are apart.
var writes = []struct {
	point string
	do    func(context.Context, store.Store) error
}{
	{"put", func(ctx context.Context, s store.Store) error {
		return s.Put(ctx, []event.Event{made(101), made(102), made(1, version("1.11", 4))}, []event.Filtered{dropped(103)})
	}},
	{"markdirty", func(ctx context.Context, s store.Store) error { return s.MarkDirty(ctx, []event.Date{day0 + 50}) }},
	{"dayexported", func(ctx context.Context, s store.Store) error {
		return s.DayExported(ctx, 0, store.LakeDay{Date: day0 + 9, Events: 1})
	}},
	{"droplakedays", func(ctx context.Context, s store.Store) error {
		return s.DropLakeDays(ctx, []event.Date{day0 + 1})
	}},
	{"prune", func(ctx context.Context, s store.Store) error {
		_, err := s.Prune(ctx, day0+3)
		return err
	}},
	{"record", func(ctx context.Context, s store.Store) error {
		_, err := s.Record(ctx, store.Findings{
			Facts:     []rule.Fact{fact("each", made(101)), fact("group", made(2))},
			Conflicts: []event.Event{made(1)},
			Rejected:  []store.Rejected{{SHA256: "aa"}},
		}, Settle)
		return err
	}},
	{"ack", func(ctx context.Context, s store.Store) error {
		return s.Ack(ctx, []string{rule.AlertID("group")}, "me", "note", newClock().at)
	}},
	{"job", func(ctx context.Context, s store.Store) error {
		_, err := s.Job(ctx, "new")
		return err
	}},
	{"filedone", func(ctx context.Context, s store.Store) error {
		return s.FileDone(ctx, "job", []store.FileState{{Path: "a", Size: 2}})
	}},
	{"endjob", func(ctx context.Context, s store.Store) error { return s.EndJob(ctx, "old") }},
	{"setmeta", func(ctx context.Context, s store.Store) error { return s.SetMeta(ctx, "k", "v") }},
	{"updatestream", func(ctx context.Context, s store.Store) error {
		return s.UpdateStream(ctx, stream("eu-west-1"), marks(1))
	}},
	{"putaccountnames", func(ctx context.Context, s store.Store) error {
		return s.PutAccountNames(ctx, []store.AccountName{{AccountID: "1", Name: "one", Seen: newClock().at}})
	}},
	{"recordlineage", func(ctx context.Context, s store.Store) error {
		return s.RecordLineage(ctx, lineage.Batch{Links: []lineage.Link{link("a", "", "1", 1)}, Uses: uses("a", 60)})
	}},
	{"enqueue", func(ctx context.Context, s store.Store) error {
		_, err := s.Enqueue(ctx, []store.Message{message("new", "c")}, []string{rule.AlertID("group")})
		return err
	}},
	{"marktold", func(ctx context.Context, s store.Store) error {
		return s.MarkTold(ctx, []string{rule.AlertID("each told", made(1).AccountID, made(1).EventID), "to come"})
	}},
	{"claim", func(ctx context.Context, s store.Store) error {
		_, err := s.Claim(ctx, "c", time.Minute)
		return err
	}},
	{"pruneoutbox", func(ctx context.Context, s store.Store) error {
		_, err := s.PruneOutbox(ctx, newClock().at.Add(time.Hour))
		return err
	}},
}

// prepare gives the writes something to change.
func prepare(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	noError(t, s.Put(ctx, []event.Event{made(1), made(2, onDay(1)), made(3, onDay(2))}, []event.Filtered{dropped(4, onDay(2))}))
	days, err := s.DirtyDays(ctx)
	noError(t, err)
	noError(t, s.DayExported(ctx, days[2].Mark, store.LakeDay{Date: days[2].Date}))
	record(t, s, store.Findings{Facts: []rule.Fact{fact("group", made(1)), fact("each told", made(1))}})
	noError(t, s.FileDone(ctx, "old", []store.FileState{{Path: "z"}}))
	enqueue(t, s, message("sent", "d"), message("old", "c"))
	m, err := s.Claim(ctx, "d", time.Minute)
	noError(t, err)
	noError(t, s.Settle(ctx, m, store.Outcome{State: store.MessageSent}))
}

// whole is all that a store tells, with what Dump leaves out.
type whole struct {
	State
	Job, Imported map[string]store.FileState
	Meta          string
}

func mustWhole(t *testing.T, s store.Store) (w whole) {
	t.Helper()
	ctx := t.Context()
	w.State = mustDump(t, s, day0, day0+1, day0+2)
	var err error
	w.Imported, err = s.Imported(ctx, []string{"a", "z"})
	noError(t, err)
	w.Meta, err = s.Meta(ctx, "k")
	noError(t, err)
	w.Job, err = s.Job(ctx, "old")
	noError(t, err)
	return w
}

var errInjected = errors.New("injected")

// breakAt makes a point fail; hits counts how often it was passed.
func breakAt(t *testing.T, point string) (hits *int, restore func()) {
	t.Helper()
	hits = new(int)
	restore = fault.Set(func(p string) error {
		if p == point {
			*hits++
			return errInjected
		}
		return nil
	})
	t.Cleanup(restore)
	return hits, restore
}

func testFaults(t *testing.T, open Open) {
	for _, w := range writes {
		t.Run(w.point, func(t *testing.T) {
			ctx := t.Context()
			ideal := fresh(t, open)
			prepare(t, ideal)
			before := mustWhole(t, ideal)
			noError(t, w.do(ctx, ideal))
			after := mustWhole(t, ideal)
			// Job starts an import, which only Job can tell: no difference there.
			if w.point != "job" && cmpEqual(before, after) {
				t.Fatal("the write changes nothing")
			}
			for _, step := range []string{"before", "after"} {
				s := fresh(t, open)
				prepare(t, s)
				hits, restore := breakAt(t, "store."+w.point+"."+step)
				wantError(t, w.do(ctx, s), errInjected)
				restore()
				same(t, "the point was passed", *hits, 1)
				if step == "before" {
					same(t, "nothing was written", mustWhole(t, s), before)
				} else {
					same(t, "written, though reported as failed", mustWhole(t, s), after)
				}
				noError(t, w.do(ctx, s))
				same(t, "repeated after a fault "+step, mustWhole(t, s), after)
			}
		})
	}
	t.Run("leases", func(t *testing.T) { testLeaseFaults(t, open) })
	t.Run("settle", func(t *testing.T) { testSettleFaults(t, open) })
	t.Run("no other points", func(t *testing.T) {
		var points []string
		s := fresh(t, open)
		prepare(t, s)
		defer fault.Set(func(p string) error {
			points = append(points, p)
			return nil
		})()
		var want []string
		for _, w := range writes {
			noError(t, w.do(t.Context(), s))
			want = append(want, "store."+w.point+".before", "store."+w.point+".after")
		}
		mustDump(t, s)
		same(t, "points", points, want)
	})
}

func testLeaseFaults(t *testing.T, open Open) {
	ctx := t.Context()
	for _, step := range []string{".before", ".after"} {
		c := newClock()
		s := open(t, c.now)
		_, restore := breakAt(t, "store.acquire"+step)
		_, err := s.Acquire(ctx, "n", "one", time.Minute)
		wantError(t, err, errInjected)
		restore()
		if step == ".after" { // held by nobody who knows: free after its time
			_, err = s.Acquire(ctx, "n", "one", time.Minute)
			var held *store.HeldError
			if !errors.As(err, &held) {
				t.Fatalf("got %v", err)
			}
			c.advance(time.Minute)
		}
		l, err := s.Acquire(ctx, "n", "two", time.Minute)
		noError(t, err)

		for _, method := range []string{"renew", "release"} {
			do := l.Renew
			if method == "release" {
				do = l.Release
			}
			_, restore := breakAt(t, "store.lease."+method+step)
			wantError(t, do(ctx), errInjected)
			restore()
			noError(t, do(ctx))
		}
		_, err = s.Acquire(ctx, "n", "three", time.Minute)
		noError(t, err)
	}
}

func cmpEqual(a, b whole) bool {
	return Diff(a.State, b.State) == "" && a.Meta == b.Meta && len(a.Job) == len(b.Job) && len(a.Imported) == len(b.Imported) &&
		slices.Equal(a.Dirty, b.Dirty)
}
