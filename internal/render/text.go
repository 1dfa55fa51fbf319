package render

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes a string safe to show in a sentence or a table cell of a terminal:
// control characters (C0, DEL, C1), bidirectional overrides and isolates, zero
// width and other invisible or unassigned characters become visible escapes
// (\n, \x1b, \u202e, \U000e0001), bytes that aren't UTF-8 become \xNN. Plain
// text is returned as it is; a backslash isn't doubled, since the result is for
// eyes and never decoded. Text(Text(s)) equals Text(s).
func Text(s string) string {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return escapeText(s)
		}
	}
	return s
}

func escapeText(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case harmless(r):
			b.WriteString(s[:n])
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// harmless reports whether a character can be shown as it is. Format characters
// (Cf: bidi controls, zero width, tags), controls, private use and spaces other
// than U+0020 aren't printable for package unicode; to these come characters
// that are printable there yet leave no mark: fillers and variation selectors.
func harmless(r rune) bool {
	if r < 0x7f {
		return r >= 0x20
	}
	return unicode.IsPrint(r) &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) &&
		!unicode.Is(unicode.Variation_Selector, r) &&
		r != '\u2800' // braille blank
}
