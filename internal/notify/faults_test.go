package notify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// killed are the points at which the program is killed, or a write fails, or is
// applied though reported as failed.
var killed = []string{
	"store.enqueue.before", "store.enqueue.after", "store.claim.before", "store.claim.after",
	"store.settle.before", "store.settle.after", "notify.send.before", "notify.send.after",
}

// How a channel of the property test behaves in a pass.
const (
	takes    = iota
	refuses  // an error, nothing arrives
	hangs    // no answer, nothing arrives
	unsure   // it arrives, but the answer is an error
	silent   // it arrives, but no answer
	recovers // refuses once, then takes
	moods
)

// model is what is due on each channel.
type model struct {
	w        *world
	channels []Channel
	mood     map[string]int
	mu       sync.Mutex
	arrived  map[string]map[string][]string // by channel and alert: ids of messages, digests apart
	digested map[string]map[string]int      // by channel and alert: how many digests
	sendings map[string]int                 // by message: how often it arrived
	excused  map[string]int                 // by message: how often it arrived without being marked
	clear    map[string]bool                // messages of this pass that arrived, and the channel said so
}

func (m *model) say(name string) func(context.Context, *outgoing) (bool, error) {
	return func(ctx context.Context, out *outgoing) (bool, error) {
		m.mu.Lock()
		mood := m.mood[name]
		if mood == recovers {
			m.mood[name] = takes
		}
		m.mu.Unlock()
		switch mood {
		case refuses, recovers:
			return false, errBroken
		case hangs:
			<-ctx.Done()
			return false, ctx.Err()
		}
		m.mu.Lock()
		m.sendings[out.ID]++
		for i := range out.alerts {
			id := out.alerts[i].ID
			m.arrived[name][id] = append(m.arrived[name][id], out.ID)
		}
		if out.Kind == KindDigest {
			for _, id := range out.AlertIDs {
				m.digested[name][id]++
			}
		}
		m.mu.Unlock()
		switch mood {
		case unsure:
			return true, errBroken
		case silent:
			<-ctx.Done()
			return true, ctx.Err()
		}
		m.mu.Lock()
		m.clear[out.ID] = true
		m.mu.Unlock()
		return true, nil
	}
}

func (m *model) notifier(window time.Duration) *Notifier {
	recorders := map[string]*recorder{}
	for _, c := range m.channels {
		recorders[c.Name] = &recorder{say: m.say(c.Name)}
	}
	return m.w.notifier(Options{Window: window, Timeout: time.Millisecond}, recorders, m.channels...)
}

// pass routes and delivers, killed at a point if one is given, and excuses what
// arrived without being marked as sent.
func (m *model) pass(t *rapid.T, n *Notifier, point string, nth int) {
	before := maps.Clone(m.sendings)
	m.clear = map[string]bool{}
	var mu sync.Mutex
	hit := false
	restore := func() {}
	if point != "" {
		restore = fault.Set(func(p string) error {
			mu.Lock()
			defer mu.Unlock()
			if p != point || hit {
				return nil
			}
			if nth--; nth >= 0 {
				return nil
			}
			hit = true
			return errBroken
		})
	}
	_, err := n.Route(t.Context())
	if err == nil {
		_, err = n.Deliver(t.Context())
	}
	restore()
	if err != nil && !hit {
		t.Fatalf("without a fault: %v", err)
	}
	rows, err := m.w.Messages(t.Context(), store.MessageFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if m.sendings[row.ID] == before[row.ID] || row.State == store.MessageSent {
			continue
		}
		m.excused[row.ID]++
		if m.clear[row.ID] && !hit {
			t.Fatalf("message %s arrived, and is %s without any fault", row.ID, row.State)
		}
	}
}

// Whatever fails, and whenever the program is killed: each alert that is due
// arrives on each channel, in one message, and that message twice only where the
// program couldn't know that it had arrived.
func TestEveryAlertArrives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{w: newWorld(), mood: map[string]int{}, arrived: map[string]map[string][]string{}, digested: map[string]map[string]int{},
			sendings: map[string]int{}, excused: map[string]int{}}
		m.channels = []Channel{{Name: "all"}, {Name: "grave", MinSeverity: rule.High}, {Name: "one", Accounts: []string{"1"}}}
		for _, c := range m.channels {
			m.arrived[c.Name], m.digested[c.Name] = map[string][]string{}, map[string]int{}
		}
		window := rapid.SampledFrom([]time.Duration{0, 15 * time.Minute}).Draw(rt, "window")
		n := m.notifier(window)
		alerts := map[string]rule.Alert{}
		news, unsure := map[string]bool{}, map[string]bool{} // unsure: acknowledged or superseded at some time
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"record", "record", "pass", "pass", "pass", "wait", "ack", "supersede", "restart"}).Draw(rt, "step") {
			case "record":
				var list []rule.Alert
				for range rapid.IntRange(1, 9).Draw(rt, "alerts") {
					ago := rapid.SampledFrom([]time.Duration{0, time.Hour, 30 * time.Hour, 80 * 24 * time.Hour}).Draw(rt, "ago")
					a := m.w.alert(len(alerts), ago)
					a.Actor = rapid.SampledFrom([]string{"alice", "alice", "bob", a.ID}).Draw(rt, "actor")
					a.AccountID = rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "account")
					a.Severity = rule.Severity(rapid.IntRange(0, 4).Draw(rt, "severity"))
					alerts[a.ID], news[a.ID] = a, ago < 24*time.Hour
					list = append(list, a)
				}
				m.w.record(t, list...)
			case "pass":
				for _, c := range m.channels {
					m.mood[c.Name] = rapid.IntRange(0, moods-1).Draw(rt, "mood")
				}
				point := rapid.SampledFrom(append([]string{""}, killed...)).Draw(rt, "killed at")
				m.pass(rt, n, point, rapid.IntRange(0, 4).Draw(rt, "nth"))
			case "wait":
				m.w.advance(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(rt, "time"))
			case "restart":
				n = m.notifier(window)
			case "ack", "supersede":
				ids := slices.Sorted(maps.Keys(alerts))
				if len(ids) == 0 {
					continue
				}
				id := rapid.SampledFrom(ids).Draw(rt, "alert")
				unsure[id] = true
				if rapid.Bool().Draw(rt, "ack") {
					if err := m.w.Ack(rt.Context(), []string{id}, "me", "", m.w.now()); err != nil {
						rt.Fatal(err)
					}
				} else {
					a := alerts[id]
					a.Superseded = true
					m.w.record(t, a)
				}
			}
		}
		// All is well again: what is left arrives in time.
		n = m.notifier(window)
		for range 60 {
			for _, c := range m.channels {
				m.mood[c.Name] = takes
			}
			m.pass(rt, n, "", 0)
			m.w.advance(20 * time.Minute)
		}
		m.check(rt, alerts, news, unsure)
	})
}

func (m *model) check(t *rapid.T, alerts map[string]rule.Alert, news, unsure map[string]bool) {
	for _, c := range m.channels {
		for id, a := range alerts {
			ids := m.arrived[c.Name][id]
			due := c.Wants(&a)
			what := fmt.Sprintf("channel %s, alert %s (news %v): messages %q, %d digests", c.Name, id, news[id], ids, m.digested[c.Name][id])
			if !due && (len(ids) > 0 || m.digested[c.Name][id] > 0) {
				t.Fatal(what + ": not due")
			}
			if !news[id] && len(ids) > 0 {
				t.Fatal(what + ": history is told in digests")
			}
			if news[id] && m.digested[c.Name][id] > 0 {
				t.Fatal(what + ": news isn't told in a digest")
			}
			if due && !unsure[id] && len(ids) == 0 && m.digested[c.Name][id] == 0 {
				t.Fatal(what + ": it didn't arrive")
			}
			if len(slices.Compact(slices.Sorted(slices.Values(ids)))) > 1 {
				t.Fatal(what + ": in more than one message")
			}
		}
	}
	for id, times := range m.sendings {
		if times > 1+m.excused[id] {
			t.Fatalf("message %s arrived %d times, and only %d times nobody could know", id, times, m.excused[id])
		}
	}
	counts, err := m.w.Counts(t.Context())
	if err != nil || counts.Unrouted > 0 {
		t.Fatalf("%d alerts are left, %v", counts.Unrouted, err)
	}
	for name, states := range counts.Messages {
		if states[store.MessagePending]+states[store.MessageGaveUp] > 0 {
			t.Fatalf("channel %s: %v", name, states)
		}
	}
}

// Two processes on one store send nothing twice.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld()
	r := &recorder{}
	c := map[string]*recorder{"c": r}
	a, b := w.notifier(Options{}, c, Channel{Name: "c"}), w.notifier(Options{}, c, Channel{Name: "c"})
	want := map[string]int{}
	for round := range 10 {
		var list []rule.Alert
		for i := range 20 {
			x := w.alert(round*100+i, time.Duration(i%2)*50*time.Hour)
			x.Actor = fmt.Sprint(i % 5)
			list = append(list, x)
			want[x.ID] = 1
		}
		w.record(t, list...)
		var wg sync.WaitGroup
		for _, n := range []*Notifier{a, b} {
			wg.Go(func() {
				if _, err := n.Pass(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	got := map[string]int{}
	for _, g := range r.take() {
		for _, id := range g.alerts {
			got[id]++
		}
	}
	equal(t, "alerts", got, want)
}
