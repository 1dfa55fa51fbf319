package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// What makes the test binary a collector, for a parent that kills it: the data
// directory, the simulated AWS's address, an account, and at which visit of which
// fault point it kills itself (POINT:N; empty: never).
const (
	childData     = "IAMTRACK_TEST_COLLECT"
	childEndpoint = childData + "_ENDPOINT"
	childAccount  = childData + "_ACCOUNT"
	childKill     = childData + "_KILL"
)

// fast is a permitted rate at which a collection in real time takes a moment.
const fast = 400

// Exit codes of a child.
const (
	childDone = iota
	childFailed
	childIncomplete
)

// child collects and exports once.
func child() int {
	if at := os.Getenv(childKill); at != "" {
		killAt(at)
	}
	p, closeStore, err := onDisk(os.Getenv(childData))
	if err != nil {
		fmt.Fprintln(os.Stderr, err) //nolint:errcheck // the parent sees the exit code
		return childFailed
	}
	c, err := realCollector(p, os.Getenv(childEndpoint), os.Getenv(childAccount))
	var sum lookup.Summary
	if err == nil {
		sum, err = c.Run(context.Background())
	}
	if err == nil {
		_, err = p.Export(context.Background(), collect.ExportOptions{Wait: true})
	}
	if err = errors.Join(err, closeStore()); err != nil {
		fmt.Fprintln(os.Stderr, err) //nolint:errcheck // the parent sees the exit code
		return childFailed
	}
	if sum.Incomplete() {
		fmt.Fprintln(os.Stderr, sum.Problems) //nolint:errcheck // the parent sees the exit code
		return childIncomplete
	}
	return childDone
}

// killAt makes the process end as by kill -9 at the nth visit of a point.
func killAt(spec string) {
	point, nth, _ := strings.Cut(spec, ":")
	left, err := strconv.Atoi(nth)
	if err != nil {
		panic(err)
	}
	turn := make(chan int, 1)
	turn <- left
	fault.Set(func(at string) error {
		if at != point {
			return nil
		}
		n := <-turn - 1
		if n == 0 {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				err = self.Kill()
				if err != nil {
					panic(err)
				}
			}
			select {} // until it arrives
		}
		turn <- n
		return nil
	})
}

func onDisk(data string) (*collect.Pipeline, func() error, error) {
	s, err := store.OpenSQLite(context.Background(), filepath.Join(data, "iamtrack.db"), store.SQLiteOptions{})
	if err != nil {
		return nil, nil, err
	}
	b, err := lake.OpenDisk(filepath.Join(data, "lake"), false)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	p, err := pipeline(s, b)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	p.Holder = collect.NewHolder("collect")
	return p, s.Close, nil
}

func realCollector(p *collect.Pipeline, endpoint, account string) (*lookup.Collector, error) {
	s, err := awsapi.Open(context.Background(), awsapi.Config{
		EndpointURL: endpoint, Region: "us-east-1", Keys: &awsapi.Keys{AccessKeyID: account, SecretAccessKey: "secret"},
	})
	if err != nil {
		return nil, err
	}
	return &lookup.Collector{
		Accounts: []lookup.Account{s.Own()}, Store: p.Store, Ingest: p.Ingest, Holder: p.Holder, Rate: fast,
	}, nil
}

// killWorld is a simulated organization, in real time, of which one account is
// collected by processes that are killed.
type killWorld struct {
	t       *testing.T
	sim     *simulate.World
	aws     *server.Server
	url     string
	account string
	from    time.Time // of what is visible
}

func newKillWorld(t *testing.T, seed uint64, specs ...string) *killWorld {
	t.Helper()
	faults, err := server.ParseFaults(specs...)
	if err != nil {
		t.Fatal(err)
	}
	// It ends with the current hour's beginning: all is visible from the start.
	end := time.Now().UTC().Truncate(time.Hour)
	sim, err := simulate.New(simulate.Config{Seed: seed, Days: 20, Events: 4000, End: end, Burst: faults.Burst, DenseHour: faults.DenseHour})
	if err != nil {
		t.Fatal(err)
	}
	aws, err := server.New(server.Options{World: sim, Rate: fast, Faults: faults, Regions: []string{
		"us-east-1", "us-east-2", "eu-west-1", "eu-central-1", "eu-north-1", "ap-southeast-2", // where the world has events
	}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(aws)
	t.Cleanup(web.Close)
	return &killWorld{t: t, sim: sim, aws: aws, url: web.URL, account: sim.Accounts()[0], from: end.AddDate(0, 0, -90)}
}

// inKillWorlds runs a test in one world without further faults, or in as many as
// matrixEnv says, with others.
func inKillWorlds(t *testing.T, f func(*testing.T, *killWorld)) {
	t.Helper()
	specs := []string{"throttle=0.05", "reset=0.03", "error500=0.03", "duplicates=0.2", "empty-page=0.2", "burst=300", "dense-hour=1100", "latency=50ms", "token-expiry=1s"}
	for i := range matrix(t, 1) {
		var with []string
		if i > 0 {
			with = append(with, specs[(i-1)%len(specs)])
		}
		t.Run(fmt.Sprint("world ", i, with), func(t *testing.T) { f(t, newKillWorld(t, 3+uint64(i), with...)) })
	}
}

// start starts a collector.
func (w *killWorld) start(data, killAt string) *exec.Cmd {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childData+"="+data, childEndpoint+"="+w.url, childAccount+"="+w.account, childKill+"="+killAt)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() && out.Len() > 0 {
			w.t.Log(out.String())
		}
	})
	return cmd
}

// exit waits for a collector and returns its exit code, or -1 if it was killed.
func exit(cmd *exec.Cmd) int {
	_ = cmd.Wait() // its state tells
	return cmd.ProcessState.ExitCode()
}

// finish runs a collector to its end.
func (w *killWorld) finish(data string) {
	w.t.Helper()
	if code := exit(w.start(data, "")); code != childDone {
		w.t.Fatalf("the collector that nobody kills ends with %d", code)
	}
}

// killed is what store and lake hold in the end.
type killed struct {
	events, filtered int
	alerts           []string
}

// check compares what is stored with the truth, and the ledgers with what was
// read, and returns what there is.
func (w *killWorld) check(data string) killed {
	w.t.Helper()
	ctx := context.Background()
	p, closeStore, err := onDisk(data)
	if err != nil {
		w.t.Fatal(err)
	}
	defer closeStore() //nolint:errcheck // read only
	got := storedIn(w.t, p)
	due := map[string]bool{} // by id, whether it's noise
	for e := range w.sim.Truth().Events {
		due[e.EventID] = e.Filtered
	}
	var k killed
	shown := map[string]bool{}
	for s, ids := range w.aws.Visible(w.from, time.Now()) {
		if s.Account != w.account {
			continue
		}
		for _, id := range ids {
			shown[id] = true
			kind, ok := got[s][id]
			switch {
			case !ok:
				w.t.Errorf("%v: event %s is missing", s, id)
			case kind == isEvent:
				k.events++
			case kind == isFiltered && due[id]:
				k.filtered++
			default:
				w.t.Errorf("%v: event %s was filtered, and is no noise", s, id)
			}
		}
	}
	if k.events == 0 || k.filtered == 0 {
		w.t.Fatalf("%+v: this test can't fail", k)
	}
	for s, ids := range got {
		for id := range ids {
			if !shown[id] {
				w.t.Errorf("%v: event %s is stored, and was not to be had", s, id)
			}
		}
	}
	w.checkLedgers(ctx, p)
	k.alerts = checkAlerts(w.t, w.sim, p.Store, shown)
	_, err = p.Verify(ctx, func(pr collect.Problem) { w.t.Errorf("verify: %s: %s", pr.Where, pr.What) })
	if err != nil {
		w.t.Fatal(err)
	}
	counts, err := p.Store.Counts(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if counts.Rejected != 0 || counts.Conflicts != 0 {
		w.t.Errorf("%d rejected, %d conflicts", counts.Rejected, counts.Conflicts)
	}
	days, err := p.Store.LakeDays(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var events, filtered int64
	for _, d := range days {
		events, filtered = events+d.Events, filtered+d.Filtered
	}
	if events != int64(k.events) || filtered != int64(k.filtered) {
		w.t.Errorf("status counts %d events and %d filtered, there are %+v", events, filtered, k)
	}
	return k
}

// checkLedgers checks that all was read, and that nothing is claimed that lies
// outside of what could be.
func (w *killWorld) checkLedgers(ctx context.Context, p *collect.Pipeline) {
	w.t.Helper()
	ledgers, err := p.Store.Streams(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(ledgers) < 9 {
		w.t.Errorf("%d ledgers", len(ledgers))
	}
	for _, l := range ledgers {
		if gaps := l.Gaps(l.Promised()); len(gaps) > 0 || l.LastError != "" {
			w.t.Errorf("%s: gaps %+v, last error %q", l.Stream, gaps, l.LastError)
		}
		now := time.Now().Unix()
		if l.Until > now || l.Newest() > now || l.Since < l.Began-coverage.Kept {
			w.t.Errorf("%s claims more than there was: %+v", l.Stream, l)
		}
		if l.Late != 0 {
			w.t.Errorf("%s: %d late events, and none was", l.Stream, l.Late)
		}
	}
}

// A collection that is killed at random moments, again and again, and at last
// left alone, ends with all that the account shows, each alert once.
func TestKilledAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("a process of its own, which the race detector sees in other tests")
	}
	inKillWorlds(t, killedAtRandom)
}

func killedAtRandom(t *testing.T, w *killWorld) {
	clean := filepath.Join(t.TempDir(), "clean")
	start := time.Now()
	w.finish(clean)
	whole := time.Since(start)
	want := w.check(clean)
	t.Logf("a whole run takes %s: %d events, %d filtered, %d alerts", whole, want.events, want.filtered, len(want.alerts))
	const rounds = 4
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range rounds {
		data := filepath.Join(t.TempDir(), "killed")
		kills := 0
		for range 6 {
			cmd := w.start(data, "")
			time.Sleep(time.Duration(rng.Int64N(int64(whole)))) // when to kill, nothing that must have happened
			_ = cmd.Process.Kill()                              // perhaps it has ended
			if exit(cmd) == -1 {
				kills++
			}
		}
		w.finish(data)
		if got := w.check(data); !slices.Equal(got.alerts, want.alerts) || got.events != want.events || got.filtered != want.filtered {
			t.Errorf("round %d, after %d kills: %+v, want %+v", round, kills, got, want)
		}
	}
}

// A collection that is killed at a named point, and then left alone, ends with
// all that the account shows.
func TestKilledAtPoints(t *testing.T) {
	if testing.Short() {
		t.Skip("a process of its own, which the race detector sees in other tests")
	}
	inKillWorlds(t, killedAtPoints)
}

func killedAtPoints(t *testing.T, w *killWorld) {
	points := []string{
		"lookup.events.before", "lookup.events.after", "lookup.ledger.before", "lookup.ledger.after",
		"collect.store.before", "collect.store.after", "store.put.before", "store.put.after",
		"store.record.before", "store.record.after", "store.updatestream.before", "store.updatestream.after",
		"lake.merge.before", "lake.commit.before", "lake.commit.after", "store.dayexported.before", "store.dayexported.after",
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			w := *w
			w.t = t
			data := filepath.Join(t.TempDir(), "data")
			for nth, kills := 1, 0; ; nth *= 5 {
				code := exit(w.start(data, fmt.Sprintf("%s:%d", point, nth)))
				if code == -1 {
					kills++
					if kills < 3 {
						continue
					}
				} else if code != childDone {
					t.Fatalf("exit code %d", code)
				}
				if kills == 0 {
					t.Fatalf("%s was never reached", point)
				}
				break
			}
			w.finish(data)
			w.check(data)
		})
	}
}

// Two collectors at once, killed and not, read everything once.
func TestTwoProcesses(t *testing.T) { inKillWorlds(t, twoProcesses) }

func twoProcesses(t *testing.T, w *killWorld) {
	data := filepath.Join(t.TempDir(), "data")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	for range 3 {
		first, second := w.start(data, ""), w.start(data, "")
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second)))) // when to kill, nothing that must have happened
		_ = first.Process.Kill()                                  // perhaps it has ended
		exit(first)                                               // while it isn't waited for, its leases are held
		if code := exit(second); code != childDone && code != childIncomplete {
			t.Errorf("exit code %d", code)
		}
	}
	w.finish(data)
	w.check(data)
}
