package render

import (
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

const (
	// sampleRows are held back to learn the widths; later rows that are wider
	// are shortened, so that a table of any length needs bounded memory.
	sampleRows = 1000
	// maxCell bounds a cell, in columns, when no terminal does.
	maxCell = 120
	// minCell is what a column keeps when the terminal is narrow.
	minCell = 8
	gap     = 2 // columns between columns
)

// Colour is a colour of a table's cell.
type Colour string

// The colours in use, as SGR parameters (ECMA-48).
const (
	NoColour Colour = ""
	Bold     Colour = "1"
	Dim      Colour = "2"
	Red      Colour = "31"
	Green    Colour = "32"
	Yellow   Colour = "33"
	Cyan     Colour = "36"
	BoldRed  Colour = "1;31"
)

// Wrap colours text that is already safe.
func (c Colour) Wrap(text string) string {
	if c == NoColour || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// tablePrinter aligns columns. When a terminal is too narrow for even the
// smallest columns, each row becomes a block of "name  value" lines.
type tablePrinter struct {
	w     io.Writer
	cols  []Column
	o     Options
	held  [][]tableCell
	width []int // nil while rows are held
	right []bool
	block bool
	rows  int
	line  strings.Builder // the line being put together
	buf   strings.Builder // lines to write
}

type tableCell struct {
	text   string // safe
	colour Colour
	number bool
	fixed  bool
	null   bool
}

func newTable(w io.Writer, cols []Column, o Options) *tablePrinter {
	return &tablePrinter{w: w, cols: cols, o: o}
}

func (p *tablePrinter) Row(values []any) error {
	if err := checkRow(p.cols, values); err != nil {
		return err
	}
	row := make([]tableCell, len(values))
	for i, v := range values {
		row[i] = tableCell{text: Text(cell(v, p.o.Zone)), number: isNumber(v), fixed: isFixed(v), null: v == nil}
		if paint := p.cols[i].Paint; paint != nil {
			row[i].colour = paint(v)
		}
	}
	if p.width == nil {
		p.held = append(p.held, row)
		if len(p.held) < sampleRows {
			return nil
		}
		return p.release()
	}
	p.print(row)
	return p.flush()
}

func (p *tablePrinter) Close() error {
	if p.width == nil {
		return p.release()
	}
	return nil
}

// release fixes the layout and prints the heading and what was held back.
func (p *tablePrinter) release() error {
	p.layout()
	if !p.block && len(p.cols) > 0 {
		p.heading()
	}
	for _, row := range p.held {
		p.print(row)
	}
	p.held = nil
	return p.flush()
}

func (p *tablePrinter) flush() error {
	_, err := io.WriteString(p.w, p.buf.String())
	p.buf.Reset()
	return err
}

func (p *tablePrinter) layout() {
	p.width = make([]int, len(p.cols))
	p.right = make([]bool, len(p.cols))
	least := make([]int, len(p.cols))
	for i, c := range p.cols {
		w, fixed, numbers, values := uniseg.StringWidth(Text(c.Name)), 0, 0, 0
		least[i] = min(w, minCell)
		for _, row := range p.held {
			cw := uniseg.StringWidth(row[i].text)
			if !c.Whole {
				cw = min(cw, maxCell)
			}
			w = max(w, cw)
			if row[i].number {
				numbers++
			}
			if row[i].fixed {
				fixed++
			}
			if !row[i].null {
				values++
			}
		}
		p.width[i] = w
		p.right[i] = numbers > 0 && numbers == values
		if c.Whole || fixed > 0 && fixed == values {
			least[i] = w // half a number, or half a time, is a wrong one
		}
	}
	if p.o.Width > 0 && len(p.cols) > 0 {
		p.block = !shrink(p.width, least, p.o.Width-gap*(len(p.cols)-1))
	}
}

// shrink narrows the widest columns until all fit, none below its least width;
// it reports whether they do fit.
func shrink(width, least []int, room int) bool {
	total, floor := 0, 0
	for i, w := range width {
		total += w
		least[i] = min(max(least[i], min(w, minCell)), w)
		floor += least[i]
	}
	if floor > room {
		return false
	}
	for total > room {
		widest := -1
		for i, w := range width {
			if w > least[i] && (widest < 0 || w > width[widest]) {
				widest = i
			}
		}
		width[widest]--
		total--
	}
	return true
}

func (p *tablePrinter) heading() {
	for i, c := range p.cols {
		p.put(i, Text(c.Name), Bold)
	}
	p.endLine()
	for i := range p.cols {
		p.put(i, strings.Repeat("─", p.width[i]), Dim)
	}
	p.endLine()
}

func (p *tablePrinter) print(row []tableCell) {
	p.rows++
	if p.block {
		p.printBlock(row)
		return
	}
	for i, c := range row {
		p.put(i, c.text, c.colour)
	}
	p.endLine()
}

// put adds a cell, aligned; trailing blanks of a line are endLine's business.
func (p *tablePrinter) put(i int, text string, colour Colour) {
	if i > 0 {
		p.line.WriteString(strings.Repeat(" ", gap))
	}
	text = p.shorten(i, text, p.width[i])
	pad := strings.Repeat(" ", p.width[i]-uniseg.StringWidth(text))
	if p.o.Colour {
		text = colour.Wrap(text)
	}
	switch {
	case p.right[i]:
		p.line.WriteString(pad + text)
	case i == len(p.cols)-1:
		p.line.WriteString(text)
	default:
		p.line.WriteString(text + pad)
	}
}

func (p *tablePrinter) endLine() {
	p.buf.WriteString(strings.TrimRight(p.line.String(), " ") + "\n")
	p.line.Reset()
}

func (p *tablePrinter) printBlock(row []tableCell) {
	if p.rows > 1 {
		p.buf.WriteByte('\n')
	}
	name := 0
	for _, c := range p.cols {
		name = max(name, uniseg.StringWidth(Text(c.Name)))
	}
	for i, c := range row {
		if c.text == "" {
			continue
		}
		head := Text(p.cols[i].Name)
		text := c.text
		if !p.cols[i].Whole {
			text = p.shorten(i, text, max(minCell, p.o.Width-name-gap))
		}
		pad := strings.Repeat(" ", name-uniseg.StringWidth(head)+gap)
		if p.o.Colour {
			head, text = Bold.Wrap(head), c.colour.Wrap(text)
		}
		p.buf.WriteString(head + pad + text + "\n")
	}
}

func (p *tablePrinter) shorten(i int, text string, width int) string {
	if end := p.cols[i].End; end != nil && end(text) {
		return shortenStart(text, width)
	}
	return Shorten(text, width)
}

// shortenStart is Shorten for text whose end is to be kept.
func shortenStart(text string, width int) string {
	used := uniseg.StringWidth(text)
	if used <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if used -= g.Width(); used <= width-1 {
			_, to := g.Positions()
			return "…" + text[to:]
		}
	}
	return "…"
}

// Shorten cuts safe text to a width in terminal columns; what was cut ends in
// "…". Characters that belong together are never split.
func Shorten(text string, width int) string {
	if len(text) <= width || uniseg.StringWidth(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	g := uniseg.NewGraphemes(text)
	end, used := 0, 0
	for g.Next() {
		if used+g.Width() > width-1 {
			break
		}
		used += g.Width()
		_, end = g.Positions()
	}
	return text[:end] + "…"
}
