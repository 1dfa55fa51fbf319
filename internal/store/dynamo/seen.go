package dynamo

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"github.com/iamtrack/iamtrack/internal/event"
)

// What was seen on a day leads to the days to read: pk "seen" and the month, sk the
// date and a digest; b kinds and values. They are written before the events, so that
// none is missed; one too many does no harm.

// Kinds of what is seen.
const (
	SeenKey     = iota // Event.AccessKeyID
	SeenAddress        // Event.SourceIP
	SeenAccount        // Event.AccountID
	SeenTarget         // Event.TargetName, else Event.TargetARN
	seenKinds
)

func seenPK(month string) string { return join("seen", month) }

// seenOf is what there is to see of an event, by kind; "": nothing.
func seenOf(e *event.Event) (values [seenKinds]string) {
	target := e.TargetName
	if target == "" {
		target = e.TargetARN
	}
	return [seenKinds]string{e.AccessKeyID, e.SourceIP, e.AccountID, target}
}

func seenName(kind int, value string) string { return string(rune('0'+kind)) + value }

// putSeen notes what is seen in the events to write.
func (s *Store) putSeen(ctx context.Context, writes []planned) error {
	fresh := map[event.Date]map[string]bool{}
	latest := map[event.Date]int64{}
	for _, w := range writes {
		date := w.e.Date()
		day := "seen " + dateKey(date)
		if !s.seen.has(day) {
			var names []string
			if err := s.someSeen(ctx, monthOf(date), between{prefix: dateKey(date)}, func(_ event.Date, name string) { names = append(names, name) }); err != nil {
				return err
			}
			s.seen.fill(day, names)
		}
		for kind, value := range seenOf(w.e) {
			if name := seenName(kind, value); value != "" && !s.seen.knows(day, name) {
				if fresh[date] == nil {
					fresh[date] = map[string]bool{}
				}
				fresh[date][name] = true
				latest[date] = max(latest[date], w.e.EventTime)
			}
		}
	}
	var items []item
	for date, names := range fresh {
		var p packer
		p.columns = make([][]byte, 1)
		for _, n := range slices.Sorted(maps.Keys(names)) {
			p.text(0, n)
		}
		packed := p.bytes()
		it := key{seenPK(monthOf(date)), join(dateKey(date), digest(string(packed)))}.item()
		s.expires(it, latest[date])
		if err := s.store(ctx, "seen", it, packed); err != nil {
			return err
		}
		items = append(items, it)
	}
	if err := s.writeAll(ctx, items, nil); err != nil {
		return err
	}
	for date, names := range fresh {
		for n := range names {
			s.seen.add("seen "+dateKey(date), n)
		}
	}
	return nil
}

func (s *Store) someSeen(ctx context.Context, month string, b between, take func(date event.Date, name string)) error {
	for it, err := range s.query(ctx, seenPK(month), b) {
		if err != nil {
			return err
		}
		packed, err := s.load(ctx, it)
		if err != nil {
			return err
		}
		u, err := unpack(packed, 1)
		if err != nil {
			return s.damaged(keyOf(it), err.Error())
		}
		date := dateOf(getString(it, "sk")[:len(dateKey(0))])
		for u.more(0) {
			take(date, u.text(0))
		}
		if u.bad {
			return s.damaged(keyOf(it), "it can't be read")
		}
	}
	return nil
}

// Seen returns the days, of those from since to until, on which an event may have had
// a value: all on which one had it, ascending. kind is one of the Seen constants.
func (s *Store) Seen(ctx context.Context, kind int, value string, since, until event.Date) (days []event.Date, err error) {
	name := seenName(kind, value)
	err = s.read(ctx, func(ctx context.Context) error {
		days = nil
		for from := since; from <= until; {
			to := from
			for to < until && monthOf(to+1) == monthOf(from) {
				to++
			}
			if err := s.someSeen(ctx, monthOf(from), between{from: dateKey(from), to: dateKey(to) + "~"}, func(date event.Date, n string) {
				if n == name {
					days = append(days, date)
				}
			}); err != nil {
				return err
			}
			from = to + 1
		}
		slices.Sort(days)
		days = slices.Compact(days)
		return nil
	})
	return days, err
}

// seenCache remembers names by day, so that they aren't written again and again. It
// may lack some: what is packed may stand in several items.
type seenCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	days map[string]map[uint64]bool
}

// mostDays is how many days are remembered; a collection works on few at a time.
const mostDays = 400

func (c *seenCache) has(day string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.days[day] != nil
}

func (c *seenCache) fill(day string, names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.days == nil || len(c.days) > mostDays {
		c.seed, c.days = maphash.MakeSeed(), map[string]map[uint64]bool{}
	}
	c.days[day] = make(map[uint64]bool, len(names))
	for _, n := range names {
		c.days[day][maphash.String(c.seed, n)] = true
	}
}

func (c *seenCache) knows(day, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.days[day] != nil && c.days[day][maphash.String(c.seed, name)]
}

func (c *seenCache) add(day, name string) {
	if !c.has(day) {
		c.fill(day, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.days[day]; d != nil {
		d[maphash.String(c.seed, name)] = true
	}
}
