package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"
)

// typed is a terminal at which these lines are typed.
type typed struct {
	lines   []string
	prompts []string
}

func (t *typed) SetPrompt(s string) { t.prompts = append(t.prompts, s) }

func (t *typed) ReadLine() (string, error) {
	if len(t.lines) == 0 {
		return "", io.EOF
	}
	l := t.lines[0]
	t.lines = t.lines[1:]
	return l, nil
}

func TestConverse(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stdout: io.Discard, stderr: &stderr}
	var asked []string
	ask := func(s string) error {
		asked = append(asked, s)
		if s == "bad" {
			return errors.New("no such thing")
		}
		return nil
	}
	in := &typed{lines: []string{
		"SELECT 1;", "", "SELECT", "  2", ";", "bad;", "SELECT 3", "", ".tables", ".help", ".tabels", "-- only a comment without end", ".quit",
		"", ".quit", "SELECT 4;",
	}}
	if err := e.converse(in, ask); err != nil {
		t.Fatal(err)
	}
	want := []string{"SELECT 1", "SELECT\n  2", "bad", "SELECT 3", "-- only a comment without end\n.quit"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	if in.lines[0] != "SELECT 4;" {
		t.Errorf("after .quit: %q is left", in.lines)
	}
	for _, want := range []string{"no such thing", "event_date", "hint: did you mean .tables?", "Ctrl-D"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q isn't said:\n%s", want, stderr.String())
		}
	}
	if err := e.converse(&typed{lines: []string{"SELECT 5"}}, ask); err != nil || asked[len(asked)-1] != "bad" && len(asked) != len(want) {
		t.Errorf("an unfinished statement at the end was asked: %q, %v", asked, err)
	}
}

func TestComplete(t *testing.T) {
	c := completer{words: promptWords()}
	for _, k := range []struct {
		line    string
		pos     int
		want    string
		wantPos int
		choices bool
	}{
		{"sel", 3, "SELECT ", 7, false},
		{"SELECT event_na", 15, "SELECT event_name ", 18, false},
		{"SELECT user_a FROM events", 13, "SELECT user_agent  FROM events", 18, false},
		{"SELECT event_", 13, "SELECT event_", 13, true},
		{"SELECT ev", 9, "SELECT event", 12, false},
		{"SELECT (ta", 10, "SELECT (target_", 15, false},
		{"SELECT zzz", 10, "SELECT zzz", 10, false},
		{"SELECT ", 7, "SELECT ", 7, false},
		{".ta", 3, ".tables ", 8, false},
	} {
		line, pos, choices := c.complete(k.line, k.pos)
		if line != k.want || pos != k.wantPos || (len(choices) > 0) != k.choices {
			t.Errorf("%q at %d: got %q at %d, choices %v; want %q at %d", k.line, k.pos, line, pos, choices, k.want, k.wantPos)
		}
	}
}

// The history is kept between sessions, for its owner only, and bounded.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	var _ term.History = (*history)(nil)
	h, err := openHistory(dir)
	if err != nil || h.Len() != 0 {
		t.Fatalf("new history: %d, %v", h.Len(), err)
	}
	for _, s := range []string{"SELECT 1;", "SELECT 1;", " ", "SELECT\n2;"} {
		h.Add(s)
	}
	h, err = openHistory(dir)
	if err != nil || h.Len() != 2 || h.At(0) != "SELECT 2;" || h.At(1) != "SELECT 1;" {
		t.Fatalf("read back: %q, %v", h.entries, err)
	}
	info, err := os.Stat(filepath.Join(dir, historyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, historyFile), []byte(strings.Repeat("a\nb\n", maxHistory)), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = openHistory(dir); err != nil || h.Len() != maxHistory {
		t.Errorf("%d entries, %v", h.Len(), err)
	}
	if h, err = openHistory(filepath.Join(dir, "none")); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	h.Add("still works")
	if h.Len() != 1 {
		t.Error("a history that can't be written forgets")
	}
}

// Tab in the real line editor.
func TestPromptEditor(t *testing.T) {
	var out bytes.Buffer
	tt := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader("SELECT event_na\tFROM ev\t\x7f\x7f\x7f\x7f\x7fx\r"), &out}, "> ")
	c := completer{words: promptWords()}
	tt.AutoCompleteCallback = c.onKey(tt)
	line, err := tt.ReadLine()
	if err != nil || line != "SELECT event_name FROM x" {
		t.Errorf("got %q, %v", line, err)
	}
}
