package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/iamtrack/iamtrack/internal/event"
)

func openInternal(t *testing.T, path string) *sqlite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*sqlite)
}

func (s *sqlite) pragma(t *testing.T, name string) (value int) {
	t.Helper()
	if err := s.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSQLiteIsDurable(t *testing.T) {
	s := openInternal(t, filepath.Join(t.TempDir(), "iamtrack.db"))
	var mode string
	if err := s.conn.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %s, error %v", mode, err)
	}
	const full = 2
	if got := s.pragma(t, "synchronous"); got != full {
		t.Errorf("synchronous = %d", got)
	}
}

// Look-ups must use an index, whatever the planner thinks of an empty store.
func TestSQLiteUsesIndexes(t *testing.T) {
	s := openInternal(t, filepath.Join(t.TempDir(), "iamtrack.db"))
	for query, want := range map[string]string{
		eventsByKey.text(8):    "SEARCH t USING INDEX sqlite_autoindex_events_1 (account_id=? AND event_id=?)",
		conflictsByRef.text(8): "SEARCH t USING COVERING INDEX sqlite_autoindex_conflicts_1 (account_id=? AND event_id=? AND record_hash=?)",
		filteredByRow.text(8):  "SEARCH t USING PRIMARY KEY (event_date=? AND account_id=? AND event_time_ms=? AND event_id=? AND aws_region=? AND event_source=? AND event_name=? AND reason=?)",
		importedByPath.text(8): "SEARCH t USING PRIMARY KEY (path=?)",
		"SELECT fact_group FROM facts WHERE account_id = ? AND event_id = ? AND record_hash = ?":                                                      "SEARCH facts USING COVERING INDEX facts_by_content",
		"SELECT fact FROM facts WHERE fact_group = ?":                                                                                                 "SEARCH facts USING PRIMARY KEY (fact_group=?)",
		"SELECT event FROM events INDEXED BY events_by_day WHERE event_date = ? ORDER BY account_id, event_time_ms, event_id":                         "SEARCH events USING INDEX events_by_day (event_date=?)",
		"DELETE FROM events WHERE event_date < ? AND event_date NOT IN (SELECT event_date FROM dirty_days)":                                           "INDEX events_by_day (event_date<?)",
		"SELECT reason FROM filtered WHERE event_date = ? ORDER BY account_id, event_time_ms, event_id, aws_region, event_source, event_name, reason": "SEARCH filtered USING PRIMARY KEY (event_date=?)",
		"DELETE FROM filtered WHERE event_date < ? AND event_date NOT IN (SELECT event_date FROM dirty_days)":                                         "SEARCH filtered USING PRIMARY KEY (event_date<?)",
		"SELECT id FROM alerts WHERE event_time_ms >= ? AND event_time_ms < ? ORDER BY event_time_ms DESC, id":                                        "alerts_by_time (event_time_ms>? AND event_time_ms<?)",
		"SELECT event FROM conflicts ORDER BY account_id, event_id, record_hash < 0, record_hash":                                                     "USING INDEX sqlite_autoindex_conflicts_1",
	} {
		args := make([]any, strings.Count(query, "?"))
		rows, err := s.conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		if err := eachRow(rows, func(scan func(...any) error) error {
			var id, parent, unused int
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, want) {
			t.Errorf("%s\nplan:\n%s\nwant: %s", query, text, want)
		}
		if strings.Contains(text, "TEMP B-TREE FOR ORDER BY") {
			t.Errorf("%s\nsorts all rows:\n%s", query, text)
		}
	}
}

// A full disk, at any page: nothing is half written, the error says what to do,
// and once there is space the same call works.
func TestSQLiteFull(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	s := openInternal(t, path)
	events := make([]event.Event, 300)
	for i := range events {
		events[i] = event.Event{EventID: fmt.Sprint(i), Rest: strings.Repeat(fmt.Sprintf("%x", i*i*i), 200), RecordHash: int64(i)}
	}
	all := func() (n int64) {
		c, err := s.Counts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c.HotEvents
	}
	if err := s.Put(ctx, events[:10], nil); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for spare := 1; ; spare += 5 {
		limit := s.pragma(t, "page_count") + spare
		if got := s.pragma(t, fmt.Sprintf("max_page_count = %d", limit)); got != limit {
			t.Fatalf("limit %d, want %d", got, limit)
		}
		err := s.Put(ctx, events, nil)
		if err == nil {
			break
		}
		failed++
		if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), path) || !strings.HasPrefix(err.Error(), "put events: ") {
			t.Fatalf("got %v", err)
		}
		if n := all(); n != 10 {
			t.Fatalf("%d events after a write that failed", n)
		}
	}
	if failed == 0 || all() != 300 {
		t.Fatalf("%d failures, %d events", failed, all())
	}
	var check string
	if err := s.conn.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Fatalf("%s, error %v", check, err)
	}
}

// withMigrations replaces the schema's steps for a test.
func withMigrations(t *testing.T, steps []string) {
	old := migrations
	migrations = steps
	t.Cleanup(func() { migrations = old })
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	first := openInternal(t, path)
	if err := first.Put(t.Context(), []event.Event{{EventID: "a"}}, nil); err != nil {
		t.Fatal(err)
	}
	if v := first.pragma(t, "user_version"); v != len(migrations) {
		t.Fatalf("schema %d, want %d", v, len(migrations))
	}
	if id := first.pragma(t, "application_id"); id != applicationID {
		t.Fatalf("application id %x", id)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	// A step that fails half-way leaves the schema as it was, and is named.
	steps := slices.Clone(migrations)
	withMigrations(t, slices.Concat(steps, []string{"ALTER TABLE meta ADD COLUMN extra TEXT; CREATE TABLE meta (a)"}))
	_, err := OpenSQLite(t.Context(), path, SQLiteOptions{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("schema %d", len(steps)+1)) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}

	// Several at once: each step is taken once.
	migrations = slices.Concat(steps, []string{"ALTER TABLE meta ADD COLUMN extra TEXT", "CREATE TABLE more (a INTEGER) STRICT"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := OpenSQLite(context.Background(), path, SQLiteOptions{})
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openInternal(t, path)
	if v := s.pragma(t, "user_version"); v != len(migrations) {
		t.Fatalf("schema %d, want %d", v, len(migrations))
	}
	if _, err := s.Event(t.Context(), event.Key{EventID: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.ExecContext(t.Context(), "INSERT INTO more VALUES (1)"); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsAreNumbered(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"gap":       {"migrations/0001_a.sql": {}, "migrations/0003_b.sql": {}},
		"twice":     {"migrations/0001_a.sql": {}, "migrations/0001_b.sql": {}},
		"no number": {"migrations/first.sql": {}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("accepted")
				}
			}()
			mustMigrations(files)
		})
	}
}
