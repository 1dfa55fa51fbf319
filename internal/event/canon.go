package event

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how many objects and arrays may be nested in one value. CloudTrail
// stays below 20; a limit keeps hostile input from exhausting the stack.
const maxDepth = 200

// Canonical returns the canonical form of one JSON value: keys sorted by their
// bytes, no white space, the last of duplicate keys, numbers as written, strings
// with the fewest escapes, invalid UTF-8 and unpaired surrogates as U+FFFD. It
// redacts nothing. The error is a *RejectError.
func Canonical(raw []byte) ([]byte, error) {
	var c canon
	if err := c.run(raw, false); err != nil {
		return nil, err
	}
	return c.out, nil
}

// canon rewrites JSON in one pass: each object's members are appended to out as
// they come and put in order when the object ends, so nothing like a tree is
// built. Its buffers are reused.
type canon struct {
	src    []byte
	pos    int
	redact bool   // redact, and treat the root as a CloudTrail record
	out    []byte // the canonical text
	bad    int    // invalid UTF-8 bytes and surrogates that were replaced
	fault  string // why run failed, at pos

	stopAtList bool // fail where a list of records starts

	tmp      []byte   // one decoded string
	perm     []byte   // an object being put in order
	sorted   []member // its members, in order
	unsorted []member
	members  []member
	escaped  []string // decoded keys that are not their own canonical text
	known    *memory  // nil: remember nothing

	// captured holds the members of the objects that columns come from.
	captured [numPaths][]member
	// Where src has what an envelope wraps; end 0 when it has none.
	cloudTrailEvent, detail span
}

// memory is what a canon that is used again and again remembers of keys.
type memory struct {
	keys   keyTable
	shapes [512]shape
}

// span is a part of a buffer; end 0 means none.
type span struct{ start, end int }

// member is one member of an object; offsets are relative to the object's
// start in out.
type member struct {
	prefix          uint64 // first eight bytes of the key, big endian, for sorting
	start, val, end int32  // `"key":value` from start to end, the value from val
	escaped         int32  // index into canon.escaped plus one, or 0
	info            keyInfo
	mask            bool // replace the value when the object is put in order
}

// path names the objects whose members are captured.
type path uint8

const (
	pathOther path = iota
	pathRoot
	pathIdentity
	pathSession
	pathIssuer
	pathAttributes
	pathBehalf
	numPaths
)

// child returns the path of a member's value.
func (p path) child(f field) path {
	switch {
	case p == pathRoot && f == fUserIdentity:
		return pathIdentity
	case p == pathIdentity && f == fSessionContext:
		return pathSession
	case p == pathIdentity && f == fOnBehalfOf:
		return pathBehalf
	case p == pathSession && f == fSessionIssuer:
		return pathIssuer
	case p == pathSession && f == fAttributes:
		return pathAttributes
	}
	return pathOther
}

// run rewrites src, which must be one value and nothing else.
func (c *canon) run(src []byte, redact bool) error {
	ok := c.begin(src, redact)
	if ok {
		c.space()
		if c.pos < len(c.src) {
			ok = c.fail("something follows the value")
		}
	}
	c.src = nil
	if !ok {
		return &RejectError{Reason: "malformed JSON at byte " + strconv.Itoa(c.pos) + ": " + c.fault}
	}
	return nil
}

// prefix rewrites the record that src starts with; it returns its length, 0
// when src doesn't hold all of it, or a list of records instead of one.
func (c *canon) prefix(src []byte) int {
	c.stopAtList = true
	ok := c.begin(src, true)
	c.stopAtList = false
	c.src = nil
	if !ok {
		return 0
	}
	return c.pos
}

// begin rewrites the value that src starts with.
func (c *canon) begin(src []byte, redact bool) bool {
	c.src, c.pos, c.redact = src, 0, redact
	c.out, c.members, c.escaped = c.out[:0], c.members[:0], c.escaped[:0]
	c.bad, c.fault = 0, ""
	c.cloudTrailEvent, c.detail = span{}, span{}
	c.forget(pathRoot)
	c.space()
	root := pathOther
	if redact {
		root = pathRoot
	}
	return c.value(root, 0)
}

// forget drops what was captured of an object and those inside it, because the
// last of duplicate keys wins and may be no object.
func (c *canon) forget(p path) {
	c.captured[p] = c.captured[p][:0]
	switch p {
	case pathRoot:
		c.forget(pathIdentity)
	case pathIdentity:
		c.forget(pathSession)
		c.forget(pathBehalf)
	case pathSession:
		c.forget(pathIssuer)
		c.forget(pathAttributes)
	}
}

func (c *canon) fail(why string) bool {
	c.fault = why
	return false
}

func (c *canon) space() {
	if c.pos < len(c.src) && c.src[c.pos] <= ' ' {
		c.skipSpace()
	}
}

func (c *canon) skipSpace() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end.
func (c *canon) peek() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

func (c *canon) value(p path, depth int) bool {
	switch b := c.peek(); b {
	case '"':
		return c.string()
	case '{':
		return c.object(p, depth+1)
	case '[':
		return c.array(depth + 1)
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		if b == '-' || b >= '0' && b <= '9' {
			return c.number()
		}
		if c.pos >= len(c.src) {
			return c.fail("it ends too early")
		}
		return c.fail("a value is missing")
	}
}

func (c *canon) literal(word string) bool {
	end := c.pos + len(word)
	if end > len(c.src) || string(c.src[c.pos:end]) != word {
		return c.fail("an unknown word")
	}
	c.out = append(c.out, word...)
	c.pos = end
	return true
}

func (c *canon) number() bool {
	n := numberLen(c.src[c.pos:])
	if n == 0 {
		return c.fail("a malformed number")
	}
	c.out = append(c.out, c.src[c.pos:c.pos+n]...)
	c.pos += n
	return true
}

// numberLen returns the length of the JSON number that s starts with, or 0.
func numberLen(s []byte) int {
	i := 0
	digits := func() bool {
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return 0
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

func (c *canon) array(depth int) bool {
	if depth > maxDepth {
		return c.fail("nested too deeply")
	}
	c.pos++
	c.out = append(c.out, '[')
	c.space()
	if c.peek() == ']' {
		c.pos++
		c.out = append(c.out, ']')
		return true
	}
	for {
		if !c.value(pathOther, depth) {
			return false
		}
		c.space()
		switch c.peek() {
		case ',':
			c.pos++
			c.out = append(c.out, ',')
			c.space()
		case ']':
			c.pos++
			c.out = append(c.out, ']')
			return true
		default:
			return c.fail("expected , or ]")
		}
	}
}

func (c *canon) object(p path, depth int) bool {
	if depth > maxDepth {
		return c.fail("nested too deeply")
	}
	start, base := len(c.out), len(c.members)
	c.pos++
	c.out = append(c.out, '{')
	c.space()
	sorted := true
	var seen keyFlags
	if c.peek() == '}' {
		c.pos++
		c.out = append(c.out, '}')
	} else {
		for more := true; more; {
			at, kept := len(c.out), len(c.escaped)
			m := member{start: int32(at - start)}
			if !c.key(&m, start) {
				return false
			}
			child := p.child(m.info.field)
			if child != pathOther {
				c.forget(child)
			}
			from := c.pos
			if p == pathRoot && m.info.field == fList && c.stopAtList && c.peek() == '[' {
				return c.fail("a list of records")
			}
			if c.redact && m.info.flags&keySecret != 0 {
				c.redact = false // no need to look for credentials in one
				ok := c.value(pathOther, depth)
				c.redact = true
				if !ok {
					return false
				}
				c.out = maskValue(c.out, start+int(m.val))
			} else if !c.value(child, depth) {
				return false
			}
			if p == pathRoot {
				c.envelope(m.info.field, from)
			}
			if p == pathRoot && m.info.flags&keyTransport != 0 {
				c.out, c.escaped = c.out[:at], c.escaped[:kept]
			} else {
				m.end = int32(len(c.out) - start)
				c.out = append(c.out, ',')
				seen |= m.info.flags
				if n := len(c.members); sorted && n > base && c.compare(start, &c.members[n-1], &m) >= 0 {
					sorted = false
				}
				c.members = append(c.members, m)
			}
			c.space()
			switch c.peek() {
			case ',':
				c.pos++
				c.space()
			case '}':
				c.pos++
				more = false
			default:
				return c.fail("expected , or }")
			}
		}
		if p == pathRoot && c.bad > 0 {
			c.noteInvalid(start)
			sorted = false
		}
		if c.redact && seen&keyPair != 0 && c.maskPairs(start, base, seen) {
			sorted = false
		}
		if !sorted {
			c.order(start, base)
		} else if len(c.members) > base {
			c.out[len(c.out)-1] = '}'
		} else {
			c.out = append(c.out, '}')
		}
	}
	if p != pathOther {
		c.captured[p] = append(c.captured[p][:0], c.members[base:]...)
	}
	c.members = c.members[:base]
	return true
}

// envelope remembers where the record inside a LookupEvents element or an
// EventBridge event is.
func (c *canon) envelope(f field, from int) {
	switch f {
	case fCloudTrailEvent:
		c.cloudTrailEvent = span{from, c.pos}
	case fDetail:
		c.detail = span{from, c.pos}
	}
}

// noteInvalid adds to the record how many bytes had to be replaced, so that the
// change is visible and is part of what is hashed.
func (c *canon) noteInvalid(start int) {
	m := member{start: int32(len(c.out) - start)}
	c.out = append(c.out, `"`+keyInvalidUTF8+`":`...)
	m.val = int32(len(c.out) - start)
	c.out = strconv.AppendInt(c.out, int64(c.bad), 10)
	m.end = int32(len(c.out) - start)
	m.prefix = prefixOf([]byte(keyInvalidUTF8))
	c.out = append(c.out, ',')
	c.members = append(c.members, m)
}

// keyOf returns a member's decoded key.
func (c *canon) keyOf(start int, m *member) []byte {
	if m.escaped > 0 {
		return []byte(c.escaped[m.escaped-1])
	}
	return c.out[start+int(m.start)+1 : start+int(m.val)-2]
}

// key reads a key and its colon and writes both.
func (c *canon) key(m *member, start int) bool {
	if c.peek() != '"' {
		return c.fail("expected a key")
	}
	p, at := c.pos+1, len(c.out)
	end := c.copyPlain(c.pos)
	if end >= len(c.src) {
		c.pos = end
		return c.fail("a string has no end")
	}
	info := keyInfo{flags: keyUnsafe}
	if c.src[end] == '"' {
		m.prefix = prefixAt(c.src, p, end)
		switch {
		case !c.redact:
			info = keyInfo{}
		case c.known != nil:
			info = c.known.keys.lookup(c.src[p:end], m.prefix)
		default:
			info = classify(string(c.src[p:end]))
		}
	}
	if info.flags&keyUnsafe == 0 {
		c.out = append(c.out, '"')
		c.pos = end + 1
	} else {
		if !c.decode(p, end) {
			return false
		}
		key := string(c.tmp)
		if c.redact {
			key, _ = scrub(key)
			info = classify(key)
		}
		m.prefix = prefixOf([]byte(key))
		c.escaped = append(c.escaped, key)
		m.escaped = int32(len(c.escaped))
		c.out = appendQuoted(c.out[:at], key)
	}
	m.info = info
	c.space()
	if c.peek() != ':' {
		return c.fail("expected :")
	}
	c.pos++
	c.out = append(c.out, ':')
	m.val = int32(len(c.out) - start)
	c.space()
	return true
}

// string reads a string value and writes it, without credentials.
func (c *canon) string() bool {
	p, at := c.pos+1, len(c.out)
	end := c.copyPlain(c.pos)
	if end >= len(c.src) {
		c.pos = end
		return c.fail("a string has no end")
	}
	text := c.src[p:end]
	if c.src[end] == '"' {
		c.pos = end + 1
		c.out = append(c.out, '"')
	} else {
		if !c.decode(p, end) {
			return false
		}
		text = c.tmp
		c.out = appendQuoted(c.out[:at], text)
	}
	if c.redact && suspicious(text) {
		if t, changed := scrub(string(text)); changed {
			c.out = appendQuoted(c.out[:at], t)
		}
	}
	return true
}

// copyPlain appends the quote at p and the plain text behind it to out. It
// returns the index of the first byte that isn't plain; see plainEnd.
func (c *canon) copyPlain(p int) int {
	src, n := c.src, len(c.out)
	if cap(c.out)-n < len(src)-p+16 {
		c.out = slices.Grow(c.out, len(src)-p+16)
	}
	out := c.out[:cap(c.out)]
	out[n] = '"'
	n++
	p++
	for p+8 <= len(src) {
		w := binary.LittleEndian.Uint64(src[p:])
		binary.LittleEndian.PutUint64(out[n:], w)
		if hit := special(w); hit != 0 {
			k := bits.TrailingZeros64(hit) >> 3
			c.out = out[:n+k]
			return p + k
		}
		p, n = p+8, n+8
	}
	end := plainEnd(src, p)
	n += copy(out[n:], src[p:end])
	c.out = out[:n]
	return end
}

// decode puts the string that starts at p (after its quote) into tmp; the bytes
// before end are known to be plain. pos moves behind the closing quote.
func (c *canon) decode(p, end int) bool {
	c.tmp = c.tmp[:0]
	for {
		c.tmp = append(c.tmp, c.src[p:end]...)
		if end >= len(c.src) {
			c.pos = end
			return c.fail("a string has no end")
		}
		switch b := c.src[end]; {
		case b == '"':
			c.pos = end + 1
			return true
		case b == '\\':
			n, r := unescape(c.src[end:])
			if n == 0 {
				c.pos = end
				return c.fail("an unknown escape")
			}
			if r == badRune {
				c.bad++
				r = utf8.RuneError
			}
			c.tmp = utf8.AppendRune(c.tmp, r)
			p = end + n
		case b < 0x20:
			c.pos = end
			return c.fail("a control character in a string")
		default:
			r, n := utf8.DecodeRune(c.src[end:])
			if r == utf8.RuneError && n == 1 {
				c.bad++
			}
			c.tmp = utf8.AppendRune(c.tmp, r)
			p = end + n
		}
		end = plainEnd(c.src, p)
	}
}
