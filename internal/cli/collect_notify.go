package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/notify"
)

// burstWindow is for how long a watch holds alerts of a burst back, to tell of
// them in one message.
const burstWindow = time.Minute

// tellCollected tells the channels what a run found, and what it could not read.
func (e *env) tellCollected(ctx context.Context, a *app.App, sum *lookup.Summary) {
	if len(e.config.Channels) == 0 {
		return
	}
	if n := e.notifier(ctx, a, notify.Options{}); n.Active() {
		e.tellGaps(ctx, a, n, sum, nil)
	}
	e.tell(ctx, a)
}

// tellGaps enqueues messages about what could not be read for long, and about a
// collection that does not work at all.
func (e *env) tellGaps(ctx context.Context, a *app.App, n *notify.Notifier, sum *lookup.Summary, failed error) {
	ledgers, err := a.Store.Streams(ctx)
	if err != nil {
		e.warn("look for gaps to tell of: %v", err)
		return
	}
	var newest int64
	for _, l := range ledgers {
		newest = max(newest, l.Newest())
	}
	if why := whyNothing(sum, failed); why != "" && newest > 0 {
		if err := n.Silent(ctx, notify.Silence{Since: time.Unix(newest, 0).UTC(), Reason: why}); err != nil {
			e.warn("tell that collection is silent: %v", err)
		}
		return
	}
	if err := n.Gaps(ctx, lastingGaps(ledgers)); err != nil {
		e.warn("tell of gaps: %v", err)
	}
}

// whyNothing says why a run read nothing at all; empty when it read something.
func whyNothing(sum *lookup.Summary, failed error) string {
	switch {
	case failed != nil:
		return failed.Error()
	case len(sum.Problems) > 0 && sum.Records == 0:
		for _, r := range sum.Regions {
			if r.Requests > r.Throttled && !allFailed(sum, &r) {
				return ""
			}
		}
		return problemLines(sum.Problems[:1])[0]
	}
	return ""
}

// allFailed reports whether every stream of a region is among the problems.
func allFailed(sum *lookup.Summary, r *lookup.RegionStats) bool {
	n := 0
	for _, p := range sum.Problems {
		if p.AccountID != r.AccountID || p.Region != r.Region {
			continue
		}
		if n++; p.Source == "" {
			return true
		}
	}
	return n >= r.Streams
}

// lastingGaps are the gaps that a person should know of: those that failed, and
// those that are lost. What is only waiting to be read is none.
func lastingGaps(ledgers []*coverage.Ledger) []notify.Gap {
	var gaps []notify.Gap
	for _, l := range ledgers {
		for _, g := range l.Gaps(l.Promised()) {
			if g.Reason != coverage.Denied && g.Reason != coverage.Failed && g.Reason != coverage.Expired {
				continue
			}
			from, to := g.Times()
			reason := string(g.Reason)
			if g.Detail != "" {
				reason = fmt.Sprintf("%s: %s", g.Reason, g.Detail)
			}
			gaps = append(gaps, notify.Gap{
				AccountID: l.Stream.AccountID, Region: l.Stream.Region, Source: l.Stream.Source, From: from, To: to, Reason: reason,
			})
		}
	}
	return gaps
}
