package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// What import makes of a simulated world is what the world's scripts declared:
// the alerts and their severities, and what is noise.
func TestDemoTruth(t *testing.T) {
	for _, c := range []truthCase{{seed: 42}, {1, 7, 1, false}, {2, 14, 3000, true}, {3, 21, 3000, false}, {4, 30, 4000, true}, {5, 90, 5000, false}} {
		if testing.Short() && c.days != 14 {
			continue
		}
		t.Run(fmt.Sprintf("seed=%d,days=%d,configured=%t", c.seed, c.days, c.configured), func(t *testing.T) {
			t.Parallel()
			checkTruth(t, c)
		})
	}
}

type truthCase struct {
	seed         uint64
	days, events int
	configured   bool // the settings name the management account
}

// foundAlert is the part of an alert that the truth tells.
type foundAlert struct {
	Rule, Account, EventID, Severity string
}

func checkTruth(t *testing.T, c truthCase) {
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	world, err := simulate.New(simulate.Config{Seed: c.seed, Days: c.days, Events: c.events, End: end})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := simulate.WriteTrail(t.Context(), world, dir+"/trail", simulate.TrailOptions{Compress: true}); err != nil {
		t.Fatal(err)
	}
	truth := world.Truth()
	settings := map[string]string{}
	if c.configured {
		settings["IAMTRACK_MANAGEMENT_ACCOUNT_ID"] = world.Accounts()[0]
	}
	ask := func(into any, args ...string) {
		t.Helper()
		var out, notes bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &notes, now: func() time.Time { return end },
			lookupEnv: func(name string) (string, bool) { v, ok := settings[name]; return v, ok },
		}
		args = append([]string{"--data-dir", dir + "/data", "--format", "json"}, args...)
		if code := run(context.Background(), e, args); code != exitDone {
			t.Fatalf("%q: exit code %d: %s", args, code, notes.String())
		}
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			t.Fatal(errors.Join(err, fmt.Errorf("%q prints %.200s", args, out.String())))
		}
	}

	var sum struct {
		Records, Stored, Duplicates, Conflicts, Rejected, Kept int
		Filtered                                               struct{ Service, Role int }
	}
	ask(&sum, "import", dir+"/trail")
	if sum.Records != truth.Counts.Records || sum.Filtered.Service != truth.Counts.Filtered-sum.Kept {
		t.Errorf("%d records, %d of them filtered and %d kept; the truth is %d and %d", sum.Records, sum.Filtered.Service, sum.Kept, truth.Counts.Records, truth.Counts.Filtered)
	}
	if sum.Stored+sum.Filtered.Service != sum.Records || sum.Duplicates+sum.Conflicts+sum.Rejected+sum.Filtered.Role != 0 {
		t.Errorf("the summary doesn't add up: %+v", sum)
	}

	var alerts []struct {
		Rule, Severity string
		Account        string `json:"account_id"`
		EventID        string `json:"event_id"`
	}
	ask(&alerts, "alerts", "list") // the superseded left out
	var got, want []foundAlert
	for _, a := range alerts {
		if !slices.Contains(truth.Rules, a.Rule) {
			continue
		}
		got = append(got, foundAlert{a.Rule, a.Account, a.EventID, a.Severity})
	}
	for _, a := range truth.Alerts {
		if !c.configured && a.Unconfigured != "" {
			a.Severity = a.Unconfigured
		}
		want = append(want, foundAlert{a.Rule, a.Account, a.EventID, a.Severity})
	}
	order := func(a, b foundAlert) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if len(want) < 10 {
		t.Fatalf("only %d alerts are due", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts differ (-due +found):\n%s", diff)
	}

	stored := map[string]bool{}
	var events []struct {
		EventID string `json:"event_id"`
	}
	ask(&events, "events", "--limit", "0")
	for _, ev := range events {
		stored[ev.EventID] = true
	}
	if len(events) != sum.Stored {
		t.Errorf("%d events are listed, %d were stored", len(events), sum.Stored)
	}
	kept := 0
	for ev := range truth.Events {
		if ev.Filtered && stored[ev.EventID] {
			kept++
		} else if !ev.Filtered && !stored[ev.EventID] {
			t.Errorf("event %s is no noise, and missing", ev.EventID)
		}
	}
	if kept != sum.Kept {
		t.Errorf("%d events of noise are stored, the summary says %d", kept, sum.Kept)
	}
}
