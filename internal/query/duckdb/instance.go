package duckdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// tempPrefix starts the names of overflow folders.
const tempPrefix = "iamtrack-query-"

// instance is one DuckDB with one connection, for one query.
type instance struct {
	db   mapping.Database
	conn mapping.Connection
	temp string // overflow folder; DuckDB makes it when it needs it
}

// openInstance returns a locked DuckDB that can run the statement: it has the
// macros that it mentions, and views made of the given files.
func openInstance(o Options, from *sources, sql string) (*instance, error) {
	i, err := newInstance(o)
	if err != nil {
		return nil, err
	}
	if err := i.setUp(o.LakeDir, from, sql); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// newInstance returns a DuckDB without any table, not locked yet. It takes most
// of the time that a small query takes.
func newInstance(o Options) (*instance, error) {
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
func (i *instance) setUp(lakeDir string, from *sources, sql string) error {
	var b strings.Builder
	b.WriteString(macrosFor(sql))
	// The cache of file contents doubled the time of queries that read much,
	// and lives no longer than one query. Profiling tells only which columns of
	// how many files were read; see scanned.go.
	b.WriteString(`SET enable_external_file_cache = false;
SET TimeZone = 'UTC';
SET enable_profiling = 'no_output';
SET custom_profiling_settings = '{"OPERATOR_TYPE": "true", "EXTRA_INFO": "true"}';
`)
	// Folders, not the files on the list: DuckDB takes 27 µs for each path, a
	// tenth of a second for ten years of days (1.5.6).
	var folders []string
	for t, files := range map[table][]lakeFile{eventsTable: from.days, rollUpTable: from.months, filteredTable: from.filtered} {
		if len(files) > 0 {
			folders = append(folders, filepath.Join(lakeDir, t.name))
		}
	}
	if allowed, err := pathList(folders); err != nil {
		return err
	} else if allowed != "" {
		b.WriteString("SET allowed_directories = " + allowed + ";\n")
	}
	for t, files := range map[table][]lakeFile{eventsTable: from.days, rollUpTable: from.months, filteredTable: from.filtered} {
		paths := make([]string, len(files))
		for k, f := range files {
			paths[len(files)-1-k] = f.path // newest first
		}
		list, err := pathList(paths)
		if err != nil {
			return err
		}
		if list != "" {
			b.WriteString("SET VARIABLE " + t.name + "_files = " + list + ";\n")
		}
	}
	b.WriteString(from.eventsView())
	b.WriteString(from.filteredView())
	b.WriteString("SET enable_external_access = false;\nSET lock_configuration = true;\n")
	if err := i.exec(b.String()); err != nil {
		return fmt.Errorf("set up duckdb: %w", err)
	}
	return nil
}

// pathList is an expression for a list of paths; empty for none. Splitting one
// string is much quicker than a list of literals, which DuckDB evaluates as a call
// with one argument a path (seen with 3,650 of them).
func pathList(paths []string) (string, error) {
	if len(paths) == 0 {
		return "", nil
	}
	for _, p := range paths {
		if strings.ContainsAny(p, "\n\x00") {
			return "", fmt.Errorf("the lake's path %q has a character that no path should have", p)
		}
	}
	return "string_split('" + strings.ReplaceAll(strings.Join(paths, "\n"), "'", "''") + "', chr(10))", nil
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
