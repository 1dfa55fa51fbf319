package lookup_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// A first run stores all that the account shows, a second one nothing more.
func TestFirstRunReadsEverything(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, simulate.Config{Seed: seed + 1, Events: 12000}, server.Options{}, 0)
			first := w.mustRun()
			w.check(today.AddDate(0, 0, -90), today.Add(time.Hour))
			if first.Stored == 0 || first.Filtered == 0 || first.Alerts == 0 {
				t.Fatalf("first run: %+v", first)
			}
			if first.Throttled*100 > first.Requests {
				t.Errorf("%d of %d requests were throttled", first.Throttled, first.Requests)
			}
			second := w.mustRun()
			if second.Stored != 0 || second.Alerts != 0 {
				t.Errorf("second run stores %d events and %d alerts", second.Stored, second.Alerts)
			}
			t.Logf("%d requests for %d records in %s", first.Requests, first.Records, time.Duration(first.Seconds*1e9))
		})
	}
}

// Whatever goes wrong on the way, in the end all is stored that the account
// shows, and the ledger has no gap.
func TestFaults(t *testing.T) {
	single := []string{
		"throttle=0.3", "quota-share=0.5", "token-expiry=2s", "latency=4s", "reset=0.1", "error500=0.1",
		"duplicates=0.2", "empty-page=0.3", "clock-skew=3m", "clock-skew=-3m", "burst=300", "dense-hour=1100", "late=2h:0.05",
	}
	var all [][]string
	for i, f := range single {
		all = append(all, []string{f})
		if other := single[(i*5+3)%len(single)]; other != f {
			all = append(all, []string{f, other})
		}
	}
	if testing.Short() {
		all = all[:8]
	}
	for i, specs := range all {
		t.Run(strings.Join(specs, ","), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, err := server.ParseFaults(specs...)
				if err != nil {
					t.Fatal(err)
				}
				events := 4000
				if f.QuotaShare > 0 {
					events = 12000 // what others take shows after some requests only
				}
				w := newWorld(t, simulate.Config{Seed: uint64(i) + 10, Days: 20, Events: events, Burst: f.Burst, DenseHour: f.DenseHour},
					server.Options{Faults: f, Delivery: 2 * time.Minute}, 0)
				sum := w.mustRun()
				if share := float64(sum.Throttled) / float64(sum.Requests); f.Throttle == 0 && share > 0.01 {
					t.Errorf("%.1f %% of %d requests were throttled", 100*share, sum.Requests)
				}
				// Until what comes late has been looked for again.
				for range 3 {
					time.Sleep(26 * time.Hour)
					w.mustRun()
				}
				w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 2))
				w.checkCovered(today.AddDate(0, 0, -80), today)
			})
		})
	}
}
