package lookup_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// footprint is what a watch takes.
type footprint struct {
	heap, wal   int64
	files, size int64 // without SQLite's journal
}

func footprintOf(t *testing.T, data string) (f footprint) {
	t.Helper()
	err := filepath.WalkDir(data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case strings.HasSuffix(info.Name(), "-wal"):
			f.wal = info.Size()
		default:
			f.files++
			f.size += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	f.heap = int64(m.HeapAlloc)
	return f
}

// A watch of a week on the real store and lake: from the second day to the seventh
// its memory doesn't grow, and neither do its files while nothing new comes; else
// there are a few more a day.
func TestFootprintOfAWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("a week")
	}
	const every = 2 * time.Hour
	for _, c := range []struct {
		name          string
		after         int   // days with events after the watch began
		events        int   // of all days
		files, growth int64 // at most, of new files, and of their size in bytes
	}{
		{"nothing new", 0, 1500, 0, 256 << 10},
		{"events every day", 8, 4000, 5 * 8, 8 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := t.TempDir()
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 70, Days: 8, Events: c.events}, server.Options{
					Delivery: 2 * time.Minute, Regions: []string{"us-east-1", "eu-west-1"},
					HistoryLimit: 1, // the simulated account's memory is not what is measured
				}, c.after)
				pipe, closeStore, err := onDisk(data)
				if err != nil {
					t.Fatal(err)
				}
				defer closeStore() //nolint:errcheck // read only
				w.pipe, w.store = pipe, pipe.Store
				w.one(0)
				ctx, cancel := context.WithCancel(context.Background())
				var second, last footprint
				stored, runs, begun := int64(0), 0, time.Now()
				err = w.Watch(ctx, every, func(s lookup.Summary, err error) error {
					if err != nil || len(s.Problems) > 0 {
						t.Fatalf("run %d: %v, %+v", runs, err, s.Problems)
					}
					if _, err := pipe.Export(ctx, exportAll); err != nil {
						return err
					}
					runs++
					// At the same time of day, so that the ledgers are alike.
					switch day := time.Since(begun) / (24 * time.Hour); {
					case day == 2 && second.files == 0:
						second = footprintOf(t, data)
						stored = 0
					case day == 7:
						last = footprintOf(t, data)
						cancel()
					}
					stored += s.Stored
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d runs; day 2 %+v, day 7 %+v, %d events stored between", runs, second, last, stored)
				if (stored > 0) != (c.after > 0) {
					t.Errorf("%d events were stored: this test can't fail", stored)
				}
				if last.heap > second.heap+second.heap/10+(1<<20) {
					t.Errorf("the heap grew from %d to %d bytes", second.heap, last.heap)
				}
				if last.files > second.files+c.files {
					t.Errorf("%d files became %d", second.files, last.files)
				}
				if most := int64(20 << 20); last.wal > most {
					t.Errorf("the journal has %d bytes", last.wal)
				}
				if last.size > second.size+c.growth {
					t.Errorf("%d bytes of files became %d", second.size, last.size)
				}
			})
		})
	}
}
