package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// What the demo collects over the wire is what its world declared, as far as
// services are collected; none of the user's AWS settings matters, and nothing
// listens when it has ended.
func TestDemo(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_PROFILE": "nobody", "AWS_ACCESS_KEY_ID": "999999999999", "AWS_REGION": "nowhere-1", "AWS_CA_BUNDLE": "/nowhere",
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_CLOUDTRAIL": "http://127.0.0.1:1",
		"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	for _, args := range [][]string{nil, {"--seed", "7", "--days", "30", "--events", "4000"}} {
		if testing.Short() && args == nil {
			continue
		}
		t.Run(strings.Join(append(args, "."), " "), func(t *testing.T) { checkDemo(t, args) })
	}
}

func checkDemo(t *testing.T, args []string) {
	end := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	cfg := simulate.Config{Seed: 42, Days: demoDays, Events: 48_000, End: end}
	if args != nil {
		cfg.Seed, cfg.Days, cfg.Events = 7, 30, 4000
	}
	world, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command := func(args ...string) (stdout, stderr string, code int) {
		var out, notes bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &notes, version: "v0.0.0-test", now: func() time.Time { return end },
			lookupEnv: func(name string) (string, bool) {
				v, ok := map[string]string{"IAMTRACK_REGIONS": "ap-south-1", "AWS_PROFILE": "nobody", "IAMTRACK_ORGANIZATION": "true"}[name]
				return v, ok
			},
		}
		code = run(context.Background(), e, args)
		return out.String(), notes.String(), code
	}
	page, notes, code := command(append([]string{"--data-dir", dir, "demo"}, args...)...)
	if code != exitDone {
		t.Fatalf("exit code %d\n%s", code, notes)
	}
	address := regexp.MustCompile(`served at (127\.0\.0\.1:\d+)`).FindStringSubmatch(notes)
	if address == nil {
		t.Fatalf("it doesn't say where:\n%s", notes)
	}
	if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address[1]); err == nil {
		t.Errorf("it still listens at %s: %v", address[1], c.Close())
	}

	// What the event history still had: a second is lost for each that passed.
	collected := map[string]bool{}
	for _, ids := range world.Collectable(end.AddDate(0, 0, -demoDays).Add(time.Minute), end) {
		for _, id := range ids {
			collected[id] = true
		}
	}
	if n := len(world.Collectable(end.AddDate(0, 0, -demoDays), end.AddDate(0, 0, -demoDays).Add(time.Minute))); n > 0 {
		t.Fatalf("%d streams have events in the first minute: take another seed", n)
	}
	if args == nil && len(collected) < 20_000 {
		t.Errorf("the demo collects %d events", len(collected))
	}
	ask := func(into any, args ...string) {
		t.Helper()
		out, notes, code := command(append([]string{"--data-dir", dir, "--format", "json"}, args...)...)
		if code != exitDone {
			t.Fatalf("%q: exit code %d\n%s", args, code, notes)
		}
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
	}
	var events []struct {
		EventID string `json:"event_id"`
	}
	ask(&events, "events", "--limit", "0")
	stored := map[string]bool{}
	for _, ev := range events {
		stored[ev.EventID] = true
		if !collected[ev.EventID] {
			t.Errorf("event %s is stored, and can't have been collected", ev.EventID)
		}
	}
	filtered, kept := 0, 0
	for ev := range world.Truth().Events {
		switch {
		case !collected[ev.EventID]:
		case !ev.Filtered && !stored[ev.EventID]:
			t.Errorf("event %s is no noise, and missing", ev.EventID)
		case ev.Filtered && stored[ev.EventID]:
			kept++
		case ev.Filtered:
			filtered++
		}
	}
	var status struct {
		Events, Filtered, Rejected, Conflicts, Late int
		Streams                                     []struct {
			Account   string `json:"account_id"`
			Gaps      []struct{ From, To time.Time }
			LastError string `json:"last_error"`
		}
	}
	ask(&status, "status")
	if status.Events != len(stored) || status.Filtered != filtered || status.Rejected+status.Conflicts+status.Late != 0 {
		t.Errorf("%+v; the truth is %d events and %d filtered", status, len(stored), filtered)
	}
	accounts := map[string]bool{}
	for _, s := range status.Streams {
		accounts[s.Account] = true
		for _, g := range s.Gaps {
			// The commands' clock stands still, so what is lost meanwhile isn't over.
			if g.To.After(end.AddDate(0, 0, -demoDays).Add(time.Minute)) {
				t.Errorf("%+v", s)
			}
		}
		if s.LastError != "" {
			t.Errorf("%+v", s)
		}
	}
	if len(accounts) != 3 {
		t.Errorf("streams of %d accounts", len(accounts))
	}
	if diff := cmp.Diff(demoAlertsDue(world.Truth(), collected), demoAlertsFound(ask, world.Truth().Rules)); diff != "" {
		t.Errorf("alerts differ (-due +found):\n%s", diff)
	}

	_, next, _ := strings.Cut(page, "Type next")
	commands := 0
	for line := range strings.Lines(next) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "iamtrack ") {
			continue
		}
		words, err := shellWords(line)
		if err != nil {
			t.Fatal(err)
		}
		commands++
		if out, notes, code := command(words[1:]...); code != exitDone || strings.Count(out, "\n") < 3 {
			t.Errorf("%s: exit code %d\n%s%s", line, code, out, notes)
		}
	}
	if commands < 7 {
		t.Errorf("only %d commands to type next:\n%s", commands, next)
	}
}

// demoAlertsDue are the alerts that are due of what was collected: of a group,
// what is left of it.
func demoAlertsDue(truth *simulate.Truth, collected map[string]bool) []foundAlert {
	var due []foundAlert
	for _, a := range truth.Alerts {
		if len(a.Events) > 0 {
			left := slices.IndexFunc(a.Events, func(id string) bool { return collected[id] })
			if left < 0 {
				continue
			}
			a.EventID = a.Events[left]
		}
		if !collected[a.EventID] {
			continue
		}
		if a.Unconfigured != "" {
			a.Severity = a.Unconfigured
		}
		due = append(due, foundAlert{a.Rule, a.Account, a.EventID, a.Severity})
	}
	slices.SortFunc(due, func(a, b foundAlert) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return due
}

func demoAlertsFound(ask func(into any, args ...string), rules []string) []foundAlert {
	var alerts []struct {
		Rule, Severity string
		Account        string `json:"account_id"`
		EventID        string `json:"event_id"`
	}
	ask(&alerts, "alerts", "list")
	var found []foundAlert
	for _, a := range alerts {
		if slices.Contains(rules, a.Rule) {
			found = append(found, foundAlert{a.Rule, a.Account, a.EventID, a.Severity})
		}
	}
	slices.SortFunc(found, func(a, b foundAlert) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return found
}
