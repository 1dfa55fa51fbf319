package lookup

import (
	"testing"
	"time"
)

// The wall clock decides when a watch's next run is due.
func TestUntilNext(t *testing.T) {
	const every = 5 * time.Minute
	start := time.Now()
	for name, c := range map[string]struct {
		passed, want time.Duration
	}{
		"just begun":             {0, every},
		"after a while":          {2 * time.Minute, 3 * time.Minute},
		"the run took longer":    {7 * time.Minute, -2 * time.Minute},
		"the machine slept":      {9 * time.Hour, every - 9*time.Hour},
		"the clock was set back": {-time.Hour, every},
	} {
		// As a clock that stood still: what the monotonic reading says is no matter.
		begun := start.Round(0)
		if got := untilNext(&begun, begun.Add(c.passed), every); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	begun := start.Round(0).Add(-time.Hour)
	if got := untilNext(&begun, start, every); got != every-time.Hour { // start has the monotonic reading, too
		t.Errorf("asleep: %s", got)
	}
	// A watch looks again and again: a clock that was set back costs no more than a turn.
	begun = start.Round(0)
	now := begun.Add(-24 * time.Hour)
	for looks := 0; untilNext(&begun, now, every) > 0; looks++ {
		if now = now.Add(wakeEvery); looks > int(every/wakeEvery) {
			t.Fatal("a clock that was set back by a day keeps a watch waiting")
		}
	}
}

// An answer that waited while the machine slept tells an old time; it is not
// taken for a clock that is wrong.
func TestClockAfterSleep(t *testing.T) {
	for name, c := range map[string]struct {
		date         time.Duration // of the answer, from now
		took, offset time.Duration
	}{
		"as it is":       {0, time.Second, 0},
		"three fast":     {3 * time.Minute, time.Second, 3 * time.Minute},
		"three slow":     {-3 * time.Minute, time.Second, -3 * time.Minute},
		"slept an hour":  {-time.Hour, time.Hour, 0},
		"within a noise": {-4 * time.Second, 4 * time.Second, 0},
	} {
		var k serverClock
		k.learn(time.Now().Add(c.date), c.took)
		if got := time.Until(k.now()) - c.offset; got < -time.Second || got > time.Second {
			t.Errorf("%s: the clock is %s off", name, got)
		}
	}
}
