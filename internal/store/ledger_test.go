package store_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Two handles on one file, as two processes have: each update sees all before it.
func TestSQLiteUpdatesOfTwoHandles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iamtrack.db")
	handles := []store.Store{openSQLite(t, path, store.SQLiteOptions{}), openSQLite(t, path, store.SQLiteOptions{})}
	stream := coverage.Stream{AccountID: "1", Region: "eu-west-1", Source: "sts.amazonaws.com"}
	const updates = 40
	errs := make([]error, len(handles))
	var wg sync.WaitGroup
	for i, s := range handles {
		wg.Go(func() {
			for n := range int64(updates) {
				errs[i] = errors.Join(errs[i], s.UpdateStream(t.Context(), stream, func(l *coverage.Ledger) error {
					l.Mark(coverage.Read{Span: coverage.Span{From: 2*n + int64(i), To: 2*n + int64(i) + 1}, Begun: 1000, Requests: 1})
					return nil
				}))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, s := range handles {
		got, err := s.Streams(t.Context())
		if err != nil || len(got) != 1 || got[0].Requests != 2*updates || got[0].Level(coverage.Span{To: 2 * updates}) != coverage.Collected {
			t.Fatalf("after all updates: %+v, error %v", got, err)
		}
	}
}
