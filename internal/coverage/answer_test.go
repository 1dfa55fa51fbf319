package coverage_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

var begins = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Unix()

// world is two accounts with iam and sts in four regions, all read but for what
// change does before.
func world(change func(l *coverage.Ledger)) (ledgers []*coverage.Ledger) {
	for _, account := range []string{"111122223333", "444455556666"} {
		p := coverage.Place{AccountID: account, Global: "us-east-1", Regions: []string{"eu-west-1", "eu-west-3", "us-east-1", "us-west-2"}}
		for _, s := range coverage.Streams(p, []string{"iam", "sts"}) {
			l := &coverage.Ledger{Stream: s}
			l.Begin(begins)
			l.Mark(coverage.Read{Span: l.Promised(), Begun: begins})
			change(l)
			ledgers = append(ledgers, l)
		}
	}
	return ledgers
}

func lines(ledgers []*coverage.Ledger, window coverage.Span, f coverage.Filter, o coverage.LineOptions) []string {
	return coverage.Lines(coverage.AnswerGaps(ledgers, window, f), ledgers, o)
}

func TestLines(t *testing.T) {
	days := func(from, to int64) coverage.Span { return span(begins-12*hour-from*day, begins-12*hour-to*day) }
	lose := func(l *coverage.Ledger, s coverage.Span, reason coverage.Reason, detail string) {
		l.Invalidate(s, reason, detail, begins)
	}
	window := span(begins-80*day, begins)
	name := coverage.LineOptions{Name: func(id string) string {
		if id == "111122223333" {
			return "prod"
		}
		return ""
	}}
	for _, c := range []struct {
		name   string
		change func(l *coverage.Ledger)
		window coverage.Span
		filter coverage.Filter
		want   []string
	}{
		{"nothing", func(*coverage.Ledger) {}, window, coverage.Filter{}, nil},
		{"one stream", func(l *coverage.Ledger) {
			if l.Stream.Region == "eu-west-3" && l.Stream.AccountID == "111122223333" {
				lose(l, days(20, 12), coverage.Denied, "")
			}
		}, window, coverage.Filter{}, []string{"prod (111122223333) eu-west-3 sts: 2026-11-02 to 2026-11-10 not collected: access denied"}},
		{"all streams", func(l *coverage.Ledger) { lose(l, span(begins-600, begins), coverage.Pending, "") }, window, coverage.Filter{},
			[]string{"all 10 streams: 2026-11-22 11:50 to 2026-11-22 12:00 not collected yet"}},
		{"a source in all regions", func(l *coverage.Ledger) {
			if l.Stream.Source == "sts.amazonaws.com" {
				lose(l, days(3, 2), coverage.Failed, "no connection")
			}
		}, window, coverage.Filter{}, []string{"prod (111122223333), 444455556666 eu-west-1, eu-west-3, us-east-1, us-west-2 sts: 2026-11-19 to 2026-11-20 not collected: no connection"}},
		{"streams that have nothing in common", func(l *coverage.Ledger) {
			if l.Stream.Region == "us-east-1" || l.Stream.Region == "us-west-2" {
				lose(l, days(3, 2), coverage.Removed, "")
			}
		}, window, coverage.Filter{Accounts: []string{"444455556666"}}, []string{
			"444455556666 us-east-1 iam, sts: 2026-11-19 to 2026-11-20 removed by retention (lake_days)",
			"444455556666 us-west-2 sts: 2026-11-19 to 2026-11-20 removed by retention (lake_days)",
		}},
		{"a region of one account, and the other account", func(l *coverage.Ledger) {
			if l.Stream.AccountID == "444455556666" || l.Stream.Region == "us-east-1" {
				lose(l, days(3, 2), coverage.Denied, "")
			}
		}, window, coverage.Filter{}, []string{
			"444455556666 all 5 streams: 2026-11-19 to 2026-11-20 not collected: access denied",
			"prod (111122223333) us-east-1 iam, sts: 2026-11-19 to 2026-11-20 not collected: access denied",
		}},
		{"other streams and other times", func(l *coverage.Ledger) {
			if l.Stream.Region != "us-west-2" {
				lose(l, days(3, 2), coverage.NotEnabled, "")
			}
		}, window, coverage.Filter{Regions: []string{"us-west-2"}, Sources: []string{"sts"}}, nil},
		{"outside of the window", func(l *coverage.Ledger) { lose(l, days(3, 2), coverage.Pending, "") }, days(2, 1), coverage.Filter{}, nil},
		{"before everything", func(l *coverage.Ledger) {}, span(0, begins), coverage.Filter{Sources: []string{"iam.amazonaws.com"}},
			[]string{"prod (111122223333), 444455556666 us-east-1 iam: before 2026-08-24 12:00 not collected: more than 90 days old when collection began"}},
		{"bounds are rounded outwards", func(l *coverage.Ledger) {
			if l.Stream.Source == "iam.amazonaws.com" {
				lose(l, span(begins-100-int64(l.Stream.AccountID[0]-'0'), begins-20), coverage.Expired, "denied")
			}
		}, window, coverage.Filter{}, []string{"prod (111122223333), 444455556666 us-east-1 iam: 2026-11-22 11:58 to 2026-11-22 12:00 not collected, and gone from CloudTrail after 90 days: denied"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, lines(world(c.change), c.window, c.filter, name)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestLinesAreFew(t *testing.T) {
	ledgers := world(func(l *coverage.Ledger) {
		for i := range int64(20) {
			l.Invalidate(span(begins-(i+2)*day, begins-(i+2)*day+(i+1)*60), coverage.Pending, "", begins)
		}
	})
	got := lines(ledgers, span(begins-80*day, begins), coverage.Filter{}, coverage.LineOptions{Max: 3})
	want := []string{
		"all 10 streams: 2026-11-01 12:00 to 2026-11-01 12:20 not collected yet",
		"all 10 streams: 2026-11-02 12:00 to 2026-11-02 12:19 not collected yet",
		"18 more gaps: iamtrack status shows all",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAnswerGapsJSON(t *testing.T) {
	ledgers := world(func(*coverage.Ledger) {})[:1]
	out, err := json.Marshal(coverage.AnswerGaps(ledgers, span(0, begins+901), coverage.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"account_id":"111122223333","aws_region":"eu-west-1","event_source":"sts.amazonaws.com","to":"2026-08-24T12:00:00Z","reason":"expired","detail":"more than 90 days old when collection began"},` +
		`{"account_id":"111122223333","aws_region":"eu-west-1","event_source":"sts.amazonaws.com","from":"2026-11-22T12:00:00Z","to":"2026-11-22T12:15:01Z","reason":"pending"}]`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLowest(t *testing.T) {
	ledgers := world(func(*coverage.Ledger) {})
	all := coverage.Filter{}
	if got := coverage.AnswerGaps(ledgers, span(begins-day, begins+900), all); len(got) != 0 {
		t.Errorf("within 15 minutes of the last run: %v", got)
	}
	if got := coverage.Lowest(ledgers, span(begins-day, begins+900), all); got != coverage.Collected {
		t.Errorf("within 15 minutes of the last run: %v", got)
	}
	for want, s := range map[coverage.Level]coverage.Span{
		coverage.None: span(begins-91*day, begins), coverage.Collected: span(begins-2*day, begins), coverage.Settled: span(begins-9*day, begins-2*day),
	} {
		if got := coverage.Lowest(ledgers, s, all); got != want {
			t.Errorf("%v: %v, want %v", s, got, want)
		}
	}
}
