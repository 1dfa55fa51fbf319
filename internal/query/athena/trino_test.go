//go:build integration

package athena_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena"
	"github.com/iamtrack/iamtrack/internal/query/athena/athenatest"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/query/querytest"
)

// Trino, the engine that Athena's is made from, reads the lake by the tables'
// definitions as Glue has them, partition projection included, and gives the same
// answers as DuckDB, to every built-in query with every kind of parameter.
func TestTrino(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	bucket, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	n := querytest.Lake(t, bucket, 40_000)
	if n < 20_000 {
		t.Fatalf("the lake has %d events only", n)
	}
	local, err := duckdb.Open(t.Context(), duckdb.Options{LakeDir: dir, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	trino := peers.Trino(t, peers.TrinoOptions{Database: "iamtrack", Tables: query.LakeTables("file://" + dir)})
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
	c := querytest.Case{Name: sql[:min(len(sql), 60)]}
	querytest.CompareAnswers(t, c.Name,
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
