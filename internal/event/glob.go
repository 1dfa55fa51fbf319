package event

import "strings"

// GlobMatch reports whether the pattern matches all of text; '*' stands for any
// run of bytes, '?' for one, nothing else is special. Letters are compared as
// they are. For a pattern that is asked often, see Glob.
func GlobMatch(pattern, text string) bool { return globMatch(pattern, text, false) }

// Glob is a pattern as of GlobMatch, made ready for many texts; letters of ASCII
// match in either case. The zero value matches the empty text.
type Glob struct {
	pattern        string // in lower case
	prefix, suffix int    // how many of its first and last bytes are literal
	least          int    // how long a text must be
}

// NewGlob makes a pattern ready.
func NewGlob(pattern string) Glob {
	g := Glob{pattern: lowerASCII(pattern), least: len(pattern) - strings.Count(pattern, "*")}
	if g.prefix = strings.IndexAny(pattern, "*?"); g.prefix < 0 {
		g.prefix = len(pattern)
		return g
	}
	g.suffix = len(pattern) - 1 - strings.LastIndexAny(pattern, "*?")
	return g
}

// Match reports whether the pattern matches all of text.
func (g *Glob) Match(text string) bool {
	if len(text) < g.least || !sameFold(g.pattern[:g.prefix], text[:g.prefix]) {
		return false
	}
	rest := g.pattern[g.prefix:]
	if rest == "" {
		return len(text) == g.prefix
	}
	end, textEnd := len(rest)-g.suffix, len(text)-g.suffix
	if !sameFold(rest[end:], text[textEnd:]) {
		return false
	}
	// What is left of the pattern begins and ends in a wildcard.
	return rest[:end] == "*" || globMatch(rest[:end], text[g.prefix:textEnd], true)
}

// String returns the pattern, in lower case.
func (g *Glob) String() string { return g.pattern }

// sameFold compares a lower-case text with one of its length.
func sameFold(lower, text string) bool {
	for i := range len(lower) {
		if lower[i] != text[i] && lower[i] != lowerByte(text[i]) {
			return false
		}
	}
	return true
}

// globMatch tries on a mismatch only the last '*' again: an earlier one cannot
// help when the last one could not. So the work is bounded by len(pattern) *
// len(text) for any input. With fold, the pattern is in lower case.
func globMatch(pattern, text string, fold bool) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		c := text[t]
		if fold {
			c = lowerByte(c)
		}
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == c):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// lowerASCII is lowerByte over a text: strings.ToLower would also rewrite bytes
// that are not UTF-8.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
