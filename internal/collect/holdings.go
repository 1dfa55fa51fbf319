package collect

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Holdings are all rows that a pipeline's store and lake have, to be read by somebody
// who changes neither, while others collect and export: a row that was stored before
// the listing is among them.
type Holdings struct {
	p        *Pipeline
	versions map[event.Date]string // of the lake's files
	waiting  map[event.Date]func(ctx context.Context, take taker) error
	losers   map[event.Date][]event.Event
}

// taker gets rows one by one.
type taker struct {
	event    func(*event.Event) error
	filtered func(*event.Filtered) error
}

// Holdings lists what is there. Rows that wait for the export are listed before the
// lake's files are, and are read before them: so what an exporter moves meanwhile is
// met in one place, or in both.
func (p *Pipeline) Holdings(ctx context.Context) (*Holdings, error) {
	h := &Holdings{p: p, waiting: map[event.Date]func(context.Context, taker) error{}, losers: map[event.Date][]event.Event{}}
	var err error
	if p.Inbox != nil {
		err = h.listInbox(ctx)
	} else {
		err = h.listHot(ctx)
	}
	if err != nil {
		return nil, err
	}
	for e, err := range p.Store.Conflicts(ctx) {
		if err != nil {
			return nil, err
		}
		h.losers[e.Date()] = append(h.losers[e.Date()], e)
	}
	if h.versions, err = p.Lake.DayVersions(ctx); err != nil {
		return nil, fmt.Errorf("list the lake: %w", err)
	}
	return h, nil
}

func (h *Holdings) listHot(ctx context.Context) error {
	days, err := h.p.Store.DirtyDays(ctx)
	if err != nil {
		return err
	}
	for _, d := range days {
		h.waiting[d.Date] = func(ctx context.Context, take taker) error {
			return each(h.p.Store.Day(ctx, d.Date), h.p.Store.DayFiltered(ctx, d.Date), take)
		}
	}
	return nil
}

func (h *Holdings) listInbox(ctx context.Context) error {
	var bad *inbox.Problem
	days, err := h.p.Inbox.ReadOnly().Days(ctx, func(p inbox.Problem) {
		if bad == nil {
			bad = &p
		}
	})
	broken := func() error {
		if bad == nil {
			return nil
		}
		return fmt.Errorf("the object %s, which waits for the exporter, can't be read: %s: run the exporter, which sets it aside, and try again", bad.Object, bad.Reason)
	}
	if err == nil {
		err = broken()
	}
	if err != nil {
		return err
	}
	for _, d := range days {
		h.waiting[d.Date] = func(ctx context.Context, take taker) error {
			for last := false; !last; {
				batch, err := d.Next(ctx, h.p.Lake)
				if err == nil {
					err = broken()
				}
				if err == nil {
					err = each(batch.Events, batch.Filtered, take)
				}
				if err != nil {
					return err
				}
				last = batch.Last
			}
			return nil
		}
	}
	return nil
}

// each passes rows on; nil sequences are none.
func each(events iter.Seq2[event.Event, error], filtered iter.Seq2[event.Filtered, error], take taker) error {
	if events != nil {
		for e, err := range events {
			if err != nil {
				return err
			}
			if err := take.event(&e); err != nil {
				return err
			}
		}
	}
	if filtered != nil {
		for f, err := range filtered {
			if err != nil {
				return err
			}
			if err := take.filtered(&f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Days returns the days of which there is anything, ascending.
func (h *Holdings) Days() []event.Date {
	days := map[event.Date]bool{}
	for d := range h.versions {
		days[d] = true
	}
	for d := range h.waiting {
		days[d] = true
	}
	for d := range h.losers {
		days[d] = true
	}
	return slices.Sorted(maps.Keys(days))
}

// Version is a text that changes whenever the day's files do; empty when rows of the
// day wait beside the files, or there are none.
func (h *Holdings) Version(d event.Date) string {
	if h.waiting[d] != nil {
		return ""
	}
	return h.versions[d]
}

// Losers is how many contents of the day are kept that lost to another of their event.
func (h *Holdings) Losers(d event.Date) int { return len(h.losers[d]) }

// refs are the contents that have lost.
func (h *Holdings) refs() map[store.ConflictRef]bool {
	refs := map[store.ConflictRef]bool{}
	for _, day := range h.losers {
		for i := range day {
			refs[store.RefOf(&day[i])] = true
		}
	}
	return refs
}

// read passes on the day's rows, in no order; one that lies in two places comes twice.
// It can be read once.
func (h *Holdings) read(ctx context.Context, d event.Date, take taker) error {
	if waiting := h.waiting[d]; waiting != nil {
		if err := waiting(ctx, take); err != nil {
			return err
		}
	}
	if h.p.NoLake {
		return h.readLosers(d, take)
	}
	if err := each(h.p.Lake.Events(ctx, d), h.p.Lake.Filtered(ctx, d), take); err != nil {
		return err
	}
	return h.readLosers(d, take)
}

func (h *Holdings) readLosers(d event.Date, take taker) error {
	for i := range h.losers[d] {
		if err := take.event(&h.losers[d][i]); err != nil {
			return err
		}
	}
	return nil
}

// store is where links and names are looked up.
func (h *Holdings) store() store.Store { return h.p.Store }
