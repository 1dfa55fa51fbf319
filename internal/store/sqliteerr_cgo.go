//go:build cgo

package store

import (
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// kindOf tells what SQLite's error means to the store.
func kindOf(err error) errorKind {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return otherError
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return busyError
	case sqlite3.ErrFull:
		return fullError
	case sqlite3.ErrReadonly:
		return readOnlyError
	case sqlite3.ErrCantOpen:
		return cantOpenError
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return damagedError
	}
	return otherError
}
