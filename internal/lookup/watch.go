package lookup

import (
	"context"
	"time"
)

// Watch runs the collector every so often, until the context ends: the first
// time at once, then at that distance from start to start, at once when a run
// took longer. after is told how each run ended, and may end the watch with an
// error; a run that failed is no reason to end it. The wall clock decides when
// the next run is due, so that a machine that slept goes on when it wakes.
func (c *Collector) Watch(ctx context.Context, every time.Duration, after func(Summary, error) error) error {
	for ctx.Err() == nil {
		start := time.Now().Round(0) // without the monotonic reading, which stands still in sleep
		s, err := c.Run(ctx)
		if err := after(s, err); err != nil {
			return err
		}
		for ctx.Err() == nil {
			left := untilNext(&start, time.Now(), every)
			if left <= 0 {
				break
			}
			_ = sleep(ctx, min(left, wakeEvery)) // its error is the context's, which ends the loops
		}
	}
	return nil
}

// untilNext is how long to wait for the run after the one that began at start.
// When the clock was set back to before that, start becomes now: the wait is no
// longer than a whole turn, however far it was set back.
func untilNext(start *time.Time, now time.Time, every time.Duration) time.Duration {
	now = now.Round(0)
	if now.Before(*start) {
		*start = now
	}
	return every - now.Sub(*start)
}

// wakeEvery is how often a watch looks at the wall clock.
const wakeEvery = 15 * time.Second
