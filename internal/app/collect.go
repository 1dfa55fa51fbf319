package app

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/store"
)

// ToCollect is the source of the names of accounts that collection was to read.
const ToCollect = "collect"

// Collector makes the collector of some accounts, and notes their names.
func (a *App) Collector(ctx context.Context, accounts []*awsapi.Account) (*lookup.Collector, error) {
	c := &lookup.Collector{
		Store: a.Store, Ingest: a.Pipeline.Ingest, Holder: collect.NewHolder("collect"), Sources: a.Config.Sources,
		Rate: a.Config.RequestRate, Workers: a.Config.MaxWorkers, IdentityCenter: a.Config.SSORegion,
		Users: func(ctx context.Context, users []awsapi.DirectoryUser) error {
			names := make([]lineage.Name, len(users))
			for i, u := range users {
				names[i] = lineage.Name{Node: lineage.UserNode(u.StoreID, u.UserID), Name: u.Name, Source: lineage.Directory}
			}
			return a.Pipeline.LearnNames(ctx, names)
		},
	}
	known, err := a.Store.AccountNames(ctx)
	if err != nil {
		return nil, err
	}
	called := make(map[string]string, len(known))
	for _, n := range known {
		called[n.AccountID] = n.Name
	}
	var names []store.AccountName
	for _, acc := range accounts {
		c.Accounts = append(c.Accounts, acc)
		s := acc.Spec()
		if s.AccountID == "" {
			continue
		}
		name := cmp.Or(s.Name, called[s.AccountID], s.AccountID) // noted without a name, too: it is to be read
		names = append(names, store.AccountName{AccountID: s.AccountID, Name: name, Source: ToCollect, Seen: a.now().UTC()})
	}
	return c, a.Store.PutAccountNames(ctx, names)
}

// TellGaps enqueues messages about what could not be read for long, and about a
// collection that does not work at all: failed is why a run gave no summary.
func (a *App) TellGaps(ctx context.Context, n *notify.Notifier, sum *lookup.Summary, failed error) error {
	ledgers, err := a.Store.Streams(ctx)
	if err != nil {
		return fmt.Errorf("look for gaps to tell of: %w", err)
	}
	var newest int64
	for _, l := range ledgers {
		newest = max(newest, l.Newest())
	}
	if why := WhyNothing(sum, failed); why != "" && newest > 0 {
		if err := n.Silent(ctx, notify.Silence{Since: time.Unix(newest, 0).UTC(), Reason: why}); err != nil {
			return fmt.Errorf("tell that collection is silent: %w", err)
		}
		return nil
	}
	if err := n.Gaps(ctx, LastingGaps(ledgers)); err != nil {
		return fmt.Errorf("tell of gaps: %w", err)
	}
	return nil
}

// WhyNothing says why a run read nothing at all; empty when it read something.
func WhyNothing(sum *lookup.Summary, failed error) string {
	if failed != nil {
		return failed.Error()
	}
	if sum.Records > 0 {
		return ""
	}
	for _, r := range sum.Regions {
		if r.Requests > r.Throttled && !allFailed(sum, &r) {
			return ""
		}
	}
	for _, p := range sum.Problems {
		if !p.Held { // what another collector reads is read
			return p.String()
		}
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

// LastingGaps are the gaps that a person should know of: those that failed, and
// those that are lost. What is only waiting to be read is none.
func LastingGaps(ledgers []*coverage.Ledger) []notify.Gap {
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

// CoverageLines are what a day's summary says of coverage; nothing when nothing
// is collected.
func (a *App) CoverageLines(ctx context.Context) ([]string, error) {
	ledgers, err := a.Store.Streams(ctx)
	if err != nil || len(ledgers) == 0 {
		return nil, err
	}
	several := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	}
	lines := []string{several(len(ledgers), "stream is collected", "streams are collected")}
	if gaps := len(LastingGaps(ledgers)); gaps > 0 {
		lines = append(lines, several(gaps, "time", "times")+" could not be read")
	}
	return lines, nil
}
