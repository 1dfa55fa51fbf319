package rule

import "strings"

// glob reports whether pattern matches all of text; '*' stands for any run of
// bytes, '?' for one. Nothing else is special. Letters are compared as they
// are: lower both sides first where case does not matter.
//
// On a mismatch only the last '*' is tried again (an earlier one cannot help
// when the last one could not), so the work is bounded by
// len(pattern) * len(text) for any input.
func glob(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return starsOnly(pattern[p:])
}

// starsOnly reports whether s is empty or has only '*'.
func starsOnly(s string) bool { return strings.Trim(s, "*") == "" }
