package event

import (
	"bytes"
	"slices"
)

func (c *canon) compare(start int, a, b *member) int {
	if a.prefix != b.prefix {
		if a.prefix < b.prefix {
			return -1
		}
		return 1
	}
	return bytes.Compare(c.keyOf(start, a), c.keyOf(start, b))
}

// order sorts the members of the object from start on, drops all but the last
// of duplicates, replaces what is to be masked, and closes the object.
func (c *canon) order(start, base int) {
	ms := c.members[base:]
	c.sorted, c.perm = c.sorted[:0], append(c.perm[:0], '{')
	if turn := c.knownOrder(start, ms); turn != nil {
		for _, i := range turn {
			c.place(start, &ms[i])
		}
	} else {
		c.unsorted = append(c.unsorted[:0], ms...)
		slices.SortStableFunc(ms, func(a, b member) int { return c.compare(start, &a, &b) })
		c.learnOrder(c.unsorted, ms)
		for i := range ms {
			// Duplicates are adjacent, in order of appearance: the last wins.
			if i+1 == len(ms) || c.compare(start, &ms[i], &ms[i+1]) != 0 {
				c.place(start, &ms[i])
			}
		}
	}
	c.perm[len(c.perm)-1] = '}'
	if start == 0 {
		c.out, c.perm = c.perm, c.out
	} else {
		c.out = append(c.out[:start], c.perm...)
	}
	c.members = append(c.members[:base], c.sorted...)
}

// place appends a member to the object being put in order.
func (c *canon) place(start int, from *member) {
	at, m := int32(len(c.perm)), *from
	if m.mask {
		c.perm = append(c.perm, c.out[start+int(m.start):start+int(m.val)]...)
		c.perm = append(c.perm, `"`+redacted+`"`...)
	} else {
		c.perm = append(c.perm, c.out[start+int(m.start):start+int(m.end)]...)
	}
	m.val += at - m.start
	m.start, m.end = at, int32(len(c.perm))
	c.perm = append(c.perm, ',')
	c.sorted = append(c.sorted, m)
}

// orderMax is up to how many members an object's order is remembered.
const orderMax = 40

// shape is the order in which the members of objects with certain keys are to
// be put: objects of the same kind come again and again, with the same keys in
// the same order.
type shape struct {
	hash uint64
	n    uint8
	turn [orderMax]uint8
}

// shape returns the hash of the objects that have these keys, and where their
// order may be remembered.
func (c *canon) shape(ms []member) (hash uint64, first, second *shape) {
	h := uint64(len(ms))
	for i := range ms {
		h = (h ^ ms[i].prefix) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	i := h % uint64(len(c.known.shapes)) &^ 1
	return h, &c.known.shapes[i], &c.known.shapes[i+1]
}

// knownOrder returns the order of ms, nil when it isn't known. It doesn't trust
// the hash: an order in which each key is less than the next is the right one.
func (c *canon) knownOrder(start int, ms []member) []uint8 {
	if len(ms) > orderMax || c.known == nil {
		return nil
	}
	hash, s, other := c.shape(ms)
	if s.hash != hash {
		s = other
	}
	if s.hash != hash || int(s.n) != len(ms) {
		return nil
	}
	turn := s.turn[:s.n]
	for i := 1; i < len(turn); i++ {
		a, b := &ms[turn[i-1]], &ms[turn[i]]
		if a.prefix > b.prefix || a.prefix == b.prefix && c.compare(start, a, b) >= 0 {
			return nil
		}
	}
	return turn
}

// learnOrder remembers how before became after.
func (c *canon) learnOrder(before, after []member) {
	if len(before) > orderMax || c.known == nil {
		return
	}
	hash, s, other := c.shape(before)
	*other = *s
	s.hash, s.n = hash, uint8(len(before))
	for i := range after {
		for j := range before {
			if before[j].start == after[i].start {
				s.turn[i] = uint8(j)
			}
		}
	}
}
