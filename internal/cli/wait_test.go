package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// waitToday is when waits begin.
var waitToday = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// expected is an event that is still to happen.
type expected struct {
	id, name, user, key, source, region, account string
	at                                           time.Time
}

// inBubble calls f with a simulated account whose time, and everybody's, passes
// only while all wait, and with the next event of an IAM user's.
func inBubble(t *testing.T, o server.Options, f func(*testing.T, *account, expected)) {
	// What packages keep in pools (sync.Pool), such as compressors, must not leave
	// the bubble: the second collection drops them.
	defer func() { runtime.GC(); runtime.GC() }()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(waitToday))
		world, err := simulate.New(simulate.Config{Seed: 5, Start: waitToday.AddDate(0, 0, -7), End: waitToday.AddDate(0, 0, 2), Events: 4000})
		if err != nil {
			t.Fatal(err)
		}
		var next expected
		for r := range world.Between(waitToday.Add(time.Minute), waitToday.AddDate(0, 0, 1)) {
			var e struct {
				EventName, EventSource string
				UserIdentity           struct{ Type, UserName, AccessKeyID string }
			}
			if err := json.Unmarshal(r.JSON, &e); err != nil {
				t.Fatal(err)
			}
			if r.Account == world.Accounts()[0] && e.UserIdentity.Type == "IAMUser" && e.UserIdentity.AccessKeyID != "" && e.EventSource != "sts.amazonaws.com" {
				next = expected{r.ID, e.EventName, e.UserIdentity.UserName, e.UserIdentity.AccessKeyID, e.EventSource, r.Region, r.Account, r.Time}
				break
			}
		}
		if next.id == "" {
			t.Fatal("the world has no such event")
		}
		f(t, newAccount(t, world, o, time.Now), next)
	})
}

// A wait ends seconds after CloudTrail shows the event, which is stored then, and
// found at once the next time; its requests leave room for others.
func TestWait(t *testing.T) {
	const late = 5 * time.Minute
	inBubble(t, server.Options{Delivery: late}, func(t *testing.T, a *account, next expected) {
		out, stderr, code := a.run(t.Context(), "wait", "--for", "event-name="+next.name+",user="+strings.ToUpper(next.user[:1])+next.user[1:]+"*,outcome=ok,denied,failed", "--timeout", "30h", "--format", "json")
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		var e struct {
			EventID string          `json:"event_id"`
			Record  json.RawMessage `json:"record"`
		}
		if err := json.Unmarshal([]byte(out), &e); err != nil || e.EventID != next.id || len(e.Record) == 0 {
			t.Fatalf("want %+v, got %v\n%s", next, err, out)
		}
		if took := time.Since(next.at.Add(late)); took < 0 || took > waitEvery+2*time.Second {
			t.Errorf("found %s after it could be seen", took)
		}
		c := a.aws.Total("cloudtrail:LookupEvents")
		if rate := float64(c.Requests) / time.Since(waitToday).Seconds() / float64(len(a.aws.Regions())); c.Throttled != 0 || rate > 2*waitShare {
			t.Errorf("%+v: %.2f requests a second and region", c, rate)
		}
		for _, filter := range [][]string{{"--for", next.id}, {"--event-name", next.name, "--user", next.user, "--since", "2h"}} {
			out, stderr, code := a.run(t.Context(), append([]string{"wait", "--format", "json"}, filter...)...)
			if code != 0 || !strings.Contains(out, next.id) {
				t.Errorf("%q: exit code %d\n%s%s", filter, code, out, stderr)
			}
		}
		if again := a.aws.Total("cloudtrail:LookupEvents"); again.Requests != c.Requests {
			t.Errorf("%d requests for what is stored", again.Requests-c.Requests)
		}
	})
}

// Each kind of filter finds the event: CloudTrail's own search never hides it.
func TestWaitFilters(t *testing.T) {
	inBubble(t, server.Options{Delivery: time.Minute, Faults: server.Faults{Throttle: 0.1, Reset: 0.05, EmptyPage: 0.1, TokenExpiry: 20 * time.Second}}, func(t *testing.T, a *account, next expected) {
		time.Sleep(time.Until(next.at))
		for _, filter := range []string{
			"user=" + next.user, "event-source=" + strings.TrimSuffix(next.source, ".amazonaws.com") + ",user=" + next.user,
			"region=" + next.region + ",user=" + next.user + "*", "actor=" + next.user, next.id,
			"account=" + next.account + ",event-name=" + next.name, "grep=" + next.user, "key=" + next.key,
		} {
			a.fresh()
			out, stderr, code := a.run(t.Context(), "wait", "--for", filter, "--timeout", "20m", "--since", next.at.Format(time.RFC3339), "--format", "json")
			if code != 0 || !strings.Contains(out, `"record"`) {
				t.Errorf("%s: exit code %d\n%s%s", filter, code, out, stderr)
			}
		}
	})
}

// A wait in vain says so, and why that may be; an interrupt ends it at once.
func TestWaitInVain(t *testing.T) {
	inBubble(t, server.Options{}, func(t *testing.T, a *account, next expected) {
		deny := func(regions ...string) {
			var f server.Faults
			for _, r := range regions {
				f.Deny = append(f.Deny, server.Denial{Region: r, Service: "cloudtrail"})
			}
			a.aws.SetFaults(f)
		}
		deny("eu-west-3", "eu-west-2")
		begun := time.Now()
		out, stderr, code := a.run(t.Context(), "wait", "--event-name", "NoSuchEvent")
		if code != 1 || out != "" || time.Since(begun) != 15*time.Minute {
			t.Errorf("exit code %d after %s\n%s", code, time.Since(begun), out)
		}
		for _, want := range []string{"no such event within 15m0s; 2 regions or accounts could not be read", "hint: CloudTrail delivers most events within 5 minutes", "access denied by a service control policy"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("no %q in\n%s", want, stderr)
			}
		}
		if n := strings.Count(stderr, "access denied"); n != 1 {
			t.Errorf("the same reason is told %d times\n%s", n, stderr)
		}

		deny("")
		if _, stderr, code = a.run(t.Context(), "wait", "--event-name", "NoSuchEvent"); code != 1 || !strings.Contains(stderr, "no region could be read") {
			t.Errorf("all denied: exit code %d\n%s", code, stderr)
		}

		deny()
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(90*time.Second, interrupt)
		begun = time.Now()
		if _, stderr, code = a.run(ctx, "wait", "--event-name", "NoSuchEvent"); code != 1 || !strings.Contains(stderr, "interrupted") || time.Since(begun) != 90*time.Second {
			t.Errorf("interrupted: exit code %d after %s\n%s", code, time.Since(begun), stderr)
		}
		_ = next
	})
}

func TestWaitUsage(t *testing.T) {
	a := newAccount(t, mustWorld(t), server.Options{}, time.Now)
	for args, want := range map[string]string{
		"":                                "needs to know what for",
		"--for evnt-name=x":               `unknown filter "evnt-name"`,
		"--for short":                     "neither an event id nor NAME=VALUE",
		"--for event-name=":               "event-name has no value",
		"--event-name x --timeout 0s":     "a time to wait is positive",
		"--for outcome=bad":               `unknown outcome "bad"`,
		"--event-name x --until 2d":       "--until does not apply",
		"--user x --account 000000000000": "no account and region to look in",
	} {
		_, stderr, code := a.run(t.Context(), append([]string{"wait"}, strings.Fields(args)...)...)
		if wrong := 2; code != wrong && !strings.Contains(args, "--account") || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit code %d, want %q in\n%s", args, code, want, stderr)
		}
	}
}

func mustWorld(t *testing.T) *simulate.World {
	t.Helper()
	world, err := simulate.New(simulate.Config{Seed: 5, End: waitToday, Days: 8, Events: 1000})
	if err != nil {
		t.Fatal(fmt.Errorf("make a world: %w", err))
	}
	return world
}
