// Package lookup reads CloudTrail's event history (LookupEvents) of every region
// and account into the pipeline, and books what it has read in the ledger of
// coverage.
//
// Each account and region is read by one process at a time (a lease), at the
// permitted rate, as many requests at once as the latency demands. A run may end
// anywhere: pages are stored before they are booked, so the next run reads what
// is missing, and nothing is claimed that was not read to its end. What can't be
// read stays a gap, with the reason.
//
// Times are the server's. The package knows LookupEvents through Account and
// prints nothing.
package lookup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Account is an AWS account to read; *awsapi.Account is one.
type Account interface {
	// Caller tells whose credentials these are.
	Caller(context.Context) (awsapi.Caller, error)
	// Regions are the enabled regions.
	Regions(context.Context) ([]string, error)
	// AllRegions reports whether Regions are all that are enabled, and not those
	// that somebody named.
	AllRegions() bool
	// IdentityCenterRegions tells in which of the regions IAM Identity Center has
	// an instance; with an error, some could not be asked.
	IdentityCenterRegions(ctx context.Context, regions []string) ([]string, error)
	// IdentityCenterUsers lists the users of the instance in a region.
	IdentityCenterUsers(ctx context.Context, region string) ([]awsapi.DirectoryUser, error)
	// Lookup asks for one page of the event history.
	Lookup(ctx context.Context, region string, in awsapi.LookupInput) (awsapi.Page, error)
}

// Ledgers is what the collector keeps in the store.
type Ledgers interface {
	Streams(context.Context) ([]*coverage.Ledger, error)
	UpdateStream(context.Context, coverage.Stream, func(*coverage.Ledger) error) error
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (store.Lease, error)
}

// Collector reads accounts. All fields but those marked are required.
type Collector struct {
	Accounts []Account
	Store    Ledgers
	Ingest   func(context.Context, []collect.Live) (collect.Ingested, error)
	// Holder names this process in leases.
	Holder string
	// Sources narrows what is read, to event sources such as
	// "iam.amazonaws.com"; nil: coverage.DefaultSources.
	Sources []string
	// Rate is how many requests a second may be sent in each account and region;
	// 0: PermittedRate. Less leaves more to others who ask CloudTrail.
	Rate float64
	// Workers is how many regions are read at once, of all accounts together; 0: 32.
	Workers int
	// IdentityCenter is the region of IAM Identity Center; "": each region is asked.
	IdentityCenter string
	// Users, when set, takes the users of an Identity Center that was found, who
	// are listed where that is permitted.
	Users func(context.Context, []awsapi.DirectoryUser) error
	// Progress, when set, is called about twice a second, and at the end.
	Progress func(Progress)
	// Grace is for how long after the deadline of Run's context what was read is still
	// written; what isn't by then is read again by the next run. 0: as long as it takes.
	Grace time.Duration

	clock serverClock
	mu    sync.Mutex
	known map[Account]discovered
	pace  map[Account]map[string]*limiter // by region; kept, for what they learned
}

// limiter returns the limiter of an account and region.
func (c *Collector) limiter(a Account, region string) *limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pace == nil {
		c.pace = map[Account]map[string]*limiter{}
	}
	if c.pace[a] == nil {
		c.pace[a] = map[string]*limiter{}
	}
	l := c.pace[a][region]
	if l == nil {
		l = newLimiter(cmp.Or(c.Rate, PermittedRate))
		c.pace[a][region] = l
	}
	return l
}

// discovered is what is to be read of an account, as it was at some time.
type discovered struct {
	account string
	streams []coverage.Stream
	at      time.Time
}

// discoverAgain is for how long what was discovered is taken for true.
const discoverAgain = time.Hour

// workers is how many regions are read at once unless Workers says otherwise.
const workers = 32

// The lease of an account and region.
const (
	leaseTTL   = time.Minute
	leaseRenew = leaseTTL / 3
)

// RegionStats count what a run did in one account and region.
type RegionStats struct {
	AccountID   string  `json:"account_id"`
	Region      string  `json:"aws_region"`
	Requests    int     `json:"requests"`
	Throttled   int     `json:"throttled"` // of these, refused for the rate
	Events      int     `json:"events"`    // that came, doubles included
	Stored      int     `json:"stored"`    // of these, new
	Late        int     `json:"late"`      // of these, in a span that had been read before
	Streams     int     `json:"streams"`
	Seconds     float64 `json:"seconds"`
	PagesLeft   int     `json:"-"` // an estimate
	Done        bool    `json:"-"`
	Rate        float64 `json:"-"` // requests a second that the region permits now
	StreamsLeft int     `json:"-"` // with something still to read
}

// Progress is how far a run is; regions are sorted by account and name.
type Progress struct {
	Regions []RegionStats
	Elapsed time.Duration
}

// Problem is what could not be read in a run.
type Problem struct {
	AccountID string          `json:"account_id"`
	Region    string          `json:"aws_region,omitempty"`   // empty: the account as a whole
	Source    string          `json:"event_source,omitempty"` // empty: all of the region
	Reason    coverage.Reason `json:"reason"`
	Error     string          `json:"error"`
	Held      bool            `json:"held,omitempty"` // another collector reads it
}

func (p Problem) String() string {
	where := strings.Join(strings.Fields(p.AccountID+" "+p.Region+" "+strings.TrimSuffix(p.Source, ".amazonaws.com")), " ")
	if where == "" {
		return p.Error
	}
	return where + ": " + p.Error
}

// Summary is the outcome of a run.
type Summary struct {
	Regions    []RegionStats `json:"regions"`
	Problems   []Problem     `json:"problems"`
	Requests   int           `json:"requests"`
	Throttled  int           `json:"throttled"`
	Records    int64         `json:"records"` // that came, doubles included
	Stored     int64         `json:"stored"`
	Duplicates int64         `json:"duplicates"`
	Conflicts  int64         `json:"conflicts"`
	Filtered   int64         `json:"filtered"`
	Rejected   int64         `json:"rejected"`
	Late       int           `json:"late"`
	Alerts     int           `json:"alerts"`
	Seconds    float64       `json:"seconds"`
	// Unfinished: time ran out, or it was interrupted, before all was read and written.
	Unfinished bool `json:"unfinished"`
	// Streams are those that are collected, by account, as far as these could be asked;
	// AllAccounts: all of them could.
	Streams     map[string][]coverage.Stream `json:"-"`
	AllAccounts bool                         `json:"-"`
}

// Collects reports whether a stream is among those that are collected, or may be: one
// that isn't was left out by choice, or is of an account that isn't collected any more.
func (s *Summary) Collects(stream coverage.Stream) bool {
	streams, ok := s.Streams[stream.AccountID]
	return slices.Contains(streams, stream) || !ok && !s.AllAccounts
}

// Incomplete reports whether something was not read.
func (s *Summary) Incomplete() bool { return len(s.Problems) > 0 || s.Unfinished }

// run is one run of a Collector.
type run struct {
	*Collector
	sink    *sink
	started time.Time

	mu       sync.Mutex
	regions  []*region
	problems []Problem
	streams  map[string][]coverage.Stream
	asked    int // accounts that told what is to be collected of them
}

// Run reads what is not covered, and what is to be read again, of all accounts.
// What can't be read is in the summary's problems and stays a gap. The error is
// for what keeps the run as a whole from going on: the store. When the context
// ends, what was read is stored first, within Grace of its deadline, and the summary
// says that it is unfinished.
func (c *Collector) Run(ctx context.Context) (Summary, error) {
	r := &run{Collector: c, started: time.Now()}
	r.sink = newSink(c.Ingest, c.Store)
	// What was read is written even when the context has ended.
	writing := context.WithoutCancel(ctx)
	if end, ok := ctx.Deadline(); ok && c.Grace > 0 {
		var over context.CancelFunc
		writing, over = context.WithDeadlineCause(writing, end.Add(c.Grace), errTimeUp)
		defer over()
	}
	go r.sink.run(writing)
	stop := r.report()

	reading, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-r.sink.ended:
			cancel(r.sink.err)
		case <-reading.Done():
		}
	}()
	limit := make(chan struct{}, cmp.Or(r.Workers, workers))
	g, gctx := errgroup.WithContext(reading)
	for _, a := range c.Accounts {
		g.Go(func() error { return r.account(gctx, a, limit) })
	}
	err := g.Wait()
	close(r.sink.items)
	<-r.sink.ended
	cancel(nil)
	stop()
	s := r.summary()
	switch {
	case r.sink.err != nil && writing.Err() != nil: // nothing is claimed that isn't written
		s.Unfinished = true
		return s, nil
	case r.sink.err != nil:
		return s, r.sink.err
	case ctx.Err() != nil || errors.Is(err, errTimeUp):
		s.Unfinished = true
		err = nil
	}
	return s, errors.Join(err, r.bookFailures(writing))
}

// account reads all regions of an account.
func (r *run) account(ctx context.Context, a Account, limit chan struct{}) error {
	d, err := r.discover(ctx, a)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// What was found before is tried all the same: what can be read is, and of
		// all else the ledgers tell why not.
		why, id := err, d.account
		var failed error
		if d, failed = r.before(ctx, a, id); failed != nil {
			return failed
		}
		r.problem(Problem{AccountID: cmp.Or(d.account, id), Reason: reasonOf(why), Error: why.Error()})
	}
	r.mu.Lock()
	if err == nil {
		r.asked++
	}
	if d.account != "" {
		if r.streams == nil {
			r.streams = map[string][]coverage.Stream{}
		}
		r.streams[d.account] = d.streams
	}
	r.mu.Unlock()
	byRegion := map[string][]coverage.Stream{}
	for _, s := range d.streams {
		byRegion[s.Region] = append(byRegion[s.Region], s)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range slices.Sorted(maps.Keys(byRegion)) {
		g.Go(func() error {
			select {
			case limit <- struct{}{}:
				defer func() { <-limit }()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			return r.region(ctx, a, d.account, name, byRegion[name])
		})
	}
	return g.Wait()
}

// before is what was found of an account before, by this process or another, whose
// id is known or not ("").
func (r *run) before(ctx context.Context, a Account, id string) (discovered, error) {
	r.Collector.mu.Lock()
	d, ok := r.known[a]
	r.Collector.mu.Unlock()
	if ok || id == "" {
		return d, nil
	}
	d.account = id
	sources := r.Sources
	if sources == nil {
		sources = coverage.DefaultSources()
	}
	ledgers, err := r.Store.Streams(ctx)
	for _, l := range ledgers {
		if s := l.Stream; s.AccountID == id && l.Began != 0 && l.Ended == 0 && (slices.Contains(sources, s.Source) || slices.Contains(sources, strings.TrimSuffix(s.Source, ".amazonaws.com"))) {
			d.streams = append(d.streams, s)
		}
	}
	return d, err
}

// identityCenterBefore are the regions where sources of IAM Identity Center were
// read before, by this process or another; with events, where they had any.
func identityCenterBefore(ledgers []*coverage.Ledger, account string, events bool) map[string]bool {
	had := map[string]bool{}
	for _, l := range ledgers {
		if l.Stream.AccountID == account && l.Began != 0 && l.Ended == 0 && coverage.OfIdentityCenter(l.Stream.Source) && (l.Events > 0 || !events) {
			had[l.Stream.Region] = true
		}
	}
	return had
}

// endOthers ends the streams of an account in which nothing can happen any more:
// those of regions that are no longer enabled, and those of IAM Identity Center
// where it was looked for while nobody could tell where it is.
func (c *Collector) endOthers(ctx context.Context, ledgers []*coverage.Ledger, d *discovered, enabled, identityCenter []string) error {
	for _, l := range ledgers {
		s := l.Stream
		if s.AccountID != d.account || l.Began == 0 || l.Ended != 0 || slices.Contains(d.streams, s) {
			continue
		}
		at, why := int64(0), ""
		switch {
		case !slices.Contains(enabled, s.Region):
			at, why = c.clock.now().Unix(), "the region is no longer enabled"
		case coverage.OfIdentityCenter(s.Source) && len(identityCenter) > 0 && !slices.Contains(identityCenter, s.Region):
			at, why = l.Until, "IAM Identity Center is not there, but in "+strings.Join(identityCenter, ", ")
		default:
			continue // left out by choice: what is missing is told
		}
		err := c.Store.UpdateStream(ctx, s, func(l *coverage.Ledger) error {
			l.End(at, why)
			return nil
		})
		if err != nil {
			return fmt.Errorf("end %s: %w", s, err)
		}
	}
	return nil
}

// discover finds what is to be read of an account.
func (c *Collector) discover(ctx context.Context, a Account) (discovered, error) {
	c.mu.Lock()
	d, ok := c.known[a]
	c.mu.Unlock()
	if ok && time.Since(d.at) < discoverAgain {
		return d, nil
	}
	asked := time.Now()
	caller, err := a.Caller(ctx)
	d = discovered{account: caller.AccountID, at: time.Now()}
	if err != nil {
		return d, err
	}
	if !ok { // later, what it tells is old
		c.clock.learn(caller.At, time.Since(asked))
	}
	regions, err := a.Regions(ctx)
	if err != nil {
		return d, err
	}
	sso := []string{c.IdentityCenter}
	if c.IdentityCenter == "" {
		sso, err = a.IdentityCenterRegions(ctx, regions)
	}
	if err != nil {
		if ctx.Err() != nil {
			return d, err
		}
	}
	if err := c.nameUsers(ctx, a, sso); err != nil {
		return d, err
	}
	ledgers, serr := c.Store.Streams(ctx)
	if serr != nil {
		return d, serr
	}
	found := slices.Clone(sso)
	if err != nil {
		found = nil // or elsewhere
	}
	had := identityCenterBefore(ledgers, caller.AccountID, len(found) > 0)
	if err != nil && len(had) == 0 {
		// Where it may be, as far as is known: it is looked for there too.
		sso = append(sso, notAsked(err, regions)...)
	}
	// What was once promised is kept up, or it would be a gap for ever.
	for _, region := range regions {
		if had[region] {
			sso = append(sso, region)
		}
	}
	d.streams = coverage.Streams(coverage.Place{
		AccountID: caller.AccountID, Global: caller.GlobalRegion(), Regions: regions, IdentityCenter: sso,
	}, c.Sources)
	if a.AllRegions() {
		if err := c.endOthers(ctx, ledgers, &d, regions, found); err != nil {
			return d, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[Account]discovered{}
	}
	c.known[a] = d
	return d, nil
}

// nameUsers hands on who the users of Identity Center are. Names are a help, so
// that they can't be listed is no problem; doctor tells of it.
func (c *Collector) nameUsers(ctx context.Context, a Account, regions []string) error {
	if c.Users == nil {
		return nil
	}
	for _, region := range regions {
		users, err := a.IdentityCenterUsers(ctx, region)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || len(users) == 0 {
			continue
		}
		if err := c.Users(ctx, users); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) problem(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, p)
}

// region reads one account and region under its lease.
func (r *run) region(ctx context.Context, a Account, account, name string, streams []coverage.Stream) (err error) {
	lease, err := r.Store.Acquire(ctx, "collect "+account+" "+name, r.Holder, leaseTTL)
	var held *store.HeldError
	if errors.As(err, &held) {
		r.problem(Problem{AccountID: account, Region: name, Reason: coverage.Failed, Held: true,
			Error: fmt.Sprintf("another collector reads it: %s, since %s", held.Holder, held.Since.UTC().Format(time.RFC3339))})
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		for sleep(ctx, leaseRenew) == nil {
			if err := lease.Renew(ctx); err != nil {
				cancel(fmt.Errorf("renew the lease on %s %s: %w", account, name, err))
				return
			}
		}
	}()
	defer func() {
		cancel(nil)
		<-renewed
		err = errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
	}()
	reg := &region{
		account: a, name: name, limiter: r.limiter(a, name), sink: r.sink, clock: &r.clock, started: time.Now(), active: map[*slice]struct{}{}, cuts: map[coverage.Stream]int{}, pages: map[coverage.Stream]int{},
		first:  slices.Clone(streams),
		failed: map[coverage.Stream]failure{}, wake: make(chan struct{}, 1),
		stats: RegionStats{AccountID: account, Region: name, Streams: len(streams)},
	}
	r.mu.Lock()
	r.regions = append(r.regions, reg)
	r.mu.Unlock()
	err = r.readRegion(ctx, reg, streams)
	reg.end()
	if errors.Is(err, store.ErrLeaseLost) {
		r.problem(Problem{AccountID: account, Region: name, Reason: coverage.Failed, Error: err.Error()})
		return nil
	}
	return err
}

// readRegion plans and reads: first the newest, of which a sparse stream's first
// page brings all there is, then what the stream still lacks.
func (r *run) readRegion(ctx context.Context, reg *region, streams []coverage.Stream) error {
	first, err := r.plan(ctx, streams, true)
	if err != nil {
		return err
	}
	err = reg.run(ctx, first, func(ctx context.Context, done []coverage.Stream) ([]coverage.Task, error) {
		if err := r.sink.flush(ctx); err != nil {
			return nil, err
		}
		return r.plan(ctx, done, false)
	})
	if err := errors.Join(err, r.sink.flush(ctx)); err != nil {
		return err
	}
	// What CloudTrail has dropped meanwhile is not to be had any more.
	for _, s := range streams {
		err := r.Store.UpdateStream(ctx, s, func(l *coverage.Ledger) error {
			l.Expire(r.clock.now().Unix())
			return nil
		})
		if err != nil {
			return fmt.Errorf("end the reading of %s: %w", s, err)
		}
	}
	return nil
}

// plan returns the tasks of some streams: those of the newest events at the start
// of a run, later all others.
func (r *run) plan(ctx context.Context, streams []coverage.Stream, start bool) ([]coverage.Task, error) {
	now := r.clock.now().Unix()
	ledgers := make([]*coverage.Ledger, 0, len(streams))
	for _, s := range streams {
		err := r.Store.UpdateStream(ctx, s, func(l *coverage.Ledger) error {
			if start {
				l.Begin(now)
			}
			ledgers = append(ledgers, l)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("plan the reading of %s: %w", s, err)
		}
	}
	return slices.DeleteFunc(coverage.Plan(now, ledgers), func(t coverage.Task) bool {
		return (t.Kind == coverage.Newest) != start
	}), nil
}

// bookFailures writes to the ledgers why streams could not be read.
func (r *run) bookFailures(ctx context.Context) error {
	for _, reg := range r.regions {
		for s, f := range reg.failed {
			err := r.Store.UpdateStream(ctx, s, func(l *coverage.Ledger) error {
				l.Fail(l.Promised(), f.reason, reasonText(f.err), r.clock.now().Unix())
				return nil
			})
			if err != nil {
				return fmt.Errorf("record why %s was not read: %w", s, err)
			}
		}
	}
	return nil
}

func reasonOf(err error) coverage.Reason {
	if errors.Is(err, awsapi.ErrDenied) {
		return coverage.Denied
	}
	return coverage.Failed
}

// reasonText is what a gap says of an error: why, and what to do, but not where.
func reasonText(err error) string {
	var e *awsapi.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	if hint := e.Hint(); hint != "" {
		return e.Reason() + ": " + hint
	}
	return e.Reason()
}

// notAsked returns those of the regions that an error joined of *awsapi.Error is
// about; all, if it doesn't tell.
func notAsked(err error, regions []string) []string {
	var some []string
	list, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // the joining error itself is looked into
	if !ok {
		return regions
	}
	for _, one := range list.Unwrap() {
		var e *awsapi.Error
		if !errors.As(one, &e) || !slices.Contains(regions, e.Region) {
			return regions
		}
		some = append(some, e.Region)
	}
	return some
}
