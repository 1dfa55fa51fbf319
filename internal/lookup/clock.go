package lookup

import (
	"sync"
	"time"
)

// serverClock tells the time as AWS has it, whatever the local clock says: from
// the Date header of answers, which has seconds. Until the first answer it is
// the local time.
type serverClock struct {
	mu     sync.Mutex
	offset time.Duration
	known  bool
}

func (c *serverClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// learn takes the time of an answer that took so long to come. The header's
// second is cut off and travelled for a while, so an offset below that noise
// is none.
func (c *serverClock) learn(date time.Time, took time.Duration) {
	if date.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	off := time.Until(date)
	c.known = true
	// At the moment of the answer the server's clock showed date to date+1s.
	switch slack := took + time.Second; {
	case off > slack || off < -slack:
		c.offset = off
	case c.offset > slack || c.offset < -slack:
		c.offset = 0 // the local clock was set right
	}
}

// wallSince is the time since t by the wall clock, which goes on while a machine
// sleeps, as the monotonic one does not: an answer that waited meanwhile tells an
// old time.
func wallSince(t time.Time) time.Duration { return time.Now().Round(0).Sub(t.Round(0)) }
