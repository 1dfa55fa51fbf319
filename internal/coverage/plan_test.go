package coverage_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

func begun(now int64, sources ...string) (ledgers []*coverage.Ledger) {
	for _, s := range coverage.Streams(coverage.Place{AccountID: "1", Global: "us-east-1", Regions: []string{"us-east-1"}, IdentityCenter: []string{"us-east-1"}}, sources) {
		l := &coverage.Ledger{Stream: s}
		l.Begin(now)
		ledgers = append(ledgers, l)
	}
	return ledgers
}

func TestPlanOrder(t *testing.T) {
	ledgers := begun(t0, "sts", "sso", "iam", "kms", "signin", "cloudtrail")
	var got []string
	for _, task := range coverage.Plan(t0, ledgers) {
		got = append(got, [...]string{"newest ", "expiring ", "reread ", "backfill "}[task.Kind]+task.Stream.Source[:3])
	}
	want := []string{}
	for _, kind := range []string{"newest ", "expiring ", "backfill "} {
		for _, s := range []string{"sig", "iam", "sso", "clo", "kms", "sts"} {
			want = append(want, kind+s)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

// A stream that was never read is first asked for all, in one request if it is
// empty; of a dense one only the newest day is needed at first.
func TestPlanFirstReading(t *testing.T) {
	l := begun(t0, "sts")[0]
	ledgers := []*coverage.Ledger{l}
	want := []coverage.Task{
		{Stream: l.Stream, Kind: coverage.Newest, Span: span(t0-90*day, t0), Need: span(t0-day, t0)},
		{Stream: l.Stream, Kind: coverage.Expiring, Span: span(t0-90*day, t0-89*day), Need: span(t0-90*day, t0-89*day)},
		{Stream: l.Stream, Kind: coverage.Backfill, Span: span(t0-89*day, t0-day), Need: span(t0-89*day, t0-day)},
	}
	if d := cmp.Diff(want, coverage.Plan(t0, ledgers)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	empty := newCloud(1, t0-90*day, t0, 0, 0)
	empty.run(l, t0)
	if empty.requests != 1 || len(coverage.Plan(t0, ledgers)) != 0 {
		t.Errorf("an empty stream took %d requests, and then %+v", empty.requests, coverage.Plan(t0, ledgers))
	}

	l = begun(t0, "sts")[0]
	dense := newCloud(1, t0-90*day, t0, 60, 0)
	dense.run(l, t0)
	if most := len(dense.at)/50*105/100 + 12; dense.requests > most {
		t.Errorf("%d events took %d requests, more than %d", len(dense.at), dense.requests, most)
	}
	if level := l.Level(span(t0-90*day, t0-day)); level != coverage.Settled {
		t.Errorf("what was old when it was read is %v", level)
	}
	if slices.Contains(dense.stored, false) {
		t.Error("events were not found")
	}
}

// Re-reads come after 10 minutes and 1 hour, free for a sparse stream, and after
// 24 hours for any.
func TestRereads(t *testing.T) {
	l := begun(t0, "sts")[0]
	c := newCloud(1, t0-90*day, t0+4*day, 1, 0)
	c.run(l, t0)
	last := int64(t0)
	for _, after := range []int64{10 * 60, hour, day} {
		now := t0 + after
		l.Begin(now)
		tasks := coverage.Plan(now, []*coverage.Ledger{l})
		// All that was not a day old at the last run has something to gain.
		if len(tasks) == 0 || tasks[0].Kind != coverage.Newest || tasks[0].Span != span(last-day, now) {
			t.Errorf("after %ds: %+v", after, tasks)
		}
		c.run(l, now)
		last = now
	}
	now := int64(t0 + 2*day)
	c.run(l, now)
	c.run(l, now+day+1)
	if level := l.Level(span(t0-90*day, t0+day)); level != coverage.Settled {
		t.Errorf("level %v", level)
	}
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap := span(t0+rapid.Int64Range(0, 3*day).Draw(t, "from"), t0+rapid.Int64Range(-5, 90*day).Draw(t, "to"))
		seen := rapid.Int64Range(0, 1_000_000).Draw(t, "seen")
		read := span(0, rapid.Int64Range(-5, 2*day).Draw(t, "read"))
		slices := coverage.Split(gap, seen, read)
		to := gap.To
		for i, s := range slices {
			if s.To != to || s.Empty() {
				t.Fatalf("slice %d of %v is %v", i, gap, s)
			}
			if s.From != gap.From && s.From%hour != 0 {
				t.Fatalf("slice %v of %v begins within an hour", s, gap)
			}
			if seen > 0 && !read.Empty() && s.Len() > hour && s.Len()*seen/read.Len() > 2000 {
				t.Fatalf("slice %v: about %d events", s, s.Len()*seen/read.Len())
			}
			to = s.From
		}
		if !gap.Empty() && to != gap.From {
			t.Fatalf("%v is covered down to %d", gap, to)
		}
	})
	if got := coverage.Split(span(t0, t0+60*day), 50, span(0, 60*day)); len(got) != 1 {
		t.Errorf("a thin gap is split: %v", got)
	}
}

func TestStreams(t *testing.T) {
	p := coverage.Place{AccountID: "1", Global: "us-east-1", Regions: []string{"eu-west-1", "us-east-1"}, IdentityCenter: []string{"eu-west-1"}}
	var got []string
	for _, s := range coverage.Streams(p, nil) {
		got = append(got, s.String())
		if back, err := coverage.ParseStream(s.String()); err != nil || back != s {
			t.Errorf("%s parses as %v, error %v", s, back, err)
		}
	}
	want := []string{
		"1/eu-west-1/cloudtrail.amazonaws.com", "1/eu-west-1/identitystore.amazonaws.com", "1/eu-west-1/signin.amazonaws.com",
		"1/eu-west-1/sso-directory.amazonaws.com", "1/eu-west-1/sso-oauth.amazonaws.com", "1/eu-west-1/sso.amazonaws.com", "1/eu-west-1/sts.amazonaws.com",
		"1/us-east-1/cloudtrail.amazonaws.com", "1/us-east-1/iam.amazonaws.com", "1/us-east-1/organizations.amazonaws.com",
		"1/us-east-1/signin.amazonaws.com", "1/us-east-1/sts.amazonaws.com",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	china := coverage.Streams(coverage.Place{AccountID: "1", Global: "cn-north-1", Regions: []string{"cn-north-1"}}, []string{"iam", "organizations", "sso", "iam"})
	if len(china) != 3 {
		t.Errorf("in China: %v", china)
	}
	for _, bad := range []string{"", "a/b", "a/b/c/d", "a//c"} {
		if _, err := coverage.ParseStream(bad); err == nil {
			t.Errorf("%q is a stream", bad)
		}
	}
}
