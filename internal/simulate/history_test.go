package simulate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// All streams of a history together are the world, each newest first, whatever
// little the history may keep.
func TestHistoryIsTheWorld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 3, Days: 8, Events: 3000})
	want := map[string]int64{}
	for r := range w.Events() {
		want[r.ID] = r.Time.Unix()
	}
	for _, limit := range []int{1, 700, 0} {
		h := w.History(limit)
		got := map[string]int64{}
		for _, account := range w.Accounts() {
			for _, region := range w.Regions() {
				last := int64(1 << 62)
				bySource := map[string]int{}
				for e := range h.Newest(account, region, "", 0, 1<<40) {
					if e.Unix() > last {
						t.Fatalf("%s %s: %d comes after %d", account, region, e.Unix(), last)
					}
					last = e.Unix()
					got[idText(e.ID())] = e.Unix()
					bySource[e.Source()]++
				}
				for source, n := range bySource {
					if k := len(slices.Collect(h.Newest(account, region, source, 0, 1<<40))); k != n {
						t.Errorf("limit %d: %s %s %s: %d events, want %d", limit, account, region, source, k, n)
					}
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}

// Both ends of a range are inclusive.
func TestHistoryBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 3, Days: 8, Events: 3000})
	h := w.History(0)
	all := slices.Collect(h.Newest(w.Accounts()[1], "us-east-1", "", 0, 1<<40))
	from, to := all[len(all)*2/3].Unix(), all[len(all)/3].Unix()
	want := 0
	for _, e := range all {
		if e.Unix() >= from && e.Unix() <= to {
			want++
		}
	}
	if got := len(slices.Collect(h.Newest(w.Accounts()[1], "us-east-1", "", from, to))); got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	for _, no := range [][3]string{{"999999999999", "us-east-1", ""}, {w.Accounts()[0], "mars-north-1", ""}, {w.Accounts()[0], "us-east-1", "iam"}} {
		for range h.Newest(no[0], no[1], no[2], 0, 1<<40) {
			t.Errorf("%v has events", no)
		}
	}
}

// What an entry says of itself is what its record says.
func TestEntryAgreesWithItsRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 5, Days: 10, Events: 4000})
	users := map[string]int{}
	for e := range w.Recorded(w.Config().Start, w.Config().End) {
		var r struct {
			EventID, EventSource, EventName, AwsRegion, RecipientAccountID string
			EventTime                                                      time.Time
			ReadOnly                                                       bool
			UserIdentity                                                   struct{ Type, UserName, ARN, AccessKeyID string }
		}
		if err := json.Unmarshal(e.Record(), &r); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(idText(e.ID()), e.Stream(), e.Name(), e.Unix(), e.ReadOnly(), e.AccessKeyID())
		want := fmt.Sprint(r.EventID, simulate.Stream{Account: r.RecipientAccountID, Region: r.AwsRegion, Source: r.EventSource}, r.EventName, r.EventTime.Unix(), r.ReadOnly, r.UserIdentity.AccessKeyID)
		if got != want {
			t.Fatalf("got %s\nwant %s\n%s", got, want, e.Record())
		}
		name := e.Username()
		users[r.UserIdentity.Type]++
		switch u := r.UserIdentity; u.Type {
		case "IAMUser", "SAMLUser", "WebIdentityUser":
			if name != u.UserName {
				t.Fatalf("user name %q, want %q", name, u.UserName)
			}
		case "Root":
			if name != "root" {
				t.Fatalf("user name %q, want root", name)
			}
		case "AssumedRole", "FederatedUser":
			if name == "" || len(name) > len(u.ARN) || u.ARN[len(u.ARN)-len(name):] != name {
				t.Fatalf("user name %q of %s", name, u.ARN)
			}
		default:
			if name != "" {
				t.Fatalf("user name %q of a %s", name, u.Type)
			}
		}
	}
	for _, kind := range []string{"IAMUser", "Root", "AssumedRole", "AWSService", "AWSAccount", "IdentityCenterUser"} {
		if users[kind] == 0 {
			t.Errorf("no %s in the world", kind)
		}
	}
}

func TestCollectable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 5, Days: 8, Events: 3000})
	cfg := w.Config()
	var got int
	for s, ids := range w.Collectable(cfg.Start, cfg.End) {
		if !slices.Contains(simulate.CollectSources, s.Source) {
			t.Errorf("stream %v is no collected one", s)
		}
		got += len(ids)
	}
	want := 0
	for source, n := range w.Truth().Counts.Sources {
		if slices.Contains(simulate.CollectSources, source+".amazonaws.com") {
			want += n
		}
	}
	if got != want || got == 0 {
		t.Errorf("%d events, want %d", got, want)
	}
}

// A burst is within one second, a dense hour within one hour, in one stream, and
// what is alerted stays the same.
func TestCrowd(t *testing.T) {
	t.Parallel()
	plain := newWorld(t, simulate.Config{Seed: 5, Days: 8, Events: 3000})
	w := newWorld(t, simulate.Config{Seed: 5, Days: 8, Events: 3000, Burst: 300, DenseHour: 1100})
	seconds, hours := map[int64]int{}, map[int64]int{}
	for e := range w.History(0).Newest(w.Accounts()[1], "us-east-1", "iam.amazonaws.com", 0, 1<<40) {
		seconds[e.Unix()]++
		hours[e.Unix()/3600]++
	}
	most := func(m map[int64]int) (n int) {
		for _, k := range m {
			n = max(n, k)
		}
		return n
	}
	if n := most(seconds); n < 300 {
		t.Errorf("at most %d events within a second", n)
	}
	if n := most(hours); n < 1100 {
		t.Errorf("at most %d events within an hour", n)
	}
	if diff := cmp.Diff(plain.Truth().Alerts, w.Truth().Alerts); diff != "" {
		t.Errorf("alerts changed:\n%s", diff)
	}
}

func idText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}
