package event

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// badRune is what unescape returns for half of a surrogate pair.
const badRune = rune(-1)

// unescape decodes the escape that s starts with. It returns its length, 0 when
// it isn't one.
func unescape[T string | []byte](s T) (n int, r rune) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return 2, rune(s[1])
	case 'b':
		return 2, '\b'
	case 'f':
		return 2, '\f'
	case 'n':
		return 2, '\n'
	case 'r':
		return 2, '\r'
	case 't':
		return 2, '\t'
	case 'u':
		r := hex4(s)
		if r < 0 {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return 6, r
		}
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(s[6:])); pair != utf8.RuneError {
				return 12, pair
			}
		}
		return 6, badRune
	}
	return 0, 0
}

// hex4 returns the number in `\uXXXX`, or -1.
func hex4[T string | []byte](s T) rune {
	if len(s) < 6 {
		return -1
	}
	var r rune
	for _, b := range []byte(s[2:6]) {
		d := hexDigit(b)
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

func hexDigit(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

const lowerHex = "0123456789abcdef"

// appendQuoted appends valid UTF-8 text as a JSON string with the fewest
// escapes.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= 0x20 && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[b>>4], lowerHex[b&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// appendText appends the decoded content of a canonical JSON string body.
func appendText[T string | []byte](dst []byte, body T) []byte {
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			dst = append(dst, body[i])
			i++
			continue
		}
		n, r := unescape(body[i:])
		if n == 0 {
			return append(dst, body[i:]...)
		}
		if r == badRune {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst
}

// text returns the content of a JSON string value, "" for any other value. It
// is a part of val unless it holds an escape.
func text(val string) string {
	if len(val) < 2 || val[0] != '"' {
		return ""
	}
	body := val[1 : len(val)-1]
	if strings.IndexByte(body, '\\') < 0 {
		return body
	}
	return string(appendText(nil, body))
}

// skip returns the length of the canonical JSON value that s starts with; on
// text that isn't canonical it returns something between 0 and len(s).
func skip(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i+1)
			if depth == 0 {
				return min(i+1, len(s))
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}

// stringEnd returns the index of the quote that ends the string whose body
// starts at i; len(s) when there is none.
func stringEnd(s string, i int) int {
	for i < len(s) {
		n := strings.IndexByte(s[i:], '"')
		if n < 0 {
			return len(s)
		}
		i += n
		slashes := 0
		for slashes < n && s[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
	}
	return len(s)
}

// members calls yield with the raw key (between its quotes) and the value of
// each member of a canonical object, in order, until it returns false. It
// reports whether obj was a well-formed object as far as it was read.
func members(obj string, yield func(key, val string) bool) bool {
	if len(obj) < 2 || obj[0] != '{' {
		return false
	}
	for i := 1; i < len(obj); {
		if obj[i] == '}' {
			return i == len(obj)-1
		}
		if obj[i] != '"' {
			return false
		}
		end := stringEnd(obj, i+1)
		if end+2 > len(obj) || obj[end+1] != ':' {
			return false
		}
		v := end + 2
		n := skip(obj[v:])
		if n == 0 || v+n >= len(obj) {
			return false
		}
		if !yield(obj[i+1:end], obj[v:v+n]) {
			return true
		}
		i = v + n
		if obj[i] == ',' {
			i++
		} else if obj[i] != '}' {
			return false
		}
	}
	return false
}

// lookup returns the value at a path of plain keys in a canonical object, ""
// when there is none.
func lookup(obj string, path ...string) string {
	for _, key := range path {
		found := ""
		members(obj, func(k, v string) bool {
			if k == key {
				found = v
				return false
			}
			return true
		})
		if found == "" {
			return ""
		}
		obj = found
	}
	return obj
}

// firstElement returns the first element of a canonical array, or "".
func firstElement(arr string) string {
	if len(arr) < 3 || arr[0] != '[' {
		return ""
	}
	return arr[1 : 1+skip(arr[1:])]
}
