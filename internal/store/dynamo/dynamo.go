// Package dynamo is the hot store in Amazon DynamoDB: a store.Store in one table,
// for what runs in AWS.
//
// An event is one item under its own key (account and event id), so that it is put
// if absent without reading, and found whatever its day. What people look up stands
// in attributes, the rest in one that is compressed with a dictionary. Two narrow
// indexes lead from principals and event names to events. What comes in great
// numbers and is never looked up alone (filtered rows, links of services, which keys
// and addresses were seen) is packed, many to an item. docs/aws.md lists the items.
//
// DynamoDB's transactions hold a hundred items, so a call of the contract is made of
// many conditional writes. What makes it one to others:
//
//   - A day has an item with its mark and the writers at work. A writer signs up
//     before it writes rows of the day and gives the day a new mark when it signs
//     off. While somebody is signed up the day can't become clean; one that was
//     killed is believed dead after its time is up, and makes the day dirty.
//   - Rows carry the epoch of their day. Who removes a day removes its item, and with
//     it, at once, all rows; DynamoDB deletes them for nothing when they expire.
//   - Facts, and contents that lost, are announced before they are written, so that
//     their groups are settled whatever happens in between. An alert is replaced only
//     by one that was made of more facts.
//   - Links of lineage are a log that is read into memory; who appends to it has read
//     what others appended.
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Options of a Store. The zero value is good.
type Options struct {
	// Now is the clock of leases and expiry; nil: time.Now.
	Now func() time.Time
	// Keep is how long rows of events are kept after their time, and a week after
	// they were written at least; 0: for ever.
	Keep time.Duration
	// Blobs keeps what is too large for an item; nil: the table does, in parts.
	Blobs Blobs
	// Consumed, when set, is told what each request took, from many goroutines.
	Consumed func(Capacity)
}

// Blobs keeps large values by key, such as a bucket of the lake does. It may delete what
// Lifetimes says, and nothing else.
type Blobs interface {
	// Put writes a value, which is the same each time for a key; one that is there may
	// stay as it is.
	Put(ctx context.Context, key string, data []byte) error
	// Get returns a value.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Capacity is what a request took of the table and its indexes, in units (DynamoDB
// Developer Guide, "Read and write capacity").
type Capacity struct {
	Action      string // such as PutItem
	Read, Write float64
}

// Store is a store.Store in a table; see Open.
type Store struct {
	db    *awsapi.DynamoDB
	table string
	o     Options

	closed atomic.Bool
	known  atomic.Bool // the table's version was looked at

	lineage lineageLog
	seen    seenCache
}

var _ store.Store = (*Store)(nil)

// Open returns the store in a table that is there (see Create). It asks nobody: what
// is wrong with the table shows with the first call, or with Check.
func Open(db *awsapi.DynamoDB, table string, o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{db: db, table: table, o: o}
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// writeLimit bounds a writing call, and grace is how much longer others wait before
// they believe its writer dead: requests that were signed are good for five minutes,
// and clocks differ.
const (
	writeLimit = 10 * time.Minute
	grace      = 15 * time.Minute
)

// write runs f between the method's fault points.
func (s *Store) write(ctx context.Context, method string, f func(context.Context) error) error {
	if err := fault.At("store." + method + ".before"); err != nil {
		return err
	}
	err := s.read(ctx, func(ctx context.Context) error {
		limited, cancel := context.WithTimeoutCause(ctx, writeLimit, fmt.Errorf("write to table %s: not done within %s", s.table, writeLimit))
		defer cancel()
		return f(limited)
	})
	if err != nil {
		return err
	}
	return fault.At("store." + method + ".after")
}

// read runs f on a store that is open and of this version.
func (s *Store) read(ctx context.Context, f func(context.Context) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !s.known.Load() {
		if err := s.checkVersion(ctx); err != nil {
			return err
		}
		s.known.Store(true)
	}
	err := f(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// again calls f until it says that it is done: others may change rows between what
// it reads and what it writes.
func (s *Store) again(ctx context.Context, what string, f func(context.Context) (done bool, err error)) error {
	for try := range 60 {
		if try > 0 {
			if err := pause(ctx, min(time.Duration(try)*5*time.Millisecond, 200*time.Millisecond)); err != nil {
				return err
			}
		}
		if done, err := f(ctx); done || err != nil {
			return err
		}
	}
	return s.conflicted(what)
}

// now is the clock, in ms since the epoch.
func (s *Store) now() int64 { return s.o.Now().UnixMilli() }

// damaged is the error of an item that this program can't have written so.
func (s *Store) damaged(k key, what string) error {
	return fmt.Errorf("item %s %s of table %s: %s: %w", k.pk, k.sk, s.table, what, store.ErrDamaged)
}

// expiry is when rows of a time expire, in seconds since the epoch; 0: never.
func (s *Store) expiry(ms int64) int64 {
	if s.o.Keep <= 0 {
		return 0
	}
	const week = 7 * 24 * 60 * 60
	return max(ms/1000+int64(s.o.Keep/time.Second), s.now()/1000+week)
}

// expires sets when an item expires.
func (s *Store) expires(it item, ms int64) item {
	if x := s.expiry(ms); x != 0 {
		it["x"] = num(x)
	}
	return it
}

func join(parts ...string) string { return strings.Join(parts, "#") }
