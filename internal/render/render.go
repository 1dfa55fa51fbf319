// Package render prints rows for people and for programs: an aligned table, an
// array of JSON objects, CSV, or a Markdown table.
//
// Every string is hostile: whoever can make a CloudTrail event chooses user
// agents, names and error texts. What is printed here can't move a cursor,
// reverse a line, run as a spreadsheet formula, or become a link: see Text for
// terminals, and json.go, csv.go and markdown.go for the other forms. JSON keeps
// every character (as an escape where needed); the other forms show what is
// dangerous as a visible escape.
//
// A Printer streams: only a table holds rows back, at most sampleRows of them,
// to learn how wide its columns are. Nothing here knows what the columns mean.
package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Format is how rows are printed.
type Format string

// The formats a Printer knows.
const (
	Table    Format = "table"
	JSON     Format = "json"
	CSV      Format = "csv"
	Markdown Format = "markdown"
)

// Formats lists them in the order in which help shows them.
func Formats() []Format { return []Format{Table, JSON, CSV, Markdown} }

// Machine reports whether programs, rather than people, read the format.
func (f Format) Machine() bool { return f == JSON || f == CSV }

// Column is a column of a Printer.
type Column struct {
	// Name is the heading, and the key in JSON. Two columns of one name get
	// "_2", "_3", … appended from the second on, so that no key is lost.
	Name string
	// Whole columns are never shortened in a table: ids that are to be copied.
	Whole bool
	// End tells of which values a table keeps the end, not the start, when it
	// shortens them; nil means none.
	End func(text string) bool
	// Paint chooses a colour for a value in a table; nil means none.
	Paint func(value any) Colour
}

// Columns makes plain columns of names.
func Columns(names ...string) []Column {
	cols := make([]Column, len(names))
	for i, n := range names {
		cols[i].Name = n
	}
	return cols
}

// Options of a Printer. The zero value prints a table as for a pipe: no colour,
// any width, times in UTC.
type Options struct {
	Format Format
	// Zone is where times are shown in tables and Markdown; nil means UTC.
	// JSON and CSV always have UTC.
	Zone *time.Location
	// Width is the terminal's, in columns; 0 means unbounded.
	Width int
	// Colour permits colours; see Terminal.
	Colour bool
}

// Printer prints rows. Not safe for concurrent use.
type Printer interface {
	// Row prints one row; values beyond the columns are an error. A value is
	// nil, bool, int, int64, float64, string, time.Time, query.Date, []string
	// or []any; what else implements fmt.Stringer or can be encoded as JSON is
	// printed so. The slice isn't kept.
	Row(values []any) error
	// Close prints what is held back and the end of the document. It doesn't
	// close the stream.
	Close() error
}

// New returns a Printer on w for the format of o (an unknown one is a table).
// The caller buffers w when many rows are due.
func New(w io.Writer, cols []Column, o Options) Printer {
	cols = distinct(cols)
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	switch o.Format {
	case JSON:
		return newJSON(w, cols)
	case CSV:
		return newCSV(w, cols)
	case Markdown:
		return newMarkdown(w, cols, o)
	default:
		return newTable(w, cols, o)
	}
}

// distinct returns the columns under names that differ from each other.
func distinct(cols []Column) []Column {
	out := make([]Column, len(cols))
	seen := make(map[string]bool, len(cols))
	for _, c := range cols {
		seen[c.Name] = true
	}
	used := make(map[string]bool, len(cols))
	for i, c := range cols {
		name := c.Name
		for n := 2; used[name]; n++ {
			// A number that another column bears by nature is skipped.
			if next := c.Name + "_" + strconv.Itoa(n); !seen[next] {
				name = next
			}
		}
		used[name] = true
		out[i] = c
		out[i].Name = name
	}
	return out
}

func checkRow(cols []Column, values []any) error {
	if len(values) != len(cols) {
		return fmt.Errorf("print row: %d values for %d columns", len(values), len(cols))
	}
	return nil
}

// timeLayout shows milliseconds only where there are some; most records have
// whole seconds. The zone is always shown: an hour without one misleads.
func timeText(t time.Time, zone *time.Location) string {
	layout := "2006-01-02 15:04:05Z07:00"
	if t.Nanosecond() != 0 {
		layout = "2006-01-02 15:04:05.000Z07:00"
	}
	return t.In(zone).Format(layout)
}

// cell is a value as text for people, before anything is escaped.
func cell(v any, zone *time.Location) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatText(v)
	case time.Time:
		return timeText(v, zone)
	case []string:
		return strings.Join(v, ", ")
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = cell(e, zone)
		}
		return strings.Join(parts, ", ")
	case fmt.Stringer:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

// floatText is the shortest form that reads back to the same number, without an
// exponent for magnitudes that people meet.
func floatText(f float64) string {
	if a := max(f, -f); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// isFixed reports whether a value is of a kind whose text no attacker chooses,
// and which is useless or misleading when cut.
func isFixed(v any) bool {
	switch v.(type) {
	case bool, time.Time:
		return true
	}
	return isNumber(v)
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64:
		return true
	}
	return false
}
