package event

import (
	"fmt"
	"maps"
	"slices"
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
