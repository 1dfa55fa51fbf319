package storetest

import (
	"math"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func testFindings(t *testing.T, open Open) {
	t.Run("rejected once each, as first seen", func(t *testing.T) {
		s := fresh(t, open)
		at := time.Date(2026, 11, 1, 8, 0, 0, 123_000_000, time.UTC)
		a := store.Rejected{File: "a.json", Offset: 5, Length: 9, SHA256: "aa", Reason: "bad", Excerpt: "x", Seen: at.Add(time.Hour)}
		earlier := store.Rejected{File: "z.json", SHA256: "aa", Reason: "bad", Seen: at}
		b := store.Rejected{File: "b.json", SHA256: "bb", Seen: at}
		c := store.Rejected{File: "c.json", SHA256: "cc", Seen: at.Add(-time.Hour).In(time.FixedZone("", 7200))}
		for range 2 {
			record(t, s, store.Findings{Rejected: []store.Rejected{a, b, earlier, c, a}})
			record(t, s, store.Findings{Rejected: []store.Rejected{a}})
			c.Seen = c.Seen.UTC()
			same(t, "rejected", all(t, s.Rejected(t.Context())), []store.Rejected{c, earlier, b})
		}
	})
	t.Run("conflicts once each, by key then hash", func(t *testing.T) {
		s := fresh(t, open)
		want := []event.Event{
			made(9, account("")), made(1, version("1.08", 3)), made(1, version("1.08", math.MaxInt64)),
			made(1, version("1.08", math.MaxUint64)), made(2),
		}
		for range 2 {
			record(t, s, store.Findings{Conflicts: []event.Event{want[4], want[3], want[0]}})
			record(t, s, store.Findings{Conflicts: []event.Event{want[2], want[1], want[4]}})
			same(t, "conflicts", all(t, s.Conflicts(t.Context())), want)
		}
		same(t, "no day is dirty", dirty(t, s), nil)
		same(t, "no event is stored", len(mustDump(t, s, day0).Events), 0)
	})
	t.Run("IsConflict", func(t *testing.T) {
		s := fresh(t, open)
		lost, stays := made(1, version("1.08", math.MaxUint64)), made(1, version("1.09", 7))
		put(t, s, lost, stays)
		record(t, s, store.Findings{Conflicts: []event.Event{made(2)}})
		ref := func(e event.Event) store.ConflictRef {
			return store.ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}
		}
		got, err := s.IsConflict(t.Context(), []store.ConflictRef{ref(lost), ref(stays), ref(made(2)), ref(made(3)), ref(lost)})
		noError(t, err)
		same(t, "known losers", got, map[store.ConflictRef]bool{ref(lost): true, ref(made(2)): true})
	})
	t.Run("nothing", func(t *testing.T) {
		s := fresh(t, open)
		n, err := s.Record(t.Context(), store.Findings{}, nil)
		noError(t, err)
		same(t, "alerts", n, 0)
	})
}

// settled records what settle was called with.
type settled [][]rule.Fact

func (c *settled) settle(facts []rule.Fact) []rule.Alert {
	*c = append(*c, append([]rule.Fact(nil), facts...))
	return Settle(facts)
}

func (c *settled) take() settled {
	got := *c
	*c = nil
	return got
}

func testSettle(t *testing.T, open Open) {
	ctx := t.Context()
	t.Run("all facts of the group, in order", func(t *testing.T) {
		s := fresh(t, open)
		var calls settled
		late, early := fact("g", made(9)), fact("g", made(1))
		kindB, kindA := fact("g", made(5)), fact("g", made(5))
		kindB.Kind, kindA.Kind = "b", "a"
		otherHash := fact("g", made(5, version("1.08", math.MaxUint64)))
		otherHash.Kind = "a"
		sameTime := fact("g", made(5))
		sameTime.EventID = "id-0004z"
		for _, f := range []rule.Fact{late, otherHash, kindB, fact("h", made(3)), early, sameTime, kindA} {
			_, err := s.Record(ctx, store.Findings{Facts: []rule.Fact{f}}, calls.settle)
			noError(t, err)
		}
		got := calls.take()
		same(t, "calls, one for each fact", len(got), 7)
		same(t, "the last call", got[6], []rule.Fact{early, sameTime, kindA, otherHash, kindB, late})
		same(t, "another group's", got[3], []rule.Fact{fact("h", made(3))})
	})
	t.Run("only groups that changed", func(t *testing.T) {
		s := fresh(t, open)
		var calls settled
		both := store.Findings{Facts: []rule.Fact{fact("g", made(1)), fact("g", made(2)), fact("h", made(1))}}
		for range 3 {
			_, err := s.Record(ctx, both, calls.settle)
			noError(t, err)
		}
		same(t, "calls", len(calls.take()), 2)
	})
	t.Run("what it returns is the caller's", func(t *testing.T) {
		s := fresh(t, open)
		f := fact("g", made(1))
		spoil := func(facts []rule.Fact) []rule.Alert {
			a := Settle(facts)
			for i := range facts {
				facts[i].Targets[0], facts[i].Data["content"], facts[i].Detail = "spoilt", "spoilt", "spoilt"
			}
			return a
		}
		_, err := s.Record(ctx, store.Findings{Facts: []rule.Fact{f}}, spoil)
		noError(t, err)
		var calls settled
		_, err = s.Record(ctx, store.Findings{Facts: []rule.Fact{fact("g", made(2))}}, calls.settle)
		noError(t, err)
		same(t, "facts", calls[0], []rule.Fact{fact("g", made(1)), fact("g", made(2))})
	})
	lost, won := made(1, version("1.08", 1)), made(1, version("1.09", 2))
	superseded := fact("each", lost)
	superseded.Superseded = true
	for name, steps := range map[string][]func(t *testing.T, s store.Store, c *settled){
		"conflict after the fact": {
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Facts: []rule.Fact{fact("each", lost)}}, c)
			},
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Conflicts: []event.Event{lost}}, c)
			},
		},
		"conflict before the fact": {
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Conflicts: []event.Event{lost}}, c)
			},
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Facts: []rule.Fact{fact("each", lost)}}, c)
			},
		},
		"conflict with the fact": {
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Facts: []rule.Fact{fact("each", lost)}, Conflicts: []event.Event{lost}}, c)
			},
		},
		"conflict by Put": {
			func(t *testing.T, s store.Store, c *settled) {
				recordWith(t, s, store.Findings{Facts: []rule.Fact{fact("each", lost)}}, c)
			},
			func(t *testing.T, s store.Store, _ *settled) { put(t, s, lost, won) },
			func(t *testing.T, s store.Store, c *settled) { recordWith(t, s, store.Findings{}, c) },
		},
		"conflict by Put of the stored content": {
			func(t *testing.T, s store.Store, c *settled) {
				put(t, s, lost)
				recordWith(t, s, store.Findings{Facts: []rule.Fact{fact("each", lost)}}, c)
				put(t, s, won)
				recordWith(t, s, store.Findings{}, c)
			},
		},
		"facts without settle wait": {
			func(t *testing.T, s store.Store, c *settled) {
				_, err := s.Record(ctx, store.Findings{Facts: []rule.Fact{fact("each", lost)}, Conflicts: []event.Event{lost}}, nil)
				noError(t, err)
				recordWith(t, s, store.Findings{}, c)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t, open)
			var calls settled
			for _, step := range steps {
				step(t, s, &calls)
			}
			got := calls.take()
			if len(got) == 0 {
				t.Fatal("settle was not called")
			}
			same(t, "the last call", got[len(got)-1], []rule.Fact{superseded})
			a, err := s.Alert(ctx, rule.AlertID("each", lost.AccountID, lost.EventID))
			noError(t, err)
			same(t, "state", a.State, rule.StateSuperseded)
			recordWith(t, s, store.Findings{Conflicts: []event.Event{lost}, Facts: []rule.Fact{fact("each", lost)}}, &calls)
			same(t, "repeated", len(calls.take()), 0)
		})
	}
	t.Run("a superseded flag that is handed in means nothing", func(t *testing.T) {
		s := fresh(t, open)
		var calls settled
		recordWith(t, s, store.Findings{Facts: []rule.Fact{superseded}}, &calls)
		same(t, "fact", calls[0], []rule.Fact{fact("each", lost)})
	})
}

func recordWith(t *testing.T, s store.Store, f store.Findings, c *settled) {
	t.Helper()
	_, err := s.Record(t.Context(), f, c.settle)
	noError(t, err)
}
