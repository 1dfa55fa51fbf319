package lookup_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// today is when tests begin; they run in a bubble of testing/synctest, where
// waiting takes no time and the clock is that of the simulated account too.
var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a simulated organization and a collector of it.
type world struct {
	t     testing.TB
	sim   *simulate.World
	aws   *server.Server
	store store.Store
	pipe  *collect.Pipeline
	*lookup.Collector
	account int // that one narrowed it to
	// read tells the streams that are collected; nil: all.
	read func(simulate.Stream) bool
}

// newWorld must be called inside a bubble. The world goes on for days after today.
func newWorld(t testing.TB, c simulate.Config, o server.Options, after int) *world {
	t.Helper()
	time.Sleep(time.Until(today))
	days := c.Days
	if days == 0 {
		days = 90
	}
	c.Start, c.End, c.Days = today.AddDate(0, 0, -days), today.AddDate(0, 0, after), 0
	sim, err := simulate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o.World = sim
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sim: sim, aws: srv, store: store.OpenMem()}
	w.store.(*store.Mem).Now = time.Now
	if w.pipe, err = pipeline(w.store, lake.OpenMem()); err != nil {
		t.Fatal(err)
	}
	w.pipe.Holder = t.Name()
	w.Collector = w.collector("one", sim.Accounts()...)
	return w
}

func pipeline(s store.Store, b lake.Bucket) (*collect.Pipeline, error) {
	engine, err := rule.NewEngine(rule.Config{OffHours: rule.OffHoursConfig{Timezone: "UTC", Start: "22:00", End: "06:00"}})
	if err != nil {
		return nil, err
	}
	f, err := filter.New(filter.Config{ServiceEvents: true})
	if err != nil {
		return nil, err
	}
	return &collect.Pipeline{
		Store: s, Lake: lake.New(b, lake.Options{ProgramVersion: "test"}), Rules: engine, Filter: f,
		Now: time.Now, HotDays: 120,
	}, nil
}

// collector returns another collector of the same store.
func (w *world) collector(holder string, accounts ...string) *lookup.Collector {
	c := &lookup.Collector{Store: w.store, Ingest: w.pipe.Ingest, Holder: holder}
	for _, id := range accounts {
		// A key of 12 digits is that account's.
		s, err := awsapi.Open(context.Background(), awsapi.Config{
			EndpointURL: server.Endpoint, Region: "us-east-1", HTTPClient: w.aws.Client(),
			Keys: &awsapi.Keys{AccessKeyID: id, SecretAccessKey: "secret"},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		c.Accounts = append(c.Accounts, s.Own())
	}
	return c
}

// mustRun runs the collector and expects it to read everything.
func (w *world) mustRun() lookup.Summary {
	w.t.Helper()
	s, err := w.Run(context.Background())
	if err != nil {
		w.t.Fatalf("collect: %v", err)
	}
	if s.Incomplete() {
		w.t.Fatalf("collect: not all was read: %+v", s.Problems)
	}
	return s
}

// checkThrottled checks that up to now at most one request of a hundred was refused
// for the rate, as the server counts, unless it refuses whatever the rate. One more
// may be: that is much of a world with few requests.
func (w *world) checkThrottled() {
	w.t.Helper()
	if w.aws.Faults().Throttle > 0 {
		return
	}
	if n := w.aws.Total("cloudtrail:LookupEvents"); (n.Throttled-1)*100 > n.Requests {
		w.t.Errorf("%d of %d requests were throttled", n.Throttled, n.Requests)
	}
}

// kind is as what something is stored.
type kind int

const (
	isEvent kind = iota + 1
	isFiltered
)

// exportAll waits for whoever exports too.
var exportAll = collect.ExportOptions{Wait: true}

// storedIn is what store and lake hold, by stream and id; nothing is there twice.
func storedIn(t testing.TB, p *collect.Pipeline) map[simulate.Stream]map[string]kind {
	t.Helper()
	ctx := context.Background()
	if _, err := p.Export(ctx, exportAll); err != nil {
		t.Fatal(err)
	}
	dates, err := p.Lake.Dates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all := map[simulate.Stream]map[string]kind{}
	add := func(account, region, source, id string, k kind) {
		s := simulate.Stream{Account: account, Region: region, Source: source}
		if all[s] == nil {
			all[s] = map[string]kind{}
		}
		if all[s][id] != 0 {
			t.Fatalf("event %s is stored twice", id)
		}
		all[s][id] = k
	}
	for _, d := range dates {
		for e, err := range p.Lake.Events(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			add(e.AccountID, e.AWSRegion, e.EventSource, e.EventID, isEvent)
		}
		for f, err := range p.Lake.Filtered(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			add(f.AccountID, f.AWSRegion, f.EventSource, f.EventID, isFiltered)
		}
	}
	return all
}

// check compares what is stored with what the account shows of [from, to).
func (w *world) check(from, to time.Time) {
	w.t.Helper()
	got, want := storedIn(w.t, w.pipe), w.aws.Visible(from, to)
	n, shown := 0, map[string]bool{}
	for s, ids := range want {
		if w.read != nil && !w.read(s) {
			continue
		}
		for _, id := range ids {
			n++
			shown[id] = true
			if got[s][id] == 0 {
				w.t.Errorf("%v: event %s is missing", s, id)
			}
		}
	}
	if n == 0 {
		w.t.Fatal("the account shows nothing: this test can't fail")
	}
	have := 0
	for _, ids := range got {
		have += len(ids)
	}
	if have != n {
		w.t.Errorf("%d events are stored, the account shows %d", have, n)
	}
	checkAlerts(w.t, w.sim, w.store, shown)
}

// checkAlerts checks that each alert that is due of the events shown is there
// once, and no other; it returns them.
func checkAlerts(t testing.TB, sim *simulate.World, s store.Store, shown map[string]bool) []string {
	t.Helper()
	truth := sim.Truth()
	var due, found []string
	for _, a := range truth.Alerts {
		if len(a.Events) > 0 {
			left := slices.IndexFunc(a.Events, func(id string) bool { return shown[id] })
			if left < 0 {
				continue
			}
			a.EventID = a.Events[left]
		}
		if shown[a.EventID] {
			due = append(due, a.Rule+" "+a.EventID)
		}
	}
	alerts, err := s.Alerts(context.Background(), store.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		if slices.Contains(truth.Rules, a.Rule) {
			found = append(found, a.Rule+" "+a.EventID)
		}
	}
	slices.Sort(due)
	slices.Sort(found)
	if diff := cmp.Diff(due, found); diff != "" {
		t.Errorf("alerts (-due +found):\n%s", diff)
	}
	if len(due) == 0 {
		t.Error("no alert is due: this test can't fail")
	}
	return found
}

// checkCovered checks that the ledgers have all of [from, to), of every stream
// that shows events.
func (w *world) checkCovered(from, to time.Time) {
	w.t.Helper()
	ledgers, err := w.store.Streams(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	known := map[simulate.Stream]bool{}
	for _, l := range ledgers {
		known[simulate.Stream{Account: l.Stream.AccountID, Region: l.Stream.Region, Source: l.Stream.Source}] = true
		if gaps := l.Gaps(coverage.SpanOf(from, to)); len(gaps) > 0 {
			w.t.Errorf("%s has gaps: %+v", l.Stream, gaps)
		}
	}
	for s := range w.aws.Visible(from, to) {
		if !known[s] && (w.read == nil || w.read(s)) {
			w.t.Errorf("%v has events and no ledger", s)
		}
	}
}
