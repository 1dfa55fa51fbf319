package duckdb_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the bare DuckDB that we compare with

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// benchEnd is the day after the last event of the benchmark lakes.
var benchEnd = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// benchLake returns a lake of simulated events. IAMTRACK_BENCH_EVENTS says how
// many (default 100,000); with IAMTRACK_BENCH_DIR the lake is kept there, and
// not made again.
func benchLake(b *testing.B, name string, events, days int) string {
	b.Helper()
	dir := b.TempDir()
	if keep := os.Getenv("IAMTRACK_BENCH_DIR"); keep != "" {
		dir = filepath.Join(keep, name+"-"+strconv.Itoa(events))
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	writeLake(b, dir, simulate(events, days, benchEnd), nil)
	return dir
}

func benchEvents(b *testing.B) int {
	b.Helper()
	n := 100_000
	if text := os.Getenv("IAMTRACK_BENCH_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// bare asks a DuckDB without any of our care: the files by a glob, its own
// partitioning, no limits, everything from opening it to the last row.
func bare(b *testing.B, lake, statement string) int {
	b.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	macros, err := os.ReadFile("macros.sql")
	if err != nil {
		b.Fatal(err)
	}
	view := "CREATE VIEW events AS SELECT * FROM read_parquet('" + lake + "/events/*/events.parquet', hive_partitioning = true, hive_types = {'event_date': DATE})"
	for _, s := range []string{string(macros), view} {
		if _, err := db.Exec(s); err != nil {
			b.Fatal(err)
		}
	}
	rows, err := db.Query(statement)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkPacks runs the queries over two years of events, with their own
// look-back and over everything, on our engine and on a bare DuckDB.
func BenchmarkPacks(b *testing.B) {
	lake := benchLake(b, "two-years", benchEvents(b), 730)
	e := open(b, duckdb.Options{LakeDir: lake})
	c, err := query.LoadCatalogue("")
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range c.List() {
		if q.Name == "filtered_summary" {
			continue
		}
		for _, span := range []string{"own", "all"} {
			p := query.Params{Now: benchEnd, Values: packValues[q.Name]}
			if span == "all" {
				p.Since = benchEnd.Add(-730 * 24 * time.Hour)
			}
			statement, err := q.Render(p)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(q.Name+"/"+span+"/iamtrack", func(b *testing.B) {
				for b.Loop() {
					if _, err := all(q.Run(b.Context(), e, p)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(q.Name+"/"+span+"/duckdb", func(b *testing.B) {
				for b.Loop() {
					bare(b, lake, statement)
				}
			})
		}
	}
}

// BenchmarkEvents runs the events list over ten years of daily files.
func BenchmarkEvents(b *testing.B) {
	for _, size := range []struct {
		name         string
		events, days int
	}{{"ten-years", 14600, 3650}, {"two-years", benchEvents(b), 730}} {
		lake := benchLake(b, size.name, size.events, size.days)
		e := open(b, duckdb.Options{LakeDir: lake})
		for name, f := range map[string]query.EventFilter{
			"newest-50":      {Limit: 50},
			"actor-limit-50": {Actors: []string{"user7"}, Limit: 50},
			"actor-all":      {Actors: []string{"user7"}},
			"nobody":         {Actors: []string{"nobody"}, Limit: 50},
			"grep-limit-50":  {Grep: []string{"app-59"}, Limit: 50},
			"by-id":          {EventIDs: []string{"00000000-0000"}, Limit: 1},
		} {
			b.Run(size.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := all(query.Events(b.Context(), e, f)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(size.name+"/sql-count", func(b *testing.B) {
			for b.Loop() {
				if _, err := all(e.Query(b.Context(), "SELECT event_name, count(*) FROM events GROUP BY 1 ORDER BY 1")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
