// Package together lets goroutines that wait for the same slow thing, such as a
// write that must reach the disk, share it.
package together

import "sync"

// Group shares calls. The zero value is ready.
type Group[T any] struct {
	turn    sync.Mutex // held while a call runs
	mu      sync.Mutex // guards waiting
	waiting []*request[T]
}

type request[T any] struct {
	item T
	// Guarded by turn.
	done  bool
	alone bool // a shared call failed: it goes by itself
}

// Do returns once f was called with item, and returned nil, or with f's error.
// Calls follow one another; what comes while one runs goes into the next together:
// the f of one of them gets all items, in the order they came. When a call for
// many fails, each of the others is tried by itself, with its own f, so that
// nobody gets an error that isn't theirs; f must bear that an item comes again.
func (g *Group[T]) Do(item T, f func([]T) error) error {
	r := &request[T]{item: item}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	switch {
	case r.done:
		return nil
	case r.alone:
		return f([]T{item})
	}
	g.mu.Lock()
	all := g.waiting // r is among them
	g.waiting = nil
	g.mu.Unlock()
	items := make([]T, len(all))
	for i, o := range all {
		items[i] = o.item
		o.alone = true // until it is done; also if f panics
	}
	if err := f(items); err != nil {
		return err
	}
	for _, o := range all {
		o.done = true
	}
	return nil
}
