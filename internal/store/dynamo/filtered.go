package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Filtered rows are four of five records, and are never looked up alone: they are
// packed by hour, or where an hour has few, by day. The item: pk "f", date and epoch;
// sk the hour, or anyHour, and a digest of the rows; b the rows. A row may be in
// several items; it counts once.

// anyHour stands for the hour of rows that are packed by day.
const anyHour = "--"

// manyRows is how many new rows of an hour have an item of their own: as many take
// two write units, of which half a one is wasted.
const manyRows = 100

func filteredPK(d event.Date, epoch string) string { return join("f", dateKey(d), epoch) }

func hourOf(f *event.Filtered) string {
	const hour = 60 * 60 * 1000
	return fmt.Sprintf("%02d", (f.EventTime-f.Date().Time().UnixMilli())/hour)
}

// mostRows is how many rows an item has at most: about 100 KB.
const mostRows = 4000

// chunk is rows of an hour that aren't there yet.
type chunk struct {
	date event.Date
	hour string
	rows []event.Filtered
}

// hours groups rows by day and hour.
func hours(rows []event.Filtered) []chunk {
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b event.Filtered) int {
		return cmp.Or(cmp.Compare(a.Date(), b.Date()), strings.Compare(hourOf(&a), hourOf(&b)), store.CompareFiltered(&a, &b))
	})
	sorted = slices.Compact(sorted)
	var chunks []chunk
	for _, f := range sorted {
		date, hour := f.Date(), hourOf(&f)
		if n := len(chunks); n == 0 || chunks[n-1].date != date || chunks[n-1].hour != hour {
			chunks = append(chunks, chunk{date: date, hour: hour})
		}
		c := &chunks[len(chunks)-1]
		c.rows = append(c.rows, f)
	}
	return chunks
}

// newFiltered returns those of the rows that aren't there.
func (s *Store) newFiltered(ctx context.Context, days map[event.Date]day, rows []event.Filtered) ([]chunk, error) {
	chunks := hours(rows)
	apart := map[event.Date]map[event.Filtered]bool{}
	for _, c := range chunks {
		d, ok := days[c.date]
		if !ok || apart[c.date] != nil {
			continue
		}
		var err error
		if apart[c.date], err = s.filteredOf(ctx, &d, anyHour); err != nil {
			return nil, err
		}
	}
	err := parallel(ctx, len(chunks), func(ctx context.Context, i int) error {
		c := &chunks[i]
		d, ok := days[c.date]
		if !ok {
			return nil
		}
		have, err := s.filteredOf(ctx, &d, c.hour)
		c.rows = slices.DeleteFunc(c.rows, func(f event.Filtered) bool { return have[f] || apart[c.date][f] })
		return err
	})
	var out []chunk
	few := map[event.Date]*chunk{}
	for _, c := range chunks {
		switch {
		case len(c.rows) == 0:
		case len(c.rows) >= manyRows:
			out = append(out, c)
		case few[c.date] == nil:
			few[c.date] = &chunk{date: c.date, hour: anyHour, rows: c.rows}
		default:
			few[c.date].rows = append(few[c.date].rows, c.rows...)
		}
	}
	for _, c := range few {
		out = append(out, *c)
	}
	return out, err
}

// filteredOf returns the rows of a day, or of an hour of it.
func (s *Store) filteredOf(ctx context.Context, d *day, hour string) (map[event.Filtered]bool, error) {
	found := map[event.Filtered]bool{}
	for it, err := range s.query(ctx, filteredPK(d.date, d.epoch), between{prefix: hour}) {
		if err != nil {
			return nil, err
		}
		packed, err := s.load(ctx, it)
		if err != nil {
			return nil, err
		}
		rows, err := unpackFiltered(packed)
		if err != nil {
			return nil, s.damaged(keyOf(it), err.Error())
		}
		for _, f := range rows {
			found[f] = true
		}
	}
	return found, nil
}

// putChunks writes rows; the caller has signed up.
func (s *Store) putChunks(ctx context.Context, chunks []chunk, epochs map[event.Date]string) error {
	var items []item
	for _, c := range chunks {
		for rows := range slices.Chunk(c.rows, mostRows) {
			packed := packFiltered(rows)
			it := key{filteredPK(c.date, epochs[c.date]), c.hour + digest(string(packed))}.item()
			s.expires(it, rows[0].EventTime)
			if err := s.store(ctx, "filtered", it, packed); err != nil {
				return err
			}
			items = append(items, it)
		}
	}
	return s.writeAll(ctx, items, nil)
}

// packFiltered packs rows; what they share is written once.
func packFiltered(rows []event.Filtered) []byte { return filteredColumns(rows).bytes() }

func filteredColumns(rows []event.Filtered) *packer {
	type kind struct{ account, region, source, name, reason string }
	var p packer
	p.columns = make([][]byte, 4)
	kinds := map[kind]int64{}
	last := int64(0)
	for _, f := range rows {
		k := kind{f.AccountID, f.AWSRegion, f.EventSource, f.EventName, f.Reason}
		n, ok := kinds[k]
		if !ok {
			n = int64(len(kinds))
			kinds[k] = n
			for _, t := range [...]string{k.account, k.region, k.source, k.name, k.reason} {
				p.text(0, t)
			}
		}
		p.number(1, n)
		p.ms(2, f.EventTime-last)
		last = f.EventTime
		p.id(3, f.EventID)
	}
	return &p
}

func unpackFiltered(packed []byte) ([]event.Filtered, error) {
	u, err := unpack(packed, 4)
	if err != nil {
		return nil, err
	}
	var kinds, rows []event.Filtered
	last := int64(0)
	for u.more(1) {
		n := u.number(1)
		if n == int64(len(kinds)) {
			kinds = append(kinds, event.Filtered{AccountID: u.text(0), AWSRegion: u.text(0), EventSource: u.text(0), EventName: u.text(0), Reason: u.text(0)})
		}
		if n < 0 || n >= int64(len(kinds)) {
			return nil, errDamaged
		}
		f := kinds[n]
		last += u.ms(2)
		f.EventTime, f.EventID = last, u.id(3)
		rows = append(rows, f)
	}
	return rows, u.err()
}

// FindFiltered implements store.Store.
func (s *Store) FindFiltered(ctx context.Context, rows []event.Filtered) (map[event.Filtered]bool, error) {
	found := map[event.Filtered]bool{}
	err := s.read(ctx, func(ctx context.Context) error {
		if len(rows) == 0 {
			return nil
		}
		days, err := s.days(ctx)
		if err != nil {
			return err
		}
		news, err := s.newFiltered(ctx, days, rows)
		if err != nil {
			return err
		}
		for _, f := range rows {
			found[f] = true
		}
		for _, c := range news {
			for _, f := range c.rows {
				delete(found, f)
			}
		}
		return nil
	})
	return found, err
}

// DayFiltered implements store.Store.
func (s *Store) DayFiltered(ctx context.Context, date event.Date) iter.Seq2[event.Filtered, error] {
	return sequence(ctx, s, func(ctx context.Context) ([]event.Filtered, error) {
		found, err := s.get(ctx, []key{dayKey(date)})
		if err != nil || len(found) == 0 {
			return nil, err
		}
		d := dayOf(found[dayKey(date)])
		rows, err := s.filteredOf(ctx, &d, "")
		return slices.SortedFunc(maps.Keys(rows), func(a, b event.Filtered) int { return store.CompareFiltered(&a, &b) }), err
	})
}
