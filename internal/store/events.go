package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
)

var (
	eventsByKey = lookup{
		table: "events", by: []string{"account_id", "event_id"},
		columns: "t.event_date, t.version_major, t.version_minor, t.record_hash",
	}

	filteredByRow = lookup{
		table:   "filtered",
		by:      []string{"event_date", "account_id", "event_time_ms", "event_id", "aws_region", "event_source", "event_name", "reason"},
		columns: "1",
	}

	insertEvents = inserting{
		into:    "events (account_id, event_id, event_date, event_time_ms, version_major, version_minor, record_hash, event)",
		columns: 8,
		// A row that is there was found to rank lower.
		end: `ON CONFLICT DO UPDATE SET event_date = excluded.event_date, event_time_ms = excluded.event_time_ms,
			version_major = excluded.version_major, version_minor = excluded.version_minor,
			record_hash = excluded.record_hash, event = excluded.event`,
	}
	insertFiltered = inserting{
		into:    "filtered (event_date, account_id, event_time_ms, event_id, aws_region, event_source, event_name, reason)",
		columns: 8,
		end:     "ON CONFLICT DO NOTHING",
	}
)

// put is one Put under way: first every row's fate is decided in memory, then
// it is written.
type put struct {
	tx     *writer
	events []event.Event
	known  map[event.Key]standing
	dirty  map[event.Date]bool
	losers []*event.Event // contents of this Put that lost
	plain  []byte         // encoding's scratch space
}

// standing is the content that ranks highest so far.
type standing struct {
	version event.Version
	date    event.Date
	at      int // index in put.events; -1: the stored one
}

// Put implements Store.
func (s *sqlite) Put(ctx context.Context, events []event.Event, filtered []event.Filtered) error {
	return s.write(ctx, "put", "put events", func(tx *writer) error {
		p := &put{tx: tx, events: events, known: make(map[event.Key]standing, len(events)), dirty: map[event.Date]bool{}}
		keys := make([]event.Key, len(events))
		for i := range events {
			keys[i] = events[i].Key()
		}
		if err := findEvents(tx.each, keys, func(k event.Key, f Found) {
			p.known[k] = standing{version: f.Version, date: f.Date, at: -1}
		}); err != nil {
			return err
		}
		if err := p.rank(); err != nil {
			return err
		}
		if err := p.putEvents(); err != nil {
			return err
		}
		if err := p.putFiltered(filtered); err != nil {
			return err
		}
		return tx.markDirty(p.dirty)
	})
}

// rank decides which contents stay and moves stored ones that lost to the
// conflicts.
func (p *put) rank() error {
	for i := range p.events {
		e := &p.events[i]
		key, version := e.Key(), e.Version()
		have, ok := p.known[key]
		switch {
		case ok && version.Hash == have.version.Hash:
			continue
		case ok && version.Compare(have.version) < 0:
			p.losers = append(p.losers, e)
			continue
		case ok && have.at >= 0:
			p.losers = append(p.losers, &p.events[have.at])
		case ok:
			p.dirty[have.date] = true
			ref := ConflictRef{Key: key, Hash: have.version.Hash}
			if _, err := p.tx.displace(ref); err != nil {
				return err
			}
		}
		p.dirty[e.Date()] = true
		p.known[key] = standing{version: version, date: e.Date(), at: i}
	}
	return nil
}

func (p *put) putEvents() error {
	for _, e := range p.losers {
		isNew, err := p.tx.addConflict(e, &p.plain)
		if err != nil {
			return err
		}
		if isNew {
			p.dirty[e.Date()] = true
		}
	}
	winners := make([]int, 0, len(p.events))
	for i := range p.events {
		if p.known[p.events[i].Key()].at == i {
			winners = append(winners, i)
		}
	}
	// Ids are random: in order, each page of their index is touched once.
	slices.SortFunc(winners, func(a, b int) int { return p.events[a].Key().Compare(p.events[b].Key()) })
	// The blobs of one statement's rows share this space.
	blobs := make([]byte, 0, 64<<10)
	return p.tx.insert(&insertEvents, len(winners), func(args []any, n int) []any {
		e := &p.events[winners[n]]
		v := e.Version()
		if len(args) == 0 {
			blobs = blobs[:0]
		}
		start := len(blobs)
		blobs, p.plain = encodeEvent(blobs, p.plain, e)
		return append(args, e.AccountID, e.EventID, int64(e.Date()), e.EventTime, v.Major, v.Minor, e.RecordHash, blobs[start:len(blobs):len(blobs)])
	})
}

// putFiltered adds the rows that aren't there, day by day: only the count of a
// statement's new rows tells which days changed.
func (p *put) putFiltered(filtered []event.Filtered) error {
	// In the table's order, so that each page is touched once.
	rows := make([]*event.Filtered, len(filtered))
	for i := range filtered {
		rows[i] = &filtered[i]
	}
	slices.SortFunc(rows, func(a, b *event.Filtered) int { return cmp.Or(cmp.Compare(a.Date(), b.Date()), CompareFiltered(a, b)) })
	for len(rows) > 0 {
		date := rows[0].Date()
		n := 1
		for n < len(rows) && rows[n].Date() == date {
			n++
		}
		added, err := p.tx.insertCounting(&insertFiltered, n, func(args []any, i int) []any {
			f := rows[i]
			return append(args, int64(date), f.AccountID, f.EventTime, f.EventID, f.AWSRegion, f.EventSource, f.EventName, f.Reason)
		})
		if err != nil {
			return err
		}
		if added > 0 {
			p.dirty[date] = true
		}
		rows = rows[n:]
	}
	return nil
}

func findEvents(each eachFunc, keys []event.Key, found func(event.Key, Found)) error {
	var date, hash int64
	var major, minor int
	return eventsByKey.find(each, len(keys), func(args []any, i int) []any {
		return append(args, keys[i].AccountID, keys[i].EventID)
	}, []any{&date, &major, &minor, &hash}, func(i int) {
		found(keys[i], Found{Date: event.Date(date), Version: event.Version{Major: major, Minor: minor, Hash: uint64(hash)}})
	})
}

// Find implements Store.
func (s *sqlite) Find(ctx context.Context, keys []event.Key) (map[event.Key]Found, error) {
	found := map[event.Key]Found{}
	err := findEvents(s.reading(ctx, "find events"), keys, func(k event.Key, f Found) { found[k] = f })
	return found, err
}

// FindFiltered implements Store.
func (s *sqlite) FindFiltered(ctx context.Context, rows []event.Filtered) (map[event.Filtered]bool, error) {
	found := map[event.Filtered]bool{}
	var one int64
	err := filteredByRow.find(s.reading(ctx, "find filtered events"), len(rows), func(args []any, i int) []any {
		f := &rows[i]
		return append(args, int64(f.Date()), f.AccountID, f.EventTime, f.EventID, f.AWSRegion, f.EventSource, f.EventName, f.Reason)
	}, []any{&one}, func(i int) { found[rows[i]] = true })
	return found, err
}

// reading is read as an eachFunc.
func (s *sqlite) reading(ctx context.Context, op string) eachFunc {
	return func(query string, args []any, row func(scan func(...any) error) error) error {
		return s.read(ctx, op, query, args, row)
	}
}

// Event implements Store.
func (s *sqlite) Event(ctx context.Context, key event.Key) (e event.Event, err error) {
	found := false
	err = s.read(ctx, "read event", "SELECT event FROM events WHERE account_id = ? AND event_id = ?", []any{key.AccountID, key.EventID},
		func(scan func(...any) error) error {
			var scratch []byte
			found = true
			e, err = scanEvent(&scratch)(scan)
			return err
		})
	if err == nil && !found {
		err = notFoundEvent(key)
	}
	return e, err
}

// Day implements Store.
func (s *sqlite) Day(ctx context.Context, date event.Date) iter.Seq2[event.Event, error] {
	return s.events(ctx, "read the events of "+date.String(),
		`SELECT event FROM events INDEXED BY events_by_day WHERE event_date = ?
		 ORDER BY account_id, event_time_ms, event_id`, int64(date))
}

// events streams a query's only column, of events.
func (s *sqlite) events(ctx context.Context, op, query string, args ...any) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		var scratch []byte
		stream(ctx, s, op, query, args, scanEvent(&scratch))(yield)
	}
}

func scanEvent(scratch *[]byte) func(scan func(...any) error) (event.Event, error) {
	var blob sql.RawBytes
	return func(scan func(...any) error) (e event.Event, err error) {
		if err := scan(&blob); err != nil {
			return e, err
		}
		e, *scratch, err = decodeEvent(blob, *scratch)
		if errors.Is(err, errBlob) {
			err = errors.Join(ErrDamaged, err)
		}
		return e, err
	}
}

// DayFiltered implements Store.
func (s *sqlite) DayFiltered(ctx context.Context, date event.Date) iter.Seq2[event.Filtered, error] {
	return stream(ctx, s, "read the filtered events of "+date.String(),
		`SELECT event_id, event_time_ms, account_id, aws_region, event_source, event_name, reason
		 FROM filtered WHERE event_date = ?
		 ORDER BY account_id, event_time_ms, event_id, aws_region, event_source, event_name, reason`, []any{int64(date)},
		func(scan func(...any) error) (f event.Filtered, err error) {
			err = scan(&f.EventID, &f.EventTime, &f.AccountID, &f.AWSRegion, &f.EventSource, &f.EventName, &f.Reason)
			return f, err
		})
}
