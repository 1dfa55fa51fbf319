package filter

import (
	"strings"
	"testing"
)

// A role that is named without wildcards is filtered, whatever its letters'
// case, and no other is.
func FuzzRole(f *testing.F) {
	for _, s := range [][2]string{{"MyScanner", "myscanner"}, {"a+b=c@d.e-f_g", "A"}, {"team/Scanner", "Scanner"}, {"té", "té"}, {"", ""}, {"a:b", "b"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, entry, name string) {
		p, err := parseRole(entry)
		if err != nil || p.form != byName || strings.ContainsAny(entry, "*?") {
			return
		}
		fl := Filter{roles: []rolePattern{p}}
		for _, same := range []string{entry, strings.ToUpper(entry), strings.ToLower(entry)} {
			if !fl.filtered(role{name: same}) || !fl.filtered(role{arn: "arn:aws:iam::123456789012:role/path/" + same}) {
				t.Errorf("%q does not match %q", entry, same)
			}
		}
		if fl.filtered(role{name: name}) && !strings.EqualFold(entry, name) {
			t.Errorf("%q matches %q", entry, name)
		}
	})
}
