package collect

import (
	"context"
	"errors"
	"fmt"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// classified is what a day's rows are, against all that is stored.
type classified struct {
	winners []event.Event // to store, in order
	hot     []event.Event // winners whose key has another content in the hot store
	losers  []event.Event // contents that lost to another one of their key
	facts   []rule.Fact
	dirty   []event.Date // other days that hold a content which lost now
	lineage lineage.Batch
	tally   tally
}

// known is the greatest content seen of a key.
type known struct {
	version event.Version
	at      int        // index in winners, or inLake, inHot
	date    event.Date // of inLake
	hot     bool       // the hot store has the key, in whatever content
	behind  bool       // the hot store has a lesser content than the lake
	old     bool       // winners[at] takes the place of a stored content
}

const (
	inLake = -1
	inHot  = -2
)

// classifier tells a day's events into new, duplicate and conflict.
type classifier struct {
	p        *Pipeline
	date     event.Date
	known    map[event.Key]known
	lost     map[store.ConflictRef]bool // losers of this run of classify
	beaten   map[event.Key]event.Event  // contents in the lake that are about to lose
	tell     func(event.Key, Outcome)   // never nil
	observer *lineage.Observer
	result   classified
}

// classify compares the day's events with each other, with the day in the lake,
// with the hot store, and with the other days of the lake, where the same id may
// stand with another time. The caller holds the lease; nothing is written.
func (p *Pipeline) classify(ctx context.Context, d *dayRows) (classified, error) {
	sortRows(d.events, (*event.Event).Compare)
	sortRows(d.filtered, compareFiltered)
	c := classifier{p: p, date: d.date, known: make(map[event.Key]known, len(d.events)), lost: map[store.ConflictRef]bool{}, tell: d.outcome, observer: lineage.NewObserver()}
	if c.tell == nil {
		c.tell = func(event.Key, Outcome) {}
	}
	if err := c.lookUp(ctx, d.events); err != nil {
		return classified{}, fmt.Errorf("look up the events of %s: %w", d.date, err)
	}
	c.result.winners = d.events[:0] // in place: what is written has been read
	c.result.tally.categories = map[string]int64{}
	for i := range d.events {
		if err := c.add(ctx, &d.events[i]); err != nil {
			return classified{}, fmt.Errorf("classify event %s: %w", d.events[i].EventID, err)
		}
	}
	c.finish()
	return c.result, nil
}

// lookUp fills known with what is stored.
func (c *classifier) lookUp(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	keys := make([]event.Key, len(events))
	for i := range events {
		keys[i] = events[i].Key()
	}
	inDay, err := c.p.Lake.Versions(ctx, c.date)
	if err != nil {
		return err
	}
	hot, err := c.p.Store.Find(ctx, keys)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if v, ok := inDay[k]; ok {
			c.known[k] = known{version: v, at: inLake, date: c.date}
		}
		if f, ok := hot[k]; ok {
			have, stored := c.known[k]
			if !stored || f.Version.Compare(have.version) > 0 {
				have = known{version: f.Version, at: inHot, date: f.Date}
			}
			have.hot, have.behind = true, f.Version.Compare(have.version) < 0
			c.known[k] = have
		}
	}
	// Keys that the day holds are asked for too: the day may hold a loser that
	// the next export will drop.
	elsewhere, err := c.p.Lake.Elsewhere(ctx, keys, c.date)
	if err != nil {
		return err
	}
	for k, places := range elsewhere {
		for _, place := range places {
			have, ok := c.known[k]
			if !ok || place.Version.Compare(have.version) > 0 {
				c.known[k] = known{version: place.Version, at: inLake, date: place.Date, hot: have.hot, behind: have.hot}
			}
		}
	}
	return c.readBeaten(ctx, events)
}

// readBeaten reads, day by day, what greater contents are about to take the place
// of: one at a time, thousands would each cost a pass over the keys of a day.
func (c *classifier) readBeaten(ctx context.Context, events []event.Event) error {
	days := map[event.Date]map[event.Key]bool{}
	for i := range events {
		k := events[i].Key()
		have, ok := c.known[k]
		if !ok || have.at != inLake || events[i].Version().Compare(have.version) <= 0 {
			continue
		}
		if days[have.date] == nil {
			days[have.date] = map[event.Key]bool{}
		}
		days[have.date][k] = true
	}
	c.beaten = map[event.Key]event.Event{}
	for date, keys := range days {
		if err := c.p.Lake.Pick(ctx, date, keys, func(e event.Event) { c.beaten[e.Key()] = e }); err != nil {
			return err
		}
	}
	return nil
}

func (c *classifier) add(ctx context.Context, e *event.Event) error {
	r := &c.result
	key, version := e.Key(), e.Version()
	have, ok := c.known[key]
	order := 1
	if ok {
		order = version.Compare(have.version)
	}
	switch {
	case order == 0:
		r.tally.duplicates++
		if have.behind {
			// It was exported from the inbox before it came into the hot store.
			r.hot = append(r.hot, *e)
			have.behind = false
			c.known[key] = have
		}
		// A store that was made anew beside an old lake lacks the findings.
		r.facts = append(r.facts, c.p.Rules.Evaluate(e)...)
		c.observer.Observe(e, false)
		return nil
	case order < 0:
		ref := store.ConflictRef{Key: key, Hash: version.Hash}
		if c.lost[ref] {
			r.tally.duplicates++
			return nil
		}
		before, err := c.p.Store.IsConflict(ctx, []store.ConflictRef{ref})
		if err != nil {
			return err
		}
		if before[ref] {
			r.tally.duplicates++
			return nil
		}
		r.tally.conflicts++
		c.tell(key, Conflicting)
		c.lose(*e)
		r.facts = append(r.facts, c.p.Rules.Evaluate(e)...)
		return nil
	case !ok:
		r.tally.stored++
		c.tell(key, Stored)
		c.known[key] = known{version: version, at: len(r.winners), date: c.date}
		r.winners = append(r.winners, *e)
	default: // a greater content than the one that is known
		r.tally.conflicts++
		c.tell(key, Conflicting)
		if have.at >= 0 {
			c.lose(r.winners[have.at])
			r.winners[have.at] = *e
			c.known[key] = known{version: version, at: have.at, date: c.date, hot: have.hot, old: have.old}
		} else {
			old, err := c.stored(ctx, key, have)
			if err != nil {
				return err
			}
			c.lose(old)
			if have.date != c.date {
				r.dirty = append(r.dirty, have.date)
			}
			c.known[key] = known{version: version, at: len(r.winners), date: c.date, hot: have.hot, old: true}
			r.winners = append(r.winners, *e)
		}
	}
	r.facts = append(r.facts, c.p.Rules.Evaluate(e)...)
	return nil
}

func (c *classifier) lose(e event.Event) {
	c.lost[store.ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}] = true
	c.result.losers = append(c.result.losers, e)
}

// stored reads a content that is about to lose.
func (c *classifier) stored(ctx context.Context, key event.Key, have known) (event.Event, error) {
	if have.at == inHot {
		return c.p.Store.Event(ctx, key)
	}
	if e, ok := c.beaten[key]; ok {
		return e, nil
	}
	return c.p.Lake.Event(ctx, key, have.date)
}

// finish derives what depends on the final winners.
func (c *classifier) finish() {
	r := &c.result
	t := &r.tally
	// A content that took another one's place may have another time.
	sortRows(r.winners, (*event.Event).Compare)
	for i := range r.winners {
		w := &r.winners[i]
		have := c.known[w.Key()]
		if have.hot {
			r.hot = append(r.hot, *w)
		}
		if have.old {
			continue // counted as a conflict, not as stored
		}
		if w.FilteredBy != "" {
			t.kept++
		}
		t.categories[w.Category]++
		if t.first == 0 || w.EventTime < t.first {
			t.first = w.EventTime
		}
		t.last = max(t.last, w.EventTime)
	}
	sortRows(r.hot, (*event.Event).Compare) // some are no winners
	for i := 0; i < len(r.winners) && withLineage; i++ {
		c.observer.Observe(&r.winners[i], false)
	}
	r.lineage = c.observer.Batch()
	// What a loser gave to whom is void. The names that it shows are not: else they
	// would be known only if it came before the winner.
	for i := 0; i < len(r.losers) && withLineage; i++ {
		c.observer.Observe(&r.losers[i], false)
	}
	lost := c.observer.Batch()
	lost.Void, lost.Links = lost.Links, nil
	r.lineage.Append(&lost)
}

// outranked reports whether a content that is a known loser may go: a greater
// one of its key is in the hot store or on another day. Without that check, a
// program killed after it recorded a loser, and before it stored the winner,
// would lose both.
func (p *Pipeline) outranked(ctx context.Context, key event.Key, v event.Version, day event.Date) (bool, error) {
	hot, err := p.Store.Find(ctx, []event.Key{key})
	if err != nil {
		return false, err
	}
	if f, ok := hot[key]; ok && f.Version.Compare(v) > 0 {
		return true, nil
	}
	places, err := p.Lake.Elsewhere(ctx, []event.Key{key}, day)
	if err != nil {
		return false, err
	}
	for _, place := range places[key] {
		if place.Version.Compare(v) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// dropper returns the lake.Input.Drop and Was of a day, and where they leave an
// error.
func (p *Pipeline) dropper(ctx context.Context, day event.Date, lost *losers) (drop func(event.Key, event.Version) bool, was func(event.Key) bool, failed *error) {
	failed = new(error)
	if lost == nil {
		return nil, nil, failed
	}
	drop = func(k event.Key, v event.Version) bool {
		if !lost.contents[store.ConflictRef{Key: k, Hash: v.Hash}] {
			return false
		}
		out, err := p.outranked(ctx, k, v, day)
		*failed = errors.Join(*failed, err)
		return out
	}
	return drop, func(k event.Key) bool { return lost.keys[keyOnDay{k, day}] }, failed
}
