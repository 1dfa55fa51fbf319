package cli

import (
	"strings"

	"github.com/rivo/uniseg"

	"github.com/iamtrack/iamtrack/internal/render"
)

// page is a text for people: fields, paragraphs, headings. Callers pass text
// that is safe, except to field, which makes it so.
type page struct {
	e     *env
	width int
	b     strings.Builder
}

func (e *env) newPage() *page {
	width, ok := render.Terminal(e.stdout)
	if !ok || width > 100 {
		width = 100 // longer lines are hard to read
	}
	return &page{e: e, width: max(width, 40)}
}

func (p *page) String() string { return p.b.String() }

func (p *page) line(safe string) { p.b.WriteString(safe + "\n") }

func (p *page) blank() { p.b.WriteByte('\n') }

// heading starts a part of the page.
func (p *page) heading(safe string) {
	p.blank()
	p.line(p.e.paint(render.Bold, safe))
}

const (
	fieldWidth     = 14
	wideFieldWidth = 22
)

// field prints a name and a value; nothing for an empty value.
func (p *page) field(name, value string) { p.fieldOf(name, value, fieldWidth) }

// wideField is field for the names of columns.
func (p *page) wideField(name, value string) { p.fieldOf(name, value, wideFieldWidth) }

func (p *page) fieldOf(name, value string, width int) {
	if value == "" {
		return
	}
	pad := strings.Repeat(" ", max(1, width-uniseg.StringWidth(name)))
	p.line("  " + p.e.paint(render.Dim, name) + pad + render.Text(value))
}

// paragraph wraps words, indented by two.
func (p *page) paragraph(safe string) {
	used := 0
	for word := range strings.FieldsSeq(safe) {
		w := uniseg.StringWidth(word)
		switch {
		case used == 0:
			p.b.WriteString("  ")
			used = 2
		case used+1+w > p.width:
			p.b.WriteString("\n  ")
			used = 2
		default:
			p.b.WriteByte(' ')
			used++
		}
		p.b.WriteString(word)
		used += w
	}
	p.b.WriteByte('\n')
}
