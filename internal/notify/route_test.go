package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// kinds says what was received: kind and number of alerts.
func kinds(list []got) (out []string) {
	for _, g := range list {
		out = append(out, fmt.Sprint(g.kind, " ", len(g.alerts)))
	}
	slices.Sort(out)
	return out
}

func TestHorizon(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	w.record(t, w.alert(1, 0), w.alert(2, 24*time.Hour), w.alert(3, 24*time.Hour+1e6), w.alert(4, 80*24*time.Hour))
	pass(t, n)
	equal(t, "news one by one, history together", kinds(c.take()), []string{"alert 1", "alert 1", "digest 2"})
	pass(t, n)
	equal(t, "once", kinds(c.take()), []string(nil))

	// What counts is how old it was when it was recorded, not when it's routed.
	w.record(t, w.alert(5, 20*time.Hour))
	w.advance(2 * 24 * time.Hour)
	pass(t, n)
	equal(t, "after an outage", kinds(c.take()), []string{"alert 1"})
	w.record(t, w.alert(6, 0))
	w.advance(newsAge + time.Hour)
	pass(t, n)
	equal(t, "after a long time", kinds(c.take()), []string{"digest 1"})
}

func TestOneDigestOfHistory(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	var history []rule.Alert
	for i := range 3000 {
		a := w.alert(i, time.Duration(25+i%2000)*time.Hour)
		a.Severity = rule.Severity(i % 5)
		history = append(history, a)
	}
	w.record(t, history...)
	pass(t, n)
	list := c.take()
	equal(t, "messages", kinds(list), []string{"digest 3000"})
}

// slowWriter is a store in which no more than so many alerts can be routed at once.
type slowWriter struct {
	store.Store
	most int
}

func (s slowWriter) Enqueue(ctx context.Context, messages []store.Message, ids []string) (bool, error) {
	if len(ids) > s.most {
		return false, context.DeadlineExceeded
	}
	return s.Store.Enqueue(ctx, messages, ids)
}

// However much history there is, as when alerts are switched on after months: news is told
// first, and the rest in parts.
func TestMuchHistory(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	var alerts []rule.Alert
	for i := range mostHistory + 5 {
		alerts = append(alerts, w.alert(i, 48*time.Hour))
	}
	w.record(t, append(alerts, w.alert(9999, 0))...)
	n.store = slowWriter{w.Mem, 100}
	if _, err := n.look(t.Context(), true); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	equal(t, "in a store that is too slow", kinds(c.take()), []string{"alert 1"})
	n.store = slowWriter{w.Mem, mostHistory}
	r := must[Routed](t)(n.Route(t.Context()))
	equal(t, "alerts", r.Alerts, mostHistory+5)
	pass(t, n)
	equal(t, "history", kinds(c.take()), []string{"digest 3000", "digest 5"})
}

// Run looks every few seconds, a first reading takes hours: what it finds in history
// waits for Route at its end, and news does not.
func TestRunLeavesHistoryToTheEndOfAReading(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	for i := range 3 {
		w.record(t, w.alert(2*i, 48*time.Hour), w.alert(2*i+1, 0))
		must[Delivered](t)(n.look(t.Context(), false))
		equal(t, "during the run", kinds(c.take()), []string{"alert 1"})
	}
	must[Routed](t)(n.Route(t.Context()))
	must[Delivered](t)(n.look(t.Context(), false))
	equal(t, "at its end", kinds(c.take()), []string{"digest 3"})
}

func TestBurst(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	give := func(from, to int, actor string) {
		var list []rule.Alert
		for i := from; i < to; i++ {
			a := w.alert(i, time.Minute)
			a.Actor = actor
			list = append(list, a)
		}
		w.record(t, list...)
	}
	give(0, 3, "alice")
	give(3, 7, "bob")
	pass(t, n)
	equal(t, "few and many of one actor", kinds(c.take()), []string{"alert 1", "alert 1", "alert 1", "group 4"})
	for i := range 11 {
		give(100+i, 101+i, fmt.Sprint("actor ", i))
	}
	pass(t, n)
	equal(t, "many in all", kinds(c.take()), []string{"group 11"})
	give(200, 400, "carol")
	pass(t, n)
	equal(t, "more than one message has room for", kinds(c.take()), []string{"group 40", "group 80", "group 80"})
}

func TestHold(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{Window: 15 * time.Minute})
	i := 0
	give := func(s rule.Severity) {
		a := w.alert(i, 0)
		a.Severity = s
		w.record(t, a)
		i++
	}
	for range 3 {
		give(rule.High)
		pass(t, n)
		w.advance(time.Minute)
	}
	equal(t, "the first ones", kinds(c.take()), []string{"alert 1", "alert 1", "alert 1"})
	for range 10 {
		give(rule.High)
		r, _ := pass(t, n)
		if r.Held == 0 {
			t.Fatal("nothing is held")
		}
		w.advance(time.Minute)
	}
	equal(t, "held", len(c.take()), 0)
	give(rule.Critical)
	pass(t, n)
	equal(t, "critical ones don't wait", kinds(c.take()), []string{"alert 1"})
	w.advance(5 * time.Minute)
	pass(t, n)
	equal(t, "the rest in one", kinds(c.take()), []string{"group 10"})
}

func TestWants(t *testing.T) {
	w := newWorld()
	r := &recorder{}
	a := w.alert(1, 0)
	for name, c := range map[string]struct {
		Channel
		want int
	}{
		"all":           {Channel{}, 1},
		"severity":      {Channel{MinSeverity: rule.High}, 1},
		"more severe":   {Channel{MinSeverity: rule.Critical}, 0},
		"rule":          {Channel{Rules: []string{"x", a.Rule}}, 1},
		"other rule":    {Channel{Rules: []string{"x"}}, 0},
		"account":       {Channel{Accounts: []string{a.AccountID}}, 1},
		"other account": {Channel{Accounts: []string{"1"}}, 0},
	} {
		w := newWorld()
		c.Name = "c"
		n := w.notifier(Options{}, map[string]*recorder{"c": r}, c.Channel)
		old := w.alert(2, 100*time.Hour)
		w.record(t, a, old)
		pass(t, n)
		if list := r.take(); len(list) != 2*c.want {
			t.Errorf("%s: got %v", name, list)
		}
		if n := must[store.Counts](t)(w.Counts(t.Context())).Unrouted; n != 0 {
			t.Errorf("%s: %d alerts aren't routed", name, n)
		}
	}
}

func TestNobodyToTell(t *testing.T) {
	w := newWorld()
	r := &recorder{}
	n := w.notifier(Options{}, map[string]*recorder{"c": r}, Channel{Name: "c", Off: true})
	w.record(t, w.alert(1, 0))
	pass(t, n)
	equal(t, "kept", must[store.Counts](t)(w.Counts(t.Context())).Unrouted, int64(1))
	n.channels[0].Off = false
	pass(t, n)
	equal(t, "told", kinds(r.take()), []string{"alert 1"})
}

func TestAcknowledgedAndSuperseded(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	ack := func(i int) {
		if err := w.Ack(t.Context(), []string{rule.AlertID(fmt.Sprint(i))}, "me", "", w.now()); err != nil {
			t.Fatal(err)
		}
	}
	gone := w.alert(1, 0)
	gone.Superseded = true
	w.record(t, gone, w.alert(2, 0))
	ack(2)
	pass(t, n)
	equal(t, "before routing", len(c.take()), 0)
	w.record(t, w.alert(1, 0))
	pass(t, n)
	equal(t, "lifted", kinds(c.take()), []string{"alert 1"})

	// Between routing and sending.
	w.record(t, w.alert(3, 0), w.alert(4, 0))
	must[Routed](t)(n.Route(t.Context()))
	ack(3)
	gone = w.alert(4, 0)
	gone.Superseded = true
	w.record(t, gone)
	d := must[Delivered](t)(n.Deliver(t.Context()))
	equal(t, "dropped", d.Dropped, 2)
	equal(t, "not sent", len(c.take()), 0)

	messages := must[[]store.Message](t)(n.Resend(t.Context(), []string{rule.AlertID("3"), rule.AlertID("4")}, "c"))
	must[Delivered](t)(n.Deliver(t.Context()))
	equal(t, "asked for", kinds(c.take()), []string{"resend 1", "resend 1"})
	equal(t, "rows", len(messages), 2)
}
