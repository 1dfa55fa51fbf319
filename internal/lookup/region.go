package lookup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/coverage"
)

const (
	// maxSlots bounds the requests of a region that are under way at once.
	maxSlots = 12
	// A slice is cut in two for a reader that has nothing to do if it is
	// expected to have this many pages left: each cut costs about one page more.
	// Some cuts of a stream may be finer: the first few, and one for each so many
	// pages that were read.
	cutPages, fineCutPages, fineCuts, pagesPerCut = 40, 3, 8, 30
	// maxRestarts bounds how often a slice is begun anew without having got
	// further, maxEmpty the empty pages in a row that say "go on".
	maxRestarts, maxEmpty = 8, 200
	// maxTries bounds the attempts at one request that fail for reasons other
	// than the rate; together they take some two minutes.
	maxTries = 8
)

// region reads the streams of one account and region. All its slices share one
// limiter; as many are read at once as latency demands.
type region struct {
	account Account
	name    string
	limiter *limiter
	sink    *sink
	clock   *serverClock
	started time.Time

	mu      sync.Mutex
	queue   []coverage.Task
	first   []coverage.Stream // of which more is to be planned yet
	active  map[*slice]struct{}
	cuts    map[coverage.Stream]int
	pages   map[coverage.Stream]int // answers
	failed  map[coverage.Stream]failure
	latency float64 // seconds, smoothed
	stats   RegionStats
	wake    chan struct{} // one element: something changed

	answered bool // so that latency is known, even if it is 0

	alone *slice        // that is read alone, since its page tokens expire else; nil: none
	freed chan struct{} // closed when alone is done
}

// failure is why a stream can't be read in this run.
type failure struct {
	reason coverage.Reason
	err    error
}

// slice is a stretch being read. Its bounds, as asked for, are frozen while it is
// paged; what is needed of it shrinks when another reader takes the older part.
type slice struct {
	*coverage.Slice
	stream coverage.Stream
	bottom int64 // all from here to Span.To was read
	seen   int   // events
	dense  bool  // it has more than a page
}

func newSlice(stream coverage.Stream, s *coverage.Slice) *slice {
	return &slice{Slice: s, stream: stream, bottom: s.Span.To}
}

// pagesLeft estimates how many requests a slice still needs.
func (s *slice) pagesLeft() float64 {
	if !s.dense || s.bottom >= s.Span.To {
		return 0
	}
	density := float64(s.seen) / float64(s.Span.To-s.bottom)
	return density * float64(s.bottom-s.Need.From) / awsapi.MaxPage
}

// run reads tasks. As soon as a stream has no task left, and some request more
// could be under way, refill is asked, once, for further tasks of such streams.
// It returns an error only when nothing can go on: the context ended, or the sink
// or refill is broken.
func (r *region) run(ctx context.Context, tasks []coverage.Task, refill func(context.Context, []coverage.Stream) ([]coverage.Task, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	r.queue = tasks
	r.mu.Unlock()
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		s, done, idle := r.next()
		switch {
		case s != nil:
			readers.Go(func() {
				if err := r.read(ctx, s); err != nil {
					cancel(err)
				}
				r.finished(s)
			})
			continue
		case len(done) > 0 && ctx.Err() == nil:
			more, err := refill(ctx, done)
			if err != nil {
				return err
			}
			r.mu.Lock()
			r.queue = append(r.queue, more...)
			r.mu.Unlock()
			continue
		case idle || ctx.Err() != nil:
			readers.Wait()
			return context.Cause(ctx)
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// next returns the slice to read next; or the streams that are done with what was
// planned first; or nothing for now; idle says that nothing is left at all.
func (r *region) next() (s *slice, done []coverage.Stream, idle bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && r.isDead(r.queue[0].Stream) {
		r.queue = r.queue[1:]
	}
	if len(r.active) >= r.slots() {
		return nil, nil, false
	}
	if len(r.queue) > 0 {
		t := r.queue[0]
		r.queue = r.queue[1:]
		s = newSlice(t.Stream, coverage.NewSlice(t.Span, t.Need))
	} else {
		busy := map[coverage.Stream]bool{}
		for a := range r.active {
			busy[a.stream] = true
		}
		r.first = slices.DeleteFunc(r.first, func(f coverage.Stream) bool {
			if !busy[f] && !r.isDead(f) {
				done = append(done, f)
			}
			return !busy[f]
		})
		if len(done) > 0 {
			return nil, done, false
		}
		if s = r.cut(); s == nil {
			return nil, nil, len(r.active) == 0
		}
	}
	r.active[s] = struct{}{}
	return s, nil, false
}

func (r *region) isDead(s coverage.Stream) bool {
	_, dead := r.failed[s]
	return dead
}

// slots is how many requests must be under way for the rate to be reached.
func (r *region) slots() int {
	latency := r.latency
	if !r.answered {
		latency = 2
	}
	return min(maxSlots, int(math.Ceil(r.limiter.current()*latency))+1)
}

// cut takes the older half of the slice with most left to read, at a full hour
// if that is possible.
func (r *region) cut() *slice {
	var most *slice
	for s := range r.active {
		if most == nil || s.pagesLeft() > most.pagesLeft() {
			most = s
		}
	}
	if most == nil {
		return nil
	}
	enough := float64(cutPages)
	if r.cuts[most.stream] < fineCuts+r.pages[most.stream]/pagesPerCut {
		enough = fineCutPages
	}
	from := most.Need.From
	if most.pagesLeft() < enough {
		return nil
	}
	at := (from + most.bottom) / 2
	if hour := at - at%3600; hour > from {
		at = hour
	}
	if at <= from || at >= most.bottom {
		return nil
	}
	r.cuts[most.stream]++
	most.Need.From = at
	older := coverage.Span{From: from, To: at}
	return newSlice(most.stream, coverage.NewSlice(older, older))
}

func (r *region) finished(s *slice) {
	r.mu.Lock()
	delete(r.active, s)
	r.mu.Unlock()
	r.wakeUp()
}

func (r *region) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// read pages through a slice. What goes wrong with its stream alone is noted in
// failed; only what ends the run is returned.
func (r *region) read(ctx context.Context, s *slice) error {
	var (
		restarts, empty int
		begun           time.Time // the listing is as of its first request
		ask             awsapi.LookupInput
	)
	again := func() {
		ask = awsapi.LookupInput{Source: s.stream.Source}
		ask.Start, ask.End = s.Span.Request()
		begun = time.Time{}
	}
	again()
	defer r.together(s)
	for {
		if err := r.others(ctx, s); err != nil {
			return r.giveUp(ctx, s.stream, err)
		}
		page, sent, err := r.request(ctx, s.stream, ask)
		switch {
		case errors.Is(err, awsapi.ErrTokenExpired):
			// What was read to its end stays; the rest is asked for anew.
			if restarts++; restarts > maxRestarts {
				r.fail(s.stream, coverage.Failed, fmt.Errorf("page tokens expire before the next page can be read: %w", err))
				return nil
			}
			if !r.restart(s) {
				return nil
			}
			// Who shares the rate with others may come too late again.
			r.goAlone(s)
			again()
			continue
		case err != nil:
			return r.giveUp(ctx, s.stream, err)
		}
		if begun.IsZero() {
			begun = sent
		}
		got, done := r.advance(s, &page)
		if !got.Empty() {
			restarts = 0
			r.together(s)
		}
		if len(page.Records) > 0 {
			empty = 0
		} else if empty++; empty > maxEmpty {
			r.fail(s.stream, coverage.Failed, fmt.Errorf("%d empty pages in a row", empty))
			return nil
		}
		it := item{region: r, stream: s.stream, records: page.Records, read: coverage.Read{
			Span: got, Begun: begun.Unix(), Ended: r.clock.now().Unix(), Requests: 1, Events: len(page.Records),
		}}
		if err := r.sink.put(ctx, it); err != nil {
			return err
		}
		if done {
			return nil
		}
		ask.Token = page.Token
	}
}

// goAlone lets a slice be read alone until together, unless another is.
func (r *region) goAlone(s *slice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alone == nil {
		r.alone, r.freed = s, make(chan struct{})
	}
}

// together ends what goAlone began.
func (r *region) together(s *slice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alone == s {
		r.alone = nil
		close(r.freed)
	}
}

// others waits while another slice is read alone.
func (r *region) others(ctx context.Context, s *slice) error {
	for {
		r.mu.Lock()
		wait, freed := r.alone != nil && r.alone != s, r.freed
		r.mu.Unlock()
		if !wait {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// restart puts what remains of a slice in its place; false when nothing does.
func (r *region) restart(s *slice) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := s.Rest()
	if rest == nil {
		return false
	}
	s.Slice, s.bottom, s.seen = rest, rest.Span.To, 0
	return true
}

// advance moves a slice down to where a page has read it to its end, and returns
// the span that is read now.
func (r *region) advance(s *slice, page *awsapi.Page) (got coverage.Span, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.wakeUp()
	more, oldest := page.Token != "", int64(0)
	if len(page.Records) > 0 {
		oldest = page.Oldest.Unix()
		s.dense = s.dense || more
	}
	s.seen += len(page.Records)
	r.stats.Events += len(page.Records)
	r.pages[s.stream]++
	got = s.Page(oldest, more)
	s.bottom = got.From
	return got, !more || s.Done()
}

// request asks for a page until there is an answer: at the permitted rate, again
// after a refusal for the rate, and some times after a failure that may pass.
// sent is when, by the server's clock, the answered request was sent.
func (r *region) request(ctx context.Context, stream coverage.Stream, in awsapi.LookupInput) (page awsapi.Page, sent time.Time, err error) {
	wait := time.Second
	for try := 1; ; {
		if r.dead(stream) {
			return page, sent, errGivenUp
		}
		p, err := r.limiter.wait(ctx)
		if err != nil {
			return page, sent, err
		}
		sent = r.clock.now()
		page, err = r.account.Lookup(ctx, r.name, in)
		took := time.Since(p.at)
		r.limiter.answered(p, err, r.count(err, took))
		r.clock.learn(page.ServerTime, max(took, wallSince(p.at)))
		switch {
		case err == nil:
			return page, sent, nil
		case ctx.Err() != nil:
			return page, sent, context.Cause(ctx)
		case errors.Is(err, awsapi.ErrThrottled):
			continue
		case !passing(err) || try >= maxTries:
			return page, sent, err
		}
		try++
		if err := sleep(ctx, wait); err != nil {
			return page, sent, err
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// passing says whether an error may be gone at the next attempt.
func passing(err error) bool {
	return errors.Is(err, awsapi.ErrNetwork) || errors.Is(err, awsapi.ErrUnavailable)
}

var errGivenUp = errors.New("the stream was given up")

func (r *region) dead(s coverage.Stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isDead(s)
}

// count notes an answer, and returns how many requests are expected to follow.
func (r *region) count(err error, took time.Duration) (left float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Requests++
	left = float64(len(r.queue))
	for s := range r.active {
		left += s.pagesLeft()
	}
	if errors.Is(err, awsapi.ErrThrottled) {
		r.stats.Throttled++
		return left
	}
	const weight = 0.2
	if !r.answered {
		r.answered, r.latency = true, took.Seconds()
	} else {
		r.latency += weight * (took.Seconds() - r.latency)
	}
	return left
}

// giveUp notes why a stream can't be read; it returns what ends the whole run.
func (r *region) giveUp(ctx context.Context, s coverage.Stream, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errTimeUp):
		return err
	case errors.Is(err, errGivenUp):
	case errors.Is(err, awsapi.ErrDenied):
		r.fail(s, coverage.Denied, err)
	case errors.Is(err, awsapi.ErrRegionDisabled):
		r.fail(s, coverage.NotEnabled, err)
	default:
		r.fail(s, coverage.Failed, err)
	}
	return nil
}

func (r *region) fail(s coverage.Stream, reason coverage.Reason, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.failed[s]; !ok {
		r.failed[s] = failure{reason, err}
	}
}

// sleep waits, unless the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
