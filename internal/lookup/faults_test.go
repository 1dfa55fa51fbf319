package lookup_test

import (
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// Each fault in ten worlds, and each pair of faults in one, of which one account is
// read: in the end all is stored that it shows, and nothing else is claimed.
func TestFaultsInManyWorlds(t *testing.T) {
	single := []string{
		"throttle=0.3", "quota-share=0.5", "token-expiry=2s", "latency=4s", "reset=0.1", "error500=0.1",
		"duplicates=0.2", "empty-page=0.3", "clock-skew=3m", "clock-skew=-3m", "burst=300", "dense-hour=1100", "late=2h:0.05",
	}
	run := func(t *testing.T, seed uint64, specs ...string) {
		t.Helper()
		inBubble(t, func(t *testing.T) {
			f, err := server.ParseFaults(specs...)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, simulate.Config{Seed: seed, Days: 8, Events: 1500, Burst: f.Burst, DenseHour: f.DenseHour},
				server.Options{Faults: f, Delivery: 2 * time.Minute}, 0)
			w.one(int(seed % 3))
			for range 3 { // until what comes late has been looked for again
				w.mustRun()
				w.checkThrottled()
				time.Sleep(26 * time.Hour)
			}
			w.check(today.AddDate(0, 0, -90), today.AddDate(0, 0, 2))
			w.checkCovered(today.AddDate(0, 0, -80), today)
			w.checkHonest(today.AddDate(0, 0, -8), today)
		})
	}
	for i, one := range single {
		t.Run(one, func(t *testing.T) {
			for seed := range uint64(10) {
				run(t, 100*uint64(i)+seed, one)
				if testing.Short() {
					return
				}
			}
			for j, other := range single[i+1:] {
				run(t, uint64(2000+20*i+j), one, other)
			}
		})
	}
}
