package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
)

// mergeAttempts bounds how often a merge starts again because another writer
// replaced the day, or because the input changed while it was read.
const mergeAttempts = 10

// Merge makes the day's files hold the union of their rows and the input's:
//
//   - one event for each key, the one of the greatest Version; Input.Lost gets
//     the others first. Equal Versions are the same content: the row that the
//     file has stays. Rows that Input.Drop names are left out, old ones too;
//   - one filtered row for each key that has no event, and had none (Input.Was).
//
// Columns that Input.Fill sets are as it sets them now, in all rows.
//
// It returns what the day then holds and whether a file was written or deleted;
// when no row changes, nothing is written at all. The order of writes is: key
// index (so that it always covers the files), events, filtered. Merge may be
// repeated after any failure, and the repetition completes what was begun.
//
// Memory does not grow with the day, but for about 60 bytes for each row of the
// input and, if there are filtered rows, 24 for each event of the day.
//
// A damaged or newer day file is an error (ErrDamaged, ErrNewer) and is left
// alone.
func (l *Lake) Merge(ctx context.Context, date event.Date, in Input) (Stats, bool, error) {
	return l.mergeRetrying(ctx, date, in, false)
}

func (l *Lake) mergeRetrying(ctx context.Context, date event.Date, in Input, rewrite bool) (Stats, bool, error) {
	changed := false
	for attempt := 1; ; attempt++ {
		s, c, err := l.merge(ctx, date, in, rewrite)
		changed = changed || c
		if err == nil {
			return s, changed, nil
		}
		if !errors.Is(err, ErrChanged) || attempt == mergeAttempts {
			return Stats{}, changed, fmt.Errorf("merge %v into the lake: %w", date, err)
		}
	}
}

func (l *Lake) merge(ctx context.Context, date event.Date, in Input, rewrite bool) (Stats, bool, error) {
	if err := fault.At("lake.merge.before"); err != nil {
		return Stats{}, false, err
	}
	sources := strings.Join(in.Sources, " ")
	e := &share[event.Event]{l: l, t: eventTable, date: date, in: in.Events, fill: in.fill(), sources: sources}
	f := &share[event.Filtered]{l: l, t: filteredTable, date: date, in: in.Filtered, sources: sources}
	defer e.close()
	defer f.close()
	if err := e.open(ctx); err != nil {
		return Stats{}, false, err
	}
	if err := f.open(ctx); err != nil {
		return Stats{}, false, err
	}
	if in.Drop != nil {
		e.skip = func(k event.Key, _ hash128, row *event.Event) bool { return in.Drop(k, row.Version()) }
	}
	hasFiltered, err := nonEmpty(in.Filtered)
	if err != nil {
		return Stats{}, false, err
	}
	if f.old != nil || hasFiltered {
		e.keys = new(keySet)
		f.skip = func(k event.Key, h hash128, _ *event.Filtered) bool {
			_, ok := e.keys.find(h)
			return ok || in.Was != nil && in.Was(k)
		}
	}
	if err := e.plan(ctx); err != nil {
		return Stats{}, false, err
	}
	if err := f.plan(ctx); err != nil {
		return Stats{}, false, err
	}
	if in.Lost != nil && e.lost {
		if err := e.losers(ctx, in.Lost); err != nil {
			return Stats{}, false, err
		}
	}
	if e.changed {
		if err := l.keys.extend(ctx, date, e.fresh()); err != nil {
			return Stats{}, false, err
		}
	}
	changed := false
	for _, s := range []interface {
		commit(context.Context, bool) (bool, error)
	}{e, f} {
		c, err := s.commit(ctx, rewrite)
		changed = changed || c
		if err != nil {
			return Stats{}, changed, err
		}
	}
	return Stats{Date: date, Events: e.rows, Filtered: f.rows, Bytes: e.size + f.size, Categories: e.counts}, changed, nil
}

// fill is Fill that tells whether it changed anything.
func (in *Input) fill() func(*event.Event) (bool, error) {
	if in.Fill == nil {
		return nil
	}
	return func(e *event.Event) (bool, error) {
		kind, actor, chain := e.ActorKind, e.Actor, e.ActorChain
		err := in.Fill(e)
		return e.ActorKind != kind || e.Actor != actor || e.ActorChain != chain, err
	}
}

// nonEmpty reports whether there is a first row.
func nonEmpty[T any](in iter.Seq2[T, error]) (bool, error) {
	if in != nil {
		for _, err := range in {
			return err == nil, err
		}
	}
	return false, nil
}

// share is one table's part in a merge. plan looks at keys only and decides
// which contents stay; commit streams old file and input once more into the new
// file, if there must be one.
type share[T any] struct {
	l    *Lake
	t    *table[T]
	date event.Date
	in   iter.Seq2[T, error]
	skip func(event.Key, hash128, *T) bool  // rows to leave out; nil: none
	fill func(*T) (changed bool, err error) // sets derived columns; nil: none
	old  *file                              // nil: none
	keys *keySet                            // of the result, if somebody asked for them

	sources string // metaSources of a new file

	index   keySet   // of the input
	slots   [][]slot // one for each key of index, in chunks
	changed bool     // the result's rows differ from the old file's
	lost    bool     // some content lost against another
	oldLost bool     // one of the old file's did

	// What the day holds after commit.
	rows   int64
	size   int64
	counts map[string]int64
}

// slot is what stays for one key of the input.
type slot struct {
	rank
	inOld bool // the old file has the key
	isOld bool // the old file's row stays
	done  bool // the row has been written
}

// slot returns the slot of a key of index.
func (s *share[T]) slot(i int32) *slot { return &s.slots[i/setChunk][i%setChunk] }

func (s *share[T]) open(ctx context.Context) (err error) {
	s.old, err = s.l.openDay(ctx, s.t.path(s.date))
	return err
}

func (s *share[T]) close() { s.old.close() }

func (s *share[T]) plan(ctx context.Context) error {
	if err := s.planInput(ctx); err != nil {
		return err
	}
	if s.old == nil {
		s.rows = int64(s.index.n)
	} else if err := s.planOld(ctx); err != nil {
		return err
	}
	for i := range s.index.n {
		s.changed = s.changed || !s.slot(i).isOld
		if s.keys != nil {
			s.keys.add(s.index.hash(i))
		}
	}
	if !s.changed && s.old != nil && s.fill != nil {
		return s.planFill(ctx)
	}
	return nil
}

// errStop ends an iteration early.
var errStop = errors.New("stop")

// planFill looks whether the old file's derived columns are still right.
func (s *share[T]) planFill(ctx context.Context) error {
	all := share[T]{t: s.t, l: s.l, old: s.old}
	err := all.each(ctx, true, func(row *T, _ bool) error {
		changed, err := s.fill(row)
		if err == nil && changed {
			s.changed = true
			return errStop
		}
		return err
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

func (s *share[T]) planInput(ctx context.Context) error {
	if s.in == nil {
		return nil
	}
	var pair [2]T // this row and the one before; events are too large to copy about
	n := 0
	for row, err := range s.in {
		if err != nil {
			return err
		}
		if n%batchRows == 0 {
			if err := alive(ctx, "read input of", s.date.String()); err != nil {
				return err
			}
		}
		cur, prev := &pair[n&1], &pair[n&1^1]
		*cur = row
		if d := s.t.date(cur); d != s.date {
			return fmt.Errorf("event %q is of day %v, not %v", s.t.id(cur).EventID, d, s.date)
		}
		if n > 0 && s.t.compare(prev, cur) > 0 {
			return fmt.Errorf("event %q is not in order of account, time and id", s.t.id(cur).EventID)
		}
		n++
		k := s.t.id(cur)
		h := hashKey(k)
		if s.skip != nil && s.skip(k, h, cur) {
			continue
		}
		r := s.t.rank(cur)
		i, added := s.index.add(h)
		if added {
			s.slots = appendChunked(s.slots, slot{rank: r})
			continue
		}
		sl := s.slot(i)
		switch r.compare(sl.rank) {
		case 1:
			sl.rank = r
			s.lost = true
		case -1:
			s.lost = true
		}
	}
	return nil
}

func (s *share[T]) planOld(ctx context.Context) error {
	if s.index.n == 0 && s.skip == nil && s.keys == nil {
		s.rows = s.old.rows()
		return nil
	}
	old, err := s.t.read(s.old, s.t.ranked...)
	if err != nil {
		return err
	}
	defer old.close()
	fresh := int64(s.index.n)
	for {
		row, err := old.next(ctx)
		if errors.Is(err, io.EOF) {
			s.rows += fresh
			return nil
		}
		if err != nil {
			return err
		}
		k := s.t.id(row)
		h := hashKey(k)
		if s.skip != nil && s.skip(k, h, row) {
			s.changed = true
			continue
		}
		s.rows++
		if s.keys != nil {
			s.keys.add(h)
		}
		i, ok := s.index.find(h)
		if !ok {
			continue
		}
		sl := s.slot(i)
		if !sl.inOld {
			sl.inOld = true
			fresh--
		}
		switch r := s.t.rank(row); r.compare(sl.rank) {
		case 1:
			sl.rank, sl.isOld = r, true
			s.lost = true
		case 0:
			sl.isOld = true
		case -1:
			s.lost, s.oldLost = true, true
		}
	}
}

// fresh returns the index entries of those keys of the result that the old file
// doesn't have.
func (s *share[T]) fresh() []uint64 {
	var out []uint64
	for i := range s.index.n {
		if !s.slot(i).inOld {
			out = append(out, entryOf(s.index.hash(i), s.date))
		}
	}
	return out
}

// each yields old rows and input merged into one order, a file's row first
// where both have it. Rows are valid until emit returns.
func (s *share[T]) each(ctx context.Context, withOld bool, emit func(row *T, old bool) error) error {
	var old *rows[T]
	var head *T
	advance := func() error {
		var err error
		if head, err = old.next(ctx); errors.Is(err, io.EOF) {
			head, err = nil, nil
		}
		return err
	}
	if s.old != nil && withOld {
		var err error
		if old, err = s.t.read(s.old); err != nil {
			return err
		}
		defer old.close()
		if err := advance(); err != nil {
			return err
		}
	}
	if s.in != nil {
		var cur T // one for all rows, since its address is taken
		for row, err := range s.in {
			if err != nil {
				return err
			}
			cur = row
			for head != nil && s.t.compare(head, &cur) <= 0 {
				if err := emit(head, true); err != nil {
					return err
				}
				if err := advance(); err != nil {
					return err
				}
			}
			if err := emit(&cur, false); err != nil {
				return err
			}
		}
	}
	for head != nil {
		if err := emit(head, true); err != nil {
			return err
		}
		if err := advance(); err != nil {
			return err
		}
	}
	return nil
}

// losers hands out the contents that lost, some hundred at a time.
func (s *share[T]) losers(ctx context.Context, lost func([]T) error) error {
	var batch []T
	err := s.each(ctx, s.oldLost, func(row *T, _ bool) error {
		k := s.t.id(row)
		h := hashKey(k)
		i, ok := s.index.find(h)
		if !ok || s.t.rank(row).compare(s.slot(i).rank) >= 0 || s.skip != nil && s.skip(k, h, row) {
			return nil
		}
		if batch = append(batch, *row); len(batch) < batchRows {
			return nil
		}
		err := lost(batch)
		batch = nil // the callee may have kept it
		return err
	})
	if err == nil && len(batch) > 0 {
		err = lost(batch)
	}
	return err
}

// keep tells whether a row belongs to the result.
func (s *share[T]) keep(row *T, old bool) bool {
	k := s.t.id(row)
	h := hashKey(k)
	if s.skip != nil && s.skip(k, h, row) {
		return false
	}
	i, ok := s.index.find(h)
	if !ok {
		return old // a row that joined the input since plan waits for the next merge
	}
	sl := s.slot(i)
	if sl.done || s.t.rank(row).compare(sl.rank) != 0 {
		return false
	}
	sl.done = true
	return true
}
