package query

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Table is a table of the lake as the Glue Data Catalog keeps it: encoded as JSON it
// is the TableInput of Glue's API and of CloudFormation's AWS::Glue::Table. Its
// partitions are computed (partition projection), so that there is no crawler to
// run and no partition to add.
//
// Source: AWS Glue API Reference, "TableInput"; Amazon Athena User Guide, "Set up
// partition projection" and "Supported types for partition projection".
type Table struct {
	Name              string
	TableType         string
	Parameters        map[string]string
	PartitionKeys     []TableColumn
	StorageDescriptor TableStorage
}

// TableColumn is a column with its type in Hive's words.
type TableColumn struct{ Name, Type string }

// TableStorage says where a table's files are and how they are read.
type TableStorage struct {
	Columns      []TableColumn
	Location     string // s3://…/, the folder of the table
	InputFormat  string
	OutputFormat string
	SerdeInfo    TableSerde
}

// TableSerde is Hive's reader of the files.
type TableSerde struct{ SerializationLibrary string }

// EarliestDate is the first day that the tables have: CloudTrail began in November
// 2013, no event is older.
const EarliestDate = "2013-11-01"

// The properties of the projection.
const (
	projection  = "projection." + PartitionColumn
	dayTemplate = PartitionColumn + "=${" + PartitionColumn + "}/"
)

// LakeTables defines the tables events and filtered over a lake: location is that of
// the lake's folder, such as s3://BUCKET or s3://BUCKET/PREFIX. The partition column
// is a date, so that queries name a day as they do for DuckDB, DATE '2026-11-01'; in
// the folders' names it is text, YYYY-MM-DD.
func LakeTables(location string) []Table {
	location = strings.TrimSuffix(location, "/")
	return []Table{
		lakeTable("events", location, EventColumns()),
		lakeTable("filtered", location, FilteredColumns()),
	}
}

// hiveTypes are Hive's names of our types.
var hiveTypes = map[string]string{"VARCHAR": "string", "BOOLEAN": "boolean", "BIGINT": "bigint", "TIMESTAMP": "timestamp", "DATE": "date"}

func lakeTable(name, location string, columns []SchemaColumn) Table {
	folder := location + "/" + name + "/"
	t := Table{
		Name:      name,
		TableType: "EXTERNAL_TABLE",
		Parameters: map[string]string{
			"EXTERNAL":                    "TRUE",
			"classification":              "parquet",
			"projection.enabled":          "true",
			projection + ".type":          "date",
			projection + ".format":        "yyyy-MM-dd",
			projection + ".range":         EarliestDate + ",NOW+1DAY",
			projection + ".interval":      "1",
			projection + ".interval.unit": "DAYS",
			"storage.location.template":   folder + dayTemplate,
		},
		StorageDescriptor: TableStorage{
			Location:     folder,
			InputFormat:  "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
			OutputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
			SerdeInfo:    TableSerde{"org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
		},
	}
	for _, c := range columns {
		column := TableColumn{c.Name, hiveTypes[c.Type]}
		if c.Name == PartitionColumn {
			t.PartitionKeys = append(t.PartitionKeys, column)
		} else {
			t.StorageDescriptor.Columns = append(t.StorageDescriptor.Columns, column)
		}
	}
	return t
}

// DDL is the statement that makes the table in Athena; an empty database is the one
// that the statement is run in.
func (t Table) DDL(database string) string {
	name := t.Name
	if database != "" {
		name = "`" + strings.ReplaceAll(database, "`", "``") + "`." + name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE EXTERNAL TABLE IF NOT EXISTS %s (\n%s\n)\n", name, columnLines(t.StorageDescriptor.Columns))
	keys := make([]string, len(t.PartitionKeys))
	for i, k := range t.PartitionKeys {
		keys[i] = k.Name + " " + k.Type
	}
	fmt.Fprintf(&b, "PARTITIONED BY (%s)\nSTORED AS PARQUET\nLOCATION '%s'\nTBLPROPERTIES (\n", strings.Join(keys, ", "), t.StorageDescriptor.Location)
	var properties []string
	for _, k := range slices.Sorted(maps.Keys(t.Parameters)) {
		if k != "EXTERNAL" { // the statement says so
			properties = append(properties, fmt.Sprintf("  '%s' = '%s'", k, t.Parameters[k]))
		}
	}
	b.WriteString(strings.Join(properties, ",\n") + "\n);")
	return b.String()
}

func columnLines(columns []TableColumn) string {
	lines := make([]string, len(columns))
	for i, c := range columns {
		lines[i] = "  " + c.Name + " " + c.Type
	}
	return strings.Join(lines, ",\n")
}
