package coverage_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

// Merged ledgers cover, second by second, what any of them does at the greatest level,
// in whatever order and however often they are merged, and say the same of all else.
func TestMergeIsTheUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 120
		m := model{t0, make([]coverage.Level, n)}
		var parts []*coverage.Ledger
		for range rapid.IntRange(1, 4).Draw(t, "ledgers") {
			l := &coverage.Ledger{}
			if rapid.Bool().Draw(t, "begun") {
				l.Begin(t0 + rapid.Int64Range(0, n).Draw(t, "now"))
			}
			for range rapid.IntRange(0, 5).Draw(t, "steps") {
				switch rapid.IntRange(0, 3).Draw(t, "what") {
				case 0:
					s := drawSpan(t, t0, n)
					l.Verify(s)
					m.raise(s, func(int64) coverage.Level { return coverage.Verified })
				case 1:
					reason := rapid.SampledFrom([]coverage.Reason{coverage.Denied, coverage.Failed, coverage.NotEnabled}).Draw(t, "reason")
					l.Fail(drawSpan(t, t0, n), reason, "why", t0+rapid.Int64Range(0, n).Draw(t, "at"))
				default:
					r := drawRead(t, t0, n)
					l.Mark(r)
					m.mark(r)
				}
			}
			parts = append(parts, l)
		}
		merge := func(order []*coverage.Ledger) *coverage.Ledger {
			l := &coverage.Ledger{}
			for _, p := range order {
				before := l.Encode()
				gains := l.Gained(p) > 0
				l.Merge(p)
				if gains && string(before) == string(l.Encode()) {
					t.Fatal("merging gains, and changes nothing")
				}
				if l.Gained(p) != 0 {
					t.Fatal("merged again, it would gain")
				}
			}
			return l
		}
		l := merge(parts)
		m.check(t, l)
		again := merge(append(rapid.Permutation(parts).Draw(t, "order"), parts[0]))
		m.check(t, again)
		whole := coverage.Span{From: t0 - 200*day, To: t0 + 200*day}
		type gap struct {
			coverage.Span
			coverage.Reason
		}
		gaps := func(l *coverage.Ledger) (list []gap) {
			for _, g := range l.Gaps(whole) {
				list = append(list, gap{g.Span, g.Reason})
			}
			return list
		}
		if !slices.Equal(gaps(l), gaps(again)) || l.Promised() != again.Promised() || l.LastError != again.LastError || l.Ended != again.Ended {
			t.Fatalf("the order matters:\n%s\n%s", l.Encode(), again.Encode())
		}
		decoded, err := coverage.Decode(l.Stream, l.Encode())
		if err != nil || !decoded.Equal(l) {
			t.Fatalf("decoded %s as %+v, error %v", l.Encode(), decoded, err)
		}

		s := drawSpan(t, t0, n)
		within := l.Within(s)
		for i := range m.levels {
			if at := t0 + int64(i); at < s.From || at >= s.To {
				m.levels[i] = coverage.None
			}
		}
		m.check(t, within)
		if _, err := coverage.Decode(within.Stream, within.Encode()); err != nil {
			t.Fatalf("within %v: %s: %v", s, within.Encode(), err)
		}
		within.Disclaim(s)
		if len(within.Covered(whole)) > 0 {
			t.Fatalf("disclaimed: %s", within.Encode())
		}
	})
}

// What retention removed there may still be read here.
func TestMergeLeavesRemovedToItsOwner(t *testing.T) {
	there := &coverage.Ledger{}
	there.Begin(t0)
	span := coverage.Span{From: t0 - 10*day, To: t0 - 5*day}
	there.Verify(span)
	there.Invalidate(span, coverage.Removed, "", t0)
	here := &coverage.Ledger{}
	here.Begin(t0)
	here.Merge(there)
	for _, g := range here.Gaps(span) {
		if g.Reason != coverage.Pending {
			t.Errorf("%v: %s", g.Span, g.Reason)
		}
	}
}
