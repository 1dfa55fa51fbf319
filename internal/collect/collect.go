// Package collect is the pipeline: source, parse, filter, rules, store, lake. It
// decides the order of writes, and that order is the promise that nothing is
// lost, doubled or silently missing:
//
//  1. what rules and parsing found (facts, conflicts, rejected records),
//  2. the events themselves, in the hot store or straight in their day's file,
//  3. that the input is done.
//
// Each step may be repeated with the same result, so a program killed between
// any two of them only repeats some work. Events are classified (new, duplicate,
// conflict) against all that is stored, under one lease, so that the counts are
// right with several programs at work. The package sees the store and the lake
// through their contracts, and prints nothing.
package collect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Pipeline holds what the steps work on. All fields but Inbox are required. It may not
// be copied once it is used.
type Pipeline struct {
	Store  store.Store
	Lake   *lake.Lake
	Rules  *rule.Engine
	Filter *filter.Filter
	// Inbox, when set, is where rows wait for the export, beside the hot store, which
	// then serves what must be found at once; the export reads rows from it only of a
	// time without a lake.
	// nil: the hot store's rows are exported.
	Inbox *inbox.Inbox
	// NoLake: nothing is ever exported, all rows stay in the store; Lake stays empty.
	NoLake bool
	Now    func() time.Time
	// HotDays is how many days back the hot store keeps events, LakeDays how
	// many the lake does (0: for ever).
	HotDays, LakeDays int
	// Holder names this process in leases.
	Holder string

	learned atomic.Bool  // see learnLineage
	noted   atomic.Int64 // see noteTableOnly
}

// leaseName is held by whoever changes the lake or classifies against it.
const leaseName = "lake"

const (
	leaseTTL = 30 * time.Second
	// Who waits for the lease asks after leaseRetry, then less and less often, up to
	// leaseRetryMost: each time is a read of the store.
	leaseRetry     = 100 * time.Millisecond
	leaseRetryMost = time.Second
)

// NewHolder returns a lease holder name that people can act on.
func NewHolder(command string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	return fmt.Sprintf("iamtrack %s (process %d on %s)", command, os.Getpid(), host)
}

// withLease runs f while holding the lake's lease and renews it meanwhile. It
// waits for another holder when wait is set, else it returns *store.HeldError.
// f's context ends when the lease is lost.
func (p *Pipeline) withLease(ctx context.Context, wait bool, f func(context.Context) error) (err error) {
	var lease store.Lease
	for pause := leaseRetry; ; pause = min(pause*3/2, leaseRetryMost) {
		lease, err = p.Store.Acquire(ctx, leaseName, p.Holder, leaseTTL)
		var held *store.HeldError
		if err == nil {
			break
		}
		if !wait || !errors.As(err, &held) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
	if g, ok := lease.(store.Guard); ok {
		ctx = g.Guard(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(leaseTTL / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := lease.Renew(ctx); err != nil {
					cancel(fmt.Errorf("renew the lease on the lake: %w", err))
					return
				}
			}
		}
	}()
	defer func() {
		cancel(nil)
		<-renewed
		err = errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
	}()
	return f(ctx)
}

// hotSince is the first day of the hot window.
func (p *Pipeline) hotSince() event.Date {
	return event.DateOf(p.Now().UnixMilli()) - event.Date(p.HotDays)
}

// losers are the contents that are known to have lost; nil: none.
type losers struct {
	contents map[store.ConflictRef]bool
	keys     map[keyOnDay]bool // days on which a key had such a content
}

type keyOnDay struct {
	event.Key
	date event.Date
}

func (p *Pipeline) losers(ctx context.Context) (*losers, error) {
	var l *losers
	for e, err := range p.Store.Conflicts(ctx) {
		if err != nil {
			return nil, err
		}
		if l == nil {
			l = &losers{map[store.ConflictRef]bool{}, map[keyOnDay]bool{}}
		}
		l.contents[store.ConflictRef{Key: e.Key(), Hash: uint64(e.RecordHash)}] = true
		l.keys[keyOnDay{e.Key(), e.Date()}] = true
	}
	return l, nil
}
