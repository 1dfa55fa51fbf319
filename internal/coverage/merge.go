package coverage

import (
	"cmp"
	"strings"
)

// Merge adds what another ledger of the stream knows: a second is covered when either
// says so, at the greater level, and a gap for the reason that was found last. Merging
// in any order, and again, gives the same coverage. The totals are the greater ones,
// since both may have counted the same.
//
// Nothing of o may be claimed where its events aren't: the caller has stored them.
// What o's retention removed is not taken over as a gap for good; here it may still be
// read.
func (l *Ledger) Merge(o *Ledger) {
	for _, q := range o.covered {
		l.raise(q.Span, q.state)
	}
	l.covered = l.covered.coarsen()
	for _, n := range o.notes {
		if n.reason == Removed {
			continue
		}
		for _, q := range l.covered.within(n.Span) {
			if q.state != unread {
				continue
			}
			for _, have := range l.explain(q.Span) {
				if n.compare(&have) > 0 {
					l.setNote(have.Span, n)
				}
			}
		}
	}
	if o.Began != 0 {
		if l.Began == 0 {
			l.Began, l.Since = o.Began, o.Since
		}
		l.Began, l.Since = min(l.Began, o.Began), min(l.Since, o.Since)
		if o.lastRun(l) > 0 {
			l.Until, l.Ended, l.EndedWhy, l.LastError, l.LastErrorAt = o.Until, o.Ended, o.EndedWhy, o.LastError, o.LastErrorAt
		}
	}
	l.Requests, l.Events = max(l.Requests, o.Requests), max(l.Events, o.Events)
	l.Late, l.LateMax = max(l.Late, o.Late), max(l.LateMax, o.LateMax)
	l.credit, l.rate = max(l.credit, o.credit), max(l.rate, o.rate)
}

// compare ranks two reasons for one gap: what is for good comes first, then what was
// found last.
func (n *note) compare(o *note) int {
	final := func(n *note) int {
		if n.reason.final() {
			return 1
		}
		return 0
	}
	known := func(n *note) int {
		if n.reason == Pending {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(final(n), final(o)), cmp.Compare(known(n), known(o)), cmp.Compare(n.at, o.at),
		strings.Compare(string(n.reason), string(o.reason)), strings.Compare(n.detail, o.detail))
}

// lastRun ranks two ledgers by their last runs.
func (l *Ledger) lastRun(o *Ledger) int {
	return cmp.Or(cmp.Compare(l.Until, o.Until), cmp.Compare(l.LastErrorAt, o.LastErrorAt), strings.Compare(l.LastError, o.LastError),
		cmp.Compare(l.Ended, o.Ended), strings.Compare(l.EndedWhy, o.EndedWhy))
}

// Within is a copy of the ledger that promises and claims nothing outside of a span.
func (l *Ledger) Within(s Span) *Ledger {
	c := *l
	c.covered, c.notes = nil, nil
	for _, q := range l.covered {
		if q.Span = q.Cut(s); !q.Empty() {
			c.covered = append(c.covered, q)
		}
	}
	for _, n := range l.notes {
		if n.Span = n.Cut(s); !n.Empty() {
			c.notes = append(c.notes, n)
		}
	}
	if c.Began != 0 {
		c.Since, c.Until = min(max(c.Since, s.From), s.To), max(min(c.Until, s.To), s.From)
	}
	return &c
}

// Disclaim takes back what is claimed of a span, and says nothing of why.
func (l *Ledger) Disclaim(s Span) { l.covered = l.covered.clear(s) }

// Gained counts the intervals of o that merging it would cover, or at a greater level.
func (l *Ledger) Gained(o *Ledger) (n int) {
	for _, c := range o.Covered(Span{0, 1 << 50}) {
		if l.Level(c.Span) < c.Level {
			n++
		}
	}
	return n
}
