package lookup

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Requests a second that CloudTrail permits for LookupEvents in one account and
// region ("Quotas in AWS CloudTrail"), and the share of it that we ask for: a
// clock's jitter must not cost a refusal.
const (
	PermittedRate = 2.0
	paceShare     = 0.985
	// Half of it is asked for at first: others may be using the rest, and the few
	// requests that most regions need would all be refused before that shows.
	startShare   = 0.485
	slowestShare = 0.05
)

// limiter paces the requests of one account and region, which all streams
// share. Others use the same quota unseen: a refusal lowers the rate, and long
// success raises it again, slowly near the rate that was last refused, so that
// refusals stay rare.
type limiter struct {
	pace                   *rate.Limiter
	most, started, slowest float64

	mu      sync.Mutex
	rate    float64
	refused float64   // the rate at which a request was last refused; 0: never
	changed time.Time // when it was last lowered
	since   int       // successes since the last change
}

func newLimiter(permitted float64) *limiter {
	l := &limiter{most: permitted * paceShare, started: permitted * startShare, slowest: permitted * slowestShare}
	l.rate = l.started
	l.pace = rate.NewLimiter(rate.Limit(l.rate), 1)
	return l
}

// errTimeUp: the context ends before something could be done. It is no
// context.DeadlineExceeded, which a request that hung is too.
var errTimeUp = errors.New("the time is up")

// wait blocks until a request may be sent, and returns when that was.
func (l *limiter) wait(ctx context.Context) (time.Time, error) {
	if err := l.pace.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return time.Time{}, context.Cause(ctx)
		}
		// The context ends before the turn comes.
		return time.Time{}, errTimeUp
	}
	return time.Now(), nil
}

// ok notes a request that was served.
func (l *limiter) ok() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since++
	step, every := 0.4, 4
	switch {
	case l.refused == 0 && l.rate == l.started:
		every = 12
	case l.refused == 0:
	case l.rate > l.refused*0.8:
		step, every = 0.01, 40
	default:
		step, every = 0.10, 5
	}
	if l.rate >= l.most || l.since < every {
		return
	}
	l.since = 0
	l.set(math.Min(l.most, l.rate*(1+step)))
}

// throttled notes that a request which was sent at that time was refused.
// Several that were under way together are one sign, not several.
func (l *limiter) throttled(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !sent.After(l.changed) {
		return
	}
	l.refused, l.changed, l.since = l.rate, time.Now(), 0
	l.set(math.Max(l.slowest, l.rate*0.7))
}

func (l *limiter) set(r float64) {
	l.rate = r
	l.pace.SetLimit(rate.Limit(r))
}

// current returns the rate, in requests a second.
func (l *limiter) current() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}
