package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	_ "embed" // the dictionary

	"github.com/klauspost/compress/s2"

	"github.com/iamtrack/iamtrack/internal/event"
)

// An event in the hot store is one blob: the format's number, one byte, then all
// fields in a fixed order, compressed with S2 and a dictionary of what records
// have in common. Against plain S2 the dictionary saves a third of the bytes and
// costs no time; zstd saves another sixth and takes four times as long.
//
// A field that is added to event.Event gets its place after the others and a new
// format number; old blobs are read for ever.
const eventFormat = 1

// maxPlain bounds what decoding a damaged blob may allocate, in bytes. A record
// is at most 4 MB, of which an event repeats a few strings.
const maxPlain = 64 << 20

// The dictionary belongs to format 1 and must never change.
//
//go:embed dictionary1.txt
var dictionary1 []byte

// S2 reads the first byte (a varint) as an offset, not as content.
var dict1 = s2.NewDict(append([]byte{0}, dictionary1...))

var errBlob = errors.New("damaged event")

// stringFields returns pointers to the string fields in the order of format 1.
func stringFields(e *event.Event) [35]*string {
	return [35]*string{
		&e.EventID, &e.AccountID, &e.AWSRegion, &e.EventSource, &e.EventName, &e.EventType,
		&e.Category, &e.Outcome, &e.ErrorCode, &e.ErrorMessage, &e.SourceIP, &e.UserAgent,
		&e.IdentityType, &e.IdentityARN, &e.PrincipalID, &e.IdentityAccountID, &e.UserName,
		&e.RoleName, &e.SessionName, &e.AccessKeyID, &e.InvokedBy, &e.TargetKind, &e.TargetName,
		&e.TargetARN, &e.IssuedAccessKeyID, &e.Actor, &e.ActorKind, &e.ActorChain,
		&e.RequestParameters, &e.ResponseElements, &e.AdditionalEventData, &e.Resources,
		&e.Rest, &e.EventVersion, &e.FilteredBy,
	}
}

// encodeEvent appends e's blob to dst; plain is scratch space, returned for the
// next call.
func encodeEvent(dst, plain []byte, e *event.Event) (blob, scratch []byte) {
	p := plain[:0]
	p = binary.AppendVarint(p, e.EventTime)
	p = binary.LittleEndian.AppendUint64(p, uint64(e.RecordHash))
	p = append(p, boolByte(e.ReadOnly)<<2|boolByte(e.MFA))
	for _, s := range stringFields(e) {
		p = appendString(p, *s)
	}
	dst = slices.Grow(append(dst, eventFormat), s2.MaxEncodedLen(len(p)))
	packed := dict1.Encode(dst[len(dst):cap(dst)], p)
	return dst[:len(dst)+len(packed)], p
}

// decodeEvent reads a blob. The event's strings share one allocation.
func decodeEvent(blob, plain []byte) (e event.Event, scratch []byte, err error) {
	if len(blob) == 0 {
		return e, plain, errBlob
	}
	if blob[0] != eventFormat {
		return e, plain, fmt.Errorf("event in format %d: %w", blob[0], ErrNewer)
	}
	n, err := s2.DecodedLen(blob[1:])
	if err != nil || n > maxPlain {
		return e, plain, errBlob
	}
	if plain, err = dict1.Decode(plain[:cap(plain)], blob[1:]); err != nil {
		return e, plain, errBlob
	}
	r := reader{data: string(plain)}
	e.EventTime = r.varint()
	e.RecordHash = int64(r.uint64())
	flags := r.byte()
	e.ReadOnly, e.MFA = byteBool(flags>>2), byteBool(flags&3)
	for _, s := range stringFields(&e) {
		*s = r.string()
	}
	if r.bad || r.data != "" || flags > 0b1010 || flags&3 > 2 {
		return event.Event{}, plain, errBlob
	}
	return e, plain, nil
}

// boolByte and byteBool map nil, false, true to 0, 1, 2.
func boolByte(b *bool) byte {
	switch {
	case b == nil:
		return 0
	case *b:
		return 2
	}
	return 1
}

func byteBool(b byte) *bool {
	if b == 0 {
		return nil
	}
	v := b == 2
	return &v
}

// The small values of facts and alerts are written the same way, uncompressed:
// JSON would change strings that are not valid UTF-8.

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

func appendMap(b []byte, m map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendString(appendString(b, k), m[k])
	}
	return b
}

// reader takes values off the front of data. After the first that isn't there it
// is bad, and returns zero values.
type reader struct {
	data string
	bad  bool
}

func (r *reader) fail() {
	r.data, r.bad = "", true
}

func (r *reader) byte() byte {
	if r.data == "" {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) uint64() uint64 {
	if len(r.data) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64([]byte(r.data[:8]))
	r.data = r.data[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.byte()
		if r.bad || (shift == 63 && b > 1) {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) string() string {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.data)) {
		r.fail()
		return ""
	}
	s := r.data[:n]
	r.data = r.data[n:]
	return s
}

// count reads how many values follow, of which each takes a byte at least.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) strings() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

func (r *reader) stringMap() map[string]string {
	n := r.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := r.string()
		m[k] = r.string()
	}
	return m
}
