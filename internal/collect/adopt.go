package collect

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// LinkDays is for how many days after credentials were given events of another place
// are looked at that may use them: sessions last 36 hours at most.
//
// Source: AWS STS API Reference, GetSessionToken and GetFederationToken.
const LinkDays = 2

// AdoptOptions say what to adopt.
type AdoptOptions struct {
	// Since and Until bound event times, [Since, Until), in ms since the epoch;
	// Until 0: no end.
	Since, Until int64
	// DryRun: nothing is written; what would be new is counted.
	DryRun bool
	// Again are ids of events that go through the rules although they are known here,
	// which finds what a store that was made anew beside its lake lacks.
	Again map[string]bool
	// MemoryBytes bounds the rows held before they are written; 0: 64 MiB.
	MemoryBytes int64
	// Stored, when set, is called when all rows of some days are durable.
	Stored func(ctx context.Context, days []event.Date) error
	// Progress, when set, is called after each day was read.
	Progress func(done, total int)
}

// Adopted counts what Adopt did.
type Adopted struct {
	Days      int   `json:"days"` // looked at
	New       int64 `json:"new"`
	Known     int64 `json:"known"`
	Conflicts int64 `json:"conflicts"` // contents kept beside another one of their event, new here
	Filtered  int64 `json:"filtered"`  // filtered rows, new here
	Alerts    int   `json:"alerts"`    // that the new events made
}

// Adopt stores what another pipeline has of some days, so that this one then has the
// union: by key, the greater content wins, the other is kept as a conflict. Events are
// parsed anew from their records and go through this pipeline's rules, not through its
// filter: what the other filtered stays filtered unless it is an event here. Links and
// names of credentials that its events rest on come along. Rows go straight into the
// day files. It may be interrupted anywhere and repeated; with nothing new it writes
// nothing.
func (p *Pipeline) Adopt(ctx context.Context, from *Holdings, days []event.Date, o AdoptOptions) (Adopted, error) {
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultMemory
	}
	a := &adopter{p: p, from: from, o: o, parser: event.NewParser(), nodes: map[event.Date]map[string]bool{}}
	if len(days) == 0 {
		return a.sum, nil
	}
	var err error
	if a.here, err = p.Holdings(ctx); err != nil {
		return a.sum, err
	}
	a.lost = a.here.refs()
	for i, d := range days {
		if ctx.Err() != nil {
			return a.sum, context.Cause(ctx)
		}
		if err := a.day(ctx, d); err != nil {
			return a.sum, fmt.Errorf("take over %v: %w", d, err)
		}
		a.sum.Days++
		if o.Progress != nil {
			o.Progress(i+1, len(days))
		}
	}
	return a.sum, a.flush(ctx)
}

// adopter is one run of Adopt.
type adopter struct {
	p      *Pipeline
	from   *Holdings
	o      AdoptOptions
	parser *event.Parser
	sum    Adopted

	held  heap
	whole []event.Date // read to their end, and not yet told of

	here  *Holdings                      // what was here before
	lost  map[store.ConflictRef]bool     // contents that are known here to have lost
	nodes map[event.Date]map[string]bool // that its events of a day use

	// of the day at hand
	date     event.Date
	have     map[event.Key]event.Version // events here, and those taken
	filtered map[event.Filtered]bool
	observer *lineage.Observer
}

func (a *adopter) within(ms int64) bool {
	return ms >= a.o.Since && (a.o.Until == 0 || ms < a.o.Until)
}

// day gathers what is new of a day.
func (a *adopter) day(ctx context.Context, d event.Date) error {
	if err := fault.At("adopt.day.before"); err != nil {
		return err
	}
	a.date, a.observer = d, lineage.NewObserver()
	if err := a.lookUp(ctx); err != nil {
		return err
	}
	var events []event.Event
	var filtered []event.Filtered
	put := func() error {
		err := a.take(ctx, events, filtered)
		events, filtered = nil, nil
		return err
	}
	err := a.from.read(ctx, d, taker{
		event: func(e *event.Event) error {
			if !a.within(e.EventTime) {
				return nil
			}
			a.observer.Observe(e, false)
			if v, ok := a.have[e.Key()]; !a.o.Again[e.EventID] && (ok && v == e.Version() || a.lost[store.RefOf(e)]) {
				a.sum.Known++
				return nil
			}
			if events = append(events, *e); len(events) < copyRows {
				return nil
			}
			return put()
		},
		filtered: func(f *event.Filtered) error {
			if !a.within(f.EventTime) || a.filtered[*f] {
				return nil
			}
			if filtered = append(filtered, *f); len(filtered) < copyRows {
				return nil
			}
			return put()
		},
	})
	if err == nil {
		err = put()
	}
	if err == nil {
		err = a.links(ctx)
	}
	if err != nil {
		return err
	}
	if day := a.held.days[d]; day != nil {
		day.complete = true
	}
	a.whole = append(a.whole, d)
	if a.held.size >= a.o.MemoryBytes {
		return a.flush(ctx)
	}
	return nil
}

// lookUp reads what is here of the day.
func (a *adopter) lookUp(ctx context.Context) (err error) {
	a.have, a.filtered = nil, map[event.Filtered]bool{}
	if !a.p.NoLake {
		if a.have, err = a.p.Lake.Versions(ctx, a.date); err != nil {
			return err
		}
		for f, err := range a.p.Lake.Filtered(ctx, a.date) {
			if err != nil {
				return err
			}
			a.filtered[f] = true
		}
	}
	if a.have == nil {
		a.have = map[event.Key]event.Version{}
	}
	return nil
}

// take holds rows that the day's files here don't have, unless they wait here for the
// export.
func (a *adopter) take(ctx context.Context, events []event.Event, filtered []event.Filtered) error {
	var hot map[event.Key]store.Found
	var known map[event.Filtered]bool
	// Else the day's files have all that is here, and a table need not be asked.
	if a.here.waiting[a.date] != nil {
		keys := make([]event.Key, len(events))
		for i := range events {
			keys[i] = events[i].Key()
		}
		var err error
		if hot, err = a.p.Store.Find(ctx, keys); err != nil {
			return err
		}
		if known, err = a.p.Store.FindFiltered(ctx, filtered); err != nil {
			return err
		}
	}
	out := parsed{}
	for i := range events {
		e := &events[i]
		k, v := e.Key(), e.Version()
		if f, ok := hot[k]; !a.o.Again[e.EventID] && (ok && f.Version == v || a.have[k] == v || a.lost[store.RefOf(e)]) {
			a.sum.Known++
			continue
		}
		if a.o.DryRun {
			_, known := a.have[k]
			if _, waits := hot[k]; known || waits {
				a.sum.Conflicts++
			} else {
				a.sum.New++
			}
		} else {
			fresh, err := a.again(e)
			if err != nil {
				return err
			}
			out.events = append(out.events, fresh)
		}
		if v.Compare(a.have[k]) > 0 {
			a.have[k] = v
		}
	}
	for _, f := range filtered {
		// An event of the key here takes the place of the row.
		if _, event := a.have[f.Key()]; event || known[f] || a.filtered[f] {
			continue
		}
		a.filtered[f] = true
		a.sum.Filtered++
		if !a.o.DryRun {
			out.filtered = append(out.filtered, f)
		}
	}
	a.held.add(&out)
	if day := a.held.days[a.date]; day != nil {
		day.direct = true
	}
	if a.held.size >= 2*a.o.MemoryBytes { // one large day
		return a.flush(ctx)
	}
	return nil
}

// again is an event as it would come from its source: without the actors that another
// lake resolved.
func (a *adopter) again(e *event.Event) (event.Event, error) {
	raw, err := e.Record()
	if err != nil {
		return event.Event{}, fmt.Errorf("read event %s again: %w", e.EventID, err)
	}
	fresh, err := a.parser.Parse(raw)
	if err != nil {
		return event.Event{}, fmt.Errorf("read event %s again: %w", e.EventID, err)
	}
	fresh.FilteredBy = e.FilteredBy
	return fresh, nil
}

// links takes over what the day's events rest on, beyond what they say themselves:
// links of events that were filtered, and names that somebody gave.
func (a *adopter) links(ctx context.Context) error {
	if a.o.DryRun || !withLineage {
		return nil
	}
	nodes := map[string]bool{}
	for _, u := range a.observer.Batch().Uses {
		nodes[u.Node] = true
	}
	// What is used here may have been given by an event that only the other side read.
	for d := a.date; d <= a.date+LinkDays; d++ {
		here, err := a.used(ctx, d)
		if err != nil {
			return err
		}
		maps.Copy(nodes, here)
	}
	maps.DeleteFunc(a.nodes, func(d event.Date, _ map[string]bool) bool { return d <= a.date })
	if len(nodes) == 0 {
		return nil
	}
	used := slices.Sorted(maps.Keys(nodes))
	links := map[linkID]lineage.Link{}
	issued, err := a.from.store().Issued(ctx, used)
	if err != nil {
		return err
	}
	for _, l := range issued {
		links[idOf(&l)] = l
	}
	var names []lineage.Name
	// Up to the roots.
	for hops := 0; len(used) > 0 && hops <= lineage.MaxHops; hops++ {
		known, err := a.from.store().Lineage(ctx, used)
		if err != nil {
			return err
		}
		used = nil
		next := func(node string) {
			if node != "" && !nodes[node] {
				nodes[node] = true
				used = append(used, node)
			}
		}
		for _, k := range known {
			names = append(names, k.Names...)
			for _, l := range k.Links {
				links[idOf(&l)] = l
				next(l.Parent)
				for _, hop := range l.Chain {
					next(hop.Node)
				}
			}
		}
		slices.Sort(used)
	}
	return a.keepLinks(ctx, links, names)
}

// used returns the nodes that the events of a day that were here use.
func (a *adopter) used(ctx context.Context, d event.Date) (map[string]bool, error) {
	if have := a.nodes[d]; have != nil {
		return have, nil
	}
	o := lineage.NewObserver()
	if a.here.versions[d] != "" || a.here.waiting[d] != nil {
		err := a.here.read(ctx, d, taker{
			event:    func(e *event.Event) error { o.Observe(e, false); return nil },
			filtered: func(*event.Filtered) error { return nil },
		})
		if err != nil {
			return nil, err
		}
	}
	nodes := map[string]bool{}
	for _, u := range o.Batch().Uses {
		nodes[u.Node] = true
	}
	a.nodes[d] = nodes
	return nodes, nil
}

// linkID tells contents of links apart.
type linkID struct {
	node, account, event string
	version              event.Version
}

func idOf(l *lineage.Link) linkID { return linkID{l.Node, l.AccountID, l.EventID, l.Version} }

// keepLinks holds the links that aren't known here, and records the names.
func (a *adopter) keepLinks(ctx context.Context, links map[linkID]lineage.Link, names []lineage.Name) error {
	nodes := map[string]bool{}
	for id := range links {
		nodes[id.node] = true
	}
	for _, n := range names {
		nodes[n.Node] = true
	}
	known, err := a.p.Store.Lineage(ctx, slices.Sorted(maps.Keys(nodes)))
	if err != nil {
		return err
	}
	for _, k := range known {
		for i := range k.Links {
			delete(links, idOf(&k.Links[i]))
		}
	}
	if err := a.dropVoid(ctx, links); err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n lineage.Name) bool {
		return slices.ContainsFunc(known[n.Node].Names, func(have lineage.Name) bool {
			return have.Source == n.Source && have.Name == n.Name && have.First <= n.First && have.Last >= n.Last
		})
	})
	if len(names) > 0 {
		if err := a.p.recordLineage(ctx, lineage.Batch{Names: names}); err != nil {
			return err
		}
	}
	for _, l := range links {
		a.held.issued = append(a.held.issued, l)
	}
	a.held.size += int64(len(links)) * linkSize
	return nil
}

// dropVoid takes away links of contents that lost here, of which the other side may not
// know.
func (a *adopter) dropVoid(ctx context.Context, links map[linkID]lineage.Link) error {
	if len(links) == 0 {
		return nil
	}
	keys := make([]event.Key, 0, len(links))
	for id := range links {
		keys = append(keys, event.Key{AccountID: id.account, EventID: id.event})
	}
	outranked := func(event.Key, event.Version) bool { return false }
	if a.o.Since != 0 || a.o.Until != 0 {
		// The event itself may lie outside, and not come along to lose.
		var err error
		if outranked, err = a.greater(ctx, keys); err != nil {
			return err
		}
	}
	maps.DeleteFunc(links, func(id linkID, _ lineage.Link) bool {
		k := event.Key{AccountID: id.account, EventID: id.event}
		return a.lost[store.ConflictRef{Key: k, Hash: id.version.Hash}] || outranked(k, id.version)
	})
	return nil
}

// greater tells whether there is a greater content of an event here.
func (a *adopter) greater(ctx context.Context, keys []event.Key) (func(event.Key, event.Version) bool, error) {
	hot, err := a.p.Store.Find(ctx, keys)
	if err != nil {
		return nil, err
	}
	const noDay = event.Date(math.MinInt32)
	places, err := a.p.Lake.Elsewhere(ctx, keys, noDay)
	if err != nil {
		return nil, err
	}
	return func(k event.Key, v event.Version) bool {
		return hot[k].Version.Compare(v) > 0 || slices.ContainsFunc(places[k], func(p lake.Place) bool { return p.Version.Compare(v) > 0 })
	}, nil
}

// flush makes durable what is held.
func (a *adopter) flush(ctx context.Context) error {
	part := &part{issued: a.held.issued}
	part.tally.categories = map[string]int64{}
	for _, d := range a.held.days {
		part.days = append(part.days, d)
	}
	slices.SortFunc(part.days, func(a, b *dayRows) int { return int(a.date) - int(b.date) })
	a.held = heap{}
	if len(part.days)+len(part.issued) > 0 {
		err := a.p.withLease(ctx, true, func(ctx context.Context) error {
			if err := a.p.learnLineage(ctx); err != nil {
				return err
			}
			dirty, err := a.p.dirtySet(ctx)
			if err != nil {
				return err
			}
			return a.p.writeDays(ctx, part, dirty)
		})
		a.sum.New += part.tally.stored
		a.sum.Conflicts += part.tally.conflicts
		a.sum.Known += part.tally.duplicates
		a.sum.Alerts += part.tally.alerts
		if err != nil {
			return err
		}
		if part.tally.conflicts > 0 {
			if err := a.relearn(ctx); err != nil {
				return err
			}
		}
	}
	whole := a.whole
	a.whole = nil
	if err := fault.At("adopt.day.after"); err != nil {
		return err
	}
	if len(whole) > 0 && a.o.Stored != nil {
		return a.o.Stored(ctx, whole)
	}
	return nil
}

// relearn reads which contents have lost by now.
func (a *adopter) relearn(ctx context.Context) error {
	for e, err := range a.p.Store.Conflicts(ctx) {
		if err != nil {
			return err
		}
		a.lost[store.RefOf(&e)] = true
	}
	return nil
}
