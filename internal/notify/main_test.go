package notify

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// clock stands until it's moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a store with a clock.
type world struct {
	*clock
	*store.Mem
	facts int
}

func newWorld() *world {
	w := &world{clock: newClock(), Mem: store.OpenMem()}
	w.Mem.Now = w.now
	return w
}

// record puts alerts as they are, new or again.
func (w *world) record(t testing.TB, alerts ...rule.Alert) {
	t.Helper()
	w.facts++
	f := rule.Fact{Rule: "r", Group: "g", AccountID: "1", EventID: fmt.Sprint(w.facts), Version: event.Version{Hash: uint64(w.facts)}}
	if _, err := w.Record(context.Background(), store.Findings{Facts: []rule.Fact{f}}, func([]rule.Fact) []rule.Alert { return alerts }); err != nil {
		t.Fatal(err)
	}
}

// alert is the n-th one, of an event so long ago.
func (w *world) alert(n int, ago time.Duration) rule.Alert {
	return rule.Alert{
		ID: rule.AlertID(fmt.Sprint(n)), Rule: "user-created", Title: "User created", Severity: rule.High, EventID: fmt.Sprint("event-", n),
		EventTime: w.now().Add(-ago).UnixMilli(), Actor: "alice", SourceIP: "192.0.2.7", AccountID: "012345678901", AWSRegion: "us-east-1",
		EventName: "CreateUser", Targets: []string{"bob"}, Detail: "alice made the user bob",
	}
}

// got is what a channel received.
type got struct {
	id, kind string
	alerts   []string
}

// recorder is a channel of a test: what it does with a message is what say says.
type recorder struct {
	mu  sync.Mutex
	got []got
	say func(ctx context.Context, m *outgoing) (takes bool, err error) // nil: takes all
}

func (r *recorder) send(ctx context.Context, m *outgoing) error {
	takes, err := true, error(nil)
	if r.say != nil {
		takes, err = r.say(ctx, m)
	}
	if takes {
		g := got{id: m.ID, kind: m.Kind}
		for i := range m.alerts {
			g.alerts = append(g.alerts, m.alerts[i].ID)
		}
		if m.Kind == KindDigest {
			g.alerts = m.AlertIDs
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, g)
	}
	return err
}

// take returns what was received since it was called last.
func (r *recorder) take() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.got
	r.got = nil
	return g
}

// notifier makes one whose channels are recorders.
func (w *world) notifier(o Options, channels map[string]*recorder, narrowed ...Channel) *Notifier {
	o.Now = w.now
	if o.Jitter == nil {
		o.Jitter = func() float64 { return 0 }
	}
	if o.DailySummary == 0 {
		o.DailySummary = -1
	}
	n := New(w.Mem, o)
	for _, c := range narrowed {
		n.channels = append(n.channels, &target{Channel: c, sender: channels[c.Name], style: plainStyle, limit: 2000})
	}
	return n
}

// one is a notifier with one channel.
func (w *world) one(o Options) (*Notifier, *recorder) {
	r := &recorder{}
	return w.notifier(o, map[string]*recorder{"c": r}, Channel{Name: "c"}), r
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// pass routes and delivers.
func pass(t testing.TB, n *Notifier) (Routed, Delivered) {
	t.Helper()
	r := must[Routed](t)(n.Route(t.Context()))
	return r, must[Delivered](t)(n.Deliver(t.Context()))
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // of the repository
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // of the repository
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file) //nolint:gosec // of the repository
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(gotType)); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

var gotType = got{}

var errBroken = errors.New("broken")
