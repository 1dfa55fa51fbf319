package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// message is a message that is due at once.
func message(id, channel string) store.Message {
	at := newClock().at
	return store.Message{ID: id, Channel: channel, Kind: "alert", AlertIDs: []string{"x", "y"}, Body: "{}\x1b", Created: at, Due: at}
}

// enqueue puts messages into the outbox.
func enqueue(tb testing.TB, s store.Store, messages ...store.Message) {
	tb.Helper()
	done, err := s.Enqueue(tb.Context(), messages, nil)
	noError(tb, err)
	same(tb, "done", done, true)
}

// claim takes the next message of channel c; "" when there is none.
func claim(tb testing.TB, s store.Store, ttl time.Duration) (*store.Message, string) {
	tb.Helper()
	due, err := s.Due(tb.Context())
	noError(tb, err)
	m, err := s.Claim(tb.Context(), "c", ttl)
	noError(tb, err)
	same(tb, "what is due can be claimed", m != nil, slices.Contains(due, "c"))
	if m == nil {
		return nil, ""
	}
	return m, m.ID
}

// unrouted lists the ids of Unrouted.
func unrouted(tb testing.TB, s store.Store) (ids []string) {
	tb.Helper()
	for _, r := range all(tb, s.Unrouted(tb.Context())) {
		ids = append(ids, r.ID)
	}
	return ids
}

func testOutbox(t *testing.T, open Open) {
	ctx := t.Context()
	t.Run("routing", func(t *testing.T) {
		c := newClock()
		s := open(t, c.now)
		gone := alert("gone", 1)
		gone.Superseded = true
		give(t, s, "g", 1, alert("b", 9), alert("c", 1), gone)
		first := c.at
		c.advance(time.Second)
		// Content that changes doesn't change when it was recorded.
		changed := alert("b", 8)
		changed.Title = "changed"
		give(t, s, "g", 2, changed, alert("a", 1))
		noError(t, s.Ack(ctx, []string{"c"}, "me", "", c.at))
		list := all(t, s.Unrouted(ctx))
		changed.State = rule.StateFinding
		same(t, "first", list[0], store.Recorded{Alert: changed, At: first})
		same(t, "state", list[1].State, rule.StateAcknowledged)
		same(t, "order", unrouted(t, s), []string{"b", "c", "a"})

		for _, ids := range [][]string{{"a", "none"}, {"a", "a"}} {
			done, err := s.Enqueue(ctx, []store.Message{message("m", "c")}, ids)
			noError(t, err)
			same(t, "done", done, false)
		}
		same(t, "nothing happened", len(mustDump(t, s).Outbox), 0)
		same(t, "nothing happened", unrouted(t, s), []string{"b", "c", "a"})
		done, err := s.Enqueue(ctx, []store.Message{message("m", "c")}, []string{"a", "c"})
		noError(t, err)
		same(t, "done", done, true)
		same(t, "rest", unrouted(t, s), []string{"b"})
		done, err = s.Enqueue(ctx, []store.Message{message("n", "c")}, []string{"b", "c"})
		noError(t, err)
		same(t, "routed twice", done, false)
		// What is lifted is to be told; what was routed is not, whatever becomes of it.
		give(t, s, "g", 3, alert("gone", 1), alert("a", 2))
		same(t, "lifted", unrouted(t, s), []string{"b", "gone"})
		same(t, "count", mustDump(t, s).Counts.Unrouted, int64(2))
	})
	t.Run("told elsewhere", func(t *testing.T) {
		s := open(t, newClock().now)
		give(t, s, "g", 1, alert("a", 1), alert("b", 2))
		noError(t, s.MarkTold(ctx, []string{"a", "c", "c", "d"}))
		noError(t, s.MarkTold(ctx, []string{"a", "c"}))
		same(t, "unrouted", unrouted(t, s), []string{"b"})
		list, err := s.Alerts(ctx, store.AlertFilter{})
		noError(t, err)
		same(t, "alerts", len(list), 2)
		_, err = s.Alert(ctx, "c")
		wantError(t, err, store.ErrNotFound)
		wantError(t, s.Ack(ctx, []string{"c"}, "me", "", newClock().at), store.ErrNotFound)
		done, err := s.Enqueue(ctx, []store.Message{message("m", "c")}, []string{"c"})
		noError(t, err)
		same(t, "unknown", done, false)
		// One that comes counts as new, and nobody is told; also when its content changes.
		give(t, s, "g", 2, alert("c", 3), alert("e", 4))
		give(t, s, "g", 3, alert("c", 4))
		same(t, "unrouted", unrouted(t, s), []string{"b", "e"})
		list, err = s.Alerts(ctx, store.AlertFilter{})
		noError(t, err)
		same(t, "alerts", len(list), 4)
		same(t, "count", mustDump(t, s).Counts.Unrouted, int64(2))
		noError(t, s.Ack(ctx, []string{"c"}, "me", "", newClock().at))
		done, err = s.Enqueue(ctx, []store.Message{message("m", "c")}, []string{"c"})
		noError(t, err)
		same(t, "told", done, false)
	})
	t.Run("content", func(t *testing.T) {
		c := newClock()
		s := open(t, c.now)
		m := message("m", "c")
		m.Created = c.at.Add(-time.Hour + 5*time.Microsecond).In(time.FixedZone("", 3600))
		bare := store.Message{ID: "bare", Channel: "d", Created: c.at, Due: c.at.Add(time.Hour),
			State: store.MessageSent, Attempts: 7, LastError: "x"} // none of which count
		enqueue(t, s, m, bare)
		again := message("m", "other")
		again.AlertIDs, again.Due = nil, c.at.Add(time.Minute)
		enqueue(t, s, again)
		want := []store.Message{
			{ID: "m", Channel: "c", Kind: "alert", AlertIDs: []string{"x", "y"}, Body: "{}\x1b", Created: c.at.Add(-time.Hour), Due: c.at,
				Changed: c.at.Add(-time.Hour), State: store.MessagePending},
			{ID: "bare", Channel: "d", Created: c.at, Due: c.at.Add(time.Hour), Changed: c.at, State: store.MessagePending},
		}
		if d := Diff(State{Outbox: want}, State{Outbox: mustDump(t, s).Outbox}); d != "" {
			t.Fatal(d)
		}
		for name, f := range map[string]store.MessageFilter{
			"m":    {ID: "m"},
			"bare": {Channel: "d", States: []string{store.MessagePending}, Since: c.at},
			"":     {States: []string{store.MessageSent, store.MessageGaveUp, store.MessageDropped}},
		} {
			got, err := s.Messages(ctx, f)
			noError(t, err)
			if name == "" {
				same(t, "none", len(got), 0)
				continue
			}
			same(t, name, []any{len(got), got[0].ID}, []any{1, name})
		}
		same(t, "counts", mustDump(t, s).Counts.Messages, map[string]map[string]int64{"c": {"pending": 1}, "d": {"pending": 1}})
	})
	t.Run("claims", func(t *testing.T) {
		c := newClock()
		s := open(t, c.now)
		later, sooner := message("b", "c"), message("a", "c")
		later.Due = c.at.Add(time.Minute)
		enqueue(t, s, later, sooner, message("x", "d"))
		if _, err := s.Claim(ctx, "c", 0); err == nil {
			t.Fatal("a claim for no time")
		}
		first, id := claim(t, s, 90*time.Second)
		same(t, "claimed", []any{id, first.ClaimedUntil, first.AlertIDs}, []any{"a", c.at.Add(90 * time.Second), []string{"x", "y"}})
		_, id = claim(t, s, time.Minute)
		same(t, "not due", id, "")
		c.advance(time.Minute)
		second, id := claim(t, s, time.Minute)
		same(t, "due", id, "b")
		_, id = claim(t, s, time.Minute)
		same(t, "all claimed", id, "")
		if err := s.Settle(ctx, second, store.Outcome{State: "done"}); err == nil {
			t.Fatal("an unknown state")
		}
		noError(t, s.Settle(ctx, second, store.Outcome{State: store.MessagePending, Error: "no", Due: c.at.Add(time.Hour)}))

		c.advance(30 * time.Second) // the first claim is over
		other, id := claim(t, s, time.Minute)
		same(t, "claimed again", id, "a")
		wantError(t, s.Settle(ctx, first, store.Outcome{State: store.MessageSent}), store.ErrLeaseLost)
		c.advance(time.Hour) // over, but nobody took it
		for range 2 {
			noError(t, s.Settle(ctx, other, store.Outcome{State: store.MessageSent}))
		}
		got, err := s.Messages(ctx, store.MessageFilter{Channel: "c"})
		noError(t, err)
		same(t, "b waits", []any{got[0].ID, got[0].State, got[0].Attempts, got[0].LastError, got[0].Due, got[0].ClaimedUntil},
			[]any{"a", store.MessageSent, 1, "", newClock().at, time.Time{}})
		same(t, "a is sent", []any{got[1].ID, got[1].State, got[1].Attempts, got[1].LastError, got[1].Due, got[1].ClaimedUntil},
			[]any{"b", store.MessagePending, 1, "no", newClock().at.Add(61 * time.Minute), time.Time{}})
		_, id = claim(t, s, time.Minute)
		same(t, "again", id, "b")
	})
	t.Run("prune", func(t *testing.T) {
		c := newClock()
		s := open(t, c.now)
		enqueue(t, s, message("a", "c"), message("b", "c"))
		m, _ := claim(t, s, time.Minute)
		noError(t, s.Settle(ctx, m, store.Outcome{State: store.MessageDropped}))
		for i, want := range []int64{0, 1, 0} {
			n, err := s.PruneOutbox(ctx, c.at.Add(time.Duration(i)*time.Millisecond))
			noError(t, err)
			same(t, "removed", n, want)
		}
		same(t, "what is pending stays", mustDump(t, s).Outbox[0].ID, "b")
	})
}

// testOutboxAtOnce: no message is claimed twice, no alert is routed twice.
func testOutboxAtOnce(t *testing.T, open Open) {
	s := fresh(t, open)
	const n, workers = 40, 6
	var alerts []rule.Alert
	for i := range n {
		enqueue(t, s, message(fmt.Sprint(i), "c"))
		alerts = append(alerts, alert(fmt.Sprint("alert ", i), 1))
	}
	give(t, s, "g", 1, alerts...)
	var mu sync.Mutex
	claimed, routed := map[string]int{}, 0
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for _, a := range alerts {
				m, err := s.Claim(t.Context(), "c", time.Minute)
				done, err2 := s.Enqueue(t.Context(), nil, []string{a.ID})
				errs[w] = errors.Join(errs[w], err, err2)
				mu.Lock()
				if m != nil {
					claimed[m.ID]++
				}
				if done {
					routed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	noError(t, errors.Join(errs...))
	same(t, "messages", len(claimed), n)
	for id, times := range claimed {
		same(t, id, times, 1)
	}
	same(t, "alerts", routed, n)
}

func testSettleFaults(t *testing.T, open Open) {
	for _, step := range []string{".before", ".after"} {
		s := fresh(t, open)
		enqueue(t, s, message("m", "c"))
		m, _ := claim(t, s, time.Minute)
		_, restore := breakAt(t, "store.settle"+step)
		wantError(t, s.Settle(t.Context(), m, store.Outcome{State: store.MessageSent}), errInjected)
		restore()
		want := store.MessagePending
		if step == ".after" {
			want = store.MessageSent
		}
		same(t, step, mustDump(t, s).Outbox[0].State, want)
		noError(t, s.Settle(t.Context(), m, store.Outcome{State: store.MessageSent}))
		got := mustDump(t, s).Outbox[0]
		same(t, step, []any{got.State, got.Attempts}, []any{store.MessageSent, 1})
	}
}

// drawOutboxCall draws a call about the outbox.
func drawOutboxCall(rt *rapid.T, c *clock) func(s store.Store, which int) string {
	ctx := rt.Context()
	id := rapid.SampledFrom([]string{"m", "n", "o"}).Draw(rt, "message")
	channel := rapid.SampledFrom([]string{"c", "d"}).Draw(rt, "channel")
	state := rapid.SampledFrom([]string{"", store.MessagePending, store.MessageSent, store.MessageGaveUp}).Draw(rt, "state")
	routed := rapid.SampledFrom([][]string{nil, {rule.AlertID("group")}}).Draw(rt, "routed")
	prune := rapid.Bool().Draw(rt, "prune")
	return func(s store.Store, _ int) string {
		m := message(id, channel)
		m.Due = c.at
		list, err := gather(s.Unrouted(ctx))
		done, err2 := s.Enqueue(ctx, []store.Message{m}, routed)
		due, err6 := s.Due(ctx)
		got, err3 := s.Claim(ctx, channel, time.Minute)
		var err4 error
		if got != nil && state != "" {
			err4 = s.Settle(ctx, got, store.Outcome{State: state, Due: c.at.Add(time.Second)})
		}
		var n int64
		var err5 error
		if prune {
			n, err5 = s.PruneOutbox(ctx, c.at.Add(time.Second))
		}
		claimed := ""
		if got != nil {
			claimed = got.ID
		}
		return words(list, done, due, claimed, n, err, err2, err3, err4, err5, err6)
	}
}
