package event

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

	id []byte // eventID, in the splitter's memory
}

// Filtered returns the thin row of the record, which was dropped for a reason.
func (h *Head) Filtered(reason string) Filtered {
	return Filtered{
		EventID: string(h.id), EventTime: h.EventTime, AccountID: h.AccountID, AWSRegion: h.AWSRegion,
		EventSource: h.EventSource, EventName: h.EventName, Reason: reason,
	}
}

// NextUnless is Next, but a record whose Head drop accepts isn't parsed: then
// dropped is set, and e is empty. drop is not asked about every record, and
// must not keep the Head.
func (p *Parser) NextUnless(s *Splitter, drop func(*Head) bool) (e Event, raw Raw, dropped bool, err error) {
	if rest := s.buffered(); len(rest) > 0 {
		if n := p.head(rest); n > 0 && n <= MaxRecord && drop(&p.heading) {
			return Event{}, s.take(n), true, nil
		}
	}
	e, raw, err = p.Next(s)
	return e, raw, false, err
}

// head reads the Head of the record that b starts with into heading. It returns
// the record's length, or 0 when the record isn't complete, or holds anything
// that only the parser may judge: an escape in a key, two of a needed key, a
// value of another type, what may be a credential.
func (p *Parser) head(b []byte) int {
	h := headScan{b: b}
	end := h.object(0, pathRoot, 1)
	if end < 0 {
		return 0
	}
	v := &h.vals
	if len(v[fEventID]) == 0 || len(v[fEventSource]) == 0 || len(v[fEventName]) == 0 || len(v[fType]) == 0 {
		return 0
	}
	ms, ok := parseTime(v[fEventTime])
	if !ok {
		return 0
	}
	account := v[fRecipientAccountID]
	if len(account) == 0 {
		account = v[fAccountID]
	}
	p.heading = Head{
		EventTime: ms, AccountID: p.intern.get(account), AWSRegion: p.intern.get(v[fAWSRegion]),
		EventSource: p.intern.get(v[fEventSource]), EventName: p.intern.get(v[fEventName]),
		IdentityType: p.intern.get(v[fType]), IssuerARN: p.intern.get(v[fARN]), id: v[fEventID],
	}
	return end
}

// headScan goes through one record. Its methods take the offset of what they
// read and return that behind it, -1 for what is no JSON or not for them.
type headScan struct {
	b    []byte
	vals [fUserName + 1][]byte // contents of needed strings; fARN is the issuer's
	seen uint64                // needed fields, by number
}

// headDepth is how deeply a record may be nested to be read here; the parser
// takes more.
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

func (h *headScan) space(i int) int {
	for i < len(h.b) && (h.b[i] == ' ' || h.b[i] == '\n' || h.b[i] == '\t' || h.b[i] == '\r') {
		i++
	}
	return i
}

// at returns the byte at i, 0 behind the end.
func (h *headScan) at(i int) byte {
	if i < len(h.b) {
		return h.b[i]
	}
	return 0
}

// object reads the object at i.
func (h *headScan) object(i int, at path, depth int) int {
	if depth > headDepth || h.at(i) != '{' {
		return -1
	}
	i = h.space(i + 1)
	if h.at(i) == '}' {
		return i + 1
	}
	for {
		if h.at(i) != '"' {
			return -1
		}
		f, start := fNone, i+1
		if at == pathOther {
			i = h.string(i)
		} else {
			if i = plainEnd(h.b, start); h.at(i) != '"' {
				return -1
			}
			f = headField(at, h.b[start:i])
			i++
		}
		if i < 0 {
			return -1
		}
		if i = h.space(i); h.at(i) != ':' {
			return -1
		}
		i = h.space(i + 1)
		if f == fNone {
			i = h.value(i, depth)
		} else {
			i = h.needed(i, f, at, depth)
		}
		if i < 0 {
			return -1
		}
		i = h.space(i)
		switch h.at(i) {
		case ',':
			i = h.space(i + 1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// needed reads the value of a field.
func (h *headScan) needed(i int, f field, at path, depth int) int {
	if h.seen&(1<<f) != 0 {
		return -1
	}
	h.seen |= 1 << f
	switch f {
	case fList:
		return -1
	case fUserIdentity, fSessionContext, fSessionIssuer:
		return h.object(i, at.child(f), depth+1)
	}
	if h.at(i) != '"' {
		return -1
	}
	end := plainEnd(h.b, i+1)
	if h.at(end) != '"' || end == i+1 {
		return -1
	}
	text := h.b[i+1 : end]
	if suspicious(text) {
		return -1
	}
	h.vals[f] = text
	return end + 1
}

// string passes over the string at i.
func (h *headScan) string(i int) int {
	i++
	for {
		i = stringStop(h.b, i)
		switch h.at(i) {
		case '"':
			return i + 1
		case '\\':
			n, _ := unescape(h.b[i:])
			if n == 0 {
				return -1
			}
			i += n
		default:
			return -1
		}
	}
}

// value passes over the value at i, in an object or array of that depth.
func (h *headScan) value(i, depth int) int {
	switch x := h.at(i); x {
	case '"':
		return h.string(i)
	case '{':
		return h.object(i, pathOther, depth+1)
	case '[':
		return h.array(i, depth+1)
	case 't':
		return h.word(i, "true")
	case 'f':
		return h.word(i, "false")
	case 'n':
		return h.word(i, "null")
	}
	if i >= len(h.b) {
		return -1
	}
	n := numberLen(h.b[i:])
	if n == 0 {
		return -1
	}
	return i + n
}

func (h *headScan) word(i int, w string) int {
	if i+len(w) > len(h.b) || string(h.b[i:i+len(w)]) != w {
		return -1
	}
	return i + len(w)
}

func (h *headScan) array(i, depth int) int {
	if depth > headDepth {
		return -1
	}
	i = h.space(i + 1)
	if h.at(i) == ']' {
		return i + 1
	}
	for {
		if i = h.value(i, depth); i < 0 {
			return -1
		}
		i = h.space(i)
		switch h.at(i) {
		case ',':
			i = h.space(i + 1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}
