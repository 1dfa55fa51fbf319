package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// withLineage is false only where a benchmark tells what lineage costs.
var withLineage = true

// recordLineage stores what was observed, before the events: the days that it
// concerns are dirty then, those that are about to be written among them.
func (p *Pipeline) recordLineage(ctx context.Context, b lineage.Batch) error {
	if b.Empty() || !withLineage {
		return nil
	}
	if err := p.Store.RecordLineage(ctx, b); err != nil {
		return fmt.Errorf("record lineage: %w", err)
	}
	return nil
}

// issues keeps what a filtered event says of credentials that it issued, so that
// a chain isn't cut at it.
func (out *parsed) issues(e *event.Event) {
	if !withLineage || !lineage.Links(e) {
		return
	}
	out.observer().Observe(e, true)
}

func (out *parsed) observer() *lineage.Observer {
	if out.lineage == nil {
		out.lineage = lineage.NewObserver()
	}
	return out.lineage
}

// issuesByHead reports whether a record that is dropped by its head may issue
// credentials that chains need: a service taking a role. The sessions of its own roles, those linked to
// it, say themselves whose they are.
func issuesByHead(h *event.Head) bool {
	return h.EventSource == "sts.amazonaws.com" && h.EventName == "AssumeRole" && !h.Mentions(filter.ServiceRolePath)
}

// filler returns what sets the actors of a day's events: lake.Input.Fill. nodes
// are what it is known to need.
func (p *Pipeline) filler(ctx context.Context, nodes []lineage.Use) (func(*event.Event) error, error) {
	if !withLineage {
		return nil, nil
	}
	r := lineage.NewResolver(p.Store)
	if err := r.Warm(ctx, nodes); err != nil {
		return nil, err
	}
	return func(e *event.Event) error { return r.Fill(ctx, e) }, nil
}

// lineageKnown is the store's mark that all days were observed, with the version
// of what is observed.
const (
	lineageKey     = "lineage"
	lineageVersion = "2"
)

// learnLineage observes the days that were stored before this version of the
// program: once. The days whose actors it concerns become dirty. The caller holds
// the lease.
func (p *Pipeline) learnLineage(ctx context.Context) error {
	if p.learned.Load() {
		return nil
	}
	have, err := p.Store.Meta(ctx, lineageKey)
	if err != nil {
		return err
	}
	if have != lineageVersion {
		dates, err := p.Lake.Dates(ctx)
		if err != nil {
			return err
		}
		dirty, err := p.Store.DirtyDays(ctx)
		if err != nil {
			return err
		}
		for _, d := range dirty {
			dates = append(dates, d.Date)
		}
		slices.Sort(dates)
		for _, d := range slices.Compact(dates) {
			if err := p.observeDay(ctx, d); err != nil {
				return fmt.Errorf("learn who is behind the sessions of %v: %w", d, err)
			}
		}
		if err := p.Store.SetMeta(ctx, lineageKey, lineageVersion); err != nil {
			return err
		}
	}
	p.learned.Store(true)
	return nil
}

// observeDay records the lineage of a day in the lake, and of its hot rows.
func (p *Pipeline) observeDay(ctx context.Context, d event.Date) error {
	const enough = 20_000 // events for one transaction
	lost, err := p.losers(ctx)
	if err != nil {
		return err
	}
	drop, _, dropErr := p.dropper(ctx, d, lost)
	o, n := lineage.NewObserver(), 0
	for e, err := range mergeSeq(p.Lake.Events(ctx, d), p.Store.Day(ctx, d), (*event.Event).Compare) {
		if err != nil {
			return err
		}
		if drop != nil && drop(e.Key(), e.Version()) {
			continue // the next export drops it too
		}
		o.Observe(&e, false)
		if n++; n%enough == 0 {
			if err := p.recordLineage(ctx, o.Batch()); err != nil {
				return err
			}
		}
	}
	if *dropErr != nil {
		return *dropErr
	}
	return p.recordLineage(ctx, o.Batch())
}

// givenKey is the store's note of what GiveNames was given last: JSON of given.
const givenKey = "names_given"

type given struct {
	At    int64          `json:"at"` // ms since the epoch; grows
	Names []lineage.Name `json:"names"`
}

// GiveNames makes names those that are given for users, instead of those of the
// last call. With others than then, the days on which these users acted become
// dirty.
func (p *Pipeline) GiveNames(ctx context.Context, names []lineage.Name) error {
	text, err := p.Store.Meta(ctx, givenKey)
	if err != nil {
		return err
	}
	var before given
	if text != "" {
		if err := json.Unmarshal([]byte(text), &before); err != nil {
			return fmt.Errorf("read the names of users that were given: %w", err)
		}
	}
	// Of two names the later one counts, whatever the clock says.
	now := given{At: max(p.Now().UnixMilli(), before.At+1), Names: names}
	changed := lineage.Replace(before.Names, names, now.At)
	if len(changed) == 0 {
		return nil
	}
	note, err := json.Marshal(now)
	if err != nil {
		return err
	}
	// The names before the note: a crash in between gives them once more.
	if err := p.recordLineage(ctx, lineage.Batch{Names: changed}); err != nil {
		return err
	}
	return p.Store.SetMeta(ctx, givenKey, string(note))
}

// LearnNames keeps names that a directory gives. Those that are the newest of
// their node already change nothing.
func (p *Pipeline) LearnNames(ctx context.Context, names []lineage.Name) error {
	nodes := make([]string, len(names))
	for i := range names {
		nodes[i] = names[i].Node
	}
	known, err := p.Store.Lineage(ctx, nodes)
	if err != nil {
		return err
	}
	var b lineage.Batch
	for _, n := range names {
		var have lineage.Name
		for _, k := range known[n.Node].Names {
			if k.Source == n.Source && k.Last >= have.Last {
				have = k
			}
		}
		if have.Name != n.Name {
			n.First = max(p.Now().UnixMilli(), have.Last+1)
			n.Last = n.First
			b.Names = append(b.Names, n)
		}
	}
	return p.recordLineage(ctx, b)
}
