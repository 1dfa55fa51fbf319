// Package lake keeps every event for years, as Parquet that any reader can open:
//
//	events/event_date=YYYY-MM-DD/events.parquet      columns of event.Event
//	filtered/event_date=YYYY-MM-DD/filtered.parquet  columns of event.Filtered
//	keys/YYYY-MM.keys, keys/YYYY-MM.HASH.keys        which keys a month may hold
//	months/YYYY-MM.HASH.parquet                      all events of a month, copied
//
// A day is one file, sorted by account, time and event id, with one row per
// event.Key; it is replaced as a whole, atomically, and only when its rows
// change. Its footer has the schema's number, the program's version, the rows by
// category and a checksum of the file. The keys are an index of which days may
// have a key (keys.go); it can always be made anew from the day files. The lake
// knows nothing of hot stores, rules or SQL engines; its only technology is a
// Bucket (a folder, or S3).
package lake

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Bucket stores whole objects. Keys are slash-separated, relative, and contain
// no "..". All methods may be called concurrently.
type Bucket interface {
	// List returns the objects whose key starts with prefix, by key. Objects
	// whose Writer was not committed are not listed.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Open returns one version of an object, which stays readable while it is
	// replaced; ErrNotFound when there is none.
	Open(ctx context.Context, key string) (Reader, error)
	// Create starts an object. Nothing is visible before Commit.
	Create(ctx context.Context, key string) (Writer, error)
	// Delete removes an object; that it is not there is no error.
	Delete(ctx context.Context, key string) error
}

// Object describes a stored object.
type Object struct {
	Key     string
	Size    int64
	ETag    string // changes whenever the content does
	ModTime time.Time
}

// Reader reads one version of an object.
type Reader interface {
	io.ReaderAt
	io.Closer
	Object() Object
}

// Writer builds an object.
type Writer interface {
	io.Writer
	// Commit makes the object visible, durably and atomically, if the object
	// there now has the given ETag ("" for: there is none); else ErrChanged.
	Commit(ifMatch string) (Object, error)
	// Abort discards what was written; after Commit it does nothing.
	Abort() error
}

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrChanged  = errors.New("changed by another writer")
	// ErrNewer is wrapped by the error that names a file written by a newer
	// version of the program.
	ErrNewer = errors.New("written by a newer version of iamtrack")
)

// Stats is what the lake holds of a day.
type Stats struct {
	Date       event.Date
	Events     int64
	Filtered   int64
	Bytes      int64            // of both files
	Categories map[string]int64 // events by Category
}

// Input is what Merge adds to a day. All rows must lie on that day.
type Input struct {
	// Events and Filtered are in their total order (event.Compare; account,
	// time, id); nil means none. They are iterated more than once.
	Events   iter.Seq2[event.Event, error]
	Filtered iter.Seq2[event.Filtered, error]
	// Drop tells which contents are known losers (store conflicts): they are
	// left out, and removed from the file. nil means none.
	Drop func(event.Key, event.Version) bool
	// Was tells keys that had an event on this day once, in a content that lost
	// since: they have no filtered row either, or it would depend on the order
	// of arrival whether they have one. nil means none.
	Was func(event.Key) bool
	// Lost is called, before anything is replaced, with contents that lost to
	// a greater version of their key within this merge.
	Lost func([]event.Event) error
	// Fill sets columns that don't come from the record, such as the actor: of
	// every event that is written, and of those that the day has, which is
	// rewritten when one of them changes. nil leaves them as they are.
	Fill func(*event.Event) error
	// Sources are ids of what the rows came from. A file that is written names
	// those of its merge, and no earlier ones: see Lake.Sources.
	Sources []string
}
