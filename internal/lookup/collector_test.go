package lookup_test

import (
	"context"
	"errors"
	"slices"
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
)

// A first run stores all that the account shows, a second one nothing more.
func TestFirstRunReadsEverything(t *testing.T) {
	for seed := range uint64(3) {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, simulate.Config{Seed: seed + 1, Events: 12000}, server.Options{}, 0)
			first := w.mustRun()
			w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
			if first.Stored == 0 || first.Filtered == 0 || first.Alerts == 0 {
				t.Fatalf("first run: %+v", first)
			}
			w.checkThrottled()
			w.checkCovered(today.AddDate(0, 0, -90).Add(time.Minute), time.Now().Add(-time.Minute))
			second := w.mustRun()
			if second.Stored != 0 || second.Alerts != 0 {
				t.Errorf("second run stores %d events and %d alerts", second.Stored, second.Alerts)
			}
			t.Logf("%d requests for %d records in %s", first.Requests, first.Records, time.Duration(first.Seconds*1e9))
		})
	}
}

// With any latency, the region's rate is made use of, and few requests more are
// sent than there are pages.
func TestRateAndRequests(t *testing.T) {
	if testing.Short() {
		t.Skip("a large world")
	}
	for _, latency := range []time.Duration{200 * time.Millisecond, 4 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 5, Days: 60, Events: 500000, Noise: 0.5}, server.Options{
					Faults: server.Faults{Latency: latency},
				}, 0)
				w.Collector = w.collector("one", w.sim.Accounts()[1])
				w.Sources = []string{"sts.amazonaws.com", "iam.amazonaws.com"}
				// A run begins carefully, since others may use the quota; that is half a
				// minute, whatever the length of the run.
				type point struct {
					at       time.Duration
					requests int
				}
				var early, late point
				w.Progress = func(p lookup.Progress) {
					for _, r := range p.Regions {
						if now := (point{p.Elapsed, r.Requests}); r.Region == "us-east-1" && !r.Done {
							if p.Elapsed < time.Minute {
								early = now
							}
							late = now
						}
					}
				}
				sum := w.mustRun()
				requests := late.requests - early.requests
				rate := float64(requests) / (late.at - early.at).Seconds()
				t.Logf("%d requests in %s: %.3f a second", requests, late.at-early.at, rate)
				if requests < 400 {
					t.Fatal("too few requests to say something about the rate")
				}
				if rate < 0.95*lookup.PermittedRate {
					t.Errorf("%.3f requests a second, of %.1f that are permitted", rate, lookup.PermittedRate)
				}
				for _, r := range sum.Regions {
					if limit := 1.05*float64(r.Events)/50 + 12*float64(r.Streams); float64(r.Requests) > limit {
						t.Errorf("%s: %d requests for %d events in %d streams", r.Region, r.Requests, r.Events, r.Streams)
					}
				}
			})
		})
	}
}

// While others use half of the quota, a busy region is read at what is left, and at
// most one of a hundred of its requests is refused, as the server counts.
func TestOthersUseHalf(t *testing.T) {
	for i, latency := range []time.Duration{200 * time.Millisecond, 4 * time.Second} {
		t.Run(latency.String(), func(t *testing.T) {
			if testing.Short() {
				t.Skip("a large world")
			}
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 50 + uint64(i), Days: 40, Events: 420000, Noise: 0.5}, server.Options{
					Faults: server.Faults{Latency: latency, QuotaShare: 0.5},
				}, 0)
				w.one(1)
				w.Sources = []string{"sts.amazonaws.com"}
				sum := w.mustRun()
				busy := 0
				for _, c := range w.aws.Counts() {
					i := slices.IndexFunc(sum.Regions, func(r lookup.RegionStats) bool { return r.Region == c.Region })
					if c.Operation != "cloudtrail:LookupEvents" || c.Requests < 250 || i < 0 {
						continue
					}
					busy++
					rate := float64(c.Requests-c.Throttled) / sum.Regions[i].Seconds
					t.Logf("%s: %d requests, %d throttled: %.3f a second", c.Region, c.Requests, c.Throttled, rate)
					if c.Throttled*100 > c.Requests {
						t.Errorf("%s: %d of %d requests were throttled", c.Region, c.Throttled, c.Requests)
					}
					if rate < 0.9 {
						t.Errorf("%s: %.3f requests a second, of 1 that is left", c.Region, rate)
					}
				}
				if busy == 0 {
					t.Fatal("no region has requests enough to say something about the rate")
				}
			})
		})
	}
}

// A region that is denied, or off, is a gap with the reason; all others are read.
func TestDeniedRegionIsAGap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 6, Days: 10, Events: 3000}, server.Options{
			Faults: server.Faults{Deny: []server.Denial{{Region: "eu-central-1", Service: "cloudtrail"}}},
		}, 0)
		sum, err := w.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !sum.Incomplete() {
			t.Fatal("nothing is said of the region that was denied")
		}
		for _, p := range sum.Problems {
			if p.Region != "eu-central-1" || p.Reason != coverage.Denied {
				t.Errorf("problem %+v", p)
			}
		}
		ledgers, err := w.store.Streams(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		denied := 0
		for _, l := range ledgers {
			gaps := l.Gaps(coverage.SpanOf(today.AddDate(0, 0, -9), today))
			if l.Stream.Region != "eu-central-1" {
				if len(gaps) > 0 {
					t.Errorf("%s: %+v", l.Stream, gaps)
				}
				continue
			}
			denied++
			if len(gaps) != 1 || gaps[0].Reason != coverage.Denied || gaps[0].Detail == "" {
				t.Errorf("%s: gaps %+v", l.Stream, gaps)
			}
		}
		if denied == 0 {
			t.Fatal("no ledger of the denied region")
		}
		// A denial counts for its run only.
		w.aws.SetFaults(server.Faults{})
		w.mustRun()
		w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
	})
}

// Two collectors at once read everything once; who comes second is told so.
func TestTwoCollectors(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 7, Days: 10, Events: 3000}, server.Options{Faults: server.Faults{Latency: time.Second}}, 0)
		other := w.collector("two", w.sim.Accounts()...)
		var wg sync.WaitGroup
		var held atomic.Bool
		for _, c := range []*lookup.Collector{w.Collector, other} {
			wg.Go(func() {
				sum, err := c.Run(context.Background())
				if err != nil {
					t.Error(err)
				}
				for _, p := range sum.Problems {
					if !strings.Contains(p.Error, "another collector reads it: one") && !strings.Contains(p.Error, "another collector reads it: two") {
						t.Errorf("problem %+v", p)
					}
					held.Store(true)
				}
			})
		}
		wg.Wait()
		if !held.Load() {
			t.Error("no collector met the other")
		}
		w.mustRun()
		w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
	})
}

// A run that is cut off at any write, before or after it took effect, or whose
// time is up, leaves only what the next run mends.
func TestCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector sees the same goroutines in TestFaultsInManyWorlds")
	}
	var errCut = errors.New("cut off")
	for _, point := range []string{"lookup.events.before", "lookup.events.after", "lookup.ledger.before", "lookup.ledger.after", "store.put.after", "store.updatestream.before", "store.updatestream.after"} {
		t.Run(point, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 8, Days: 10, Events: 3000}, server.Options{Faults: server.Faults{Latency: 100 * time.Millisecond}}, 0)
				cuts := 0
				for ; cuts < 12; cuts++ {
					var n atomic.Int64
					after := int64(3 + 7*cuts)
					restore := fault.Set(func(at string) error {
						if at == point && n.Add(1) == after {
							return errCut
						}
						return nil
					})
					_, err := w.Run(context.Background())
					restore()
					if err == nil {
						break
					}
					if !errors.Is(err, errCut) {
						t.Fatal(err)
					}
				}
				if cuts == 0 {
					t.Fatalf("%s was never reached", point)
				}
				w.mustRun()
				w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
				w.checkCovered(today.AddDate(0, 0, -89), today)
			})
		})
	}
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 8, Days: 10, Events: 3000}, server.Options{Faults: server.Faults{Latency: time.Second}}, 0)
		for runs := 0; ; runs++ {
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			sum, err := w.Run(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if !sum.Unfinished {
				if runs < 2 {
					t.Fatalf("%d runs of 8 s were enough", runs)
				}
				break
			}
			if runs > 100 {
				t.Fatal("a hundred runs get nowhere")
			}
		}
		w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
	})
}

// A watch of a week finds everything, also what is delivered late, asks little
// more than a single reading would, and books it in a bounded ledger.
func TestWatchOfAWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("a week")
	}
	const days = 7
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 9, Days: 3, Events: 9000}, server.Options{
			Faults: server.Faults{Late: 2 * time.Hour, LateShare: 0.02}, Delivery: 4 * time.Minute,
			Regions: []string{"us-east-1", "eu-west-1"},
		}, 7)
		account := w.sim.Accounts()[0]
		w.Collector = w.collector("one", account)
		w.read = func(s simulate.Stream) bool {
			return s.Account == account && (s.Region == "us-east-1" || s.Region == "eu-west-1")
		}
		first := w.mustRun()
		runs, late := 0, 0
		ctx, cancel := context.WithCancel(context.Background())
		w.aws.ResetCounts()
		err := w.Watch(ctx, 5*time.Minute, func(s lookup.Summary, err error) error {
			if err != nil || len(s.Problems) > 0 {
				t.Fatalf("run %d: %v, %+v", runs, err, s.Problems)
			}
			late += s.Late
			if runs++; runs == days*24*12 {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		streams := 0
		for _, r := range first.Regions {
			streams += r.Streams
		}
		asked := w.aws.Total("cloudtrail:LookupEvents").Requests
		events := 0
		for s, ids := range w.aws.Visible(today, today.AddDate(0, 0, 8)) {
			if w.read(s) {
				events += len(ids)
			}
		}
		once := events/50 + 2*streams
		t.Logf("%d runs over %d streams, %d events: %d requests, %d late", runs, streams, events, asked, late)
		if most := once*5/2 + streams*runs; asked > most {
			t.Errorf("%d requests, want at most %d", asked, most)
		}
		if late == 0 {
			t.Error("nothing came late")
		}
		time.Sleep(27 * time.Hour)
		w.mustRun()
		w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 9))
		ledgers, err := w.store.Streams(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range ledgers {
			if n := len(l.Encode()); n > 8<<10 {
				t.Errorf("the ledger of %s takes %d bytes", l.Stream, n)
			}
		}
	})
}
