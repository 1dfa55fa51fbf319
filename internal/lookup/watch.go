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
			left := every - time.Now().Round(0).Sub(start)
			if left > every {
				left = every // the clock was set back
			}
			if left <= 0 {
				break
			}
			_ = sleep(ctx, min(left, wakeEvery)) // its error is the context's, which ends the loops
		}
	}
	return nil
}

// untilNext is how long to wait for the run after the one that began at start.
// When the clock was set back, so that it began in the future, that is no longer
// than a whole turn.
func untilNext(start, now time.Time, every time.Duration) time.Duration {
	return min(every-now.Round(0).Sub(start), every)
}

// wakeEvery is how often a watch looks at the wall clock.
const wakeEvery = 15 * time.Second
