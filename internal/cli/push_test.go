package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// filled makes a data directory of a simulated organization's trail, with coverage, an
// acknowledged alert and a record that can't be parsed.
func filled(t *testing.T, now time.Time) (data string, tell func(args ...string) (string, string, int)) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	tell = teller(t, data)
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"eventID":"00000000-0000-4000-8000-00000000000b","eventTime":"soon","eventName":"CreateUser","eventSource":"iam.amazonaws.com","eventVersion":"1.08","recipientAccountId":"111122223333"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := tell("import", trailOf(t, now), bad); code != exitDone {
		t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	stdout, _, _ := tell("alerts", "list", "--format", "csv", "--limit", "1")
	_, row, _ := strings.Cut(stdout, "\n")
	alert, _, _ := strings.Cut(row, ",")
	if _, stderr, code := tell("alerts", "ack", alert, "--note", "seen"); code != exitDone {
		t.Fatalf("ack: exit code %d\n%s", code, stderr)
	}
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": data}, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), cfg, app.Options{Command: "collect", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		s := coverage.Stream{AccountID: "111122223333", Region: region, Source: "sts.amazonaws.com"}
		if err := a.Store.UpdateStream(t.Context(), s, func(l *coverage.Ledger) error {
			l.Begin(now.Unix())
			l.Mark(coverage.Read{Span: coverage.SpanOf(now.AddDate(0, 0, -12), now.Add(-time.Hour)), Begun: now.Unix(), Requests: 3, Events: 100})
			l.Fail(coverage.SpanOf(now.AddDate(0, 0, -20), now.AddDate(0, 0, -12)), coverage.Denied, "AccessDenied", now.Unix())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return data, tell
}

// told is what status says of what is stored, wherever that is.
func told(t *testing.T, status string) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(status), &all); err != nil {
		t.Fatalf("%v\n%s", err, status)
	}
	same := map[string]any{}
	for _, k := range []string{"events", "days", "first_day", "last_day", "categories", "filtered", "rejected", "conflicts", "late", "alerts", "streams", "accounts", "unread_accounts"} {
		v, ok := all[k]
		if !ok {
			t.Fatalf("status has no %s", k)
		}
		same[k] = v
	}
	return same
}

// After a push a stack answers as the data directory does, byte for byte, with a lake
// and without one; a second push finds nothing; and what is pulled into an empty
// directory is the same again.
func TestPushAndPull(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, bucket := range map[string]lake.Bucket{"lake": lake.OpenMem(), "table": nil} {
		t.Run(name, func(t *testing.T) {
			data, local := filled(t, now)
			s := newStack(t, now, bucket)
			move := func(command, dir string, args ...string) (string, string) {
				t.Helper()
				stdout, stderr, code := s.run(append([]string{command, "--stack", "prod", "--data-dir", dir}, args...)...)
				if code != exitDone {
					t.Fatalf("%s %q: exit code %d\n%s%s", command, args, code, stdout, stderr)
				}
				return stdout, stderr
			}
			dry, stderr := move("push", data, "--dry-run", "--format", "json")
			if (bucket == nil) != strings.Contains(stderr, "keeps no lake") {
				t.Errorf("a push to a stack that keeps a lake (%v) says:\n%s", bucket != nil, stderr)
			}
			var would, did exchangeView
			if err := json.Unmarshal([]byte(dry), &would); err != nil || would.EventsNew == 0 || would.Rejected != 1 || would.Alerts == 0 || would.Acknowledged != 1 || would.Streams != 2 || !would.DryRun {
				t.Fatalf("dry run: %v\n%s", err, dry)
			}
			if n, err := s.store.Counts(t.Context()); err != nil || n.HotEvents+n.Rejected > 0 || len(n.Alerts) > 0 {
				t.Fatalf("the dry run wrote: %+v, %v", n, err)
			}
			part, _ := move("push", data, "--until", "2026-11-15")
			if !strings.Contains(part, "new to the stack prod") {
				t.Errorf("a part:\n%s", part)
			}
			stdout, _ := move("push", data, "--format", "json")
			if err := json.Unmarshal([]byte(stdout), &did); err != nil || did.EventsNew == 0 || did.EventsNew >= would.EventsNew || did.AlertsMissing != 0 || did.Direction != "push" {
				t.Errorf("push: %v\n%s", err, stdout)
			}
			if stdout, _ = move("push", data); !strings.HasPrefix(stdout, "nothing to push: the stack prod has all of it") {
				t.Errorf("a second push:\n%s", stdout)
			}
			if s.ran > 0 {
				t.Error("the exporter ran")
			}

			fresh := filepath.Join(t.TempDir(), "copy")
			if stdout, _ = move("pull", fresh, "--dry-run"); !strings.Contains(stdout, "would be new to the data directory") {
				t.Errorf("pull into nothing:\n%s", stdout)
			}
			if _, err := os.Stat(fresh); err == nil {
				t.Error("the dry run made the data directory")
			}
			if stdout, _ = move("pull", fresh); !strings.Contains(stdout, "new to the data directory") {
				t.Errorf("pull:\n%s", stdout)
			}
			if stdout, _ = move("pull", fresh); !strings.HasPrefix(stdout, "nothing to pull: the data directory has all of it") {
				t.Errorf("a second pull:\n%s", stdout)
			}
			copied := teller(t, fresh)
			commands := [][]string{
				{"events"}, {"events", "--format", "csv", "--limit", "0"}, {"who", "AssumeRole"}, {"who", "CreateUser", "--format", "json"},
				{"alerts", "list", "--format", "json"}, {"alerts", "list"}, {"status", "--rejected", "--format", "json"},
				{"sql", "SELECT * FROM events ORDER BY account_id, event_time, event_id", "--format", "json"},
				{"sql", "SELECT * FROM filtered ORDER BY account_id, event_time, event_id, reason", "--format", "csv"},
				{"query", "user_lookup", "--format", "json"},
			}
			for _, args := range commands {
				want, stderr, code := local(args...)
				if code != exitDone {
					t.Fatalf("%q: exit code %d\n%s", args, code, stderr)
				}
				got, stderr, code := copied(args...)
				if code != exitDone || got != want {
					t.Errorf("%q of the copy: exit code %d\n%s%s", args, code, stderr, cmp.Diff(want, got))
				}
				more := []string{"--stack", "prod"}
				if args[0] == "sql" || args[0] == "query" {
					more = append(more, "--engine", "duckdb")
				}
				got, stderr, code = s.run(slices.Concat(args, more)...)
				got = dropFreshness(strings.ReplaceAll(got, "iamtrack --stack prod ", "iamtrack "))
				if code != exitDone || got != want {
					t.Errorf("%q of the stack: exit code %d\n%s%s", args, code, stderr, cmp.Diff(want, got))
				}
			}
			want, _, _ := local("status", "--format", "json")
			got, _, _ := copied("status", "--format", "json")
			if diff := cmp.Diff(told(t, want), told(t, got)); diff != "" {
				t.Errorf("status of the copy (-want +got):\n%s", diff)
			}
			if bucket != nil { // without a lake, days and categories are counted in the table
				got, _, _ = s.run("status", "--format", "json", "--stack", "prod")
				if diff := cmp.Diff(told(t, want), told(t, got)); diff != "" {
					t.Errorf("status of the stack (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What can't be moved is said, with the exit code for it.
func TestPushSaysWhatIsWrong(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	data, local := filled(t, now)
	if _, stderr, code := local("export"); code != exitDone {
		t.Fatalf("export: exit code %d\n%s", code, stderr)
	}
	s := newStack(t, now, lake.OpenMem())
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"push", "--data-dir", data}, exitUsage, "works with a stack"},
		{[]string{"push", "--data-dir", filepath.Join(t.TempDir(), "none"), "--stack", "prod"}, exitFailed, "no data yet"},
		{[]string{"pull", "--data-dir", data, "--stack", "other"}, exitFailed, "other"},
		{[]string{"push", "more", "--data-dir", data, "--stack", "prod"}, exitUsage, "more"},
		{[]string{"push", "--data-dir", data, "--stack", "prod", "--limit", "3"}, exitUsage, "--limit does not apply"},
	} {
		if stdout, stderr, code := s.run(c.args...); code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
	days, err := filepath.Glob(filepath.Join(data, "lake", "events", "*", "events.parquet"))
	if err != nil || len(days) < 3 {
		t.Fatal(days, err)
	}
	if err := os.Remove(days[1]); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := s.run("push", "--data-dir", data, "--stack", "prod"); code != exitInPart || !strings.Contains(stderr, "the lake's files of 1 day are gone") {
		t.Errorf("a lost day: exit code %d\n%s%s", code, stdout, stderr)
	}
}
