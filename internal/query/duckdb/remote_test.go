package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/query/querytest"
)

// bucket counts what is opened, and breaks as a test wants.
type bucket struct {
	lake.Bucket
	opened atomic.Int64
	mu     sync.Mutex
	broken func(key string, at int64) error // nil: nothing breaks
}

type brokenReader struct {
	lake.Reader
	b *bucket
}

func (b *bucket) Open(ctx context.Context, key string) (lake.Reader, error) {
	b.opened.Add(1)
	r, err := b.Bucket.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return brokenReader{r, b}, nil
}

func (r brokenReader) ReadAt(p []byte, at int64) (int, error) {
	r.b.mu.Lock()
	broken := r.b.broken
	r.b.mu.Unlock()
	if broken != nil {
		if err := broken(r.Object().Key, at); err != nil {
			n, _ := r.Reader.ReadAt(p[:len(p)/2], at)
			return n, err
		}
	}
	return r.Reader.ReadAt(p, at)
}

func (b *bucket) breaks(f func(key string, at int64) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = f
}

// remote is a simulated lake in a bucket in memory.
func remote(t *testing.T, records int) *bucket {
	t.Helper()
	b := &bucket{Bucket: lake.OpenMem()}
	querytest.Lake(t, b.Bucket, records)
	return b
}

func openRemote(t *testing.T, b lake.Bucket, dir string, change ...func(*duckdb.RemoteOptions)) *duckdb.Remote {
	t.Helper()
	o := duckdb.RemoteOptions{Bucket: b, Name: "s3://tests", CacheDir: dir, Options: duckdb.Options{TempDir: t.TempDir(), MemoryMB: 128}}
	for _, c := range change {
		c(&o)
	}
	e, err := duckdb.OpenRemote(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// cached is how many versions the cache has, their bytes, and what is left in its
// folder for things under way.
func cached(t *testing.T, dir string) (versions int, bytes int64, underWay []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if rest, ok := strings.CutPrefix(path, filepath.Join(dir, "tmp")); ok {
			underWay = append(underWay, rest)
			return nil
		}
		versions, bytes = versions+1, bytes+info.Size()
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return versions, bytes, underWay
}

const perDay = "SELECT event_date, count(*), count(DISTINCT actor), max(event_id) FROM events GROUP BY event_date ORDER BY event_date"

func daysBack(n int) event.Date { return event.DateOf(querytest.End.AddDate(0, 0, -n).UnixMilli()) }

// An engine over a bucket answers as one over a folder, and lists the same days.
func TestRemoteAnswersAsLocal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	folder, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	querytest.Lake(t, folder, 3000)
	local := open(t, duckdb.Options{LakeDir: dir})
	e := openRemote(t, remote(t, 3000), t.TempDir())
	rows := 0
	for i, c := range querytest.Cases(t, false) {
		if i%4 == 0 || strings.HasPrefix(c.Name, "filtered") {
			rows += querytest.Compare(t, c, local, e)
		}
	}
	if rows < 100 {
		t.Errorf("%d rows were compared", rows)
	}
	want, err := local.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Days(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("days (-want +got):\n%s%v", d, err)
	}
}

// A version of a file is fetched once, only for the days that are asked for, and
// again only when it has changed; nothing of a query is left.
func TestRemoteFetchesOnce(t *testing.T) {
	b, dir := remote(t, 2000), t.TempDir()
	var told []int
	e := openRemote(t, b, dir, func(o *duckdb.RemoteOptions) {
		o.Fetching = func(files int, bytes int64) {
			if bytes <= 0 {
				t.Errorf("%d files of %d bytes", files, bytes)
			}
			told = append(told, files)
		}
	})
	fetched := func(since, until event.Date, sql string) int64 {
		t.Helper()
		before := b.opened.Load()
		if _, err := all(e.QueryRange(t.Context(), sql, since, until)); err != nil {
			t.Fatal(err)
		}
		if _, _, left := cached(t, dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return b.opened.Load() - before
	}
	if n := fetched(daysBack(9), daysBack(5), perDay); n != 5 {
		t.Errorf("five days: %d files", n)
	}
	if n := fetched(daysBack(9), daysBack(5), perDay); n != 0 {
		t.Errorf("again: %d files", n)
	}
	if n := fetched(daysBack(10), daysBack(5), perDay); n != 1 {
		t.Errorf("one more day: %d files", n)
	}
	if n := fetched(daysBack(10), daysBack(5), "SELECT 1"); n != 0 {
		t.Errorf("no table: %d files", n)
	}
	if n := fetched(daysBack(6), daysBack(5), "SELECT count(*) FROM events, filtered"); n != 2 {
		t.Errorf("the other table: %d files", n)
	}
	late := event.Event{EventID: "late", EventTime: daysBack(7).Time().UnixMilli(), AccountID: "111111111111"}
	l := lake.New(b.Bucket, lake.Options{})
	if _, _, err := l.Merge(t.Context(), daysBack(7), lake.Input{Events: func(yield func(event.Event, error) bool) { yield(late, nil) }}); err != nil {
		t.Fatal(err)
	}
	if n := fetched(daysBack(10), daysBack(5), perDay); n != 1 {
		t.Errorf("a late event: %d files", n)
	}
	rows, err := all(e.QueryRange(t.Context(), "SELECT count(*) FROM events WHERE event_id = 'late'", daysBack(10), daysBack(5)))
	if err != nil || rows[0][0] != int64(1) {
		t.Errorf("the late event: %v, %v", rows, err)
	}
	if want := []int{5, 1, 2, 1}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	// Another program start finds it all there.
	before := b.opened.Load()
	if _, err := all(openRemote(t, b, dir).QueryRange(t.Context(), perDay, daysBack(10), daysBack(5))); err != nil || b.opened.Load() != before {
		t.Errorf("%d files, %v", b.opened.Load()-before, err)
	}
}

// A download that breaks, is cut short or is interrupted leaves nothing that could be
// taken for a file.
func TestRemoteHalfADownload(t *testing.T) {
	b, dir := remote(t, 1000), t.TempDir()
	e := openRemote(t, b, dir)
	key := "events/event_date=" + daysBack(3).String() + "/events.parquet"
	want, err := all(openRemote(t, b, t.TempDir()).QueryRange(t.Context(), perDay, daysBack(5), daysBack(1)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, c := range map[string]struct {
		broken func(string, int64) error
		want   string
	}{
		"breaks":      {func(k string, _ int64) error { return orNil(k == key, errors.New("connection reset")) }, "fetch " + key + ": connection reset"},
		"interrupted": {func(string, int64) error { cancel(); return ctx.Err() }, "context canceled"},
	} {
		b.breaks(c.broken)
		use := t.Context()
		if name == "interrupted" {
			use = ctx
		}
		_, err := all(e.QueryRange(use, perDay, daysBack(5), daysBack(1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, left := cached(t, dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	b.breaks(nil)
	got, err := all(e.QueryRange(t.Context(), perDay, daysBack(5), daysBack(1)))
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("afterwards (-want +got):\n%s%v", d, err)
	}
}

func orNil(b bool, err error) error {
	if b {
		return err
	}
	return nil
}

// A copy that was cut short or damaged on this machine is fetched anew, unseen.
func TestRemoteDamagedCopy(t *testing.T) {
	b, dir := remote(t, 1000), t.TempDir()
	e := openRemote(t, b, dir)
	want, err := all(e.QueryRange(t.Context(), perDay, daysBack(2), daysBack(2)))
	if err != nil {
		t.Fatal(err)
	}
	copies, err := filepath.Glob(filepath.Join(dir, "files", "*", "content"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("%v, %v", copies, err)
	}
	info, err := os.Stat(copies[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"cut short": info.Size() / 2, "empty": 0, "damaged": info.Size()} {
		if err := os.WriteFile(copies[0], make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := all(e.QueryRange(t.Context(), perDay, daysBack(2), daysBack(2)))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s%v", name, d, err)
		}
	}
}

// The cache stays within its bound; what was used longest ago goes first. A query
// that needs more than the bound is answered all the same.
func TestRemoteBound(t *testing.T) {
	b, dir := remote(t, 2000), t.TempDir()
	one := openRemote(t, b, t.TempDir())
	if _, err := all(one.QueryRange(t.Context(), perDay, daysBack(9), daysBack(5))); err != nil {
		t.Fatal(err)
	}
	objects, err := b.List(t.Context(), "events/")
	if err != nil {
		t.Fatal(err)
	}
	var most int64
	for _, o := range objects {
		most = max(most, o.Size)
	}
	e := openRemote(t, b, dir, func(o *duckdb.RemoteOptions) { o.CacheBytes = 3 * most })
	ask := func(back int) int64 {
		t.Helper()
		before := b.opened.Load()
		if _, err := all(e.QueryRange(t.Context(), perDay, daysBack(back), daysBack(back))); err != nil {
			t.Fatal(err)
		}
		if _, bytes, _ := cached(t, dir); bytes > 3*most {
			t.Errorf("the cache has %d bytes, its bound is %d", bytes, 3*most)
		}
		time.Sleep(10 * time.Millisecond) // the times of use differ
		return b.opened.Load() - before
	}
	for back := 2; back < 16; back++ {
		ask(back)
		if back > 2 && ask(2) != 0 {
			t.Errorf("the day that is asked for all the time was fetched again (%d)", back)
		}
	}
	if ask(3) != 1 {
		t.Error("the day that was asked for long ago is still there")
	}
	got, err := all(e.Query(t.Context(), perDay))
	if err != nil || len(got) < querytest.Days {
		t.Errorf("all days: %d, %v", len(got), err)
	}
	if _, bytes, left := cached(t, dir); bytes > 3*most || len(left) > 0 {
		t.Errorf("afterwards: %d bytes of %d, left behind %v", bytes, 3*most, left)
	}
}

// Several programs share a cache that is far too small, while days are replaced: each
// answer is right for every day.
func TestRemoteManyAtOnce(t *testing.T) {
	b, dir := remote(t, 1000), t.TempDir()
	want, err := all(openRemote(t, b, t.TempDir()).Query(t.Context(), "SELECT event_date, count(*) FROM events GROUP BY event_date ORDER BY event_date"))
	if err != nil {
		t.Fatal(err)
	}
	least := map[any]int64{}
	for _, row := range want {
		least[row[0]] = row[1].(int64)
	}
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		l := lake.New(b.Bucket, lake.Options{})
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			day := daysBack(1 + i%20)
			e := event.Event{EventID: fmt.Sprint("late", i), EventTime: day.Time().UnixMilli(), AccountID: "111111111111"}
			if _, _, err := l.Merge(t.Context(), day, lake.Input{Events: func(yield func(event.Event, error) bool) { yield(e, nil) }}); err != nil {
				t.Errorf("merge: %v", err)
				return
			}
		}
	})
	for range 3 {
		e := openRemote(t, b, dir, func(o *duckdb.RemoteOptions) { o.CacheBytes = 100 << 10 })
		readers.Go(func() {
			for range 4 {
				got, err := all(e.QueryRange(t.Context(), "SELECT event_date, count(*) FROM events GROUP BY event_date ORDER BY event_date", daysBack(40), daysBack(0)))
				if err != nil {
					t.Errorf("ask: %v", err)
					return
				}
				if len(got) != 41 {
					t.Errorf("%d days", len(got))
				}
				for _, row := range got {
					if n := row[1].(int64); n < least[row[0]] {
						t.Errorf("%v has %d events, and had %d", row[0], n, least[row[0]])
					}
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	writer.Wait()
	if _, _, left := cached(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a killed process left is removed, later.
func TestRemoteLeftovers(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "tmp", "query-1"), filepath.Join(dir, "tmp", "new-2")
	for path, age := range map[string]time.Duration{old: 25 * time.Hour, young: time.Hour} {
		if err := os.MkdirAll(filepath.Join(path, "events"), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	openRemote(t, lake.OpenMem(), dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is old is there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what may be in use is gone: %v", err)
	}
	if _, err := duckdb.OpenRemote(t.Context(), duckdb.RemoteOptions{Bucket: lake.OpenMem(), CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("%v", err)
	}
}
