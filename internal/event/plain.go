package event

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainEnd returns the index, from i on, of the first byte that isn't copied as
// it is from JSON string to canonical JSON string: quote, backslash, control
// character or non-ASCII; len(b) when there is none. Eight bytes at a time.
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if hit := special(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for ; i < len(b); i++ {
		if x := b[i]; x == '"' || x == '\\' || x < 0x20 || x >= 0x80 {
			return i
		}
	}
	return i
}

// special has the high bit set of the first byte of w that isn't plain. Borrows
// spoil the bytes above it.
func special(w uint64) uint64 {
	quote := w ^ (ones * '"')
	slash := w ^ (ones * '\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w | w) & highs
}

// prefixAt returns the sort prefix of the key b[p:end].
func prefixAt(b []byte, p, end int) uint64 {
	if p+8 <= len(b) {
		w := binary.BigEndian.Uint64(b[p:])
		if n := end - p; n < 8 {
			w &^= ^uint64(0) >> (8 * uint(n))
		}
		return w
	}
	return prefixOf(b[p:end])
}

func prefixOf(key []byte) uint64 {
	var w [8]byte
	copy(w[:], key)
	return binary.BigEndian.Uint64(w[:])
}
