package render

import (
	"encoding/csv"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// csvPrinter writes RFC 4180 with a heading line and "\n" line ends.
//
// A string cell whose first visible character would make a spreadsheet evaluate
// it (= + - @, their full-width forms too) gets an apostrophe in front, which
// spreadsheets show as text; numbers are left alone. Tab, carriage return and
// other control characters are shown as escapes (see Text), so no cell can
// start with one. An absent value is an empty cell; a list is its JSON text.
type csvPrinter struct {
	w    *csv.Writer
	cols []Column
	head bool
	rec  []string
}

func newCSV(w io.Writer, cols []Column) *csvPrinter {
	return &csvPrinter{w: csv.NewWriter(w), cols: cols, rec: make([]string, len(cols))}
}

func (p *csvPrinter) header() error {
	if p.head {
		return nil
	}
	p.head = true
	names := make([]string, len(p.cols))
	for i, c := range p.cols {
		names[i] = csvText(c.Name)
	}
	return p.w.Write(names)
}

func (p *csvPrinter) Row(values []any) error {
	if err := checkRow(p.cols, values); err != nil {
		return err
	}
	if err := p.header(); err != nil {
		return err
	}
	for i, v := range values {
		switch v := v.(type) {
		case time.Time:
			p.rec[i] = v.UTC().Format(time.RFC3339Nano)
		case []string, []any:
			b, err := appendValue(nil, v)
			if err != nil {
				return err
			}
			p.rec[i] = csvText(string(b))
		default:
			p.rec[i] = cell(v, time.UTC)
			if !isNumber(v) {
				p.rec[i] = csvText(p.rec[i])
			}
		}
	}
	return p.w.Write(p.rec)
}

func (p *csvPrinter) Close() error {
	if err := p.header(); err != nil {
		return err
	}
	p.w.Flush()
	return p.w.Error()
}

func csvText(s string) string {
	s = Text(s)
	// Some importers trim spaces before they look for a formula.
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " "))
	if strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20", first) && first != utf8.RuneError {
		return "'" + s
	}
	return s
}
