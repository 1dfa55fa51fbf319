package event

import (
	"errors"
	"strconv"
	"strings"
)

// Rest holds what no other column does, as a JSON object of the record's own
// shape: a field that equals its column is left out, any other is there as it
// was (null, empty, of another type, without a column). Three keys are ours and
// never CloudTrail's:
//
//   - keyAbsent lists fields that the record doesn't have although their column
//     is filled (a derived event id, an account taken from userIdentity);
//   - keyWhole holds the whole record, when the record itself has one of the
//     first two keys;
//   - keyInvalidUTF8 is part of the record: how many bytes of it were not valid
//     UTF-8 (or half of a surrogate pair) and became U+FFFD.
const (
	keyAbsent      = "iamtrack:absent"
	keyWhole       = "iamtrack:record"
	keyInvalidUTF8 = "iamtrack:invalid_utf8"
)

// appendRest appends Rest for the record rec to dst. held tells which fields
// their columns hold, absent which fields the record lacks although their
// column is filled.
func (p *Parser) appendRest(dst, rec []byte, held, absent uint64) []byte {
	root := p.c.captured[pathRoot]
	start := len(dst)
	dst = append(dst, '{')
	for i := range root {
		m := &root[i]
		f := m.info.field
		if f == fAbsent || f == fWhole {
			dst = append(dst[:start], `{"`+keyWhole+`":`...)
			dst = append(dst, rec...)
			return append(dst, '}')
		}
		if absent != 0 && string(p.c.keyIn(rec, 0, m)) > keyAbsent {
			dst = appendAbsent(dst, absent)
			absent = 0
		}
		switch {
		case f == fUserIdentity && held>>fUserIdentity&1 != 0:
			at := len(dst)
			dst = append(dst, rec[m.start:m.val]...)
			dst = append(dst, '{')
			inner := len(dst)
			for j := range p.c.captured[pathIdentity] {
				n := &p.c.captured[pathIdentity][j]
				if f := n.info.field; f < fAccessKeyID || f > fUserName || held>>f&1 == 0 {
					dst = append(dst, rec[m.val+n.start:m.val+n.end]...)
					dst = append(dst, ',')
				}
			}
			if len(dst) == inner {
				dst = dst[:at] // the identity columns hold it all
			} else {
				dst[len(dst)-1] = '}'
				dst = append(dst, ',')
			}
		case f >= fAdditionalEventData && f < fUserIdentity && held>>f&1 != 0:
		default:
			dst = append(dst, rec[m.start:m.end]...)
			dst = append(dst, ',')
		}
	}
	if absent != 0 {
		dst = appendAbsent(dst, absent)
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	dst[len(dst)-1] = '}'
	return dst
}

func appendAbsent(dst []byte, absent uint64) []byte {
	dst = append(dst, `"`+keyAbsent+`":[`...)
	for f := fNone; f < numFields; f++ {
		if absent>>f&1 != 0 {
			dst = append(dst, '"')
			dst = append(dst, fieldNames[f]...)
			dst = append(dst, '"', ',')
		}
	}
	dst[len(dst)-1] = ']'
	return append(dst, ',')
}

// keyIn is keyOf in another buffer than out.
func (c *canon) keyIn(buf []byte, start int, m *member) []byte {
	if m.escaped > 0 {
		return []byte(c.escaped[m.escaped-1])
	}
	return buf[start+int(m.start)+1 : start+int(m.val)-2]
}

var errRest = errors.New("column rest is not what the program writes")

// Record returns the canonical redacted record, byte for byte what RecordHash
// is the hash of, from the columns and Rest. The error says that Rest is
// damaged.
func (e *Event) Record() ([]byte, error) {
	const whole = `{"` + keyWhole + `":`
	if strings.HasPrefix(e.Rest, whole) && strings.HasSuffix(e.Rest, "}") {
		return []byte(e.Rest[len(whole) : len(e.Rest)-1]), nil
	}
	var (
		has    [numFields]string // what Rest has of the fields with columns
		others []string          // key, value, key, value, ...
		absent string
		order  []int // others before each field
	)
	next := fAdditionalEventData
	order = make([]int, fUserIdentity+2)
	ok := e.Rest == "" || members(e.Rest, func(key, val string) bool {
		plain := key
		if strings.IndexByte(key, '\\') >= 0 {
			plain = string(appendText(nil, key))
		}
		for next <= fUserIdentity && fieldNames[next] < plain {
			order[next] = len(others)
			next++
		}
		switch f := fieldByName[plain]; {
		case plain == keyAbsent:
			absent = val
		case f >= fAdditionalEventData && f <= fUserIdentity:
			has[f] = val
		default:
			others = append(others, key, val)
		}
		return true
	})
	if !ok {
		return nil, errRest
	}
	for ; next <= fUserIdentity+1; next++ {
		order[next] = len(others)
	}

	out := make([]byte, 0, len(e.Rest)+len(e.RequestParameters)+len(e.ResponseElements)+
		len(e.AdditionalEventData)+len(e.Resources)+1024)
	out = append(out, '{')
	written := 0
	rest := func(upTo int) {
		for ; written < upTo; written += 2 {
			out = append(out, '"')
			out = append(out, others[written]...)
			out = append(out, '"', ':')
			out = append(out, others[written+1]...)
			out = append(out, ',')
		}
	}
	for f := fAdditionalEventData; f <= fUserIdentity; f++ {
		rest(order[f])
		at := len(out)
		out = append(out, '"')
		out = append(out, fieldNames[f]...)
		out = append(out, '"', ':')
		before := len(out)
		switch {
		case f == fUserIdentity:
			var ok bool
			if out, ok = e.appendIdentity(out, has[f]); !ok {
				return nil, errRest
			}
		case has[f] != "":
			out = append(out, has[f]...)
		case absent != "" && strings.Contains(absent, `"`+fieldNames[f]+`"`):
		default:
			out = e.appendColumn(out, f)
		}
		if len(out) == before {
			out = out[:at]
		} else {
			out = append(out, ',')
		}
	}
	rest(len(others))
	if len(out) == 1 {
		return append(out, '}'), nil
	}
	out[len(out)-1] = '}'
	return out, nil
}

// appendColumn appends the JSON value of the field that a column holds, or
// nothing.
func (e *Event) appendColumn(out []byte, f field) []byte {
	var s string
	switch f {
	case fRequestParameters:
		return append(out, e.RequestParameters...)
	case fResponseElements:
		return append(out, e.ResponseElements...)
	case fAdditionalEventData:
		return append(out, e.AdditionalEventData...)
	case fResources:
		return append(out, e.Resources...)
	case fReadOnly:
		if e.ReadOnly != nil {
			out = strconv.AppendBool(out, *e.ReadOnly)
		}
		return out
	case fEventTime:
		out = append(out, '"')
		out = appendTime(out, e.EventTime)
		return append(out, '"')
	default:
		if p := e.stringColumn(f); p != nil {
			s = *p
		}
	}
	if s == "" {
		return out
	}
	return appendQuoted(out, s)
}

// stringColumn returns the column that holds a string field.
func (e *Event) stringColumn(f field) *string {
	switch f {
	case fAWSRegion:
		return &e.AWSRegion
	case fErrorCode:
		return &e.ErrorCode
	case fErrorMessage:
		return &e.ErrorMessage
	case fEventID:
		return &e.EventID
	case fEventName:
		return &e.EventName
	case fEventSource:
		return &e.EventSource
	case fEventType:
		return &e.EventType
	case fEventVersion:
		return &e.EventVersion
	case fRecipientAccountID:
		return &e.AccountID
	case fSourceIP:
		return &e.SourceIP
	case fUserAgent:
		return &e.UserAgent
	case fAccessKeyID:
		return &e.AccessKeyID
	case fAccountID:
		return &e.IdentityAccountID
	case fARN:
		return &e.IdentityARN
	case fInvokedBy:
		return &e.InvokedBy
	case fPrincipalID:
		return &e.PrincipalID
	case fType:
		return &e.IdentityType
	case fUserName:
		return &e.UserName
	}
	return nil
}

// appendIdentity appends userIdentity: what Rest has of it, and the columns.
func (e *Event) appendIdentity(out []byte, rest string) ([]byte, bool) {
	if rest != "" && rest[0] != '{' {
		return append(out, rest...), true
	}
	start := len(out)
	out = append(out, '{')
	f := fAccessKeyID
	columns := func(before string) {
		for ; f <= fUserName && (before == "" || fieldNames[f] < before); f++ {
			if s := *e.stringColumn(f); s != "" {
				out = append(out, '"')
				out = append(out, fieldNames[f]...)
				out = append(out, '"', ':')
				out = appendQuoted(out, s)
				out = append(out, ',')
			}
		}
	}
	ok := rest == "" || members(rest, func(key, val string) bool {
		plain := key
		if strings.IndexByte(key, '\\') >= 0 {
			plain = string(appendText(nil, key))
		}
		if plain != "" { // the empty key comes before all columns
			columns(plain)
		}
		if f <= fUserName && fieldNames[f] == plain {
			f++ // Rest knows better
		}
		out = append(out, '"')
		out = append(out, key...)
		out = append(out, '"', ':')
		out = append(out, val...)
		out = append(out, ',')
		return true
	})
	if !ok {
		return out, false
	}
	columns("")
	if len(out) == start+1 {
		if rest == "" {
			return out[:start], true // no userIdentity at all
		}
		return append(out, '}'), true
	}
	out[len(out)-1] = '}'
	return out, true
}
