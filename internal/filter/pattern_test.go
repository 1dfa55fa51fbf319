package filter

import (
	"strings"
	"testing"
)

// slowMatch is the definition, for comparing on short input.
func slowMatch(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], text) || text != "" && slowMatch(pattern, text[1:])
	case text == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == lower(text[0])) && slowMatch(pattern[1:], text[1:])
}

func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"*scan*", "MyScanner"}, {"a?c", "ABC"}, {"", ""}, {"*?*", ""}, {"é*", "É"}, {"**x", "xX"}} {
		f.Add(s[0], s[1])
	}
	// A matcher that tries all combinations would not come back from this.
	f.Add(strings.Repeat("a*", 200)+"b", strings.Repeat("A", 5000))
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := match(pattern, text)
		if len(pattern)+len(text) < 24 && got != slowMatch(pattern, text) {
			t.Errorf("match(%q, %q) = %v", pattern, text, got)
		}
		if p, err := parseRole(pattern); err == nil && p.form == byName && strings.Trim(pattern, "*?") == pattern && !strings.ContainsAny(pattern, "*?") {
			fl := Filter{roles: []rolePattern{p}}
			if pattern != "" && !fl.filtered(role{name: pattern}) {
				t.Errorf("%q does not match itself", pattern)
			}
		}
	})
}
