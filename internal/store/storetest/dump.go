package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// State is all that a store tells about events and findings.
type State struct {
	Events    []event.Event // by day, then event.Compare
	Filtered  []event.Filtered
	Conflicts []event.Event
	Rejected  []store.Rejected
	Alerts    []rule.Alert // in every state
	Dirty     []event.Date
	LakeDays  []store.LakeDay
	Streams   []*coverage.Ledger
	Names     []store.AccountName
	Outbox    []store.Message
	Counts    store.Counts // without SizeBytes
}

// Dump reads the whole state. Hot rows are found on the days that are dirty or
// were exported, which all days with rows are, and on the dates given.
func Dump(ctx context.Context, s store.Store, dates ...event.Date) (State, error) {
	var st State
	days := map[event.Date]bool{}
	for _, d := range dates {
		days[d] = true
	}
	marked, err := s.DirtyDays(ctx)
	if err != nil {
		return st, err
	}
	for _, d := range marked {
		st.Dirty = append(st.Dirty, d.Date)
		days[d.Date] = true
	}
	if st.LakeDays, err = s.LakeDays(ctx); err != nil {
		return st, err
	}
	for _, d := range st.LakeDays {
		days[d.Date] = true
	}
	for _, d := range slices.Sorted(maps.Keys(days)) {
		events, err := gather(s.Day(ctx, d))
		if err != nil {
			return st, err
		}
		filtered, err := gather(s.DayFiltered(ctx, d))
		if err != nil {
			return st, err
		}
		st.Events = append(st.Events, events...)
		st.Filtered = append(st.Filtered, filtered...)
	}
	if st.Conflicts, err = gather(s.Conflicts(ctx)); err != nil {
		return st, err
	}
	if st.Rejected, err = gather(s.Rejected(ctx)); err != nil {
		return st, err
	}
	if st.Alerts, err = s.Alerts(ctx, store.AlertFilter{States: everyState}); err != nil {
		return st, err
	}
	if st.Streams, err = s.Streams(ctx); err != nil {
		return st, err
	}
	if st.Names, err = s.AccountNames(ctx); err != nil {
		return st, err
	}
	if st.Outbox, err = s.Messages(ctx, store.MessageFilter{}); err != nil {
		return st, err
	}
	// They may be found in another way than all.
	pending, err := s.Messages(ctx, store.MessageFilter{States: []string{store.MessagePending}})
	if err != nil {
		return st, err
	}
	all := slices.DeleteFunc(slices.Clone(st.Outbox), func(m store.Message) bool { return m.State != store.MessagePending })
	if d := cmp.Diff(all, pending, cmpopts.EquateEmpty()); d != "" {
		return st, fmt.Errorf("pending messages asked for alone (-among all +alone):\n%s", d)
	}
	st.Counts, err = s.Counts(ctx)
	st.Counts.SizeBytes = 0
	return st, err
}

var everyState = []string{rule.StateFinding, rule.StateAcknowledged, rule.StateSuperseded}

// Diff describes how two states differ, "" when they don't.
func Diff(want, got State) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }
