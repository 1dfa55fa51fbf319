package coverage

import "time"

// Cover is a stretch that is covered.
type Cover struct {
	Span
	Level Level
}

// Gap is a stretch that is not covered, and why.
type Gap struct {
	Span
	Reason Reason
	Detail string // more of it, for people; may hold text of AWS: escape it
	At     int64  // when that was found; 0 for Pending
}

// Covered returns what is covered of a window, in order.
func (l *Ledger) Covered(window Span) []Cover {
	var out []Cover
	for _, q := range l.covered.within(window) {
		level := q.state.level()
		if level == None {
			continue
		}
		if n := len(out) - 1; n >= 0 && out[n].To == q.From && out[n].Level == level {
			out[n].To = q.To
			continue
		}
		out = append(out, Cover{q.Span, level})
	}
	return out
}

// Level is the lowest level in a window; Verified for an empty one.
func (l *Ledger) Level(window Span) Level {
	lowest := Verified
	for _, q := range l.covered.within(window) {
		lowest = min(lowest, q.state.level())
	}
	return lowest
}

// beforeCollection is the detail of what was too old when collection began.
const beforeCollection = "more than 90 days old when collection began"

// Gaps returns what is not covered of a window, in order. Before the first second
// promised that is Expired; after the last run it is Pending.
func (l *Ledger) Gaps(window Span) []Gap {
	var out []Gap
	for _, q := range l.covered.within(window) {
		if q.state != unread {
			continue
		}
		before := q.Cut(Span{q.From, l.Since})
		if !before.Empty() && l.Began != 0 {
			for _, n := range l.explain(before) {
				if n.reason == Pending {
					n.reason, n.detail = Expired, beforeCollection
				}
				out = append(out, Gap{n.Span, n.reason, n.detail, n.at})
			}
			q.From = before.To
		}
		for _, n := range l.explain(q.Span) {
			if !n.Empty() {
				out = append(out, Gap{n.Span, n.reason, n.detail, n.at})
			}
		}
	}
	return out
}

// Promised is the span in which collection is to leave no gap: from 90 days
// before the first run to the last run.
func (l *Ledger) Promised() Span { return Span{l.Since, l.Until} }

// Newest is the end of the newest second that is covered; 0 when none is.
func (l *Ledger) Newest() int64 {
	if n := len(l.covered); n > 0 {
		return l.covered[n-1].To
	}
	return 0
}

// Status is a stream as `status --format json` shows it.
type Status struct {
	Stream
	Covered []StatusCover `json:"covered"`
	Gaps    []StatusGap   `json:"gaps"`
	// LagSeconds is how old the newest second is that is covered; null when none is,
	// or the stream has ended.
	LagSeconds *int64 `json:"lag_seconds"`
	// Ended is since when the stream is no longer collected, and EndedWhy says why;
	// null and absent while it is.
	Ended     *time.Time `json:"ended"`
	EndedWhy  string     `json:"ended_reason,omitempty"`
	LastError string     `json:"last_error"` // of the last try; empty when it read something
	Requests  int64      `json:"requests"`
	Events    int64      `json:"events"`           // that requests returned, repeated ones too
	Late      int64      `json:"late"`             // that re-reads found new
	LateMax   int64      `json:"late_max_seconds"` // how late the latest came, at least
}

// StatusCover is a covered interval, [from, to).
type StatusCover struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Level Level     `json:"level"`
}

// StatusGap is an interval that is not covered, [from, to).
type StatusGap struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason Reason    `json:"reason"`
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at,omitzero"` // of the try that failed
}

// Status returns the stream as it stands at now: all that is covered, and the
// gaps in what is promised, which ends with the last run; what came since is the
// lag.
func (l *Ledger) Status(now int64) Status {
	s := Status{
		Stream: l.Stream, Covered: []StatusCover{}, Gaps: []StatusGap{}, LastError: l.LastError,
		Requests: l.Requests, Events: l.Events, Late: l.Late, LateMax: l.LateMax,
	}
	if n := len(l.covered); n > 0 {
		if lag := max(now-l.Newest(), 0); l.Ended == 0 {
			s.LagSeconds = &lag
		}
		for _, c := range l.Covered(Span{l.covered[0].From, l.covered[n-1].To}) {
			from, to := c.Times()
			s.Covered = append(s.Covered, StatusCover{from, to, c.Level})
		}
	}
	if l.Ended != 0 {
		at := time.Unix(l.Ended, 0).UTC()
		s.Ended, s.EndedWhy = &at, l.EndedWhy
	}
	for _, g := range l.Gaps(l.Promised()) {
		from, to := g.Times()
		gap := StatusGap{From: from, To: to, Reason: g.Reason, Detail: g.Detail}
		if g.At != 0 {
			gap.At = time.Unix(g.At, 0).UTC()
		}
		s.Gaps = append(s.Gaps, gap)
	}
	return s
}
