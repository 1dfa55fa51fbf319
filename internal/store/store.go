// Package store keeps recent events and all state: what was dropped, rejected or
// contradicted, the facts and alerts of rules, which files an import has
// finished, which days the lake must rewrite, and who holds which lease.
//
// Store is the contract; SQLite (OpenSQLite) and memory (OpenMem) implement it,
// both held to the suite in storetest. Idempotency lives here, never in the
// caller: every write may be repeated, in any order, with the same result.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Store is the hot store. Every method that writes is one transaction, durable
// when it returns nil; after an error the write may or may not have happened,
// and repeating it is safe. All methods may be called concurrently, from
// several processes too.
type Store interface {
	// Put stores events by Key: a new key is added; of two contents of one key
	// the greater event.Version stays and the other goes to the conflicts
	// (once per key and hash); the same content again changes nothing.
	// filtered rows are added when neither an event nor a filtered row has the
	// key. The days of all rows that were added or changed become dirty.
	Put(ctx context.Context, events []event.Event, filtered []event.Filtered) error

	// Find returns date and version of those keys that have an event here.
	Find(ctx context.Context, keys []event.Key) (map[event.Key]Found, error)

	// Event returns the event of a key, or ErrNotFound. The caller owns it.
	Event(ctx context.Context, key event.Key) (event.Event, error)

	// Day yields the day's events in event.Compare order, as of one moment.
	Day(ctx context.Context, date event.Date) iter.Seq2[event.Event, error]

	// DayFiltered yields the day's filtered rows in order of account, time, id.
	DayFiltered(ctx context.Context, date event.Date) iter.Seq2[event.Filtered, error]

	// MarkDirty makes days dirty whatever they hold.
	MarkDirty(ctx context.Context, dates []event.Date) error

	// DirtyDays returns the days whose lake file is out of date, ascending,
	// each with a mark that changes whenever the day is dirtied again.
	DirtyDays(ctx context.Context) ([]DirtyDay, error)

	// DayExported records what the lake now holds of a day and makes it clean,
	// unless it was dirtied since mark was read (mark 0: was not dirty).
	DayExported(ctx context.Context, mark int64, day LakeDay) error

	// LakeDays returns what DayExported recorded, ascending by date.
	LakeDays(ctx context.Context) ([]LakeDay, error)

	// DropLakeDays forgets lake days (retention removed them), and their hot
	// rows with them.
	DropLakeDays(ctx context.Context, dates []event.Date) error

	// Prune removes the hot rows of clean days before a date.
	Prune(ctx context.Context, before event.Date) (removed int64, err error)

	// Record stores what rules and parsing found, in one transaction: rejected
	// records (once per SHA256), conflicts (once per key and hash), facts (once
	// per rule, group, key and hash). A fact whose (key, hash) is among the
	// conflicts is Superseded. Every group that gained a fact, or one of whose
	// facts became superseded, is settled again: settle gets all facts of the
	// group ordered by time, event id, kind, hash, and its alerts are put by
	// ID: content replaced, the state of an acknowledged alert kept,
	// StateSuperseded set or lifted as Alert.Superseded says. It returns how
	// many alerts are new and not superseded.
	Record(ctx context.Context, r Findings, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error)

	// IsConflict reports which (key, hash) pairs are known losers.
	IsConflict(ctx context.Context, refs []ConflictRef) (map[ConflictRef]bool, error)

	// Conflicts yields the losing contents, by key then hash.
	Conflicts(ctx context.Context) iter.Seq2[event.Event, error]

	// Rejected yields the rejected records, by time of first sight, then SHA256.
	Rejected(ctx context.Context) iter.Seq2[Rejected, error]

	// Alerts returns alerts that match, newest event first, then by ID.
	Alerts(ctx context.Context, f AlertFilter) ([]rule.Alert, error)

	// Alert returns one alert by its id or an unambiguous prefix of at least
	// four characters; ErrNotFound, or ErrAmbiguous.
	Alert(ctx context.Context, id string) (rule.Alert, error)

	// Ack acknowledges alerts by full id; ids that do not exist give
	// ErrNotFound and nothing is changed.
	Ack(ctx context.Context, ids []string, by, note string, at time.Time) error

	// Job returns the unfinished import of that name and the files it has
	// finished, or starts it; FileDone adds one; EndJob forgets it.
	Job(ctx context.Context, name string) (map[string]FileState, error)
	FileDone(ctx context.Context, job string, files []FileState) error
	EndJob(ctx context.Context, job string) error

	// Imported returns the states, whatever the job, that FileDone recorded
	// last for each path.
	Imported(ctx context.Context, paths []string) (map[string]FileState, error)

	// Acquire takes the named lease for holder, or fails with *HeldError. A
	// lease that was not renewed for ttl is free. The same holder may not take
	// it twice.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)

	// Counts returns the totals of what is kept here.
	Counts(ctx context.Context) (Counts, error)

	Close() error
}

// Found is where and in which version the store has a key.
type Found struct {
	Date    event.Date
	Version event.Version
}

// DirtyDay is a day to export.
type DirtyDay struct {
	Date event.Date
	Mark int64 // > 0
}

// LakeDay is what the lake holds of a day.
type LakeDay struct {
	Date     event.Date
	Events   int64
	Filtered int64
	Bytes    int64
	// By (category) of the events, for status.
	Categories map[string]int64
}

// Findings is the input of Record.
type Findings struct {
	Facts     []rule.Fact
	Conflicts []event.Event
	Rejected  []Rejected
}

// ConflictRef names one content of a key.
type ConflictRef struct {
	Key  event.Key
	Hash uint64
}

// Rejected is a record that could not be parsed.
type Rejected struct {
	File    string    `json:"file"`
	Offset  int64     `json:"offset"` // bytes into the decompressed file
	Length  int64     `json:"length"` // bytes
	SHA256  string    `json:"sha256"` // hex, of the raw bytes
	Reason  string    `json:"reason"`
	Excerpt string    `json:"excerpt"` // scrubbed, at most 200 characters
	Seen    time.Time `json:"seen"`
}

// AlertFilter narrows Alerts; zero fields do not.
type AlertFilter struct {
	Since, Until time.Time // event time, [since, until)
	MinSeverity  rule.Severity
	Rules        []string
	States       []string // default: all but superseded
	AccountID    string
	Actor        string // case-insensitive substring
	Limit        int    // 0: all
}

// FileState is a finished input file.
type FileState struct {
	Path    string
	Size    int64
	ModTime time.Time
}

// Lease is held until Release, or until it was not renewed for its ttl.
type Lease interface {
	// Renew extends the lease; ErrLeaseLost when another holder has it.
	Renew(ctx context.Context) error
	Release(ctx context.Context) error
}

// Counts are totals.
type Counts struct {
	HotEvents   int64
	HotFiltered int64
	Rejected    int64
	Conflicts   int64
	// Alerts by state, then by severity name.
	Alerts map[string]map[string]int64
}

// Errors that callers branch on.
var (
	ErrNotFound  = errors.New("not found")
	ErrAmbiguous = errors.New("ambiguous: more than one matches")
	ErrLeaseLost = errors.New("lease lost")
)

// HeldError says who holds a lease.
type HeldError struct {
	Name, Holder string
	Since        time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by %s since %s", e.Name, e.Holder, e.Since.UTC().Format(time.RFC3339))
}
