package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Parser turns JSON values into events. It reuses its buffers and remembers
// frequent strings, all of bounded size; the events it returns share none of
// the buffers. Not safe for concurrent use: one per goroutine.
type Parser struct {
	c       canon
	intern  internTable
	ev      Event
	heading Head
	clean   internTable // strings that hold no credential
	ids     arena

	vals  [numFields]span // values in the record, by field
	small []byte          // decoded short columns of one event
	large []byte          // its JSON columns
	refs  []ref
	tmp   []byte
	inner []byte // the record inside a LookupEvents element
}

// ref says which part of small or large a column gets.
type ref struct {
	dst        *string
	start, end int
	large      bool
}

// NewParser returns a Parser.
func NewParser() *Parser {
	return &Parser{c: canon{known: new(memory)}}
}

// Parse turns one value into an Event: a CloudTrail record, or an envelope with
// one in it (a LookupEvents element, an EventBridge event). Members whose key
// starts with "@" are log shippers' additions and are dropped. Everything else
// of the record survives, credentials excepted: see Event.Record.
//
// The error is always a *RejectError. Its text has no credentials.
func (p *Parser) Parse(raw []byte) (Event, error) {
	if len(raw) > MaxRecord {
		return Event{}, &RejectError{Reason: fmt.Sprintf("larger than %d bytes", MaxRecord)}
	}
	if err := p.c.run(raw, true); err != nil {
		return Event{}, err
	}
	return p.parsed(raw)
}

// Next reads the next value of s and parses it: s.Next and Parse in one, and
// faster. The error is nil, a *RejectError (then raw tells what was rejected:
// see Raw.Reject), io.EOF, or a *StreamError.
func (p *Parser) Next(s *Splitter) (e Event, raw Raw, err error) {
	if rest := s.buffered(); len(rest) > 0 {
		if n := p.c.prefix(rest); n > 0 && n <= MaxRecord {
			raw = s.take(n)
			e, err = p.parsed(raw.Data)
			return e, raw, err
		}
	}
	if raw, err = s.Next(); err != nil {
		return Event{}, Raw{}, err
	}
	if raw.Err != nil {
		return Event{}, raw, raw.Err
	}
	e, err = p.Parse(raw.Data)
	return e, raw, err
}

// parsed builds the event of raw, which was rewritten.
func (p *Parser) parsed(raw []byte) (Event, error) {
	for envelopes := 0; ; envelopes++ {
		if p.c.out[0] != '{' {
			return Event{}, &RejectError{Reason: "not a CloudTrail record: not an object"}
		}
		p.locate()
		if p.vals[fEventName].end > 0 || p.vals[fEventSource].end > 0 || p.vals[fEventTime].end > 0 {
			return p.event()
		}
		inner := p.open(raw)
		if inner == nil || envelopes == 2 {
			return Event{}, &RejectError{Reason: "not a CloudTrail record: no eventName, eventSource or eventTime"}
		}
		raw = inner
		if err := p.c.run(raw, true); err != nil {
			return Event{}, err
		}
	}
}

// open returns the record that an envelope holds, or nil.
func (p *Parser) open(raw []byte) []byte {
	if s := p.c.cloudTrailEvent; s.end > 0 {
		v := raw[s.start:s.end]
		if v[0] == '{' {
			return v
		}
		if v[0] == '"' {
			// Bytes that aren't UTF-8 pass unchanged: they are the record's.
			p.inner = appendText(p.inner[:0], v[1:len(v)-1])
			return p.inner
		}
	}
	if s := p.c.detail; s.end > 0 && raw[s.start] == '{' {
		return raw[s.start:s.end]
	}
	return nil
}

// locate fills vals.
func (p *Parser) locate() {
	p.vals = [numFields]span{}
	for i := range p.c.captured[pathRoot] {
		m := &p.c.captured[pathRoot][i]
		if f := m.info.field; f <= fUserIdentity || f == fServiceEventDetails {
			p.vals[f] = span{int(m.val), int(m.end)}
		}
	}
	id := p.vals[fUserIdentity]
	if id.end == 0 || p.c.out[id.start] != '{' {
		p.c.forget(pathIdentity)
		return
	}
	p.locateIn(pathIdentity, id.start, fAccessKeyID, fUserName)
	p.locateIn(pathIdentity, id.start, fIdentityProvider, fIdentityProvider)
}

// locateIn fills vals with the fields first to last of a captured object that
// starts at base.
func (p *Parser) locateIn(at path, base int, first, last field) {
	for i := range p.c.captured[at] {
		m := &p.c.captured[at][i]
		if f := m.info.field; f >= first && f <= last {
			p.vals[f] = span{base + int(m.val), base + int(m.end)}
		}
	}
}

// nested returns the value of a field in an object inside userIdentity.
func (p *Parser) nested(f field, path ...path) []byte {
	base := p.vals[fUserIdentity].start
	for i, at := range path {
		var want field
		switch {
		case i == len(path)-1:
			want = f
		case path[i+1] == pathSession:
			want = fSessionContext
		case path[i+1] == pathIssuer:
			want = fSessionIssuer
		case path[i+1] == pathAttributes:
			want = fAttributes
		case path[i+1] == pathBehalf:
			want = fOnBehalfOf
		}
		found := false
		for j := range p.c.captured[at] {
			if m := &p.c.captured[at][j]; m.info.field == want {
				if i == len(path)-1 {
					return p.c.out[base+int(m.val) : base+int(m.end)]
				}
				base += int(m.val)
				found = true
				break
			}
		}
		if !found {
			return nil
		}
	}
	return nil
}

// str returns the decoded content of a JSON string value, valid until the next
// call; nil for any other value.
func (p *Parser) str(v []byte) []byte {
	if len(v) < 2 || v[0] != '"' {
		return nil
	}
	body := v[1 : len(v)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return body
	}
	p.tmp = appendText(p.tmp[:0], body)
	return p.tmp
}

// put makes b the column's text.
func (p *Parser) put(dst *string, b []byte) {
	start := len(p.small)
	p.small = append(p.small, b...)
	p.refs = append(p.refs, ref{dst: dst, start: start, end: len(p.small)})
}

// json makes v, unless it is null, the column's text; it reports whether it did.
func (p *Parser) json(dst *string, v []byte) bool {
	if len(v) == 0 || v[0] == 'n' {
		return false
	}
	start := len(p.large)
	p.large = append(p.large, v...)
	p.refs = append(p.refs, ref{dst: dst, start: start, end: len(p.large), large: true})
	return true
}

// togetherMax is up to which size an event's columns are one allocation. Above,
// the short columns are one of their own, so that keeping a name doesn't keep
// megabytes.
const togetherMax = 4 << 10

// settle gives the columns their text.
func (p *Parser) settle() {
	var small, large string
	if len(p.small)+len(p.large) <= togetherMax {
		n := len(p.small)
		p.small = append(p.small, p.large...)
		all := string(p.small)
		small, large = all[:n], all[n:]
	} else {
		small, large = string(p.small), string(p.large)
	}
	for i := range p.refs {
		r := &p.refs[i]
		if r.large {
			*r.dst = large[r.start:r.end]
		} else {
			*r.dst = small[r.start:r.end]
		}
	}
}

// Values of the pointers in ReadOnly and MFA; never written to.
var yes, no = true, false

// event builds the Event of the record in c.out.
func (p *Parser) event() (Event, error) {
	rec := p.c.out
	e := &p.ev
	*e = Event{}
	p.small, p.large, p.refs = p.small[:0], p.large[:0], p.refs[:0]
	sum := sha256.Sum256(rec)
	e.RecordHash = int64(binary.BigEndian.Uint64(sum[:8]))

	var held, absent uint64
	if err := p.timeColumn(rec, &held); err != nil {
		return Event{}, err
	}
	if err := p.idColumn(rec, sum[:], &held, &absent); err != nil {
		return Event{}, err
	}
	for f := fAWSRegion; f <= fUserName; f++ {
		v := p.vals[f]
		if v.end == 0 {
			continue
		}
		switch f {
		case fEventID, fEventTime, fUserIdentity:
			continue
		case fRequestParameters, fResources, fResponseElements:
			continue // below
		case fReadOnly:
			switch string(rec[v.start:v.end]) {
			case "true":
				held |= 1 << f
				e.ReadOnly = &yes
			case "false":
				held |= 1 << f
				e.ReadOnly = &no
			case `"true"`:
				e.ReadOnly = &yes
			case `"false"`:
				e.ReadOnly = &no
			}
			continue
		}
		b := p.str(rec[v.start:v.end])
		if len(b) == 0 {
			continue
		}
		if f == fUserName && p.isRoleSession() {
			continue // a role session has no user; Rest keeps what is said
		}
		held |= 1 << f
		dst := e.stringColumn(f)
		switch f {
		case fErrorMessage, fSourceIP, fARN, fPrincipalID, fUserName, fAccessKeyID:
			p.put(dst, b)
		default:
			*dst = p.intern.get(b)
		}
	}
	for f := fAccessKeyID; f <= fUserName; f++ {
		held |= held >> f & 1 << fUserIdentity
	}
	if e.AccountID == "" && e.IdentityAccountID != "" {
		e.AccountID = e.IdentityAccountID
		if p.vals[fRecipientAccountID].end == 0 {
			absent |= 1 << fRecipientAccountID
		}
	}
	for _, f := range [...]field{fRequestParameters, fResponseElements, fAdditionalEventData, fResources} {
		if v := p.vals[f]; v.end > 0 && p.json(e.jsonColumn(f), rec[v.start:v.end]) {
			held |= 1 << f
		}
	}
	start := len(p.large)
	p.large = p.appendRest(p.large, rec, held, absent)
	if len(p.large) > start {
		p.refs = append(p.refs, ref{dst: &e.Rest, start: start, end: len(p.large), large: true})
	}
	p.settle()
	p.derive()
	return p.ev, nil
}

func (e *Event) jsonColumn(f field) *string {
	switch f {
	case fRequestParameters:
		return &e.RequestParameters
	case fResponseElements:
		return &e.ResponseElements
	case fAdditionalEventData:
		return &e.AdditionalEventData
	default:
		return &e.Resources
	}
}

// timeColumn fills EventTime, without which a record is none.
func (p *Parser) timeColumn(rec []byte, held *uint64) error {
	v := p.vals[fEventTime]
	if v.end == 0 {
		return &RejectError{Reason: "no eventTime"}
	}
	text := rec[v.start:v.end]
	if text[0] != '"' {
		return &RejectError{Reason: "eventTime is not a string: " + show(string(text), shownMax)}
	}
	b := p.str(text)
	ms, ok := parseTime(b)
	if !ok {
		return &RejectError{Reason: `eventTime is not a time: "` + show(string(b), shownMax) + `"`}
	}
	p.ev.EventTime = ms
	if plainTime(b, ms) {
		*held |= 1 << fEventTime
	}
	return nil
}

// shownMax bounds the values that reasons quote, in characters.
const shownMax = 64

// idColumn fills EventID, deriving it from the content where the record has
// none.
func (p *Parser) idColumn(rec, sum []byte, held, absent *uint64) error {
	v := p.vals[fEventID]
	if v.end > 0 {
		text := rec[v.start:v.end]
		if text[0] != '"' && text[0] != 'n' {
			return &RejectError{Reason: "eventID is not a string: " + show(string(text), shownMax)}
		}
		if b := p.str(text); len(b) > 0 {
			*held |= 1 << fEventID
			p.put(&p.ev.EventID, b)
			return nil
		}
	} else {
		*absent |= 1 << fEventID
	}
	p.put(&p.ev.EventID, hex.AppendEncode([]byte("derived-"), sum[:16]))
	return nil
}

// isRoleSession reports whether the caller is a session of a role.
func (p *Parser) isRoleSession() bool {
	v := p.vals[fType]
	t := p.c.out[v.start:v.end]
	return string(t) == `"AssumedRole"` || string(t) == `"Role"`
}
