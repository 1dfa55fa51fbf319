package duckdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query"
)

// RemoteOptions of an engine over a lake in a bucket.
type RemoteOptions struct {
	// Bucket holds the lake; it is only read.
	Bucket lake.Bucket
	// Name tells buckets apart that share a cache, such as s3://BUCKET/PREFIX.
	Name string
	// CacheDir is the folder of the cache, which several processes may use at once.
	CacheDir string
	// CacheBytes is how much stays in the cache between queries, by what was used
	// last; 0 means 10 GiB. A query that needs more has more while it runs.
	CacheBytes int64
	// Fetching is told, before a query's files are fetched, how many it lacks and how
	// large they are. nil: nobody is.
	Fetching func(files int, bytes int64)
	// Options of DuckDB; LakeDir isn't used.
	Options Options
}

// Remote is a query.RangeEngine over a lake in any bucket. A query has the day files
// of its range in a folder of its own, linked from a cache in which a version of a
// file is fetched once, and then does what Engine does. It reads day files only: the
// copies by month are named for the bucket's versions, and save little here.
type Remote struct {
	options RemoteOptions
	cache   *cache
	slots   chan struct{}
}

var _ query.RangeEngine = (*Remote)(nil)

// OpenRemote returns an engine over a lake in a bucket, which isn't asked yet.
func OpenRemote(ctx context.Context, o RemoteOptions) (*Remote, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Bucket == nil || o.Name == "" || o.CacheDir == "" {
		return nil, errors.New("open lake: a bucket, its name and a folder for the cache are needed")
	}
	if o.Fetching == nil {
		o.Fetching = func(int, int64) {}
	}
	dir, err := filepath.Abs(o.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	o.Options = o.Options.withDefaults()
	o.Options.TempDir = cmp.Or(o.Options.TempDir, os.TempDir())
	c, err := openCache(dir, o.Name, cmp.Or(o.CacheBytes, 10<<30))
	if err != nil {
		return nil, err
	}
	return &Remote{options: o, cache: c, slots: make(chan struct{}, o.Options.Concurrent)}, nil
}

// Close does nothing: each query closes what it opened, and the cache stays.
func (r *Remote) Close() error { return nil }

// Days lists the days that hold events, ascending.
func (r *Remote) Days(ctx context.Context) ([]query.Day, error) {
	objects, err := r.list(ctx, eventsTable, math.MinInt32, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	days := make([]query.Day, len(objects))
	for i, o := range objects {
		date, _ := dayOf(o.Key, eventsTable)
		days[i] = query.Day{Date: date, Bytes: o.Size}
	}
	return days, nil
}

// Query runs one statement over the whole lake, all of which it fetches.
func (r *Remote) Query(ctx context.Context, sql string) (query.Rows, error) {
	return r.QueryRange(ctx, sql, math.MinInt32, math.MaxInt32)
}

// QueryRange runs one statement over the days since to until, both inclusive, and
// fetches no others. See Engine.QueryRange.
func (r *Remote) QueryRange(ctx context.Context, sql string, since, until event.Date) (query.Rows, error) {
	for attempt := 1; ; attempt++ {
		rows, objects, err := r.run(ctx, sql, since, until)
		var bad *unreadableError
		if attempt < attempts && errors.As(err, &bad) && r.dropped(objects, bad.file) {
			continue // the copy may have suffered here
		}
		return rows, err
	}
}

// dropped forgets the copy of a file.
func (r *Remote) dropped(objects []lake.Object, key string) bool {
	for _, o := range objects {
		if o.Key == key {
			return r.cache.drop(o) == nil
		}
	}
	return false
}

// run makes one attempt. It returns the objects that it read, also on error.
func (r *Remote) run(ctx context.Context, sql string, since, until event.Date) (_ query.Rows, objects []lake.Object, err error) {
	for _, t := range []table{eventsTable, filteredTable} {
		if !mentions(sql, t.name) {
			continue
		}
		more, err := r.list(ctx, t, since, until)
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, more...)
	}
	missing, bytes := 0, int64(0)
	for _, o := range objects {
		if !r.cache.has(o) {
			missing, bytes = missing+1, bytes+o.Size
		}
	}
	if missing > 0 {
		r.options.Fetching(missing, bytes)
	}
	folder, err := os.MkdirTemp(filepath.Join(r.cache.dir, cacheTemp), "query-")
	if err != nil {
		return nil, objects, fmt.Errorf("make a folder for the query's files: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	if err := r.cache.collect(ctx, r.options.Bucket, objects, folder); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, objects, fmt.Errorf("fetch the lake's files: %w", err)
	}
	if missing > 0 {
		if err := r.cache.shrink(); err != nil {
			return nil, objects, fmt.Errorf("make room in the cache of the lake's files: %w", err)
		}
	}
	o := r.options.Options
	o.LakeDir = folder
	engine := &Engine{options: o, slots: r.slots}
	rows, err := engine.QueryRange(ctx, sql, since, until)
	if err != nil {
		return nil, objects, err
	}
	return &remoteRows{rows, folder}, objects, nil
}

// list returns a table's objects of some days, ascending.
func (r *Remote) list(ctx context.Context, t table, since, until event.Date) ([]lake.Object, error) {
	if since > until {
		return nil, nil
	}
	// What the days' names have in common spares listing the others.
	prefix := t.name + "/" + partition
	first, last := max(since, minDate).String(), min(until, maxDate).String()
	for i := range min(len(first), len(last)) {
		if first[i] != last[i] {
			break
		}
		prefix += first[i : i+1]
	}
	all, err := r.options.Bucket.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list lake: %w", err)
	}
	objects := all[:0]
	for _, o := range all {
		if date, ok := dayOf(o.Key, t); ok && date >= since && date <= until {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// dayOf is the day of a table's file; false for any other key.
func dayOf(key string, t table) (event.Date, bool) {
	rest, ok := strings.CutPrefix(key, t.name+"/"+partition)
	if !ok {
		return 0, false
	}
	day, ok := strings.CutSuffix(rest, "/"+t.file)
	if !ok {
		return 0, false
	}
	date, err := event.ParseDate(day)
	return date, err == nil
}

// remoteRows gives the folder back with the result.
type remoteRows struct {
	query.Rows
	folder string
}

func (r *remoteRows) Close() error { return errors.Join(r.Rows.Close(), os.RemoveAll(r.folder)) }
