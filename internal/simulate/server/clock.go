package server

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Clock is the time that a Server lives in. Collectors may share it: whoever waits
// by Sleep waits for the same clock. Both methods are safe for concurrent use.
type Clock interface {
	// Now returns the time.
	Now() time.Time
	// Sleep waits until d has passed, or ctx ends: then it returns ctx.Err().
	Sleep(ctx context.Context, d time.Duration) error
}

// Real is the computer's clock; inside a testing/synctest bubble, the bubble's.
type Real struct{}

// Now returns the time.
func (Real) Now() time.Time { return time.Now() }

// Sleep waits.
func (Real) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Virtual is a clock that stands still until it is moved.
type Virtual struct {
	mu      sync.Mutex
	now     time.Time
	waiting []*sleeper
}

type sleeper struct {
	until time.Time
	wake  chan struct{}
}

// NewVirtual returns a clock that stands at start.
func NewVirtual(start time.Time) *Virtual { return &Virtual{now: start.UTC()} }

// Now returns the time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Advance moves the clock by d, and wakes who has slept enough.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
	v.waiting = slices.DeleteFunc(v.waiting, func(s *sleeper) bool {
		if s.until.After(v.now) {
			return false
		}
		close(s.wake)
		return true
	})
}

// Sleep waits until the clock has been moved by d.
func (v *Virtual) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	s := &sleeper{wake: make(chan struct{})}
	v.mu.Lock()
	s.until = v.now.Add(d)
	v.waiting = append(v.waiting, s)
	v.mu.Unlock()
	select {
	case <-s.wake:
		return nil
	case <-ctx.Done():
		v.mu.Lock()
		defer v.mu.Unlock()
		v.waiting = slices.DeleteFunc(v.waiting, func(o *sleeper) bool { return o == s })
		return ctx.Err()
	}
}

// Sleepers returns how many wait for the clock to move.
func (v *Virtual) Sleepers() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.waiting)
}
