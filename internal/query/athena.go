package query

import (
	"fmt"
	"io"
	"strings"
)

// athenaValues stand for parameters that have no default.
var athenaValues = map[string]string{"text": "CHANGE-ME", "pattern": "CHANGE-ME*", "int": "1", "date": "2000-01-01"}

// ExportAthena writes the tables' definitions and all queries, rendered, to
// paste into the Athena console. The SQL is the same that DuckDB gets.
// Parameters without a default are filled with CHANGE-ME.
func (c *Catalogue) ExportAthena(w io.Writer, p Params) error {
	var b strings.Builder
	b.WriteString(`-- The lake's tables and queries for Amazon Athena (engine 3), printed by iamtrack.
-- Run the two CREATE statements once, with your bucket's name in place of YOUR-BUCKET.
-- The partitions are computed (partition projection): no crawler, no MSCK REPAIR.
-- Every query names its range on event_date, which is what bounds the bytes scanned.

`)
	for _, t := range LakeTables("s3://YOUR-BUCKET") {
		b.WriteString(t.DDL("") + "\n\n")
	}
	for _, q := range c.queries {
		p.Values = map[string]string{}
		fmt.Fprintf(&b, "-- %s: %s\n", q.Name, q.Title)
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
			return fmt.Errorf("render %s for athena: %w", q.Name, err)
		}
		b.WriteString(strings.TrimRight(sql, "\n"))
		b.WriteString(";\n\n")
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
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
