package event

import "bytes"

// Head is what of a record tells that it is noise. It is read without
// canonicalising, hashing or redacting anything, and only from records that
// leave no doubt: whatever a Head says, the Event of the same record says too.
type Head struct {
	EventTime    int64
	AccountID    string
	AWSRegion    string
	EventSource  string
	EventName    string
	IdentityType string
	// IssuerARN is userIdentity.sessionContext.sessionIssuer.arn.
	IssuerARN string

	raw []byte // the record, in the splitter's memory
	id  []byte // eventID, there too
	ids *arena // where it is copied to
}

// Filtered returns the thin row of the record, which was dropped for a reason.
func (h *Head) Filtered(reason string) Filtered {
	return Filtered{
		EventID: h.ids.keep(h.id), EventTime: h.EventTime, AccountID: h.AccountID, AWSRegion: h.AWSRegion,
		EventSource: h.EventSource, EventName: h.EventName, Reason: reason,
	}
}

// Mentions reports whether the record's text has a string in it, anywhere. Text
// without characters that JSON escapes is found as it is.
func (h *Head) Mentions(text string) bool { return bytes.Contains(h.raw, []byte(text)) }

// Raw is the record as it was read, nothing redacted; it is gone with the Head.
// What is kept of it must have gone through Keep.
func (h *Head) Raw() []byte { return h.raw }

// Keep copies a text of the record; ok is false for what may be a credential.
func (h *Head) Keep(text []byte) (s string, ok bool) {
	if suspicious(text) {
		return "", false
	}
	return h.ids.keep(text), true
}

// EventID is eventID.
func (h *Head) EventID() string { return h.ids.keep(h.id) }

// NextUnless is Next, but a record whose Head drop accepts isn't parsed: then
// dropped is set, and e is empty. Neither function is asked about every record,
// and neither may keep the Head; of the one that may gets, only IdentityType and
// IssuerARN are set. Records that may refuses are not looked at any further.
func (p *Parser) NextUnless(s *Splitter, may, drop func(*Head) bool) (e Event, raw Raw, dropped bool, err error) {
	if rest := s.buffered(); len(rest) > 0 {
		if n := p.head(rest, may); n > 0 && n <= MaxRecord && drop(&p.heading) {
			return Event{}, s.take(n), true, nil
		}
	}
	e, raw, err = p.Next(s)
	return e, raw, false, err
}

// ParseUnless is NextUnless for a value that a Splitter returned: a record whose
// Head drop accepts isn't parsed, and e is empty then.
func (p *Parser) ParseUnless(raw []byte, may, drop func(*Head) bool) (e Event, dropped bool, err error) {
	if len(raw) <= MaxRecord && p.head(raw, may) == len(raw) && drop(&p.heading) {
		return Event{}, true, nil
	}
	e, err = p.Parse(raw)
	return e, false, err
}

// head reads the Head of the record that b starts with into heading. It returns
// the record's length, or 0 when the record isn't complete, isn't one that may
// accepts, or holds anything that only the parser may judge: an escape in a key,
// two of a needed key, a value of another type, what may be a credential.
func (p *Parser) head(b []byte, may func(*Head) bool) int {
	p.heading = Head{ids: &p.ids}
	h := headScan{b: b, p: p, may: may}
	end := h.object(0, pathRoot)
	if end < 0 {
		return 0
	}
	e := &p.heading
	if len(e.id) == 0 || e.EventSource == "" || e.EventName == "" || e.IdentityType == "" || h.seen&(1<<fEventTime) == 0 {
		return 0
	}
	if e.AccountID == "" {
		e.AccountID = h.caller
	}
	e.raw = b[:end]
	return end
}

// headScan goes through one record. Its methods take the offset of what they
// read and return that behind it, -1 for what is no JSON or not for them.
type headScan struct {
	b      []byte
	p      *Parser // whose heading is filled
	may    func(*Head) bool
	caller string // userIdentity.accountId
	seen   uint64 // needed fields, by number
}

// headDepth is how deeply a value may be nested to be read here; the parser takes
// more.
const headDepth = 48

// headField returns which needed field a key of an object is: fNone for those
// that don't matter.
func headField(at path, key []byte) field {
	switch at {
	case pathRoot:
		switch string(key) {
		case "eventID":
			return fEventID
		case "eventTime":
			return fEventTime
		case "eventSource":
			return fEventSource
		case "eventName":
			return fEventName
		case "awsRegion":
			return fAWSRegion
		case "recipientAccountId":
			return fRecipientAccountID
		case "userIdentity":
			return fUserIdentity
		case "Records", "Events":
			return fList
		}
	case pathIdentity:
		switch string(key) {
		case "type":
			return fType
		case "accountId":
			return fAccountID
		case "sessionContext":
			return fSessionContext
		}
	case pathSession:
		if string(key) == "sessionIssuer" {
			return fSessionIssuer
		}
	case pathIssuer:
		if string(key) == "arn" {
			return fARN
		}
	}
	return fNone
}

// space returns the offset behind the white space at i.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// at returns the byte at i, 0 behind the end.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

// object reads the object at i, of which members are needed.
func (h *headScan) object(i int, where path) int {
	b := h.b
	if at(b, i) != '{' {
		return -1
	}
	if i = space(b, i+1); at(b, i) == '}' {
		return i + 1
	}
	for {
		if at(b, i) != '"' {
			return -1
		}
		start := i + 1
		if i = plainEnd(b, start); at(b, i) != '"' {
			return -1
		}
		f := headField(where, b[start:i])
		if i = space(b, i+1); at(b, i) != ':' {
			return -1
		}
		if i = space(b, i+1); f == fNone {
			i = pass(b, i)
		} else {
			i = h.needed(i, f, where)
		}
		if i < 0 {
			return -1
		}
		switch i = space(b, i); at(b, i) {
		case ',':
			i = space(b, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// needed reads the value of a field.
func (h *headScan) needed(i int, f field, where path) int {
	if h.seen&(1<<f) != 0 {
		return -1
	}
	h.seen |= 1 << f
	head := &h.p.heading
	switch f {
	case fList:
		return -1
	case fUserIdentity:
		i = h.object(i, where.child(f))
		if i > 0 && !h.may(head) {
			return -1
		}
		return i
	case fSessionContext, fSessionIssuer:
		return h.object(i, where.child(f))
	}
	if at(h.b, i) != '"' {
		return -1
	}
	end := plainEnd(h.b, i+1)
	if at(h.b, end) != '"' || end == i+1 {
		return -1
	}
	text := h.b[i+1 : end]
	ok := false
	switch f {
	case fEventTime:
		head.EventTime, ok = parseTime(text) // what is a time is no credential
	case fEventID:
		head.id, ok = text, !suspicious(text)
	case fAccountID:
		h.caller, ok = h.p.harmless(text)
	default:
		*head.column(f), ok = h.p.harmless(text)
	}
	if !ok {
		return -1
	}
	return end + 1
}

// column returns where a needed string goes.
func (h *Head) column(f field) *string {
	switch f {
	case fAWSRegion:
		return &h.AWSRegion
	case fEventSource:
		return &h.EventSource
	case fEventName:
		return &h.EventName
	case fRecipientAccountID:
		return &h.AccountID
	case fType:
		return &h.IdentityType
	default:
		return &h.IssuerARN
	}
}

// harmless returns text as a string, unless it may be a credential. The same few
// texts come again and again.
func (p *Parser) harmless(text []byte) (string, bool) {
	slot := p.clean.slot(text)
	if slot == nil {
		return string(text), !suspicious(text)
	}
	if *slot != string(text) {
		if suspicious(text) {
			return "", false
		}
		*slot = string(text)
	}
	return *slot, true
}

// pass passes over the value at i; it returns the offset behind it, -1 for what
// is no JSON, is cut off or is nested too deeply.
func pass(b []byte, i int) int {
	var (
		objects uint64 // one bit per level, the lowest is the innermost: 1 is an object
		depth   int
		key     bool // the string at i is one
	)
	for {
		// A value or, with key, a key.
		switch x := at(b, i); {
		case x == '"':
			for i++; ; {
				i = stringStop(b, i)
				if x := at(b, i); x == '"' {
					break
				} else if x != '\\' {
					return -1
				}
				n, _ := unescape(b[i:])
				if n == 0 {
					return -1
				}
				i += n
			}
			i++
			if key {
				if i = space(b, i); at(b, i) != ':' {
					return -1
				}
				i, key = space(b, i+1), false
				continue
			}
		case key:
			return -1
		case x == '{' || x == '[':
			if depth++; depth > headDepth {
				return -1
			}
			objects <<= 1
			i = space(b, i+1)
			if at(b, i) == x+2 { // the bracket that closes it
				i++
				objects >>= 1
				depth--
				break
			}
			if x == '{' {
				objects |= 1
				key = true
			}
			continue
		case x == 't':
			i = word(b, i, "true")
		case x == 'f':
			i = word(b, i, "false")
		case x == 'n':
			i = word(b, i, "null")
		case i < len(b):
			n := numberLen(b[i:])
			if n == 0 {
				return -1
			}
			i += n
		default:
			return -1
		}
		if i < 0 {
			return -1
		}
		// Behind a value.
		for {
			if depth == 0 {
				return i
			}
			i = space(b, i)
			x := at(b, i)
			i++
			if x == ',' {
				i = space(b, i)
				key = objects&1 != 0
				break
			}
			if x != ']'+byte(objects&1)*('}'-']') {
				return -1
			}
			objects >>= 1
			depth--
		}
	}
}

func word(b []byte, i int, w string) int {
	if i+len(w) > len(b) || string(b[i:i+len(w)]) != w {
		return -1
	}
	return i + len(w)
}
