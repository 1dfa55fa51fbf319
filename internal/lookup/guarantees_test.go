package lookup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// one narrows a world to an account, which is lighter.
func (w *world) one(i int) {
	account := w.sim.Accounts()[i]
	w.account = i
	w.Collector = w.collector("one", account)
	w.read = func(s simulate.Stream) bool { return s.Account == account }
}

// ledgers are the ledgers of all streams.
func (w *world) ledgers() map[simulate.Stream]*coverage.Ledger {
	w.t.Helper()
	list, err := w.store.Streams(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[simulate.Stream]*coverage.Ledger{}
	for _, l := range list {
		all[simulate.Stream{Account: l.Stream.AccountID, Region: l.Stream.Region, Source: l.Stream.Source}] = l
	}
	return all
}

// checkHonest checks that each event that happened in [from, to) in a stream that
// has a ledger is stored, or in a gap. It returns how many lie in gaps.
func (w *world) checkHonest(from, to time.Time) (missing int) {
	w.t.Helper()
	collected := map[string]bool{}
	for _, s := range simulate.CollectSources {
		collected[s] = true
	}
	got, ledgers := storedIn(w.t, w.pipe), w.ledgers()
	n := 0
	for r := range w.sim.Between(from, to) {
		var record struct {
			EventSource     string `json:"eventSource"`
			ManagementEvent *bool  `json:"managementEvent"`
		}
		if err := json.Unmarshal(r.JSON, &record); err != nil {
			w.t.Fatal(err)
		}
		s := simulate.Stream{Account: r.Account, Region: r.Region, Source: record.EventSource}
		l := ledgers[s]
		if !collected[s.Source] || l == nil || record.ManagementEvent != nil && !*record.ManagementEvent {
			continue
		}
		n++
		if got[s][r.ID] != 0 {
			continue
		}
		missing++
		second := coverage.Span{From: r.Time.Unix(), To: r.Time.Unix() + 1}
		if gaps := l.Gaps(second); len(gaps) != 1 {
			w.t.Errorf("%v: event %s of %s is not stored, and its time is claimed", s, r.ID, r.Time)
		}
	}
	if n == 0 && len(ledgers) > 20 {
		w.t.Fatal("nothing happened: this test can't fail")
	}
	return missing
}

// What CloudTrail drops while it can't be read, or is being read, becomes a gap
// that says so; all else is stored.
func TestOldestPartExpires(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector sees the same goroutines in TestFaultsInManyWorlds")
	}
	t.Run("denied for half a day", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, simulate.Config{Seed: 21, Events: 12000}, server.Options{
				Faults: server.Faults{Deny: []server.Denial{{Service: "cloudtrail"}}},
			}, 0)
			w.one(0)
			if sum, err := w.Run(context.Background()); err != nil || len(sum.Problems) == 0 {
				t.Fatal(sum, err)
			}
			time.Sleep(12 * time.Hour)
			w.aws.SetFaults(server.Faults{})
			w.mustRun()
			lost := w.checkHonest(today.AddDate(0, 0, -90), today)
			if lost == 0 {
				t.Error("nothing was lost: this test can't fail")
			}
			for s, l := range w.ledgers() {
				gaps := l.Gaps(l.Promised())
				if len(gaps) != 1 || gaps[0].From > today.AddDate(0, 0, -90).Unix()+60 || gaps[0].Reason != coverage.Expired || !strings.Contains(gaps[0].Detail, "denied") {
					t.Fatalf("%v: %+v", s, gaps)
				}
				if length := time.Duration(gaps[0].Len()) * time.Second; length < 12*time.Hour-2*time.Minute || length > 12*time.Hour+10*time.Minute {
					t.Errorf("%v: %s are gone", s, length)
				}
			}
			w.check(time.Now().AddDate(0, 0, -90), today)
		})
	})
	t.Run("while it is read", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			// So slow that reading takes hours: a request in three minutes.
			w := newWorld(t, simulate.Config{Seed: 22, Events: 40000, Noise: 0.5}, server.Options{}, 0)
			w.one(1)
			w.Rate = 1.0 / 180
			begun := time.Now()
			w.mustRun()
			if took := time.Since(begun); took < 2*time.Hour {
				t.Fatalf("it took %s only: this test can't fail", took)
			}
			lost := w.checkHonest(begun.AddDate(0, 0, -90), today)
			expired := 0
			for s, l := range w.ledgers() {
				for _, g := range l.Gaps(coverage.SpanOf(begun.AddDate(0, 0, -90), today)) {
					if g.Reason != coverage.Expired {
						t.Errorf("%v: %+v", s, g)
					}
					expired++
				}
			}
			t.Logf("%d events were dropped in %s, %d gaps", lost, time.Since(begun), expired)
			if expired == 0 {
				t.Error("nothing expired: this test can't fail")
			}
		})
	})
}

// A write that fails, as on a full disk, ends the run with its error; nothing is
// claimed that isn't stored, and the next run goes on.
func TestFullDisk(t *testing.T) {
	for _, point := range []string{
		"store.put.before", "store.record.before", "store.updatestream.before", "store.acquire.before", "collect.store.before",
	} {
		t.Run(point, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 23, Days: 20, Events: 3000}, server.Options{}, 0)
				w.one(0)
				// With the very first write or a later one.
				const free = 2
				full, visits := true, 0
				var mu sync.Mutex
				restore := fault.Set(func(at string) error {
					mu.Lock()
					defer mu.Unlock()
					if at != point {
						return nil
					}
					if visits++; full && visits > free {
						return fmt.Errorf("write: %w", store.ErrFull)
					}
					return nil
				})
				defer restore()
				for range 2 {
					if _, err := w.Run(context.Background()); !errors.Is(err, store.ErrFull) {
						t.Fatalf("the run ends with %v", err)
					}
				}
				mu.Lock()
				full = false
				mu.Unlock()
				w.checkHonest(today.AddDate(0, 0, -20), today)
				if sum := w.mustRun(); sum.Stored == 0 {
					t.Error("all was stored: this test can't fail")
				}
				w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
				w.checkCovered(today.AddDate(0, 0, -89), today)
			})
		})
	}
}

// Twenty regions, most of them empty, are read in under a minute, with no more
// requests than budgeted.
func TestEmptyRegions(t *testing.T) {
	for seed := range uint64(3) {
		inBubble(t, func(t *testing.T) {
			regions := []string{
				"us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "eu-south-1",
				"ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ca-central-1", "sa-east-1", "me-south-1", "af-south-1",
			}
			w := newWorld(t, simulate.Config{Seed: 30 + seed, Events: 5000}, server.Options{
				Regions: regions, Faults: server.Faults{Latency: 300 * time.Millisecond},
			}, 0)
			w.one(0)
			begun := time.Now()
			sum := w.mustRun()
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if sum.Throttled > 0 {
				t.Errorf("%d of %d requests were throttled", sum.Throttled, sum.Requests)
			}
			w.checkBudget(&sum)
			w.check(today.AddDate(0, 0, -90), today)
		})
	}
}

// checkBudget checks the requests of a first reading, region by region.
func (w *world) checkBudget(sum *lookup.Summary) {
	w.t.Helper()
	visible := w.aws.Visible(today.AddDate(0, 0, -91), time.Now())
	for _, r := range sum.Regions {
		budget, empty, dense := 0.0, r.Streams, 0
		for s, ids := range visible {
			if s.Account != r.AccountID || s.Region != r.Region {
				continue
			}
			budget += 1.05 * float64(len(ids)) / 50
			if len(ids) > 50 {
				dense++
				empty--
			}
		}
		if budget += 2*float64(empty) + 12*float64(dense); float64(r.Requests) > budget {
			w.t.Errorf("%s: %d requests for %d events in %d streams, %d of them dense: more than %.1f", r.Region, r.Requests, r.Events, r.Streams, dense, budget)
		}
	}
}

// A stream that is dense in one hour, and in one second, is read within the budget.
func TestBudgetOfDenseStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector sees the same goroutines in TestFaultsInManyWorlds")
	}
	for _, c := range []simulate.Config{
		{Seed: 40, Days: 30, Events: 60000, Noise: 0.5},
		{Seed: 41, Days: 30, Events: 20000, Burst: 300},
		{Seed: 42, Days: 30, Events: 20000, DenseHour: 1500},
	} {
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, c, server.Options{Faults: server.Faults{Latency: 200 * time.Millisecond, Burst: c.Burst, DenseHour: c.DenseHour}}, 0)
			w.one(1)
			sum := w.mustRun()
			w.checkBudget(&sum)
			w.check(today.AddDate(0, 0, -90), today)
		})
	}
}

// A region that never answers is a gap, and holds up no other.
func TestRegionThatNeverAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 24, Days: 10, Events: 2000}, server.Options{
			Faults: server.Faults{RegionLatency: map[string]time.Duration{"eu-central-1": time.Hour}},
		}, 0)
		w.one(0)
		sum, err := w.Run(context.Background())
		if err != nil || sum.Unfinished {
			t.Fatalf("%+v, %v", sum, err)
		}
		gaps := 0
		for s, l := range w.ledgers() {
			for _, g := range l.Gaps(coverage.SpanOf(today.AddDate(0, 0, -9), today)) {
				if gaps++; s.Region != "eu-central-1" || g.Reason != coverage.Failed || g.Detail == "" {
					t.Errorf("%v: %+v", s, g)
				}
			}
		}
		if gaps == 0 {
			t.Error("no gap")
		}
		w.aws.SetFaults(server.Faults{})
		w.mustRun()
		w.check(today.AddDate(0, 0, -90), today)
	})
}

// An hour without the network, and another without permission to list regions, or
// with other errors, are told by the ledgers while they last, and made up for.
func TestWatchSurvives(t *testing.T) {
	for name, c := range map[string]struct {
		faults server.Faults
		reason coverage.Reason // of the gap meanwhile; "": none, all is read
	}{
		"no network":      {server.Faults{Reset: 1}, coverage.Failed},
		"errors":          {server.Faults{Error500: 1}, coverage.Failed},
		"no permission":   {server.Faults{Deny: []server.Denial{{Service: "cloudtrail"}}}, coverage.Denied},
		"nothing listed":  {server.Faults{Deny: []server.Denial{{Service: "ec2"}, {Service: "account"}}}, ""},
		"all but nothing": {server.Faults{Deny: []server.Denial{{}}}, coverage.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, simulate.Config{Seed: 25, Days: 7, Events: 2500}, server.Options{Delivery: 2 * time.Minute}, 1)
				w.one(0)
				ctx, cancel := context.WithCancel(context.Background())
				begun := time.Now()
				problems, told := 0, false
				err := w.Watch(ctx, 10*time.Minute, func(s lookup.Summary, err error) error {
					if err != nil {
						return err
					}
					problems += len(s.Problems)
					since := time.Since(begun)
					switch {
					case since > 6*time.Hour:
						cancel()
					case since > 3*time.Hour:
						w.aws.SetFaults(server.Faults{})
					case since > 90*time.Minute: // longer than what was discovered is taken for true
						if told {
							break
						}
						gaps := 0
						for s, l := range w.ledgers() {
							window := coverage.SpanOf(begun.Add(time.Hour), time.Now().Add(-time.Minute))
							for _, g := range l.Gaps(coverage.Span{From: window.From, To: min(window.To, l.Until)}) {
								if gaps++; g.Reason != c.reason || g.Detail == "" || l.LastError == "" {
									t.Errorf("%v: %+v, last error %q", s, g, l.LastError)
								}
							}
						}
						if (gaps > 0) != (c.reason != "") {
							t.Errorf("%d gaps", gaps)
						}
						told = true
					case since > 30*time.Minute:
						w.aws.SetFaults(c.faults)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if problems == 0 || !told {
					t.Errorf("%d problems; looked at: %v", problems, told)
				}
				for s, l := range w.ledgers() {
					if gaps := l.Gaps(l.Promised()); len(gaps) > 0 || l.LastError != "" {
						t.Errorf("%v: %+v, last error %q", s, gaps, l.LastError)
					}
				}
				time.Sleep(26 * time.Hour)
				w.mustRun()
				w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 2))
			})
		})
	}
}

// A process that can't list the regions reads those that another found before it.
func TestRegionsFoundBefore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 26, Days: 7, Events: 2500}, server.Options{}, 1)
		w.one(0)
		w.mustRun()
		w.aws.SetFaults(server.Faults{Deny: []server.Denial{{Service: "ec2"}, {Service: "account"}}})
		time.Sleep(12 * time.Hour)
		w.one(0)
		sum, err := w.Run(context.Background())
		if err != nil || len(sum.Problems) != 1 || sum.Problems[0].Reason != coverage.Denied || sum.Problems[0].AccountID != w.sim.Accounts()[0] {
			t.Fatalf("%+v, %v", sum.Problems, err)
		}
		w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 1))
		w.checkCovered(today.AddDate(0, 0, -89), time.Now().Add(-time.Minute))
	})
}
