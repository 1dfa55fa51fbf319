package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// open returns an engine that is closed with the test.
func open(tb testing.TB, o duckdb.Options) *duckdb.Engine {
	tb.Helper()
	if o.TempDir == "" {
		o.TempDir = tb.TempDir()
	}
	e, err := duckdb.Open(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// all reads a result to its end.
func all(rows query.Rows, err error) ([][]any, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out [][]any
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return out, rows.Close()
		}
		if err != nil {
			return out, err
		}
		out = append(out, append([]any(nil), row...))
	}
}

// text shows rows, a line each, cells joined by "|".
func text(rows [][]any) string {
	var b strings.Builder
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte('|')
			}
			switch v := v.(type) {
			case nil:
				b.WriteString("NULL")
			case time.Time:
				b.WriteString(v.Format("2006-01-02T15:04:05.999999Z07:00"))
			default:
				fmt.Fprint(&b, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ask runs a statement and returns its rows as text.
func ask(tb testing.TB, e query.Engine, sql string) string {
	tb.Helper()
	rows, err := all(e.Query(context.Background(), sql))
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return text(rows)
}

func TestEmptyLakeHasItsTables(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: filepath.Join(t.TempDir(), "not", "there")})
	for table, columns := range map[string][]query.SchemaColumn{"events": query.EventColumns(), "filtered": query.FilteredColumns()} {
		var want strings.Builder
		for _, c := range columns {
			fmt.Fprintf(&want, "%s|%s\n", c.Name, c.Type)
		}
		if d := cmp.Diff(want.String(), ask(t, e, "SELECT column_name, column_type FROM (DESCRIBE "+table+")")); d != "" {
			t.Errorf("columns of %s (-want +got):\n%s", table, d)
		}
		if got := ask(t, e, "SELECT count(*) FROM "+table); got != "0\n" {
			t.Errorf("rows of an empty %s: %s", table, got)
		}
	}
}

// A file from before a column was added, and one with a column that this
// version doesn't know, are read all the same, in one query.
func TestFilesOfOtherVersions(t *testing.T) {
	type old struct {
		EventID   string `parquet:"event_id"`
		EventTime int64  `parquet:"event_time,timestamp(millisecond:local)"`
		AccountID string `parquet:"account_id,dict"`
	}
	type later struct {
		EventID   string `parquet:"event_id"`
		EventTime int64  `parquet:"event_time,timestamp(millisecond:local)"`
		AccountID string `parquet:"account_id,dict"`
		Actor     string `parquet:"actor,optional,dict"`
		Weather   string `parquet:"weather"`
	}
	dir := t.TempDir()
	day := func(d int) int64 { return time.Date(2026, 3, d, 12, 0, 0, 0, time.UTC).UnixMilli() }
	writeParquet(t, filepath.Join(dir, "events/event_date=2026-03-01/events.parquet"), []old{{"a", day(1), "1"}})
	writeLake(t, dir, []event.Event{{EventID: "b", EventTime: day(2), AccountID: "1", Actor: "bob"}}, nil)
	writeParquet(t, filepath.Join(dir, "events/event_date=2026-03-03/events.parquet"), []later{{"c", day(3), "1", "carol", "rain"}})
	e := open(t, duckdb.Options{LakeDir: dir})
	want := "2026-03-01|a|NULL|NULL\n2026-03-02|b|bob|NULL\n2026-03-03|c|carol|NULL\n"
	if got := ask(t, e, "SELECT event_date, event_id, actor, mfa FROM events ORDER BY event_time"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Names that need quoting, or that read_parquet could take for patterns.
func TestOddLakeFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [b] *c? 'd' é")
	at := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	writeLake(t, dir, []event.Event{{EventID: "a", EventTime: at.UnixMilli()}}, []event.Filtered{{EventID: "f", EventTime: at.UnixMilli(), Reason: "service"}})
	e := open(t, duckdb.Options{LakeDir: dir})
	if got := ask(t, e, "SELECT event_id, event_date FROM events UNION ALL SELECT event_id, event_date FROM filtered ORDER BY 1"); got != "a|2026-03-01\nf|2026-03-01\n" {
		t.Errorf("got %s", got)
	}
}

func TestQueryRangeSeesItsDaysOnly(t *testing.T) {
	dir := t.TempDir()
	var events []event.Event
	for d := 1; d <= 5; d++ {
		events = append(events, event.Event{EventID: fmt.Sprint(d), EventTime: time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC).UnixMilli()})
	}
	writeLake(t, dir, events, nil)
	e := open(t, duckdb.Options{LakeDir: dir})
	since, _ := event.ParseDate("2026-03-02")
	rows, err := e.QueryRange(t.Context(), "SELECT event_id FROM events ORDER BY 1", since, since+1)
	if err != nil {
		t.Fatal(err)
	}
	stats := rows.Stats()
	got, err := all(rows, nil)
	if err != nil || text(got) != "2\n3\n" || stats.Files != 2 {
		t.Errorf("got %q, %v, %d files", text(got), err, stats.Files)
	}
	days, err := e.Days(t.Context())
	if err != nil || len(days) != 5 || days[0].Date.String() != "2026-03-01" || days[0].Bytes == 0 {
		t.Errorf("days: %v, %v", days, err)
	}
}

// The files that a predicate on event_date excludes are not opened: one of them
// is no Parquet at all.
func TestDatePredicateLeavesFilesUnopened(t *testing.T) {
	dir := t.TempDir()
	writeLake(t, dir, []event.Event{{EventID: "a", EventTime: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMilli()}}, nil)
	bad := filepath.Join(dir, "events/event_date=2026-03-01")
	if err := os.MkdirAll(bad, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "events.parquet"), []byte("this is no parquet file at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, duckdb.Options{LakeDir: dir})
	if got := ask(t, e, "SELECT count(*) FROM events WHERE event_date BETWEEN DATE '2026-03-02' AND DATE '2026-03-09'"); got != "1\n" {
		t.Errorf("got %s", got)
	}
	_, err := all(e.Query(t.Context(), "SELECT count(*) FROM events"))
	if err == nil || !strings.Contains(err.Error(), "events/event_date=2026-03-01/events.parquet") || strings.Contains(err.Error(), dir) {
		t.Errorf("the error should name the file within the lake, and not the lake's folder: %v", err)
	}
}

// Damage inside a file, where DuckDB's own error names no file.
func TestDamagedFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	end := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	writeLake(t, dir, simulate(3000, 3, end), nil)
	path := filepath.Join(dir, "events/event_date=2026-03-02/events.parquet")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(data)/2; i++ {
		data[i] ^= 0x5a
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, duckdb.Options{LakeDir: dir})
	_, err = all(e.Query(t.Context(), "SELECT max(event_id), max(actor), max(rest), max(request_parameters) FROM events"))
	if err == nil || !strings.Contains(err.Error(), "event_date=2026-03-02") || strings.Contains(err.Error(), dir) {
		t.Errorf("the error should name the file: %v", err)
	}
}

func TestNewerFileIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "events/event_date=2026-03-02/events.parquet")
	writeParquet(t, path, []event.Event{{EventID: "a"}}, parquetMetadata("iamtrack.schema", "999"))
	_, err := all(open(t, duckdb.Options{LakeDir: dir}).Query(t.Context(), "SELECT 1 FROM events"))
	if err == nil || !strings.Contains(err.Error(), "event_date=2026-03-02") || !strings.Contains(err.Error(), "update iamtrack") {
		t.Errorf("got %v", err)
	}
}

func TestValues(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: t.TempDir()})
	at := time.Date(2026, 3, 1, 12, 30, 15, 123000000, time.UTC)
	for sql, want := range map[string]any{
		"NULL":                                  nil,
		"CAST(NULL AS INTEGER)":                 nil,
		"true":                                  true,
		"CAST(-7 AS TINYINT)":                   int64(-7),
		"CAST(200 AS UTINYINT)":                 int64(200),
		"CAST(-7 AS SMALLINT)":                  int64(-7),
		"CAST(65535 AS USMALLINT)":              int64(65535),
		"42":                                    int64(42),
		"CAST(4294967295 AS UINTEGER)":          int64(4294967295),
		"CAST(18446744073709551615 AS UBIGINT)": "18446744073709551615",
		"SUM(5)":                                int64(5),
		"CAST(-5 AS HUGEINT)":                   int64(-5),
		"CAST(170141183460469231731687303715884105727 AS HUGEINT)":  "170141183460469231731687303715884105727",
		"CAST(-170141183460469231731687303715884105728 AS HUGEINT)": "-170141183460469231731687303715884105728",
		"CAST(1.5 AS FLOAT)":                                   1.5,
		"CAST(0.1 AS DOUBLE)":                                  0.1,
		"CAST(-12.34 AS DECIMAL(4,2))":                         -12.34,
		"CAST(12.34 AS DECIMAL(9,2))":                          12.34,
		"CAST(12.34 AS DECIMAL(18,2))":                         12.34,
		"CAST(-12.34 AS DECIMAL(38,2))":                        -12.34,
		"'short'":                                              "short",
		"'longer than twelve bytes, é'":                        "longer than twelve bytes, é",
		"'a' || chr(0) || 'b, and more than twelve'":           "a\x00b, and more than twelve",
		"CAST('a' AS BLOB)":                                    `\x61`,
		"TIMESTAMP '2026-03-01 12:30:15.123'":                  at,
		"CAST('2026-03-01 12:30:15.123' AS TIMESTAMP_MS)":      at,
		"CAST('2026-03-01 12:30:15.123' AS TIMESTAMP_NS)":      at,
		"CAST('2026-03-01 12:30:15' AS TIMESTAMP_S)":           at.Truncate(time.Second),
		"TIMESTAMPTZ '2026-03-01 13:30:15.123+01'":             at,
		"CAST('infinity' AS TIMESTAMP)":                        "infinity",
		"DATE '2026-03-01'":                                    query.Date("2026-03-01"),
		"DATE '1969-12-31'":                                    query.Date("1969-12-31"),
		"CAST('-infinity' AS DATE)":                            query.Date("-infinity"),
		"TIME '01:02:03.5'":                                    "01:02:03.5",
		"CAST('01:02:03+05:30' AS TIMETZ)":                     "01:02:03+05:30",
		"CAST('01:02:03-08' AS TIMETZ)":                        "01:02:03-08:00",
		"INTERVAL '13 months 2 days 3 hours'":                  "1 year 1 month 2 days 03:00:00",
		"INTERVAL '0' SECOND":                                  "00:00:00",
		"INTERVAL (-90) MINUTE":                                "-01:30:00",
		"CAST('550e8400-e29b-41d4-a716-446655440000' AS UUID)": "550e8400-e29b-41d4-a716-446655440000",
		"CAST('b' AS ENUM('a', 'b'))":                          "b",
		"[1, NULL, 3]":                                         []any{int64(1), nil, int64(3)},
		"[['a'], []]":                                          []any{[]any{"a"}, []any{}},
		"CAST([1, 2] AS INTEGER[2])":                           []any{int64(1), int64(2)},
		"{'b': 1, 'a': [true, NULL], 'c': {'d': 'x'}}":         `{"b":1,"a":[true,null],"c":{"d":"x"}}`,
		"MAP {'k': 1, 'l': 2}":                                 `{"k":1,"l":2}`,
		"{'n': CAST('nan' AS DOUBLE)}":                         `{"n":"NaN"}`,
		"CAST('{\"a\": 1}' AS JSON)":                           `{"a": 1}`,
	} {
		rows, err := all(e.Query(t.Context(), "SELECT "+sql))
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if d := cmp.Diff([][]any{{want}}, rows); d != "" {
			t.Errorf("%s (-want +got):\n%s", sql, d)
		}
	}
	if _, err := all(e.Query(t.Context(), "SELECT CAST(1 AS VARIANT) AS v")); err == nil || !strings.Contains(err.Error(), "CAST it to VARCHAR") {
		t.Errorf("a type that can't be shown: %v", err)
	}
}

// Every row of every chunk arrives, NULLs where they are.
func TestManyRows(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: t.TempDir()})
	rows, err := e.Query(t.Context(), "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'value ' || i END FROM range(100000) t(i)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := int64(0)
	for ; ; n++ {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		want := any(fmt.Sprint("value ", n))
		if n%3 == 0 {
			want = nil
		}
		if row[0] != n || row[1] != want {
			t.Fatalf("row %d: %v", n, row)
		}
	}
	if n != 100000 || rows.Stats().Rows != n || rows.Stats().Elapsed <= 0 {
		t.Errorf("%d rows, %+v", n, rows.Stats())
	}
}

func TestStatsCountBytes(t *testing.T) {
	dir := t.TempDir()
	writeLake(t, dir, simulate(5000, 3, time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)), nil)
	e := open(t, duckdb.Options{LakeDir: dir})
	scanned := func(sql string) int64 {
		rows, err := e.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all(rows, nil); err != nil {
			t.Fatal(err)
		}
		return rows.Stats().BytesScanned
	}
	var size int64
	days, _ := e.Days(t.Context())
	for _, d := range days {
		size += d.Bytes
	}
	day := days[1].Date.String()
	narrow, wide := scanned("SELECT max(hash(category)) FROM events"), scanned("SELECT max(hash(COLUMNS(*))) FROM events")
	third := scanned("SELECT max(hash(COLUMNS(*))) FROM events WHERE event_date = DATE '" + day + "'")
	none := scanned("SELECT 1")
	if narrow <= 0 || narrow >= wide/4 || wide < size*3/4 || wide > size || third < wide/4 || third > wide/2 || none != 0 {
		t.Errorf("one column read %d bytes, all %d, all of one day in three %d, nothing %d, of %d", narrow, wide, third, none, size)
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	t.Run("rows", func(t *testing.T) {
		e := open(t, duckdb.Options{LakeDir: dir, MaxRows: 5000})
		rows, err := e.Query(t.Context(), "SELECT * FROM range(5001)")
		got, err := all(rows, err)
		if err != nil || len(got) != 5000 || !rows.Stats().Truncated {
			t.Errorf("%d rows, truncated %v, %v", len(got), rows.Stats().Truncated, err)
		}
		rows, err = e.Query(t.Context(), "SELECT * FROM range(5000)")
		if got, err := all(rows, err); err != nil || len(got) != 5000 || rows.Stats().Truncated {
			t.Errorf("%d rows, truncated %v, %v", len(got), rows.Stats().Truncated, err)
		}
	})
	t.Run("time", func(t *testing.T) {
		e := open(t, duckdb.Options{LakeDir: dir, Timeout: 100 * time.Millisecond})
		_, err := all(e.Query(context.Background(), "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range * b.range = 7"))
		if err == nil || !strings.Contains(err.Error(), "stopped after 100ms") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("memory", func(t *testing.T) {
		e := open(t, duckdb.Options{LakeDir: dir, MemoryMB: 32, TempMB: 1})
		_, err := all(e.Query(t.Context(), "SELECT list(repeat('x', 1000) || i) FROM range(1000000) t(i)"))
		if err == nil || !strings.Contains(err.Error(), "32 MiB") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancelStopsAQuery(t *testing.T) {
	e := open(t, duckdb.Options{LakeDir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	rows, err := e.Query(ctx, "SELECT a.range FROM range(100000000) a, range(100000000) b")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	if _, err := rows.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	for {
		if _, err = rows.Next(); err != nil {
			break
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := e.Query(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a query of a cancelled context: %v", err)
	}
}

// Overflow goes to the folder given, and none of it stays.
func TestOverflowIsRemoved(t *testing.T) {
	temp := t.TempDir()
	e := open(t, duckdb.Options{LakeDir: t.TempDir(), MemoryMB: 64, Threads: 4, TempDir: temp}) // too little for four threads, enough for one
	rows, err := all(e.Query(t.Context(), "SELECT count(*), max(s) FROM (SELECT md5(i::VARCHAR) || repeat('x', 200) AS s FROM range(600000) t(i) ORDER BY s)"))
	if err != nil || len(rows) != 1 || rows[0][0] != int64(600000) {
		t.Fatalf("%v, %v", text(rows), err)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	old := filepath.Join(temp, "iamtrack-query-old")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	open(t, duckdb.Options{LakeDir: t.TempDir(), TempDir: temp})
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("overflow of a killed process is still there: %v", err)
	}
}

func TestConcurrentQueries(t *testing.T) {
	dir := t.TempDir()
	writeLake(t, dir, simulate(2000, 5, time.Date(2026, 3, 6, 0, 0, 0, 0, time.UTC)), nil)
	e := open(t, duckdb.Options{LakeDir: dir, Concurrent: 3})
	want := ask(t, e, "SELECT actor, count(*) FROM events GROUP BY 1 ORDER BY 1")
	errs := make(chan error)
	for range 10 {
		go func() {
			rows, err := all(e.Query(context.Background(), "SELECT actor, count(*) FROM events GROUP BY 1 ORDER BY 1"))
			if err == nil && text(rows) != want {
				err = errors.New("another answer")
			}
			errs <- err
		}()
	}
	for range 10 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// Day files that are replaced while queries run: every answer is that of the
// old or of the new file, or an error that says to ask again; never a mix.
func TestFileReplacedWhileReading(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	lake := func(n int) []event.Event {
		events := simulate(n, 1, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
		for i := range events {
			events[i].EventTime = start + int64(i)
			events[i].Rest = fmt.Sprintf(`{"n":%d}`, n)
		}
		return events
	}
	writeLake(t, dir, lake(2000), nil)
	e := open(t, duckdb.Options{LakeDir: dir})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 2001; ; n = 4001 - n {
			select {
			case <-stop:
				return
			default:
				writeLake(t, dir, lake(n), nil)
			}
		}
	}()
	answers := 0
	for range 60 {
		got, err := all(e.Query(t.Context(), "SELECT count(*), min(rest), max(rest), count(DISTINCT event_id) FROM events"))
		if err != nil {
			continue
		}
		answers++
		if s := text(got); s != "2000|{\"n\":2000}|{\"n\":2000}|2000\n" && s != "2001|{\"n\":2001}|{\"n\":2001}|2001\n" {
			t.Errorf("a mixed answer: %s", s)
		}
	}
	close(stop)
	<-stopped
	if answers == 0 {
		t.Error("no query was answered")
	}
}
