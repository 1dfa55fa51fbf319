package coverage

// Early re-reads, after 10 minutes and after 1 hour, bring late events sooner; the
// one after 24 hours brings them surely. For a stream whose events fit in a page
// they cost nothing: the request for what is new has room for what was before.
// For a dense one they would be a reading of its own each. So they have a budget,
// by which all requests of a stream that is watched stay within 2.5 times one
// reading, plus one a run:
//
//   - a run earns 1 request, an event that is new earns 2.4/50;
//   - a request spends 1;
//   - 1.1/50 for each event that still waits for its last re-read is kept back.
//
// Only what is less than 24 hours old is earned and spent for: a backfill is
// settled by its first reading.
const (
	earnRun    = 1000
	spend      = 1000
	earnEvent  = 2400 / perPage
	keepEvent  = 1100 / perPage
	creditDays = 1 // of events, that may be saved
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
	if r.Begun-span.To < 24*hour {
		l.bank(int64(len(r.New))*earnEvent - int64(r.Requests)*spend)
		l.learn(span, int64(r.Events))
	} else if l.covered.at(span.From) != unread {
		l.bank(-int64(r.Requests) * spend)
	} else if l.rate == 0 {
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

// affordable returns from where to read what is new and, below it, what is due
// for an early re-read, as far down as the budget allows.
func (l *Ledger) affordable(top Span, now int64) int64 {
	if l.rate == 0 {
		return top.From
	}
	waiting := int64(0)
	for _, q := range l.covered {
		if q.state < settled {
			waiting += l.expected(q.Span)
		}
	}
	events := (l.credit - waiting*keepEvent - spend) * perPage / spend
	return max(now-events*day/l.rate, 0)
}
