package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
)

// MarkDirty implements Store.
func (s *sqlite) MarkDirty(ctx context.Context, dates []event.Date) error {
	return s.write(ctx, "markdirty", "mark days for export", func(tx *writer) error {
		set := make(map[event.Date]bool, len(dates))
		for _, d := range dates {
			set[d] = true
		}
		return tx.markDirty(set)
	})
}

var insertDirty = inserting{
	into: "dirty_days (event_date, mark)", columns: 2,
	end: "ON CONFLICT DO UPDATE SET mark = excluded.mark",
}

// markDirty gives the days one new mark.
func (tx *writer) markDirty(dates map[event.Date]bool) error {
	if len(dates) == 0 {
		return nil
	}
	mark, err := tx.next("mark")
	if err != nil {
		return err
	}
	days := slices.Sorted(maps.Keys(dates))
	return tx.insert(&insertDirty, len(days), func(args []any, i int) []any {
		return append(args, int64(days[i]), mark)
	})
}

// DirtyDays implements Store.
func (s *sqlite) DirtyDays(ctx context.Context) (days []DirtyDay, err error) {
	err = s.read(ctx, "read which days are to be exported", "SELECT event_date, mark FROM dirty_days ORDER BY event_date", nil,
		func(scan func(...any) error) error {
			var d DirtyDay
			err := scan(&d.Date, &d.Mark)
			days = append(days, d)
			return err
		})
	return days, err
}

// exportedDay is what DayExported records.
type exportedDay struct {
	mark int64
	day  LakeDay
}

// DayExported implements Store. Days that are written side by side share a
// transaction.
func (s *sqlite) DayExported(ctx context.Context, mark int64, day LakeDay) error {
	return s.exported.Do(exportedDay{mark, day}, func(days []exportedDay) error {
		return s.write(ctx, "dayexported", "record the export of "+day.Date.String(), func(tx *writer) error {
			for i := range days {
				if err := tx.dayExported(days[i].mark, &days[i].day); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (tx *writer) dayExported(mark int64, day *LakeDay) error {
	categories := []byte("{}")
	if len(day.Categories) > 0 {
		var err error
		if categories, err = json.Marshal(day.Categories); err != nil {
			return err
		}
	}
	if _, err := tx.exec(`INSERT INTO lake_days (event_date, events, filtered, size_bytes, categories) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET events = excluded.events, filtered = excluded.filtered,
			size_bytes = excluded.size_bytes, categories = excluded.categories`,
		int64(day.Date), day.Events, day.Filtered, day.Bytes, string(categories)); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM dirty_days WHERE event_date = ? AND mark = ?", int64(day.Date), mark)
	return err
}

// LakeDays implements Store.
func (s *sqlite) LakeDays(ctx context.Context) (days []LakeDay, err error) {
	err = s.read(ctx, "read the days of the lake",
		"SELECT event_date, events, filtered, size_bytes, categories FROM lake_days ORDER BY event_date", nil,
		func(scan func(...any) error) error {
			var d LakeDay
			var categories []byte
			if err := scan(&d.Date, &d.Events, &d.Filtered, &d.Bytes, &categories); err != nil {
				return err
			}
			if err := json.Unmarshal(categories, &d.Categories); err != nil {
				return err
			}
			days = append(days, cloneLakeDay(d))
			return nil
		})
	return days, err
}

// DropLakeDays implements Store.
func (s *sqlite) DropLakeDays(ctx context.Context, dates []event.Date) error {
	return s.write(ctx, "droplakedays", "forget days of the lake", func(tx *writer) error {
		for _, d := range dates {
			for _, table := range []string{"lake_days", "dirty_days", "events", "filtered", "lineage_uses"} {
				if _, err := tx.exec("DELETE FROM "+table+" WHERE event_date = ?", int64(d)); err != nil {
					return err
				}
			}
			if err := tx.check(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Prune implements Store.
func (s *sqlite) Prune(ctx context.Context, before event.Date) (removed int64, err error) {
	err = s.write(ctx, "prune", "prune old events", func(tx *writer) error {
		removed = 0
		for _, table := range []string{"events", "filtered"} {
			n, err := tx.exec("DELETE FROM "+table+" WHERE event_date < ? AND event_date NOT IN (SELECT event_date FROM dirty_days)", int64(before))
			if err != nil {
				return err
			}
			removed += n
		}
		return nil
	})
	return removed, err
}
