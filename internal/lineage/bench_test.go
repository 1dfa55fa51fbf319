package lineage_test

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

func kept(b *testing.B) []event.Event {
	_, all := world(b, 1, 100_000)
	var events []event.Event
	for i := range all {
		if !all[i].filtered {
			events = append(events, all[i].Event)
		}
	}
	b.ResetTimer()
	return events
}

// BenchmarkObserve is what an import adds for each event that it keeps.
func BenchmarkObserve(b *testing.B) {
	events := kept(b)
	for range b.N {
		o := lineage.NewObserver()
		for i := range events {
			o.Observe(&events[i], false)
		}
		o.Batch()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

// BenchmarkFill is what an export adds for each event that it writes, lookups in
// memory.
func BenchmarkFill(b *testing.B) {
	events := kept(b)
	src, o := newMemory(), lineage.NewObserver()
	for i := range events {
		o.Observe(&events[i], false)
	}
	src.add(o.Batch())
	b.ResetTimer()
	for range b.N {
		r := lineage.NewResolver(src)
		for i := range events {
			if err := r.Fill(b.Context(), &events[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
