package event

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// Raw is one JSON value of a stream: a record, an envelope with a record in it,
// or what should have been one.
type Raw struct {
	// Data is valid until the next call of Next. With Err set it is only the
	// start of the value (4 KiB).
	Data   []byte
	Offset int64 // of Data, in bytes into the decompressed stream
	Length int64 // of the value, in bytes
	// Err is set when the value is rejected unparsed: too large, or not JSON.
	Err *RejectError

	sum [sha256.Size]byte // of the whole value; only with Err
}

// StreamError says that a stream can't be read on from Offset: it isn't JSON,
// it is cut off, or reading failed (then it wraps the reader's error). All
// values before Offset have been returned.
type StreamError struct {
	Offset int64
	Reason string
	Err    error
}

func (e *StreamError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s at byte %d: %v", e.Reason, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset)
}

func (e *StreamError) Unwrap() error { return e.Err }

// Splitter cuts a decompressed stream into values. The accepted forms, which
// may follow one another in a stream, are:
//
//   - {"Records":[...]} and {"Events":[...]} (LookupEvents): the elements; other
//     members are skipped;
//   - an array: its elements;
//   - any other value, on a line of its own or not: itself.
//
// Memory is bounded by MaxRecord, whatever the stream's size. Not safe for
// concurrent use.
type Splitter struct {
	r    io.Reader
	rerr error // what r returned last

	buf  []byte
	own  []byte // set aside while buf is somebody else's
	pos  int    // next byte to look at
	base int64  // offset of buf[0] in the stream
	keep int    // bytes before keep may be dropped

	mode  mode
	outer scanner // of the value being read
	inner scanner // of an object whose Records array was entered
	fail  error   // returned from now on
	some  bool    // a value, or an array of values, was seen
	sum   hash.Hash
	head  []byte

	reached int64 // how far value has looked
	wasted  int64 // bytes that were looked at again because of bad lines
}

// maxWasted bounds wasted: hostile lines may each look like the start of all
// that follows.
const maxWasted = 64 << 20

type mode uint8

const (
	modeTop     mode = iota // between values
	modeFirst               // in an array, before the first element
	modeElement             // in an array, before an element
	modeAfter               // in an array, after an element
	modeWrapper             // in an object, after its Records array
)

const (
	readSize = 256 << 10
	lowWater = 16 << 10 // more than nearly all records have
)

// NewSplitter returns a Splitter that reads r.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{r: r, buf: make([]byte, 0, readSize)}
}

// Reset makes s read r from its start, with the buffers it has. What Next
// returned before is no longer valid.
func (s *Splitter) Reset(r io.Reader) {
	const most = 4 * readSize // more was one huge record's
	buf := s.spare()
	if cap(buf) > most {
		buf = make([]byte, 0, readSize)
	}
	*s = Splitter{r: r, buf: buf, head: s.head[:0]}
}

// ResetWhole is Reset for a stream that is in memory as a whole, which stays as it
// is: values are parts of it.
func (s *Splitter) ResetWhole(data []byte) {
	*s = Splitter{rerr: io.EOF, buf: data[:len(data):len(data)], own: s.spare(), head: s.head[:0]}
}

// spare returns the buffer that is the splitter's own, empty.
func (s *Splitter) spare() []byte {
	if s.own != nil {
		return s.own
	}
	return s.buf[:0]
}

// more fills the buffer. It drops what comes before keep, and reports whether
// there is at least one byte more.
func (s *Splitter) more() bool {
	if s.rerr != nil {
		return false
	}
	if s.keep > 0 && len(s.buf) == cap(s.buf) {
		n := copy(s.buf, s.buf[s.keep:])
		s.buf = s.buf[:n]
		s.base += int64(s.keep)
		s.pos -= s.keep
		s.keep = 0
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, 2*cap(s.buf)), s.buf...)
	}
	// Readers yield little at a time, and a record that is cut is looked at twice.
	from := len(s.buf)
	for tries := 0; len(s.buf) < cap(s.buf) && s.rerr == nil; tries++ {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		s.rerr = err
		if n > 0 {
			tries = 0
		} else if tries == 100 && err == nil {
			s.rerr = io.ErrNoProgress
		}
	}
	return len(s.buf) > from
}

// at makes sure that the byte at pos is there.
func (s *Splitter) at() bool {
	return s.pos < len(s.buf) || s.more()
}

// space skips white space; it reports whether there is something behind it.
func (s *Splitter) space() bool {
	for s.at() {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			s.keep = s.pos
		default:
			return true
		}
	}
	return false
}

// stop makes a StreamError the answer of all further calls.
func (s *Splitter) stop(offset int64, reason string) (Raw, error) {
	s.fail = &StreamError{Offset: offset, Reason: reason}
	return Raw{}, s.fail
}

// cut is stop where the stream ended too early, for whatever reason.
func (s *Splitter) cut(offset int64, reason string) (Raw, error) {
	e := &StreamError{Offset: offset, Reason: reason}
	if s.rerr != io.EOF {
		e.Reason, e.Err = "read failed", s.rerr
	}
	s.fail = e
	return Raw{}, e
}

// Next returns the next value, io.EOF after the last, or a *StreamError.
func (s *Splitter) Next() (Raw, error) {
	if s.fail != nil {
		return Raw{}, s.fail
	}
	for {
		s.keep = s.pos
		if s.base == 0 && s.pos == 0 {
			s.skipMark()
		}
		if !s.space() {
			if s.mode != modeTop || s.rerr != io.EOF {
				return s.cut(s.base+int64(s.pos), "cut off inside the list of records")
			}
			s.fail = io.EOF
			return Raw{}, io.EOF
		}
		b := s.buf[s.pos]
		offset := s.base + int64(s.pos)
		switch s.mode {
		case modeTop:
			if b == '[' {
				s.pos++
				s.mode, s.some = modeFirst, true
				s.inner.reset(false)
				continue
			}
			raw, entered, err := s.top()
			if entered {
				continue
			}
			return raw, err
		case modeFirst, modeElement:
			if b == ']' {
				s.endArray()
				continue
			}
			s.mode = modeAfter
			return s.element()
		case modeAfter:
			switch b {
			case ',':
				s.pos++
				s.mode = modeElement
			case ']':
				s.endArray()
			default:
				return s.stop(offset, "malformed list of records")
			}
		case modeWrapper:
			entered, err := s.wrapper()
			if err != nil {
				return Raw{}, err
			}
			if entered {
				s.mode = modeFirst
			} else {
				s.mode = modeTop
			}
		}
	}
}

// Blank reports whether a stream that was read to its end held nothing but white
// space, and at least a byte of it.
func (s *Splitter) Blank() bool {
	return s.fail == io.EOF && !s.some && s.base+int64(len(s.buf)) > 0
}

// buffered returns what is in memory from the next value on, if that is an
// object for sure and nothing but it has to be done: Parser.Next then finds its
// end by itself, and takes it.
func (s *Splitter) buffered() []byte {
	if s.fail != nil {
		return nil
	}
	if len(s.buf)-s.pos < lowWater {
		s.keep = s.pos
		s.more()
	}
	i, comma := s.pos, s.mode != modeAfter
	for ; i < len(s.buf); i++ {
		switch b := s.buf[i]; {
		case b == ' ' || b == '\n' || b == '\r' || b == '\t':
		case b == ',' && !comma:
			comma = true
		case b == '{' && comma && s.mode != modeWrapper:
			s.pos, s.keep = i, i
			if s.mode == modeAfter {
				s.mode = modeElement
			}
			return s.buf[i:]
		default:
			return nil
		}
	}
	return nil
}

// take returns the first n bytes that buffered returned as a value.
func (s *Splitter) take(n int) Raw {
	raw := Raw{Data: s.buf[s.pos : s.pos+n], Offset: s.base + int64(s.pos), Length: int64(n)}
	s.pos += n
	if s.mode != modeTop {
		s.mode = modeAfter
	}
	s.some = true
	return raw
}

// skipMark skips a UTF-8 byte order mark.
func (s *Splitter) skipMark() {
	for len(s.buf) < 3 && s.more() {
	}
	if bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")) {
		s.pos, s.keep = 3, 3
	}
}

func (s *Splitter) endArray() {
	s.pos++
	s.mode = modeTop
	if s.inner.depth > 0 {
		s.mode = modeWrapper
	}
}

// wrapper goes through the rest of an object whose array was read. It reports
// whether another such array starts.
func (s *Splitter) wrapper() (entered bool, err error) {
	offset := s.base + int64(s.pos)
	for {
		n, state := s.inner.scan(s.buf[s.pos:])
		s.pos += n
		s.keep = s.pos
		switch state {
		case scanDone:
			return false, nil
		case scanArray:
			return true, nil
		case scanBad:
			_, err := s.stop(s.base+int64(s.pos), "malformed JSON after the records")
			return false, err
		}
		if !s.more() {
			_, err := s.cut(offset, "cut off after the records")
			return false, err
		}
	}
}

// top returns the value at pos, between values. It reports whether that is an
// object with records, which was entered.
func (s *Splitter) top() (raw Raw, entered bool, err error) {
	start := s.base + int64(s.pos)
	s.outer.reset(true)
	raw, state := s.value(&s.outer)
	switch state {
	case scanDone:
		if raw.Err == nil && !plausible(raw.Data) {
			s.pos = s.keep
			break
		}
		s.some = true
		return raw, false, nil
	case scanArray:
		s.mode, s.some = modeFirst, true
		s.inner, s.outer = s.outer, s.inner
		return Raw{}, true, nil
	}
	// Not JSON. In a file of lines the next line is the next chance.
	raw, lines, err := s.badLine(start)
	if err != nil {
		return Raw{}, false, err
	}
	if !lines {
		if state == scanMore {
			raw, err = s.cut(start, "cut off inside a record")
		} else {
			raw, err = s.stop(start, "not JSON")
		}
		return raw, false, err
	}
	s.some = true
	return raw, false, nil
}

// plausible reports whether a complete value can be JSON: for objects, arrays
// and strings the parser tells.
func plausible(data []byte) bool {
	switch data[0] {
	case '{', '[', '"':
		return true
	}
	switch string(data) {
	case "true", "false", "null":
		return true
	}
	return numberLen(data) == len(data)
}

// element returns the value at pos, inside an array.
func (s *Splitter) element() (Raw, error) {
	start := s.base + int64(s.pos)
	s.outer.reset(false)
	raw, state := s.value(&s.outer)
	switch state {
	case scanDone:
		return raw, nil
	case scanMore:
		return s.cut(start, "cut off inside a record")
	}
	return s.stop(start, "malformed record in a list")
}

// value reads one value from pos on. When it isn't complete or is no JSON, and
// is still in memory, pos is its start.
func (s *Splitter) value(sc *scanner) (Raw, scanState) {
	s.keep = s.pos
	start := s.base + int64(s.pos)
	scanned := s.pos // next byte to scan
	large := false
	for {
		n, state := sc.scan(s.buf[scanned:])
		scanned += n
		s.reached = s.base + int64(scanned)
		if !large && s.base+int64(scanned)-start > MaxRecord && state != scanArray {
			large = true
			s.begin(s.buf[s.keep:scanned])
			s.keep = scanned
		} else if large {
			s.sum.Write(s.buf[scanned-n : scanned])
			s.keep = scanned
		}
		if large {
			s.pos = scanned
		}
		switch state {
		case scanDone:
			s.pos = scanned
			length := s.base + int64(scanned) - start
			if large {
				return s.large(start, length), scanDone
			}
			return Raw{Data: s.buf[s.keep:scanned], Offset: start, Length: length}, scanDone
		case scanArray:
			s.pos = scanned
			return Raw{}, scanArray
		case scanBad:
			return Raw{}, scanBad
		}
		before := s.base
		if !s.more() {
			if sc.scalar() { // the stream's end ends a number
				s.pos = scanned
				return Raw{Data: s.buf[s.keep:scanned], Offset: start, Length: s.base + int64(scanned) - start}, scanDone
			}
			return Raw{}, scanMore
		}
		scanned -= int(s.base - before)
	}
}

// begin starts the hash of a value that isn't kept.
func (s *Splitter) begin(data []byte) {
	s.sum = sha256.New()
	s.sum.Write(data)
	s.head = append(s.head[:0], data[:min(len(data), excerptSource)]...)
}

// large returns a value that was too large to be kept.
func (s *Splitter) large(offset, length int64) Raw {
	raw := Raw{Data: s.head, Offset: offset, Length: length,
		Err: &RejectError{Reason: fmt.Sprintf("larger than %d bytes", MaxRecord)}}
	s.sum.Sum(raw.sum[:0])
	return raw
}

// badLine takes what starts at offset start, and isn't JSON, up to the next
// line that starts with a brace: that may be a record again. It reports false,
// and takes nothing, when nothing shows that the stream consists of lines.
func (s *Splitter) badLine(start int64) (Raw, bool, error) {
	if s.base+int64(s.pos) != start { // it was too large to be kept
		return s.badLarge(start)
	}
	from := s.pos // where to look for the next line
	if s.wasted += s.reached - start; s.wasted > maxWasted {
		from = int(s.reached - s.base)
	}
	for {
		rest := s.buf[from:]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			from += i + 1
			for from >= len(s.buf) && s.moreLine(&from) {
			}
			if from < len(s.buf) && s.buf[from] != '{' {
				continue
			}
			if from >= len(s.buf) && !s.some {
				return Raw{}, false, nil
			}
			return s.badRaw(from - 1), true, nil
		}
		from = len(s.buf)
		if int64(from)+s.base-start > MaxRecord || !s.moreLine(&from) {
			break
		}
	}
	if s.some && int64(from)+s.base-start > MaxRecord {
		s.begin(s.buf[s.pos:])
		s.pos = len(s.buf)
		s.keep = s.pos
		return s.badLarge(start)
	}
	return Raw{}, false, nil
}

// moreLine is more, keeping what starts at pos, with from moved along.
func (s *Splitter) moreLine(from *int) bool {
	before := s.base
	ok := s.more()
	*from -= int(s.base - before)
	return ok
}

// badRaw rejects what is between pos and end.
func (s *Splitter) badRaw(end int) Raw {
	data := bytes.TrimRight(s.buf[s.pos:end], "\r\n \t")
	raw := Raw{Data: data[:min(len(data), excerptSource)], Offset: s.base + int64(s.pos), Length: int64(len(data)),
		sum: sha256.Sum256(data), Err: &RejectError{Reason: "not JSON"}}
	s.pos = end + 1
	return raw
}

// badLarge takes a value that isn't JSON and too large to be kept, up to the
// end of the line.
func (s *Splitter) badLarge(start int64) (Raw, bool, error) {
	for {
		i := bytes.IndexByte(s.buf[s.pos:], '\n')
		end := len(s.buf)
		if i >= 0 {
			end = s.pos + i
		}
		s.sum.Write(s.buf[s.pos:end])
		s.pos, s.keep = end, end
		if i >= 0 {
			return s.large(start, s.base+int64(end)-start), true, nil
		}
		if !s.more() {
			_, err := s.cut(start, "cut off inside a record")
			return Raw{}, false, err
		}
	}
}
