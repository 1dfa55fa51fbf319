package duckdb

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/iamtrack/iamtrack/internal/query"
)

//go:embed macros.sql
var macros string

// tempPrefix starts the names of overflow folders.
const tempPrefix = "iamtrack-query-"

// instance is one DuckDB with one connection, for one query.
type instance struct {
	db   mapping.Database
	conn mapping.Connection
	temp string // overflow folder; DuckDB makes it when it needs it
}

// openInstance returns a locked DuckDB whose views are made of the given files.
func openInstance(o Options, events, filtered []lakeFile) (*instance, error) {
	temp, err := os.MkdirTemp(o.TempDir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the query's overflow: %w", err)
	}
	i := &instance{temp: temp}
	settings := map[string]string{
		"memory_limit":                 strconv.Itoa(o.MemoryMB) + "MiB",
		"temp_directory":               temp,
		"max_temp_directory_size":      strconv.Itoa(o.TempMB) + "MiB",
		"autoinstall_known_extensions": "false",
		"autoload_known_extensions":    "false",
		"allow_community_extensions":   "false",
		"allow_persistent_secrets":     "false",
	}
	if o.Threads > 0 {
		settings["threads"] = strconv.Itoa(o.Threads)
	}
	if err := i.open(settings); err != nil {
		i.close()
		return nil, fmt.Errorf("open duckdb: %w", err)
	}
	if err := i.setUp(events, filtered); err != nil {
		i.close()
		return nil, fmt.Errorf("set up duckdb: %w", err)
	}
	return i, nil
}

func (i *instance) open(settings map[string]string) error {
	var config mapping.Config
	if mapping.CreateConfig(&config) == mapping.StateError {
		return errors.New("no configuration")
	}
	defer mapping.DestroyConfig(&config)
	for name, value := range settings {
		if mapping.SetConfig(config, name, value) == mapping.StateError {
			return fmt.Errorf("setting %s = %s is refused", name, value)
		}
	}
	var message string
	if mapping.OpenExt("", &i.db, config, &message) == mapping.StateError {
		return errors.New(message)
	}
	if mapping.Connect(i.db, &i.conn) == mapping.StateError {
		return errors.New("no connection")
	}
	return nil
}

// setUp makes macros and views and then locks all settings. The order matters:
// after the lock, neither paths nor settings can be changed any more.
func (i *instance) setUp(events, filtered []lakeFile) error {
	var b strings.Builder
	b.WriteString(macros)
	// The cache of file contents doubled the time of queries that read much,
	// and lives no longer than one query. Profiling tells only which columns of
	// how many files were read; see scanned.go.
	b.WriteString(`SET enable_external_file_cache = false;
SET TimeZone = 'UTC';
SET enable_profiling = 'no_output';
SET custom_profiling_settings = '{"OPERATOR_TYPE": "true", "EXTRA_INFO": "true"}';
`)
	allowed, err := pathList(slices.Concat(events, filtered))
	if err != nil {
		return err
	}
	if allowed != "" {
		b.WriteString("SET allowed_paths = " + allowed + ";\n")
	}
	for _, t := range []struct {
		table   table
		columns []query.SchemaColumn
		files   []lakeFile
	}{{eventsTable, query.EventColumns(), events}, {filteredTable, query.FilteredColumns(), filtered}} {
		list, err := pathList(t.files)
		if err != nil {
			return err
		}
		if list != "" {
			b.WriteString("SET VARIABLE " + t.table.name + "_files = " + list + ";\n")
		}
		b.WriteString(viewSQL(t.table, t.columns, list != ""))
	}
	b.WriteString("SET enable_external_access = false;\nSET lock_configuration = true;\n")
	return i.exec(b.String())
}

// pathList is an expression for a list of paths. Splitting one string is much
// quicker than a list of literals, which DuckDB evaluates as a call with one
// argument a path (seen with 3,650 of them). Newest first.
func pathList(files []lakeFile) (string, error) {
	if len(files) == 0 {
		return "", nil
	}
	paths := make([]string, len(files))
	for i, f := range files {
		if strings.ContainsAny(f.path, "\n\x00") {
			return "", fmt.Errorf("the lake's path %q has a character that no path should have", filepath.Dir(f.path))
		}
		paths[len(files)-1-i] = f.path
	}
	return "string_split('" + strings.ReplaceAll(strings.Join(paths, "\n"), "'", "''") + "', chr(10))", nil
}

// viewSQL makes a table's view. The columns are declared, not discovered: no
// file is opened before a query needs it, a file from before a column was
// added yields NULL for it, and an empty lake has all columns. The day comes
// from the file's name, by which DuckDB leaves out files that a predicate on
// event_date excludes (declared columns exclude its own hive partitioning).
func viewSQL(t table, columns []query.SchemaColumn, filled bool) string {
	var names, schema []string
	for _, c := range columns {
		switch {
		case !filled:
			names = append(names, fmt.Sprintf("CAST(NULL AS %s) AS %s", c.Type, c.Name))
		case c.Name == query.PartitionColumn:
			// …/event_date=YYYY-MM-DD/NAME, counted from the end.
			names = append(names, fmt.Sprintf("CAST(substr(filename, -%d, 10) AS DATE) AS %s", 10+1+len(t.file), c.Name))
		default:
			names = append(names, c.Name)
			schema = append(schema, fmt.Sprintf("'%[1]s': {name: '%[1]s', type: '%[2]s', default_value: NULL}", c.Name, c.Type))
		}
	}
	source := "(SELECT 1) WHERE false"
	if filled {
		source = fmt.Sprintf("read_parquet(getvariable('%s_files'), filename = true, schema = MAP {%s})", t.name, strings.Join(schema, ", "))
	}
	return fmt.Sprintf("CREATE VIEW %s AS SELECT %s FROM %s;\n", t.name, strings.Join(names, ", "), source)
}

// exec runs statements of ours.
func (i *instance) exec(sql string) error {
	var result mapping.Result
	defer mapping.DestroyResult(&result)
	if mapping.Query(i.conn, sql, &result) == mapping.StateError {
		return errors.New(mapping.ResultError(&result))
	}
	return nil
}

// text runs a statement of ours with one text parameter, and returns the text
// that it yields.
func (i *instance) text(sql, parameter string) (string, error) {
	var stmt mapping.PreparedStatement
	defer mapping.DestroyPrepare(&stmt)
	if mapping.Prepare(i.conn, sql, &stmt) == mapping.StateError {
		return "", errors.New(mapping.PrepareError(stmt))
	}
	if mapping.BindVarcharLength(stmt, 1, parameter, mapping.IdxT(len(parameter))) == mapping.StateError {
		return "", errors.New("bind the statement's text")
	}
	var result mapping.Result
	defer mapping.DestroyResult(&result)
	if mapping.ExecutePrepared(stmt, &result) == mapping.StateError {
		return "", errors.New(mapping.ResultError(&result))
	}
	chunk := mapping.FetchChunk(result)
	if chunk.Ptr == nil {
		return "", errors.New("no answer")
	}
	defer mapping.DestroyDataChunk(&chunk)
	kind := columnType{id: mapping.TypeVarchar}
	reader := kind.reader(mapping.DataChunkGetVector(chunk, 0))
	v, err := reader.value(0)
	s, _ := v.(string)
	return s, err
}

// close gives everything back; it may be called on a half-open instance.
func (i *instance) close() {
	if i.conn.Ptr != nil {
		mapping.Disconnect(&i.conn)
	}
	if i.db.Ptr != nil {
		mapping.Close(&i.db)
	}
	if i.temp != "" {
		_ = os.RemoveAll(i.temp) // what is left is removed by the next Open
		i.temp = ""
	}
}
