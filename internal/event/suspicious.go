package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// suspicious reports whether scrub might change s. It is the fast path of every
// string of every record: eight bytes at a time it finds what is neither letter
// nor digit, and looks at what stands before (a name?) and behind (a token?).
func suspicious(s []byte) bool {
	if tokenMayStart(s, 0) {
		return true
	}
	i := 0
	for ; i+8 <= len(s); i += 8 {
		for hits := marks(binary.LittleEndian.Uint64(s[i:])); hits != 0; hits &= hits - 1 {
			at := i + bits.TrailingZeros64(hits)>>3
			if glance(s, at) && suspiciousAt(s, at) {
				return true
			}
		}
	}
	for ; i < len(s); i++ {
		if !isAlnum(s[i]) && glance(s, i) && suspiciousAt(s, i) {
			return true
		}
	}
	return false
}

// What a byte may be, for glance.
const (
	mayHead  = 1 << iota // the first letter of a token, or of BEGIN
	mayEnd               // the last letter of a name, or between name and separator
	mayAfter             // something that suspiciousAt must look behind of
	maySep               // a separator
)

var glances = func() (t [256]uint8) {
	for _, b := range "eIFAaB" {
		t[b] |= mayHead
	}
	for _, b := range "ntdeylgraps12_-\"'\\ \t\r\n" {
		t[b] |= mayEnd
		if b >= 'a' && b <= 'z' {
			t[b-0x20] |= mayEnd
		}
	}
	t['%'] |= mayAfter
	t['\\'] |= mayAfter
	for _, b := range ":=> " {
		t[b] |= maySep
	}
	return t
}()

// glance reports whether it is worth while to look around the byte at i. It is
// small enough to be inlined.
func glance(s []byte, i int) bool {
	g := glances[s[i]]
	return g&mayAfter != 0 || i+1 < len(s) && glances[s[i+1]]&mayHead != 0 ||
		g&maySep != 0 && i > 0 && (glances[s[i-1]]&mayEnd != 0 || i > 2 && s[i-3] == '%')
}

// marks has the high bit set of each byte of w that is neither letter nor digit
// nor a grave accent, and of some that are.
func marks(w uint64) uint64 {
	low := w & (ones * 0x7f)
	below := (w - ones*'0') &^ w                                 // space to /, and controls
	middle := (low + ones*(0x7f-'9')) & (ones*(0x7f+0x41) - low) // : to @
	lower := low | ones*0x20                                     // [ to _ become { to DEL
	upper := lower + ones*(0x7f-'z')                             // { to DEL
	return (below | middle | upper | w) & highs
}

// suspiciousAt looks around a byte that is neither letter nor digit.
func suspiciousAt(s []byte, i int) bool {
	switch b := s[i]; b {
	case ':', '=', '>', ' ':
		if nameMayEndAt(s, i) {
			return true
		}
	case '%':
		if i+2 < len(s) && s[i+1] == '3' && nameMayEndAt(s, i) || tokenMayStart(s, i+3) {
			return true
		}
	case '\\':
		if i+3 < len(s) && s[i+1] == 'u' && s[i+2] == '0' && s[i+3] == '0' || tokenMayStart(s, i+2) {
			return true
		}
	}
	return tokenMayStart(s, i+1)
}

// nameMayEndAt reports whether a credential's name may precede the separator at
// i, by its last letters.
func nameMayEndAt(s []byte, i int) bool {
	if s[i] == ' ' && i > 0 && s[i-1] != '"' && s[i-1] != '\'' {
		// Only command line options, and "Bearer", have a bare space before their
		// value.
		if !endsLikeName(s[:i]) {
			return false
		}
		start := i
		for start > 0 && isNameByte(s[start-1]) {
			start--
		}
		return s[start] == '-' || i-start >= maxNameLen || bytes.EqualFold(s[start:i], []byte("bearer"))
	}
	j := i
	for j > 0 && i-j < maxGap {
		switch s[j-1] {
		case '"', '\'', '\\', ' ', '\t', '\r', '\n':
			j--
			continue
		}
		if j >= 3 && s[j-3] == '%' && closingEscape(s[j-2], s[j-1]) {
			j -= 3
			continue
		}
		break
	}
	if i-j >= maxGap {
		return true
	}
	return endsLikeName(s[:j])
}

// endsLikeName reports whether the text ends with the last letters of a name in
// secretNames, secretSuffixes, codeNames or valueNames.
func endsLikeName(s []byte) bool {
	n := len(s)
	if n < 3 {
		return false
	}
	switch uint32(s[n-3]|0x20)<<16 | uint32(s[n-2]|0x20)<<8 | uint32(s[n-1]|0x20) {
	case 'k'<<16 | 'e'<<8 | 'n', // token
		'r'<<16 | 'e'<<8 | 't', // secret
		'o'<<16 | 'r'<<8 | 'd', // password
		's'<<16 | 'w'<<8 | 'd', // passwd
		'p'<<16 | 'w'<<8 | 'd', // pwd
		'a'<<16 | 's'<<8 | 'e', // passphrase
		'k'<<16 | 'e'<<8 | 'y', // secretAccessKey
		'o'<<16 | 'd'<<8 | 'e', // tokenCode
		'd'<<16 | 'e'<<8 | '1', // authenticationCode1
		'd'<<16 | 'e'<<8 | '2',
		'n'<<16 | 's'<<8 | 'e', // SAMLResponse
		'k'<<16 | 'i'<<8 | 'e', // cookie
		'u'<<16 | 'r'<<8 | 'e', // signature
		'i'<<16 | 'n'<<8 | 'g', // secretString
		'a'<<16 | 'r'<<8 | 'y', // secretBinary
		'i'<<16 | 'e'<<8 | 'r', // codeVerifier
		'r'<<16 | 'e'<<8 | 'r', // bearer
		'i'<<16 | 'a'<<8 | 'l', // keyMaterial
		'e'<<16 | 'e'<<8 | 'd', // base32StringSeed
		'p'<<16 | 'n'<<8 | 'g', // qRCodePNG
		'a'<<16 | 't'<<8 | 'a', // passwordData
		'o'<<16 | 't'<<8 | 'p', // otp, totp
		'j'<<16 | 'w'<<8 | 't',
		'l'<<16 | 'u'<<8 | 'e', // value, after a name
		'u'<<16 | 'e'<<8 | 's':
		return true
	case 'i'<<16 | 'o'<<8 | 'n': // assertion, authorization; not action or condition
		return n > 4 && s[n-4]|0x20 == 't' && (s[n-5]|0x20 == 'r' || s[n-5]|0x20 == 'a')
	}
	// A separator inside the name, or a percent escape, hides the last letters.
	return s[n-1] == '_' || s[n-1] == '-'
}

// dotWithin bounds the search for the first dot of a JSON Web Token.
const dotWithin = 4 << 10

// tokenMayStart reports whether a token's first letters are at i.
func tokenMayStart(s []byte, i int) bool {
	if i+16 > len(s) {
		return false // too short for any
	}
	switch s[i] {
	case 'B':
		return i > 1 && s[i-1] == '-' && s[i-2] == '-' // -----BEGIN
	case 'e':
		return s[i+1] == 'y' && s[i+2] == 'J' && (len(s)-i > dotWithin || bytes.IndexByte(s[i:], '.') > 0)
	case 'I', 'F', 'A', 'a':
		return len(s)-i >= minToken && tokenHead(string(s[i:i+4]))
	}
	return false
}
