package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/store"
)

// A full disk keeps new events out of an answer, which says so; it doesn't
// prevent the answer.
func TestRefreshOnAFullDisk(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	file := filepath.Join(dir, "a.json")
	record := `{"eventTime":"2026-11-21T10:00:00Z","eventID":"e1","eventName":"ListUsers","eventSource":"iam.amazonaws.com"}`
	if err := os.WriteFile(file, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Input{
		Flags:     map[string]string{"data-dir": filepath.Join(dir, "data")},
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(ctx, cfg, app.Options{Command: "test", Create: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // scratch
	if _, err := a.Pipeline.Import(ctx, collect.ImportOptions{Paths: []string{file}}); err != nil {
		t.Fatal(err)
	}
	for point, full := range map[string]error{"lake.merge.before": syscall.ENOSPC, "store.dayexported.before": store.ErrFull} {
		restore := fault.Set(func(at string) error {
			if at == point {
				return fmt.Errorf("write: %w", full)
			}
			return nil
		})
		f, err := a.Refresh(ctx)
		restore()
		if err != nil || len(f.DirtyDays) != 1 || f.Reason != "the disk is full" {
			t.Errorf("%s: got %+v, %v", point, f, err)
		}
	}
	if f, err := a.Refresh(ctx); err != nil || len(f.DirtyDays) != 0 {
		t.Errorf("with space: got %+v, %v", f, err)
	}
}
