package coverage

import (
	"cmp"
	"slices"
)

// Kind is why a task is due; tasks are done in this order.
type Kind int

// Kinds of tasks.
const (
	Newest   Kind = iota // what the last 24 hours lack
	Expiring             // what CloudTrail drops within a day
	Reread               // what was read too early to be complete
	Backfill             // older gaps
)

// Task is a stretch to read.
type Task struct {
	Stream Stream
	Kind   Kind
	// Span is what to ask for and Need what must be read of it: see Slice.
	Span, Need Span
}

const (
	perPage = 50 // events, at most, that LookupEvents returns
	// newestFirst is how many seconds come before everything else.
	newestFirst = 24 * hour
	// expiresSoon is how many seconds before CloudTrail drops it a gap is urgent.
	expiresSoon = 24 * hour
	// settleBatch pages are re-read at once after 24 hours, or what there is
	// after settleAtLast: a page that is half full is a request all the same.
	settleBatch  = 20
	settleAtLast = 36 * hour
)

// Plan returns what to read at now, in order: by kind, then by source as rank
// says, then newest first. Begin must have been called for the run.
//
// A first request asks for all that a stream lacks, since most streams are nearly
// empty and one answer settles them; so what the tasks of kind Newest read beyond
// their need is not known yet: plan again when they are done, and take those only
// from the first plan.
func Plan(now int64, ledgers []*Ledger) []Task {
	var tasks []Task
	for _, l := range ledgers {
		tasks = append(tasks, l.plan(now)...)
	}
	slices.SortStableFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(rank(a.Stream.Source), rank(b.Stream.Source)),
			cmp.Compare(b.Need.To, a.Need.To), a.Stream.Compare(b.Stream))
	})
	return tasks
}

func (l *Ledger) plan(now int64) []Task {
	reach := Span{max(now-Kept, l.Began-Kept), min(now, l.Until)}
	var tasks []Task
	add := func(kind Kind, span, need Span) {
		if !need.Empty() {
			tasks = append(tasks, Task{l.Stream, kind, span, need})
		}
	}
	recent := Span{max(now-newestFirst, reach.From), reach.To}
	urgent := min(now-Kept+expiresSoon, recent.From)
	wanted := l.unread(reach)
	lowest := l.lowestDue(reach, now)
	for _, gap := range wanted {
		if top := gap.Cut(recent); !top.Empty() {
			span := Span{min(lowest, top.From), top.To}
			need := top
			if top.To == reach.To {
				need.From = l.downTo(top, now)
			}
			add(Newest, span, need)
		}
		old := gap.Cut(Span{reach.From, recent.From})
		add(Expiring, old.Cut(Span{reach.From, urgent}), old.Cut(Span{reach.From, urgent}))
		add(Backfill, old.Cut(Span{urgent, recent.From}), old.Cut(Span{urgent, recent.From}))
	}
	for _, due := range append(l.settleDue(reach, now), l.hourDue(reach, now)) {
		add(Reread, due, due)
	}
	return tasks
}

// unread returns what of a span isn't covered, or lost for good.
func (l *Ledger) unread(s Span) []Span {
	var out []Span
	for _, q := range l.covered.within(s) {
		if q.state != unread {
			continue
		}
		for _, n := range l.explain(q.Span) {
			if n.reason.final() {
				continue
			}
			if i := len(out) - 1; i >= 0 && out[i].To == n.From {
				out[i].To = n.To
				continue
			}
			out = append(out, n.Span)
		}
	}
	return out
}

// lowestDue is the oldest second whose reading now would add something.
func (l *Ledger) lowestDue(s Span, now int64) int64 {
	for _, q := range l.covered.within(s) {
		switch {
		case q.state == unread:
			if open := l.unread(q.Span); len(open) > 0 {
				return open[0].From
			}
		case q.state < stateAt(now-q.From-1):
			return q.From
		}
	}
	return s.To
}

// stateAt is to which state a reading brings a second that ended so long before.
func stateAt(age int64) state {
	for _, a := range ages {
		if age >= a.after {
			return a.to
		}
	}
	return read
}

// settleDue returns what is to be read again because it was last read less than
// 24 hours after it was over, and no longer is that fresh.
func (l *Ledger) settleDue(s Span, now int64) []Span {
	var due []Span
	for _, q := range l.covered.within(s.Cut(Span{s.From, now - 24*hour})) {
		if q.state == unread || q.state >= settled {
			continue
		}
		if i := len(due) - 1; i >= 0 && l.expected(Span{due[i].To, q.From}) < perPage/2 {
			due[i].To = q.To
			continue
		}
		due = append(due, q.Span)
	}
	var events int64
	for _, d := range due {
		events += l.expected(d)
	}
	if len(due) == 0 || events < settleBatch*perPage && due[0].From > now-settleAtLast {
		return nil
	}
	return due
}

// expected is how many events a span has, by what was seen lately.
func (l *Ledger) expected(s Span) int64 { return l.rate * s.Len() / day }

// Split cuts a gap that proved dense into slices that can be read at once, newest
// first, at full hours UTC: of read, seen events were returned. Each has about
// 2,000 events, 40 pages, so that the half-empty page at its end weighs little; a
// gap with less stays whole.
func Split(gap Span, seen int64, read Span) []Span {
	if gap.Empty() {
		return nil
	}
	const perSlice = 40 * perPage
	hours := gap.Len()/hour + 1
	if seen > 0 && !read.Empty() {
		hours = max(min(perSlice*read.Len()/seen/hour, hours), 1)
	}
	var out []Span
	for to := gap.To; to > gap.From; {
		from := (to-1)/hour*hour - (hours-1)*hour
		from = max(from, gap.From)
		out = append(out, Span{from, to})
		to = from
	}
	return out
}
