//go:build !bootstrap

package stack

// Embedded is the functions' program that this program has in it, for an architecture;
// nil for none: only releases, built with the tag bootstrap, have one.
func Embedded(string) []byte { return nil }
