package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // to make databases that OpenSQLite didn't
	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/storetest"
)

// rawSQL runs statements on a database, as another program would.
func rawSQL(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), text)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// wantOpenError opens a store that can't be opened: the error must be of that
// kind, name the file and contain the words.
func wantOpenError(t *testing.T, path string, o store.SQLiteOptions, want error, words string) {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("opened %s", path)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), words) {
		t.Fatalf("got %q, want %q, the path and %q", err, want, words)
	}
}

// filled makes a store with the work of one writer and returns its state.
func filled(t *testing.T, path string) storetest.State {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), path, store.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.DoWork(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	st := dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return st
}

func dump(t *testing.T, s store.Store) storetest.State {
	t.Helper()
	st, err := storetest.Dump(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func wantState(t *testing.T, s store.Store, want storetest.State) {
	t.Helper()
	if d := storetest.Diff(want, dump(t, s)); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
}

func TestSQLiteReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	want := filled(t, path)
	for range 2 {
		s := openSQLite(t, path, store.SQLiteOptions{})
		wantState(t, s, want)
		if err := storetest.DoWork(t.Context(), s, 0); err != nil {
			t.Fatal(err)
		}
		wantState(t, s, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// The last to close leaves one file.
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, error %v", files, err)
	}
}

func TestSQLiteOddPaths(t *testing.T) {
	for _, name := range []string{"a b", "q?mode=memory", "h#ash", "per%20cent", "ünï", "plus+&=", "'quote\""} {
		dir := filepath.Join(t.TempDir(), name)
		path := filepath.Join(dir, name+".db")
		want := filled(t, path)
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		wantState(t, openSQLite(t, path, store.SQLiteOptions{}), want)
		wantState(t, openSQLite(t, path, store.SQLiteOptions{ReadOnly: true}), want)
	}
}

func TestSQLiteRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	s := openSQLite(t, "iamtrack.db", store.SQLiteOptions{})
	t.Chdir(t.TempDir())
	if err := storetest.DoWork(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("iamtrack.db"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the store moved with the working directory: %v", err)
	}
}

func TestSQLiteRefusesNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	filled(t, path)
	known := schemaVersion(t, path)
	rawSQL(t, path, "PRAGMA user_version = 99")
	for _, ro := range []bool{false, true} {
		wantOpenError(t, path, store.SQLiteOptions{ReadOnly: ro}, store.ErrNewer, "update the program")
	}
	rawSQL(t, path, fmt.Sprintf("PRAGMA user_version = %d", known))
	openSQLite(t, path, store.SQLiteOptions{})
}

func schemaVersion(t *testing.T, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return version
}

func TestSQLiteRefusesOthersFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := write("text.db", "this is no database, but long enough to look like one to a hasty reader")
	short := write("short.db", "SQLite")
	header := write("header.db", "SQLite format 3\x00"+strings.Repeat("x", 5000))
	other := filepath.Join(dir, "other.db")
	rawSQL(t, other, "CREATE TABLE t (a)")
	otherID := filepath.Join(dir, "otherid.db")
	rawSQL(t, otherID, "PRAGMA application_id = 5; PRAGMA user_version = 1")
	for _, path := range []string{text, short, header, other, otherID} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, ro := range []bool{false, true} {
			wantOpenError(t, path, store.SQLiteOptions{ReadOnly: ro}, store.ErrDamaged, "")
		}
		if after, err := os.ReadFile(path); path != other && path != otherID && (err != nil || string(after) != string(before)) {
			t.Errorf("%s was changed", path)
		}
	}
	if _, err := store.OpenSQLite(t.Context(), dir, store.SQLiteOptions{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder as a file: %v", err)
	}
}

func TestSQLiteDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	filled(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Every page but the first is lost.
	for i := 4096; i < len(whole); i++ {
		whole[i] = 0xa5
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSQLite(t.Context(), path, store.SQLiteOptions{})
	if err == nil {
		defer s.Close() //nolint:errcheck // it's damaged
		_, err = storetest.Dump(t.Context(), s)
		if werr := storetest.DoWork(t.Context(), s, 1); !errors.Is(werr, store.ErrDamaged) {
			t.Errorf("a write to a damaged store: %v", werr)
		}
	}
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
	// Cut short.
	if err := os.WriteFile(path, whole[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.SQLiteOptions{}, store.ErrDamaged, "")
}

func TestSQLiteReadOnly(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	wantOpenError(t, path, store.SQLiteOptions{ReadOnly: true}, fs.ErrNotExist, "")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, path, store.SQLiteOptions{ReadOnly: true}, store.ErrReadOnly, "older version")

	live := openSQLite(t, path, store.SQLiteOptions{})
	s := openSQLite(t, path, store.SQLiteOptions{ReadOnly: true})
	if err := storetest.DoWork(ctx, live, 2); err != nil {
		t.Fatal(err)
	}
	wantState(t, s, dump(t, live)) // what is written beside it is seen
	checkReadOnly(t, s, path)
}

// checkReadOnly checks that no write of s works and that each says why.
func checkReadOnly(t *testing.T, s store.Store, path string) {
	t.Helper()
	ctx := t.Context()
	_, jobErr := s.Job(ctx, "a")
	_, leaseErr := s.Acquire(ctx, "a", "b", time.Second)
	_, pruneErr := s.Prune(ctx, 1)
	_, recordErr := s.Record(ctx, store.Findings{}, func([]rule.Fact) []rule.Alert { return nil })
	for op, err := range map[string]error{
		"put": s.Put(ctx, []event.Event{{EventID: "a"}}, nil), "mark": s.MarkDirty(ctx, []event.Date{1}),
		"record the export": s.DayExported(ctx, 0, store.LakeDay{}), "forget": s.DropLakeDays(ctx, []event.Date{1}),
		"prune": pruneErr, "record": recordErr, "acknowledge": s.Ack(ctx, []string{"a"}, "", "", time.Time{}),
		"start": jobErr, "imported": s.FileDone(ctx, "a", nil), "end": s.EndJob(ctx, "a"), "acquire": leaseErr, "setting": s.SetMeta(ctx, "a", "b"),
	} {
		if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), op) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// A reader that goes on for long keeps nobody from writing.
func TestSQLiteWritesBesideLongRead(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	filled(t, path)
	s := openSQLite(t, path, store.SQLiteOptions{})
	first := true
	for _, err := range s.Conflicts(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if first {
			for w := range storetest.Writers {
				if err := storetest.DoWork(ctx, s, w); err != nil {
					t.Fatal(err)
				}
			}
		}
		first = false
	}
}

// A write gives up when its caller does, though another process has the lock.
func TestSQLiteLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	s := openSQLite(t, path, store.SQLiteOptions{Wait: 1})
	patient := openSQLite(t, path, store.SQLiteOptions{Wait: time.Hour})
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // test
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = s.SetMeta(t.Context(), "a", "b")
	if err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- patient.SetMeta(ctx, "a", "b") }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
}

// Who opens the store while another process has the whole file, as while that opens it
// or mends its log after a crash, waits.
func TestSQLiteOpenedWhileLocked(t *testing.T) {
	for name, lock := range map[string]string{
		"new":     "BEGIN EXCLUSIVE",
		"written": "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE; PRAGMA user_version = 3",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "iamtrack.db")
			db, err := sql.Open("sqlite3", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() //nolint:errcheck // test
			db.SetMaxOpenConns(1)
			if name == "written" {
				openSQLite(t, path, store.SQLiteOptions{}).Close() //nolint:errcheck // test
			}
			if _, err := db.ExecContext(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			if _, err := store.OpenSQLite(t.Context(), path, store.SQLiteOptions{Wait: 1}); err == nil || !strings.Contains(err.Error(), "another process kept it locked") {
				t.Fatalf("got %v", err)
			}
			opened := make(chan error)
			go func() {
				s, err := store.OpenSQLite(t.Context(), path, store.SQLiteOptions{Wait: time.Hour})
				if err == nil {
					err = s.Close()
				}
				opened <- err
			}()
			time.Sleep(300 * time.Millisecond) // longer than SQLite itself waits
			if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil { // the lock of the exclusive mode goes with the connection
				t.Fatal(err)
			}
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Any number may make the store at the same time.
func TestSQLiteMadeTogether(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "iamtrack.db")
		var g errgroup.Group
		for range 8 {
			g.Go(func() error {
				s, err := store.OpenSQLite(t.Context(), path, store.SQLiteOptions{})
				if err != nil {
					return err
				}
				return errors.Join(s.SetMeta(t.Context(), "a", "b"), s.Close())
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSQLiteCountsItsSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	s := openSQLite(t, path, store.SQLiteOptions{})
	if err := storetest.DoWork(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	c, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		want += info.Size()
	}
	if c.SizeBytes != want {
		t.Fatalf("%d bytes, the files have %d", c.SizeBytes, want)
	}
}
