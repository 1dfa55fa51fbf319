package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/fault"
)

// The scripts in testdata/script run this binary under the name iamtrack. Only
// here, never in the product, the environment sets the clock
// (IAMTRACK_TEST_NOW, RFC 3339) and faults (IAMTRACK_TEST_FAULT, see faultHook).
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"iamtrack": func() { os.Exit(scriptMain()) }})
}

func scriptMain() int {
	e := &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		now: time.Now, lookupEnv: os.LookupEnv, version: "v0.0.0-test",
	}
	if text := os.Getenv("IAMTRACK_TEST_NOW"); text != "" {
		now, err := time.Parse(time.RFC3339, text)
		if err != nil {
			panic(err)
		}
		e.now = func() time.Time { return now }
	}
	if text := os.Getenv("IAMTRACK_TEST_FAULT"); text != "" {
		h, err := faultHook(text)
		if err != nil {
			panic(err)
		}
		fault.Set(h)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, e, os.Args[1:])
}

// faultHook reads "POINT=kill", "POINT=error" or either with ":N": the process
// dies, or the step fails, when the point is reached for the N-th time (1).
func faultHook(text string) (fault.Hook, error) {
	point, what, ok := strings.Cut(text, "=")
	what, nth, counted := strings.Cut(what, ":")
	n := int64(1)
	if counted {
		var err error
		if n, err = strconv.ParseInt(nth, 10, 64); err != nil {
			return nil, err
		}
	}
	if !ok || what != "kill" && what != "error" {
		return nil, fmt.Errorf("fault %q: want POINT=kill|error[:N]", text)
	}
	var seen atomic.Int64
	return func(p string) error {
		if p != point || seen.Add(1) != n {
			return nil
		}
		if what == "error" {
			return fmt.Errorf("injected fault at %s", p)
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err)
		}
		select {} // the signal is on its way
	}, nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Values[organizationKey{}] = &testOrganizationHolder{}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("USERPROFILE", e.WorkDir)
			e.Setenv("USER", "tester")
			e.Setenv("IAMTRACK_DATA_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("IAMTRACK_TEST_NOW", "2026-11-22T12:00:00Z")
			// The same eight records for all scripts: see testdata/trail.
			return os.CopyFS(filepath.Join(e.WorkDir, "trail"), os.DirFS("testdata/trail"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "field": scriptField, "rows": scriptRows, "column": scriptColumn, "safe": scriptSafe,
			"ledger": scriptLedger, "account": scriptAccount, "aws": scriptAWS,
		},
	})
}

// scriptCode: code N iamtrack ARG… runs a command and wants that exit code.
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command arg…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s\n%s\n%s", got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// scriptField: field PATH VALUE wants stdout to be a JSON object with that value
// at the dotted path (array elements by number).
func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: field PATH VALUE")
	}
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	ts.Check(d.Decode(&v))
	for _, name := range strings.Split(args[0], ".") {
		switch c := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = c[name]; !ok {
				ts.Fatalf("no field %s of %s in\n%s", name, args[0], ts.ReadFile("stdout"))
			}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(c) {
				ts.Fatalf("no element %s of %s in\n%s", name, args[0], ts.ReadFile("stdout"))
			}
			v = c[i]
		default:
			ts.Fatalf("%s: %v has no parts", args[0], v)
		}
	}
	got := fmt.Sprint(v)
	switch v.(type) {
	case map[string]any, []any, nil:
		b, err := json.Marshal(v)
		ts.Check(err)
		got = string(b)
	}
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %s, want %s%s", args[0], got, map[bool]string{true: "other than "}[neg], args[1])
	}
}

// scriptRows: rows N wants stdout to be a JSON array of N objects.
func scriptRows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: rows N")
	}
	var list []map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	if list == nil || strconv.Itoa(len(list)) != args[0] {
		ts.Fatalf("%d rows, want %s, in\n%s", len(list), args[0], ts.ReadFile("stdout"))
	}
}

// scriptColumn: column NAME A B … wants these values, in order, in that column
// of the JSON array on stdout.
func scriptColumn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: column NAME VALUE…")
	}
	var list []map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	var got []string
	for _, row := range list {
		got = append(got, fmt.Sprint(row[args[0]]))
	}
	if strings.Join(got, "|") != strings.Join(args[1:], "|") {
		ts.Fatalf("column %s is %q, want %q", args[0], got, args[1:])
	}
}

// scriptSafe: safe wants no control or invisible character in the last command's
// output, line ends apart.
func scriptSafe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: safe")
	}
	for _, stream := range []string{"stdout", "stderr"} {
		for _, r := range ts.ReadFile(stream) {
			if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f {
				ts.Fatalf("%U in %s: %q", r, stream, ts.ReadFile(stream))
			}
		}
	}
}

// commands lists every command of the program.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&env{now: time.Now, lookupEnv: os.LookupEnv}))
	return all
}

// Every command explains itself, gives an example, and lists the exit codes.
func TestHelp(t *testing.T) {
	for _, c := range commands(t) {
		var out bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &out, now: time.Now, lookupEnv: func(string) (string, bool) { return "", false }}
		args := strings.Fields(c.CommandPath() + " --help")[1:]
		if code := run(context.Background(), e, args); code != 0 {
			t.Errorf("%q: exit code %d", args, code)
		}
		if !strings.Contains(out.String(), "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done in part") {
			t.Errorf("%q doesn't list the exit codes:\n%s", args, out.String())
		}
		if c.Short == "" {
			t.Errorf("%s has no short help", c.CommandPath())
		}
		if c.HasParent() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 130 {
				t.Errorf("%q: a line of %d characters: %s", args, n, line)
			}
		}
	}
}

// The examples name commands and flags that exist.
func TestExamples(t *testing.T) {
	for _, c := range commands(t) {
		for line := range strings.Lines(c.Example) {
			_, rest, ok := strings.Cut(line, "iamtrack ")
			if !ok {
				continue
			}
			root := newRoot(&env{now: time.Now, lookupEnv: os.LookupEnv})
			words := strings.Fields(strings.Split(rest, " > ")[0])
			found, _, err := root.Find(words)
			if err != nil || found == root {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			for _, w := range words {
				name, _, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
				if strings.HasPrefix(w, "--") && found.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
					t.Errorf("%s: %q: there is no flag %s", c.CommandPath(), line, w)
				}
			}
		}
	}
}

// Flags that offer values to the shell exist, and their values are accepted.
func TestFlagCompletion(t *testing.T) {
	for _, c := range [][]string{
		{"--format", ""}, {"events", "--outcome", ""}, {"events", "--category", ""}, {"events", "--columns", ""},
		{"alerts", "list", "--severity", ""}, {"alerts", "list", "--state", ""}, {"alerts", "list", "--rule", ""},
		{"rules", "show", ""}, {"query", ""},
	} {
		var out bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &bytes.Buffer{}, now: time.Now, lookupEnv: func(string) (string, bool) { return "", false }}
		if code := run(context.Background(), e, append([]string{"__complete"}, c...)); code != 0 {
			t.Errorf("%q: exit code %d", c, code)
		}
		if strings.Count(out.String(), "\n") < 3 || strings.Contains(out.String(), "ShellCompDirectiveError") {
			t.Errorf("%q offers %q", c, out.String())
		}
	}
}

// An interrupted command says so, and how to go on.
func TestInterrupt(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{
		stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &stderr, now: time.Now,
		lookupEnv: func(string) (string, bool) { return "", false },
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if code := run(ctx, e, []string{"--data-dir", t.TempDir(), "import", t.TempDir()}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "interrupted") || !strings.Contains(stderr.String(), "goes on from there") {
		t.Errorf("it says %q", stderr.String())
	}
}
