package coverage

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// version is that of the encoded form. Fields may be added to it without a new
// one as long as a program that ignores them does no harm.
const version = 1

// encoded is a ledger as JSON. Times are Unix seconds; the stream is the key that
// it is kept under.
type encoded struct {
	V       int          `json:"v"`
	Since   int64        `json:"since,omitempty"`
	Until   int64        `json:"until,omitempty"`
	Began   int64        `json:"began,omitempty"`
	Ended   int64        `json:"ended,omitempty"`
	Why     string       `json:"ended_why,omitempty"`
	Covered [][3]int64   `json:"covered,omitempty"` // from, to, state
	Notes   []codedNote  `json:"notes,omitempty"`
	Error   string       `json:"error,omitempty"`
	ErrorAt int64        `json:"error_at,omitempty"`
	Counts  codedCounter `json:"counts,omitzero"`
}

type codedNote struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"`
	At     int64  `json:"at,omitempty"`
}

type codedCounter struct {
	Requests int64 `json:"requests,omitempty"`
	Events   int64 `json:"events,omitempty"`
	Late     int64 `json:"late,omitempty"`
	LateMax  int64 `json:"late_max,omitempty"`
	Credit   int64 `json:"credit,omitempty"`
	Rate     int64 `json:"rate,omitempty"`
}

// Encode returns the ledger without its stream, as compact JSON: the same bytes
// for the same ledger.
func (l *Ledger) Encode() []byte {
	e := encoded{
		V: version, Since: l.Since, Until: l.Until, Began: l.Began, Ended: l.Ended, Why: l.EndedWhy, Error: l.LastError, ErrorAt: l.LastErrorAt,
		Counts: codedCounter{l.Requests, l.Events, l.Late, l.LateMax, l.credit, l.rate},
	}
	for _, q := range l.covered {
		e.Covered = append(e.Covered, [3]int64{q.From, q.To, int64(q.state)})
	}
	for _, n := range l.notes {
		e.Notes = append(e.Notes, codedNote{n.From, n.To, n.reason, n.detail, n.at})
	}
	out, err := json.Marshal(e)
	if err != nil {
		panic(err) // numbers and strings only
	}
	return out
}

// Equal reports whether two ledgers say the same.
func (l *Ledger) Equal(o *Ledger) bool {
	if l == nil || o == nil {
		return l == o
	}
	return l.Stream == o.Stream && bytes.Equal(l.Encode(), o.Encode())
}

// Decode returns the ledger of a stream from what Encode returned. What doesn't
// hold together is an error, so that nothing is taken for covered by mistake.
func Decode(stream Stream, data []byte) (*Ledger, error) {
	l, err := decode(stream, data)
	if err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", stream, err)
	}
	return l, nil
}

func decode(stream Stream, data []byte) (*Ledger, error) {
	var e encoded
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if e.V != version {
		return nil, fmt.Errorf("version %d, this program knows %d", e.V, version)
	}
	c := e.Counts
	l := &Ledger{
		Stream: stream, Since: e.Since, Until: e.Until, Began: e.Began, Ended: e.Ended, EndedWhy: e.Why, LastError: e.Error, LastErrorAt: e.ErrorAt,
		Requests: c.Requests, Events: c.Events, Late: c.Late, LateMax: c.LateMax, credit: c.Credit, rate: c.Rate,
	}
	for _, t := range append([]int64{l.Since, l.Until, l.Began, l.Ended, l.LastErrorAt}, c.Requests, c.Events, c.Late, c.LateMax, c.Rate, max(c.Credit, -c.Credit)) {
		if !plausible(t) {
			return nil, fmt.Errorf("the number %d is out of range", t)
		}
	}
	for i, q := range e.Covered {
		p := piece{Span{q[0], q[1]}, state(q[2])}
		if !plausible(p.From) || !plausible(p.To) || p.Empty() || q[2] <= int64(unread) || q[2] > int64(verified) {
			return nil, fmt.Errorf("covered: %v is no interval", q)
		}
		if i > 0 {
			if before := l.covered[i-1]; before.To > p.From || before.To == p.From && before.state == p.state {
				return nil, fmt.Errorf("covered: %v after %v", q, e.Covered[i-1])
			}
		}
		l.covered = append(l.covered, p)
	}
	for i, q := range e.Notes {
		n := note{Span{q.From, q.To}, q.Reason, q.Detail, q.At}
		if !plausible(n.From) || !plausible(n.To) || !plausible(n.at) || n.Empty() || !n.reason.valid() || n.reason == Pending {
			return nil, fmt.Errorf("notes: %v is no gap", q)
		}
		if i > 0 {
			if before := l.notes[i-1]; before.To > n.From || before.To == n.From && before.reason == n.reason {
				return nil, fmt.Errorf("notes: %v after %v", q, e.Notes[i-1])
			}
		}
		for _, p := range l.covered.within(n.Span) {
			if p.state != unread {
				return nil, fmt.Errorf("notes: %v is covered", q)
			}
		}
		l.notes = append(l.notes, n)
	}
	return l, nil
}

// plausible keeps sums of decoded numbers far from overflow.
func plausible(t int64) bool { return t >= 0 && t < 1<<50 }
