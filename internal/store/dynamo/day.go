package dynamo

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/store"
)

// The item of a day: pk "day", sk the date.
//
//	g  its epoch: rows that carry another one are no more
//	m  its mark; absent or 0 when the day is clean
//	w  the writers that are signed up: deadline (seconds since 1970) and name
//	f  writers that died: what they wrote may be in part

type day struct {
	date    event.Date
	epoch   string
	mark    int64
	writers []string
	failed  []string
}

func (d *day) dirty() bool { return d.mark > 0 || len(d.writers) > 0 }

const dayPK = "day"

func dayKey(d event.Date) key { return key{dayPK, dateKey(d)} }

func dayOf(it item) day {
	return day{date: dateOf(getString(it, "sk")), epoch: getString(it, "g"), mark: getNumber(it, "m"), writers: getSet(it, "w"), failed: getSet(it, "f")}
}

// days are those with hot rows or a mark: few, since days that were exported leave
// the hot window.
func (s *Store) days(ctx context.Context) (map[event.Date]day, error) {
	found := map[event.Date]day{}
	for it, err := range s.query(ctx, dayPK, between{}) {
		if err != nil {
			return nil, err
		}
		d := dayOf(it)
		found[d.date] = d
	}
	return found, nil
}

// wall is the clock by which writers are believed dead: the machine's, whatever the
// store's is.
var wall = time.Now

// newWriter is the name with which a call signs up.
func newWriter() string {
	return strconv.FormatInt(wall().Add(grace).Unix(), 10) + " " + randomID()
}

// dead reports whether a writer's time is up.
func dead(writer string) bool {
	deadline, _, _ := strings.Cut(writer, " ")
	n, err := strconv.ParseInt(deadline, 10, 64)
	return err != nil || wall().Unix() > n
}

// signUp announces that rows of days will be written, and returns their epochs.
func (s *Store) signUp(ctx context.Context, writer string, dates []event.Date) (map[event.Date]string, error) {
	found := make([]string, len(dates))
	err := parallel(ctx, len(dates), func(ctx context.Context, i int) error {
		_, now, err := s.update(ctx, dayKey(dates[i]), "SET g = if_not_exists(g, :g) ADD w :w",
			item{":g": bin(randomID()[:8]), ":w": set(writer)}, condition{})
		found[i] = getString(now, "g")
		return err
	})
	epochs := make(map[event.Date]string, len(dates))
	for i, d := range dates {
		epochs[d] = found[i]
	}
	return epochs, err
}

// signOff says that the rows are written; the days of changed get a new mark. whole
// is false when a day was removed meanwhile, and the rows with it.
func (s *Store) signOff(ctx context.Context, writer string, epochs map[event.Date]string, changed map[event.Date]bool) (whole bool, err error) {
	dates := slices.Sorted(maps.Keys(epochs))
	there := make([]bool, len(dates))
	err = parallel(ctx, len(dates), func(ctx context.Context, i int) (err error) {
		expression, values := "DELETE w :w", item{":w": set(writer)}
		if changed[dates[i]] {
			expression = "SET m = :m " + expression
			values[":m"] = num(randomMark())
		}
		there[i], _, err = s.update(ctx, dayKey(dates[i]), expression, values, condition{"g = :g", item{":g": bin(epochs[dates[i]])}})
		return err
	})
	return !slices.Contains(there, false), err
}

// markDirty makes days dirty.
func (s *Store) markDirty(ctx context.Context, dates []event.Date) error {
	slices.Sort(dates)
	dates = slices.Compact(dates)
	return parallel(ctx, len(dates), func(ctx context.Context, i int) error {
		_, _, err := s.update(ctx, dayKey(dates[i]), "SET g = if_not_exists(g, :g), m = :m",
			item{":g": bin(randomID()[:8]), ":m": num(randomMark())}, condition{})
		return err
	})
}

// MarkDirty implements store.Store.
func (s *Store) MarkDirty(ctx context.Context, dates []event.Date) error {
	return s.write(ctx, "markdirty", func(ctx context.Context) error { return s.markDirty(ctx, slices.Clone(dates)) })
}

// DirtyDays implements store.Store.
func (s *Store) DirtyDays(ctx context.Context) (dirty []store.DirtyDay, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		days, err := s.days(ctx)
		if err != nil {
			return err
		}
		for _, d := range days {
			if d.dirty() {
				dirty = append(dirty, store.DirtyDay{Date: d.date, Mark: d.markNow()})
			}
		}
		slices.SortFunc(dirty, func(a, b store.DirtyDay) int { return cmp.Compare(a.Date, b.Date) })
		return nil
	})
	return dirty, err
}

// markNow is the day's mark; of one that is dirty only because somebody writes to it,
// a number that cleans nothing.
func (d *day) markNow() int64 {
	if d.mark > 0 {
		return d.mark
	}
	h := fnv.New32a()
	for _, w := range d.writers {
		_, _ = h.Write([]byte(w)) // it never fails
	}
	return int64(h.Sum32()) + 1
}

// DayExported implements store.Store.
func (s *Store) DayExported(ctx context.Context, mark int64, d store.LakeDay) error {
	return s.write(ctx, "dayexported", func(ctx context.Context) error {
		it := lakeDayItem(&d)
		if mark == 0 {
			return s.guarded(ctx, s.putting(it, condition{}))
		}
		k := dayKey(d.Date)
		return s.again(ctx, "record an export", func(ctx context.Context) (bool, error) {
			found, err := s.get(ctx, []key{k})
			if err != nil {
				return false, err
			}
			now := dayOf(found[k])
			writes := []types.TransactWriteItem{s.putting(it, condition{})}
			switch {
			case len(now.writers) > 0:
				if !slices.ContainsFunc(now.writers, func(w string) bool { return !dead(w) }) {
					// What they wrote before they died may have come after the day was read:
					// it stays dirty, under a mark that the next export cleans.
					writes = append(writes, s.updating(k, "SET m = :m REMOVE w ADD f :f", item{":m": num(randomMark()), ":f": set(now.writers...)},
						condition{"w = :w", item{":w": set(now.writers...)}}))
				}
			case now.mark == mark:
				writes = append(writes, s.updating(k, "REMOVE m", nil, condition{"m = :m AND attribute_not_exists(w)", item{":m": num(mark)}}))
			}
			err = s.guarded(ctx, writes...)
			return err == nil, unlessFailed(err)
		})
	})
}

// LakeDays implements store.Store.
func (s *Store) LakeDays(ctx context.Context) (days []store.LakeDay, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		for it, err := range s.query(ctx, lakeDayPK, between{}) {
			if err != nil {
				return err
			}
			d := store.LakeDay{Date: dateOf(getString(it, "sk")), Events: getNumber(it, "e"), Filtered: getNumber(it, "f"), Bytes: getNumber(it, "b")}
			if m, ok := it["c"].(*types.AttributeValueMemberM); ok && len(m.Value) > 0 {
				d.Categories = map[string]int64{}
				for c := range m.Value {
					d.Categories[c] = getNumber(m.Value, c)
				}
			}
			days = append(days, d)
		}
		return nil
	})
	return days, err
}

// The item of a lake day: pk "lakeday", sk the date; e events, f filtered, b bytes,
// c events by category.
const lakeDayPK = "lakeday"

func lakeDayItem(d *store.LakeDay) item {
	it := key{lakeDayPK, dateKey(d.Date)}.item()
	it["e"], it["f"], it["b"] = num(d.Events), num(d.Filtered), num(d.Bytes)
	if len(d.Categories) > 0 {
		by := item{}
		for c, n := range d.Categories {
			by[c] = num(n)
		}
		it["c"] = &types.AttributeValueMemberM{Value: by}
	}
	return it
}

// DropLakeDays implements store.Store.
func (s *Store) DropLakeDays(ctx context.Context, dates []event.Date) error {
	return s.write(ctx, "droplakedays", func(ctx context.Context) error {
		gone := slices.Compact(slices.Sorted(slices.Values(dates)))
		if err := s.forgetUses(ctx, gone); err != nil {
			return err
		}
		for _, d := range gone {
			if err := s.guarded(ctx, s.deleting(key{lakeDayPK, dateKey(d)}, condition{}), s.deleting(dayKey(d), condition{})); err != nil {
				return err
			}
		}
		return nil
	})
}

// Prune implements store.Store. The rows are gone with the item of their day.
func (s *Store) Prune(ctx context.Context, before event.Date) (removed int64, err error) {
	err = s.write(ctx, "prune", func(ctx context.Context) error {
		removed = 0
		days, err := s.days(ctx)
		if err != nil {
			return err
		}
		for _, date := range slices.Sorted(maps.Keys(days)) {
			d := days[date]
			if date >= before || d.dirty() {
				continue
			}
			n, err := s.countDay(ctx, &d)
			if err != nil {
				return err
			}
			err = s.guarded(ctx, s.deleting(dayKey(date), condition{"g = :g AND attribute_not_exists(m) AND attribute_not_exists(w)", item{":g": bin(d.epoch)}}))
			if errors.Is(err, errFailed) {
				continue // somebody has written to it
			}
			if err != nil {
				return err
			}
			removed += n.events + n.filtered
		}
		return nil
	})
	return removed, err
}
