package dynamo

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/simulate"
)

var train = flag.Uint("train", 0, "write a dictionary with that id, trained on simulated records")

// simulated returns the events of a simulated organization that a tracker would
// store, the rows of those that a filter drops, and the links of services.
func simulated(tb testing.TB, seed uint64, records int) ([]event.Event, []event.Filtered, []lineage.Link) {
	tb.Helper()
	world, err := simulate.New(simulate.Config{Seed: seed, Events: records, End: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		tb.Fatal(err)
	}
	f, err := filter.New(filter.Config{ServiceEvents: true})
	if err != nil {
		tb.Fatal(err)
	}
	var events []event.Event
	var rows []event.Filtered
	o := lineage.NewObserver()
	parser := event.NewParser()
	for r := range world.Events() {
		e, err := parser.Parse(r.JSON)
		if err != nil {
			tb.Fatal(err)
		}
		if reason := f.Reason(&e); reason != "" {
			h := event.Filtered{EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID, AWSRegion: e.AWSRegion, EventSource: e.EventSource, EventName: e.EventName, Reason: reason}
			rows = append(rows, h)
			o.Observe(&e, true)
			continue
		}
		events = append(events, e)
	}
	leaves, _ := divide(o.Batch().Links)
	return events, rows, leaves
}

// apartOf is which fields of an event stand in attributes.
func apartOf(e *event.Event) uint64 {
	apart := uint64(keyApart | 0b11)
	for _, p := range plainFields {
		if isPlain(*eventFields(e)[p.field]) {
			apart |= 1 << p.field
		}
	}
	return apart
}

// TestDictionary trains a dictionary when it is asked to, of which the file then
// belongs into pack.go. Else it sees to it that the one in use is worth its bytes.
func TestDictionary(t *testing.T) {
	if *train == 0 {
		plain, packed := 0, 0
		events, rows, leaves := simulated(t, 7, 10_000)
		t.Logf("%d bytes of a filtered row, %d of a link of a service", len(packFiltered(rows[1000:1250]))/250, len(packLeaves(leaves[500:600]))/100)
		for _, e := range events {
			p := plainEvent(&e, apartOf(&e))
			plain += len(p)
			packed += len(compress(p))
		}
		if packed*3 > plain {
			t.Fatalf("%d bytes take %d", plain, packed)
		}
		return
	}
	var samples [][]byte
	seen := 0
	for seed := range uint64(8) {
		events, rows, leaves := simulated(t, 100+seed, 20_000)
		for _, e := range events {
			if seen++; seen%4 == 0 {
				samples = append(samples, plainEvent(&e, apartOf(&e)))
			}
		}
		for i := 0; i+250 < len(rows); i += 1000 {
			samples = append(samples, filteredColumns(rows[i:i+250]).plain())
		}
		for i := 0; i+100 < len(leaves); i += 400 {
			samples = append(samples, leafColumns(leaves[i:i+100]).plain())
		}
	}
	d, err := dict.BuildZstdDict(samples, dict.Options{MaxDictSize: 32 << 10, HashBytes: 6, ZstdDictID: uint32(*train), ZstdLevel: zstd.SpeedBestCompression})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("dictionary"+string(rune('0'+*train))+".zdict", d, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d samples, %d bytes", len(samples), len(d))
}
