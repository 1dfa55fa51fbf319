package coverage

// Early re-reads, after 10 minutes and after 1 hour, bring late events sooner; the
// one after 24 hours brings them surely. For a stream whose events fit in a page
// they cost nothing: the request for what is new has room for what was before.
// For a dense one they would be a reading of its own each. So they have a budget,
// by which all requests of a stream that is watched stay within 2.5 times one
// reading, plus one a run:
//
//   - a run earns 1 request, an event that is new earns 2.45/50;
//   - a request spends 1;
//   - 1.05/50 for each event that still waits for its last re-read is kept back.
//
// Only what is less than 24 hours old is earned and spent for: a backfill is
// settled by its first reading.
const (
	earnRun    = 1000
	spend      = 1000
	earnEvent  = 2450 / perPage
	keepEvent  = 1050 / perPage
	creditDays = 3 // of events, that may be saved
)

func (l *Ledger) earn() { l.bank(earnRun) }

func (l *Ledger) bank(n int64) {
	most := 20*earnRun + creditDays*l.rate*earnEvent
	l.credit = max(min(l.credit+n, most), -most)
}

// count takes note of requests, events and how late they were, before the span
// is marked.
func (l *Ledger) count(r *Read) {
	l.Requests += int64(r.Requests)
	l.Events += int64(r.Events)
	for _, at := range r.New {
		if l.covered.at(at) != unread {
			l.Late++
			l.LateMax = max(l.LateMax, r.Begun-at)
		}
	}
	span := r.Span
	fresh, again := r.Begun-span.To < 24*hour, l.covered.at(span.From) != unread
	if fresh || again {
		l.bank(int64(len(r.New))*earnEvent - int64(r.Requests)*spend)
	}
	if fresh || l.rate == 0 {
		l.learn(span, int64(r.Events))
	}
}

// learn moves the rate towards what a reading saw, by the share that it is of a day.
func (l *Ledger) learn(s Span, events int64) {
	if s.Empty() {
		return
	}
	if s.Len() >= day {
		l.rate = events * day / s.Len()
		return
	}
	l.rate += events - l.rate*s.Len()/day
}

// spare is how many events early re-reads may return now, beyond those expected in
// what has to be read.
func (l *Ledger) spare(must Span) int64 {
	waiting := l.expected(must)
	for _, q := range l.covered {
		if q.state < settled {
			waiting += l.expected(q.Span)
		}
	}
	return max((l.credit-waiting*keepEvent-spend)*perPage/spend-l.expected(must), 0)
}

// downTo returns from where on to read when top is new: as far below it as there
// are seconds due after 10 minutes, or that soon will be, and the budget goes. The
// newest come first because most late events are minutes late.
func (l *Ledger) downTo(top Span, now int64) int64 {
	for _, q := range l.covered.within(Span{now - hour, top.From}) {
		if q.state != read {
			continue
		}
		if l.rate == 0 {
			return q.From
		}
		return max(q.From, top.From-l.spare(top)*day/l.rate)
	}
	return top.From
}

// hourDue returns what is due for the re-read after 1 hour, once it fills pages
// or is 3 hours old, if what the newest left of the budget is enough; or nothing.
func (l *Ledger) hourDue(reach Span, now int64) Span {
	var due Span
	for _, q := range l.covered.within(reach.Cut(Span{now - 24*hour, now - hour})) {
		if q.state == unread || q.state >= read1h {
			continue
		}
		if due.Empty() {
			due.From = q.From
		}
		due.To = q.To
	}
	n := l.expected(due)
	if n+perPage > l.spare(Span{}) || n < 2*perPage && now-due.From < 3*hour {
		return Span{}
	}
	return due
}
