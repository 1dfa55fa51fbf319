package lookup

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
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

// How a higher rate is found. What others use of the quota shows by refusals only,
// and of a hundred requests no more than one is to be refused.
const (
	// So many requests are sent at a higher rate, and the next ones at the former
	// rate until they are answered: at a latency of seconds a sustained higher rate
	// would be refused several times before the first refusal is known.
	trialRequests = 2
	// A rate is proven by so many requests that were served; then comes the next trial.
	proving = 12
	// After a refusal the next trial waits for so many.
	proveRefused = 200
	// The first trial is made where so many requests are expected in all. Of those
	// still to come no more than some times those seen count: it's a guess.
	worthTrial = 120
	guessed    = 8
	// Up to a rate that was refused by halves, else by this factor.
	step, smallStep = 1.4, 1.1
	// After a refusal at a rate that had been proven.
	cut = 0.7
	// A wait that ends this late is made up for by the next.
	wakeLate = 5 * time.Millisecond
)

// limiter paces the requests of one account and region, which all streams share.
// Others use the same quota unseen. It starts low and finds by trials what is
// permitted; after a refusal it stays at the rate that was proven, and tries again
// rarely.
type limiter struct {
	most, slowest float64
	turn          chan struct{} // held by who waits for the next request's time

	mu      sync.Mutex
	last    time.Time // when the latest request was sent
	rate    float64
	proven  float64   // the highest rate up to rate that many requests were served at
	refused float64   // the rate that was last refused; 0: none that still counts
	changed time.Time // when a refusal was last heeded
	served  int       // all that was served
	since   int       // of it, at the rate, since the last trial or refusal
	every   int       // how many of these the next trial waits for
	trial   *trial    // under way
}

// trial is some requests at a higher rate.
type trial struct {
	rate           float64
	unsent, served int
}

// permit is a request that may be sent.
type permit struct {
	at    time.Time
	paced bool   // as soon as the rate permits it, so that its answer tells of the rate
	trial *trial // it is part of
}

func newLimiter(permitted float64) *limiter {
	start := permitted * startShare
	return &limiter{most: permitted * paceShare, slowest: permitted * slowestShare, rate: start, proven: start, every: proving, turn: make(chan struct{}, 1)}
}

// errTimeUp: the context ends before something could be done. It is no
// context.DeadlineExceeded, which a request that hung is too.
var errTimeUp = errors.New("the time is up")

// wait blocks until a request may be sent. How the request ended must be told to
// answered.
func (l *limiter) wait(ctx context.Context) (permit, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return permit{}, context.Cause(ctx)
	}
	paced := false
	for {
		p, left := l.take(paced)
		if left <= 0 {
			return p, nil
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < left {
			return p, errTimeUp
		}
		if err := sleep(ctx, left); err != nil {
			return p, err
		}
		paced = true
	}
}

// take takes the next permit, or returns how long that is still too early. paced
// says that its time was waited for.
func (l *limiter) take(paced bool) (permit, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rate, trying := l.rate, l.trial != nil && l.trial.unsent > 0
	if trying {
		rate = l.trial.rate
	}
	p := permit{at: time.Now(), paced: paced}
	due := l.last.Add(time.Duration(math.Ceil(float64(time.Second) / rate)))
	if left := due.Sub(p.at); left > 0 {
		return p, left
	}
	l.last = p.at
	if p.at.Sub(due) < wakeLate {
		l.last = due
	}
	if trying && paced {
		l.trial.unsent--
		p.trial = l.trial
	}
	return p, 0
}

// answered notes how a request ended; left is how many more are expected.
func (l *limiter) answered(p permit, err error, left float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.ok(p, left)
	case errors.Is(err, awsapi.ErrThrottled):
		l.throttled(p)
	case p.trial != nil && p.trial == l.trial:
		l.trial = nil // it told nothing
	}
}

func (l *limiter) ok(p permit, left float64) {
	l.served++
	if !p.paced {
		return
	}
	if p.trial != nil {
		if p.trial != l.trial {
			return
		}
		if l.trial.served++; l.trial.served == trialRequests {
			l.rate, l.trial, l.since = l.trial.rate, nil, 0
			l.every = max(proving, l.every/4)
			if l.rate >= l.refused {
				l.refused = 0
			}
		}
		return
	}
	if l.trial != nil || !p.at.After(l.changed) {
		return
	}
	if l.since++; l.since >= proving {
		l.proven = l.rate
	}
	seen := float64(l.served)
	if l.since < l.every || l.rate >= l.most || seen+math.Min(left, guessed*seen) < worthTrial {
		return
	}
	next := l.rate * step
	if l.refused > 0 {
		next = math.Max(l.rate*smallStep, (l.rate+l.refused)/2)
	}
	l.trial = &trial{rate: math.Min(l.most, next), unsent: trialRequests}
	l.since = 0
}

// throttled: several refusals of requests that were under way together are one
// sign, not several.
func (l *limiter) throttled(p permit) {
	if !p.at.After(l.changed) {
		return
	}
	l.changed, l.since, l.every, l.trial = time.Now(), 0, proveRefused, nil
	switch {
	case p.trial != nil:
		l.refused = p.trial.rate
		return
	case l.proven < l.rate:
		// The trial passed on what the quota had saved; that cost more refusals.
		l.refused, l.rate, l.every = l.rate, l.proven, 2*proveRefused
	default:
		l.refused, l.rate = l.rate, math.Max(l.slowest, l.rate*cut)
		l.proven = l.rate
	}
}

// current returns the rate, in requests a second.
func (l *limiter) current() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}
