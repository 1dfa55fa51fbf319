package coverage

import "strings"

// Ledger is what is known of one stream. The zero value but for Stream is one
// that was never read. Not safe for concurrent use: package store changes it in a
// transaction.
type Ledger struct {
	Stream Stream
	// Since is the first second that collection promises: 90 days before the
	// first run. Before it only what was proven otherwise is covered. 0 before
	// the first run.
	Since int64
	// Until is the end of what runs were to read: when the last one began.
	Until int64
	// Began is when the first run began.
	Began int64

	// Ended is since when the stream isn't owed any more, and EndedWhy says why, in
	// words for people: nothing can happen there. 0 while it is.
	Ended    int64
	EndedWhy string

	// LastError is the last failure, in words for people; empty after a run
	// that read something. It may hold text of AWS: escape it where it's shown.
	LastError   string
	LastErrorAt int64

	// Requests, Events and Late are totals: requests that were answered, events
	// they returned, and those events that were new in seconds that had been
	// read before. LateMax is by how many seconds the latest was late at least.
	Requests, Events, Late, LateMax int64

	// credit is how many thousandths of a request early re-reads may take, see
	// plan.go; rate is how many events a day the stream has lately.
	credit, rate int64

	covered pieces
	notes   []note
}

// note says why a span that is not covered isn't. Notes are sorted and apart; a
// second without one is pending.
type note struct {
	Span
	reason Reason
	detail string
	at     int64
}

// startSlack is by how many seconds the promise may begin later than 90 days
// before the first run, because the oldest events leave while they are being read.
const startSlack = hour

// Begin starts a run at now: at first the last 90 days become a gap, then what
// lies between the last run and this one. What CloudTrail dropped unread expires.
// A clock that goes back changes nothing.
func (l *Ledger) Begin(now int64) {
	if l.Began == 0 {
		l.Began, l.Since = now, now-Kept
	}
	l.Until = max(l.Until, now)
	l.Ended, l.EndedWhy = 0, "" // owed again, and the time between too
	l.earn()
	l.Expire(now)
}

// End records that from at on nothing happens in the stream, so that it isn't owed
// any more, and why. What is not covered before stays a gap; what would have been
// read by another run is one, with the reason NotEnabled. Begin makes it owed again.
func (l *Ledger) End(at int64, why string) {
	if l.Began == 0 || l.Ended != 0 {
		return
	}
	why = shorten(why)
	at = max(at, l.Until)
	for _, q := range l.covered.within(Span{l.Until, at}) {
		if q.state == unread {
			l.setNote(q.Span, note{reason: NotEnabled, detail: why, at: at})
		}
	}
	l.Until, l.Ended, l.EndedWhy = at, at, why
	l.LastError, l.LastErrorAt = "", 0
}

// Expire makes what is older than 90 days and not covered a gap for good, with
// the reason Expired; why it was not read before stays as the detail.
func (l *Ledger) Expire(now int64) {
	if l.Began == 0 {
		return
	}
	limit := min(now-Kept, l.Until)
	for _, q := range l.covered.within(Span{l.Since, limit}) {
		if q.state != unread {
			continue
		}
		if q.From == l.Since && q.To <= l.Began-Kept+startSlack {
			// It left while the first run was under way: the history begins later.
			l.Since = q.To
			l.setNote(q.Span, note{})
			continue
		}
		for _, g := range l.explain(q.Span) {
			if g.reason.final() {
				continue
			}
			detail := g.detail
			if g.reason != Pending && detail == "" {
				detail = string(g.reason)
			}
			l.setNote(g.Span, note{reason: Expired, detail: detail, at: now})
		}
	}
}

// Read is a stretch that was read to its end, all pages of it stored.
type Read struct {
	Span Span
	// Begun is when the first request for the slice was sent, at the latest; of
	// Span nothing from then on counts.
	Begun int64
	// Ended is when the last answer came; events that were 90 days old by then
	// may be missing, so nothing before counts. 0: Begun.
	Ended int64
	// Requests and Events are how many were sent and returned; New the times, in
	// any order, of those events that the store didn't have.
	Requests, Events int
	New              []int64
}

// Mark records what was read, after it was stored. Marks may come in any order,
// repeatedly and overlapping: the coverage is the same.
func (l *Ledger) Mark(r Read) {
	r.Ended = max(r.Ended, r.Begun)
	l.count(&r)
	span := r.Span.Cut(Span{r.Ended - Kept, r.Begun})
	if span.Empty() {
		return
	}
	if r.Ended >= l.LastErrorAt {
		l.LastError, l.LastErrorAt = "", 0
	}
	l.raise(span, read)
	for _, a := range ages {
		l.raise(span.Cut(Span{span.From, r.Begun - a.after}), a.to)
	}
	l.covered = l.covered.coarsen()
}

func (l *Ledger) raise(s Span, to state) {
	if s.Empty() {
		return
	}
	l.covered = l.covered.raise(s, to)
	l.setNote(s, note{})
}

// Verify records that digests prove a span complete, whatever was read of it and
// however old it is.
func (l *Ledger) Verify(s Span) { l.raise(s, verified) }

// Fail records why a span could not be read at a time; the whole of Promised when
// the stream can't be read at all. It counts for that try only: the next run asks
// again. What is covered, or is a gap for good, stays.
// detail is for people and may hold text of AWS; it must hold no secret.
func (l *Ledger) Fail(s Span, reason Reason, detail string, at int64) {
	detail = shorten(detail)
	l.LastError, l.LastErrorAt = string(reason), at
	if detail != "" {
		l.LastError += ": " + detail
	}
	for _, q := range l.covered.within(s) {
		if q.state != unread {
			continue
		}
		for _, g := range l.explain(q.Span) {
			if !g.reason.final() {
				l.setNote(g.Span, note{reason: reason, detail: detail, at: at})
			}
		}
	}
}

// Invalidate takes back what is covered of a span: its events are gone, or were
// never all there. With Removed it is a gap for good, with Pending it is read
// again while CloudTrail has it.
func (l *Ledger) Invalidate(s Span, reason Reason, detail string, at int64) {
	detail = shorten(detail)
	for _, q := range l.covered.within(s) {
		if q.state == unread {
			continue
		}
		l.covered = l.covered.clear(q.Span)
		l.setNote(q.Span, note{reason: reason, detail: detail, at: at})
	}
}

// maxDetail is how many bytes of a detail are kept.
const maxDetail = 500

// shorten makes a detail valid UTF-8, as the encoded form needs, and short.
func shorten(detail string) string {
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	return strings.ToValidUTF8(detail, "")
}

// setNote replaces what is noted of a span; a note without a reason, or without
// more than Pending, says nothing.
func (l *Ledger) setNote(s Span, n note) {
	if s.Empty() {
		return
	}
	out := make([]note, 0, len(l.notes)+2)
	add := func(n note) {
		if n.Empty() {
			return
		}
		if i := len(out) - 1; i >= 0 && out[i].To == n.From && out[i].reason == n.reason {
			// One line for one reason: the words of the latest try that had any.
			if n.detail == "" || n.at < out[i].at {
				n.detail = out[i].detail
			}
			n.at = max(n.at, out[i].at)
			n.From = out[i].From
			out[i] = n
			return
		}
		out = append(out, n)
	}
	cut := func(n note, to Span) note { n.Span = n.Cut(to); return n }
	for _, old := range l.notes {
		add(cut(old, Span{old.From, s.From}))
		if s.Empty() || old.To <= s.From {
			continue
		}
		if n.reason != "" && n.reason != Pending {
			n.Span = s
			add(n)
		}
		n.reason = ""
		add(cut(old, Span{s.To, old.To}))
	}
	if n.reason != "" && n.reason != Pending {
		n.Span = s
		add(n)
	}
	l.notes = out
}

// explain splits a span that is not covered by why.
func (l *Ledger) explain(s Span) []note {
	var out []note
	at := s.From
	for _, n := range l.notes {
		in := n.Cut(s)
		if in.Empty() {
			continue
		}
		if at < in.From {
			out = append(out, note{Span: Span{at, in.From}, reason: Pending})
		}
		n.Span = in
		out = append(out, n)
		at = in.To
	}
	if at < s.To {
		out = append(out, note{Span: Span{at, s.To}, reason: Pending})
	}
	return out
}
