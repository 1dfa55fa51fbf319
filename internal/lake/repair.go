package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
)

// repairMissing makes the runs of months that have day files but no run.
func (x *keyIndex) repairMissing(ctx context.Context) error {
	present, err := x.lake.bucket.List(ctx, keysPrefix)
	if err != nil {
		return err
	}
	have := make(map[month]bool)
	for _, o := range present {
		if m, ok := monthOfRun(o.Key); ok {
			have[m] = true
		}
	}
	files, err := x.lake.bucket.List(ctx, eventsPrefix)
	if err != nil {
		return err
	}
	for _, o := range files {
		d, ok := dateOfKey(o.Key, eventsPrefix)
		if !ok || have[monthOf(d)] {
			continue
		}
		if err := x.repair(ctx, monthOf(d)); err != nil {
			return err
		}
		have[monthOf(d)] = true
	}
	return nil
}

// repair makes the month's main run anew, from its day files and those runs that
// are whole: one of them may belong to a merge that is about to commit its file.
// It is one atomic step, so that a kill leaves either the damage or its repair.
func (x *keyIndex) repair(ctx context.Context, m month) error {
	if err := x.repairMonth(ctx, m); err != nil {
		return fmt.Errorf("repair key index of %v: %w", m, err)
	}
	return nil
}

func (x *keyIndex) repairMonth(ctx context.Context, m month) error {
	runs, err := x.list(ctx, m)
	if err != nil {
		return err
	}
	var from []entries
	for _, o := range runs.all() {
		r, err := openRun(ctx, x.lake.bucket, o.Key)
		switch {
		case isDamagedRun(err), errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return err
		}
		defer func() { _ = r.close() }() // only read from
		whole, err := r.whole(ctx)
		if err != nil {
			return err
		}
		if whole && r.month == m {
			from = append(from, r.stream(ctx))
		}
	}
	for day := 1; day <= 31; day++ {
		r, err := x.dayRun(ctx, m.date(day))
		if err != nil {
			return err
		}
		if r != nil {
			from = append(from, r.stream(ctx))
		}
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
	if err := fault.At("lake.index.repair.before"); err != nil {
		return err
	}
	if _, err := out.Commit(runs.main.ETag); err != nil {
		return err
	}
	if err := fault.At("lake.index.repair.after"); err != nil {
		return err
	}
	for _, o := range runs.small {
		if err := x.lake.bucket.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}

// whole reads all of a run and tells whether its checksums are right.
func (k *run) whole(ctx context.Context) (bool, error) {
	s := k.stream(ctx)
	for {
		_, ok, err := s.next()
		switch {
		case isDamagedRun(err):
			return false, nil
		case err != nil:
			return false, err
		case !ok:
			return true, nil
		}
	}
}

// dayRun returns the keys of a day's file as a run in memory (6 bytes each); nil
// when the day has no file.
func (x *keyIndex) dayRun(ctx context.Context, d event.Date) (*run, error) {
	f, err := x.lake.openDay(ctx, eventsKey(d))
	if f == nil || err != nil {
		return nil, err
	}
	defer f.close()
	rows, err := eventTable.read(f, "account_id", "event_id")
	if err != nil {
		return nil, err
	}
	defer rows.close()
	list := make([]uint64, 0, f.rows())
	for {
		e, err := rows.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		list = append(list, entryOf(hashKey(e.Key()), d))
	}
	var buf bytes.Buffer
	buf.Grow(len(list)*entrySize + blockSize)
	if err := writeRun(&buf, monthOf(d), sorted(list)); err != nil {
		return nil, err
	}
	r := &run{obj: Object{Key: eventsKey(d), Size: int64(buf.Len())}, small: buf.Bytes()}
	return r, r.init()
}

// rebuildDay makes the index hold exactly the keys of the day's file for that day.
func (x *keyIndex) rebuildDay(ctx context.Context, d event.Date) error {
	m := monthOf(d)
	runs, err := x.list(ctx, m)
	if err != nil {
		return err
	}
	r, err := x.dayRun(ctx, d)
	if err != nil {
		return err
	}
	if r == nil && len(runs.all()) == 0 {
		return nil
	}
	if len(runs.all()) == 0 {
		return x.repair(ctx, m)
	}
	var add entries = &slice{}
	if r != nil {
		add = r.stream(ctx)
	}
	err = x.fold(ctx, m, runs, add, map[int]bool{d.Time().Day(): true})
	if isDamagedRun(err) {
		return x.repair(ctx, m)
	}
	return err
}

// forget deletes the runs of months that have no events file any more.
func (x *keyIndex) forget(ctx context.Context, months map[month]bool) error {
	for m := range months {
		files, err := x.lake.bucket.List(ctx, eventsPrefix+partition+m.String())
		if err != nil {
			return err
		}
		if len(files) > 0 {
			continue
		}
		runs, err := x.lake.bucket.List(ctx, keysPrefix+m.String())
		if err != nil {
			return err
		}
		for _, o := range runs {
			if err := x.lake.bucket.Delete(ctx, o.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
