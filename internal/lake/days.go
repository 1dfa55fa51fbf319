package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
)

// Dates returns the days that have a file, ascending. It opens none of them.
func (l *Lake) Dates(ctx context.Context) ([]event.Date, error) {
	days := make(map[event.Date]bool)
	for _, prefix := range []string{eventsPrefix, filteredPrefix} {
		files, err := l.bucket.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, o := range files {
			if d, ok := dateOfKey(o.Key, prefix); ok {
				days[d] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(days)), nil
}

// Absent returns those of the days, which hold what the Stats say, that lack a
// file. It opens none of them.
func (l *Lake) Absent(ctx context.Context, days []Stats) ([]event.Date, error) {
	have := map[string]bool{}
	for _, prefix := range []string{eventsPrefix, filteredPrefix} {
		files, err := l.bucket.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, o := range files {
			have[o.Key] = true
		}
	}
	var out []event.Date
	for _, d := range days {
		if d.Events > 0 && !have[eventsKey(d.Date)] || d.Filtered > 0 && !have[filteredKey(d.Date)] {
			out = append(out, d.Date)
		}
	}
	return out, nil
}

// Days returns what each day holds, ascending, as the footers of its files say.
func (l *Lake) Days(ctx context.Context) ([]Stats, error) {
	dates, err := l.Dates(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Stats, 0, len(dates))
	for _, d := range dates {
		s, err := l.stats(ctx, d)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (l *Lake) stats(ctx context.Context, d event.Date) (Stats, error) {
	e, err := l.openDay(ctx, eventsKey(d))
	if err != nil {
		return Stats{}, err
	}
	defer e.close()
	f, err := l.openDay(ctx, filteredKey(d))
	if err != nil {
		return Stats{}, err
	}
	defer f.close()
	return statsOf(d, e, f), nil
}

// Versions returns the version of each event of the day; nil when the day has
// no events file. The map holds the keys in memory, some 100 bytes each.
func (l *Lake) Versions(ctx context.Context, date event.Date) (map[event.Key]event.Version, error) {
	f, err := l.openDay(ctx, eventsKey(date))
	if f == nil || err != nil {
		return nil, err
	}
	defer f.close()
	out := make(map[event.Key]event.Version, f.rows())
	err = each(ctx, eventTable, f, eventTable.ranked, func(e *event.Event) { out[e.Key()] = e.Version() })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Sources returns the ids that the day's files name: what was merged into them when
// each was last written. What a merge didn't change a file for is not named.
func (l *Lake) Sources(ctx context.Context, date event.Date) (events, filtered []string, err error) {
	for _, f := range []struct {
		key string
		to  *[]string
	}{{eventsKey(date), &events}, {filteredKey(date), &filtered}} {
		day, err := l.openDay(ctx, f.key)
		if err != nil {
			return nil, nil, err
		}
		if day != nil {
			ids, _ := day.Lookup(metaSources)
			*f.to = strings.Fields(ids)
			day.close()
		}
	}
	return events, filtered, nil
}

// FilteredKeys returns the keys of the day's filtered rows; nil when the day has
// no such file.
func (l *Lake) FilteredKeys(ctx context.Context, date event.Date) (map[event.Key]struct{}, error) {
	f, err := l.openDay(ctx, filteredKey(date))
	if f == nil || err != nil {
		return nil, err
	}
	defer f.close()
	out := make(map[event.Key]struct{}, f.rows())
	err = each(ctx, filteredTable, f, []string{"account_id", "event_id"}, func(r *event.Filtered) { out[r.Key()] = struct{}{} })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Events yields the day's events in order, while memory holds some pages of the
// file. A replacement of the file meanwhile goes unnoticed. After an error the
// sequence ends.
func (l *Lake) Events(ctx context.Context, date event.Date) iter.Seq2[event.Event, error] {
	return streamDay(ctx, l, eventTable, date)
}

// Filtered yields the day's filtered rows like Events.
func (l *Lake) Filtered(ctx context.Context, date event.Date) iter.Seq2[event.Filtered, error] {
	return streamDay(ctx, l, filteredTable, date)
}

// each calls fn for every row of a file, with the named columns set.
func each[T any](ctx context.Context, t *table[T], f *file, columns []string, fn func(*T)) error {
	rows, err := t.read(f, columns...)
	if err != nil {
		return err
	}
	defer rows.close()
	for {
		row, err := rows.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fn(row)
	}
}

func streamDay[T any](ctx context.Context, l *Lake, t *table[T], date event.Date) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		f, err := l.openDay(ctx, t.path(date))
		if err != nil {
			yield(zero, err)
			return
		}
		if f == nil {
			return
		}
		defer f.close()
		rows, err := t.read(f)
		if err != nil {
			yield(zero, err)
			return
		}
		defer rows.close()
		for {
			row, err := rows.next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(zero, err)
				return
			}
			if !yield(*row, nil) {
				return
			}
		}
	}
}

// Remove deletes the files of some days, for retention, and before them the
// roll-ups that have their events. A day that isn't there is no error.
func (l *Lake) Remove(ctx context.Context, dates []event.Date) error {
	months := make(map[month]bool)
	for _, d := range dates {
		months[monthOf(d)] = true
	}
	if err := l.removeRollUps(ctx, months); err != nil {
		return err
	}
	for _, d := range dates {
		// Filtered rows last, as everywhere: without them first, a kill here would
		// leave events of which nobody knows what was filtered beside them.
		for _, key := range []string{eventsKey(d), filteredKey(d)} {
			if err := fault.At("lake.remove.before"); err != nil {
				return err
			}
			if err := l.bucket.Delete(ctx, key); err != nil {
				return fmt.Errorf("remove %v from the lake: %w", d, err)
			}
			if err := fault.At("lake.remove.after"); err != nil {
				return err
			}
		}
	}
	if err := l.keys.forget(ctx, months); err != nil {
		return fmt.Errorf("remove keys from the lake: %w", err)
	}
	return nil
}

// Rebuild writes the day's files anew, with today's schema and settings, and
// makes the key index right for the day, whatever state it was in. fill is
// Input.Fill.
func (l *Lake) Rebuild(ctx context.Context, date event.Date, fill func(*event.Event) error) (Stats, error) {
	s, _, err := l.mergeRetrying(ctx, date, Input{Fill: fill}, true)
	if err != nil {
		return Stats{}, err
	}
	if err := l.keys.rebuildDay(ctx, date); err != nil {
		return Stats{}, fmt.Errorf("rebuild key index of %v: %w", monthOf(date), err)
	}
	return s, nil
}
