package event

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// diff says how two events differ.
func diff(a, b *Event) string {
	for i, c := range columns {
		if a.Value(i) != b.Value(i) {
			return fmt.Sprintf("%s: %#v, and %#v", c.Name, a.Value(i), b.Value(i))
		}
	}
	return ""
}

func sortedKeys(m map[string]any) []string {
	return slices.Sorted(maps.Keys(m))
}

// valid reports whether every string column is UTF-8.
func (e *Event) valid() bool {
	for f := fNone; f < numFields; f++ {
		if s := e.stringColumn(f); s != nil && !utf8.ValidString(*s) {
			return false
		}
	}
	return utf8.ValidString(e.Rest)
}
