package duckdb_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// snapshot lists everything in a folder with its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			files[path] = "folder"
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What writes, reads elsewhere, changes settings or tells of the machine is
// refused with a clear word, and leaves nothing behind.
func TestAttacksAreRefused(t *testing.T) {
	root := t.TempDir()
	lake := filepath.Join(root, "lake")
	writeLake(t, lake, []event.Event{{EventID: "a", EventTime: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}}, nil)
	file := filepath.Join(lake, "events/event_date=2026-03-01/events.parquet")
	secret := filepath.Join(root, "secret.csv")
	if err := os.WriteFile(secret, []byte("name,password\nroot,canary-in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IAMTRACK_TEST_CANARY", "canary-in-the-environment")
	out := filepath.Join(root, "out")
	temp := t.TempDir()
	e := open(t, duckdb.Options{LakeDir: lake, TempDir: temp, Timeout: 20 * time.Second})
	before := snapshot(t, root)

	const onlyQueries, oneStatement, noFunction = "only queries can be run", "one statement at a time", "can't be used"
	for sql, want := range map[string]string{
		"COPY (SELECT 1) TO '" + out + "'":                                                   onlyQueries,
		"COPY events TO '" + out + "' (FORMAT parquet)":                                      onlyQueries,
		"COPY (SELECT 1 AS x) TO '" + file + "' (FORMAT parquet)":                            onlyQueries,
		"EXPLAIN ANALYZE COPY (SELECT 1 AS x) TO '" + file + "' (FORMAT parquet)":            onlyQueries,
		"explain /* */ analyze copy (select 1) to '" + file + "'":                            "",
		"EXPLAIN (ANALYZE) COPY (SELECT 1) TO '" + file + "'":                                "",
		"EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1":                                         onlyQueries,
		"-- x\nEXPLAIN ANALYZE COPY (SELECT 1) TO '" + file + "'":                            onlyQueries,
		"EXPORT DATABASE '" + out + "'":                                                      onlyQueries,
		"IMPORT DATABASE '" + root + "'":                                                     "",
		"ATTACH '" + out + "' AS x":                                                          onlyQueries,
		"DETACH memory":                                                                      onlyQueries,
		"INSTALL httpfs":                                                                     onlyQueries,
		"LOAD httpfs":                                                                        onlyQueries,
		"SET memory_limit = '100GB'":                                                         onlyQueries,
		"SET enable_external_access = true":                                                  onlyQueries,
		"SET VARIABLE events_files = ['" + secret + "']":                                     onlyQueries,
		"RESET memory_limit":                                                                 onlyQueries,
		"PRAGMA threads = 64":                                                                onlyQueries,
		"PRAGMA database_list":                                                               onlyQueries,
		"CALL pragma_version()":                                                              onlyQueries,
		"CALL enable_logging(storage := 'file', storage_path := '" + out + "')":              onlyQueries,
		"CREATE TABLE t (a INTEGER)":                                                         onlyQueries,
		"CREATE OR REPLACE VIEW events AS SELECT 1":                                          onlyQueries,
		"CREATE SECRET s (TYPE s3)":                                                          onlyQueries,
		"CREATE MACRO lower(x) AS 'x'":                                                       onlyQueries,
		"DROP VIEW events":                                                                   onlyQueries,
		"INSERT INTO events VALUES (1)":                                                      onlyQueries,
		"UPDATE events SET actor = 'nobody'":                                                 onlyQueries,
		"DELETE FROM events":                                                                 onlyQueries,
		"BEGIN":                                                                              onlyQueries,
		"CHECKPOINT":                                                                         onlyQueries,
		"VACUUM":                                                                             onlyQueries,
		"PREPARE p AS SELECT 1":                                                              onlyQueries,
		"EXECUTE p":                                                                          onlyQueries,
		"USE memory":                                                                         onlyQueries,
		"PIVOT events ON actor USING count(*)":                                               "a PIVOT must name its values",
		"FROM (PIVOT events ON actor USING count(*));":                                       "a PIVOT must name its values",
		"WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x":                   "A CTE needs a SELECT",
		"SELECT 1; SELECT 2":                                                                 oneStatement,
		"SELECT 1; COPY (SELECT 1) TO '" + out + "'":                                         oneStatement,
		"SELECT 1 /* ; */; DROP VIEW events":                                                 oneStatement,
		"DROP VIEW events; SELECT 1;":                                                        oneStatement + ": there are 2",
		"EXPLAIN SELECT 1; COPY (SELECT 1) TO '" + out + "'":                                 oneStatement,
		"SELECT 1e400, getenv('IAMTRACK_TEST_CANARY')":                                       noFunction,
		`SELECT 1e400 AS "\""Infinity", getenv('IAMTRACK_TEST_CANARY')`:                      noFunction,
		"SELECT * FROM read_csv('" + secret + "')":                                           noFunction,
		"SELECT * FROM read_text('" + secret + "')":                                          noFunction,
		"SELECT * FROM read_blob('/etc/passwd')":                                             noFunction,
		"SELECT * FROM read_parquet('" + file + "')":                                         noFunction,
		"SELECT * FROM \"READ_CSV\"('" + secret + "')":                                       noFunction,
		"SELECT * FROM system.main.read_csv('" + secret + "')":                               noFunction,
		"SELECT (SELECT max(content) FROM read_text('" + secret + "'))":                      noFunction,
		"WITH x AS (SELECT * FROM glob('/*')) SELECT * FROM x":                               noFunction,
		"SELECT * FROM sniff_csv('" + secret + "')":                                          noFunction,
		"SELECT * FROM parquet_kv_metadata('" + file + "')":                                  noFunction,
		"SELECT * FROM query('SELECT 1')":                                                    noFunction,
		"SELECT * FROM query_table('events')":                                                noFunction,
		"SELECT * FROM json_execute_serialized_sql('{}')":                                    noFunction,
		"SELECT * FROM enable_logging(storage := 'file', storage_path := '" + out + "')":     noFunction,
		"SELECT * FROM enable_profiling(save_location := '" + out + "')":                     noFunction,
		"SELECT * FROM checkpoint()":                                                         noFunction,
		"SELECT * FROM duckdb_settings()":                                                    noFunction,
		"SELECT * FROM duckdb_secrets()":                                                     noFunction,
		"DESCRIBE SELECT * FROM read_csv('" + secret + "')":                                  noFunction,
		"SUMMARIZE FROM read_csv('" + secret + "')":                                          noFunction,
		"EXPLAIN SELECT * FROM read_csv('" + secret + "')":                                   noFunction,
		"SELECT actor FROM events UNION ALL SELECT content FROM read_text('" + secret + "')": noFunction,
		"SELECT getvariable('events_files')":                                                 noFunction,
		"SELECT current_setting('allowed_paths')":                                            noFunction,
		"SELECT getenv('IAMTRACK_TEST_CANARY')":                                              noFunction,
		"SELECT write_log('x')":                                                              noFunction,
		"SELECT [sleep_ms(x) FOR x IN [1]]":                                                  noFunction,
		"SELECT * FROM '" + secret + "'":                                                     "",
		"SELECT * FROM '/etc/passwd'":                                                        "",
		"SELECT * FROM 'https://example.org/x.parquet'":                                      "",
		"SELECT * FROM 's3://bucket/x.parquet'":                                              "",
		"SELECT ?":                                                                           "parameters",
		"SELECT $name":                                                                       "parameters",
		"SELECT 1\x00; DROP VIEW events":                                                     "NUL",
		"":                                                                                   "no statement",
		" \n\t":                                                                              "no statement",
		"-- nothing":                                                                         "no statement",
		";":                                                                                  "no statement",
		"SELEC 1":                                                                            `syntax error at or near "SELEC"`,
		"SELECT * FROM nowhere":                                                              "Table with name nowhere does not exist",
		"SELECT nothing FROM events":                                                         `"nothing" not found`,
		"SELECT '" + strings.Repeat("x", 1<<20) + "'":                                        "bytes",
	} {
		rows, err := all(e.Query(t.Context(), sql))
		short := sql[:min(len(sql), 120)]
		if err == nil {
			t.Errorf("%q was answered: %s", short, text(rows))
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q should say %q", short, err, want)
		}
		for _, leak := range []string{lake, temp, "canary"} {
			if strings.Contains(strings.ReplaceAll(err.Error(), sql, ""), leak) && !strings.Contains(sql, leak) {
				t.Errorf("%q: the error tells %s: %v", short, leak, err)
			}
		}
	}
	if d := cmp.Diff(before, snapshot(t, root)); d != "" {
		t.Errorf("something was written (-before +after):\n%s", d)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	if got := ask(t, e, "SELECT count(*) FROM events"); got != "1\n" {
		t.Errorf("the lake has %s", got)
	}
}

// Everything that only reads is allowed.
func TestQueriesAreAllowed(t *testing.T) {
	lake := t.TempDir()
	writeLake(t, lake, []event.Event{{EventID: "a", EventTime: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), Actor: "bob"}}, nil)
	e := open(t, duckdb.Options{LakeDir: lake})
	for _, sql := range []string{
		"SELECT 1;", "  -- a comment\nSELECT 1 -- and another", "FROM events", "TABLE events", "VALUES (1), (2)",
		"WITH x AS (SELECT 1 AS a) SELECT * FROM x", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
		"DESCRIBE events", "DESCRIBE SELECT 1", "SUMMARIZE events", "SHOW TABLES", "SHOW ALL TABLES", "(SELECT 1)",
		"EXPLAIN SELECT * FROM events", "explain analyze\nSELECT count(*) FROM events", "EXPLAIN DESCRIBE events",
		"SELECT * FROM unnest([1, 2])", "SELECT * FROM range(3)", "SELECT unnest(generate_series(1, 3))",
		"SELECT * FROM json_each('{\"a\": 1}')", "PIVOT events ON actor IN ('bob') USING count(*)",
		"SELECT * FROM information_schema.columns", "SELECT function_name FROM duckdb_functions()",
		"SELECT row_number() OVER (ORDER BY event_time) FROM events",
		"SELECT 'COPY x TO y; SET a = b', ';'",
		"SELECT 1e400", "VALUES (-1e999), (1e308)", `SELECT 1e999 AS "\ -Infinity "" NaN"`,
	} {
		if _, err := all(e.Query(t.Context(), sql)); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if got := ask(t, e, "SHOW TABLES"); got != "events\nfiltered\n" {
		t.Errorf("tables: %q", got)
	}
}

// Whatever the text, the engine answers or refuses; it neither dies nor leaves
// anything behind.
func FuzzQuery(f *testing.F) {
	lake, temp := f.TempDir(), f.TempDir()
	e := open(f, duckdb.Options{LakeDir: lake, TempDir: temp, Timeout: time.Second, MaxRows: 100, MemoryMB: 64})
	for _, seed := range []string{
		"SELECT 1", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "explain explain select 1", "FROM events", "SELECT 'a", "/* /* */",
		"COPY (SELECT 1) TO 'x'", "SELECT * FROM read_csv('x')", "SELECT 1;;", "\xff\xfe", "SELECT '\x00'", "WITH a AS (FROM a) FROM a",
		"SELECT $$x$$", "SELECT E'\\''", "SET a TO b", "PRAGMA x", "SELECT date_diff('day', now(), now())",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		rows, err := e.Query(t.Context(), sql)
		if err == nil {
			_, _ = all(rows, nil)
		}
		for _, dir := range []string{lake, temp} {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%q left %v (%v)", sql, left, err)
			}
		}
	})
}
