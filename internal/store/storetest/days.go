package storetest

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/store"
)

func testDays(t *testing.T, open Open) {
	t.Run("marks", func(t *testing.T) {
		s := fresh(t, open)
		ctx := t.Context()
		noError(t, s.MarkDirty(ctx, nil))
		same(t, "none", dirty(t, s), nil)
		noError(t, s.MarkDirty(ctx, []event.Date{day0 + 5, day0 - 40_000, day0, day0}))
		first, err := s.DirtyDays(ctx)
		noError(t, err)
		same(t, "ascending", dirty(t, s), []event.Date{day0 - 40_000, day0, day0 + 5})
		noError(t, s.MarkDirty(ctx, []event.Date{day0}))
		second, err := s.DirtyDays(ctx)
		noError(t, err)
		if first[1].Mark <= 0 || second[1].Mark == first[1].Mark {
			t.Fatalf("marks %d, then %d: want another, above 0", first[1].Mark, second[1].Mark)
		}
		same(t, "the other days' marks", []store.DirtyDay{second[0], second[2]}, []store.DirtyDay{first[0], first[2]})
	})
	t.Run("an export cleans what it saw", func(t *testing.T) {
		s := fresh(t, open)
		ctx := t.Context()
		day := store.LakeDay{Date: day0, Events: 3, Filtered: 2, Bytes: 100, Categories: map[string]int64{"iam": 2, "sts": 1}}
		put(t, s, made(1))
		seen, err := s.DirtyDays(ctx)
		noError(t, err)
		put(t, s, made(2)) // while the export ran
		noError(t, s.DayExported(ctx, seen[0].Mark, day))
		same(t, "still dirty", dirty(t, s), []event.Date{day0})
		seen, err = s.DirtyDays(ctx)
		noError(t, err)
		for range 2 {
			noError(t, s.DayExported(ctx, seen[0].Mark, day))
			same(t, "clean", dirty(t, s), nil)
		}
		// A mark is never given twice: an exporter that slept must not clean
		// what came since.
		put(t, s, made(3))
		noError(t, s.DayExported(ctx, seen[0].Mark, day))
		same(t, "dirty for another reason", dirty(t, s), []event.Date{day0})
		noError(t, s.DayExported(ctx, 0, day))
		same(t, "mark 0 cleans nothing", dirty(t, s), []event.Date{day0})
		days, err := s.LakeDays(ctx)
		noError(t, err)
		same(t, "recorded", days, []store.LakeDay{day})
	})
	t.Run("lake days", func(t *testing.T) {
		s := fresh(t, open)
		ctx := t.Context()
		noError(t, s.DayExported(ctx, 0, store.LakeDay{Date: day0 + 1, Events: 1}))
		noError(t, s.DayExported(ctx, 0, store.LakeDay{Date: day0, Events: 2, Categories: map[string]int64{"sso": 2}}))
		noError(t, s.DayExported(ctx, 0, store.LakeDay{Date: day0 + 1, Events: 4}))
		days, err := s.LakeDays(ctx)
		noError(t, err)
		same(t, "ascending, the last of each", days,
			[]store.LakeDay{{Date: day0, Events: 2, Categories: map[string]int64{"sso": 2}}, {Date: day0 + 1, Events: 4}})
		same(t, "clean", dirty(t, s), nil)
	})
	t.Run("drop", func(t *testing.T) {
		s := fresh(t, open)
		ctx := t.Context()
		noError(t, s.Put(ctx, []event.Event{made(1), made(2, onDay(1)), made(3, version("1.1", 1)), made(3)}, []event.Filtered{dropped(4), dropped(5, onDay(1))}))
		noError(t, s.DayExported(ctx, 0, store.LakeDay{Date: day0, Events: 1}))
		noError(t, s.DayExported(ctx, 0, store.LakeDay{Date: day0 + 1, Events: 1}))
		for range 2 {
			noError(t, s.DropLakeDays(ctx, []event.Date{day0, day0 + 77}))
			st := mustDump(t, s, day0)
			same(t, "events", st.Events, []event.Event{made(2, onDay(1))})
			same(t, "filtered", st.Filtered, []event.Filtered{dropped(5, onDay(1))})
			same(t, "lake days", st.LakeDays, []store.LakeDay{{Date: day0 + 1, Events: 1}})
			same(t, "dirty", st.Dirty, []event.Date{day0 + 1})
			same(t, "conflicts stay", len(st.Conflicts), 1)
		}
	})
	t.Run("prune", func(t *testing.T) {
		s := fresh(t, open)
		ctx := t.Context()
		noError(t, s.Put(ctx, []event.Event{made(1), made(2, onDay(1)), made(3, onDay(2))}, []event.Filtered{dropped(4), dropped(5, onDay(2))}))
		n, err := s.Prune(ctx, day0+9)
		noError(t, err)
		same(t, "dirty days are kept", n, 0)
		clean(t, s)
		noError(t, s.MarkDirty(ctx, []event.Date{day0 + 1}))
		n, err = s.Prune(ctx, day0+2)
		noError(t, err)
		same(t, "removed", n, 2)
		st := mustDump(t, s, day0)
		same(t, "events", st.Events, []event.Event{made(2, onDay(1)), made(3, onDay(2))})
		same(t, "filtered", st.Filtered, []event.Filtered{dropped(5, onDay(2))})
		same(t, "the lake's days", len(st.LakeDays), 3)
		n, err = s.Prune(ctx, day0+2)
		noError(t, err)
		same(t, "again", n, 0)
	})
}
