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
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"
	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Engine is a query.RangeEngine over a lake on disk.
type Engine struct {
	options Options
	slots   chan struct{} // one element for each query that runs
}

var _ query.RangeEngine = (*Engine)(nil)

// Open returns an engine over a lake. It opens no file; a lake that isn't there
// yet is empty. Overflow that a killed process left in TempDir more than a day
// ago is removed.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.LakeDir == "" {
		return nil, errors.New("open lake: no folder is given")
	}
	dir, err := filepath.Abs(o.LakeDir)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	o = o.withDefaults()
	o.LakeDir = dir
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	removeOld(o.TempDir, time.Now().Add(-24*time.Hour))
	return &Engine{options: o, slots: make(chan struct{}, o.Concurrent)}, nil
}

// removeOld removes overflow folders last changed before a time. That one can't
// be removed is no reason not to answer.
func removeOld(dir string, before time.Time) {
	old, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && info.IsDir() && info.ModTime().Before(before) {
			_ = os.RemoveAll(path)
		}
	}
}

// Close does nothing: each query closes what it opened.
func (e *Engine) Close() error { return nil }

// Days lists the days that hold events, ascending.
func (e *Engine) Days(ctx context.Context) ([]query.Day, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := listFiles(e.options.LakeDir, eventsTable, math.MinInt32, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	days := make([]query.Day, len(files))
	for i, f := range files {
		days[i] = query.Day{Date: f.date, Bytes: f.object.Size}
	}
	return days, nil
}

// Query runs one statement over the whole lake.
func (e *Engine) Query(ctx context.Context, sql string) (query.Rows, error) {
	return e.QueryRange(ctx, sql, math.MinInt32, math.MaxInt32)
}

// QueryRange runs one statement over the days since to until, both inclusive.
// The first rows have been computed when it returns, so that most errors come
// from here; an error from a file that was replaced meanwhile is not one of
// them, since the statement is then run once more on the new files.
func (e *Engine) QueryRange(ctx context.Context, sql string, since, until event.Date) (query.Rows, error) {
	start := time.Now()
	select {
	case e.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("query: %w", ctx.Err())
	}
	r, err := e.start(ctx, sql, since, until, start)
	if err != nil {
		<-e.slots
		return nil, err
	}
	return r, nil
}

// attempts is how often a statement is run while files are being replaced.
const attempts = 2

func (e *Engine) start(ctx context.Context, sql string, since, until event.Date, start time.Time) (*rows, error) {
	cancel := context.CancelFunc(func() {})
	if e.options.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, e.options.Timeout, fmt.Errorf("stopped after %s, the most that a query may take", e.options.Timeout))
	}
	o := e.options
	for attempt := 1; ; attempt++ {
		r, files, err := e.run(ctx, o, sql, since, until)
		if err == nil {
			r.start, r.release = start, func() { cancel(); <-e.slots }
			return r, nil
		}
		var memory *memoryError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &memory) && o.Threads != 1:
			// Each thread sorts and joins in memory of its own: one needs less.
			o.Threads = 1
			continue
		case attempt < attempts && changed(files):
			continue
		}
		cancel()
		return nil, err
	}
}

// memoryError is DuckDB's when it can do with no less than it was given.
type memoryError struct{ error }

func (e *memoryError) Unwrap() error { return e.error }

// run makes one attempt, with options that may differ from the engine's. It
// returns the files it looked at, also on error.
func (e *Engine) run(ctx context.Context, o Options, sql string, since, until event.Date) (*rows, []lakeFile, error) {
	inst, files, err := e.openOver(o, sql, since, until)
	if err != nil {
		return nil, files, err
	}
	checked, err := inst.check(sql)
	if err != nil {
		inst.close()
		return nil, files, e.scrub(err)
	}
	stmt, err := inst.prepare(checked)
	if err != nil {
		inst.close()
		return nil, files, e.explain(ctx, err, files)
	}
	r, err := newRows(ctx, inst, stmt, e, files)
	if err != nil {
		return nil, files, e.explain(ctx, err, files)
	}
	return r, files, nil
}

// openOver returns a locked DuckDB for a statement over some days, and the files
// that it was given.
func (e *Engine) openOver(o Options, sql string, since, until event.Date) (*instance, []lakeFile, error) {
	var inst *instance
	var opening errgroup.Group
	opening.Go(func() (err error) { // takes as long as listing some thousand files
		inst, err = newInstance(o)
		return err
	})
	from, listErr := listSources(e.options.LakeDir, since, until, sql)
	files := from.all()
	if listErr == nil {
		listErr = e.checkNewest(files)
	}
	err := opening.Wait()
	if err == nil && listErr == nil {
		err = inst.setUp(o.LakeDir, from, sql)
	}
	if err != nil {
		err = e.scrub(err)
	}
	if err = cmp.Or(listErr, err); err != nil {
		if inst != nil {
			inst.close()
		}
		return nil, files, err
	}
	return inst, files, nil
}

// scrub takes the lake's folder out of an error, so that files are named as the
// lake names them (events/event_date=…), and turns away the rest of a path.
func (e *Engine) scrub(err error) error {
	text := err.Error()
	clean := strings.ReplaceAll(text, e.options.LakeDir+string(filepath.Separator), "")
	clean = strings.ReplaceAll(clean, e.options.LakeDir, "the lake")
	clean = strings.ReplaceAll(clean, e.options.TempDir, "the folder for overflow")
	if clean == text {
		return err
	}
	return errors.New(clean)
}

// explain makes a failed statement's error say what a person can do about it.
func (e *Engine) explain(ctx context.Context, err error, files []lakeFile) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: %w", context.Cause(ctx))
	}
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "Out of Memory Error"):
		first, _, _ := strings.Cut(e.scrub(err).Error(), "\n") // the rest advises on settings that are locked
		return &memoryError{fmt.Errorf("the query needs more memory than it may use (%d MiB) or more overflow than it may write (%d MiB); narrow it, or allow more: %s",
			e.options.MemoryMB, e.options.TempMB, first)}
	case strings.HasPrefix(text, "Permission Error"):
		return fmt.Errorf("%w (a query can read the tables events and filtered, and nothing else)", e.scrub(err))
	}
	for _, f := range files {
		if strings.Contains(text, f.path) {
			return e.unreadable(f, err)
		}
	}
	if damaged(text) {
		if f, err := e.findDamaged(ctx, files); err != nil {
			return e.unreadable(f, err)
		}
	}
	return e.scrub(err)
}

// unreadable says which file it is, and how to get it back.
func (e *Engine) unreadable(f lakeFile, err error) error {
	cure := "restore it, or move it away and import the trail files of its day again"
	if f.table == rollUpTable {
		cure = "it is a copy, which the command export --rebuild makes anew"
	}
	return &unreadableError{e.relative(f), fmt.Errorf("the lake's file %s can't be read: %s: %w", e.relative(f), cure, e.scrub(err))}
}

// unreadableError is about a file of the lake, by its key.
type unreadableError struct {
	file string
	err  error
}

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// relative is a file's name within the lake.
func (e *Engine) relative(f lakeFile) string {
	name, err := filepath.Rel(e.options.LakeDir, f.path)
	if err != nil {
		return filepath.Base(f.path)
	}
	return filepath.ToSlash(name)
}

// damaged tells whether an error that names no file may come from one. "Invalid
// Error" is what DuckDB calls the complaints of its Thrift and zstd libraries.
func damaged(text string) bool {
	for _, kind := range []string{"Invalid Error", "IO Error", "Serialization Error", "INTERNAL Error"} {
		if strings.HasPrefix(text, kind) {
			return true
		}
	}
	low := strings.ToLower(text)
	for _, word := range []string{"parquet", "decompress", "zstd", "page", "string encoding", "not enough", "out of buffer", "corrupt"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return false
}

// findDamaged reads each file alone and whole until one fails.
func (e *Engine) findDamaged(ctx context.Context, files []lakeFile) (lakeFile, error) {
	for _, f := range files {
		if context.Cause(ctx) != nil {
			break // the caller has gone; nobody asks any more
		}
		from := &sources{}
		view := eventsTable
		switch f.table {
		case filteredTable:
			view, from.filtered = filteredTable, []lakeFile{f}
		case rollUpTable:
			from.months = []lakeFile{f}
		default:
			from.days = []lakeFile{f}
		}
		if err := e.readWhole(ctx, view, from); err != nil {
			return f, err
		}
	}
	return lakeFile{}, nil
}

func (e *Engine) readWhole(ctx context.Context, view table, from *sources) error {
	sql := "SELECT max(hash(COLUMNS(*))) FROM " + view.name
	inst, err := openInstance(e.options, from, sql)
	if err != nil {
		return err
	}
	defer inst.close()
	stop := inst.watch(ctx)
	defer stop()
	return inst.exec(sql)
}

// watch interrupts the instance when the context ends, again and again, since
// DuckDB may be between two statements the first time. The returned function
// must be called before the instance is closed.
func (i *instance) watch(ctx context.Context) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			mapping.Interrupt(i.conn)
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
