//go:build integration

package athena_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena"
	"github.com/iamtrack/iamtrack/internal/query/athena/athenatest"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/query/querytest"
)

// Trino, the engine that Athena's is made from, reads the lake in a bucket by the tables'
// definitions as Glue has them, partition projection included, and gives the same
// answers as DuckDB, to every built-in query with every kind of parameter.
func TestTrino(t *testing.T) {
	const name = "trail-answers"
	url := peers.S3(t)
	peers.S3Bucket(t, url, name, false)
	session, err := awsapi.Open(t.Context(), awsapi.Config{Alone: true, EndpointURL: url, Region: peers.Region,
		Keys: &awsapi.Keys{AccessKeyID: peers.AccessKeyID, SecretAccessKey: peers.SecretAccessKey}})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := session.Bucket(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3lake.New(objects, "lake/")
	n := querytest.Lake(t, bucket, 40_000)
	if n < 20_000 {
		t.Fatalf("the lake has %d events only", n)
	}
	local, err := duckdb.OpenRemote(t.Context(), duckdb.RemoteOptions{
		Options: duckdb.Options{TempDir: t.TempDir()}, Bucket: bucket, Name: name, CacheDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	trino := peers.Trino(t, peers.TrinoOptions{Database: "iamtrack", Tables: query.LakeTables("s3://" + name + "/lake"), S3: url})
	server := athenatest.New(t, athenatest.Options{
		Run: trino.Query, Workgroups: groups(), Databases: []string{"iamtrack"}, Looks: 1,
	})
	e := open(t, server, func(o *athena.Options) { o.Poll = 5 * time.Millisecond })

	t.Run("all rows", func(t *testing.T) {
		for _, sql := range []string{
			"SELECT event_date, count(*) AS n, min(event_time) AS first, max(event_time) AS last FROM events GROUP BY event_date ORDER BY event_date",
			"SELECT event_date, count(*) AS n, count(DISTINCT reason) AS reasons FROM filtered GROUP BY event_date ORDER BY event_date",
			"SELECT " + strings.Join(columnNames(), ", ") + " FROM events WHERE event_date BETWEEN DATE '2026-11-15' AND DATE '2026-11-20' ORDER BY event_time, account_id, event_id",
		} {
			same(t, sql, local, e)
		}
	})
	t.Run("functions", func(t *testing.T) {
		for _, f := range functions {
			for _, expression := range f.expressions {
				same(t, "SELECT n, "+expression+" AS v FROM (VALUES "+f.values+") AS x(n, "+f.names+") ORDER BY n", local, e)
			}
		}
	})
	t.Run("packs", func(t *testing.T) {
		cases, rows, empty := querytest.Cases(t, true), 0, 0
		start, most := time.Now(), 10
		for _, c := range cases {
			ok := t.Run(c.Name, func(t *testing.T) {
				n := querytest.Compare(t, c, local, e)
				if rows += n; n == 0 {
					empty++
				}
			})
			if !ok {
				if most--; most == 0 {
					t.Fatal("and so on: the rest isn't compared")
				}
			}
		}
		t.Logf("%d queries, %d rows, %d answers without rows, in %s", len(cases), rows, empty, time.Since(start).Round(time.Second))
		if rows < 40_000 {
			t.Errorf("the comparison looked at %d rows only", rows)
		}
	})
	t.Run("projection", func(t *testing.T) {
		day, whole := read(t, e, "SELECT max(rest) FROM events WHERE event_date = DATE '2026-11-20'"), read(t, e, "SELECT max(rest) FROM events")
		if day <= 0 || day > whole/20 {
			t.Errorf("a day reads %d bytes, all days %d", day, whole)
		}
	})
	t.Run("errors", func(t *testing.T) {
		for sql, want := range map[string]string{
			"SELECT nonsense FROM events WHERE event_date = DATE '2026-11-20'": "Column 'nonsense' cannot be resolved",
			"SELECT 1 FROM nothing": "Athena has no table hive.iamtrack.nothing in eu-central-1",
			"SELECT FROM":           "mismatched input",
			"SELECT 1 / 0":          "Division by zero",
		} {
			if _, err := e.Query(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s:\ngot  %v\nwant %s", sql, err, want)
			}
		}
		if _, err := e.Query(t.Context(), "SELECT 1 FROM nothing"); !errors.Is(err, awsapi.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

func columnNames() []string {
	var names []string
	for _, c := range query.EventColumns() {
		names = append(names, c.Name)
	}
	return names
}

// same asks a statement of two engines.
func same(t *testing.T, sql string, want, got query.Engine) {
	t.Helper()
	querytest.CompareAnswers(t, sql[:min(len(sql), 70)],
		func(ctx context.Context) (query.Rows, error) { return want.Query(ctx, sql) },
		func(ctx context.Context) (query.Rows, error) { return got.Query(ctx, sql) })
}

// read is how many bytes a statement reads.
func read(t *testing.T, e query.Engine, sql string) int64 {
	t.Helper()
	_, stats, err := all(e.Query(t.Context(), sql))
	if err != nil {
		t.Fatal(err)
	}
	return stats.BytesScanned
}

// functions are what query files may use, over values that are hard: a number first,
// by which rows are ordered.
var functions = []struct {
	names, values string
	expressions   []string
}{
	{"j", `(1, '{"a":1,"b":"x","c":[1,"two",null],"d":{"e":null,"f":true,"g.h":2},"n":-1.5,"i":"it''s \"q\" \\\\ \u00e9\n"}'), (2, 'no JSON'), (3, ''), (4, '[]'), (5, 'null'), (6, '"x"'), (7, NULL),
		(8, '{"a":{"b":"deep"},"b":""}'), (9, '{"a":12345678901234567890,"b":"é𝄞"}'), (10, '{"a":[],"d":{}}'), (12, ' {"a" : "spaced" } '), (13, '{"a":false}'), (14, '{"A":"other"}')`,
		[]string{
			`json_extract_scalar(j, '$.a')`, `json_extract_scalar(j, '$.b')`, `json_extract_scalar(j, '$.c')`, `json_extract_scalar(j, '$.c[1]')`, `json_extract_scalar(j, '$.c[2]')`,
			`json_extract_scalar(j, '$.d')`, `json_extract_scalar(j, '$.d.e')`, `json_extract_scalar(j, '$.d.f')`, `json_extract_scalar(j, '$.n')`, `json_extract_scalar(j, '$.i')`, `json_extract_scalar(j, '$.a.b')`,
			`json_extract_scalar(j, '$.none.none')`, `json_size(j, '$.c')`, `json_size(j, '$.d')`, `json_size(j, '$.a')`, `json_size(j, '$.none')`,
			`COALESCE(json_extract_scalar(j, '$.b'), 'none')`,
		}},
	{"s", `(1, 'arn:aws:iam::012345678901:role/Admin'), (2, ''), (3, NULL), (4, 'Straße ÄÖÜ é𝄞'), (5, 'a%b_c\d'), (6, '::::'), (7, 'https://user@host.example:8443/path?q#f'), (8, 'http://[::1]/'), (9, 'CreateUser'), (10, 'line
two')`,
		[]string{
			`lower(s)`, `length(s)`, `split_part(s, ':', 5)`, `split_part(s, ':', 1)`, `strpos(s, ':')`, `substr(s, 2, 3)`, `substr(s, -2)`, `replace(s, 'a', '')`, `trim(s)`, `reverse(s)`,
			`regexp_like(s, '^(Add|Create)')`, `regexp_like(s, 'two$')`, `regexp_like(lower(s), 'role|user')`, `s LIKE '%\%b\_c\\d' ESCAPE '\'`, `s LIKE '%'`, `NULLIF(s, '')`, `s || '!'`,
			`CAST(s AS VARCHAR)`, `starts_with(s, 'arn:')`, `COALESCE(s, '') <> 'x'`,
		}},
	{"u", `(1, 'https://user@host.example:8443/path?q#f'), (2, 'arn:aws:iam::1:role/r'), (3, NULL), (4, 'http://h'), (5, 'CreateUser'), (6, '')`,
		[]string{`url_extract_host(u)`, `levenshtein_distance(u, 'CreateUsers')`, `upper(u)`}},
	{"a, b", `(1, TIMESTAMP '2026-03-29 00:30:00.250', TIMESTAMP '2026-03-29 03:29:59.249'), (2, TIMESTAMP '2024-02-29 23:59:59.999', TIMESTAMP '2025-02-28 00:00:00.000'),
		(3, TIMESTAMP '2026-12-31 12:00:00.000', TIMESTAMP '2025-01-01 12:00:00.001'), (4, TIMESTAMP '1969-12-31 23:59:59.999', TIMESTAMP '1970-01-01 00:00:00.000'), (5, NULL, TIMESTAMP '2026-01-01 00:00:00.000')`,
		[]string{
			`date_diff('second', a, b)`, `date_diff('minute', a, b)`, `date_diff('hour', a, b)`, `date_diff('day', a, b)`, `date_diff('month', a, b)`, `date_diff('year', a, b)`, `date_diff('millisecond', a, b)`,
			`date_trunc('hour', a)`, `date_trunc('month', b)`, `date_trunc('week', a)`, `CAST(a AS DATE)`, `a < b`, `EXTRACT(HOUR FROM a)`, `EXTRACT(MINUTE FROM a)`, `EXTRACT(YEAR FROM a)`,
			`day_of_week(a)`, `day_of_month(a)`, `day_of_year(a)`, `year_of_week(a)`, `week(a)`, `hour(b)`, `a + INTERVAL '90' MINUTE`, `a - INTERVAL '1' DAY`, `a + INTERVAL '-30' SECOND`,
			`date_format(a, '%Y-%m-%d %H:%i:%s')`, `date_format(b, '%T')`, `to_iso8601(a)`, `to_unixtime(a)`, `from_unixtime(to_unixtime(b))`, `COALESCE(a, b)`, `a IS NULL`,
		}},
	{"i, d", `(1, 7, 2.5), (2, -7, -2.5), (3, 0, 0.05), (4, NULL, NULL), (5, 1000000, 123456.785)`,
		[]string{
			`i + 1`, `i * 60`, `-i`, `abs(i)`, `i % 3`, `CAST(i AS DOUBLE) / 3`, `round(CAST(d AS DOUBLE), 1)`, `round(CAST(i AS DOUBLE) * 100 / 3, 1)`, `floor(CAST(d AS DOUBLE))`, `CAST(i AS VARCHAR)`,
			`CAST(CAST(i AS DOUBLE) AS BIGINT)`, `i BETWEEN 0 AND 7`, `CASE WHEN i > 0 THEN 'more' ELSE 'less' END`, `from_unixtime(i)`, `COALESCE(i, 0)`,
		}},
	{"g, s, b", `(1, 1, 'x', true), (2, 1, 'y', false), (3, 2, NULL, NULL), (4, 2, 'x', true), (5, 2, 'x', true)`,
		[]string{
			`COUNT(s) OVER (PARTITION BY g)`, `LAG(s) OVER (ORDER BY n)`, `ROW_NUMBER() OVER (PARTITION BY g ORDER BY n DESC)`, `MIN(s) OVER (PARTITION BY g)`, `SUM(g) OVER (ORDER BY n)`, `FIRST_VALUE(s) OVER (PARTITION BY g ORDER BY n)`,
			`element_at(ARRAY[10, 20, 30], g)`, `array_join(ARRAY['a', 'b', s], ',')`, `array_max(ARRAY[g, 5, n])`, `array_min(ARRAY[g, 5, n])`, `arrays_overlap(ARRAY['x', 'z'], ARRAY[COALESCE(s, 'y'), 'q'])`, `b AND s = 'x'`, `NOT b`, `contains(ARRAY['x'], s)`,
		}},
}
