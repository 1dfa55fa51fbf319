package render

import (
	"io"
	"strings"
	"unicode"
)

// markdownPrinter writes a GitHub-flavoured table. Markup in values shows as
// text. Readers turn bare addresses (scheme://, www., name@host) into links
// even when they are escaped, so a value with one is set as code, where nothing
// is a link.
type markdownPrinter struct {
	w    io.Writer
	cols []Column
	o    Options
	head bool
	buf  strings.Builder
}

func newMarkdown(w io.Writer, cols []Column, o Options) *markdownPrinter {
	return &markdownPrinter{w: w, cols: cols, o: o}
}

func (p *markdownPrinter) header() error {
	if p.head || len(p.cols) == 0 {
		return nil
	}
	p.head = true
	for _, c := range p.cols {
		p.buf.WriteString("| " + MarkdownText(c.Name) + " ")
	}
	p.buf.WriteString("|\n" + strings.Repeat("| --- ", len(p.cols)) + "|\n")
	return p.flush()
}

func (p *markdownPrinter) flush() error {
	_, err := io.WriteString(p.w, p.buf.String())
	p.buf.Reset()
	return err
}

func (p *markdownPrinter) Row(values []any) error {
	if err := checkRow(p.cols, values); err != nil {
		return err
	}
	if err := p.header(); err != nil {
		return err
	}
	for _, v := range values {
		text := cell(v, p.o.Zone)
		if !isFixed(v) {
			text = MarkdownText(text)
		}
		p.buf.WriteString("| " + text + " ")
	}
	p.buf.WriteString("|\n")
	return p.flush()
}

func (p *markdownPrinter) Close() error { return p.header() }

// MarkdownText makes a string safe as the cell of a Markdown table: it renders
// as Text(s), and nothing in it is markup, HTML or a link.
func MarkdownText(s string) string {
	s = strings.Trim(Text(s), " ")
	if linkLike(s) {
		return code(s)
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_[]|~!#$:{}", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// linkLike errs on the side of yes: code is merely less pretty.
func linkLike(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "@") || strings.Contains(s, "://") ||
		strings.Contains(s, "www.") || strings.Contains(s, "mailto:") || strings.Contains(s, "xmpp:")
}

// code sets s as a code span. Within a table, a bar must be escaped even there,
// and is shown without the backslash. A backslash before a bar would take part
// in that, so such a value keeps a space between them.
func code(s string) string {
	run, longest := 0, 0
	for _, r := range s {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	fence := strings.Repeat("`", longest+1)
	s = strings.ReplaceAll(s, `\|`, `\ |`)
	s = strings.ReplaceAll(s, "|", `\|`)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.IndexFunc(s, func(r rune) bool { return !unicode.IsSpace(r) }) < 0 {
		s = " " + s + " "
	}
	// A backslash at the end would escape nothing in code, but some readers
	// split the row first: keep it away from the fence.
	if strings.HasSuffix(s, `\`) {
		s = " " + s + " "
	}
	return fence + s + fence
}
