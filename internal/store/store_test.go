package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/storetest"
)

func TestMem(t *testing.T) {
	storetest.Run(t, func(_ testing.TB, now func() time.Time) store.Store {
		s := store.OpenMem()
		s.Now = now
		return s
	})
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(tb testing.TB, now func() time.Time) store.Store {
		return openSQLite(tb, filepath.Join(tb.TempDir(), "iamtrack.db"), store.SQLiteOptions{Now: now})
	})
}

func openSQLite(tb testing.TB, path string, o store.SQLiteOptions) store.Store {
	tb.Helper()
	s, err := store.OpenSQLite(tb.Context(), path, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestSQLiteAgreesWithMem(t *testing.T) {
	storetest.Agree(t, func(_ testing.TB, now func() time.Time) store.Store {
		s := store.OpenMem()
		s.Now = now
		return s
	}, func(tb testing.TB, now func() time.Time) store.Store {
		return openSQLite(tb, filepath.Join(tb.TempDir(), "iamtrack.db"), store.SQLiteOptions{Now: now})
	})
}
