package render_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"

	"github.com/iamtrack/iamtrack/internal/render"
)

var hostile = []string{
	"",
	"plain",
	"\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
	"\u202etxt.exe \u2066x\u2069 \u200b\u200d\ufeff",
	"a|b||c\\|d\\",
	"`code` ``more`` `",
	"[x](https://evil.example) ![i](javascript:alert(1)) [r]: x",
	"<script>alert(1)</script><https://evil.example> &lt;b&gt; &#64;",
	"https://evil.example/a|b`c www.evil.example me@evil.example",
	"mailto:a@b.c \\|@ `@` |@|",
	"@`", "`@\\", "*bold* _it_ ~~gone~~ **b** # h - x 1. y + z",
	"=cmd|' /C calc'!A0", "-1+1", "@x", "+x", "\t=1", "\r\n=1",
	"line\nbreak\r\n| --- |", "\xff\xfe\x00\u0085\u2028\u2029",
	"日本語\u3164 e\u0301\u0301", "\U000e0041\U000e0042", ":smile: $x$ {a}",
	"FTP://x", "http\\://x.example", "  \\@  ", "@ ", "\\| x@y.example",
}

func FuzzPrint(f *testing.F) {
	for i, s := range hostile {
		f.Add(s, hostile[(i+1)%len(hostile)], uint8(i))
	}
	f.Fuzz(checkHostile)
}

func checkHostile(t *testing.T, a, b string, width uint8) {
	cols := render.Columns("k"+b, "v")
	rows := [][]any{{a, b}, {[]string{a, b}, []any{b, a, nil}}, {b, nil}}
	out := map[render.Format]string{}
	for _, format := range render.Formats() {
		out[format] = printed(t, cols, rows, render.Options{Format: format, Width: int(width)})
		assertSafe(t, out[format])
	}
	if s := render.Text(a); render.Text(s) != s {
		t.Errorf("Text isn't stable on %q", s)
	}

	var objs []map[string]any
	if err := json.Unmarshal([]byte(out[render.JSON]), &objs); err != nil {
		t.Fatalf("JSON: %v in %s", err, out[render.JSON])
	}
	if got, want := objs[0]["v"], strings.ToValidUTF8(b, "\ufffd"); len(objs) != 3 || !sameText(got.(string), want) {
		t.Errorf("JSON: %d rows, got %q, want %q", len(objs), got, want)
	}

	recs, err := csv.NewReader(strings.NewReader(out[render.CSV])).ReadAll()
	if err != nil || len(recs) != 4 {
		t.Fatalf("CSV: %v, %d records in %q", err, len(recs), out[render.CSV])
	}
	for _, rec := range recs {
		for _, c := range rec {
			if strings.ContainsAny(strings.TrimLeft(c+" ", " ")+" ", "\t\r\n") || c != "" && strings.ContainsRune("=+-@", rune(c[0])) {
				t.Errorf("CSV: live cell %q", c)
			}
		}
	}
	if got, want := strings.TrimPrefix(recs[1][0], "'"), render.Text(a); got != want && recs[1][0] != want {
		t.Errorf("CSV: got %q, want %q", recs[1][0], want)
	}

	// Without a terminal every row is one line.
	table := printed(t, cols, rows, render.Options{})
	if n := strings.Count(table, "\n"); n != 5 {
		t.Errorf("table of %d lines: %q", n, table)
	}

	checkMarkdown(t, out[render.Markdown], []string{"k" + b, "v", a, b})
}

// sameText compares with the bad bytes of want, which may have been replaced
// singly or in runs.
func sameText(got, want string) bool {
	squeeze := func(s string) string {
		for strings.Contains(s, "\ufffd\ufffd") {
			s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
		}
		return s
	}
	return squeeze(got) == squeeze(want)
}

// checkMarkdown reads the document as a GitHub reader does, and compares what
// the first cells show.
func checkMarkdown(t *testing.T, doc string, want []string) {
	t.Helper()
	src := []byte(doc)
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	tree := md.Parser().Parse(text.NewReader(src))
	var cells []string
	rows := 0
	err := ast.Walk(tree, func(n ast.Node, in bool) (ast.WalkStatus, error) {
		if !in {
			return ast.WalkContinue, nil
		}
		switch n.Kind() {
		case ast.KindLink, ast.KindAutoLink, ast.KindImage, ast.KindRawHTML, ast.KindHTMLBlock, ast.KindEmphasis, extast.KindStrikethrough, ast.KindHeading, ast.KindList, ast.KindFencedCodeBlock:
			t.Errorf("Markdown: live %s in %q", n.Kind(), doc)
		case extast.KindTableRow, extast.KindTableHeader:
			rows++
		case extast.KindTableCell:
			cells = append(cells, shown(t, n, src))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows != 4 || len(cells) != 8 {
		t.Fatalf("Markdown: %d rows, %d cells in %q", rows, len(cells), doc)
	}
	for i, w := range want {
		w = strings.Trim(render.Text(w), " ")
		// The one change: code can't hold a backslash before a bar.
		if got := cells[i]; got != w && got != strings.ReplaceAll(w, `\|`, `\ |`) {
			t.Errorf("Markdown: cell shows %q, want %q, in %q", got, w, doc)
		}
	}
}

// shown is a cell's text after rendering.
func shown(t *testing.T, cell ast.Node, src []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM)).Renderer().Render(&b, src, cell); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	for _, tag := range []string{"<td>", "</td>", "<th>", "</th>", "<code>", "</code>", "\n"} {
		s = strings.ReplaceAll(s, tag, "")
	}
	s = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&amp;", "&").Replace(s)
	return strings.Trim(s, " ")
}

// Every pair of hostile texts, so that plain "go test" covers what the fuzzer
// starts from.
func TestHostilePairs(t *testing.T) {
	for _, a := range hostile {
		for _, b := range hostile {
			checkHostile(t, a, b, 40)
		}
	}
}
