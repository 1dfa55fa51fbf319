package together

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// start lets n calls wait for one that runs, and returns what ends that one and
// waits for them all.
func start(t *testing.T, g *Group[int], n int, f func(item int, items []int) error) (finish func() []error) {
	t.Helper()
	var all sync.WaitGroup
	hold := make(chan struct{})
	running := make(chan struct{})
	all.Go(func() {
		if err := g.Do(0, func([]int) error { close(running); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-running
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = g.Do(i+1, func(items []int) error { return f(i+1, items) }) })
		for waiting := 0; waiting <= i; time.Sleep(time.Millisecond) {
			g.mu.Lock()
			waiting = len(g.waiting)
			g.mu.Unlock()
		}
	}
	return func() []error { close(hold); all.Wait(); return errs }
}

// What waits goes together, in one call.
func TestShared(t *testing.T) {
	var g Group[int]
	var calls [][]int
	errs := start(t, &g, 5, func(_ int, items []int) error { calls = append(calls, items); return nil })()
	if len(calls) != 1 || !slices.Equal(calls[0], []int{1, 2, 3, 4, 5}) {
		t.Errorf("calls %v", calls)
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// Only those get an error whose own call failed.
func TestErrorOfOne(t *testing.T) {
	var g Group[int]
	bad := errors.New("3 is bad")
	var done []int
	errs := start(t, &g, 5, func(_ int, items []int) error {
		if slices.Contains(items, 3) {
			return bad
		}
		done = append(done, items...)
		return nil
	})()
	failed := 0
	for i, err := range errs {
		stored := slices.Contains(done, i+1)
		if stored != (err == nil) {
			t.Errorf("%d: %v, done: %v", i+1, err, stored)
		}
		if err != nil {
			failed++
		}
	}
	// 3 itself, and who tried for all.
	if errs[2] == nil || failed > 2 {
		t.Errorf("errors %v", errs)
	}
	if err := g.Do(9, func([]int) error { return nil }); err != nil {
		t.Error(err)
	}
}
