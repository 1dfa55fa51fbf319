package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/store"
)

// unread is a stretch that a run could not read.
type unread struct {
	from, to time.Time
	reason   coverage.Reason
	detail   string
}

// collected notes in a store that a run at that time read a stream, but for some
// stretches.
func collected(dir, stream string, at time.Time, gaps ...unread) error {
	name, err := coverage.ParseStream(stream)
	if err != nil {
		return err
	}
	s, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "iamtrack.db"), store.SQLiteOptions{})
	if err != nil {
		return err
	}
	err = s.UpdateStream(context.Background(), name, func(l *coverage.Ledger) error {
		now := at.Unix()
		l.Begin(now)
		from := l.Since
		for _, g := range gaps {
			l.Mark(coverage.Read{Span: coverage.Span{From: from, To: g.from.Unix()}, Begun: now})
			from = g.to.Unix()
		}
		l.Mark(coverage.Read{Span: coverage.Span{From: from, To: now}, Begun: now, Requests: 3, Events: 4})
		for _, g := range gaps {
			if g.reason != coverage.Pending {
				l.Fail(coverage.SpanOf(g.from, g.to), g.reason, g.detail, now)
			}
		}
		return nil
	})
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// scriptLedger: ledger STREAM TIME [FROM TO REASON DETAIL]… notes what a run read.
func scriptLedger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args)%4 != 2 {
		ts.Fatalf("usage: ledger STREAM TIME [FROM TO REASON DETAIL]…")
	}
	at := func(text string) time.Time {
		t, err := time.Parse(time.RFC3339, text)
		ts.Check(err)
		return t
	}
	var gaps []unread
	for rest := args[2:]; len(rest) > 0; rest = rest[4:] {
		gaps = append(gaps, unread{at(rest[0]), at(rest[1]), coverage.Reason(rest[2]), rest[3]})
	}
	ts.Check(collected(ts.Getenv("IAMTRACK_DATA_DIR"), args[0], at(args[1]), gaps...))
}

// scriptAccount: account ID NAME notes how an account is called.
func scriptAccount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: account ID NAME")
	}
	s, err := store.OpenSQLite(context.Background(), filepath.Join(ts.Getenv("IAMTRACK_DATA_DIR"), "iamtrack.db"), store.SQLiteOptions{})
	ts.Check(err)
	err = s.PutAccountNames(context.Background(), []store.AccountName{{AccountID: args[0], Name: args[1], Source: "test", Seen: time.Unix(1, 0)}})
	ts.Check(s.Close())
	ts.Check(err)
}

// One hour that was not collected: every command, in every format, says so when
// the hour touches what it was asked for, and nothing of the kind when it doesn't.
func TestOneHourMissing(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	dir := filepath.Join(t.TempDir(), "data")
	ask := func(t *testing.T, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: func() time.Time { return now },
			lookupEnv: func(name string) (string, bool) {
				v, ok := map[string]string{"HOME": dir, "USERPROFILE": dir}[name]
				return v, ok
			},
		}
		if code := run(t.Context(), e, append([]string{"--data-dir", dir}, args...)); code != 0 {
			t.Fatalf("%q: exit code %d\n%s", args, code, errs.String())
		}
		return out.String(), errs.String()
	}
	ask(t, "import", "testdata/trail")
	out, _ := ask(t, "alerts", "list", "--rule", "root-console-login", "--format", "json")
	var alerts []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out), &alerts); err != nil || len(alerts) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	commands := map[string]struct {
		args, elsewhere []string // elsewhere: the same about other times or streams
		array           bool     // rows, which --coverage makes an object
	}{
		"events":               {[]string{"events"}, nil, true},
		"events, time":         {[]string{"events", "--since", "2026-11-20"}, []string{"events", "--since", "2026-11-20", "--until", "2026-11-21"}, true},
		"events, end":          {[]string{"events", "--until", "2026-11-21T10:00:01Z"}, []string{"events", "--until", "2026-11-21T10:00:00Z"}, true},
		"events, start":        {[]string{"events", "--since", "2026-11-21T10:59:59Z"}, []string{"events", "--since", "2026-11-21T11:00:00Z"}, true},
		"events, region":       {[]string{"events", "--region", "eu-*,us-west-1"}, []string{"events", "--region", "us-east-1"}, true},
		"events, account":      {[]string{"events", "--account", "111122223333"}, []string{"events", "--account", "444455556666"}, true},
		"events, source":       {[]string{"events", "--event-source", "sts"}, []string{"events", "--event-source", "iam.amazonaws.com"}, true},
		"events, category":     {[]string{"events", "--category", "sts"}, []string{"events", "--category", "iam"}, true},
		"alerts list":          {[]string{"alerts", "list"}, []string{"alerts", "list", "--since", "2026-11-22"}, true},
		"alerts list, account": {[]string{"alerts", "list", "--account", "111122223333"}, []string{"alerts", "list", "--account", "444455556666"}, true},
		"alerts show":          {[]string{"alerts", "show", alerts[0].ID}, nil, false},
		"query":                {[]string{"query", "root_usage"}, []string{"query", "root_usage", "--until", "2026-11-21"}, true},
		"query, later":         {[]string{"query", "root_usage", "--since", "2026-11-21"}, []string{"query", "root_usage", "--since", "2026-11-22"}, true},
		"query, baseline":      {[]string{"query", "new_actors", "--since", "2026-11-22"}, nil, true}, // what is new rests on the time before
		"query without rows":   {[]string{"query", "sso_account_assignments"}, []string{"query", "sso_account_assignments", "--since", "2026-11-21T11:00:00Z"}, true},
		"sql":                  {[]string{"sql", "SELECT 1 AS one"}, nil, true},
		"who":                  {[]string{"who", "CreateUser"}, nil, false}, // on whom sts tells
		"timeline":             {[]string{"timeline", "alice"}, []string{"timeline", "alice", "--until", "2026-11-21T10:00:00Z"}, false},
		"trace":                {[]string{"trace", "AKIAEXAMPLEALICE0001"}, nil, false},
		"export":               {[]string{"export"}, nil, false},
		"status":               {[]string{"status"}, nil, false},
	}
	// A range may touch only a part of the hour.
	sentence := regexp.MustCompile(`eu-west-3 sts: 2026-11-21 10:\d\d to 2026-11-21 1[01]:\d\d not collected: access denied`)
	says := func(t *testing.T, want bool, args ...string) {
		t.Helper()
		for _, format := range []string{"table", "json", "csv", "markdown"} {
			stdout, stderr := ask(t, append(slices.Clone(args), "--format", format, "--quiet")...)
			all := strings.NewReplacer(`\`, "", `"`, "").Replace(stdout + stderr)
			words := sentence.MatchString(all)
			field := strings.Contains(strings.Join(strings.Fields(all), ""), "from:2026-11-21T10:00:00Z,to:2026-11-21T11:00:00Z,reason:denied")
			if (words || field) != want {
				t.Errorf("%q as %s: it says so: %v, want %v\n%s\n%s", args, format, words || field, want, stdout, stderr)
			}
			if format == "json" {
				if err := json.Unmarshal([]byte(stdout), new(any)); err != nil {
					t.Errorf("%q: stdout is not JSON: %v\n%s", args, err, stdout)
				}
			}
			if programs := format == "json" || format == "csv"; want && words && (strings.Contains(stdout, "missing") == programs) {
				t.Errorf("%q as %s: the line is in the wrong place:\n%s\nstandard error:\n%s", args, format, stdout, stderr)
			}
		}
	}

	// Imported files claim nothing, so nothing is missing.
	for _, c := range commands {
		says(t, false, c.args...)
		if stdout, stderr := ask(t, c.args...); strings.Contains(stdout+stderr, "missing") || strings.Contains(stderr, "collected until") {
			t.Errorf("%q speaks of coverage:\n%s\n%s", c.args, stdout, stderr)
		}
	}

	hour := unread{time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC), coverage.Denied, "access denied"}
	for stream, gaps := range map[string][]unread{
		"111122223333/us-east-1/iam.amazonaws.com": nil, "111122223333/us-east-1/sts.amazonaws.com": nil,
		"111122223333/eu-west-3/sts.amazonaws.com": {hour}, "111122223333/eu-west-3/signin.amazonaws.com": nil,
	} {
		if err := collected(dir, stream, now.Add(-5*time.Minute), gaps...); err != nil {
			t.Fatal(err)
		}
	}
	if err := collected(dir, "444455556666/us-east-1/sts.amazonaws.com", now.Add(-5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	// With two accounts a line names the account.
	for name, c := range commands {
		t.Run(name, func(t *testing.T) {
			says(t, true, c.args...)
			if c.elsewhere != nil {
				says(t, false, c.elsewhere...)
			}
			if !c.array {
				return
			}
			array, _ := ask(t, append(slices.Clone(c.args), "--format", "json")...)
			both, stderr := ask(t, append(slices.Clone(c.args), "--format", "json", "--coverage")...)
			var v struct {
				Coverage struct {
					Collected   bool                 `json:"collected"`
					Until       *time.Time           `json:"until"`
					Provisional *time.Time           `json:"provisional_from"`
					Gaps        []coverage.StreamGap `json:"gaps"`
				} `json:"coverage"`
				Rows json.RawMessage `json:"rows"`
			}
			if err := json.Unmarshal([]byte(both), &v); err != nil {
				t.Fatalf("%v\n%s", err, both)
			}
			if strings.TrimSpace(string(v.Rows)) != strings.TrimSpace(array) {
				t.Errorf("the rows are %s, want %s", v.Rows, array)
			}
			want := []coverage.StreamGap{{
				Stream: coverage.Stream{AccountID: "111122223333", Region: "eu-west-3", Source: "sts.amazonaws.com"},
				From:   hour.from, To: hour.to, Reason: coverage.Denied, Detail: "access denied",
			}}
			for i := range v.Coverage.Gaps {
				v.Coverage.Gaps[i].From, v.Coverage.Gaps[i].To = v.Coverage.Gaps[i].From.Truncate(time.Hour), v.Coverage.Gaps[i].To.Add(time.Hour-1).Truncate(time.Hour)
			}
			if !v.Coverage.Collected || !slices.Equal(v.Coverage.Gaps, want) {
				t.Errorf("coverage is %+v", v.Coverage)
			}
			if strings.Contains(stderr, "missing") {
				t.Errorf("it is said twice:\n%s", stderr)
			}
		})
	}
	t.Run("parquet", func(t *testing.T) {
		for _, args := range [][]string{{"query", "root_usage"}, {"sql", "SELECT 1 AS one"}} {
			file := filepath.Join(t.TempDir(), "rows.parquet")
			if _, stderr := ask(t, append(args, "--format", "parquet", "-o", file, "--quiet")...); !sentence.MatchString(stderr) {
				t.Errorf("%q: standard error has %q", args, stderr)
			}
		}
	})
}

// The time of an answer without --since begins with collection; a run that ended
// some minutes ago is no gap, one of long ago is.
func TestAnswerCoverage(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	l := &coverage.Ledger{Stream: coverage.Stream{AccountID: "111122223333", Region: "us-east-1", Source: "iam.amazonaws.com"}}
	l.Begin(start.Unix())
	l.Mark(coverage.Read{Span: coverage.Span{From: l.Since, To: start.Unix()}, Begun: start.Unix()})
	c := &covered{ledgers: []*coverage.Ledger{l}, names: map[string]string{"111122223333": "prod"}}
	day := 24 * time.Hour
	for _, test := range []struct {
		name  string
		after time.Duration // since the run
		q     question
		lines string
	}{
		{"no range", 5 * time.Minute, question{}, ""},
		{"much later", 2 * day, question{}, "[us-east-1 iam: 2026-11-22 12:00 to 2026-11-24 12:00 not collected yet]"},
		{"much later, of a time before", 2 * day, question{until: start}, ""},
		{"before collection", 0, question{since: start.Add(-100 * day)}, "[us-east-1 iam: 2026-08-14 12:00 to 2026-08-24 12:00 not collected: more than 90 days old when collection began]"},
		{"look-back before collection", 0, question{back: start.Add(-100 * day)}, ""},
		{"baseline before collection", 0, question{since: start.Add(-day), back: start.Add(-100 * day)}, ""},
		{"baseline before collection, and the range too", 0, question{since: start.Add(-91 * day), back: start.Add(-100 * day)},
			"[us-east-1 iam: 2026-08-23 12:00 to 2026-08-24 12:00 not collected: more than 90 days old when collection began]"},
		{"the future", 0, question{since: start.Add(day)}, ""},
		{"streams that nobody collects", 0, question{streams: func(coverage.Stream) bool { return false }},
			"[nothing that was asked for is collected: only imported files tell of it]"},
	} {
		e := &env{now: func() time.Time { return start.Add(test.after) }}
		v := c.answer(e, test.q)
		if got := strings.Trim(fmt.Sprint(v.lines), " "); got != cmp.Or(test.lines, "[]") {
			t.Errorf("%s: the lines are %s, want %s", test.name, got, test.lines)
		}
		if (len(v.Gaps) > 0) != strings.Contains(test.lines, "iam:") {
			t.Errorf("%s: gaps %v", test.name, v.Gaps)
		}
	}
	v := c.answer(&env{now: func() time.Time { return start.Add(5 * time.Minute) }}, question{})
	if v.Until == nil || !v.Until.Equal(start) {
		t.Errorf("collected until %v, want %v", v.Until, start)
	}
	if v.Provisional == nil || v.Provisional.Before(start.Add(-2*day)) || !v.Provisional.Before(start) {
		t.Errorf("provisional from %v", v.Provisional)
	}
	if v := c.answer(&env{now: func() time.Time { return start }}, question{until: start.Add(-10 * day)}); v.Until != nil || v.Provisional != nil {
		t.Errorf("of ten days ago: %+v", v)
	}
}

// Status tells what was sent, and what is still to be.
func TestStatusMessages(t *testing.T) {
	e := &env{now: time.Now, stdout: &bytes.Buffer{}, lookupEnv: func(string) (string, bool) { return "", false }}
	page := e.newPage()
	e.statusMessages(page, &app.Status{Unrouted: 3})
	if page.String() != "" {
		t.Errorf("without a message: %q", page)
	}
	e.statusMessages(page, &app.Status{Unrouted: 3, Messages: map[string]map[string]int64{
		"sns": {store.MessageGaveUp: 1}, "chat\x1b": {store.MessageSent: 1200, store.MessagePending: 2, store.MessageDropped: 4},
	}})
	want := "\nMessages\n  chat\\x1b      2 pending, 1,200 sent, 4 dropped\n  sns           1 gave up\n  to come       of 3 alerts\n"
	if page.String() != want {
		t.Errorf("got %q, want %q", page, want)
	}
}

// An account that could never be asked has no stream, and no ledger: answers tell
// of it all the same, as long as collection is to read it.
func TestUnreadAccounts(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	s := store.OpenMem()
	seen := func(id, name, source string, ago time.Duration) {
		t.Helper()
		if err := s.PutAccountNames(t.Context(), []store.AccountName{{AccountID: id, Name: name, Source: source, Seen: now.Add(-ago)}}); err != nil {
			t.Fatal(err)
		}
	}
	seen("111122223333", "prod", app.ToCollect, 0)
	seen("444455556666", "dev", app.ToCollect, time.Second)
	seen("777788889999", "777788889999", app.ToCollect, 6*24*time.Hour)
	seen("012345678901", "left out since", app.ToCollect, 8*24*time.Hour)
	seen("222222222222", "named only", "test", 0)
	read := coverage.Stream{AccountID: "111122223333", Region: "eu-west-3", Source: "sts.amazonaws.com"}
	if err := s.UpdateStream(t.Context(), read, func(l *coverage.Ledger) error {
		l.Begin(now.Unix())
		l.Mark(coverage.Read{Span: l.Promised(), Begun: now.Unix(), Ended: now.Unix()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	e := &env{now: func() time.Time { return now.Add(time.Minute) }}
	c, err := e.readCovered(t.Context(), &app.App{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		filter query.EventFilter
		want   []string
	}{
		"everything":       {query.EventFilter{}, []string{"444455556666", "777788889999"}},
		"an account":       {query.EventFilter{Accounts: []string{"444455556666"}}, []string{"444455556666"}},
		"another account":  {query.EventFilter{Accounts: []string{"111122223333"}}, nil},
		"a region of ours": {query.EventFilter{Regions: []string{"eu-west-3"}}, []string{"444455556666", "777788889999"}},
		"sign-ins":         {query.EventFilter{Categories: []string{"signin"}}, []string{"444455556666", "777788889999"}},
	} {
		v := c.answer(e, question{streams: eventStreams(&test.filter)})
		var got []string
		for _, g := range v.Gaps {
			got = append(got, g.AccountID)
		}
		if !slices.Equal(got, test.want) || len(v.lines) != len(got) {
			t.Errorf("%s: got %q, want %q: %q", name, got, test.want, v.lines)
		}
	}
	v := c.answer(e, question{})
	if want := "dev (444455556666): not collected: no run has read anything of the account, `iamtrack collect` says why"; v.lines[0] != want {
		t.Errorf("got %q, want %q", v.lines[0], want)
	}
	e.config.Zone = time.UTC
	page := e.newPage()
	e.statusStreams(page, c)
	if !strings.Contains(page.String(), "dev (444455556666): not collected") || strings.Contains(page.String(), "left out") {
		t.Errorf("status:\n%s", page)
	}
}

// A stream that has ended is in status, with the reason, and in no gap or lag.
func TestEndedStream(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := &covered{}
	for _, region := range []string{"eu-south-1", "eu-west-3"} {
		l := &coverage.Ledger{Stream: coverage.Stream{AccountID: "111122223333", Region: region, Source: "sts.amazonaws.com"}}
		begun := now.AddDate(0, 0, -30).Unix()
		if region == "eu-west-3" {
			begun = now.Unix()
		}
		l.Begin(begun)
		l.Mark(coverage.Read{Span: l.Promised(), Begun: begun, Ended: begun})
		if region == "eu-south-1" {
			l.End(begun, "the region is no longer enabled\x1b")
		}
		c.ledgers = append(c.ledgers, l)
	}
	e := &env{now: func() time.Time { return now }}
	e.config.Zone = time.UTC
	v := c.answer(e, question{since: now.AddDate(0, 0, -7)})
	if len(v.Gaps) != 0 || v.Until != nil {
		t.Errorf("%+v", v)
	}
	page := e.newPage()
	e.statusStreams(page, c)
	text := page.String()
	if !strings.Contains(text, "111122223333 eu-south-1 sts: no longer collected since 2026-10-23 12:00") ||
		!strings.Contains(text, "the region is no longer enabled") || strings.Contains(text, "\x1b") || strings.Contains(text, "30 days") {
		t.Errorf("status:\n%s", text)
	}
}

// The oldest events leave while a first run reads: what is lost of its first
// seconds is no gap.
func TestFirstSecondsAreNoGap(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Unix()
	s := store.OpenMem()
	name := coverage.Stream{AccountID: "111122223333", Region: "us-east-1", Source: "iam.amazonaws.com"}
	if err := s.UpdateStream(t.Context(), name, func(l *coverage.Ledger) error {
		l.Begin(start)
		l.Mark(coverage.Read{Span: coverage.Span{From: l.Since, To: start}, Begun: start, Ended: start + 9})
		if len(l.Gaps(l.Promised())) != 1 {
			return errors.New("it took no time")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	e := &env{now: func() time.Time { return time.Unix(start+20, 0) }}
	c, err := e.readCovered(t.Context(), &app.App{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	if v := c.answer(e, question{}); len(v.Gaps) != 0 || len(v.lines) != 0 || !v.Collected {
		t.Errorf("the answer lacks %v: %q", v.Gaps, v.lines)
	}
}

// The streams of an answer are those whose events the filter lets through.
func TestEventStreams(t *testing.T) {
	s := coverage.Stream{AccountID: "111122223333", Region: "eu-west-3", Source: "sso-directory.amazonaws.com"}
	for _, test := range []struct {
		f    query.EventFilter
		want bool
	}{
		{query.EventFilter{}, true},
		{query.EventFilter{Actors: []string{"alice"}}, true},
		{query.EventFilter{Regions: []string{"EU-West-*"}}, true},
		{query.EventFilter{Regions: []string{"eu-west-?"}}, false},
		{query.EventFilter{EventSources: []string{"SSO-directory"}}, true},
		{query.EventFilter{EventSources: []string{"sso"}}, false},
		{query.EventFilter{EventSources: []string{"sso*"}}, true},
		{query.EventFilter{Categories: []string{"iam", "sso"}}, true},
		{query.EventFilter{Categories: []string{"other"}}, false},
		{query.EventFilter{Accounts: []string{"111122223333"}, Regions: []string{"us-east-1"}}, false},
	} {
		if got := eventStreams(&test.f)(s); got != test.want {
			t.Errorf("%+v: %v", test.f, got)
		}
	}
}
