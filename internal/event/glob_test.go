package event_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/iamtrack/iamtrack/internal/event"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		same, folded  bool
	}{
		{"", "", true, true},
		{"", "a", false, false},
		{"*", "", true, true},
		{"**", "abc", true, true},
		{"?", "", false, false},
		{"?", "a", true, true},
		{"?", "é", false, false}, // bytes, not letters
		{"a*c", "abc", true, true},
		{"a*c", "ac", true, true},
		{"a*c", "abcd", false, false},
		{"ab*bc", "abc", false, false}, // start and end must not overlap
		{"*b*", "abc", true, true},
		{"a?c", "abc", true, true},
		{"a?c", "ac", false, false},
		{"a?*?c", "abc", false, false},
		{"a?*?c", "abbc", true, true},
		{"iam:*", "iam:", true, true},
		{"iam:*", "iamx:a", false, false},
		{"[a-z]", "a", false, false},
		{"[a-z]", "[a-z]", true, true},
		{".*", "abc", false, false},
		{"*ab*ab", "abab", true, true},
		{"*aab", "aaab", true, true},
		{"a*b?d*", "axxbcbcd", true, true},
		{"*scan*", "MyScanner", false, true},
		{"ABC", "abc", false, true},
		{"abc", "ABC", false, true},
		{"É", "é", false, false},
		{"a\xff*", "A\xff!", false, true},
	} {
		g := event.NewGlob(c.pattern)
		if same, folded := event.GlobMatch(c.pattern, c.text), g.Match(c.text); same != c.same || folded != c.folded {
			t.Errorf("%q, %q: %v, in any case %v; want %v, %v", c.pattern, c.text, same, folded, c.same, c.folded)
		}
	}
	// A matcher that tries all combinations would not come back from this.
	pattern, text := strings.Repeat("a*", 200)+"b", strings.Repeat("a", 20000)
	if g := event.NewGlob(pattern); event.GlobMatch(pattern, text) || g.Match(text) {
		t.Error("matched")
	}
}

// slowGlob is the definition, for comparing on short input.
func slowGlob(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return slowGlob(pattern[1:], text) || text != "" && slowGlob(pattern, text[1:])
	case text == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == text[0]) && slowGlob(pattern[1:], text[1:])
}

// lowered is s with the letters of ASCII in lower case, and nothing else changed.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x80 {
			b[i] = byte(unicode.ToLower(rune(c)))
		}
	}
	return string(b)
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{
		{"iam:*", "iam:createuser"}, {"a*b*c", "aXbXc"}, {"*?*", "x"}, {"**a", "ba"}, {"", ""}, {"*é?", "aé!"}, {"*scan*", "MyScanner"}, {"ab*bc", "abc"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		g := event.NewGlob(pattern)
		for name, c := range map[string]struct {
			match         func(string) bool
			pattern, text string
		}{
			"as it is":    {func(s string) bool { return event.GlobMatch(pattern, s) }, pattern, text},
			"in any case": {g.Match, lowered(pattern), lowered(text)},
		} {
			got := c.match(text)
			if len(pattern)+len(text) < 24 && got != slowGlob(c.pattern, c.text) {
				t.Errorf("%s: %q, %q: %v", name, pattern, text, got)
			}
			if !strings.ContainsAny(pattern, "*?") && got != (c.pattern == c.text) {
				t.Errorf("%s: %q, %q: %v without wildcards", name, pattern, text, got)
			}
		}
		if open := event.NewGlob(pattern + "*"); !event.GlobMatch(pattern+"*", pattern+text) || !open.Match(pattern+text) {
			t.Errorf("%q does not match what it begins", pattern)
		}
	})
}
