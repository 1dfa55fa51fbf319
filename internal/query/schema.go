package query

import (
	"reflect"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// SchemaColumn is a column of a table, as SQL sees it.
type SchemaColumn struct {
	Name string
	// Type is VARCHAR, BOOLEAN, BIGINT, TIMESTAMP or DATE, each of which means
	// the same in DuckDB and in Athena.
	Type string
}

// PartitionColumn is the UTC day of an event, which the lake keeps in the
// folder's name.
const PartitionColumn = "event_date"

// EventColumns returns the columns of the table events, in order: those of
// event.Event that machine output shows, with event_date after event_time.
// record_hash, which only ranks versions of a record, is left out.
func EventColumns() []SchemaColumn { return columnsOf(reflect.TypeFor[event.Event]()) }

// FilteredColumns returns the columns of the table filtered, in order.
func FilteredColumns() []SchemaColumn { return columnsOf(reflect.TypeFor[event.Filtered]()) }

func columnsOf(t reflect.Type) []SchemaColumn {
	columns := make([]SchemaColumn, 0, t.NumField()+1)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("json") == "-" {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		c := SchemaColumn{Name: name, Type: "VARCHAR"}
		switch {
		case strings.Contains(options, "timestamp("):
			c.Type = "TIMESTAMP"
		case f.Type.Kind() == reflect.Int64:
			c.Type = "BIGINT"
		case f.Type == reflect.TypeFor[*bool]():
			c.Type = "BOOLEAN"
		}
		columns = append(columns, c)
		if name == "event_time" {
			columns = append(columns, SchemaColumn{PartitionColumn, "DATE"})
		}
	}
	return columns
}
