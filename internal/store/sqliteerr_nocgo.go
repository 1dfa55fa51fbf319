//go:build !cgo

package store

// kindOf has nothing to tell: without cgo no database can be opened, which the
// driver's own error says.
func kindOf(error) errorKind { return otherError }
