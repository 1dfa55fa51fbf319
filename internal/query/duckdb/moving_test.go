package duckdb_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// What is saved in Athena counts its range from the day it is asked on; each query can
// be asked so.
func TestMovingRange(t *testing.T) {
	dir := t.TempDir()
	text := "-- title: Bounds\n-- look-back: 30d\n-- baseline: 60d\n" +
		"SELECT ${since} AS since, ${until} AS until, CASE WHEN ${as_of} BETWEEN ${since} AND ${until} THEN 1 ELSE 0 END AS within,\n" +
		"  (SELECT COUNT(*) FROM events WHERE ${range}) + (SELECT COUNT(*) FROM events WHERE ${history}) AS found\n"
	if err := os.WriteFile(filepath.Join(dir, "bounds.sql"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := query.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := duckdb.Open(t.Context(), duckdb.Options{LakeDir: packLake(t), TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	saved, err := c.Saved(query.Params{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	asked := false
	for _, s := range saved {
		rows, err := e.Query(t.Context(), s.SQL)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		for {
			v, err := rows.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			if s.Name != "bounds" {
				continue
			}
			since, until := v[0].(time.Time), v[1].(time.Time)
			// Midnight may have passed meanwhile.
			if d := since.Sub(today.AddDate(0, 0, -30)); d != 0 && d != 24*time.Hour {
				t.Errorf("since is %s, today is %s", since, today)
			}
			if until.Sub(since) != 32*24*time.Hour {
				t.Errorf("until is %s, since is %s", until, since)
			}
			if v[2] != int64(1) {
				t.Errorf("now isn't within the range: %v", v)
			}
			asked = true
		}
		_ = rows.Close()
	}
	if !asked {
		t.Error("nothing was answered")
	}
	if _, err := c.Saved(query.Params{Now: time.Now(), Since: time.Now().AddDate(0, 0, -1)}); err != nil {
		t.Errorf("a range with bounds: %v", err)
	}
}
