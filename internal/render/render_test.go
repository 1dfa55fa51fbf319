package render_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// rows is one of everything, printed in every format.
var (
	goldenCols = []render.Column{
		{Name: "event_id", Whole: true}, {Name: "event_time"}, {Name: "day"}, {Name: "mfa"},
		{Name: "n"}, {Name: "share"}, {Name: "targets"}, {Name: "text"},
	}
	goldenRows = [][]any{
		{"0f5c7b1e-7d1a-4a43-9a3a-7a3f8b1f9c01", time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC), query.Date("2026-03-29"), true, int64(7), 0.25, []string{"a", "b"}, "plain"},
		{"short", time.Date(2026, 3, 29, 1, 0, 0, 123e6, time.UTC), query.Date("2026-03-29"), false, int64(-1234567890123), 1e21, []any{int64(1), nil, "x"}, "=HYPERLINK(\"https://evil.example\")"},
		{"none", nil, nil, nil, nil, nil, nil, nil},
		{"hostile", nil, nil, nil, int64(0), -0.5, []any{}, "\x1b[2J|`a`[x](y) <b> *i* _u_\n\u202eabc\u200b 日本語 e\u0301"},
	}
)

func printed(t *testing.T, cols []render.Column, rows [][]any, o render.Options) string {
	t.Helper()
	var b bytes.Buffer
	p := render.New(&b, cols, o)
	for _, r := range rows {
		if err := p.Row(r); err != nil {
			t.Fatalf("Row(%v): %v", r, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", path, diff)
	}
}

func TestGolden(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]render.Options{
		"table-pipe":   {Format: render.Table},
		"table-130":    {Format: render.Table, Width: 130, Zone: berlin},
		"table-colour": {Format: render.Table, Width: 160, Colour: true},
		"table-block":  {Format: render.Table, Width: 60},
		"json":         {Format: render.JSON, Zone: berlin},
		"csv":          {Format: render.CSV, Zone: berlin},
		"markdown":     {Format: render.Markdown, Zone: berlin},
	} {
		t.Run(name, func(t *testing.T) {
			got := printed(t, goldenCols, goldenRows, o)
			golden(t, name, got)
			if o.Width > 0 && !o.Colour {
				for line := range strings.Lines(got) {
					if w := uniseg.StringWidth(strings.TrimRight(line, "\n")); w > o.Width {
						t.Errorf("%d columns on a terminal of %d: %q", w, o.Width, line)
					}
				}
			}
		})
	}
}

func TestNoRows(t *testing.T) {
	for f, want := range map[render.Format]string{
		render.Table:    "a  b\n─  ─\n",
		render.JSON:     "[]\n",
		render.CSV:      "a,b\n",
		render.Markdown: "| a | b |\n| --- | --- |\n",
	} {
		if got := printed(t, render.Columns("a", "b"), nil, render.Options{Format: f}); got != want {
			t.Errorf("%s of no rows: got %q, want %q", f, got, want)
		}
	}
}

func TestNamesAreMadeDistinct(t *testing.T) {
	got := printed(t, render.Columns("a", "a", "a_2", "a"), [][]any{{1, 2, 3, 4}}, render.Options{Format: render.JSON})
	want := "[\n{\"a\":1,\"a_3\":2,\"a_2\":3,\"a_4\":4}\n]\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRowOfOtherLength(t *testing.T) {
	for _, f := range render.Formats() {
		p := render.New(&bytes.Buffer{}, render.Columns("a", "b"), render.Options{Format: f})
		if err := p.Row([]any{1}); err == nil {
			t.Errorf("%s: a row of one value for two columns was accepted", f)
		}
	}
}

// A table holds back only so many rows; those after keep the layout, whatever
// they hold.
func TestTableStreams(t *testing.T) {
	var b bytes.Buffer
	p := render.New(&b, render.Columns("n", "s"), render.Options{})
	for i := range 5000 {
		if err := p.Row([]any{int64(i % 10), strings.Repeat("x", 1+i/1000)}); err != nil {
			t.Fatal(err)
		}
		if i == 1500 && b.Len() == 0 {
			t.Fatal("nothing was written after 1500 rows")
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 5002 {
		t.Fatalf("%d lines for 5000 rows, a heading and a rule", len(lines))
	}
	if got, want := lines[5001], "9  …"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain é 日本":               "plain é 日本",
		"\x1b]0;x\x07":             `\x1b]0;x\x07`,
		"a\r\nb\tc":                `a\r\nb\tc`,
		"\u009b31m":                `\x9b31m`,
		"\u202edcba\u2066\u2069":   `\u202edcba\u2066\u2069`,
		"a\u200bb\ufeffc\u00add":   `a\u200bb\ufeffc\xadd`,
		"\U000e0041":               `\U000e0041`,
		"\u3164\u2800\ufe0f\u034f": `\u3164\u2800\ufe0f\u034f`,
		"\xff\xc3(":                `\xff\xc3(`,
		"\x00\x7f":                 `\x00\x7f`,
		"\ufffd":                   "\ufffd",
		"\u2028\u00a0":             `\u2028\xa0`,
	} {
		if got := render.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""},
		{"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"日本語", 6, "日本語"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
	} {
		if got := render.Shorten(c.in, c.width); got != c.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

func TestCSVFormulas(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "  =1": "'  =1",
		"＝1": "'＝1", "\t=1": `\t=1`, "\r=1": `\r=1`, "a=1": "a=1", "": "", "\ufffd": "\ufffd",
	} {
		got := printed(t, render.Columns("s", "n"), [][]any{{in, int64(-1)}}, render.Options{Format: render.CSV})
		recs, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if recs[1][0] != want || recs[1][1] != "-1" {
			t.Errorf("%q: got %q, want %q and -1", in, recs[1], want)
		}
	}
}

func TestJSONKeepsMeaning(t *testing.T) {
	in := "\x1b\u009b\u202e\u200b\U000e0041\"\\\n\t\r日本\u2028<&>"
	var got []map[string]any
	text := printed(t, render.Columns("s", "l", "o"), [][]any{{in, []any{in}, map[string]string{in: in}}}, render.Options{Format: render.JSON})
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	want := []map[string]any{{"s": in, "l": []any{in}, "o": map[string]any{in: in}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	assertSafe(t, text)
}

// assertSafe fails when a character that a terminal acts on, or that can't be
// seen, is in the output.
func assertSafe(t *testing.T, out string) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("output isn't UTF-8: %q", out)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if safe := render.Text(line); safe != line {
			t.Errorf("unsafe output line %q", line)
		}
		for _, r := range line {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff {
				t.Errorf("control character %U in %q", r, line)
			}
		}
	}
}

func TestColourWanted(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{true, nil, true}, {false, nil, false},
		{true, map[string]string{"NO_COLOR": "1"}, false},
		{true, map[string]string{"NO_COLOR": ""}, true},
		{true, map[string]string{"TERM": "dumb"}, false},
	} {
		got := render.ColourWanted(c.terminal, func(k string) (string, bool) { v, ok := c.env[k]; return v, ok })
		if got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestTerminalOfABuffer(t *testing.T) {
	if _, ok := render.Terminal(&bytes.Buffer{}); ok {
		t.Error("a buffer is taken for a terminal")
	}
}

func TestColumnKeepsItsEnd(t *testing.T) {
	var out strings.Builder
	atSlash := func(text string) bool { return strings.Contains(text, "/") }
	p := render.New(&out, []render.Column{{Name: "actor", End: atSlash}, {Name: "n", Whole: true}}, render.Options{Width: 20})
	for _, v := range []string{"short", "AWSReservedSSO_Admin_0123/ann@example.com", "r\u00f4le/日本語日本語日本語日本語", "start is kept of this"} {
		if err := p.Row([]any{v, "12345"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimRight(out.String(), "\n"), "\n") {
		if w := uniseg.StringWidth(line); w > 20 {
			t.Errorf("line %d is %d columns wide: %q", i, w, line)
		}
	}
	if !strings.Contains(out.String(), "…@example.com  12345") || !strings.Contains(out.String(), "start is kep…") || !strings.Contains(out.String(), "…日本語日本語") {
		t.Errorf("the ends are lost:\n%s", out.String())
	}
}
