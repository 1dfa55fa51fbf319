package event

import (
	"strings"
	"unicode/utf8"
)

// redacted stands where a credential was. It is a plain word, so that it needs
// no escaping and is found again unchanged.
const redacted = "REDACTED"

// ScrubText replaces what looks like a credential inside text that was not parsed
// as a record, such as an error message.
func ScrubText(s string) string {
	s, _ = scrub(s)
	return s
}

// scrub replaces credentials inside text: values that follow the name of a
// credential ("SessionToken":"...", aws_secret_access_key = ..., password=...,
// <SessionToken>...), whatever the quoting, and values that are recognised by
// themselves (AWS session tokens, JSON Web Tokens, Identity Center tokens,
// private keys). It reports whether it changed anything; scrubbing twice is
// scrubbing once.
func scrub(s string) (string, bool) {
	out, changed := scrubPass(s)
	if !changed {
		return s, false
	}
	// What stands beside a replacement may now be read otherwise. Hostile text
	// can draw that out, but not for ever.
	for range 8 {
		if out, changed = scrubPass(out); !changed {
			return out, true
		}
	}
	return redacted, true
}

// scrubPass goes through s once.
func scrubPass(s string) (string, bool) {
	if strings.Contains(s, `\u00`) {
		// Escapes inside text could hide a name. The text keeps them unless
		// that matters.
		if plain := unescapeASCII(s); plain != s {
			if out, changed := scrubPass(plain); changed {
				return out, true
			}
		}
	}
	sc := scrubber{s: s}
	for i := 0; i < len(s); {
		if triggers[s[i]] == 0 {
			i++
			continue
		}
		from, to := sc.at(i)
		if to <= from || to <= i {
			i++
			continue
		}
		if from >= sc.done && !harmless(s[from:to]) {
			sc.out = append(sc.out, s[sc.done:from]...)
			sc.out = append(sc.out, redacted...)
			sc.done = to
		}
		i = to
	}
	if sc.done == 0 {
		return s, false
	}
	return string(append(sc.out, s[sc.done:]...)), true
}

// triggers marks the bytes at which something may be recognised: what separates
// a name from its value, or the end of a token's first four letters.
var triggers = func() (t [256]uint8) {
	for _, b := range ":=> %" {
		t[b] = trigSeparator
	}
	for _, b := range "JGDKBA" {
		t[b] = trigToken
	}
	return t
}()

const (
	trigSeparator = 1
	trigToken     = 2
)

// tokenHead reports whether an opaque token may start with these four letters:
// AWS session tokens (all generations), Identity Center access and refresh
// tokens (aoaAAAA..., aorAAAA...), Bedrock API keys.
func tokenHead(four string) bool {
	switch four {
	case "IQoJ", "FwoG", "FQoG", "AQoD", "aoaA", "aorA", "ABSK":
		return true
	}
	return false
}

const (
	// maxGap bounds quotes, slashes and spaces between a name and its
	// separator, or its separator and its value.
	maxGap = 48
	// minToken is the length from which something that starts like an opaque
	// token is one; real ones have hundreds of characters.
	minToken = 40
)

type scrubber struct {
	s    string
	out  []byte
	done int // s[:done] is in out

	noToken, noJWT int  // no token, no JWT starts before these offsets
	grant          int8 // whether s is about an OAuth grant: 0 not known, 1 yes, -1 no
}

// at returns the credential recognised at the trigger at i, to <= from when
// there is none.
func (sc *scrubber) at(i int) (from, to int) {
	s := sc.s
	if triggers[s[i]] == trigSeparator {
		return sc.named(i)
	}
	switch {
	case s[i] == 'B':
		return pem(s, i)
	case s[i] == 'J' && i >= 2 && s[i-2:i] == "ey" && i >= sc.noJWT:
		return sc.jwt(i - 2)
	case i >= 3 && i >= sc.noToken && tokenHead(s[i-3:i+1]):
		return sc.token(i - 3)
	}
	return 0, 0
}

// pem finds a private key in PEM form; i is at the B of BEGIN. A key without an
// end is taken to go on to the end of the text.
func pem(s string, i int) (from, to int) {
	if i < 2 || s[i-2:i] != "--" || !strings.HasPrefix(s[i:], "BEGIN") {
		return 0, 0
	}
	head := s[i:min(len(s), i+64)]
	end := strings.Index(head, "--")
	if end < 0 {
		end = len(head)
	}
	if !strings.Contains(head[:end], "PRIVATE") {
		return 0, 0
	}
	from = i
	for from > 0 && s[from-1] == '-' {
		from--
	}
	to = len(s)
	if e := strings.Index(s[i+end:], "END"); e >= 0 {
		e += i + end
		if d := strings.Index(s[e:], "--"); d >= 0 {
			to = e + d
			for to < len(s) && s[to] == '-' {
				to++
			}
		}
	}
	return from, to
}

// jwt finds a JSON Web Token (header.payload.signature, or five parts).
func (sc *scrubber) jwt(from int) (int, int) {
	s := sc.s
	if from > 0 && !boundary(s, from) {
		return 0, 0
	}
	part, dots, to := 0, 0, from
	for ; to < len(s); to++ {
		b := s[to]
		if b == '.' {
			if part < 8 {
				break
			}
			dots, part = dots+1, 0
			continue
		}
		if !isAlnum(b) && b != '-' && b != '_' && b != '=' {
			break
		}
		part++
	}
	if dots == 0 || dots == 1 && part < 8 {
		sc.noJWT = to
		return 0, 0
	}
	return from, to
}

// token finds an opaque token.
func (sc *scrubber) token(from int) (int, int) {
	s := sc.s
	if from > 0 && !boundary(s, from) {
		return 0, 0
	}
	to := from
	for to < len(s) {
		b := s[to]
		if isAlnum(b) || b == '+' || b == '/' || b == '-' || b == '_' || b == '=' || b == '.' ||
			b == ':' && (s[from] == 'a') {
			to++
		} else if b == '%' && to+2 < len(s) && hexDigit(s[to+1]) >= 0 && hexDigit(s[to+2]) >= 0 && tokenEscape(s[to+1:to+3]) {
			to += 3
		} else if b == '\\' && to+1 < len(s) && s[to+1] == '/' {
			to += 2
		} else {
			break
		}
	}
	if to-from < minToken {
		sc.noToken = to
		return 0, 0
	}
	return from, to
}

// tokenEscape reports whether the percent escape is one of + / =.
func tokenEscape(hex string) bool {
	switch strings.ToLower(hex) {
	case "2b", "2f", "3d":
		return true
	}
	return false
}

// boundary reports whether a token may start at i: not in the middle of a word.
func boundary(s string, i int) bool {
	b := s[i-1]
	if !isAlnum(b) && b != '+' && b != '`' {
		return true
	}
	if i >= 2 && s[i-2] == '\\' { // \n and the like
		return true
	}
	return i >= 3 && s[i-3] == '%' && hexDigit(s[i-2]) >= 0 && hexDigit(b) >= 0
}

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

func isNameByte(b byte) bool { return isAlnum(b) || b == '_' || b == '-' }

// closingEscape reports whether %xy is a quote, an apostrophe, a backslash or a
// space, percent-encoded.
func closingEscape(x, y byte) bool {
	switch {
	case x == '2':
		return y == '2' || y == '7' || y == '0'
	case x == '5':
		return y|0x20 == 'c'
	}
	return false
}

// gapBack returns the start of the quotes, slashes and spaces that end at i.
func gapBack(s string, i int) int {
	for low := max(0, i-maxGap); i > low; {
		switch s[i-1] {
		case '"', '\'', '\\', ' ', '\t', '\r', '\n':
			i--
			continue
		}
		if i >= 3 && s[i-3] == '%' && closingEscape(s[i-2], s[i-1]) {
			i -= 3
			continue
		}
		break
	}
	return i
}

// nameBack returns the start of the name that ends at i.
func nameBack(s string, i int) int {
	for low := max(0, i-maxNameLen); i > low && isNameByte(s[i-1]); i-- {
		// %22password: the escape's digits are no part of the name.
		if i >= 3 && s[i-3] == '%' && closingEscape(s[i-2], s[i-1]) {
			break
		}
	}
	return i
}

// named finds the value of a credential that a name before the separator at i
// announces.
func (sc *scrubber) named(i int) (from, to int) {
	s := sc.s
	after := i + 1
	sep := s[i]
	if sep == '%' {
		if i+2 >= len(s) || s[i+1] != '3' {
			return 0, 0
		}
		switch s[i+2] | 0x20 {
		case 'a':
			sep = ':'
		case 'd':
			sep = '='
		default:
			return 0, 0
		}
		after = i + 3
	}
	nameEnd := gapBack(s, i)
	nameStart := nameBack(s, nameEnd)
	if nameStart == nameEnd {
		return 0, 0
	}
	name := s[nameStart:nameEnd]
	flags := nameFlags(name)
	switch {
	case flags&keySecret != 0:
	case flags&keyCode != 0 && (sep == '=' || sep == ':') && sc.isGrant():
	case flags&keyValue != 0 && (sep == '=' || sep == ':') && secretBefore(s, nameStart):
	case sep == '=' && strings.EqualFold(name, "signature"): // of a presigned URL or an Authorization header
	default:
		return 0, 0
	}
	switch sep {
	case ' ': // --password hunter2
		if strings.EqualFold(name, "bearer") { // where no header's name leads it
			return bearer(s, after)
		}
		if nameEnd != i || name[0] != '-' || nameStart > 0 && !isGap(s[nameStart-1]) {
			return 0, 0
		}
		if next := s[after:]; next != "" && (next[0] == '-' || next[0] == '=' || next[0] == ':') {
			return 0, 0
		}
	case '>':
		if nameEnd != i || nameStart == 0 || s[nameStart-1] != '<' {
			if nameStart == 0 || s[nameStart-1] != ':' { // <ns:SessionToken>
				return 0, 0
			}
		}
		to = strings.IndexByte(s[after:], '<')
		if to < 0 {
			to = len(s) - after
		}
		return after, after + to
	case ':':
		// arn:aws:secretsmanager:...:secret:NAME and the like are no secrets.
		if nameEnd == i && nameStart > 0 && s[nameStart-1] == ':' {
			return 0, 0
		}
	case '=':
		if after < len(s) && s[after] == '>' { // password => ...
			after++
		}
	}
	folded := strings.ToLower(name)
	return valueAfter(s, after, sep, strings.HasSuffix(folded, "authorization") || strings.HasSuffix(folded, "cookie"))
}

// bearer finds the token that follows the word Bearer, if it is one: long, and
// not of letters only.
func bearer(s string, from int) (int, int) {
	to, digits := from, false
	for to < len(s) && (isAlnum(s[to]) || strings.IndexByte("-._~+/=", s[to]) >= 0) {
		digits = digits || s[to] >= '0' && s[to] <= '9'
		to++
	}
	if to-from < 20 || !digits {
		return 0, 0
	}
	return from, to
}

func isGap(b byte) bool {
	switch b {
	case '"', '\'', '\\', ' ', '\t', '\r', '\n', '=', '[', '(', ',':
		return true
	}
	return false
}

// isGrant reports whether the text is about an OAuth grant, so that "code" in
// it is one.
func (sc *scrubber) isGrant() bool {
	if sc.grant == 0 {
		sc.grant = -1
		low := strings.ToLower(sc.s)
		for _, w := range []string{"granttype", "grant_type", "code_verifier", "codeverifier", "redirect_uri", "redirecturi"} {
			if strings.Contains(low, w) {
				sc.grant = 1
			}
		}
	}
	return sc.grant > 0
}

// secretBefore reports whether the name at i follows the name of a credential
// as its value: "name":"DB_PASSWORD","value":...
func secretBefore(s string, i int) bool {
	i = gapBack(s, i)
	switch {
	case i > 0 && s[i-1] == ',':
		i--
	case i >= 3 && strings.EqualFold(s[i-3:i], "%2c"):
		i -= 3
	default:
		return false
	}
	end := gapBack(s, i)
	start := nameBack(s, end)
	return start < end && nameFlags(s[start:end])&keySecret != 0
}

// valueAfter returns the value that starts at or after i.
func valueAfter(s string, i int, sep byte, wholeLine bool) (from, to int) {
	low := i
	for i < len(s) && i-low < maxGap && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	for strings.HasPrefix(s[i:], "%20") || sep != '=' && strings.HasPrefix(s[i:], "+") {
		i++
		if s[i-1] == '%' {
			i += 2
		}
	}
	if i >= len(s) {
		return 0, 0
	}
	slashes := 0
	for i+slashes < len(s) && s[i+slashes] == '\\' {
		slashes++
	}
	if q := i + slashes; q < len(s) && (s[q] == '"' || s[q] == '\'') {
		return q + 1, quoteEnd(s, q+1, s[q], slashes)
	}
	if strings.HasPrefix(s[i:], "%22") || strings.HasPrefix(s[i:], "%27") {
		end := strings.Index(s[i+3:], s[i:i+3])
		if end < 0 {
			return i + 3, len(s)
		}
		return i + 3, i + 3 + end
	}
	if s[i] == '[' || s[i] == '{' {
		return i, bracketEnd(s, i)
	}
	if strings.HasPrefix(s[i:], "--") { // a private key has spaces and lines
		b := i
		for b < len(s) && s[b] == '-' {
			b++
		}
		if _, to := pem(s, b); to > 0 {
			return i, to
		}
	}
	if !wholeLine {
		return i, bareEnd(s, i, sep)
	}
	to = i
	for to < len(s) && s[to] != '\n' && s[to] != '\r' && s[to] != '"' && s[to] != '\'' && s[to] != '\\' {
		to++
	}
	if strings.HasPrefix(s[i:to], redacted) {
		to = i + len(redacted)
	}
	return i, to
}

// quoteEnd returns the index of what ends the quoted text that starts at i, its
// opening quote having had so many backslashes. Text inside strings inside
// strings has 0, 1, 3, 7, ... of them.
func quoteEnd(s string, i int, quote byte, slashes int) int {
	for j := i; j < len(s); j++ {
		if s[j] != quote {
			continue
		}
		n := 0
		for j-n > i && s[j-1-n] == '\\' {
			n++
		}
		if n < slashes || (n-slashes)%(2*(slashes+1)) == 0 {
			return max(i, j-min(n, slashes))
		}
	}
	return len(s)
}

// bracketEnd returns the index after the bracket that closes the one at i.
func bracketEnd(s string, i int) int {
	depth, slashes := 0, 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '\\':
			slashes++
			continue
		case '"':
			i = quoteEnd(s, i+1, '"', slashes)
			for i < len(s) && s[i] == '\\' {
				i++
			}
		}
		slashes = 0
	}
	return len(s)
}

// bareEnd returns the end of an unquoted value.
func bareEnd(s string, i int, sep byte) int {
	for ; i < len(s); i++ {
		switch b := s[i]; b {
		case ' ', '\t', '\n', '\r', '"', '\'', '&', '<', '>', ';':
			return i
		case ',', '}', ']', ')':
			if sep != '=' {
				return i
			}
		case '\\':
			if i+1 < len(s) && s[i+1] != '/' {
				return i
			}
		case '%':
			if i+2 < len(s) {
				switch strings.ToLower(s[i+1 : i+3]) {
				case "22", "27", "26", "20", "0a", "0d", "3b":
					return i
				}
			}
		}
	}
	return i
}

// unescapeASCII replaces \u00XX, after any number of backslashes, by the
// printable character it stands for, until none is left.
func unescapeASCII(s string) string {
	for {
		out := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] == '\\' {
				if r := hex4(s[i:]); r >= 0x20 && r < 0x7f && s[i+1] == 'u' {
					for len(out) > 0 && out[len(out)-1] == '\\' {
						out = out[:len(out)-1]
					}
					out = utf8.AppendRune(out, r)
					i += 5
					continue
				}
			}
			out = append(out, s[i])
		}
		if len(out) == len(s) {
			return s
		}
		s = string(out)
	}
}
