package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/simulate"
)

// notRun are commands of README.md and docs/ that say nothing when run here.
var notRun = []string{
	"iamtrack demo", "iamtrack demo --seed 7", // has been run: all others work on its data
	"iamtrack sql", // the prompt
	"iamtrack import s3://my-trail/AWSLogs/ --since 30d --only-new", "iamtrack verify --trail ~/cloudtrail --public-keys keys.json", // TestBucket does
}

var alertID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Every command that README.md and docs/ show in a block does what it says: it
// is run on the demo's data and must succeed.
func TestDocsCommands(t *testing.T) {
	pages := docPages(t)
	home := t.TempDir()
	data := filepath.Join(home, "data")
	docRun := func(args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test",
			now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
			lookupEnv: func(name string) (string, bool) {
				v, ok := map[string]string{"IAMTRACK_DATA_DIR": data, "HOME": home, "USERPROFILE": home, "USER": "tester",
					"IAMTRACK_CHANNELS": `[{name: oncall, type: file, path: '` + filepath.Join(home, "alerts.jsonl") + `'}]`}[name]
				return v, ok
			},
		}
		code = run(context.Background(), e, args)
		return out.String(), errs.String(), code
	}
	if _, stderr, code := docRun("--data-dir", data, "demo"); code != 0 {
		t.Fatalf("iamtrack demo: exit code %d\n%s", code, stderr)
	}
	world, err := simulate.New(simulate.Config{Seed: 1, Days: simulate.MinDays, Events: 1, End: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(home, "trail")
	if _, err := simulate.WriteTrail(t.Context(), world, trail, simulate.TrailOptions{Compress: true}); err != nil {
		t.Fatal(err)
	}
	stdout, _, _ := docRun("alerts", "list", "--severity", "critical", "--format", "json")
	var alerts []struct {
		ID      string `json:"id"`
		EventID string `json:"event_id"`
	}
	if err := json.Unmarshal([]byte(stdout), &alerts); err != nil || len(alerts) == 0 {
		t.Fatalf("the demo has no critical alert: %v\n%s", err, stdout)
	}
	// What stands in the pages for things of the reader's own.
	own := map[string]string{
		"~/cloudtrail/AWSLogs":                 trail,
		"logs":                                 trail,
		"~/.local/share/iamtrack-demo":         data,
		"0f5c7b1e-7d1a-4a43-9a3a-7a3f8b1f9c01": alerts[0].EventID,
	}
	stdout, _, _ = docRun("sql", "SELECT access_key_id AS key, concat(role_name, '/', session_name) AS session FROM events WHERE access_key_id <> '' AND session_name <> '' ORDER BY event_time DESC, event_id LIMIT 1", "--format", "json")
	var sessions []struct{ Key, Session string }
	if err := json.Unmarshal([]byte(stdout), &sessions); err != nil || len(sessions) != 1 {
		t.Fatalf("the demo has no session: %v\n%s", err, stdout)
	}
	own["ASIAIOSFODNN7EXAMPLE"], own["AKIAIOSFODNN7EXAMPLE"], own["deploy/run-71"] = sessions[0].Key, sessions[0].Key, sessions[0].Session
	own["alice"], own["alice @ 111122223333"] = "m.okafor", "m.okafor @ 111122223333"
	t.Chdir(home) // for files that commands read and write
	if err := os.WriteFile("question.sql", []byte("SELECT count(*) AS n FROM events"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for page, text := range pages {
		for _, line := range commandLines(text) {
			args, err := shellWords(line)
			if err != nil {
				t.Errorf("%s: %s: %v", page, line, err)
				continue
			}
			line = strings.Join(args, " ")
			if seen[line] || slices.Contains(notRun, line) {
				continue
			}
			seen[line] = true
			if slices.Contains([]string{"collect", "simulate", "wait", "doctor", "aws"}, args[1]) || slices.Contains(args, "--stack") || args[1] == "import" && slices.Contains(args, "--from-legacy-table") { // other tests run them
				if err := accepted(args[1:]); err != nil {
					t.Errorf("%s: %s: %v", page, line, err)
				}
				continue
			}
			for i := range args {
				if v, ok := own[args[i]]; ok {
					args[i] = v
				} else if alertID.MatchString(args[i]) {
					args[i] = alerts[0].ID
				}
			}
			if _, stderr, code := docRun(args[1:]...); code != 0 {
				t.Errorf("%s: %s: exit code %d\n%s", page, line, code, stderr)
			}
		}
	}
	if len(seen) < 25 {
		t.Errorf("only %d commands were found", len(seen))
	}
	t.Run("own query", func(t *testing.T) {
		_, rest, ok := strings.Cut(pages["docs/queries.md"], "```sql\n")
		text, _, closed := strings.Cut(rest, "```")
		if !ok || !closed {
			t.Fatal("docs/queries.md shows no query")
		}
		if err := os.Mkdir("own", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("own/bucket_policy.sql", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := docRun("query", "bucket_policy", "--queries", "own", "--param", "bucket=*"); code != 0 {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
}

// docPages are README.md and the pages of docs/, by name.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	root := os.DirFS(repository)
	names, err := fs.Glob(root, "docs/*.md")
	if err != nil || len(names) < 5 {
		t.Fatalf("pages %q: %v", names, err)
	}
	pages := map[string]string{}
	for _, name := range append(names, "README.md", "CHANGELOG.md") {
		pages[name] = read(t, filepath.Join(repository, name))
	}
	return pages
}

// commandLines are the lines of a page's code blocks that start with iamtrack.
func commandLines(page string) []string {
	var lines []string
	within := false
	for line := range strings.Lines(page) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			within = !within
		case within && strings.HasPrefix(line, "iamtrack "):
			lines = append(lines, line)
		}
	}
	return lines
}

// shellWords takes a command line apart as a shell does, as far as the pages
// need it: quotes and backslashes; a comment or a redirection ends it.
func shellWords(line string) ([]string, error) {
	var words []string
	word, in, quote, escaped := "", false, rune(0), false
	for _, r := range line + " " {
		switch {
		case escaped:
			word, in, escaped = word+string(r), true, false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' && in:
			words, word, in = append(words, word), "", false
		case r == ' ':
		case (r == '#' || r == '>') && !in:
			return words, nil
		default:
			word, in = word+string(r), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c isn't closed", quote)
	}
	return words, nil
}

// Links between the pages lead somewhere, and nothing of the machine that the
// pages were written on is in them.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
	for page, text := range docPages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor := m[1], m[2]
			if strings.HasPrefix(target, "https://") {
				continue
			}
			file := filepath.Join(repository, filepath.Dir(page), target)
			if target == "" {
				file = filepath.Join(repository, page)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link to %s: %v", page, target, err)
				continue
			}
			if anchor != "" && !strings.Contains(read(t, file), "# "+anchor+"\n") {
				t.Errorf("%s: no heading %s in %s", page, anchor, file)
			}
		}
		for _, machine := range []string{"/root/", "/tmp/", "/work/"} {
			if strings.Contains(text, machine) {
				t.Errorf("%s has the path %s of a machine in it", page, machine)
			}
		}
	}
}

// What README.md and CHANGELOG.md count is so, and the demo's excerpt can be
// read without scrolling.
func TestDocsReadme(t *testing.T) {
	readme := read(t, filepath.Join(repository, "README.md"))
	catalogue, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := loadRules(&env{})
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{"queries": len(catalogue.List()), "rules": len(rules)} {
		for page, text := range map[string]string{"README.md": readme, "CHANGELOG.md": read(t, filepath.Join(repository, "CHANGELOG.md"))} {
			m := regexp.MustCompile(`(\d+)\s+` + what).FindStringSubmatch(text)
			if m == nil || m[1] != strconv.Itoa(n) {
				t.Errorf("%s counts %q, there are %d %s", page, m, n, what)
			}
		}
	}
	_, demo, ok := strings.Cut(readme, "<!-- demo -->\n```\n")
	demo, _, closed := strings.Cut(demo, "```\n<!-- /demo -->")
	if n := strings.Count(demo, "\n"); !ok || !closed || n < 10 || n > 45 {
		t.Errorf("the demo's excerpt has %d lines", n)
	}
	for line := range strings.Lines(demo) {
		if n := len([]rune(line)) - 1; n > 100 {
			t.Errorf("%d characters in a line of the demo's excerpt: %s", n, line)
		}
	}
}
