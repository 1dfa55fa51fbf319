package lookup_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// changing is an account whose regions, and where Identity Center is, can change.
type changing struct {
	lookup.Account
	without string // a region that is off
	named   bool   // the regions are those that somebody named
	silent  bool   // Identity Center can't be asked for
}

func (c *changing) AllRegions() bool { return !c.named }

func (c *changing) Regions(ctx context.Context) ([]string, error) {
	all, err := c.Account.Regions(ctx)
	return slices.DeleteFunc(all, func(r string) bool { return r == c.without }), err
}

func (c *changing) IdentityCenterRegions(ctx context.Context, regions []string) ([]string, error) {
	if c.silent {
		return nil, errors.New("denied")
	}
	return c.Account.IdentityCenterRegions(ctx, regions)
}

// gapsNow are what answers about the last day say of streams, and which of these
// have ended.
func (w *world) gapsNow(of func(coverage.Stream) bool) (gaps, ended, streams int) {
	w.t.Helper()
	ledgers, err := w.store.Streams(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	window := coverage.SpanOf(time.Now().AddDate(0, 0, -1), time.Now())
	for _, l := range ledgers {
		if !of(l.Stream) {
			continue
		}
		streams++
		if l.Ended != 0 {
			ended++
		}
		gaps += len(coverage.AnswerGaps([]*coverage.Ledger{l}, window, coverage.Filter{}))
	}
	return gaps, ended, streams
}

// A region that is turned off is no gap of what is asked a week later; one that was
// left out by choice is.
func TestRegionTurnedOff(t *testing.T) {
	for _, named := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			const region = "eu-central-1"
			w := newWorld(t, simulate.Config{Seed: 60, Days: 8, Events: 1500}, server.Options{}, 8)
			w.one(0)
			a := &changing{Account: w.Accounts[0]}
			w.Accounts = []lookup.Account{a}
			in := func(s coverage.Stream) bool { return s.Region == region }
			w.mustRun()
			a.without, a.named = region, named
			for range 4 {
				time.Sleep(2 * 24 * time.Hour)
				w.mustRun()
			}
			gaps, ended, streams := w.gapsNow(in)
			if streams == 0 || named && (gaps != streams || ended != 0) || !named && (gaps != 0 || ended != streams) {
				t.Errorf("named %v: %d streams, %d ended, %d gaps", named, streams, ended, gaps)
			}
			a.without = ""
			time.Sleep(2 * time.Hour)
			w.mustRun()
			if gaps, ended, _ := w.gapsNow(in); gaps != 0 || ended != 0 {
				t.Errorf("named %v, turned on again: %d ended, %d gaps", named, ended, gaps)
			}
			w.check(today.AddDate(0, 0, -80), time.Now())
		})
	}
}

// While nobody can tell where Identity Center is, it is looked for everywhere; once
// that is known, the other places end, but those that had events.
func TestIdentityCenterFoundElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, simulate.Config{Seed: 61, Days: 8, Events: 3000}, server.Options{}, 2)
		w.one(0)
		a := &changing{Account: w.Accounts[0], silent: true}
		w.Accounts = []lookup.Account{a}
		w.mustRun()
		sso := func(s coverage.Stream) bool { return coverage.OfIdentityCenter(s.Source) }
		_, ended, everywhere := w.gapsNow(sso)
		if ended != 0 || everywhere < 40 {
			t.Fatalf("%d streams, %d ended", everywhere, ended)
		}
		a.silent = false
		time.Sleep(12 * time.Hour)
		w.mustRun()
		gaps, ended, _ := w.gapsNow(sso)
		if left := everywhere - ended; gaps != 0 || left < 4 || left > 8 {
			t.Errorf("%d streams, %d ended, %d gaps", everywhere, ended, gaps)
		}
		time.Sleep(26 * time.Hour)
		w.mustRun()
		w.check(today.AddDate(0, 0, -80), time.Now())
	})
}

// With Identity Center's region named nobody is asked for it, and regions are read one
// at a time when that is asked for.
func TestNamedIdentityCenterAndWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const region = "eu-west-1"
		w := newWorld(t, simulate.Config{Seed: 62, Days: 8, Events: 800}, server.Options{}, 8)
		w.one(0)
		w.Accounts = []lookup.Account{&changing{Account: w.Accounts[0], silent: true}}
		w.IdentityCenter, w.Workers = region, 1
		w.mustRun()
		ledgers, err := w.store.Streams(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, l := range ledgers {
			if coverage.OfIdentityCenter(l.Stream.Source) {
				if found++; l.Stream.Region != region {
					t.Errorf("stream %s, Identity Center is said to be in %s", l.Stream, region)
				}
			}
		}
		if found != 4 {
			t.Errorf("%d streams of Identity Center, want 4", found)
		}
	})
}
