package lookup

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// quota is how CloudTrail limits a rate, of which others take a share.
type quota struct {
	mu      sync.Mutex
	rate    float64
	tokens  float64
	at      time.Time
	refused int
}

// newQuota returns one that nobody has used for a while.
func newQuota(rate float64) *quota {
	return &quota{rate: rate, tokens: max(1, rate), at: time.Now()}
}

func (q *quota) take() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.tokens = min(max(1, q.rate), q.tokens+q.rate*now.Sub(q.at).Seconds())
	q.at = now
	if q.tokens < 1-1e-6 {
		q.refused++
		return awsapi.ErrThrottled
	}
	q.tokens--
	return nil
}

func (q *quota) set(rate float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate = rate
}

// read sends requests as a region does until so many were served, and returns how
// long that took.
func read(l *limiter, q *quota, latency time.Duration, n int) time.Duration {
	begun := time.Now()
	var mu sync.Mutex
	var readers sync.WaitGroup
	left, slots := n, int(2*latency.Seconds())+2
	for range slots {
		readers.Go(func() {
			for {
				mu.Lock()
				if left == 0 {
					mu.Unlock()
					return
				}
				left--
				mu.Unlock()
				for {
					p, err := l.wait(context.Background())
					if err == nil {
						err = q.take()
						time.Sleep(latency)
					}
					mu.Lock()
					expected := float64(left)
					mu.Unlock()
					if l.answered(p, err, expected); err == nil {
						break
					}
				}
			}
		})
	}
	readers.Wait()
	return time.Since(begun)
}

// Whatever others use, refusals stay rare, and of what they leave most is used. The
// reading has 800 requests, which is a busy region's first one.
func TestLimiter(t *testing.T) {
	for _, latency := range []time.Duration{0, 200 * time.Millisecond, 4 * time.Second} {
		for _, c := range []struct{ rate, used float64 }{ // permitted, and the share of it that is made use of
			{2, 0.9}, {1.8, 0.75}, {1.5, 0.75}, {1.25, 0.75}, {1, 0.94}, {0.98, 0.94},
		} {
			t.Run(fmt.Sprintf("%s of %v", latency, c.rate), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const n = 800
					l, q := newLimiter(PermittedRate), newQuota(c.rate)
					took := read(l, q, latency, n)
					used := n / took.Seconds() / c.rate
					t.Logf("%d of %d refused, %.1f %% of the rate used", q.refused, n+q.refused, 100*used)
					if q.refused*100 > n+q.refused {
						t.Errorf("%d of %d requests were refused", q.refused, n+q.refused)
					}
					if used < c.used {
						t.Errorf("%.3f requests a second, of %v", n/took.Seconds(), c.rate)
					}
				})
			})
		}
	}
}

// Others come and go: the rate follows them.
func TestLimiterFollows(t *testing.T) {
	for _, latency := range []time.Duration{200 * time.Millisecond, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l, q := newLimiter(PermittedRate), newQuota(PermittedRate)
			total, rates := 0, []float64{2, 1, 2, 0.5, 2}
			for _, rate := range rates {
				q.set(rate)
				const n = 2000
				before := q.refused
				took := read(l, q, latency, n)
				total += n
				t.Logf("%s, %v: %d refused, %.3f a second", latency, rate, q.refused-before, n/took.Seconds())
				if n/took.Seconds() < 0.75*rate {
					t.Errorf("latency %s: %.3f requests a second, of %v", latency, n/took.Seconds(), rate)
				}
			}
			if q.refused*100 > total+q.refused {
				t.Errorf("latency %s: %d of %d requests were refused", latency, q.refused, total+q.refused)
			}
		})
	}
}

// A region that needs few requests tries no higher rate: one refusal would be a
// large part of them.
func TestLimiterOfSmallRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{1, 10, 30, 100} {
			l, q := newLimiter(PermittedRate), newQuota(1)
			read(l, q, time.Second, n)
			if q.refused > 0 {
				t.Errorf("%d of %d requests were refused", q.refused, n)
			}
		}
	})
}

// A trial whose requests don't come to an answer doesn't end all trials.
func TestTrialWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, q := newLimiter(PermittedRate), newQuota(PermittedRate)
		lost := 0
		for range 400 {
			p, err := l.wait(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			err = q.take()
			if p.trial != nil && lost < 3 {
				lost++
				err = awsapi.ErrNetwork
			}
			l.answered(p, err, 1000)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := l.wait(ctx); err != errTimeUp { //nolint:errorlint // it is never wrapped here
			t.Errorf("a wait that is too long ends with %v", err)
		}
		if l.current() != l.most || q.refused > 0 || lost != 3 {
			t.Errorf("%v requests a second, %d refused, %d lost", l.current(), q.refused, lost)
		}
	})
}
