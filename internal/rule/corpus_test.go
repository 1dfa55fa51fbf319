package rule_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// corpus returns the folder of public test data, or skips the test.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("IAMTRACK_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "cloudtrail", "manifest.json")); err != nil {
		if os.Getenv("IAMTRACK_CORPUS_REQUIRED") == "1" {
			t.Fatalf("the corpus is required: %v", err)
		}
		t.Skipf("no corpus: %v", err)
	}
	return filepath.Join(dir, "cloudtrail")
}

// read parses a file or all files of a folder, each event once.
func read(t testing.TB, path string) []event.Event {
	t.Helper()
	var out []event.Event
	seen := map[event.Key]bool{}
	parser := event.NewParser()
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		var r io.Reader = bytes.NewReader(data)
		if strings.HasSuffix(p, ".gz") {
			if r, err = gzip.NewReader(r); err != nil {
				return err
			}
		}
		for s := event.NewSplitter(r); ; {
			raw, err := s.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			e, err := parser.Parse(raw.Data)
			if err != nil {
				continue // panther's sloppy lines; parsing has its own tests
			}
			if !seen[e.Key()] {
				seen[e.Key()] = true
				out = append(out, e)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("%s: no events", path)
	}
	return out
}

// Each technique of stratus-red-team whose log touches IAM fires what the
// ground truth says; all other logs of it are quiet.
func TestCorpusStratus(t *testing.T) {
	dir := filepath.Join(corpus(t), "stratus-red-team")
	want := map[string][]string{
		"aws.persistence.iam-backdoor-user.json":        {"iam-access-key-created-for-other critical"},
		"aws.persistence.iam-create-admin-user.json":    {"iam-user-created high", "iam-admin-policy-attached critical", "iam-access-key-created-for-other critical"},
		"aws.persistence.iam-create-backdoor-role.json": {"iam-role-trust-external-account critical", "iam-admin-policy-attached critical"},
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 18 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	en := engine(t, quiet)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			expect(t, alerts(en, read(t, f)...), want[filepath.Base(f)]...)
		})
	}
	// With the default hours nothing else comes up, but for the hours.
	en = engine(t, rule.Config{})
	for _, f := range files {
		for _, a := range alerts(en, read(t, f)...) {
			if a.Rule != "off-hours-access" && !slices.Contains(want[filepath.Base(f)], a.Rule+" "+a.Severity.String()) {
				t.Errorf("%s: %s %s", filepath.Base(f), a.Rule, a.Severity)
			}
		}
	}
}

// The ransomware lab: the story is found, whatever form it comes in, and what
// it tells as benign stays below high.
func TestCorpusRansomware(t *testing.T) {
	dir := corpus(t)
	story := []string{
		"root-console-login critical", "root-console-login critical", "root-console-login critical", "root-console-login-failed high",
		"iam-inline-policy-dangerous critical", "iam-access-key-created high",
	}
	for _, folder := range []string{"lookup-events-sans504", "sans504-s3-ransomware", "sans504-s3-ransomware-bulk"} {
		t.Run(folder, func(t *testing.T) {
			events := read(t, filepath.Join(dir, folder))
			got := alerts(engine(t, rule.Config{}), events...)
			var core, activity []rule.Alert
			for _, a := range got {
				switch a.Rule {
				case "root-api-activity":
					activity = append(activity, a)
				case "off-hours-access":
				default:
					core = append(core, a)
				}
			}
			expect(t, core, story...)
			for _, a := range core {
				if a.Rule == "root-console-login" && !strings.Contains(a.Title, "without MFA") {
					t.Errorf("title %q", a.Title)
				}
				if a.Rule == "iam-inline-policy-dangerous" && (a.Actor != "jmerckle" || !slices.Contains(a.Targets, "zlj9i0k83o")) {
					t.Errorf("%+v", a)
				}
			}
			if len(activity) == 0 {
				t.Error("root activity is not reported")
			}
			byID := map[string]*event.Event{}
			for i := range events {
				byID[events[i].EventID] = &events[i]
			}
			benign := 0
			for _, a := range got {
				for _, ref := range a.Events {
					e := byID[ref.EventID]
					service := e.IdentityType == "AWSService"
					role := strings.Contains(e.RequestParameters, "CloudTrailRoleForCloudWatchLogs") ||
						strings.Contains(e.RequestParameters, "CloudTrailPolicyForCloudWatchLogs")
					if service {
						t.Errorf("%s on a service's %s", a.Rule, e.EventName)
					}
					if role && e.EventSource == "iam.amazonaws.com" {
						benign++
						if a.Severity >= rule.High {
							t.Errorf("%s %s on the benign %s", a.Rule, a.Severity, e.EventName)
						}
					}
				}
			}
			if benign == 0 {
				t.Error("the set-up of the service role is not reported at all")
			}
			t.Logf("%d events, %d alerts, %d of root activity", len(events), len(got), len(activity))
		})
	}
}

// Lines of panther's rule tests that the corpus names as useful; ours agree
// but where the comment says why not.
func TestCorpusPanther(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(corpus(t), "panther-analysis", "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(file, []byte("\n"))
	en, parser := engine(t, quiet), event.NewParser()
	for line, want := range map[int][]string{
		36: {"signin-console-login-without-mfa high"},
		38: {"root-console-login critical"}, // root's own rule, "without MFA" in its title
		39: nil, 40: nil, 41: nil,
		43: {"signin-console-login-without-mfa high"}, // a new user is no exception for us
		44: nil, 46: nil,
		47:  {"root-console-login critical"},
		154: nil,
		155: {"root-api-activity high"},
		156: nil,
		158: {"root-console-login critical"},
		159: {"root-api-activity low"}, // reads are reported, quietly
		90:  {"iam-admin-policy-attached critical"},
		91:  nil,
		94:  {"iam-user-created high"},
		95:  {"iam-admin-policy-attached critical"}, // the label is about CreateUser
		102: {"iam-access-key-created high"},
		103: {"iam-access-key-created-for-other critical"},
		104: {"iam-access-key-created-for-other critical"},
		105: {"iam-access-key-created-for-other critical"},
		106: nil,
		93:  {"iam-inline-policy-added low"},
	} {
		e, err := parser.Parse(lines[line-1])
		if err != nil {
			t.Errorf("line %d: %v", line, err)
			continue
		}
		if got := said(alerts(en, e)); !slices.Equal(got, append([]string{}, want...)) {
			t.Errorf("line %d: %q, want %q", line, got, want)
		}
	}
	// Nothing in any line makes a rule fail.
	for n, l := range lines {
		if e, err := parser.Parse(l); err == nil {
			for _, a := range alerts(en, e) {
				if strings.Contains(a.Detail, "The rule failed") || a.Targets == nil {
					t.Errorf("line %d: %+v", n+1, a)
				}
			}
		}
	}
}
