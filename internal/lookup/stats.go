package lookup

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

const reportEvery = 500 * time.Millisecond

// booked notes that pages of one stream are durable.
func (r *region) booked(pages []item, late int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range pages {
		r.stats.Stored += len(it.read.New)
	}
	r.stats.Late += int(late)
}

// end notes that the region was read, as far as it could be.
func (r *region) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Done = true
	r.stats.Seconds = time.Since(r.started).Seconds()
}

// snapshot returns the region's figures now.
func (r *region) snapshot() RegionStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	if s.Done {
		return s
	}
	s.Seconds, s.Rate = time.Since(r.started).Seconds(), r.limiter.current()
	left := map[coverage.Stream]bool{}
	pages := float64(len(r.queue))
	for _, t := range r.queue {
		left[t.Stream] = true
	}
	for sl := range r.active {
		left[sl.stream] = true
		pages += math.Max(1, sl.pagesLeft())
	}
	s.StreamsLeft, s.PagesLeft = len(left), int(math.Ceil(pages))
	return s
}

func (r *run) snapshots() []RegionStats {
	r.mu.Lock()
	regions := slices.Clone(r.regions)
	r.mu.Unlock()
	all := make([]RegionStats, len(regions))
	for i, reg := range regions {
		all[i] = reg.snapshot()
	}
	slices.SortFunc(all, func(a, b RegionStats) int {
		return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.Region, b.Region))
	})
	return all
}

// report calls Progress until the returned stop, which calls it a last time.
func (r *run) report() (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.Progress(Progress{Regions: r.snapshots(), Elapsed: time.Since(r.started)})
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		r.Progress(Progress{Regions: r.snapshots(), Elapsed: time.Since(r.started)})
	}
}

func (r *run) summary() Summary {
	t := &r.sink.total
	s := Summary{
		Regions: r.snapshots(), Problems: []Problem{},
		Records: t.Records, Stored: t.Stored, Duplicates: t.Duplicates, Conflicts: t.Conflicts,
		Filtered: t.Filtered, Rejected: t.Rejected, Alerts: t.Alerts, Seconds: time.Since(r.started).Seconds(),
		Streams: r.streams, AllAccounts: r.asked == len(r.Accounts),
	}
	for _, reg := range s.Regions {
		s.Requests += reg.Requests
		s.Throttled += reg.Throttled
		s.Late += reg.Late
	}
	s.Problems = append(s.Problems, r.problems...)
	for _, reg := range r.regions {
		for stream, f := range reg.failed {
			s.Problems = append(s.Problems, Problem{
				AccountID: stream.AccountID, Region: stream.Region, Source: stream.Source, Reason: f.reason, Error: f.err.Error(),
			})
		}
	}
	slices.SortFunc(s.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Error, b.Error))
	})
	return s
}

// PerSecond is the events that came, a second.
func (s RegionStats) PerSecond() float64 {
	if s.Seconds <= 0 {
		return 0
	}
	return float64(s.Events) / s.Seconds
}

// Left estimates the time that a region still takes; 0 when it is done.
func (s RegionStats) Left() time.Duration {
	if s.Done || s.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(s.PagesLeft) / s.Rate * float64(time.Second))
}
