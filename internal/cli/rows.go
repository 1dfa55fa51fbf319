package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
)

// rowsOptions say how a result is printed.
type rowsOptions struct {
	// columns names those to show in a table or Markdown; empty: all.
	columns []string
	// limit ends the printing after so many rows; 0: never.
	limit int
	// file takes the result instead of standard output.
	file string
	// ifNone is said when there is no row.
	ifNone string
	// style is asked for a column's style by name.
	style func(name string) render.Column
	// coverage says how complete the answer is; nil says nothing.
	coverage *answerCoverage
	// names of accounts are shown beside their ids where people read.
	names map[string]string
}

// printRows prints a result and closes it. It tells on standard error what the
// answer took, and whether there is more.
func (e *env) printRows(rows query.Rows, o rowsOptions) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	start := time.Now()
	capped := &cappedRows{Rows: rows, left: o.limit, all: o.limit <= 0}
	var n int
	var write func(io.Writer) error
	if e.parquet() {
		write = func(w io.Writer) error {
			written, err := query.WriteParquet(w, capped)
			n = int(written)
			return err
		}
	} else {
		cols, index := o.choose(rows.Columns(), e.format().Machine())
		write = func(w io.Writer) error {
			p := e.printer(w, cols)
			if o.file != "" { // not for this terminal
				p = render.New(w, cols, render.Options{Format: e.format(), Zone: e.config.Zone})
			}
			return e.rowsDocument(w, o.coverage, func(io.Writer) error {
				if n, err = copyRows(p, o.naming(capped, e.programs()), index); err != nil {
					return err
				}
				return p.Close()
			})
		}
	}
	if o.file == "" {
		err = e.document(write)
	} else {
		err = toFile(o.file, write)
	}
	if err != nil {
		return err
	}
	s := rows.Stats()
	if s.Elapsed == 0 { // not read to the end
		s.Elapsed = time.Since(start)
	}
	text := fmt.Sprintf("%s in %s, %s", count(n, "row"), secondsText(s.Elapsed), readText(s))
	if o.file != "" {
		text += ", written to " + o.file
	}
	e.note("%s", text)
	e.tellCoverage(o.coverage)
	if n == 0 && o.ifNone != "" {
		e.note("%s", o.ifNone)
	}
	if capped.more || s.Truncated {
		e.note("there are more rows: --limit 0 shows all")
	}
	return nil
}

// readText says what an answer read, and what that cost, as far as its engine tells.
func readText(s query.Stats) string {
	text := bytesText(s.BytesScanned)
	if s.Files > 0 || s.USD == 0 {
		text += " of " + count(s.Files, "file")
	}
	text += " read"
	switch {
	case s.USD >= 0.01:
		text += fmt.Sprintf(", about $%.2f", s.USD)
	case s.USD >= 0.0001:
		text += fmt.Sprintf(", about $%.4f", s.USD)
	case s.USD > 0:
		text += ", less than $0.0001"
	}
	return text
}

// choose returns the columns to print and where they are in a row.
func (o *rowsOptions) choose(all []query.Column, machine bool) (cols []render.Column, index []int) {
	style := o.style
	if style == nil {
		style = columnStyle
	}
	for i, c := range all {
		if machine || len(o.columns) == 0 || slices.Contains(o.columns, c.Name) {
			cols = append(cols, style(c.Name))
			index = append(index, i)
		}
	}
	if len(cols) == 0 { // none of the names is there: better all than nothing
		o.columns = nil
		return o.choose(all, true)
	}
	return cols, index
}

// naming puts names beside the ids of accounts.
func (o *rowsOptions) naming(rows query.Rows, programs bool) query.Rows {
	var at []int
	for i, c := range rows.Columns() {
		if slices.Contains(accountColumns, c.Name) {
			at = append(at, i)
		}
	}
	if programs || len(o.names) == 0 || len(at) == 0 {
		return rows
	}
	return &namedRows{Rows: rows, names: o.names, at: at}
}

// accountColumns are columns of events and of query packs that hold account ids.
var accountColumns = []string{"account_id", "identity_account_id", "caller_account", "role_account", "from_account", "target_account"}

// namedRows are rows with the names of accounts beside their ids.
type namedRows struct {
	query.Rows
	names map[string]string
	at    []int
	row   []any
}

func (r *namedRows) Next() ([]any, error) {
	row, err := r.Rows.Next()
	if err != nil {
		return nil, err
	}
	r.row = append(r.row[:0], row...)
	for _, i := range r.at {
		if id, ok := r.row[i].(string); ok {
			r.row[i] = namedCell(r.names, id)
		}
	}
	return r.row, nil
}

// columnStyle is how well-known columns look in a table.
func columnStyle(name string) render.Column {
	c := render.Column{Name: name}
	switch name {
	case "event_id":
		c.Whole = true
	case "outcome":
		c.Paint = paintOutcome
	case "severity":
		c.Paint = paintSeverity
	case "actor", "role", "identity_arn", "target_arn":
		c.End = endTells
	}
	return c
}

// endTells: what tells role/session and arn:…/name from others of their kind is
// the end, but the start of "subject @ provider".
func endTells(text string) bool { return !strings.Contains(text, " @ ") }

func paintOutcome(v any) render.Colour {
	switch v {
	case "denied":
		return render.Yellow
	case "failed":
		return render.Red
	}
	return render.NoColour
}

// copyRows prints the chosen columns of all rows and counts them.
func copyRows(p render.Printer, rows query.Rows, index []int) (n int, err error) {
	values := make([]any, len(index))
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for i, at := range index {
			values[i] = row[at]
		}
		if err := p.Row(values); err != nil {
			return n, err
		}
		n++
	}
}

// parquet reports whether this run writes Parquet.
func (e *env) parquet() bool { return e.flags.format == formatParquet }

// cappedRows ends a result after so many rows.
type cappedRows struct {
	query.Rows
	left int
	all  bool // no cap
	more bool // rows were left
}

func (c *cappedRows) Next() ([]any, error) {
	row, err := c.Rows.Next()
	if err != nil || c.all {
		return row, err
	}
	if c.left == 0 {
		c.more = true
		// Mostly one row more was asked for than is shown: this ends the
		// result, and completes its Stats. What comes of it doesn't matter.
		_, _ = c.Rows.Next()
		return nil, io.EOF
	}
	c.left--
	return row, nil
}
