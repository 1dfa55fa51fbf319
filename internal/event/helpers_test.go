package event

import "fmt"

// diff says how two events differ.
func diff(a, b *Event) string {
	for i, c := range columns {
		if a.Value(i) != b.Value(i) {
			return fmt.Sprintf("%s: %#v, and %#v", c.Name, a.Value(i), b.Value(i))
		}
	}
	return ""
}
