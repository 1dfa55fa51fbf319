package lake_test

import (
	"context"
	"fmt"
	"iter"
	"syscall"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
)

// cpu is the processor time that this process has used, in nanoseconds: on a
// shared machine it says more than the clock.
func cpu() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano() + r.Stime.Nano())
}

func report(b *testing.B, start float64, rows int, bytes int64, held int64) {
	ns := (cpu() - start) / float64(rows)
	b.ReportMetric(ns, "cpu-ns/row")
	b.ReportMetric(1e9/ns, "rows/cpu-s")
	if held > 0 {
		b.ReportMetric(float64(bytes)/float64(held), "B/row")
	}
}

func seq[T any](rows []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

const benchDay event.Date = 20500 // 2026-02-16

func BenchmarkMergeNew(b *testing.B) {
	events := laketest.Traffic(1, benchDay, 100_000)
	ctx := context.Background()
	start := cpu()
	n, size := 0, int64(0)
	for b.Loop() {
		bucket, err := lake.OpenDisk(b.TempDir(), false)
		if err != nil {
			b.Fatal(err)
		}
		s, _, err := lake.New(bucket, lake.Options{}).Merge(ctx, benchDay, lake.Input{Events: seq(events)})
		if err != nil {
			b.Fatal(err)
		}
		n += len(events)
		size = s.Bytes
	}
	report(b, start, n, size, int64(len(events)))
}

func BenchmarkMergeInto(b *testing.B) {
	events := laketest.Traffic(1, benchDay, 100_000)
	ctx := context.Background()
	bucket, err := lake.OpenDisk(b.TempDir(), false)
	if err != nil {
		b.Fatal(err)
	}
	l := lake.New(bucket, lake.Options{})
	if _, _, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(events)}); err != nil {
		b.Fatal(err)
	}
	start := cpu()
	n := 0
	for i := uint64(2); b.Loop(); i++ {
		s, _, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(laketest.Traffic(i, benchDay, 100))})
		if err != nil {
			b.Fatal(err)
		}
		n += int(s.Events)
	}
	report(b, start, n, 0, 0)
}

func BenchmarkMergeSame(b *testing.B) {
	events := laketest.Traffic(1, benchDay, 100_000)
	ctx := context.Background()
	l := lake.New(lake.OpenMem(), lake.Options{})
	if _, _, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(events)}); err != nil {
		b.Fatal(err)
	}
	start := cpu()
	n := 0
	for b.Loop() {
		if _, changed, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(events)}); err != nil || changed {
			b.Fatal(changed, err)
		}
		n += len(events)
	}
	report(b, start, n, 0, 0)
}

func BenchmarkVersions(b *testing.B) {
	ctx := context.Background()
	l := lake.New(lake.OpenMem(), lake.Options{})
	if _, _, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(laketest.Traffic(1, benchDay, 100_000))}); err != nil {
		b.Fatal(err)
	}
	start := cpu()
	n := 0
	for b.Loop() {
		v, err := l.Versions(ctx, benchDay)
		if err != nil {
			b.Fatal(err)
		}
		n += len(v)
	}
	report(b, start, n, 0, 0)
}

func BenchmarkEvents(b *testing.B) {
	ctx := context.Background()
	l := lake.New(lake.OpenMem(), lake.Options{})
	if _, _, err := l.Merge(ctx, benchDay, lake.Input{Events: seq(laketest.Traffic(1, benchDay, 100_000))}); err != nil {
		b.Fatal(err)
	}
	start := cpu()
	n := 0
	for b.Loop() {
		for _, err := range l.Events(ctx, benchDay) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	report(b, start, n, 0, 0)
}

// BenchmarkElsewhere asks for keys that no day has, with 24 months of index,
// two merges a day and 300,000 keys a month.
func BenchmarkElsewhere(b *testing.B) {
	ctx := context.Background()
	bucket, err := lake.OpenDisk(b.TempDir(), false)
	if err != nil {
		b.Fatal(err)
	}
	l := lake.New(bucket, lake.Options{})
	const days, perMerge = 730, 5000
	for d := range days {
		for m := range 2 {
			if err := l.ExtendKeys(ctx, benchDay-event.Date(d), keys(d*2+m, perMerge)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, n := range []int{1, 100, 5000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			ask := keys(1_000_000, n)
			if _, err := l.Elsewhere(ctx, ask, benchDay); err != nil { // warms up
				b.Fatal(err)
			}
			start := cpu()
			asked := 0
			for b.Loop() {
				got, err := l.Elsewhere(ctx, ask, benchDay)
				if err != nil || len(got) > 0 {
					b.Fatal(len(got), err)
				}
				asked += n
			}
			b.ReportMetric((cpu()-start)/float64(asked), "cpu-ns/key")
		})
	}
	b.Run("first", func(b *testing.B) {
		ask := keys(1_000_000, 100_000)
		for b.Loop() {
			l := lake.New(bucket, lake.Options{})
			if _, err := l.Elsewhere(ctx, ask, benchDay); err != nil {
				b.Fatal(err)
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func keys(seed, n int) []event.Key {
	out := make([]event.Key, n)
	for i := range out {
		out[i] = event.Key{AccountID: laketest.Account(i % 5), EventID: fmt.Sprintf("%08x-0000-4000-8000-%012x", seed, i)}
	}
	return out
}

// BenchmarkMergeSmall is a day of 240 events and 1,140 filtered records on disk,
// as an import of years makes many.
func BenchmarkMergeSmall(b *testing.B) {
	events := laketest.Traffic(1, benchDay, 240)
	var thin []event.Filtered
	for _, e := range laketest.Traffic(2, benchDay, 1140) {
		thin = append(thin, laketest.Thin(e))
	}
	ctx := context.Background()
	bucket, err := lake.OpenDisk(b.TempDir(), false)
	if err != nil {
		b.Fatal(err)
	}
	l := lake.New(bucket, lake.Options{})
	start := cpu()
	n, size := 0, int64(0)
	for b.Loop() {
		s, _, err := l.Merge(ctx, benchDay+event.Date(n), lake.Input{Events: onDay(events, n), Filtered: onDay(thin, n)})
		if err != nil {
			b.Fatal(err)
		}
		n++
		size = s.Bytes
	}
	b.ReportMetric((cpu()-start)/1e6/float64(n), "cpu-ms/day")
	b.ReportMetric(float64(size), "B/day")
}

// onDay moves rows by some days.
func onDay[T event.Event | event.Filtered](rows []T, days int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, r := range rows {
			switch r := any(&r).(type) {
			case *event.Event:
				r.EventTime += int64(days) * 24 * 3600 * 1000
			case *event.Filtered:
				r.EventTime += int64(days) * 24 * 3600 * 1000
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// BenchmarkDays reads the footers of a year of small days.
func BenchmarkDays(b *testing.B) {
	ctx := context.Background()
	bucket, err := lake.OpenDisk(b.TempDir(), false)
	if err != nil {
		b.Fatal(err)
	}
	l := lake.New(bucket, lake.Options{})
	const days = 365
	for d := range event.Date(days) {
		if _, _, err := l.Merge(ctx, benchDay+d, lake.Input{Events: seq(laketest.Traffic(1, benchDay+d, 3))}); err != nil {
			b.Fatal(err)
		}
	}
	for name, run := range map[string]func() (int, error){
		"footers": func() (int, error) { s, err := l.Days(ctx); return len(s), err },
		"list":    func() (int, error) { d, err := l.Dates(ctx); return len(d), err },
	} {
		b.Run(name, func(b *testing.B) {
			start := cpu()
			n := 0
			for b.Loop() {
				got, err := run()
				if err != nil || got != days {
					b.Fatal(got, err)
				}
				n += got
			}
			b.ReportMetric((cpu()-start)/float64(n), "cpu-ns/day")
		})
	}
}
