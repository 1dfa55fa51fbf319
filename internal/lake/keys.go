package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/zeebo/xxh3"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/together"
)

// The key index says which days may hold a key. For each month it is one main
// run, keys/YYYY-MM.keys, and small ones, keys/YYYY-MM.HASH.keys, named for
// their content and never changed: a merge adds one of these, so that it doesn't
// rewrite what thirty merges of the month have written before it, and at some
// number they are folded into the main run. The union counts; that an entry is
// there twice, or that its day file has never been written, does no harm.
//
// Invariant: every key of every events file is in the index, since a merge
// writes here before it commits the file. Runs that are damaged, and months that
// have day files but no run at all, are made anew from the day files.
const (
	runSuffix = ".keys"
	// Folding costs rewriting the main run. It is due when that is small, since
	// another file costs more than some kilobytes; else when the small runs are
	// many and, together, a quarter of it, or very many.
	foldAtOnce           = smallRun // bytes
	foldRuns, foldAnyway = 8, 32
)

func mainRun(m month) string { return keysPrefix + m.String() + runSuffix }

// monthOfRun reads the month from a run's object key.
func monthOfRun(key string) (month, bool) {
	name, ok := strings.CutPrefix(key, keysPrefix)
	if !ok || !strings.HasSuffix(name, runSuffix) || len(name) < len("2006-01") {
		return 0, false
	}
	d, err := event.ParseDate(name[:len("2006-01")] + "-01")
	return monthOf(d), err == nil
}

// keyIndex is the index as far as it is in memory. A filter over all runs
// answers for most keys that no day has them; what passes is looked up.
type keyIndex struct {
	lake *Lake

	// Days are merged side by side: what several add to a month is one run, and
	// one fold at a time is enough, since all but the first would be in vain.
	extending together.Group[addition]

	mu       sync.Mutex // guards the rest, and the runs
	runs     map[string]*run
	complete bool // every month with day files was seen to have a run
	filter   bloom.SplitBlockFilter
	filtered map[string]bool // runs that are in the filter
	inFilter int64           // entries in the filter, with those of runs that are gone
	asked    int64           // keys looked up without the filter
}

// Filter sizes. 24 bits an entry let 1 key in some ten thousand pass. Beyond 32
// million entries there are fewer bits for each, so that memory stays bounded.
const (
	filterBits   = 24
	maxFilter    = 96 << 20 // bytes
	minFilterFor = 64 << 10 // entries
)

// extend adds entries of a day durably; there may be none.
func (x *keyIndex) extend(ctx context.Context, d event.Date, list []uint64) error {
	if len(list) == 0 {
		return nil
	}
	if err := fault.At("lake.index.before"); err != nil {
		return err
	}
	err := x.extending.Do(addition{monthOf(d), list}, func(all []addition) error { return x.extendMonths(ctx, all) })
	if err != nil {
		return err
	}
	return fault.At("lake.index.after")
}

// addition is what one merge adds.
type addition struct {
	month month
	list  []uint64
}

func (x *keyIndex) extendMonths(ctx context.Context, all []addition) error {
	byMonth := map[month][]uint64{}
	for _, a := range all {
		byMonth[a.month] = append(byMonth[a.month], a.list...)
	}
	for m, list := range byMonth {
		if err := x.extendMonth(ctx, m, sorted(list)); err != nil {
			return fmt.Errorf("extend key index of %v: %w", m, err)
		}
	}
	return nil
}

// monthRuns are the runs of one month.
type monthRuns struct {
	main  Object   // without a key if there is none
	small []Object // by key
}

func (x *keyIndex) list(ctx context.Context, m month) (monthRuns, error) {
	var r monthRuns
	present, err := x.lake.bucket.List(ctx, keysPrefix+m.String())
	for _, o := range present {
		switch {
		case o.Key == mainRun(m):
			r.main = o
		case strings.HasSuffix(o.Key, runSuffix):
			r.small = append(r.small, o)
		}
	}
	return r, err
}

// all returns the runs, the main one first.
func (r monthRuns) all() []Object {
	if r.main.Key == "" {
		return r.small
	}
	return append([]Object{r.main}, r.small...)
}

// foldDue tells whether the next entries should go into the main run at once.
func (r monthRuns) foldDue() bool {
	var size int64
	for _, o := range r.small {
		size += o.Size
	}
	return r.main.Size+size <= foldAtOnce ||
		len(r.small) >= foldAnyway || len(r.small) >= foldRuns && size*4 >= r.main.Size
}

func (x *keyIndex) extendMonth(ctx context.Context, m month, add *slice) error {
	runs, err := x.list(ctx, m)
	if err != nil {
		return err
	}
	if runs.foldDue() {
		err := x.fold(ctx, m, runs, &slice{add.rest}, nil)
		// Another writer folded at the same time, or a run is damaged, which
		// reading will repair: either way what is new can stand on its own.
		if !errors.Is(err, ErrChanged) && !errors.Is(err, ErrNotFound) && !isDamagedRun(err) {
			return err
		}
	}
	var buf bytes.Buffer
	if err := writeRun(&buf, m, &slice{add.rest}); err != nil {
		return err
	}
	name := fmt.Sprintf("%s%v.%016x%s", keysPrefix, m, xxh3.Hash(buf.Bytes()), runSuffix)
	for _, o := range runs.small {
		if o.Key == name && o.Size == int64(buf.Len()) {
			return nil // a repetition after a failure
		}
	}
	out, err := x.lake.bucket.Create(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = out.Abort() }()
	if _, err := out.Write(buf.Bytes()); err != nil {
		return err
	}
	if _, err = out.Commit(""); errors.Is(err, ErrChanged) {
		return nil // another writer wrote the same content
	}
	return err
}

// fold writes the runs and add into a new main run, without the entries of
// the dropped days, and deletes the small runs.
func (x *keyIndex) fold(ctx context.Context, m month, runs monthRuns, add entries, drop map[int]bool) error {
	var open []*run
	defer func() {
		for _, r := range open {
			_ = r.close() // only read from
		}
	}()
	from := []entries{add}
	for _, o := range runs.all() {
		r, err := openRun(ctx, x.lake.bucket, o.Key)
		if err != nil {
			return err
		}
		open = append(open, r)
		from = append(from, without{r.stream(ctx), drop})
	}
	all, err := merged(from...)
	if err != nil {
		return err
	}
	out, err := x.lake.bucket.Create(ctx, mainRun(m))
	if err != nil {
		return err
	}
	defer func() { _ = out.Abort() }()
	if err := writeRun(out, m, all); err != nil {
		return err
	}
	if err := fault.At("lake.index.fold.before"); err != nil {
		return err
	}
	if _, err := out.Commit(runs.main.ETag); err != nil {
		return err
	}
	if err := fault.At("lake.index.fold.after"); err != nil {
		return err
	}
	for _, o := range runs.small {
		if err := x.lake.bucket.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}

// refresh makes the open runs those that are there now. x.mu must be held.
func (x *keyIndex) refresh(ctx context.Context) error {
	if !x.complete {
		if err := x.repairMissing(ctx); err != nil {
			return err
		}
		x.complete = true
	}
	// A run may vanish between List and Open because another process folds.
	for attempt := 0; ; attempt++ {
		err := x.load(ctx)
		if !errors.Is(err, ErrNotFound) || attempt == mergeAttempts {
			return err
		}
	}
}

func (x *keyIndex) load(ctx context.Context) error {
	present, err := x.lake.bucket.List(ctx, keysPrefix)
	if err != nil {
		return err
	}
	if x.runs == nil {
		x.runs = make(map[string]*run)
	}
	listed := make(map[string]bool, len(present))
	repaired := make(map[month]bool)
	for _, o := range present {
		m, ok := monthOfRun(o.Key)
		if !ok || repaired[m] {
			continue
		}
		listed[o.Key] = true
		if r := x.runs[o.Key]; r != nil {
			if r.obj.ETag == o.ETag {
				continue
			}
			_ = r.close()
			delete(x.runs, o.Key)
			delete(x.filtered, o.Key)
		}
		r, err := openRun(ctx, x.lake.bucket, o.Key)
		if err == nil && r.month != m {
			_ = r.close()
			err = &damagedRun{o.Key}
		}
		if isDamagedRun(err) {
			if err := x.repair(ctx, m); err != nil {
				return err
			}
			repaired[m] = true
			continue
		}
		if err != nil {
			return err
		}
		x.runs[o.Key] = r
	}
	if len(repaired) > 0 {
		return x.load(ctx)
	}
	for name, r := range x.runs {
		if !listed[name] {
			_ = r.close()
			delete(x.runs, name)
			delete(x.filtered, name)
		}
	}
	return nil
}

// mayHold returns the days that may hold each of the keys. x.mu must be held.
func (x *keyIndex) mayHold(ctx context.Context, keys []event.Key, found func(i int, d event.Date)) error {
	if len(x.runs) == 0 {
		return nil
	}
	if err := x.feedFilter(ctx, len(keys)); err != nil {
		return err
	}
	var days []event.Date
	for i, k := range keys {
		e := hashBits(entryOf(hashKey(k), 0))
		if x.filter != nil && !x.filter.Check(filterHash(e)) {
			continue
		}
		for _, r := range x.runs {
			var err error
			if days, err = r.days(e, days[:0]); err != nil {
				return err
			}
			for _, d := range days {
				found(i, d)
			}
		}
	}
	return nil
}

// feedFilter puts runs that are new into the filter, and makes or enlarges it if
// that pays: it takes some 20 ns an entry once, and saves some µs a run and key.
func (x *keyIndex) feedFilter(ctx context.Context, keys int) error {
	var total, fresh int64
	for name, r := range x.runs {
		total += r.entries
		if !x.filtered[name] {
			fresh += r.entries
		}
	}
	room := int64(len(x.filter)) * bloom.BlockSize * 8 / filterBits
	if x.filter == nil || x.inFilter+fresh > room && room < maxFilter*8/filterBits {
		x.asked += int64(keys)
		if x.filter == nil && x.asked*int64(len(x.runs))*100 < total {
			return nil
		}
		n := max(total*5/4, minFilterFor)
		size := min(bloom.NumSplitBlocksOf(n, filterBits), maxFilter/bloom.BlockSize)
		x.filter = make(bloom.SplitBlockFilter, size)
		x.filtered, x.inFilter = make(map[string]bool), 0
	}
	buf := make([]uint64, 0, 1024)
	for name, r := range x.runs {
		if x.filtered[name] {
			continue
		}
		s := r.stream(ctx)
		for {
			e, ok, err := s.next()
			if err != nil {
				x.filter = nil // it may lack what this run has
				return err
			}
			if ok {
				buf = append(buf, filterHash(e))
			}
			if len(buf) == cap(buf) || !ok {
				x.filter.InsertBulk(buf)
				buf = buf[:0]
			}
			if !ok {
				break
			}
		}
		x.filtered[name] = true
		x.inFilter += r.entries
	}
	return nil
}
