// Package store keeps recent events and all state: what was dropped, rejected or
// contradicted, the facts and alerts of rules, which files an import has
// finished, which days the lake must rewrite, and who holds which lease.
//
// Store is the contract; SQLite (OpenSQLite), memory (OpenMem) and DynamoDB (package
// store/dynamo) implement it, all held to the suite in storetest. Idempotency lives here, never in the
// caller: every write may be repeated, in any order, with the same result. Two
// contents with the same key and hash are taken for the same content.
//
// Where the contract speaks of one transaction or one moment, this is meant: a call
// that returned nil took effect as a whole, and no order of calls at once ends in a
// state that no order of them one after the other ends in. While a call runs, or
// after one that failed, others may see a part of it, of which this holds: an event
// is seen in one content or another; a day with rows that an export may have missed
// is dirty; no alert is lost. SQLite and memory show no part.
//
// The package knows nothing of files to import, filters or what a rule means;
// rows leave it for the lake through Day and DayFiltered.
//
// Every writing method m has the fault points "store.m.before" and, after the
// write took effect, "store.m.after"; m as in store.put, store.dayexported,
// store.lease.renew (see package fault).
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
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
	// filtered rows are a set: a row differs from another if any field does, and
	// events and rows of one key are kept side by side, since which of them
	// counts on a day is the lake's to say. The days of all rows that were added,
	// changed, removed or displaced become dirty. Groups with a fact of a content
	// that went to the conflicts are settled by the next Record.
	Put(ctx context.Context, events []event.Event, filtered []event.Filtered) error

	// Find returns date and version of those keys that have an event here.
	Find(ctx context.Context, keys []event.Key) (map[event.Key]Found, error)

	// FindFiltered returns those of the filtered rows that are here.
	FindFiltered(ctx context.Context, rows []event.Filtered) (map[event.Filtered]bool, error)

	// Event returns the event of a key, or ErrNotFound. The caller owns it.
	Event(ctx context.Context, key event.Key) (event.Event, error)

	// Day yields the day's events in event.Compare order, as of one moment: an event
	// that is put meanwhile may be left out, and the day is dirty again then.
	Day(ctx context.Context, date event.Date) iter.Seq2[event.Event, error]

	// DayFiltered yields the day's filtered rows, as of one moment, in order of
	// account, time, id, region, source, name, reason.
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
	// rows, dirty marks and uses of nodes with them.
	DropLakeDays(ctx context.Context, dates []event.Date) error

	// Prune removes the hot rows of clean days before a date.
	Prune(ctx context.Context, before event.Date) (removed int64, err error)

	// Record stores what rules and parsing found, in one transaction: rejected
	// records (once per SHA256, the first seen), conflicts (once per key and
	// hash), facts (once per rule, group, kind, key and hash). A fact whose (key,
	// hash) is among the conflicts is Superseded. Every group that gained a fact,
	// or one of whose facts became superseded since it was last settled, by this
	// call or by Put, is settled again: settle gets all facts of the group
	// ordered by time, event id, kind, hash, account, rule; its alerts are put by
	// ID: content replaced, the state of an acknowledged alert kept,
	// StateSuperseded set or lifted as Alert.Superseded says. It returns how
	// many alerts are new and not superseded. settle must be a pure function and
	// not call the store; with a nil settle the groups wait for the next Record.
	// Empty findings settle what waits.
	Record(ctx context.Context, r Findings, settle func([]rule.Fact) []rule.Alert) (newAlerts int, err error)

	// IsConflict reports which (key, hash) pairs are known losers: the result
	// holds those only.
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
	// ErrNotFound and nothing is changed. Of several acknowledgements the latest
	// (by at) stays. A superseded alert stays superseded, and is acknowledged
	// should that be lifted.
	Ack(ctx context.Context, ids []string, by, note string, at time.Time) error

	// Job returns the unfinished import of that name and the files it has
	// finished by path, or starts it; FileDone adds files, and starts the job if
	// it isn't there; EndJob forgets it.
	Job(ctx context.Context, name string) (map[string]FileState, error)
	FileDone(ctx context.Context, job string, files []FileState) error
	EndJob(ctx context.Context, job string) error

	// Imported returns the states, whatever the job, that FileDone recorded
	// last for each path.
	Imported(ctx context.Context, paths []string) (map[string]FileState, error)

	// Acquire takes the named lease for holder, or fails with *HeldError. A
	// lease that was not renewed for ttl is free, and at once when its holder was
	// a process of this machine that runs no more. The same holder may not take
	// it twice. ttl must be positive.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)

	// Counts returns the totals of what is kept here.
	Counts(ctx context.Context) (Counts, error)

	// Meta returns the value that SetMeta set last for key, "" when none. Keys
	// are the callers' own, for small values such as the time of the last import.
	Meta(ctx context.Context, key string) (string, error)
	SetMeta(ctx context.Context, key, value string) error

	// Streams returns the ledgers of all streams that were ever collected, by
	// stream. The caller owns them; changing one changes nothing here.
	Streams(ctx context.Context) ([]*coverage.Ledger, error)

	// UpdateStream calls change with the stream's ledger, a new one when it has
	// none, and keeps what change made of it, in one transaction: of updates at
	// once none is lost. An error of change is returned, wrapped, and nothing is
	// kept. change must not call the store, and may be called again with another
	// ledger when somebody else was quicker; the ledger is its own, to look at later
	// too. Streams are never removed.
	UpdateStream(ctx context.Context, stream coverage.Stream, change func(*coverage.Ledger) error) error

	// AccountNames returns how accounts are called, by id. PutAccountNames adds
	// names; of several for an account the one seen latest stays.
	AccountNames(ctx context.Context) ([]AccountName, error)
	PutAccountNames(ctx context.Context, names []AccountName) error

	// RecordLineage keeps what was observed, in one transaction: links (one for
	// each node and event: of two contents the greater Version stays), names (for
	// each node, name and source; the bounds widen) and uses (a set); and removes
	// the links of keys in Replaced whose Version is less than the one given. The
	// days become dirty on which a node is used of which a link or name came,
	// changed or went, or one whose links show a hop of that name, or one that
	// descends from such a node (Link.Parent to Link.Node). Uses alone make no day dirty, nor do wider bounds of a node's
	// only name.
	RecordLineage(ctx context.Context, b lineage.Batch) error

	// Lineage and Issued implement lineage.Source. A link that says no more than that
	// a service was given temporary credentials need be found only if it is of the day
	// on which its node is used, or of the two days before, or the node isn't used.
	Lineage(ctx context.Context, nodes []string) (map[string]lineage.Known, error)
	Issued(ctx context.Context, parents []string) ([]lineage.Link, error)

	// Unrouted yields the alerts that Enqueue didn't mark yet and that aren't
	// superseded, by when they were recorded, then by ID. (What was there when an
	// older version's store was opened first counts as routed.)
	Unrouted(ctx context.Context) iter.Seq2[Recorded, error]

	// Enqueue puts messages into the outbox, pending, and marks alerts as routed,
	// in one transaction (of more than 50 messages, the first may be there after an
	// error). A message whose ID is there already changes nothing. When
	// an alert is routed already, or unknown, nothing is done and done is false:
	// read Unrouted again. Of a message ID, Channel, Kind, AlertIDs, Body, Created
	// and Due count; times are kept to the millisecond.
	Enqueue(ctx context.Context, messages []Message, routed []string) (done bool, err error)

	// MarkTold counts alerts as routed, without a message: those that are here, and
	// those that come, since somebody else told people of them.
	MarkTold(ctx context.Context, ids []string) error

	// Due returns the channels for which Claim would find a message now, sorted.
	Due(ctx context.Context) (channels []string, err error)

	// Claim returns the pending message of a channel that is due first, and which
	// nobody has claimed, claimed for ttl; nil when there is none. Settle says how
	// the attempt to send it ended, and gives it free; ErrLeaseLost when somebody
	// else has claimed it since. ttl must be positive.
	Claim(ctx context.Context, channel string, ttl time.Duration) (*Message, error)
	Settle(ctx context.Context, m *Message, o Outcome) error

	// Messages returns the messages that match, by Due, Created, ID.
	Messages(ctx context.Context, f MessageFilter) ([]Message, error)

	// PruneOutbox removes messages that aren't pending and didn't change since a
	// time.
	PruneOutbox(ctx context.Context, before time.Time) (removed int64, err error)

	// Close releases what the store holds; other methods fail afterwards.
	// Closing twice is no error.
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
	Actor        string // case-insensitive substring of Alert.Actor
	Limit        int    // 0: all
}

// FileState is a finished input file.
type FileState struct {
	Path    string
	Size    int64
	ModTime time.Time
	ETag    string // of an S3 object, else ""
	// Selection tells which records the import took, as filter.Selection says
	// it; "": all.
	Selection string
}

// Lease is held until Release, the end of the process that took it where that
// can be told, or until it was not renewed for its ttl.
type Lease interface {
	// Renew extends the lease by its ttl from now; ErrLeaseLost when another
	// holder has or had it since, or after Release. A lease that ran out and
	// that nobody else took can be renewed.
	Renew(ctx context.Context) error
	// Release gives the lease up. That it was lost, or released, is no error,
	// and takes nothing from another holder.
	Release(ctx context.Context) error
}

// Counts are totals.
type Counts struct {
	HotEvents   int64
	HotFiltered int64
	Rejected    int64
	Conflicts   int64
	// Alerts by state, then by severity name; no zero counts.
	Alerts map[string]map[string]int64
	// Unrouted alerts, see Store.Unrouted.
	Unrouted int64
	// Messages of the outbox, by channel, then by state; no zero counts.
	Messages map[string]map[string]int64
	// SizeBytes is what the store takes on disk, its write-ahead log included;
	// 0 in memory.
	SizeBytes int64
}

// Errors that callers branch on.
var (
	ErrNotFound  = errors.New("not found")
	ErrAmbiguous = errors.New("ambiguous: more than one matches")
	ErrLeaseLost = errors.New("lease lost")
	ErrClosed    = errors.New("the store is closed")
	// ErrReadOnly is wrapped by writes to, and the opening for writing of, what
	// can only be read.
	ErrReadOnly = errors.New("read-only")
	// ErrNewer is wrapped by the error that names a store made by a newer
	// version of the program.
	ErrNewer = errors.New("made by a newer version of iamtrack")
	// ErrDamaged is wrapped by errors about a store that is not, or no longer, a
	// readable database.
	ErrDamaged = errors.New("not a readable iamtrack database")
	// ErrFull is wrapped by writes that found no space; nothing of them is kept.
	ErrFull = errors.New("the disk is full")
	// ErrNetworkFS is wrapped when a store lies on a network file system, where
	// its locks can't be relied on.
	ErrNetworkFS = errors.New("on a network file system")
)

// HeldError says who holds a lease.
type HeldError struct {
	Name, Holder string
	Since        time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by %s since %s", e.Name, e.Holder, e.Since.UTC().Format(time.RFC3339))
}

// Guard is a Lease that may guard writes: a store refuses those of whose context the
// lease was lost, with ErrLeaseLost, as far as they replace or remove what the next
// holder works on (DayExported, DropLakeDays, Prune).
type Guard interface {
	Lease
	Guard(ctx context.Context) context.Context
}
