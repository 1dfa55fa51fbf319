package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// matrixEnv widens the matrix of faults: in how many worlds each pair, and each kill
// of a process, is tried; `make test-matrix` sets it.
const matrixEnv = "IAMTRACK_TEST_MATRIX"

// matrix is the number of worlds that matrixEnv asks for, or else usual.
func matrix(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv(matrixEnv)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of worlds", matrixEnv, text)
	}
	return n
}

// trouble is a fault of the simulated account, or what happens to collectors before
// they are left alone.
type trouble struct {
	name  string // a fault of the account, unless happens is set
	whole bool   // the world has the whole of CloudTrail's 90 days
	// happens runs the collector, and returns when the trouble is over.
	happens func(*world, *rand.Rand)
}

func (t trouble) String() string { return t.name }

var troubles = []trouble{
	{name: "throttle=0.3"},
	{name: "quota-share=0.5"},
	{name: "token-expiry=2s"},
	{name: "latency=4s"},
	{name: "reset=0.1"},
	{name: "error500=0.1"},
	{name: "duplicates=0.2"},
	{name: "empty-page=0.3"},
	{name: "clock-skew=3m"},
	{name: "clock-skew=-3m"},
	{name: "burst=300"},
	{name: "dense-hour=1100"},
	{name: "late=2h:0.05"},
	{name: "denied region", happens: deniedRegion},
	{name: "read again", happens: readAgain},
	{name: "two collectors", happens: twoCollectors},
	{name: "cut off", happens: cutOff},
	{name: "full disk", happens: fullDisk},
	{name: "oldest expires", whole: true, happens: oldestExpires},
}

// deniedRegion: one region can't be read; the others are, and it is a gap.
func deniedRegion(w *world, _ *rand.Rand) {
	const region = "eu-central-1"
	f := w.aws.Faults()
	denied := f
	denied.Deny = []server.Denial{{Region: region, Service: "cloudtrail"}}
	w.aws.SetFaults(denied)
	defer w.aws.SetFaults(f)
	sum, err := w.Run(context.Background())
	if err != nil || len(sum.Problems) == 0 {
		w.t.Errorf("a region is denied: %v, %+v", err, sum.Problems)
	}
	for _, p := range sum.Problems {
		if p.Region != region || p.Reason != coverage.Denied {
			w.t.Errorf("a region is denied: %+v", p)
		}
	}
	gaps := 0
	for s, l := range w.ledgers() {
		for _, g := range l.Gaps(coverage.SpanOf(today.AddDate(0, 0, -80), today.Add(-time.Hour))) {
			if gaps++; s.Region != region || g.Reason != coverage.Denied || g.Detail == "" {
				w.t.Errorf("a region is denied: %v: %+v", s, g)
			}
		}
	}
	if gaps == 0 {
		w.t.Error("a region is denied, and there is no gap")
	}
}

// readAgain: the ledgers are lost, so that all comes a second time.
func readAgain(w *world, _ *rand.Rand) {
	w.mustRun()
	for _, l := range w.ledgers() {
		err := w.store.UpdateStream(context.Background(), l.Stream, func(l *coverage.Ledger) error {
			l.Invalidate(l.Promised(), coverage.Pending, "", time.Now().Unix())
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// twoCollectors: two read at once, each what the other doesn't.
func twoCollectors(w *world, _ *rand.Rand) {
	other := *w
	other.one(w.account)
	other.Holder = "two"
	var wg sync.WaitGroup
	for _, c := range []*lookup.Collector{w.Collector, other.Collector} {
		wg.Go(func() {
			sum, err := c.Run(context.Background())
			if err != nil {
				w.t.Error(err)
			}
			for _, p := range sum.Problems {
				if !strings.Contains(p.Error, "another collector reads it: ") {
					w.t.Errorf("two collectors: %+v", p)
				}
			}
		})
	}
	wg.Wait()
}

// cutOff: runs end at a write, before or after it took effect. (Processes that are
// killed are in a_kill_test.go.)
func cutOff(w *world, rng *rand.Rand) {
	points := []string{
		"lookup.events.before", "lookup.events.after", "lookup.ledger.before", "lookup.ledger.after",
		"store.put.before", "store.put.after", "store.record.before", "store.record.after", "store.updatestream.before", "store.updatestream.after",
	}
	errCut := errors.New("cut off")
	for range 4 {
		failing(points[rng.IntN(len(points))], func(visit int) error {
			if visit == 0 {
				return errCut
			}
			return nil
		}, rng.IntN(20), func() {
			if _, err := w.Run(context.Background()); err != nil && !errors.Is(err, errCut) {
				w.t.Errorf("cut off: %v", err)
			}
		})
		if rng.IntN(2) == 0 {
			_, err := w.pipe.Export(context.Background(), exportAll)
			if err != nil {
				w.t.Errorf("cut off: %v", err)
			}
		}
		time.Sleep(10 * time.Minute)
	}
}

// fullDisk: writes fail from some moment on.
func fullDisk(w *world, rng *rand.Rand) {
	points := []string{"store.put.before", "store.record.before", "store.updatestream.before", "store.acquire.before", "collect.store.before"}
	var failed atomic.Bool // a run that is short may have written enough by then
	failing(points[rng.IntN(len(points))], func(int) error {
		failed.Store(true)
		return fmt.Errorf("write: %w", store.ErrFull)
	}, rng.IntN(4), func() {
		for range 2 {
			if _, err := w.Run(context.Background()); failed.Load() != (err != nil) || err != nil && !errors.Is(err, store.ErrFull) {
				w.t.Errorf("full disk: the run ends with %v", err)
			}
			failed.Store(false)
			time.Sleep(10 * time.Minute)
		}
	})
}

// failing calls f while visits of a fault point, but for the first so many, fail.
func failing(point string, fail func(visit int) error, first int, f func()) {
	var mu sync.Mutex
	visits := -first
	defer fault.Set(func(at string) error {
		mu.Lock()
		defer mu.Unlock()
		if at != point {
			return nil
		}
		visits++
		if visits <= 0 {
			return nil
		}
		return fail(visits - 1)
	})()
	f()
}

// oldestExpires: nothing can be read for half a day.
func oldestExpires(w *world, _ *rand.Rand) {
	f := w.aws.Faults()
	denied := f
	denied.Deny = []server.Denial{{Service: "cloudtrail"}}
	w.aws.SetFaults(denied)
	if sum, err := w.Run(context.Background()); err != nil || len(sum.Problems) == 0 {
		w.t.Errorf("all is denied: %v, %+v", err, sum.Problems)
	}
	time.Sleep(12 * time.Hour)
	w.aws.SetFaults(f)
}

// Each fault in ten worlds, and each pair of faults in one (or as many as matrixEnv
// says), of which one account is read: in the end all is stored that it shows,
// nothing else is claimed, and few requests were refused.
func TestFaultsInManyWorlds(t *testing.T) {
	worlds := 0
	var asked, throttled [2]int // in the worlds of one fault, and of all
	run := func(t *testing.T, seed uint64, all ...trouble) {
		t.Helper()
		worlds++
		inBubble(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("the world of seed %d, with %s", seed, all)
				}
			}()
			var specs []string
			c := simulate.Config{Seed: seed, Days: 8, Events: 1500}
			for _, one := range all {
				if one.happens == nil {
					specs = append(specs, one.name)
				}
				if one.whole {
					c.Days = 91
				}
			}
			f, err := server.ParseFaults(specs...)
			if err != nil {
				t.Fatal(err)
			}
			c.Burst, c.DenseHour = f.Burst, f.DenseHour
			w := newWorld(t, c, server.Options{Faults: f, Delivery: 2 * time.Minute}, 0)
			w.one(int(seed % 3))
			rng := rand.New(rand.NewPCG(seed, 3))
			for _, one := range all {
				if one.happens != nil {
					one.happens(w, rng)
				}
			}
			for range 3 { // until what comes late has been looked for again
				w.mustRun()
				w.checkThrottled()
				time.Sleep(26 * time.Hour)
			}
			if f.Throttle == 0 {
				n := w.aws.Total("cloudtrail:LookupEvents")
				for i := range asked {
					asked[i] += n.Requests
					throttled[i] += n.Throttled
				}
			}
			if c.Days > 90 {
				w.checkRest()
			} else {
				w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 2))
			}
			w.checkCovered(today.AddDate(0, 0, -80), today)
			w.checkHonest(today.AddDate(0, 0, -c.Days), today)
		})
	}
	pairs := matrix(t, 1)
	for i, one := range troubles {
		t.Run(one.name, func(t *testing.T) {
			asked[0], throttled[0] = 0, 0
			defer func() {
				if throttled[0]*100 > asked[0] {
					t.Errorf("%d of %d requests were throttled", throttled[0], asked[0])
				}
			}()
			alone := 1
			if pairs > 1 {
				alone = 3 * pairs
			}
			for seed := range uint64(alone) {
				run(t, 100*uint64(i)+seed, one)
				if testing.Short() {
					return
				}
			}
			for j, other := range troubles[i+1:] {
				for seed := range uint64(pairs) {
					run(t, 10_000+1000*uint64(i)+uint64(j)+30*seed, one, other)
				}
			}
		})
	}
	t.Logf("%d worlds; %d of %d requests were throttled", worlds, throttled[1], asked[1])
}

// checkRest checks a world whose oldest events expired before they were read: that
// no others are missing (checkHonest tells that those are in gaps), and nothing is
// stored that never was.
func (w *world) checkRest() {
	w.t.Helper()
	stored := map[string]bool{}
	n := 0
	for _, ids := range storedIn(w.t, w.pipe) {
		for id := range ids {
			stored[id] = true
			n++
		}
	}
	happened := 0
	for r := range w.sim.Between(today.AddDate(0, 0, -91), today) {
		if stored[r.ID] {
			happened++
		}
	}
	if happened != n {
		w.t.Errorf("%d events are stored, of which %d happened", n, happened)
	}
	for s, ids := range w.aws.Visible(time.Now().AddDate(0, 0, -90), today.AddDate(0, 0, 2)) {
		for _, id := range ids {
			if w.read(s) && !stored[id] {
				w.t.Errorf("%v: event %s is missing", s, id)
			}
		}
	}
	checkAlerts(w.t, w.sim, w.store, stored)
	expired := 0
	for s, l := range w.ledgers() {
		for _, g := range l.Gaps(coverage.SpanOf(today.AddDate(0, 0, -90), today)) {
			if expired++; g.Reason != coverage.Expired {
				w.t.Errorf("%v: %+v", s, g)
			}
		}
	}
	if expired == 0 {
		w.t.Error("nothing expired: this test can't fail")
	}
}
