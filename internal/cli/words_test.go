package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/render"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %s, want %s", n, got, want)
		}
	}
	for _, c := range []struct {
		n    int
		noun string
		want string
	}{{0, "day", "0 days"}, {1, "day", "1 day"}, {1001, "day", "1,001 days"}, {2, "query|queries", "2 queries"}, {1, "query|queries", "1 query"}} {
		if got := count(c.n, c.noun); got != c.want {
			t.Errorf("count(%d, %q) = %s, want %s", c.n, c.noun, got, c.want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 1536: "1.54 kB", 999_600: "1 MB", 12_345_678: "12.3 MB", 5_000_000_000: "5 GB", 7_000_000_000_000: "7.0 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{3 * time.Millisecond: "3 ms", 1500 * time.Millisecond: "1.5 s", 90 * time.Second: "1m30s"} {
		if got := secondsText(d); got != want {
			t.Errorf("secondsText(%s) = %s, want %s", d, got, want)
		}
	}
}

// What is printed to be typed reaches the program as it was, whatever an
// attacker named himself.
func TestCommandsSurviveAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no POSIX shell")
	}
	e := &env{flags: globalFlags{dataDir: "/tmp/my data"}}
	for _, word := range []string{"alice", "a b", "it's", `"q"`, "$(touch x)", "`id`", "a;b|c&d", "-rf", "*", "~root", "!x", `back\slash`, "é日本"} {
		line := e.command("events", "--actor", word)
		if line == "" {
			t.Errorf("%q gives no command", word)
			continue
		}
		out, err := exec.Command(sh, "-c", `iamtrack() { for a; do printf '%s\n' "$a"; done; }; `+line).Output()
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		want := "--data-dir\n/tmp/my data\nevents\n--actor\n" + word + "\n"
		if string(out) != want {
			t.Errorf("%s: got %q, want %q", line, out, want)
		}
	}
	for _, hidden := range []string{"a\x1b[2Jb", "a\nb", "\u202ex", ""} {
		if line := e.command("events", "--actor", hidden); line != "" {
			t.Errorf("%q gives %q, which isn't what it looks like", hidden, line)
		}
	}
}

func TestFlatten(t *testing.T) {
	v := json.RawMessage(`{"b":1,"a":{"y":"z","x":{"n":null}},"list":[1,{"k":2}],"f":1.5,"t":true,"big":9007199254740993}`)
	got, err := flatten(v)
	if err != nil {
		t.Fatal(err)
	}
	want := []flatField{{"b", int64(1)}, {"a.y", "z"}, {"a.x.n", nil}, {"list", `[1,{"k":2}]`}, {"f", 1.5}, {"t", true}, {"big", int64(9007199254740993)}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(flatField{})); diff != "" {
		t.Error(diff)
	}
	got, err = flatten([]any{map[string]int{"a": 1}, map[string]int{"a": 2}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]flatField{{"1.a", int64(1)}, {"2.a", int64(2)}}, got, cmp.AllowUnexported(flatField{})); diff != "" {
		t.Error(diff)
	}
}

func TestParagraphWraps(t *testing.T) {
	p := &page{e: &env{}, width: 20}
	p.paragraph("one two three four five " + strings.Repeat("x", 30) + " six")
	want := "  one two three four\n  five\n  " + strings.Repeat("x", 30) + "\n  six\n"
	if got := p.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A command is printed as it can be typed.
func TestProgramName(t *testing.T) {
	dir := t.TempDir()
	ours, other := filepath.Join(dir, "ours", "iamtrack"), filepath.Join(dir, "other", "iamtrack")
	for _, path := range []string{ours, other} {
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(path), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, typed, want string }{
		{filepath.Dir(ours), "iamtrack", "iamtrack"},
		{filepath.Dir(ours), ours, "iamtrack"},
		{filepath.Dir(other), ours, ours},
		{"", ours, ours},
		{"", "./bin/iamtrack", "./bin/iamtrack"},
		{"", "/a b/iamtrack", "'/a b/iamtrack'"},
		{"", "/a\x1b/iamtrack", "iamtrack"},
	} {
		t.Setenv("PATH", c.path)
		if got := programName(c.typed); got != c.want {
			t.Errorf("typed as %q with PATH %q: %q, want %q", c.typed, c.path, got, c.want)
		}
	}
}

func TestCommandNamesProgram(t *testing.T) {
	var out bytes.Buffer
	e := &env{stderr: &out, program: "./bin/iamtrack"}
	e.flags.dataDir, e.flags.configFile = "/d", "/c.yaml"
	if got, want := e.command("events", "--ip", "192.0.2.1"), "./bin/iamtrack --data-dir /d --config /c.yaml events --ip 192.0.2.1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e.say("iamtrack: run `iamtrack demo` or `iamtrack import PATH`")
	if got, want := out.String(), "iamtrack: run `./bin/iamtrack demo` or `./bin/iamtrack import PATH`\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What people scan fits on a terminal of any usual width without cutting what
// tells rows apart.
func TestListsFit(t *testing.T) {
	for _, width := range []int{80, 100, 120, 140, 200} {
		var out bytes.Buffer
		cols := []render.Column{
			{Name: "id", Whole: true}, {Name: "time"}, {Name: "severity", Whole: true}, {Name: "alert"},
			columnStyle("actor"), {Name: "source_ip"}, {Name: "account", Whole: true}, {Name: "targets"}, {Name: "state"},
		}
		n := alertColumns(width)
		p := render.New(&out, cols[:n], render.Options{Width: width})
		at := time.Date(2026, 11, 21, 3, 6, 0, 0, time.UTC)
		row := []any{"4cce6fcca2a21aae", at, "critical", "Role trusts another account", "SomeRole/someone@example.com", "203.0.113.66", "111122223333", "arn:aws:iam::111122223333:role/SupportDiagnosticsRole", "finding"}
		if err := p.Row(row[:n]); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"4cce6fcca2a21aae", "Role trusts", "example.com"} {
			if !strings.Contains(out.String(), want) || strings.Count(out.String(), "\n") != 3 {
				t.Errorf("%d columns: no %q, or no table:\n%s", width, want, out.String())
			}
		}
		if width >= 120 && !strings.Contains(out.String(), "another account") {
			t.Errorf("%d columns: the title is cut:\n%s", width, out.String())
		}
	}
}
