package athena_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena"
	"github.com/iamtrack/iamtrack/internal/query/athena/athenatest"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/query/querytest"
)

// groups are what there is on the tests' Athena.
func groups() map[string]athenatest.Workgroup {
	return map[string]athenatest.Workgroup{
		"tracker": {Output: "s3://results/"},
		"narrow":  {Output: "s3://results/", ScanLimit: 10},
		"off":     {Output: "s3://results/", Disabled: true},
		"nowhere": {},
	}
}

// serve starts an Athena; a nil engine answers nothing.
func serve(t *testing.T, engine query.Engine, change ...func(*athenatest.Options)) *athenatest.Server {
	t.Helper()
	o := athenatest.Options{Workgroups: groups(), Databases: []string{"iamtrack"}}
	o.Run = func(context.Context, string) (query.Rows, error) {
		return nil, errors.New("GENERIC_INTERNAL_ERROR: none")
	}
	if engine != nil {
		o.Run = engine.Query
	}
	for _, c := range change {
		c(&o)
	}
	return athenatest.New(t, o)
}

// open returns an engine that asks the server through the SDK.
func open(t *testing.T, s *athenatest.Server, change ...func(*athena.Options)) *athena.Engine {
	t.Helper()
	session, err := awsapi.Open(t.Context(), awsapi.Config{
		Alone: true, EndpointURL: s.URL, Region: "eu-central-1", Keys: &awsapi.Keys{AccessKeyID: "AKIDFAKE", SecretAccessKey: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := athena.Options{Workgroup: "tracker", Database: "iamtrack", Poll: time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	e, err := athena.New(session.Athena(""), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// demo is a lake with its local engine.
func demo(t *testing.T, records int) *duckdb.Engine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lake")
	bucket, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	querytest.Lake(t, bucket, records)
	e, err := duckdb.Open(t.Context(), duckdb.Options{LakeDir: dir, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// all reads a result to its end.
func all(rows query.Rows, err error) ([][]any, query.Stats, error) {
	if err != nil {
		return nil, query.Stats{}, err
	}
	defer func() { _ = rows.Close() }()
	var out [][]any
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return out, rows.Stats(), nil
		}
		if err != nil {
			return out, rows.Stats(), err
		}
		out = append(out, slices.Clone(row))
	}
}

// Every built-in query has the same answer through Athena's API as on DuckDB, with
// pages so small that most answers have several.
func TestPacksThroughTheAPI(t *testing.T) {
	local := demo(t, 6000)
	e := open(t, serve(t, local, func(o *athenatest.Options) { o.PageRows = 20 }))
	rows, empty := 0, 0
	for _, c := range querytest.Cases(t, false) {
		n := querytest.Compare(t, c, local, e)
		if rows += n; n == 0 {
			empty++
		}
	}
	if rows < 1000 || empty > 8 {
		t.Errorf("the comparison looked at %d rows; %d answers were empty", rows, empty)
	}
}

// The range of a query bounds its tables, also where the statement has WITH tables of
// its own.
func TestRangeBoundsTheTables(t *testing.T) {
	local := demo(t, 2000)
	e := open(t, serve(t, local))
	since, until := event.DateOf(querytest.End.AddDate(0, 0, -20).UnixMilli()), event.DateOf(querytest.End.AddDate(0, 0, -10).UnixMilli())
	for _, sql := range []string{
		"SELECT count(*) FROM events",
		"-- all of them\n(SELECT event_id FROM events) UNION ALL (SELECT event_id FROM filtered) ORDER BY 1",
		"WITH denied AS (SELECT * FROM events WHERE outcome = 'denied') SELECT actor, count(*) FROM denied GROUP BY actor ORDER BY 2 DESC, 1",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i, (SELECT count(*) FROM events) FROM n ORDER BY i",
		"SELECT 'events'",
	} {
		want, _, err := all(local.QueryRange(t.Context(), sql, since, until))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := all(e.QueryRange(t.Context(), sql, since, until))
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		for _, row := range append(slices.Clone(want), got...) {
			for i, v := range row {
				if n, ok := v.(int32); ok {
					row[i] = int64(n)
				}
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", sql, d)
		}
		whole, _, err := all(local.Query(t.Context(), sql))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(sql, "'events'") && cmp.Equal(whole, want) {
			t.Errorf("%s: the range makes no difference", sql)
		}
	}
}

// canned is a result that a test wrote.
type canned struct {
	columns []query.Column
	rows    [][]any
	stats   query.Stats
}

func (c *canned) Columns() []query.Column { return c.columns }
func (c *canned) Stats() query.Stats      { return c.stats }
func (c *canned) Close() error            { return nil }
func (c *canned) Next() ([]any, error) {
	if len(c.rows) == 0 {
		return nil, io.EOF
	}
	row := c.rows[0]
	c.rows = c.rows[1:]
	return row, nil
}

// run answers everything with rows of a test.
func run(c func() *canned) func(*athenatest.Options) {
	return func(o *athenatest.Options) {
		o.Run = func(context.Context, string) (query.Rows, error) { return c(), nil }
	}
}

// Each type of Athena becomes the contract's Go value; NULL is nil in all of them, and
// an empty text isn't NULL.
func TestValues(t *testing.T) {
	at := time.Date(2026, 3, 29, 1, 30, 0, int(250*time.Millisecond), time.UTC)
	c := &canned{
		columns: []query.Column{{Name: "a", Type: "boolean"}, {Name: "b", Type: "bigint"}, {Name: "c", Type: "double"}, {Name: "d", Type: "decimal(5,2)"},
			{Name: "e", Type: "varchar(7)"}, {Name: "f", Type: "date"}, {Name: "g", Type: "timestamp(3)"}, {Name: "h", Type: "timestamp(3) with time zone"},
			{Name: "i", Type: "array(varchar)"}, {Name: "j", Type: "real"}, {Name: "k", Type: "tinyint"}},
		rows: [][]any{
			{true, int64(-9223372036854775808), 1.5e300, "123.45", "", query.Date("2026-03-29"), at, "2026-03-29 03:30:00.250 Europe/Berlin", "[x, y]", 0.5, int64(-3)},
			{false, int64(7), "NaN", "-0.01", "a\nb", query.Date("0001-01-01"), at.Truncate(time.Second), "2026-03-29 03:30:00.250 +02:00", nil, "Infinity", nil},
			{nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
		},
	}
	e := open(t, serve(t, nil, run(func() *canned { return c })))
	rows, err := e.Query(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, c := range rows.Columns() {
		types = append(types, c.Type)
	}
	if got, want := strings.Join(types, " "), "BOOLEAN BIGINT DOUBLE DECIMAL(5,2) VARCHAR DATE TIMESTAMP TIMESTAMP WITH TIME ZONE ARRAY FLOAT TINYINT"; got != want {
		t.Errorf("types:\ngot  %s\nwant %s", got, want)
	}
	got, _, err := all(rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := got[1][2].(float64); !ok || f == f {
		t.Errorf("NaN became %v", got[1][2])
	}
	got[1][2] = nil
	if f, ok := got[1][9].(float64); !ok || f < 1e308 {
		t.Errorf("Infinity became %v", got[1][9])
	}
	got[1][9] = nil
	want := [][]any{
		{true, int64(-9223372036854775808), 1.5e300, 123.45, "", query.Date("2026-03-29"), at, at, "[x, y]", 0.5, int64(-3)},
		{false, int64(7), nil, -0.01, "a\nb", query.Date("0001-01-01"), at.Truncate(time.Second), at, nil, nil, nil},
		make([]any, 11),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A value that doesn't fit its column's type is an error that names both.
func TestValueThatDoesNotFit(t *testing.T) {
	e := open(t, serve(t, nil, run(func() *canned {
		return &canned{columns: []query.Column{{Name: "n", Type: "bigint"}}, rows: [][]any{{"many"}}}
	})))
	_, _, err := all(e.Query(t.Context(), "SELECT n"))
	if err == nil || !strings.Contains(err.Error(), `column n: "many" is no bigint`) {
		t.Errorf("%v", err)
	}
}

// The header row is left out once, and only where there is one: rows that look like
// it are rows.
func TestHeaderRow(t *testing.T) {
	names := func() *canned {
		return &canned{columns: []query.Column{{Name: "a", Type: "varchar"}}, rows: [][]any{{"a"}, {"a"}, {"b"}, {"a"}}}
	}
	e := open(t, serve(t, nil, run(names), func(o *athenatest.Options) { o.PageRows = 2 }))
	for sql, want := range map[string]int{"SELECT a": 4, "WITH x AS (SELECT 1) SELECT a": 4, "SHOW TABLES": 4, "EXPLAIN SELECT a": 4, "DESCRIBE events": 4} {
		rows, _, err := all(e.Query(t.Context(), sql))
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != want {
			t.Errorf("%s: %d rows, want %d", sql, len(rows), want)
		}
	}
	none := open(t, serve(t, nil, run(func() *canned { return &canned{columns: []query.Column{{Name: "a", Type: "varchar"}}} })))
	rows, stats, err := all(none.Query(t.Context(), "SELECT a"))
	if err != nil || len(rows) != 0 || stats.Rows != 0 {
		t.Errorf("an empty answer: %v, %+v, %v", rows, stats, err)
	}
}

// What was read and what it costs is told, at least 10 MB a query, by the started
// megabyte; statements that read no data cost nothing.
func TestStats(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		sql     string
		scanned int64
		usd     float64
	}{
		{"SELECT 1", 0, 10 * mb * 5.0 / (1 << 40)},
		{"SELECT 1", 10*mb + 1, 11 * mb * 5.0 / (1 << 40)},
		{"SELECT 1", 1 << 40, 5},
		{"SHOW TABLES", 0, 0},
	} {
		e := open(t, serve(t, nil, run(func() *canned {
			return &canned{columns: []query.Column{{Name: "a", Type: "varchar"}}, rows: [][]any{{"x"}}, stats: query.Stats{BytesScanned: c.scanned}}
		})))
		_, s, err := all(e.Query(t.Context(), c.sql))
		if err != nil {
			t.Fatal(err)
		}
		if s.BytesScanned != c.scanned || s.USD != c.usd || s.Rows != 1 || s.Elapsed <= 0 || s.Truncated {
			t.Errorf("%s of %d bytes: %+v, want %v USD", c.sql, c.scanned, s, c.usd)
		}
	}
}

// MaxRows ends a result early, and says so only when there was more.
func TestMaxRows(t *testing.T) {
	rows := func() *canned {
		return &canned{columns: []query.Column{{Name: "a", Type: "bigint"}}, rows: [][]any{{int64(1)}, {int64(2)}, {int64(3)}}}
	}
	for most, truncated := range map[int64]bool{2: true, 3: false} {
		e := open(t, serve(t, nil, run(rows), func(o *athenatest.Options) { o.PageRows = 2 }), func(o *athena.Options) { o.MaxRows = most })
		got, s, err := all(e.Query(t.Context(), "SELECT a"))
		if err != nil || int64(len(got)) != most || s.Truncated != truncated {
			t.Errorf("at most %d: %d rows, %+v, %v", most, len(got), s, err)
		}
	}
}

// A query that names no range of days is warned about, one that names one isn't.
func TestWarning(t *testing.T) {
	var warned []string
	e := open(t, serve(t, nil, run(func() *canned { return &canned{columns: []query.Column{{Name: "a", Type: "bigint"}}} })),
		func(o *athena.Options) { o.Warn = func(s string) { warned = append(warned, s) } })
	for sql, want := range map[string]bool{
		"SELECT * FROM events":                                                 true,
		"SELECT event_date FROM events":                                        true,
		"SELECT * FROM events WHERE event_time > TIMESTAMP '2026-01-01'":       true,
		"SELECT * FROM events -- event_date = DATE '2026-01-01'":               true,
		"SELECT 'event_date = 1' FROM filtered GROUP BY event_date":            true,
		`SELECT * FROM "events" /* event_date > x */ ORDER BY event_date`:      true,
		"EXPLAIN ANALYZE SELECT * FROM events":                                 true,
		"EXPLAIN SELECT * FROM events":                                         false,
		"DESCRIBE events":                                                      false,
		"SELECT 'events'":                                                      false,
		"SELECT 1":                                                             false,
		"SELECT * FROM events WHERE event_date >= DATE '2026-01-01'":           false,
		"SELECT * FROM events WHERE DATE '2026-01-01' < event_date":            false,
		"SELECT * FROM events e WHERE e.event_date BETWEEN DATE '1' AND now":   false,
		"SELECT * FROM events e WHERE DATE '2026-01-01' <= e.event_date":       false,
		"SELECT * FROM Events WHERE EVENT_DATE IN (DATE '2026-01-01')":         false,
		`SELECT * FROM events WHERE "event_date"=DATE '2026-01-01'`:            false,
		"SELECT * FROM filtered WHERE filtered.event_date = DATE '2026-01-01'": false,
	} {
		warned = nil
		if _, _, err := all(e.Query(t.Context(), sql)); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if len(warned) > 0 != want {
			t.Errorf("%s: warned %q", sql, warned)
		}
	}
}

// Nothing but reading gets as far as Athena.
func TestOnlyReading(t *testing.T) {
	s := serve(t, nil)
	e := open(t, s)
	for sql, want := range map[string]string{
		"DROP TABLE events":                            "starts with DROP",
		"-- SELECT\nDELETE FROM events":                "starts with DELETE",
		"CREATE TABLE x AS SELECT 1":                   "starts with CREATE",
		"UNLOAD (SELECT 1) TO 's3://elsewhere/'":       "starts with UNLOAD",
		"USING EXTERNAL FUNCTION f() SELECT f()":       "starts with USING",
		"EXPLAIN ANALYZE INSERT INTO t SELECT 1":       "starts with INSERT",
		"EXPLAIN ANALYZE VERBOSE DELETE FROM t":        "starts with DELETE",
		"((INSERT))":                                   "starts with INSERT",
		"SELECT 1; DROP TABLE events":                  "more than one statement",
		"(":                                            "ends before it says what to read",
		"EXPLAIN ANALYZE ((":                           "ends before it says what to read",
		" /* nothing */ ;":                             "no statement",
		"":                                             "no statement",
		"SELECT '" + strings.Repeat("a", 262144) + "'": "262153 bytes, and Athena takes at most 262144",
	} {
		if _, err := e.Query(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", sql, err)
		}
	}
	if n := s.Calls("StartQueryExecution"); n != 0 {
		t.Errorf("%d queries were started", n)
	}
	// A semicolon at the end, and in text, is no second statement.
	if _, err := e.Query(t.Context(), "SELECT ';' ;;\n"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
	if got := s.Queries(); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// A start that is tried again, after an answer was lost or the service was busy, runs
// one query.
func TestStartTriedAgain(t *testing.T) {
	local := demo(t, 500)
	s := serve(t, local, func(o *athenatest.Options) {
		o.Fail = func(op string, n int) *athenatest.Failure {
			switch {
			case op == "StartQueryExecution" && n == 1:
				return &athenatest.Failure{Status: http.StatusInternalServerError, Code: "InternalServerException", Message: "lost", After: true}
			case op == "StartQueryExecution" && n == 2, op == "GetQueryExecution" && n < 3, op == "GetQueryResults" && n == 1:
				return &athenatest.Failure{Status: http.StatusBadRequest, Code: "TooManyRequestsException", Message: "Rate exceeded"}
			}
			return nil
		}
	})
	rows, _, err := all(open(t, s).Query(t.Context(), "SELECT count(*) FROM events WHERE event_date > DATE '2026-01-01'"))
	if err != nil || len(rows) != 1 {
		t.Fatalf("%v, %v", rows, err)
	}
	if n, q := s.Calls("StartQueryExecution"), s.Queries(); n != 3 || len(q) != 1 {
		t.Errorf("%d requests started %d queries", n, len(q))
	}
}

// Whoever goes away leaves no query behind, wherever it was.
func TestInterrupt(t *testing.T) {
	never := func(o *athenatest.Options) {
		o.End = func(int, string) *athenatest.Ending { return &athenatest.Ending{Never: true} }
	}
	t.Run("while it runs", func(t *testing.T) {
		s := serve(t, nil, never)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := open(t, s).Query(ctx, "SELECT 1")
		if !errors.Is(err, context.Canceled) || len(s.Running()) != 0 || s.Calls("StopQueryExecution") != 1 {
			t.Errorf("%v; running %v, stopped %d times", err, s.Running(), s.Calls("StopQueryExecution"))
		}
	})
	t.Run("while it is started", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := serve(t, nil, never, func(o *athenatest.Options) {
			o.Fail = func(op string, _ int) *athenatest.Failure {
				if op == "StartQueryExecution" {
					cancel()
					time.Sleep(50 * time.Millisecond) // the answer comes when nobody waits for it any more
				}
				return nil
			}
		})
		_, err := open(t, s).Query(ctx, "SELECT 1")
		if !errors.Is(err, context.Canceled) || len(s.Running()) != 0 || len(s.Queries()) != 1 {
			t.Errorf("%v; running %v of %d", err, s.Running(), len(s.Queries()))
		}
	})
	t.Run("before it is started", func(t *testing.T) {
		s := serve(t, nil, never)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := open(t, s).Query(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) || s.Calls("StartQueryExecution") != 0 {
			t.Errorf("%v; %d requests", err, s.Calls("StartQueryExecution"))
		}
	})
	t.Run("at its limit of time", func(t *testing.T) {
		s := serve(t, nil, never)
		_, err := open(t, s, func(o *athena.Options) { o.Timeout = 50 * time.Millisecond }).Query(t.Context(), "SELECT 1")
		if err == nil || !strings.Contains(err.Error(), "stopped after 50ms, the most that a query may take") || len(s.Running()) != 0 {
			t.Errorf("%v; running %v", err, s.Running())
		}
	})
	t.Run("when stopping is refused", func(t *testing.T) {
		s := serve(t, nil, never, func(o *athenatest.Options) {
			o.Fail = func(op string, _ int) *athenatest.Failure {
				if op == "StopQueryExecution" {
					return &athenatest.Failure{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "You are not authorized to perform: athena:StopQueryExecution on the resource"}
				}
				return nil
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := open(t, s).Query(ctx, "SELECT 1")
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stop query 00000000-0000-4000-8000-000000000001 in the Athena console") || !strings.Contains(err.Error(), "athena:StopQueryExecution") {
			t.Errorf("%v", err)
		}
	})
	t.Run("when its state can't be asked", func(t *testing.T) {
		s := serve(t, nil, never, func(o *athenatest.Options) {
			o.Fail = func(op string, _ int) *athenatest.Failure {
				if op == "GetQueryExecution" {
					return &athenatest.Failure{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "User: arn:aws:iam::1:user/a is not authorized to perform: athena:GetQueryExecution on resource: arn:aws:athena:eu-central-1:1:workgroup/tracker"}
				}
				return nil
			}
		})
		_, err := open(t, s).Query(t.Context(), "SELECT 1")
		if !errors.Is(err, awsapi.ErrDenied) || len(s.Running()) != 0 {
			t.Errorf("%v; running %v", err, s.Running())
		}
	})
}

// A query that failed because a file changed under it is run once more; other
// failures, and a second one, are not.
func TestFileChangedUnderIt(t *testing.T) {
	const gone = "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://lake/events/event_date=2026-11-20/events.parquet (offset=0, length=1000): com.amazonaws.services.s3.model.AmazonS3Exception: The specified key does not exist. (Service: Amazon S3; Status Code: 404; Error Code: NoSuchKey)"
	for reason, again := range map[string]bool{
		gone: true,
		"HIVE_CURSOR_ERROR: Failed to read Parquet file: s3://lake/events/event_date=2026-11-20/events.parquet":                         true,
		"HIVE_BAD_DATA: Malformed Parquet file. s3://lake/events/event_date=2026-11-20/events.parquet":                                  true,
		"GENERIC_INTERNAL_ERROR: At least one of the pre-conditions you specified did not hold (Service: Amazon S3; Status Code: 412)":  true,
		"HIVE_CURSOR_ERROR: Please reduce your request rate. (Service: Amazon S3; Status Code: 503; Error Code: SlowDown)":              true,
		"HIVE_CANNOT_OPEN_SPLIT: Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; s3://lake/events/x)":    false,
		"COLUMN_NOT_FOUND: line 1:8: Column 'nonsense' cannot be resolved or requester is not authorized to access requested resources": false,
		"Query exhausted resources at this scale factor":                                                                                false,
	} {
		for times := 1; times <= 2; times++ {
			s := serve(t, nil, run(func() *canned {
				return &canned{columns: []query.Column{{Name: "a", Type: "bigint"}}, rows: [][]any{{int64(1)}}}
			}),
				func(o *athenatest.Options) {
					o.End = func(n int, _ string) *athenatest.Ending {
						if n <= times {
							return &athenatest.Ending{State: "FAILED", Reason: reason}
						}
						return nil
					}
				})
			rows, _, err := all(open(t, s).Query(t.Context(), "SELECT 1"))
			if (err == nil) != (again && times == 1) || err == nil && len(rows) != 1 {
				t.Errorf("%s, %d times: %v, %v", reason, times, rows, err)
			}
			if want := map[bool]int{true: 2, false: 1}[again]; len(s.Queries()) != want {
				t.Errorf("%s, %d times: %d queries", reason, times, len(s.Queries()))
			}
			if again && times == 2 && strings.Contains(reason, "s3://") && !strings.Contains(err.Error(), "the lake's file s3://lake/events/event_date=2026-11-20/events.parquet can't be read") {
				t.Errorf("%s: %v", reason, err)
			}
		}
	}
}

// Each way to fail is a sentence that names what is missing and what to do.
func TestFailures(t *testing.T) {
	ending := func(state, reason string) func(*athenatest.Options) {
		return func(o *athenatest.Options) {
			o.End = func(int, string) *athenatest.Ending {
				return &athenatest.Ending{State: state, Reason: reason, Scanned: 12345678}
			}
		}
	}
	starting := func(code, message string) func(*athenatest.Options) {
		return func(o *athenatest.Options) {
			o.Fail = func(op string, _ int) *athenatest.Failure {
				if op != "StartQueryExecution" {
					return nil
				}
				return &athenatest.Failure{Status: http.StatusBadRequest, Code: code, Message: message}
			}
		}
	}
	for _, c := range []struct {
		name    string
		server  func(*athenatest.Options)
		options func(*athena.Options)
		want    string
		is      error
	}{
		{"no workgroup", nil, func(o *athena.Options) { o.Workgroup = "other" }, "there is no Athena workgroup other in eu-central-1: check", awsapi.ErrNotFound},
		{"no workgroup, in the words of old", starting("InvalidRequestException", "WorkGroup is not found."), nil, "there is no Athena workgroup tracker in eu-central-1", awsapi.ErrNotFound},
		{"workgroup off", nil, func(o *athena.Options) { o.Workgroup = "off" }, "the Athena workgroup off in eu-central-1 is disabled: turn it on", nil},
		{"no output", nil, func(o *athena.Options) { o.Workgroup = "nowhere" }, "the Athena workgroup nowhere in eu-central-1 doesn't say where results are written: set", nil},
		{"output bucket missing", starting("InvalidRequestException", "Unable to verify/create output bucket results"), nil, "can't write results where the workgroup tracker says: the bucket must exist in eu-central-1", nil},
		{"output elsewhere", starting("InvalidRequestException", "The S3 location provided to save your query results is invalid. Please check your S3 location is correct and is in the same region and try again."), func(o *athena.Options) { o.Output = "s3://mine/" }, "can't write results where the workgroup tracker says (s3://mine/)", nil},
		{"no database", nil, func(o *athena.Options) { o.Database = "other" }, "Athena has no database other in eu-central-1: check the stack's name, the region", awsapi.ErrNotFound},
		{"no table", ending("FAILED", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.iamtrack.events' does not exist"), nil, "Athena has no table awsdatacatalog.iamtrack.events in eu-central-1: make the tables", awsapi.ErrNotFound},
		{"old table", ending("FAILED", "COLUMN_NOT_FOUND: line 1:8: Column 'actor_chain' cannot be resolved or requester is not authorized to access requested resources"), nil, "has no column actor_chain: its definition is older", nil},
		{"no column", ending("FAILED", "COLUMN_NOT_FOUND: line 1:8: Column 'nonsense' cannot be resolved or requester is not authorized to access requested resources"), nil, "Column 'nonsense' cannot be resolved", nil},
		{"bad SQL", ending("FAILED", "line 1:8: mismatched input 'FRM'. Expecting: ','"), nil, "Athena: line 1:8: mismatched input 'FRM'", nil},
		{"scan limit", ending("CANCELLED", "Query cancelled! : Bytes scanned limit was exceeded"), nil, "the Athena workgroup tracker permits no query to read that much (stopped after 12 MB): narrow the range", nil},
		{"stopped", ending("CANCELLED", "Query was cancelled"), nil, "query 00000000-0000-4000-8000-000000000001 was stopped by somebody else (Query was cancelled)", nil},
		{"start denied", starting("AccessDeniedException", "User: arn:aws:iam::111111111111:user/a is not authorized to perform: athena:StartQueryExecution on resource: arn:aws:athena:eu-central-1:111111111111:workgroup/tracker because no identity-based policy allows it"), nil, "access denied: athena:StartQueryExecution on arn:aws:athena:eu-central-1:111111111111:workgroup/tracker", awsapi.ErrDenied},
		{"catalog denied", ending("FAILED", "User: arn:aws:sts::111111111111:assumed-role/R/s is not authorized to perform: glue:GetTable on resource: arn:aws:glue:eu-central-1:111111111111:catalog because no identity-based policy allows the glue:GetTable action (Service: AWSGlue; Status Code: 400)"), nil, "access denied: glue:GetTable on arn:aws:glue:eu-central-1:111111111111:catalog: permit it to the caller", awsapi.ErrDenied},
		{"lake denied", ending("FAILED", "Permission denied on S3 path: s3://lake/events/event_date=2026-11-20"), nil, "access denied: s3:GetObject or s3:ListBucket on s3://lake/events/event_date=2026-11-20: permit both", awsapi.ErrDenied},
		{"file denied", ending("FAILED", "HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split s3://lake/events/event_date=2026-11-20/events.parquet (offset=0, length=1): Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied)"), nil, "access denied: s3:GetObject or s3:ListBucket on s3://lake/events/event_date=2026-11-20/events.parquet", awsapi.ErrDenied},
		{"results denied", ending("FAILED", "Access denied when writing output to url: s3://results/abc.csv . Please ensure you are allowed to access the S3 bucket."), nil, "access denied: s3:PutObject on s3://results/abc.csv, where the workgroup tracker writes results", awsapi.ErrDenied},
		{"lake formation", ending("FAILED", "Insufficient Lake Formation permission(s) on events"), nil, "access denied: Lake Formation keeps the database iamtrack", awsapi.ErrDenied},
		{"wrong region", ending("FAILED", "HIVE_METASTORE_ERROR: The bucket is in this region: eu-west-1. Please use this region to retry the request (Service: Amazon S3; Status Code: 301; Error Code: PermanentRedirect)"), nil, "the lake's bucket isn't in eu-central-1, but in eu-west-1: ask the Athena", nil},
		{"no bucket", ending("FAILED", "HIVE_FILESYSTEM_ERROR: The specified bucket does not exist (Service: Amazon S3; Status Code: 404; Error Code: NoSuchBucket) s3://lake/events/"), nil, "a bucket is missing, that of s3://lake/events/", awsapi.ErrNotFound},
		{"resources", ending("FAILED", "Query exhausted resources at this scale factor"), nil, "narrow the range", nil},
		{"time", ending("FAILED", "Query timeout"), nil, "at its limit of time: narrow the range", nil},
		{"no reason", ending("FAILED", ""), nil, "the query 00000000-0000-4000-8000-000000000001 failed without a reason", nil},
		{"unknown state", ending("MELTED", ""), nil, `in a state that this program doesn't know: "MELTED"`, nil},
		{"expired", starting("ExpiredTokenException", "The security token included in the request is expired"), nil, "credentials expired", awsapi.ErrCredentialsExpired},
		{"unknown key", starting("UnrecognizedClientException", "The security token included in the request is invalid."), nil, "check the access key", awsapi.ErrBadCredentials},
		{"other", starting("InvalidRequestException", "line 1:1: \x1b[31mhostile"), nil, "line 1:1: \ufffd[31mhostile", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, nil, func(o *athenatest.Options) {
				if c.server != nil {
					c.server(o)
				}
			})
			e := open(t, s, func(o *athena.Options) {
				if c.options != nil {
					c.options(o)
				}
			})
			_, err := e.Query(t.Context(), "SELECT 1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			if r := s.Running(); c.name != "unknown state" && len(r) > 0 {
				t.Errorf("running %v", r)
			}
		})
	}
}

// The workgroup's limit is the server's own here: a query that reads more is stopped.
func TestScanLimit(t *testing.T) {
	local := demo(t, 500)
	e := open(t, serve(t, local), func(o *athena.Options) { o.Workgroup = "narrow" })
	_, err := e.Query(t.Context(), "SELECT max(rest) FROM events WHERE event_date > DATE '2026-01-01'")
	if err == nil || !strings.Contains(err.Error(), "the Athena workgroup narrow permits no query to read that much") {
		t.Errorf("%v", err)
	}
}

// A page that fails in the middle of a result is an error, not the end.
func TestPageFails(t *testing.T) {
	s := serve(t, nil, run(func() *canned {
		return &canned{columns: []query.Column{{Name: "a", Type: "bigint"}}, rows: [][]any{{int64(1)}, {int64(2)}, {int64(3)}}}
	}), func(o *athenatest.Options) {
		o.PageRows = 2
		o.Fail = func(op string, n int) *athenatest.Failure {
			if op == "GetQueryResults" && n > 1 {
				return &athenatest.Failure{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "no"}
			}
			return nil
		}
	})
	rows, _, err := all(open(t, s).Query(t.Context(), "SELECT 1"))
	if len(rows) != 1 || !errors.Is(err, awsapi.ErrDenied) || !strings.Contains(err.Error(), "athena:GetQueryResults") {
		t.Errorf("%v, %v", rows, err)
	}
}

// Nothing is asked of an engine that was given too little.
func TestOptions(t *testing.T) {
	if _, err := athena.New(nil, athena.Options{Workgroup: "w"}); err == nil || !strings.Contains(err.Error(), "database") {
		t.Errorf("%v", err)
	}
}
