package simulate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

var trailName = regexp.MustCompile(`^(production-trail/)?AWSLogs/(o-[a-z0-9]{10}/)?(\d{12})/CloudTrail/([a-z0-9-]+)/(\d{4})/(\d\d)/(\d\d)/(\d{12})_CloudTrail_([a-z0-9-]+)_(\d{8})T(\d{4})Z_[A-Za-z0-9]{16}\.json(\.gz)?$`)

// readTrail returns the records of each file by its slashed path.
func readTrail(t testing.TB, dir string) map[string][]json.RawMessage {
	t.Helper()
	files := map[string][]json.RawMessage{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		var in io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				return err
			}
		}
		var body struct{ Records []json.RawMessage }
		if err := json.NewDecoder(in).Decode(&body); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = body.Records
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// smallWorld is a world for tests of files, where the default one is slow.
func smallWorld(t testing.TB) (*simulate.World, []simulate.Record) {
	t.Helper()
	w := newWorld(t, simulate.Config{Seed: 8, Days: 9, Events: 4000})
	return w, slices.Collect(w.Events())
}

func TestTrailFilesHoldEveryRecordOnce(t *testing.T) {
	w, all := smallWorld(t)
	dir := t.TempDir()
	var files, records int
	sum, err := simulate.WriteTrail(t.Context(), w, dir, simulate.TrailOptions{Compress: true, Progress: func(f, r int) {
		if f != files+1 || r <= records {
			t.Errorf("progress went from %d files, %d records to %d, %d", files, records, f, r)
		}
		files, records = f, r
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := readTrail(t, dir)
	if sum.Files != len(got) || sum.Records != len(all) || sum.Duplicates != 0 || files != sum.Files || records != sum.Records {
		t.Errorf("summary %+v, progress %d files, %d records; there are %d files, %d records", sum, files, records, len(got), len(all))
	}
	want := map[string]string{}
	for _, e := range all {
		want[e.ID] = string(e.JSON)
	}
	for name, list := range got {
		m := trailName.FindStringSubmatch(name)
		if m == nil || m[1] != "" || m[2] == "" || m[12] != ".gz" || m[3] != m[8] || m[4] != m[9] || m[5]+m[6]+m[7] != m[10] {
			t.Fatalf("file name %s", name)
		}
		delivered, err := time.Parse("200601021504", m[10]+m[11])
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range list {
			var r struct {
				EventID, AWSRegion, RecipientAccountID string
				EventTime                              time.Time
			}
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			if want[r.EventID] != string(raw) {
				t.Fatalf("%s in %s is a second time or another record", r.EventID, name)
			}
			delete(want, r.EventID)
			if r.AWSRegion != m[4] || r.RecipientAccountID != m[3] {
				t.Errorf("%s of %s in %s lies in %s", r.EventID, r.RecipientAccountID, r.AWSRegion, name)
			}
			if late := delivered.Sub(r.EventTime); late < time.Minute || late > 25*time.Hour {
				t.Errorf("%s of %v lies in a file of %v", r.EventID, r.EventTime, delivered)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d records are in no file", len(want))
	}
}

func TestSecondTrailRepeatsTheProductionAccount(t *testing.T) {
	w, all := smallWorld(t)
	dir := t.TempDir()
	sum, err := simulate.WriteTrail(t.Context(), w, dir, simulate.TrailOptions{SecondTrail: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	production := w.Accounts()[1]
	for _, e := range all {
		if e.Account == production {
			want[e.ID] = string(e.JSON)
		}
	}
	if sum.Duplicates != len(want) || sum.Records != len(all)+len(want) {
		t.Errorf("summary %+v, want %d duplicates of %d", sum, len(want), len(all))
	}
	elsewhere := 0
	for name, list := range readTrail(t, dir) {
		m := trailName.FindStringSubmatch(name)
		if m == nil {
			t.Fatalf("file name %s", name)
		}
		if m[1] == "" {
			continue
		}
		for _, raw := range list {
			var r struct{ EventID, AWSRegion string }
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			if want[r.EventID] != string(raw) {
				t.Fatalf("%s in %s is not the production account's, or differs", r.EventID, name)
			}
			delete(want, r.EventID)
			if r.AWSRegion != m[4] {
				elsewhere++
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d production records are missing in the second trail", len(want))
	}
	if elsewhere == 0 {
		t.Error("no global event lies in the home region's folder")
	}
}

func TestWritingTwiceGivesTheSameFiles(t *testing.T) {
	w := newWorld(t, simulate.Config{Seed: 8, Days: 8, Events: 2000})
	opt := simulate.TrailOptions{Compress: true, SecondTrail: true, Every: time.Hour}
	tree := func(dir string, w *simulate.World) map[string]string {
		t.Helper()
		if _, err := simulate.WriteTrail(t.Context(), w, dir, opt); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for name := range readTrail(t, dir) {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(b)
		}
		return files
	}
	dir := t.TempDir()
	first := tree(dir, w)
	if d := cmp.Diff(first, tree(dir, w)); d != "" {
		t.Error("a second run into the same folder changes it")
	}
	if d := cmp.Diff(first, tree(t.TempDir(), newWorld(t, simulate.Config{Seed: 8, Days: 8, Events: 2000}))); d != "" {
		t.Error("the same world gives other files")
	}
}

func TestWriteTrailStops(t *testing.T) {
	w := newWorld(t, simulate.Config{Seed: 8, Days: 8, Events: 2000})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate.WriteTrail(ctx, w, t.TempDir(), simulate.TrailOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error is %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	sum, err := simulate.WriteTrail(ctx, w, t.TempDir(), simulate.TrailOptions{Every: 5 * time.Minute, Progress: func(files, _ int) {
		if files == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || sum.Files < 3 {
		t.Errorf("cancelled on the way: %+v, error is %v", sum, err)
	}

	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := simulate.WriteTrail(t.Context(), w, inTheWay, simulate.TrailOptions{}); err == nil || !strings.Contains(err.Error(), inTheWay) {
		t.Errorf("a file in the way: error is %v", err)
	}
}

func BenchmarkWriteTrail(b *testing.B) {
	w := newWorld(b, simulate.Config{Seed: 1, Events: 200_000})
	for b.Loop() {
		sum, err := simulate.WriteTrail(b.Context(), w, b.TempDir(), simulate.TrailOptions{Compress: true})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(sum.Records)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	}
}
