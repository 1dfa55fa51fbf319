package event

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxRecord is the size from which a record is rejected, in bytes. CloudTrail's
// own limit is 256 KB for a record (User Guide, "Record contents").
const MaxRecord = 4 << 20

// RejectError says why a value isn't an event. Its text holds no credential and
// no control character.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return "record rejected: " + e.Reason }

// Rejection is all that is kept of a rejected value.
type Rejection struct {
	Offset  int64  // bytes into the decompressed stream
	Length  int64  // bytes
	SHA256  string // hex, of the raw bytes
	Reason  string
	Excerpt string // see Excerpt
}

// Reject describes the value as rejected because of err, which Parse returned;
// with a nil err, because of r.Err.
func (r *Raw) Reject(err error) Rejection {
	sum := r.sum
	if r.Err == nil {
		sum = sha256.Sum256(r.Data)
	}
	out := Rejection{Offset: r.Offset, Length: r.Length, SHA256: hex.EncodeToString(sum[:]), Excerpt: Excerpt(r.Data)}
	var rejected *RejectError
	switch e := err.(type) {
	case nil:
		rejected = r.Err
	case *RejectError:
		rejected = e
	default:
		rejected = &RejectError{Reason: show(err.Error(), excerptMax)}
	}
	if rejected != nil {
		out.Reason = rejected.Reason
	}
	return out
}

const (
	excerptMax    = 200     // characters
	excerptSource = 4 << 10 // bytes of the value that Excerpt looks at
)

// Excerpt returns the start of a value that could not be parsed, for a person
// to recognise it: at most 200 characters, credentials replaced, valid UTF-8,
// control characters escaped. Escapes of printable ASCII are resolved first, so
// that none hides the name of a credential.
func Excerpt(raw []byte) string {
	if len(raw) > excerptSource {
		raw = raw[:excerptSource]
		// A token cut in two would no longer be recognised.
		for len(raw) > 0 && !strings.ContainsRune(" ,:\"'{}[]\n\t", rune(raw[len(raw)-1])) {
			raw = raw[:len(raw)-1]
		}
	}
	return show(string(raw), excerptMax)
}

// show makes text from a record fit to be shown: scrubbed, at most limit
// characters, escaped.
func show(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = unescapeASCII(s)
	s, _ = scrub(s)
	var out strings.Builder
	n := 0
	for _, r := range s {
		piece := string(r)
		if !unicode.IsPrint(r) && r != utf8.RuneError {
			piece = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
		}
		if n += utf8.RuneCountInString(piece); n > limit {
			break
		}
		out.WriteString(piece)
	}
	return out.String()
}
