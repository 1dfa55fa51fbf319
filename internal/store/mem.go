package store

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Mem is a Store in memory: for tests, and to say in plain Go what the contract
// means. It isn't durable; all else holds. The zero value is not ready: OpenMem.
type Mem struct {
	// Now is the clock of leases; set it before use. Never nil.
	Now func() time.Time

	// mu guards all below. A write holds it from its first look to its last
	// change, which makes it one transaction.
	mu     sync.RWMutex
	closed bool

	events    map[event.Key]event.Event
	filtered  map[event.Filtered]struct{}
	conflicts map[ConflictRef]event.Event
	rejected  map[string]Rejected // by SHA256

	facts     map[string]map[factID]rule.Fact // by group
	factsOf   map[ConflictRef]map[string]bool // the groups with a fact of a content
	unsettled map[string]bool                 // groups
	alerts    map[string]*memAlert
	told      map[string]bool // alerts that count as routed when they come

	dirty    map[event.Date]int64
	lastMark int64
	lakeDays map[event.Date]LakeDay

	jobs      map[string]map[string]FileState
	imported  map[string]FileState
	meta      map[string]string
	leases    map[string]*memLease
	lastToken int64

	memLedgers
	lineage Lineages
	outbox  map[string]*Message // by id
}

var _ Store = (*Mem)(nil)

// OpenMem returns an empty store in memory.
func OpenMem() *Mem {
	return &Mem{
		Now:       time.Now,
		events:    map[event.Key]event.Event{},
		filtered:  map[event.Filtered]struct{}{},
		conflicts: map[ConflictRef]event.Event{},
		rejected:  map[string]Rejected{},
		facts:     map[string]map[factID]rule.Fact{},
		factsOf:   map[ConflictRef]map[string]bool{},
		unsettled: map[string]bool{},
		alerts:    map[string]*memAlert{},
		told:      map[string]bool{},
		dirty:     map[event.Date]int64{},
		lakeDays:  map[event.Date]LakeDay{},
		jobs:      map[string]map[string]FileState{},
		imported:  map[string]FileState{},
		meta:      map[string]string{},
		leases:    map[string]*memLease{},
		outbox:    map[string]*Message{},
	}
}

// write runs f alone, between the method's fault points. f changes nothing when
// it returns an error.
func (m *Mem) write(ctx context.Context, method string, f func() error) error {
	if err := fault.At("store." + method + ".before"); err != nil {
		return err
	}
	if err := m.apply(ctx, f); err != nil {
		return err
	}
	return fault.At("store." + method + ".after")
}

func (m *Mem) apply(ctx context.Context, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	return f()
}

// read runs f while nothing is written.
func (m *Mem) read(ctx context.Context, f func()) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.ready(ctx); err != nil {
		return err
	}
	f()
	return nil
}

func (m *Mem) ready(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	return context.Cause(ctx)
}

// Close implements Store.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// Put implements Store.
func (m *Mem) Put(ctx context.Context, events []event.Event, filtered []event.Filtered) error {
	return m.write(ctx, "put", func() error {
		dirty := map[event.Date]bool{}
		for i := range events {
			m.putEvent(&events[i], dirty)
		}
		for _, f := range filtered {
			if _, ok := m.filtered[f]; !ok {
				m.filtered[f] = struct{}{}
				dirty[f.Date()] = true
			}
		}
		m.markDirty(dirty)
		return nil
	})
}

func (m *Mem) putEvent(e *event.Event, dirty map[event.Date]bool) {
	key := e.Key()
	old, ok := m.events[key]
	switch {
	case ok && old.RecordHash == e.RecordHash:
		return
	case ok && e.Version().Compare(old.Version()) < 0:
		m.displace(e, dirty)
		return
	case ok:
		m.displace(&old, dirty)
		dirty[old.Date()] = true
	}
	m.events[key] = cloneEvent(*e)
	dirty[e.Date()] = true
}

// displace puts a content that lost within the store to the conflicts.
func (m *Mem) displace(e *event.Event, dirty map[event.Date]bool) {
	if m.addConflict(e) {
		dirty[e.Date()] = true
	}
}

// addConflict reports whether the content was not known as a loser. Groups with
// a fact of it become unsettled.
func (m *Mem) addConflict(e *event.Event) bool {
	ref := RefOf(e)
	if _, ok := m.conflicts[ref]; ok {
		return false
	}
	m.conflicts[ref] = cloneEvent(*e)
	maps.Copy(m.unsettled, m.factsOf[ref])
	return true
}

// Find implements Store.
func (m *Mem) Find(ctx context.Context, keys []event.Key) (map[event.Key]Found, error) {
	found := map[event.Key]Found{}
	err := m.read(ctx, func() {
		for _, k := range keys {
			if e, ok := m.events[k]; ok {
				found[k] = Found{Date: e.Date(), Version: e.Version()}
			}
		}
	})
	return found, err
}

// FindFiltered implements Store.
func (m *Mem) FindFiltered(ctx context.Context, rows []event.Filtered) (map[event.Filtered]bool, error) {
	found := map[event.Filtered]bool{}
	err := m.read(ctx, func() {
		for _, f := range rows {
			if _, ok := m.filtered[f]; ok {
				found[f] = true
			}
		}
	})
	return found, err
}

// Event implements Store.
func (m *Mem) Event(ctx context.Context, key event.Key) (event.Event, error) {
	var e event.Event
	var ok bool
	if err := m.read(ctx, func() { e, ok = m.events[key] }); err != nil {
		return event.Event{}, err
	}
	if !ok {
		return event.Event{}, fmt.Errorf("event %q: %w", key.EventID, ErrNotFound)
	}
	return cloneEvent(e), nil
}

// Day implements Store.
func (m *Mem) Day(ctx context.Context, date event.Date) iter.Seq2[event.Event, error] {
	return snapshot(ctx, m, func() []event.Event {
		var day []event.Event
		for _, e := range m.events {
			if e.Date() == date {
				day = append(day, cloneEvent(e))
			}
		}
		slices.SortFunc(day, func(a, b event.Event) int { return a.Compare(&b) })
		return day
	})
}

// DayFiltered implements Store.
func (m *Mem) DayFiltered(ctx context.Context, date event.Date) iter.Seq2[event.Filtered, error] {
	return snapshot(ctx, m, func() []event.Filtered {
		var day []event.Filtered
		for f := range m.filtered {
			if f.Date() == date {
				day = append(day, f)
			}
		}
		slices.SortFunc(day, func(a, b event.Filtered) int { return CompareFiltered(&a, &b) })
		return day
	})
}

// Conflicts implements Store.
func (m *Mem) Conflicts(ctx context.Context) iter.Seq2[event.Event, error] {
	return snapshot(ctx, m, func() []event.Event {
		all := make([]event.Event, 0, len(m.conflicts))
		for _, e := range m.conflicts {
			all = append(all, cloneEvent(e))
		}
		slices.SortFunc(all, func(a, b event.Event) int { return RefOf(&a).Compare(RefOf(&b)) })
		return all
	})
}

// Rejected implements Store.
func (m *Mem) Rejected(ctx context.Context) iter.Seq2[Rejected, error] {
	return snapshot(ctx, m, func() []Rejected {
		return slices.SortedFunc(maps.Values(m.rejected), CompareRejected)
	})
}

// snapshot yields what take returns; take runs when the iteration starts.
func snapshot[T any](ctx context.Context, m *Mem, take func() []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		err := m.read(ctx, func() { all = take() })
		for _, v := range all {
			if err = context.Cause(ctx); err != nil {
				break
			}
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// MarkDirty implements Store.
func (m *Mem) MarkDirty(ctx context.Context, dates []event.Date) error {
	return m.write(ctx, "markdirty", func() error {
		set := map[event.Date]bool{}
		for _, d := range dates {
			set[d] = true
		}
		m.markDirty(set)
		return nil
	})
}

func (m *Mem) markDirty(dates map[event.Date]bool) {
	if len(dates) == 0 {
		return
	}
	m.lastMark++
	for d := range dates {
		m.dirty[d] = m.lastMark
	}
}

// DirtyDays implements Store.
func (m *Mem) DirtyDays(ctx context.Context) ([]DirtyDay, error) {
	var days []DirtyDay
	err := m.read(ctx, func() {
		for _, d := range slices.Sorted(maps.Keys(m.dirty)) {
			days = append(days, DirtyDay{Date: d, Mark: m.dirty[d]})
		}
	})
	return days, err
}

// DayExported implements Store.
func (m *Mem) DayExported(ctx context.Context, mark int64, day LakeDay) error {
	return m.write(ctx, "dayexported", func() error {
		m.lakeDays[day.Date] = cloneLakeDay(day)
		if m.dirty[day.Date] == mark {
			delete(m.dirty, day.Date)
		}
		return nil
	})
}

// LakeDays implements Store.
func (m *Mem) LakeDays(ctx context.Context) ([]LakeDay, error) {
	var days []LakeDay
	err := m.read(ctx, func() {
		for _, d := range slices.Sorted(maps.Keys(m.lakeDays)) {
			days = append(days, cloneLakeDay(m.lakeDays[d]))
		}
	})
	return days, err
}

// DropLakeDays implements Store.
func (m *Mem) DropLakeDays(ctx context.Context, dates []event.Date) error {
	return m.write(ctx, "droplakedays", func() error {
		gone := map[event.Date]bool{}
		for _, d := range dates {
			gone[d] = true
			delete(m.lakeDays, d)
			delete(m.dirty, d)
		}
		m.lineage.Forget(dates)
		m.removeHot(func(d event.Date) bool { return gone[d] })
		return nil
	})
}

// Prune implements Store.
func (m *Mem) Prune(ctx context.Context, before event.Date) (removed int64, err error) {
	err = m.write(ctx, "prune", func() error {
		removed = m.removeHot(func(d event.Date) bool { return d < before && m.dirty[d] == 0 })
		return nil
	})
	return removed, err
}

func (m *Mem) removeHot(gone func(event.Date) bool) int64 {
	n := len(m.events) + len(m.filtered)
	maps.DeleteFunc(m.events, func(_ event.Key, e event.Event) bool { return gone(e.Date()) })
	maps.DeleteFunc(m.filtered, func(f event.Filtered, _ struct{}) bool { return gone(f.Date()) })
	return int64(n - len(m.events) - len(m.filtered))
}
