package coverage_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

const (
	day  = 24 * 60 * 60
	hour = 60 * 60
	t0   = 1_790_000_000
)

// model is a ledger second by second, over [base, base+len(levels)).
type model struct {
	base   int64
	levels []coverage.Level
}

func (m *model) raise(s coverage.Span, at func(second int64) coverage.Level) {
	for t := max(s.From, m.base); t < min(s.To, m.base+int64(len(m.levels))); t++ {
		m.levels[t-m.base] = max(m.levels[t-m.base], at(t))
	}
}

func (m *model) mark(r coverage.Read) {
	m.raise(r.Span, func(t int64) coverage.Level {
		switch {
		case t >= r.Begun || t < max(r.Ended, r.Begun)-90*day:
			return coverage.None // not over, or no longer kept
		case r.Begun-(t+1) >= 24*hour:
			return coverage.Settled
		}
		return coverage.Collected
	})
}

// check compares a ledger with the model, second by second, by all it can tell.
func (m *model) check(t *rapid.T, l *coverage.Ledger) {
	t.Helper()
	window := coverage.Span{From: m.base, To: m.base + int64(len(m.levels))}
	got := make([]coverage.Level, len(m.levels))
	last := window.From
	for _, c := range l.Covered(window) {
		if c.Empty() || c.From < last || !window.Contains(c.Span) {
			t.Fatalf("covered %v after %d, in %v", c, last, window)
		}
		last = c.To
		for s := c.From; s < c.To; s++ {
			got[s-m.base] = c.Level
		}
	}
	if !slices.Equal(got, m.levels) {
		i := 0
		for got[i] == m.levels[i] {
			i++
		}
		t.Fatalf("second %d is %v, want %v", m.base+int64(i), got[i], m.levels[i])
	}
	gaps := make([]bool, len(m.levels))
	for _, g := range l.Gaps(window) {
		for s := g.From; s < g.To; s++ {
			if gaps[s-m.base] {
				t.Fatalf("second %d is in two gaps", s)
			}
			gaps[s-m.base] = true
		}
	}
	for i, level := range m.levels {
		if gaps[i] != (level == coverage.None) {
			t.Fatalf("second %d: level %v, in a gap %v", m.base+int64(i), level, gaps[i])
		}
	}
}

func drawSpan(t *rapid.T, base, n int64) coverage.Span {
	from := base + rapid.Int64Range(-5, n).Draw(t, "from")
	return coverage.Span{From: from, To: from + rapid.Int64Range(-2, n/2).Draw(t, "length")}
}

func drawRead(t *rapid.T, base, n int64) coverage.Read {
	s := drawSpan(t, base, n)
	begun := s.To + rapid.SampledFrom([]int64{-20, -1, 0, 1, 599, 600, 3599, 3600, day - 10, day, 90*day - 20, 90 * day}).Draw(t, "begun")
	return coverage.Read{Span: s, Begun: begun, Ended: begun + rapid.SampledFrom([]int64{-3, 0, 5, 30}).Draw(t, "took")}
}

// Any order, repetition and overlap of readings and proofs gives the coverage that
// counting single seconds gives; what is invalidated is gone, until read again.
func TestMarksAgainstSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 120
		m := model{t0, make([]coverage.Level, n)}
		l := &coverage.Ledger{}
		if rapid.Bool().Draw(t, "begun") {
			l.Begin(t0 + n)
		}
		type step func(l *coverage.Ledger, m *model)
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
				s := drawSpan(t, t0, n)
				return func(l *coverage.Ledger, m *model) {
					l.Verify(s)
					m.raise(s, func(int64) coverage.Level { return coverage.Verified })
				}
			}
			r := drawRead(t, t0, n)
			return func(l *coverage.Ledger, m *model) { l.Mark(r); m.mark(r) }
		}), 1, 12).Draw(t, "steps")
		for _, s := range steps {
			s(l, &m)
			m.check(t, l)
			// Failures never touch what is covered.
			l.Fail(drawSpan(t, t0, n), coverage.Denied, "no", t0)
			m.check(t, l)
		}
		other, again := &coverage.Ledger{Began: l.Began, Since: l.Since, Until: l.Until}, m
		again.levels = make([]coverage.Level, n)
		for _, s := range rapid.Permutation(append(slices.Clone(steps), steps[0])).Draw(t, "order") {
			s(other, &again)
		}
		m.check(t, other)

		gone := drawSpan(t, t0, n)
		l.Invalidate(gone, coverage.Removed, "", t0)
		for s := max(gone.From, t0); s < min(gone.To, t0+n); s++ {
			m.levels[s-t0] = coverage.None
		}
		m.check(t, l)
		decoded, err := coverage.Decode(l.Stream, l.Encode())
		if err != nil || !decoded.Equal(l) {
			t.Fatalf("decoded %s as %+v, error %v", l.Encode(), decoded, err)
		}
	})
}

// Slices never claim a second whose events were not all on the pages so far, and
// in the end have claimed every second that was needed.
func TestSliceClaimsOnlyWhatWasRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 30
		span := coverage.Span{From: t0, To: t0 + n}
		need := coverage.Span{From: t0 + rapid.Int64Range(-3, n-1).Draw(t, "need"), To: span.To}
		at := rapid.SliceOfN(rapid.Int64Range(t0, t0+n-1), 0, 40).Draw(t, "events")
		slices.Sort(at)
		slices.Reverse(at)
		page := rapid.IntRange(1, 7).Draw(t, "page")
		delivered := map[int64]int{}
		s := coverage.NewSlice(span, need)
		bottom := span.To
		rest := at
		for range 200 {
			if s.Done() {
				break
			}
			if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
				// The token is lost: what is left is asked for anew.
				s = s.Rest()
				if s.Span.From != span.From || s.Span.To != bottom {
					t.Fatalf("rest %v, read down to %d", s.Span, bottom)
				}
				rest = slices.DeleteFunc(slices.Clone(at), func(e int64) bool { return e >= s.Span.To })
				clear(delivered)
				page = 50
				continue
			}
			got := rest[:min(page, len(rest))]
			if rapid.IntRange(0, 9).Draw(t, "empty") == 0 {
				got = nil
			}
			rest = rest[len(got):]
			var oldest int64
			for _, e := range got {
				delivered[e]++
				oldest = e
			}
			more := len(rest) > 0 || rapid.IntRange(0, 9).Draw(t, "token at the end") == 0
			read := s.Page(oldest, more)
			if read.To != bottom {
				t.Fatalf("page read %v, after %d", read, bottom)
			}
			bottom = read.From
			for sec := read.From; sec < read.To; sec++ {
				want := 0
				for _, e := range at {
					if e == sec {
						want++
					}
				}
				if delivered[sec] < want {
					t.Fatalf("second %d claimed with %d of %d events", sec, delivered[sec], want)
				}
			}
			if !more && bottom != span.From {
				t.Fatalf("the last page left [%d, %d)", span.From, bottom)
			}
		}
		if !s.Done() || bottom > max(need.From, span.From) || s.Rest() != nil {
			t.Fatalf("read down to %d, need %v", bottom, need)
		}
	})
}

// Requests are inclusive at both ends.
func TestSpanRequest(t *testing.T) {
	start, end := coverage.Span{From: 100, To: 101}.Request()
	if start.Unix() != 100 || end.Unix() != 100 {
		t.Errorf("one second is asked for as %v to %v", start, end)
	}
	if s := coverage.SpanOf(start.Add(1), end.Add(2e9-1)); s != (coverage.Span{From: 101, To: 101}) {
		t.Errorf("whole seconds %v", s)
	}
}
