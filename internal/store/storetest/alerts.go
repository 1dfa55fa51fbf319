package storetest

import (
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// give records one fact in a group of its own whose alerts are as given.
func give(tb testing.TB, s store.Store, group string, n int, alerts ...rule.Alert) (newAlerts int) {
	tb.Helper()
	newAlerts, err := s.Record(tb.Context(), store.Findings{Facts: []rule.Fact{fact(group, made(n))}},
		func([]rule.Fact) []rule.Alert { return alerts })
	noError(tb, err)
	return newAlerts
}

func alert(id string, ms int64) rule.Alert {
	return rule.Alert{ID: id, Rule: "r1", Title: "t", Severity: rule.Medium, EventID: "e", EventTime: ms, Actor: "Alice/Session",
		SourceIP: "192.0.2.1", AccountID: "1", AWSRegion: "eu-west-1", EventName: "CreateUser", Targets: []string{"a", "b"}, Detail: "d",
		Events: []rule.EventRef{{EventID: "e", EventTime: ms, EventName: "CreateUser"}, {EventID: "f", EventTime: ms, EventName: "X"}}}
}

// ids lists the ids of alerts.
func ids(list []rule.Alert) (ids []string) {
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

func testAlerts(t *testing.T, open Open) {
	ctx := t.Context()
	t.Run("content and number", func(t *testing.T) {
		s := fresh(t, open)
		bare, gone := rule.Alert{ID: "bare", EventTime: 1}, alert("gone", 5)
		gone.Superseded = true
		same(t, "new", give(t, s, "g", 1, alert("full", 9), bare, gone), 2)
		full := alert("full", 9)
		full.State = rule.StateFinding
		bare.State, bare.Targets = rule.StateFinding, []string{}
		gone.State = rule.StateSuperseded
		same(t, "alerts", mustDump(t, s).Alerts, []rule.Alert{full, gone, bare})
		for _, id := range []string{"full", "bare"} {
			a, err := s.Alert(ctx, id)
			noError(t, err)
			if a.Targets == nil || a.Events == nil {
				t.Fatalf("alert %s has nil lists", id)
			}
		}
		changed := alert("full", 8)
		changed.Title, changed.Severity, changed.Targets, changed.Rule, changed.Actor, changed.AccountID = "u", rule.Low, []string{"c"}, "r2", "bob", "2"
		lifted := alert("gone", 5)
		same(t, "not new again", give(t, s, "g", 2, changed, lifted), 0)
		changed.State, lifted.State = rule.StateFinding, rule.StateFinding
		same(t, "alerts", mustDump(t, s).Alerts, []rule.Alert{changed, lifted, bare})
	})
	t.Run("what the rule says of the state means nothing", func(t *testing.T) {
		s := fresh(t, open)
		a := alert("a", 1)
		a.State, a.AckedBy, a.AckedAt, a.Note = rule.StateAcknowledged, "x", 5, "y"
		give(t, s, "g", 1, a)
		got, err := s.Alert(ctx, "a")
		noError(t, err)
		same(t, "state", []any{got.State, got.AckedBy, got.AckedAt, got.Note}, []any{rule.StateFinding, "", int64(0), ""})
	})
	t.Run("filter", func(t *testing.T) {
		s := fresh(t, open)
		base := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		var list []rule.Alert
		for i, id := range []string{"b", "a", "c", "d"} {
			a := alert(id, base.UnixMilli()+int64(i/2)*1000)
			a.Severity, a.Rule, a.AccountID = rule.Severity(i+1), "r"+id, "acc"+id
			list = append(list, a)
		}
		list[3].Actor = "ÄRGER"
		gone := alert("gone", base.UnixMilli()-1000)
		gone.Superseded = true
		give(t, s, "g", 1, append(list, gone)...)
		noError(t, s.Ack(ctx, []string{"a"}, "me", "", base))
		for name, c := range map[string]struct {
			f    store.AlertFilter
			want []string
		}{
			"newest first, then by id, without superseded": {store.AlertFilter{}, []string{"c", "d", "a", "b"}},
			"since is in":           {store.AlertFilter{Since: base.Add(time.Second)}, []string{"c", "d"}},
			"since within a ms":     {store.AlertFilter{Since: base.Add(time.Second + 1)}, nil},
			"until is out":          {store.AlertFilter{Until: base.Add(time.Second)}, []string{"a", "b"}},
			"until within a ms":     {store.AlertFilter{Until: base.Add(time.Second + 1)}, []string{"c", "d", "a", "b"}},
			"severity":              {store.AlertFilter{MinSeverity: rule.High}, []string{"c", "d"}},
			"rules":                 {store.AlertFilter{Rules: []string{"rb", "rd", "none"}}, []string{"d", "b"}},
			"acknowledged":          {store.AlertFilter{States: []string{rule.StateAcknowledged}}, []string{"a"}},
			"superseded and others": {store.AlertFilter{States: []string{rule.StateSuperseded, rule.StateFinding}}, []string{"c", "d", "b", "gone"}},
			"account":               {store.AlertFilter{AccountID: "accb"}, []string{"b"}},
			"no part of an account": {store.AlertFilter{AccountID: "acc"}, nil},
			"actor":                 {store.AlertFilter{Actor: "aLICE/s"}, []string{"c", "a", "b"}},
			"actor beyond ASCII":    {store.AlertFilter{Actor: "ärg"}, []string{"d"}},
			"actor is no pattern":   {store.AlertFilter{Actor: "%"}, nil},
			"limit":                 {store.AlertFilter{Limit: 3}, []string{"c", "d", "a"}},
			"limit after filter":    {store.AlertFilter{Limit: 1, Actor: "alice", Until: base.Add(time.Second)}, []string{"a"}},
			"all at once": {store.AlertFilter{Since: base, Until: base.Add(time.Minute), MinSeverity: rule.Medium, Rules: []string{"ra", "rc"},
				AccountID: "accc", Actor: "alice"}, []string{"c"}},
		} {
			got, err := s.Alerts(ctx, c.f)
			noError(t, err)
			same(t, name, ids(got), c.want)
		}
	})
	t.Run("by prefix", func(t *testing.T) {
		s := fresh(t, open)
		give(t, s, "g", 1, alert("abcd1234", 1), alert("abcd1299", 2), alert("abc", 3), alert("abcd12", 4))
		for id, want := range map[string]any{
			"abcd1234": "abcd1234", "abcd123": "abcd1234", "abcd129": "abcd1299",
			"abc":    "abc",    // a full id may be short
			"abcd12": "abcd12", // and a prefix of others
			"abcd1":  store.ErrAmbiguous, "abcd": store.ErrAmbiguous,
			"ab": store.ErrNotFound, "": store.ErrNotFound, "abcd12345": store.ErrNotFound, "ABCD1234": store.ErrNotFound,
			"abc%": store.ErrNotFound, "zzzz": store.ErrNotFound,
		} {
			a, err := s.Alert(ctx, id)
			if e, ok := want.(error); ok {
				wantError(t, err, e)
				continue
			}
			noError(t, err)
			same(t, id, a.ID, want.(string))
		}
	})
}

func testAck(t *testing.T, open Open) {
	ctx := t.Context()
	at := time.Date(2026, 11, 22, 9, 0, 0, 5_000_000, time.UTC)
	state := func(t *testing.T, s store.Store, id string) []any {
		t.Helper()
		a, err := s.Alert(ctx, id)
		noError(t, err)
		return []any{a.State, a.AckedBy, a.Note, a.AckedAt}
	}
	acked := func(state, by, note string, at time.Time) []any { return []any{state, by, note, at.UnixMilli()} }
	t.Run("all or none", func(t *testing.T) {
		s := fresh(t, open)
		give(t, s, "g", 1, alert("aaaa", 1), alert("bbbb", 2))
		wantError(t, s.Ack(ctx, []string{"aaaa", "absent"}, "me", "n", at), store.ErrNotFound)
		wantError(t, s.Ack(ctx, []string{"aaa"}, "me", "n", at), store.ErrNotFound)
		same(t, "unchanged", state(t, s, "aaaa"), []any{rule.StateFinding, "", "", int64(0)})
		noError(t, s.Ack(ctx, nil, "me", "n", at))
		for range 2 {
			noError(t, s.Ack(ctx, []string{"aaaa", "bbbb", "aaaa"}, "me", "n", at))
			same(t, "a", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "me", "n", at))
			same(t, "b", state(t, s, "bbbb"), acked(rule.StateAcknowledged, "me", "n", at))
		}
	})
	t.Run("the latest stays", func(t *testing.T) {
		s := fresh(t, open)
		give(t, s, "g", 1, alert("aaaa", 1))
		noError(t, s.Ack(ctx, []string{"aaaa"}, "two", "2", at.Add(time.Hour)))
		noError(t, s.Ack(ctx, []string{"aaaa"}, "one", "1", at))
		same(t, "state", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "two", "2", at.Add(time.Hour)))
		noError(t, s.Ack(ctx, []string{"aaaa"}, "three", "3", at.Add(2*time.Hour)))
		same(t, "state", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "three", "3", at.Add(2*time.Hour)))
	})
	t.Run("kept when the content changes, through being superseded and back", func(t *testing.T) {
		s := fresh(t, open)
		give(t, s, "g", 1, alert("aaaa", 1))
		noError(t, s.Ack(ctx, []string{"aaaa"}, "me", "n", at))
		give(t, s, "g", 2, alert("aaaa", 7))
		same(t, "content changed", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "me", "n", at))
		gone := alert("aaaa", 7)
		gone.Superseded = true
		give(t, s, "g", 3, gone)
		same(t, "superseded", state(t, s, "aaaa"), acked(rule.StateSuperseded, "me", "n", at))
		give(t, s, "g", 4, alert("aaaa", 7))
		same(t, "lifted", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "me", "n", at))
	})
	t.Run("a superseded alert", func(t *testing.T) {
		s := fresh(t, open)
		gone := alert("aaaa", 1)
		gone.Superseded = true
		give(t, s, "g", 1, gone)
		noError(t, s.Ack(ctx, []string{"aaaa"}, "me", "n", at))
		same(t, "stays so", state(t, s, "aaaa"), acked(rule.StateSuperseded, "me", "n", at))
		give(t, s, "g", 2, alert("aaaa", 1))
		same(t, "lifted", state(t, s, "aaaa"), acked(rule.StateAcknowledged, "me", "n", at))
	})
}

func testCounts(t *testing.T, open Open) {
	ctx := t.Context()
	s := fresh(t, open)
	empty, err := s.Counts(ctx)
	noError(t, err)
	empty.SizeBytes = 0
	same(t, "empty", empty, store.Counts{})

	noError(t, s.Put(ctx, []event.Event{made(1), made(2), made(2, version("1.2", 1))}, []event.Filtered{dropped(3), dropped(1)}))
	info, critical, gone, lapsed := alert("a", 1), alert("b", 2), alert("c", 3), alert("d", 4)
	info.Severity, critical.Severity, gone.Superseded = rule.Info, rule.Critical, true
	give(t, s, "g", 1, info, critical, gone, lapsed, alert("e", 1))
	noError(t, s.Ack(ctx, []string{"b", "d"}, "me", "", newClock().at))
	lapsed.Superseded = true
	give(t, s, "g", 2, lapsed)
	record(t, s, store.Findings{Rejected: []store.Rejected{{SHA256: "a"}, {SHA256: "b"}}})
	got, err := s.Counts(ctx)
	noError(t, err)
	if got.SizeBytes < 0 {
		t.Fatalf("%d bytes", got.SizeBytes)
	}
	got.SizeBytes = 0
	same(t, "counts", got, store.Counts{HotEvents: 2, HotFiltered: 2, Rejected: 2, Conflicts: 1, Unrouted: 3, Alerts: map[string]map[string]int64{
		rule.StateFinding:      {"info": 1, "medium": 1},
		rule.StateAcknowledged: {"critical": 1},
		rule.StateSuperseded:   {"medium": 2},
	}})
}
