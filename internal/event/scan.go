package event

import (
	"encoding/binary"
	"math/bits"
)

// scanner finds the end of one JSON value without keeping anything of it. Input
// comes in pieces, cut anywhere. It checks no more than it must to find the
// end: brackets, strings, and with strict the order of tokens, so that a value
// that lacks its end doesn't swallow the lines behind it.
type scanner struct {
	strict  bool
	wrapper bool // stop at the start of the array in {"Records":[ or {"Events":[

	depth   int
	stack   []uint64 // one bit per level: 1 is an object
	prev    byte     // last byte outside strings that isn't white space; '"' for a string
	started bool
	inStr   bool
	escaped bool // inStr, and the last byte was a backslash

	key    []byte // with wrapper: the last key at depth 1, if it is short
	isKey  bool   // the string is a key at depth 1
	record bool   // depth 1 has a key that only records have
}

type scanState uint8

const (
	scanMore  scanState = iota // the value goes on
	scanDone                   // the value ends here
	scanArray                  // the array of records starts here
	scanBad                    // not JSON
)

// reset makes the scanner ready for another value: at the top level of a
// stream, or inside a list.
func (s *scanner) reset(top bool) {
	*s = scanner{strict: top, wrapper: top, stack: s.stack, key: s.key[:0]}
}

// maxScanDepth bounds the memory that brackets take.
const maxScanDepth = 1 << 20

// scalar reports whether the value is a number or word that may end here.
func (s *scanner) scalar() bool { return s.started && s.depth == 0 && !s.inStr }

// scan reads b on and returns how many bytes of it it took.
func (s *scanner) scan(b []byte) (int, scanState) {
	i := 0
	if s.inStr {
		var ok bool
		if i, ok = s.str(b, 0); !ok {
			return i, scanBad
		}
		if s.inStr {
			return i, scanMore
		}
		if s.depth == 0 {
			return i, scanDone
		}
	}
	for i < len(b) {
		x := b[i]
		switch x {
		case ' ', '\t', '\r', '\n':
			if s.depth == 0 && s.started {
				return i, scanDone
			}
			i++
			continue
		case '"':
			if s.depth == 0 && s.started {
				return i, scanDone
			}
			if s.strict && !s.mayStart('"') {
				return i, scanBad
			}
			s.isKey = s.wrapper && s.depth == 1 && (s.prev == '{' || s.prev == ',')
			s.prev = '"'
			if !s.isKey && s.depth > 0 {
				// What nearly all strings are: whole, without escapes.
				if end := stringStop(b, i+1); end < len(b) && b[end] == '"' {
					i = end + 1
					continue
				}
			}
			s.started, s.inStr = true, true
			if s.isKey {
				s.key = s.key[:0]
			}
			var ok bool
			if i, ok = s.str(b, i+1); !ok {
				return i, scanBad
			}
			if s.inStr {
				return i, scanMore
			}
			if s.depth == 0 {
				return i, scanDone
			}
			continue
		case '{', '[':
			if s.depth == 0 && s.started {
				return i, scanDone
			}
			if s.strict && !s.mayStart(x) {
				return i, scanBad
			}
			if x == '[' && s.wrapper && s.depth == 1 && s.prev == ':' && !s.record && isListKey(s.key) {
				// Behind the array the object goes on as after a value.
				s.prev = ']'
				return i + 1, scanArray
			}
			if s.depth >= maxScanDepth {
				return i, scanBad
			}
			s.push(x == '{')
			s.started, s.prev = true, x
		case '}', ']':
			if s.depth == 0 {
				if s.started {
					return i, scanDone
				}
				return i, scanBad
			}
			if s.object() != (x == '}') || s.strict && (s.prev == ',' || s.prev == ':') {
				return i, scanBad
			}
			s.depth--
			s.prev = x
			if s.depth == 0 {
				return i + 1, scanDone
			}
		case ',', ':':
			if s.depth == 0 {
				if s.started {
					return i, scanDone
				}
				return i, scanBad
			}
			if s.strict && (s.prev == ',' || s.prev == ':' || s.prev == '{' || s.prev == '[') {
				return i, scanBad
			}
			s.prev = x
		default:
			if s.strict && s.prev != 'a' && !s.mayStart('a') || s.strict && !wordByte(x) {
				return i, scanBad
			}
			s.started, s.prev = true, 'a'
		}
		i++
	}
	return i, scanMore
}

// mayStart reports whether a value or key that starts with x may stand here.
func (s *scanner) mayStart(x byte) bool {
	switch s.prev {
	case 0, '[', ':':
		return true
	case '{':
		return x == '"'
	case ',':
		return x == '"' || !s.object()
	}
	return false
}

// wordByte reports whether x may be in a number, true, false or null.
func wordByte(x byte) bool {
	return x >= '0' && x <= '9' || x == '-' || x == '+' || x == '.' || x|0x20 >= 'a' && x|0x20 <= 'z'
}

func (s *scanner) push(object bool) {
	word, bit := s.depth>>6, uint64(1)<<(s.depth&63)
	if word == len(s.stack) {
		s.stack = append(s.stack, 0)
	}
	if object {
		s.stack[word] |= bit
	} else {
		s.stack[word] &^= bit
	}
	s.depth++
}

// object reports whether the innermost bracket is a brace.
func (s *scanner) object() bool {
	d := s.depth - 1
	return s.stack[d>>6]>>(d&63)&1 == 1
}

// str goes through a string's body from i on, to its end or that of b.
func (s *scanner) str(b []byte, i int) (int, bool) {
	from := i
	if s.escaped && i < len(b) {
		i++
		s.escaped = false
	}
	for {
		i = stringStop(b, i)
		if i >= len(b) {
			s.keep(b[from:])
			return len(b), true
		}
		switch b[i] {
		case '"':
			s.keep(b[from:i])
			s.inStr = false
			if s.isKey {
				s.record = s.record || isRecordKey(s.key)
			}
			return i + 1, true
		case '\\':
			if i+1 >= len(b) {
				s.escaped = true
				s.keep(b[from:])
				return len(b), true
			}
			i += 2
		default: // a control character
			if s.strict {
				return i, false
			}
			i++
		}
	}
}

// keep remembers a piece of a key.
func (s *scanner) keep(piece []byte) {
	if !s.isKey {
		return
	}
	const most = 16 // longer than any key that matters
	if len(s.key)+len(piece) > most {
		piece = nil
		s.key = append(s.key[:0], make([]byte, most)...)
	}
	s.key = append(s.key, piece...)
}

func isListKey(key []byte) bool {
	return string(key) == "Records" || string(key) == "Events"
}

// isRecordKey reports whether an object with this key is a record, even if it
// has an array named Records, too.
func isRecordKey(key []byte) bool {
	switch string(key) {
	case "eventTime", "eventName", "eventSource":
		return true
	}
	return false
}

// stringStop returns the index, from i on, of the first quote, backslash or
// control character; len(b) when there is none. Eight bytes at a time.
func stringStop(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote := w ^ (ones * '"')
		slash := w ^ (ones * '\\')
		hit := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for ; i < len(b); i++ {
		if x := b[i]; x == '"' || x == '\\' || x < 0x20 {
			return i
		}
	}
	return i
}
