package collect_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

// BenchmarkImport imports simulated trail files of two years into an empty
// SQLite store and a lake on disk; an operation is the whole import.
//
// The second is the same without lineage: what that costs.
func BenchmarkImport(b *testing.B) {
	b.Run("whole", benchmarkImport)
	b.Run("without lineage", func(b *testing.B) {
		collect.WithoutLineage(b)
		benchmarkImport(b)
	})
}

func benchmarkImport(b *testing.B) {
	ctx := context.Background()
	dir := b.TempDir()
	world, err := simulate.New(simulate.Config{Seed: 1, Days: 300, Events: 200_000, End: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		b.Fatal(err)
	}
	trail := filepath.Join(dir, "trail")
	if _, err := simulate.WriteTrail(ctx, world, trail, simulate.TrailOptions{Compress: true}); err != nil {
		b.Fatal(err)
	}
	var records int64
	for b.Loop() {
		data := b.TempDir()
		s, err := store.OpenSQLite(ctx, filepath.Join(data, "iamtrack.db"), store.SQLiteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		bucket, err := lake.OpenDisk(filepath.Join(data, "lake"), false)
		if err != nil {
			b.Fatal(err)
		}
		p := pipelineOver(b, s, bucket)
		sum, err := p.Import(ctx, collect.ImportOptions{Paths: []string{trail}})
		if err != nil {
			b.Fatal(err)
		}
		checkSum(b, sum)
		records += sum.Records
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}
