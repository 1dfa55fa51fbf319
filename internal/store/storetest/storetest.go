// Package storetest holds the suite that every store.Store passes: each sentence
// of the contract as a test, and the laws behind it: any order, any split, any
// repetition, any failure that was reported although the write took effect, end
// in the same state.
//
// Other packages' tests use Dump and Diff to compare whole states.
package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Open returns a new, empty store whose clock is now. It closes the store when
// the test ends.
type Open func(tb testing.TB, now func() time.Time) store.Store

// Run holds the stores that open makes to the contract. Tests run one after the
// other: some set fault points, which are the process's.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"Put", testPut},
		{"Read", testRead},
		{"Hostile", testHostile},
		{"LargeDay", testLargeDay},
		{"Days", testDays},
		{"Findings", testFindings},
		{"Settle", testSettle},
		{"Alerts", testAlerts},
		{"Ack", testAck},
		{"Jobs", testJobs},
		{"Leases", testLeases},
		{"Counts", testCounts},
		{"Meta", testMeta},
		{"Ledgers", testLedgers},
		{"LedgersAtOnce", testLedgersAtOnce},
		{"AccountNames", testAccountNames},
		{"Lineage", testLineage},
		{"LineageOrder", testLineageOrder},
		{"Outbox", testOutbox},
		{"OutboxAtOnce", testOutboxAtOnce},
		{"Faults", testFaults},
		{"Order", testOrder},
		{"Concurrency", testConcurrency},
		{"Closed", testClosed},
		{"Cancelled", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// clock is a clock that stands until it's moved.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// fresh opens a store for a test that needs no clock of its own.
func fresh(tb testing.TB, open Open) store.Store {
	tb.Helper()
	return open(tb, newClock().now)
}

// day0 is the day on which made events lie, unless they are moved.
const day0 = event.Date(20_700)

const msPerDay = 24 * 60 * 60 * 1000

// change alters a made event.
type change func(*event.Event)

// made returns the n-th event, in the content that no change alters.
func made(n int, changes ...change) event.Event {
	e := event.Event{
		EventID: fmt.Sprintf("id-%04d", n), AccountID: "012345678901", EventTime: int64(day0)*msPerDay + int64(n)*1000,
		AWSRegion: "eu-west-1", EventSource: "iam.amazonaws.com", EventName: "CreateUser", Category: event.CategoryIAM,
		Outcome: event.OutcomeOK, Actor: "alice", EventVersion: "1.08", RecordHash: int64(n + 1),
	}
	for _, c := range changes {
		c(&e)
	}
	return e
}

// version gives an event another content, of that rank.
func version(v string, hash uint64) change {
	return func(e *event.Event) {
		e.EventVersion, e.RecordHash = v, int64(hash)
		e.Rest = fmt.Sprintf(`{"content":"%s %d"}`, v, hash)
	}
}

// onDay moves an event by whole days.
func onDay(days int) change {
	return func(e *event.Event) { e.EventTime += int64(days) * msPerDay }
}

func account(id string) change { return func(e *event.Event) { e.AccountID = id } }

// dropped returns the n-th event as a filtered row.
func dropped(n int, changes ...change) event.Filtered {
	e := made(n, changes...)
	return event.Filtered{EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID, AWSRegion: e.AWSRegion,
		EventSource: e.EventSource, EventName: e.EventName, Reason: "service"}
}

// fact returns what an event states to a group.
func fact(group string, e event.Event) rule.Fact {
	return rule.Fact{
		Rule: "test", Group: group, AccountID: e.AccountID, EventID: e.EventID, EventTime: e.EventTime, Version: e.Version(),
		Title: "a title", Severity: rule.High, Actor: e.Actor, EventName: e.EventName, Targets: []string{"t"}, Detail: "because",
		Data: map[string]string{"content": e.Rest},
	}
}

// Settle is a rule for tests. A group's name tells what it does: "each…" gives an
// alert for every event; others one for the group, which holds while at least
// two contents do. The ids don't depend on what is superseded.
func Settle(facts []rule.Fact) []rule.Alert {
	var alerts []rule.Alert
	at := map[string]int{}
	for _, f := range facts {
		id := rule.AlertID(f.Group)
		if len(f.Group) >= 4 && f.Group[:4] == "each" {
			id = rule.AlertID(f.Group, f.AccountID, f.EventID)
		}
		i, ok := at[id]
		if !ok {
			i = len(alerts)
			at[id] = i
			alerts = append(alerts, rule.Alert{ID: id, Rule: f.Rule, Title: f.Title, Severity: f.Severity, EventID: f.EventID,
				EventTime: f.EventTime, Actor: f.Actor, AccountID: f.AccountID, EventName: f.EventName, Targets: []string{}})
		}
		if !f.Superseded {
			a := &alerts[i]
			a.Events = append(a.Events, rule.EventRef{EventID: f.EventID, EventTime: f.EventTime, EventName: f.EventName})
			a.Targets = f.Targets
			a.Detail += f.Detail + " " + f.Data["content"] + ";"
		}
	}
	for i := range alerts {
		need := 2
		if facts[0].Group[:min(4, len(facts[0].Group))] == "each" {
			need = 1
		}
		alerts[i].Superseded = len(alerts[i].Events) < need
	}
	return alerts
}

// noError ends the test on an error.
func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantError ends the test unless err is of the wanted kind.
func wantError(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("got error %v, want %v", err, want)
	}
}

// same compares; nil and empty lists are the same.
func same[T any](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		tb.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// all gathers a sequence and ends the test on its error.
func all[T any](tb testing.TB, seq func(func(T, error) bool)) []T {
	tb.Helper()
	list, err := gather(seq)
	noError(tb, err)
	return list
}

func gather[T any](seq func(func(T, error) bool)) (list []T, err error) {
	for v, err := range seq {
		if err != nil {
			return list, err
		}
		list = append(list, v)
	}
	return list, nil
}

func put(tb testing.TB, s store.Store, events ...event.Event) {
	tb.Helper()
	noError(tb, s.Put(tb.Context(), events, nil))
}

func record(tb testing.TB, s store.Store, f store.Findings) int {
	tb.Helper()
	n, err := s.Record(tb.Context(), f, Settle)
	noError(tb, err)
	return n
}

// dirty returns the days to export.
func dirty(tb testing.TB, s store.Store) (dates []event.Date) {
	tb.Helper()
	days, err := s.DirtyDays(tb.Context())
	noError(tb, err)
	for _, d := range days {
		dates = append(dates, d.Date)
	}
	return dates
}

// clean makes all days clean, as an export would.
func clean(tb testing.TB, s store.Store) {
	tb.Helper()
	days, err := s.DirtyDays(tb.Context())
	noError(tb, err)
	for _, d := range days {
		noError(tb, s.DayExported(tb.Context(), d.Mark, store.LakeDay{Date: d.Date}))
	}
}
