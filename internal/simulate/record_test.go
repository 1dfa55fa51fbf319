package simulate_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var end = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, cfg simulate.Config) *simulate.World {
	t.Helper()
	if cfg.End.IsZero() {
		cfg.End = end
	}
	w, err := simulate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// seen is a record of the default world, read by encoding/json, with its truth.
type seen struct {
	simulate.Record
	m     map[string]any
	truth simulate.EventTruth
}

// at follows keys into the record; nil when one is missing.
func (e seen) at(path string) any {
	var v any = e.m
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (e seen) str(path string) string {
	s, _ := e.at(path).(string)
	return s
}

func decode(t testing.TB, r simulate.Record) seen {
	t.Helper()
	e := seen{Record: r}
	if err := json.Unmarshal(r.JSON, &e.m); err != nil {
		t.Fatalf("record %s: %v\n%s", r.ID, err, r.JSON)
	}
	return e
}

// world is the default world of seed 1 with all its records; made once.
var world = sync.OnceValues(func() (*simulate.World, []simulate.Record) {
	w, err := simulate.New(simulate.Config{Seed: 1, End: end})
	if err != nil {
		panic(err)
	}
	var all []simulate.Record
	for r := range w.Events() {
		all = append(all, r)
	}
	return w, all
})

var decoded = sync.OnceValues(func() ([]seen, error) {
	w, records := world()
	all := make([]seen, len(records))
	for i, r := range records {
		all[i].Record = r
		if err := json.Unmarshal(r.JSON, &all[i].m); err != nil {
			return nil, fmt.Errorf("record %s: %w\n%s", r.ID, err, r.JSON)
		}
	}
	i := 0
	for truth := range w.Truth().Events {
		if i == len(all) || all[i].ID != truth.EventID {
			return nil, fmt.Errorf("event %d of %d: truth is about %s", i, len(all), truth.EventID)
		}
		all[i].truth = truth
		i++
	}
	if i != len(all) {
		return nil, fmt.Errorf("%d records, truth about %d", len(all), i)
	}
	return all, nil
})

// everything returns the default world's records with their truth; callers do
// not change them.
func everything(t testing.TB) (*simulate.World, []seen) {
	t.Helper()
	w, _ := world()
	all, err := decoded()
	if err != nil {
		t.Fatal(err)
	}
	return w, all
}

func TestTheSeedDecidesEveryByte(t *testing.T) {
	w, all := world()
	h := sha256.New()
	for _, r := range all {
		h.Write(r.JSON)
		h.Write([]byte{'\n'})
	}
	truth := sha256.New()
	if err := simulate.WriteTruth(truth, w.Truth()); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("records %d\nsha256 %x\ntruth %x\n", len(all), h.Sum(nil), truth.Sum(nil))
	path := filepath.Join("testdata", "world.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the world of seed 1 changed; if it was meant to, run with -update:\n%s", d)
	}

	other := newWorld(t, simulate.Config{Seed: 2})
	ids := map[string]bool{}
	for _, r := range all {
		ids[r.ID] = true
	}
	for r := range other.Events() {
		if ids[r.ID] {
			t.Fatalf("seeds 1 and 2 share the event id %s", r.ID)
		}
	}
}

func TestRecordsHaveTheShapeOfCloudTrail(t *testing.T) {
	w, all := everything(t)
	regions := map[string]bool{}
	for _, r := range w.Regions() {
		regions[r] = true
	}
	versions, types, agents := map[string]int{}, map[string]int{}, map[string]int{}
	ids := map[string]bool{}
	size := 0
	for i, e := range all {
		if ids[e.ID] {
			t.Fatalf("event id %s occurs twice", e.ID)
		}
		ids[e.ID] = true
		if i > 0 && (e.Time.Before(all[i-1].Time) || e.Time.Equal(all[i-1].Time) && e.ID < all[i-1].ID) {
			t.Fatalf("%s at %v comes after %s at %v", e.ID, e.Time, all[i-1].ID, all[i-1].Time)
		}
		if e.Time.Before(w.Config().Start) || !e.Time.Before(w.Config().End) {
			t.Fatalf("%s at %v is outside the window", e.ID, e.Time)
		}
		if e.str("eventTime") != e.Time.Format("2006-01-02T15:04:05Z") || e.str("eventID") != e.ID || e.str("recipientAccountId") != e.Account || e.str("awsRegion") != e.Region {
			t.Fatalf("record and its JSON disagree: %+v\n%s", e.Time, e.JSON)
		}
		for _, key := range []string{"eventVersion", "eventSource", "eventName", "sourceIPAddress", "userAgent", "eventType", "eventCategory"} {
			if e.str(key) == "" {
				t.Fatalf("%s has no %s:\n%s", e.ID, key, e.JSON)
			}
		}
		for _, key := range []string{"requestParameters", "responseElements", "readOnly", "managementEvent", "userIdentity"} {
			if _, ok := e.m[key]; !ok {
				t.Fatalf("%s has no %s:\n%s", e.ID, key, e.JSON)
			}
		}
		if !regions[e.Region] {
			t.Fatalf("%s is in region %s, which is not the world's", e.ID, e.Region)
		}
		if e.str("eventSource") == "iam.amazonaws.com" && e.Region != "us-east-1" {
			t.Fatalf("IAM event %s is in %s", e.ID, e.Region)
		}
		versions[e.str("eventVersion")]++
		types[e.str("userIdentity.type")]++
		agents[e.str("userAgent")]++
		size += len(e.JSON)
	}
	if mean := size / len(all); mean < 1200 || mean > 1900 {
		t.Errorf("mean record is %d bytes, want 1200 to 1900", mean)
	}
	for _, v := range []string{"1.08", "1.09", "1.10", "1.11"} {
		if versions[v] == 0 {
			t.Errorf("no record of version %s", v)
		}
	}
	for _, kind := range []string{"Root", "IAMUser", "AssumedRole", "FederatedUser", "SAMLUser", "WebIdentityUser", "IdentityCenterUser", "AWSAccount", "AWSService"} {
		if types[kind] == 0 {
			t.Errorf("no identity of type %s", kind)
		}
	}
	if len(agents) < 20 {
		t.Errorf("only %d user agents", len(agents))
	}
}

func TestAnyRangeCanBeAskedForByItself(t *testing.T) {
	w, all := world()
	cfg := w.Config()
	for _, tt := range []struct {
		name     string
		from, to time.Time
	}{
		{"an hour in the day", end.Add(-50 * time.Hour), end.Add(-49 * time.Hour)},
		{"a second", all[500].Time, all[500].Time.Add(time.Second)},
		{"half a second later than an event", all[500].Time.Add(time.Second / 2), all[600].Time.Add(time.Second / 2)},
		{"the first days", cfg.Start.Add(-time.Hour), cfg.Start.Add(50 * time.Hour)},
		{"the last days", end.Add(-75 * time.Hour), end.Add(time.Hour)},
		{"nothing", end, end.Add(time.Hour)},
		{"backwards", end, cfg.Start},
	} {
		var want, got []string
		for _, r := range all {
			if !r.Time.Before(tt.from) && r.Time.Before(tt.to) {
				want = append(want, r.ID+string(r.JSON))
			}
		}
		for r := range w.Between(tt.from, tt.to) {
			got = append(got, r.ID+string(r.JSON))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, d)
		}
	}
	for r := range w.Events() { // stopping early is fine
		if r.ID != all[0].ID {
			t.Errorf("first is %s, want %s", r.ID, all[0].ID)
		}
		break
	}
}

func TestCrossAccountCallsAreRecordedOnBothSides(t *testing.T) {
	_, all := everything(t)
	shared := map[string][]seen{}
	for _, e := range all {
		if id := e.str("sharedEventID"); id != "" {
			shared[id] = append(shared[id], e)
		}
	}
	pairs := 0
	for id, copies := range shared {
		if len(copies) == 1 {
			continue // the other account is a service's or a stranger's
		}
		if len(copies) != 2 {
			t.Fatalf("sharedEventID %s occurs %d times", id, len(copies))
		}
		pairs++
		a, b := copies[0], copies[1]
		if a.str("userIdentity.type") == "AWSAccount" {
			a, b = b, a
		}
		if a.Account == b.Account || a.str("requestID") != b.str("requestID") || !a.Time.Equal(b.Time) {
			t.Errorf("copies %s and %s do not fit", a.ID, b.ID)
		}
		if b.str("userIdentity.type") != "AWSAccount" || b.str("userIdentity.accountId") != a.Account || b.str("userIdentity.principalId") != a.str("userIdentity.principalId") {
			t.Errorf("the owner's copy %s names another caller:\n%s\n%s", b.ID, a.JSON, b.JSON)
		}
		if d := cmp.Diff(a.at("responseElements"), b.at("responseElements")); d != "" {
			t.Errorf("copies %s and %s answer differently:\n%s", a.ID, b.ID, d)
		}
		if !strings.HasPrefix(a.str("responseElements.credentials.sessionToken"), simulate.TokenPrefix) {
			t.Errorf("%s has no session token", a.ID)
		}
		if d := cmp.Diff(a.truth.Chain, b.truth.Chain); d != "" {
			t.Errorf("truth of copies %s and %s differs:\n%s", a.ID, b.ID, d)
		}
	}
	if pairs < 20 {
		t.Errorf("only %d cross-account calls", pairs)
	}
}
