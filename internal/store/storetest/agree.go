package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Agree holds two implementations to each other: any sequence of calls gives the
// same answers and ends in the same state.
func Agree(t *testing.T, openA, openB Open) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		a, b := openA(t, c.now), openB(t, c.now)
		leases := map[string][2]store.Lease{}
		for range rapid.IntRange(1, 15).Draw(rt, "calls") {
			name, call := drawCall(rt, c, leases)
			got, want := call(a, 0), call(b, 1)
			if got != want {
				rt.Fatalf("%s: one store answers\n%s\nthe other\n%s", name, got, want)
			}
		}
		before, after := mustDump(t, a, day0, day0+1, day0+2), mustDump(t, b, day0, day0+1, day0+2)
		noError(t, errors.Join(a.Close(), b.Close()))
		if d := Diff(before, after); d != "" {
			rt.Fatalf("the states differ:\n%s", d)
		}
	})
}

// drawCall draws a call; its result is put in words, as errors of two stores
// differ in theirs.
func drawCall(rt *rapid.T, c *clock, leases map[string][2]store.Lease) (string, func(s store.Store, which int) string) {
	ctx := rt.Context()
	date := func() event.Date { return day0 + event.Date(rapid.IntRange(0, 2).Draw(rt, "day")) }
	content := func() event.Event {
		n := rapid.IntRange(0, 4).Draw(rt, "key")
		minor := rapid.IntRange(8, 10).Draw(rt, "minor")
		return made(n, onDay(rapid.IntRange(0, 2).Draw(rt, "day")), version(fmt.Sprintf("1.%d", minor), uint64(minor)<<60|uint64(n)))
	}
	id := func() string {
		e := content()
		return rapid.SampledFrom([]string{rule.AlertID("group"), rule.AlertID("each", e.AccountID, e.EventID), "none"}).Draw(rt, "alert")
	}
	switch name := rapid.SampledFrom([]string{"rows", "rows", "rows", "unsettled", "exported", "drop", "prune", "ack", "job", "lease", "meta", "ledger", "outbox", "look"}).Draw(rt, "call"); name {
	case "rows":
		rows := drawRows(rt)
		return name, func(s store.Store, _ int) string { return words(apply(ctx, s, rows)) }
	case "unsettled":
		e := content()
		return name, func(s store.Store, _ int) string {
			_, err := s.Record(ctx, store.Findings{Facts: []rule.Fact{fact("group", e)}, Conflicts: []event.Event{e}}, nil)
			n, err2 := s.Record(ctx, store.Findings{Facts: []rule.Fact{fact("each", e)}}, Settle)
			return words(err, err2, n)
		}
	case "exported":
		d, useMark := date(), rapid.Bool().Draw(rt, "mark")
		return name, func(s store.Store, _ int) string {
			var mark int64
			days, err := s.DirtyDays(ctx)
			for _, day := range days {
				if useMark && day.Date == d {
					mark = day.Mark
				}
			}
			return words(err, s.DayExported(ctx, mark, store.LakeDay{Date: d, Events: int64(d)}))
		}
	case "drop":
		d := date()
		return name, func(s store.Store, _ int) string { return words(s.DropLakeDays(ctx, []event.Date{d})) }
	case "prune":
		d := date() + 1
		return name, func(s store.Store, _ int) string {
			n, err := s.Prune(ctx, d)
			return words(n, err)
		}
	case "ack":
		ids, at := []string{id(), id()}, c.at.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "at")))
		return name, func(s store.Store, _ int) string { return words(s.Ack(ctx, ids, "me", "note", at)) }
	case "job":
		job, path, end := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "job"), rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "path"), rapid.Bool().Draw(rt, "end")
		return name, func(s store.Store, _ int) string {
			before, err := s.Job(ctx, job)
			err2 := s.FileDone(ctx, job, []store.FileState{{Path: path, Size: int64(len(before)), ModTime: c.at}})
			var err3 error
			if end {
				err3 = s.EndJob(ctx, job)
			}
			files, err4 := s.Imported(ctx, []string{"x", "y"})
			return words(before, err, err2, err3, files, err4)
		}
	case "lease":
		name := rapid.SampledFrom([]string{"l", "m"}).Draw(rt, "lease")
		what := rapid.SampledFrom([]string{"acquire", "renew", "release", "wait"}).Draw(rt, "what")
		var taken [2]store.Lease
		return what, func(s store.Store, which int) string {
			held := leases[name][which]
			switch {
			case what == "acquire":
				l, err := s.Acquire(ctx, name, fmt.Sprint("holder of ", name), time.Minute)
				if err == nil {
					taken[which] = l
					if which == 1 {
						leases[name] = taken
					}
				}
				return words(err)
			case what == "wait" && which == 0:
				c.advance(40 * time.Second)
			case what == "renew" && held != nil:
				return words(held.Renew(ctx))
			case what == "release" && held != nil:
				return words(held.Release(ctx))
			}
			return ""
		}
	case "outbox":
		return name, drawOutboxCall(rt, c)
	case "ledger":
		return name, drawLedgerCall(rt, c.at)
	case "meta":
		value := rapid.SampledFrom([]string{"", "v", "w"}).Draw(rt, "value")
		return name, func(s store.Store, _ int) string {
			before, err := s.Meta(ctx, "k")
			return words(before, err, s.SetMeta(ctx, "k", value))
		}
	default:
		e, one := content(), id()
		f := store.AlertFilter{MinSeverity: rule.Medium, Actor: "ALI", Limit: rapid.IntRange(0, 2).Draw(rt, "limit"), Until: e.Time()}
		return name, func(s store.Store, _ int) string {
			found, err := s.Find(ctx, []event.Key{e.Key()})
			filtered, err2 := gather(s.DayFiltered(ctx, e.Date()))
			got, err3 := s.Event(ctx, e.Key())
			known, err4 := s.IsConflict(ctx, []store.ConflictRef{{Key: e.Key(), Hash: uint64(e.RecordHash)}})
			a, err5 := s.Alert(ctx, one)
			list, err6 := s.Alerts(ctx, f)
			return words(found, filtered, got, known, a, list, err, err2, err3, err4, err5, err6)
		}
	}
}

// words puts results in words; of an error its kind.
func words(results ...any) (text string) {
	for _, r := range results {
		if err, ok := r.(error); ok {
			var held *store.HeldError
			switch {
			case errors.As(err, &held):
				r = held.Error()
			case errors.Is(err, store.ErrNotFound):
				r = store.ErrNotFound
			case errors.Is(err, store.ErrLeaseLost):
				r = store.ErrLeaseLost
			}
		}
		text += fmt.Sprintf("%+v\n", r)
	}
	return text
}
