package coverage

import "slices"

// state is what is known of a second that was read: by how long after its end the
// latest reading began, or that it is proven. Greater is better, and the union of
// two readings is the greater: so the order of marks does not matter.
type state int8

const (
	unread   state = iota
	read           // within 10 minutes
	read10m        // 10 minutes after, or later
	read1h         // 1 hour after, or later
	settled        // 24 hours after, or later
	verified       // by digests
)

// ages are the seconds after which a re-read brings a second to a state.
var ages = [...]struct {
	after int64
	to    state
}{{24 * hour, settled}, {hour, read1h}, {10 * 60, read10m}}

func (s state) level() Level {
	switch {
	case s == unread:
		return None
	case s < settled:
		return Collected
	case s == settled:
		return Settled
	}
	return Verified
}

// piece is a stretch of seconds of one state, never unread.
type piece struct {
	Span
	state state
}

// pieces are sorted, apart or of unlike states where they touch, and not empty.
type pieces []piece

// raise returns the pieces with all of s at least at state to.
func (p pieces) raise(s Span, to state) pieces {
	return p.change(s, func(now state) state { return max(now, to) })
}

// clear returns the pieces with all of s unread.
func (p pieces) clear(s Span) pieces {
	return p.change(s, func(state) state { return unread })
}

// change returns the pieces with f applied to every second of s.
func (p pieces) change(s Span, f func(state) state) pieces {
	if s.Empty() {
		return p
	}
	out := make(pieces, 0, len(p)+2)
	add := func(span Span, st state) {
		if span.Empty() || st == unread {
			return
		}
		if n := len(out); n > 0 && out[n-1].To == span.From && out[n-1].state == st {
			out[n-1].To = span.To
			return
		}
		out = append(out, piece{span, st})
	}
	at := s.From // up to here f was applied
	for _, q := range p {
		if q.From > at && at < s.To { // unread before q
			end := min(q.From, s.To)
			add(Span{at, end}, f(unread))
			at = end
		}
		add(Span{q.From, min(q.To, s.From)}, q.state)
		inside := q.Cut(s)
		if !inside.Empty() {
			add(inside, f(q.state))
			at = inside.To
		}
		if q.From >= s.To || q.To > s.To {
			// What f makes of the unread seconds before was added above.
			add(Span{max(q.From, s.To), q.To}, q.state)
		}
	}
	if at < s.To {
		add(Span{at, s.To}, f(unread))
	}
	return out
}

// maxPieces is beyond how many pieces the plan of re-reads is coarsened.
const maxPieces = 64

// coarsen joins neighbours of level Collected, at the lesser state, until there
// are at most maxPieces or nothing is to join. It costs a re-read, never a claim.
func (p pieces) coarsen() pieces {
	for len(p) > maxPieces {
		best := -1
		for i := 1; i < len(p); i++ {
			if a, b := p[i-1], p[i]; a.To == b.From && a.state < settled && b.state < settled &&
				(best < 0 || b.To-a.From < p[best].To-p[best-1].From) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		low := min(p[best-1].state, p[best].state)
		p = p.change(Span{p[best-1].From, p[best].To}, func(state) state { return low })
	}
	return p
}

// within returns all of s as stretches of one state each, unread ones included,
// in order.
func (p pieces) within(s Span) []piece {
	var out []piece
	at := s.From
	for _, q := range p {
		in := q.Cut(s)
		if in.Empty() {
			continue
		}
		if at < in.From {
			out = append(out, piece{Span{at, in.From}, unread})
		}
		out = append(out, piece{in, q.state})
		at = in.To
	}
	if at < s.To {
		out = append(out, piece{Span{at, s.To}, unread})
	}
	return out
}

// at returns the state of a second.
func (p pieces) at(second int64) state {
	i, found := slices.BinarySearchFunc(p, second, func(q piece, t int64) int {
		switch {
		case q.To <= t:
			return -1
		case q.From > t:
			return 1
		}
		return 0
	})
	if !found {
		return unread
	}
	return p[i].state
}
