package coverage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

var sts = coverage.Stream{AccountID: "111122223333", Region: "eu-west-3", Source: "sts.amazonaws.com"}

func span(from, to int64) coverage.Span { return coverage.Span{From: from, To: to} }

// gaps checks the gaps of a window, given as from, to, reason and detail.
func wantGaps(t *testing.T, l *coverage.Ledger, window coverage.Span, want ...coverage.Gap) {
	t.Helper()
	if d := cmp.Diff(want, l.Gaps(window)); d != "" {
		t.Errorf("gaps (-want +got):\n%s", d)
	}
}

func TestFirstRunPromisesWhatCloudTrailKeeps(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	l.Begin(t0)
	wantGaps(t, l, span(t0-91*day, t0+100),
		coverage.Gap{Span: span(t0-91*day, t0-90*day), Reason: coverage.Expired, Detail: "more than 90 days old when collection began"},
		coverage.Gap{Span: span(t0-90*day, t0+100), Reason: coverage.Pending})
	// Each run adds what lies since the last one; a clock that goes back nothing.
	l.Mark(coverage.Read{Span: span(t0-90*day, t0), Begun: t0})
	l.Begin(t0 + 300)
	l.Begin(t0 + 100)
	wantGaps(t, l, l.Promised(), coverage.Gap{Span: span(t0, t0+300), Reason: coverage.Pending})
}

func TestExpiry(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	l.Begin(t0)
	since := int64(t0 - 90*day)
	l.Mark(coverage.Read{Span: span(t0-day, t0), Begun: t0})
	l.Fail(span(since+day, since+2*day), coverage.Denied, "no permission", t0+5)

	// What leaves during the first hour was never promised.
	l.Expire(t0 + 600)
	if got := l.Promised().From; got != since+600 {
		t.Errorf("promised from %d, want %d", got-since, 600)
	}
	// Later it's a loss, for good, and says why.
	at := int64(t0 + 3*day)
	l.Begin(at)
	expired := []coverage.Gap{
		{Span: span(since+600, since+3*day), Reason: coverage.Expired, Detail: "no permission", At: at},
		{Span: span(since+3*day, t0-day), Reason: coverage.Pending},
	}
	wantGaps(t, l, span(since+600, t0-day), expired...)
	l.Fail(span(since, t0-day), coverage.Failed, "late", at+1)
	expired[1].Reason, expired[1].Detail, expired[1].At = coverage.Failed, "late", at+1
	wantGaps(t, l, span(since+600, t0-day), expired...)
	for _, task := range coverage.Plan(at, []*coverage.Ledger{l}) {
		if task.Need.From < since+3*day {
			t.Errorf("asks again for what is gone: %+v", task)
		}
	}
	// A reading can't claim what was gone when it ended, digests can.
	l.Mark(coverage.Read{Span: span(since, since+4*day), Begun: at, Ended: at + 60})
	wantGaps(t, l, span(since+2*day, since+5*day),
		coverage.Gap{Span: span(since+2*day, since+3*day), Reason: coverage.Expired, Detail: "no permission", At: at},
		coverage.Gap{Span: span(since+3*day, since+3*day+60), Reason: coverage.Failed, Detail: "late", At: at + 1},
		coverage.Gap{Span: span(since+4*day, since+5*day), Reason: coverage.Failed, Detail: "late", At: at + 1})
	l.Verify(span(since, since+5*day))
	wantGaps(t, l, span(since, since+5*day))
}

func TestFailuresCountForOneTry(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	l.Begin(t0)
	l.Fail(l.Promised(), coverage.Denied, strings.Repeat("é", 1000)+"\xff", t0)
	if len(l.LastError) > 600 || !strings.HasPrefix(l.LastError, "denied: é") || l.LastErrorAt != t0 {
		t.Errorf("last error %q at %d", l.LastError, l.LastErrorAt)
	}
	if got := coverage.Plan(t0, []*coverage.Ledger{l}); len(got) == 0 {
		t.Error("a denied stream is not asked again")
	}
	l.Mark(coverage.Read{Span: l.Promised(), Begun: t0, Requests: 1})
	if l.LastError != "" || len(l.Gaps(l.Promised())) > 0 {
		t.Errorf("after it was read: %q, %v", l.LastError, l.Gaps(l.Promised()))
	}
}

func TestRetentionRemoves(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	l.Begin(t0)
	l.Mark(coverage.Read{Span: l.Promised(), Begun: t0})
	l.Invalidate(span(t0-50*day, t0-40*day), coverage.Removed, "", t0+1)
	wantGaps(t, l, l.Promised(), coverage.Gap{Span: span(t0-50*day, t0-40*day), Reason: coverage.Removed, At: t0 + 1})
	for _, task := range coverage.Plan(t0+1, []*coverage.Ledger{l}) {
		if task.Kind == coverage.Backfill {
			t.Errorf("reads again what retention removed: %+v", task)
		}
	}
	// Pending instead is read again.
	l.Invalidate(span(t0-30*day, t0-29*day), coverage.Pending, "", t0+1)
	tasks := coverage.Plan(t0+1, []*coverage.Ledger{l})
	if !slices.ContainsFunc(tasks, func(k coverage.Task) bool {
		return k.Kind == coverage.Backfill && k.Need == span(t0-30*day, t0-29*day)
	}) {
		t.Errorf("tasks %+v", tasks)
	}
}

func TestLateEventsAreMeasured(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	l.Begin(t0)
	l.Mark(coverage.Read{Span: span(t0-100, t0), Begun: t0, Requests: 1, Events: 2, New: []int64{t0 - 50, t0 - 101}})
	if l.Late != 0 {
		t.Errorf("%d late events in a first reading", l.Late)
	}
	l.Mark(coverage.Read{Span: span(t0-100, t0+300), Begun: t0 + 300, Requests: 2, Events: 4, New: []int64{t0 - 40, t0, t0 + 200}})
	if l.Late != 1 || l.LateMax != 340 || l.Requests != 3 || l.Events != 6 {
		t.Errorf("late %d, at most %d; %d requests, %d events", l.Late, l.LateMax, l.Requests, l.Events)
	}
}

func TestStatus(t *testing.T) {
	l := &coverage.Ledger{Stream: sts}
	if s := l.Status(t0); s.LagSeconds != nil || len(s.Gaps) != 0 {
		t.Errorf("never run: %+v", s)
	}
	l.Begin(t0)
	l.Mark(coverage.Read{Span: span(t0-2*day, t0-60), Begun: t0})
	l.Fail(span(t0-3*day, t0-2*day), coverage.NotEnabled, "", t0)
	s := l.Status(t0 + 40)
	if *s.LagSeconds != 100 || len(s.Covered) != 2 || s.Covered[0].Level != coverage.Settled || s.Covered[1].Level != coverage.Collected {
		t.Errorf("%+v", s)
	}
	var reasons []coverage.Reason
	for _, g := range s.Gaps {
		reasons = append(reasons, g.Reason)
	}
	if d := cmp.Diff([]coverage.Reason{coverage.Pending, coverage.NotEnabled, coverage.Pending}, reasons); d != "" {
		t.Error(d)
	}
}

func FuzzDecode(f *testing.F) {
	l := &coverage.Ledger{Stream: sts}
	f.Add(l.Encode())
	l.Begin(t0)
	l.Mark(coverage.Read{Span: span(t0-2*day, t0-60), Begun: t0, Requests: 3, Events: 70, New: []int64{t0 - 70}})
	l.Fail(span(t0-3*day, t0), coverage.Denied, "x", t0)
	l.Verify(span(t0-50*day, t0-40*day))
	f.Add(l.Encode())
	for _, bad := range []string{
		``, `null`, `{}`, `{"v":2}`, `{"v":1,"covered":[[5,5,1]]}`, `{"v":1,"covered":[[1,5,9]]}`, `{"v":1,"covered":[[1,5,1],[4,6,2]]}`,
		`{"v":1,"covered":[[1,5,1],[5,6,1]]}`, `{"v":1,"notes":[{"from":1,"to":2,"reason":"?"}]}`, `{"v":1,"since":-1}`,
		`{"v":1,"covered":[[1,5,1]],"notes":[{"from":4,"to":6,"reason":"denied"}]}`, `{"v":1,"covered":[[1,9223372036854775807,1]]}`,
		`{"v":1,"notes":[{"from":1,"to":2,"reason":"pending"}]}`, `{"v":1,"counts":{"rate":-5}}`, `{"v":1,"covered":[[1,5,257]]}`,
	} {
		if _, err := coverage.Decode(sts, []byte(bad)); err == nil || !strings.Contains(err.Error(), sts.String()) {
			f.Errorf("decoded %s: %v", bad, err)
		}
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := coverage.Decode(sts, data)
		if err != nil {
			return
		}
		again, err := coverage.Decode(sts, l.Encode())
		if err != nil || !again.Equal(l) {
			t.Fatalf("%s decodes to %s, error %v", data, l.Encode(), err)
		}
		// Whatever it holds can be worked with.
		l.Begin(t0)
		l.Mark(coverage.Read{Span: span(t0-100, t0), Begun: t0, Requests: 1, Events: 5, New: []int64{t0 - 50}})
		coverage.Plan(t0, []*coverage.Ledger{l})
		l.Status(t0)
		l.Invalidate(span(t0-50*day, t0), coverage.Pending, "", t0)
		if _, err := coverage.Decode(sts, l.Encode()); err != nil {
			t.Fatal(err)
		}
	})
}

// A stream in which nothing can happen any more leaves no gap after its end, one up
// to it if that was not read, and none of it is forgotten when it is owed again.
func TestEnd(t *testing.T) {
	l := &coverage.Ledger{}
	l.End(t0, "never read")
	if l.Ended != 0 {
		t.Fatal("a stream that was never read has ended")
	}
	l.Begin(t0)
	l.Mark(coverage.Read{Span: coverage.Span{From: t0 - 90*day, To: t0}, Begun: t0})
	l.End(t0+hour, "the region is no longer enabled")
	l.End(t0+2*hour, "again")
	for name, c := range map[string]struct {
		window coverage.Span
		gaps   int
	}{
		"over it":  {coverage.Span{From: t0 - day, To: t0 + 30*day}, 1},
		"up to it": {coverage.Span{From: t0 - day, To: t0}, 0},
		"after it": {coverage.Span{From: t0 + day, To: t0 + 30*day}, 0},
	} {
		gaps := coverage.AnswerGaps([]*coverage.Ledger{l}, c.window, coverage.Filter{})
		if len(gaps) != c.gaps {
			t.Errorf("%s: %+v", name, gaps)
		}
		for _, g := range gaps {
			if g.From.Unix() != t0 || g.To.Unix() != t0+hour || g.Reason != coverage.NotEnabled || g.Detail != "the region is no longer enabled" {
				t.Errorf("%s: %+v", name, g)
			}
		}
	}
	if level := coverage.Lowest([]*coverage.Ledger{l}, coverage.Span{From: t0 + day, To: t0 + 30*day}, coverage.Filter{}); level != coverage.Verified {
		t.Errorf("what has ended lowers the level to %v", level)
	}
	same, err := coverage.Decode(l.Stream, l.Encode())
	if err != nil || !same.Equal(l) || same.Ended != t0+hour || same.EndedWhy != l.EndedWhy {
		t.Fatalf("%+v, %v", same, err)
	}
	if s := l.Status(t0 + 30*day); s.LagSeconds != nil || s.Ended == nil || s.Ended.Unix() != t0+hour || s.EndedWhy == "" || len(s.Gaps) != 1 {
		t.Errorf("status: %+v", s)
	}
	l.Begin(t0 + 30*day)
	gaps := coverage.AnswerGaps([]*coverage.Ledger{l}, coverage.Span{From: t0 - day, To: t0 + 30*day}, coverage.Filter{})
	if len(gaps) != 2 || gaps[1].To.Unix() != t0+30*day || l.Ended != 0 || l.Status(t0+30*day).Ended != nil {
		t.Errorf("owed again: %+v", gaps)
	}
	var planned int64
	for _, task := range coverage.Plan(t0+30*day, []*coverage.Ledger{l}) {
		planned += task.Need.Len()
	}
	if planned < 30*day {
		t.Errorf("owed again, %d seconds are planned", planned)
	}
}
