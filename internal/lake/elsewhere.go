package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Place is where the lake has an event of some key, and in which version.
type Place struct {
	Date    event.Date
	Version event.Version
}

// Elsewhere returns, for those of the keys that have one, the places of their
// events on days other than not, by date. A key that the lake doesn't have costs
// a look into a filter in memory.
//
// The first call may read the whole key index (6 bytes an event), or make it
// anew where it is missing or damaged, which needs a bucket that can be written.
func (l *Lake) Elsewhere(ctx context.Context, keys []event.Key, not event.Date) (map[event.Key][]Place, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	days, err := l.mayHold(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up keys in the lake: %w", err)
	}
	delete(days, not)
	out := make(map[event.Key][]Place)
	for _, d := range slices.Sorted(maps.Keys(days)) {
		err := l.locate(ctx, d, days[d], func(e *event.Event, _ *file, _ int, _ int64) error {
			k := e.Key()
			out[k] = append(out[k], Place{d, e.Version()})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look up keys in the lake: %w", err)
		}
	}
	return out, nil
}

// mayHold asks the key index, and repairs it if need be.
func (l *Lake) mayHold(ctx context.Context, keys []event.Key) (map[event.Date]map[event.Key]bool, error) {
	x := &l.keys
	x.mu.Lock()
	defer x.mu.Unlock()
	for attempt := 0; ; attempt++ {
		if err := x.refresh(ctx); err != nil {
			return nil, err
		}
		days := make(map[event.Date]map[event.Key]bool)
		err := x.mayHold(ctx, keys, func(i int, d event.Date) {
			if days[d] == nil {
				days[d] = make(map[event.Key]bool)
			}
			days[d][keys[i]] = true
		})
		var damaged *damagedRun
		if !errors.As(err, &damaged) || attempt == mergeAttempts {
			return days, err
		}
		m, _ := monthOfRun(damaged.key)
		if err := x.repair(ctx, m); err != nil {
			return nil, err
		}
	}
}

// locate calls found for each event of the day that has one of the keys, with
// its row group and row; of the event only what Key and Version need is set.
func (l *Lake) locate(ctx context.Context, d event.Date, keys map[event.Key]bool, found func(e *event.Event, f *file, group int, row int64) error) error {
	f, err := l.openDay(ctx, eventsKey(d), parquet.SkipBloomFilters(len(keys) > maxBloomed))
	if f == nil || err != nil {
		return err
	}
	defer f.close()
	rows, err := eventTable.read(f, eventTable.ranked...)
	if err != nil {
		return err
	}
	defer rows.close()
	id, ok := f.Schema().Lookup("event_id")
	for g, group := range f.RowGroups() {
		may := true
		if ok && len(keys) <= maxBloomed {
			if may, err = mayContain(group, id.ColumnIndex, keys); err != nil {
				return fmt.Errorf("read %s: %w", f.Object().Key, err)
			}
		}
		if !may {
			continue
		}
		if err := rows.only(g, 0); err != nil {
			return err
		}
		for row := int64(0); ; row++ {
			e, err := rows.next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if keys[e.Key()] {
				if err := found(e, f, g, row); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// maxBloomed is the number of keys above which one of them will be in any row
// group, so that asking its bloom filter is in vain.
const maxBloomed = 1000

func mayContain(group parquet.RowGroup, column int, keys map[event.Key]bool) (may bool, err error) {
	defer damageOf(&err)
	filter := group.ColumnChunks()[column].BloomFilter()
	if filter == nil {
		return true, nil
	}
	for k := range keys {
		ok, err := filter.Check(parquet.ByteArrayValue([]byte(k.EventID)))
		if err != nil {
			return false, fmt.Errorf("%w: bloom filter: %w", ErrDamaged, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// Pick calls found for each event of the day that has one of the keys.
func (l *Lake) Pick(ctx context.Context, date event.Date, keys map[event.Key]bool, found func(event.Event)) error {
	const few = 16 // as many single events cost as much as reading a large day
	if len(keys) > few {
		for e, err := range l.Events(ctx, date) {
			if err != nil {
				return err
			}
			if keys[e.Key()] {
				found(e)
			}
		}
		return nil
	}
	for k := range keys {
		e, err := l.Event(ctx, k, date)
		if err != nil {
			return err
		}
		found(e)
	}
	return nil
}

// Event returns the event of a key on a day; ErrNotFound if there is none.
func (l *Lake) Event(ctx context.Context, key event.Key, date event.Date) (event.Event, error) {
	var out event.Event
	ok := false
	err := l.locate(ctx, date, map[event.Key]bool{key: true}, func(_ *event.Event, f *file, group int, row int64) error {
		rows, err := eventTable.read(f)
		if err != nil {
			return err
		}
		defer rows.close()
		if err := rows.only(group, row); err != nil {
			return err
		}
		e, err := rows.next(ctx)
		if err != nil {
			return err
		}
		out, ok = *e, true
		return nil
	})
	if err == nil && !ok {
		err = ErrNotFound
	}
	if err != nil {
		return event.Event{}, fmt.Errorf("event %q of %v: %w", key.EventID, date, err)
	}
	return out, nil
}
