package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
)

// Volume is how much happens in an account, by a sample.
type Volume struct {
	Stored, Filtered float64 // events a day
	Streams          int
	// Full are streams of which a page was too small: their day is extrapolated from
	// the newest events.
	Full int
	// Failed are streams that could not be asked.
	Failed int
}

// SampleVolume asks for the newest page of each stream of an account, of the last 24
// hours: one request for each.
func SampleVolume(ctx context.Context, account *awsapi.Account, sources []string, f *filter.Filter, now time.Time) (Volume, error) {
	caller, err := account.Caller(ctx)
	if err != nil {
		return Volume{}, err
	}
	regions, err := account.Regions(ctx)
	if err != nil {
		return Volume{}, err
	}
	center, err := account.IdentityCenterRegions(ctx, regions)
	if err != nil {
		center = nil // its events are few
	}
	if len(sources) == 0 {
		sources = nil
	}
	streams := coverage.Streams(coverage.Place{AccountID: caller.AccountID, Global: caller.GlobalRegion(), Regions: regions, IdentityCenter: center}, sources)
	v := Volume{Streams: len(streams)}
	var mu sync.Mutex
	var last error
	var g errgroup.Group
	for _, region := range regions {
		g.Go(func() error {
			for _, s := range streams {
				if s.Region != region {
					continue
				}
				stored, filtered, full, err := sampleStream(ctx, account, s, f, now)
				mu.Lock()
				v.Stored, v.Filtered = v.Stored+stored, v.Filtered+filtered
				if full {
					v.Full++
				}
				if err != nil {
					v.Failed, last = v.Failed+1, err
				}
				mu.Unlock()
				// The quota is two requests a second, and others use it, too.
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(500 * time.Millisecond):
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return v, err
	}
	if v.Failed == v.Streams {
		return v, fmt.Errorf("sample the events: %w", last)
	}
	return v, nil
}

// sampleStream estimates a stream's day from its newest page.
func sampleStream(ctx context.Context, account *awsapi.Account, s coverage.Stream, f *filter.Filter, now time.Time) (stored, filtered float64, full bool, err error) {
	in := awsapi.LookupInput{Source: s.Source, Start: now.Add(-24 * time.Hour), End: now}
	page, err := account.Lookup(ctx, s.Region, in)
	for try := 0; try < 3 && errors.Is(err, awsapi.ErrThrottled); try++ {
		select {
		case <-ctx.Done():
			return 0, 0, false, context.Cause(ctx)
		case <-time.After(time.Second << try):
		}
		page, err = account.Lookup(ctx, s.Region, in)
	}
	if err != nil {
		return 0, 0, false, err
	}
	parser := event.NewParser()
	for _, r := range page.Records {
		if e, err := parser.Parse(r); err == nil && f.Reason(&e) != "" {
			filtered++
		} else {
			stored++
		}
	}
	if page.Token != "" && !page.Oldest.IsZero() {
		scale := float64(24*time.Hour) / float64(max(now.Sub(page.Oldest), time.Second))
		return stored * scale, filtered * scale, true, nil
	}
	return stored, filtered, false, nil
}
