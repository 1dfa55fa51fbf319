//go:build integration

package dynamo_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// budget is how many write units an event that is stored may take, all in all.
const budget = 3.5

// meter sums what requests took.
type meter struct {
	mu            sync.Mutex
	writes, reads map[string]float64
}

func (m *meter) take(c dynamo.Capacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writes == nil {
		m.writes, m.reads = map[string]float64{}, map[string]float64{}
	}
	m.writes[c.Action] += c.Write
	m.reads[c.Action] += c.Read
}

func sum(units map[string]float64) (sum float64) {
	for _, n := range units {
		sum += n
	}
	return sum
}

// TestWriteUnits writes simulated days as the tracker does and sees to it that the
// budget is kept: events, indexes, manifests, presence, filtered rows, lineage,
// findings, leases. Beside it are events that come one by one. The figures that are told are of IAMTRACK_TEST_EVENTS=100000; fewer
// take as many fewer days.
func TestWriteUnits(t *testing.T) {
	records := 25_000
	if text := os.Getenv("IAMTRACK_TEST_EVENTS"); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	days := max(1, records*90/100_000)
	var absent peers.Absent
	db := connect(t, peers.DynamoDB(t), func(c *awsapi.Config) { c.HTTPClient = &absent })
	u := cost.DefaultUnits()
	for _, together := range []int{350, 1000, 1} {
		t.Run(fmt.Sprint(together), func(t *testing.T) {
			end := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
			world, err := simulate.New(simulate.Config{Seed: 3, Days: days, Events: records, End: end})
			if err != nil {
				t.Fatal(err)
			}
			var m meter
			before := absent.Units()
			s := dynamo.Open(db, table(t, db), dynamo.Options{Keep: 7 * 24 * time.Hour, Consumed: m.take})
			engine, err := rule.NewEngine(rule.Config{OffHours: rule.OffHoursConfig{Timezone: "UTC", Start: "22:00", End: "06:00"}})
			if err != nil {
				t.Fatal(err)
			}
			f, err := filter.New(filter.Config{ServiceEvents: true})
			if err != nil {
				t.Fatal(err)
			}
			p := &collect.Pipeline{Store: s, Lake: lake.New(lake.OpenMem(), lake.Options{ProgramVersion: "test"}), Rules: engine, Filter: f,
				Now: func() time.Time { return end }, HotDays: 90, Holder: t.Name()}
			var stored, filtered, eventBridge int64
			all := slices.Collect(world.Events())
			if together == 1 { // as EventBridge delivers them
				all = slices.DeleteFunc(all, func(r simulate.Record) bool { return !delivered(t, r.JSON) })
				all = all[:min(len(all), 2000)]
			}
			for batch := range slices.Chunk(all, together) {
				live := make([]collect.Live, len(batch))
				for i, r := range batch {
					live[i] = collect.Live{Data: r.JSON, From: "LookupEvents"}
				}
				got, err := p.Ingest(t.Context(), live)
				if err != nil {
					t.Fatal(err)
				}
				stored += got.Stored
				filtered += got.Filtered
				for i, o := range got.Outcomes {
					if o == collect.Stored && delivered(t, live[i].Data) {
						eventBridge++
					}
				}
			}
			each := sum(m.writes) / float64(stored)
			t.Logf("batches of %d records: %d events stored, %d filtered: %.2f write units for each stored event, %.2f for each record",
				together, stored, filtered, each, sum(m.writes)/float64(stored+filtered))
			for _, action := range slices.Sorted(maps.Keys(m.writes)) {
				t.Logf("  %-20s %.3f written, %.3f read", action, m.writes[action]/float64(stored), m.reads[action]/float64(stored))
			}
			nothing := absent.Units() - before
			read := (sum(m.reads) + nothing) / float64(stored)
			t.Logf("  %.2f read units for each stored event, %.2f of them of what isn't there", read, nothing/float64(stored))
			if together == 1 {
				if math.Abs(each-u.WriteUnitsPerRealtimeEvent) > 0.1*u.WriteUnitsPerRealtimeEvent || math.Abs(read-u.ReadUnitsPerRealtimeEvent) > 0.2*u.ReadUnitsPerRealtimeEvent {
					t.Errorf("%.2f write units and %.2f read units, and the cost page is computed with %v and %v", each, read, u.WriteUnitsPerRealtimeEvent, u.ReadUnitsPerRealtimeEvent)
				}
				return
			}
			t.Logf("  %.2f of them come by EventBridge, too", float64(eventBridge)/float64(stored))
			if got := float64(eventBridge) / float64(stored); math.Abs(got-u.RealtimeShare) > 0.1 {
				t.Errorf("%.2f of the events come by EventBridge, too, and the cost page is computed with %v", got, u.RealtimeShare)
			}
			if math.Abs(read-u.ReadUnitsPerEvent) > 0.2*u.ReadUnitsPerEvent || math.Abs(each-u.WriteUnitsPerEvent) > 0.1*u.WriteUnitsPerEvent {
				t.Errorf("%.2f write units and %.2f read units, and the cost page is computed with %v and %v", each, read, u.WriteUnitsPerEvent, u.ReadUnitsPerEvent)
			}
			if stored < 1000 || each > budget {
				t.Errorf("%d events at %.2f write units, want %.1f at most", stored, each, budget)
			}
		})
	}
}

// delivered reports whether the rule of the template asks EventBridge for a record, and
// gets it: it delivers what changes something (Amazon EventBridge User Guide, "AWS service
// events delivered via CloudTrail").
func delivered(tb testing.TB, record []byte) bool {
	var r struct {
		EventSource string `json:"eventSource"`
		ReadOnly    bool   `json:"readOnly"`
	}
	if err := json.Unmarshal(record, &r); err != nil {
		tb.Fatal(err)
	}
	return !r.ReadOnly && slices.Contains([]string{
		"iam.amazonaws.com", "signin.amazonaws.com", "sso.amazonaws.com", "sso-directory.amazonaws.com", "sso-oauth.amazonaws.com",
		"identitystore.amazonaws.com", "organizations.amazonaws.com", "cloudtrail.amazonaws.com",
	}, r.EventSource)
}

// A group of facts may grow by thousands, such as all that somebody did in a night: to
// settle it again takes what it takes to read it.
func TestReadUnitsOfAGroup(t *testing.T) {
	var absent peers.Absent
	db := connect(t, peers.DynamoDB(t), func(c *awsapi.Config) { c.HTTPClient = &absent })
	var m meter
	s := dynamo.Open(db, table(t, db), dynamo.Options{Consumed: m.take})
	fact := func(i int) rule.Fact {
		return rule.Fact{Group: "g", Rule: "r", Kind: "member", AccountID: "123456789012", EventID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), EventTime: int64(i), Actor: "alice"}
	}
	alert := func(facts []rule.Fact) []rule.Alert {
		return []rule.Alert{{ID: "a", Rule: "r", AccountID: "123456789012", EventID: facts[0].EventID}}
	}
	var facts []rule.Fact
	const many = 500
	for i := range many {
		facts = append(facts, fact(i))
	}
	if _, err := s.Record(t.Context(), store.Findings{Facts: facts}, alert); err != nil {
		t.Fatal(err)
	}
	before := sum(m.reads) + absent.Units()
	if _, err := s.Record(t.Context(), store.Findings{Facts: []rule.Fact{fact(many)}}, alert); err != nil {
		t.Fatal(err)
	}
	if took := sum(m.reads) + absent.Units() - before; took > many/5 {
		t.Errorf("one more fact in a group of %d takes %.0f read units", many, took)
	}
}
