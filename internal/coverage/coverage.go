// Package coverage keeps account of what was read: for each stream (an account,
// a region, an event source) a Ledger of the seconds that were read to their end,
// how well, and why others were not.
//
// It is pure: no clock, no I/O, no concurrency. Collection asks it what to read
// next (Plan, Split, Slice) and tells it what was read (Ledger.Mark); answers ask
// it what they can't know (Gaps, Lines). package store keeps the ledgers.
//
// Instants are whole seconds since 1970 UTC, by the server's clock. Spans are
// half-open. A second counts as read only when all of it was: it was over when
// the request was sent, CloudTrail still kept it when the last page came, and no
// page ended inside it.
//
// Coverage says what CloudTrail's event history was asked for and answered in
// full. Events that a filter dropped were read; imports of files claim nothing,
// unless a trail's digests prove them complete (Ledger.Verify).
package coverage

import "time"

// Days that LookupEvents looks back.
//
// Source: AWS CloudTrail API Reference, "LookupEvents".
const (
	day      = 24 * 60 * 60
	hour     = 60 * 60
	keptDays = 90
	// Kept is for how many seconds CloudTrail keeps an event in its history.
	Kept = keptDays * day
)

// Span is the seconds [From, To). It is empty unless From < To.
type Span struct{ From, To int64 }

// SpanOf returns the whole seconds that lie in [from, to).
func SpanOf(from, to time.Time) Span {
	s := Span{From: from.Unix(), To: to.Unix()}
	if from.Nanosecond() > 0 {
		s.From++
	}
	return s
}

// Request returns the bounds to ask LookupEvents for: whole seconds, UTC, both
// inclusive, so the end is the span's last second, one less than To. The span
// must not be empty.
func (s Span) Request() (start, end time.Time) {
	return time.Unix(s.From, 0).UTC(), time.Unix(s.To-1, 0).UTC()
}

// Empty reports whether the span holds no second.
func (s Span) Empty() bool { return s.From >= s.To }

// Len is how many seconds it holds.
func (s Span) Len() int64 { return max(s.To-s.From, 0) }

// Cut returns the part within o, which may be empty.
func (s Span) Cut(o Span) Span { return Span{From: max(s.From, o.From), To: min(s.To, o.To)} }

// Contains reports whether all of o is in the span.
func (s Span) Contains(o Span) bool { return o.Empty() || s.From <= o.From && o.To <= s.To }

// Times returns the bounds, UTC.
func (s Span) Times() (from, to time.Time) {
	return time.Unix(s.From, 0).UTC(), time.Unix(s.To, 0).UTC()
}

// Level is how sure it is that nothing is missing.
type Level int

// Levels, worst first. A level never sinks, but by Ledger.Invalidate.
const (
	None      Level = iota
	Collected       // read, when later arrivals were still possible
	Settled         // read at least 24 hours after it was over
	Verified        // a trail's digests prove it complete and unchanged
)

var levelNames = [...]string{"none", "collected", "settled", "verified"}

func (l Level) String() string { return levelNames[l] }

// MarshalText writes the level's name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Reason is why a span is not covered; its text is part of the output of status.
type Reason string

// Reasons. Expired and Removed are final: collection doesn't ask again.
const (
	Pending    Reason = "pending"     // not read yet
	Denied     Reason = "denied"      // no permission, or a service control policy, at the last try
	Failed     Reason = "failed"      // another error at the last try
	NotEnabled Reason = "not enabled" // the region was off at the last try
	Expired    Reason = "expired"     // CloudTrail dropped it before it was read
	Removed    Reason = "removed"     // was covered; retention (lake_days) removed it
)

// final reports whether reading again can't help.
func (r Reason) final() bool { return r == Expired || r == Removed }

func (r Reason) valid() bool {
	switch r {
	case Pending, Denied, Failed, NotEnabled, Expired, Removed:
		return true
	}
	return false
}
