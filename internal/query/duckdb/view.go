package duckdb

import (
	"fmt"
	"strings"

	"github.com/iamtrack/iamtrack/internal/query"
)

// eventsView makes the view events, of day files and roll-ups.
func (s *sources) eventsView() string {
	columns := query.EventColumns()
	var parts []string
	if len(s.days) > 0 {
		parts = append(parts, selectSQL(eventsTable, columns))
	}
	if len(s.months) > 0 {
		part := selectSQL(rollUpTable, columns)
		if s.clip {
			part += fmt.Sprintf(" WHERE %[1]s >= DATE '%[2]v' AND %[1]s <= DATE '%[3]v'", query.PartitionColumn,
				max(s.since, minDate), min(s.until, maxDate))
		}
		parts = append(parts, part)
	}
	return viewSQL(eventsTable, columns, parts)
}

func (s *sources) filteredView() string {
	columns := query.FilteredColumns()
	var parts []string
	if len(s.filtered) > 0 {
		parts = append(parts, selectSQL(filteredTable, columns))
	}
	return viewSQL(filteredTable, columns, parts)
}

// viewSQL makes a table's view of some SELECTs; without any it is empty, and has
// all columns.
func viewSQL(t table, columns []query.SchemaColumn, parts []string) string {
	if len(parts) == 0 {
		var names []string
		for _, c := range columns {
			names = append(names, fmt.Sprintf("CAST(NULL AS %s) AS %s", c.Type, c.Name))
		}
		parts = []string{"SELECT " + strings.Join(names, ", ") + " FROM (SELECT 1) WHERE false"}
	}
	return fmt.Sprintf("CREATE VIEW %s AS %s;\n", t.name, strings.Join(parts, " UNION ALL "))
}

// selectSQL reads the files of a table. The columns are declared, not
// discovered: no file is opened before a query needs it, and a file from before a
// column was added yields NULL for it. A roll-up has the day as a column; a day
// file has it in its name, by which DuckDB leaves out files that a predicate on
// event_date excludes (declared columns exclude its own hive partitioning).
func selectSQL(t table, columns []query.SchemaColumn) string {
	var names, schema []string
	option := ""
	for _, c := range columns {
		if c.Name == query.PartitionColumn && t.file != "" {
			// …/event_date=YYYY-MM-DD/NAME, counted from the end.
			names = append(names, fmt.Sprintf("CAST(substr(filename, -%d, 10) AS DATE) AS %s", 10+1+len(t.file), c.Name))
			option = "filename = true, "
			continue
		}
		names = append(names, c.Name)
		schema = append(schema, fmt.Sprintf("'%[1]s': {name: '%[1]s', type: '%[2]s', default_value: NULL}", c.Name, c.Type))
	}
	return fmt.Sprintf("SELECT %s FROM read_parquet(getvariable('%s_files'), %sschema = MAP {%s})",
		strings.Join(names, ", "), t.name, option, strings.Join(schema, ", "))
}
