package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func messages(t *testing.T, w *world) []store.Message {
	t.Helper()
	return must[[]store.Message](t)(w.Messages(t.Context(), store.MessageFilter{}))
}

func TestBackoff(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	c.say = func(context.Context, *outgoing) (bool, error) { return false, errBroken }
	w.record(t, w.alert(1, 0))
	var waits []time.Duration
	began := w.now()
	for range 12 {
		pass(t, n)
		m := messages(t, w)[0]
		waits = append(waits, m.Due.Sub(w.now()))
		if _, d := pass(t, n); d.Failed != 0 {
			t.Fatal("tried again before it was due")
		}
		w.advance(m.Due.Sub(w.now()))
	}
	s := time.Second
	equal(t, "waits", waits, []time.Duration{15 * s, 30 * s, 60 * s, 120 * s, 240 * s, 480 * s, 960 * s, 1920 * s, 3600 * s, 3600 * s, 3600 * s, 3600 * s})
	m := messages(t, w)[0]
	equal(t, "row", []any{m.State, m.Attempts, m.LastError}, []any{store.MessagePending, 12, "broken"})
	w.advance(giveUp - w.now().Sub(began))
	_, d := pass(t, n)
	equal(t, "gave up", []any{d.GaveUp, messages(t, w)[0].State}, []any{1, store.MessageGaveUp})
}

func TestRetryAfter(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	c.say = func(context.Context, *outgoing) (bool, error) { return false, &retryError{errBroken, 10 * time.Minute} }
	w.record(t, w.alert(1, 0))
	pass(t, n)
	equal(t, "as asked", messages(t, w)[0].Due.Sub(w.now()), 10*time.Minute)
}

// A channel that hangs, fails or panics holds up no other one, and its pass ends.
func TestChannelsAreApart(t *testing.T) {
	w := newWorld()
	channels := map[string]*recorder{"hangs": {}, "fails": {}, "panics": {}, "works": {}}
	tried := map[string]int{}
	say := func(name string, f func(ctx context.Context) error) {
		channels[name].say = func(ctx context.Context, _ *outgoing) (bool, error) {
			tried[name]++ // each channel has its own goroutine, and its own key
			return false, f(ctx)
		}
		tried[name] = 0
	}
	say("hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	n := w.notifier(Options{Timeout: time.Millisecond}, channels, Channel{Name: "hangs"}, Channel{Name: "works"})
	var list []rule.Alert
	for i := range 8 {
		a := w.alert(i, 0)
		a.Actor = a.ID
		list = append(list, a)
	}
	w.record(t, list...)
	_, d := pass(t, n)
	equal(t, "sent", []any{d.Sent, d.Failed, len(channels["works"].take()), tried["hangs"]}, []any{8, 1, 8, 1})
	if err := d.Errors["hangs"]; err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("got %v", err)
	}

	for _, name := range []string{"fails", "panics"} {
		w := newWorld()
		say("fails", func(context.Context) error { return errBroken })
		say("panics", func(context.Context) error { panic("oops") })
		n := w.notifier(Options{}, channels, Channel{Name: name}, Channel{Name: "works"})
		w.record(t, list...)
		_, d := pass(t, n)
		equal(t, name, []any{d.Sent, d.Failed, len(channels["works"].take()), tried[name]}, []any{8, mostFailures, 8, mostFailures})
	}
}

// One message that a channel never takes doesn't keep the others from it.
func TestPoison(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	poison := rule.AlertID("0")
	c.say = func(_ context.Context, m *outgoing) (bool, error) {
		if m.alerts[0].ID == poison {
			return false, errBroken
		}
		return true, nil
	}
	w.record(t, w.alert(0, 0))
	must[Routed](t)(n.Route(t.Context()))
	w.record(t, w.alert(1, 0))
	pass(t, n)
	equal(t, "the other one", kinds(c.take()), []string{"alert 1"})
}

// A channel that is gone: its messages wait for it, and are given up in the end.
func TestAbsent(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	w.record(t, w.alert(1, 0))
	must[Routed](t)(n.Route(t.Context()))
	off := &recorder{}
	pass(t, w.notifier(Options{}, map[string]*recorder{"c": off}, Channel{Name: "c", Off: true}))
	equal(t, "off", len(off.take()), 0)
	w.advance(time.Minute)
	other := w.notifier(Options{}, map[string]*recorder{"d": {}}, Channel{Name: "d"})
	pass(t, other)
	m := messages(t, w)[0]
	equal(t, "waits", []any{m.State, m.LastError}, []any{store.MessagePending, errAbsent.Error()})
	w.advance(time.Minute)
	pass(t, n)
	equal(t, "is back", len(c.take()), 1)

	w.record(t, w.alert(2, 0))
	must[Routed](t)(n.Route(t.Context()))
	w.advance(giveUp)
	_, d := pass(t, other)
	equal(t, "gave up", d.GaveUp, 1)
}

// What is on its way when the program is to end is waited for, and marked.
func TestInterrupted(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	c.say = func(sending context.Context, _ *outgoing) (bool, error) {
		cancel()
		return true, sending.Err()
	}
	w.record(t, w.alert(1, 0), w.alert(2, 0))
	must[Routed](t)(n.Route(t.Context()))
	d := must[Delivered](t)(n.Deliver(ctx))
	equal(t, "one, and no more", d.Sent, 1)
}

// One that takes longer than a message is its own may send it a second time, which no
// protocol can help; it goes on with the rest.
func TestOvertaken(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	other, d := w.one(Options{})
	c.say = func(context.Context, *outgoing) (bool, error) {
		c.say = nil
		w.advance(claimFor + time.Second)
		pass(t, other)
		return true, nil
	}
	w.record(t, w.alert(1, 0))
	must[Routed](t)(n.Route(t.Context()))
	first := must[Delivered](t)(n.Deliver(t.Context()))
	w.record(t, w.alert(2, 0))
	pass(t, n)
	equal(t, "taken", []any{first.Sent, kinds(d.take()), kinds(c.take())}, []any{1, []string{"alert 1"}, []string{"alert 1", "alert 1"}})
	equal(t, "states", []any{messages(t, w)[0].State, messages(t, w)[1].State}, []any{store.MessageSent, store.MessageSent})
}

func TestTest(t *testing.T) {
	w := newWorld()
	channels := map[string]*recorder{"works": {}, "fails": {}, "off": {}}
	channels["fails"].say = func(context.Context, *outgoing) (bool, error) { return false, errBroken }
	n := w.notifier(Options{}, channels, Channel{Name: "works"}, Channel{Name: "fails"}, Channel{Name: "off", Off: true})
	out := must[[]Outcome](t)(n.Test(t.Context()))
	equal(t, "outcomes", []any{len(out), out[0].Err, out[1].Err.Error()}, []any{2, error(nil), "broken"})
	must[[]Outcome](t)(n.Test(t.Context(), "off"))
	equal(t, "off, but named", kinds(channels["off"].take()), []string{"test 0"})
	if _, err := n.Test(t.Context(), "none"); err == nil {
		t.Error("an unknown channel")
	}
	equal(t, "outbox", len(messages(t, w)), 0)
}

func TestPruned(t *testing.T) {
	w := newWorld()
	n, _ := w.one(Options{})
	w.record(t, w.alert(1, 0))
	for _, want := range []int{1, 1, 0} {
		if _, err := n.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, "messages", len(messages(t, w)), want)
		w.advance(keepSent/2 + time.Hour)
	}
}

// A watch tells of a channel's trouble once, and when it's over.
func TestTroublesAreSaidOnce(t *testing.T) {
	w := newWorld()
	var said []string
	n, c := w.one(Options{Log: func(text string) { said = append(said, text) }})
	troubles := map[string]string{}
	for i, err := range []error{errBroken, errBroken, errors.New("gone"), nil, nil, errBroken} {
		c.say = func(context.Context, *outgoing) (bool, error) { return err == nil, err }
		w.record(t, w.alert(i, 0))
		_, d := pass(t, n)
		n.sayTroubles(d, troubles)
		n.sayTroubles(Delivered{}, troubles) // a look at which nothing was due
		w.advance(longestWait)
	}
	equal(t, "said", said, []string{"channel c: broken", "channel c: gone", "channel c takes messages again", "channel c: broken"})
}
