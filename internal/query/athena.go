package query

import (
	"fmt"
	"io"
	"strings"
)

// athenaValues stand for parameters that have no default.
var athenaValues = map[string]string{"text": "CHANGE-ME", "pattern": "CHANGE-ME*", "int": "1", "date": "2000-01-01"}

// Saved is a query as Athena's console keeps it.
type Saved struct {
	Name, Title string
	// SQL begins with what there is to know about it, as comments, and has no
	// semicolon.
	SQL string
}

// Saved renders all queries to be kept in Athena, by name. The SQL is the same that
// DuckDB gets; without Since and Until its range moves with the day on which it is
// asked. Parameters without a default are filled with CHANGE-ME.
func (c *Catalogue) Saved(p Params) ([]Saved, error) {
	p.Moving = p.Since.IsZero() && p.Until.IsZero()
	all := make([]Saved, 0, len(c.queries))
	for _, q := range c.queries {
		p.Values = map[string]string{}
		var b strings.Builder
		for line := range strings.SplitSeq(wrap(q.Description, 92), "\n") {
			fmt.Fprintf(&b, "-- %s\n", line)
		}
		for _, o := range q.Params {
			value := o.Default
			if o.Required {
				value = athenaValues[o.Type]
				p.Values[o.Name] = value
			}
			fmt.Fprintf(&b, "-- %s = %s: %s\n", o.Name, value, o.Description)
		}
		sql, err := q.Render(p)
		if err != nil {
			return nil, fmt.Errorf("render %s for athena: %w", q.Name, err)
		}
		b.WriteString(strings.TrimRight(sql, "\n"))
		all = append(all, Saved{q.Name, q.Title, b.String()})
	}
	return all, nil
}

// ExportAthena writes the tables' definitions and all queries (see Saved) to paste
// into the Athena console.
func (c *Catalogue) ExportAthena(w io.Writer, p Params) error {
	all, err := c.Saved(p)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(`-- The lake's tables and queries for Amazon Athena (engine 3), printed by iamtrack.
-- Run the two CREATE statements once, with your bucket's name in place of YOUR-BUCKET.
-- The partitions are computed (partition projection): no crawler, no MSCK REPAIR.
-- Every query names its range on event_date, which is what bounds the bytes scanned.

`)
	for _, t := range LakeTables("s3://YOUR-BUCKET") {
		b.WriteString(t.DDL("") + "\n\n")
	}
	for _, q := range all {
		fmt.Fprintf(&b, "-- %s: %s\n%s;\n\n", q.Name, q.Title, q.SQL)
	}
	_, err = io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// wrap breaks text into lines of at most width bytes where words allow.
func wrap(text string, width int) string {
	var b strings.Builder
	line := 0
	for _, word := range strings.Fields(text) {
		switch {
		case line == 0:
		case line+1+len(word) > width:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}
