package collect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/filter"
)

// corpus returns a folder of the shared CloudTrail corpus; without the corpus
// the test is skipped, unless it's required.
func corpus(t testing.TB, folder string) string {
	t.Helper()
	root := os.Getenv("IAMTRACK_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "cloudtrail", folder)
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("IAMTRACK_CORPUS_REQUIRED") != "" {
			t.Fatalf("the corpus is required: %v", err)
		}
		t.Skipf("no corpus: %v", err)
	}
	return dir
}

// keepAll opens a pipeline that filters nothing, as the corpus' counts are of
// all records.
func keepAll(t testing.TB) *collect.Pipeline {
	t.Helper()
	p := newPipeline(t)
	f, err := filter.New(filter.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p.Filter = f
	return p
}

// corpusCounts are those of the corpus' README.
var corpusCounts = []struct {
	folder          string
	records, unique int64
	core            int64 // unique
	iam, sts, login int64 // unique, where the README or its parts tell
}{
	{"sans504-s3-ransomware", 403, 282, 130, 29, 97, 4},
	{"sans504-s3-ransomware-bulk", 30477, 23981, 130, 29, 97, 4},
	{"lookup-events-sans504", 130, 130, 130, 29, 97, 4},
	{"stratus-red-team", 243, 243, 18, 8, 10, 0},
	{"trailscraper", 7, 3, 1, 0, 1, 0},
	{"traildiscover", 4, 4, 0, 0, 0, 0},
}

func TestCorpusCounts(t *testing.T) {
	for _, c := range corpusCounts {
		t.Run(c.folder, func(t *testing.T) {
			if testing.Short() && c.records > 1000 {
				t.Skip("30,000 records, in the full run")
			}
			dir := corpus(t, c.folder)
			p := keepAll(t)
			sum := mustImport(t, p, dir)
			if sum.Records != c.records || sum.Stored != c.unique || sum.Duplicates != c.records-c.unique || sum.Conflicts+sum.Rejected != 0 {
				t.Errorf("want %d records and %d stored, got %+v", c.records, c.unique, sum)
			}
			first := stateOf(t, p)
			want := map[string]int64{"iam": c.iam, "sts": c.sts, "signin": c.login, "other": c.unique - c.core}
			maps.DeleteFunc(want, func(_ string, n int64) bool { return n == 0 })
			if diff := cmp.Diff(want, first.Counts); diff != "" {
				t.Errorf("by category (-want +got):\n%s", diff)
			}
			again := mustImport(t, p, dir)
			if again.Stored+again.Conflicts+int64(again.Alerts) != 0 || again.Duplicates != c.records {
				t.Errorf("the second import: %+v", again)
			}
			if diff := cmp.Diff(first, stateOf(t, p)); diff != "" {
				t.Errorf("the second import changed something:\n%s", diff)
			}
		})
	}
}

// The folders tell of the same events in several forms: all of them, in any
// order, end with the same rows, and with what the README counts.
func TestCorpusTogether(t *testing.T) {
	if testing.Short() {
		t.Skip("60,000 records, in the full run")
	}
	folders := []string{"lookup-events-sans504", "sans504-s3-ransomware", "sans504-s3-ransomware-bulk", "stratus-red-team", "trailscraper", "traildiscover"}
	var want state
	for i := range 2 {
		p := keepAll(t)
		for _, f := range folders {
			mustImport(t, p, corpus(t, f))
		}
		got := stateOf(t, p)
		core := got.Counts["iam"] + got.Counts["sts"] + got.Counts["signin"] + got.Counts["sso"]
		if len(got.Events) != 24231 || core != 149 {
			t.Errorf("%d events, %d of them core, in the order %v", len(got.Events), core, folders)
		}
		if i > 0 {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("another order gives another state")
			}
		}
		want = got
		slices.Reverse(folders)
	}
}

// panther-analysis reuses ids for other contents: each record is accounted for,
// in any order.
func TestCorpusPanther(t *testing.T) {
	dir := corpus(t, "panther-analysis")
	p := keepAll(t)
	sum := mustImport(t, p, dir)
	if sum.Records != 241 || sum.Conflicts == 0 || sum.Rejected == 0 {
		t.Errorf("%+v", sum)
	}
	want := stateOf(t, p)
	if again := mustImport(t, p, dir); again.Duplicates+again.Rejected != 241 {
		t.Errorf("again: %+v", again)
	}
	text, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for seed := range uint64(3) {
		p := keepAll(t)
		importShuffled(t, p, lines, rand.New(rand.NewPCG(seed, 1)))
		if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
			t.Errorf("seed %d: another order gives another state:\n%s", seed, diff)
		}
	}
}

// importShuffled imports lines in random order, in files of random length.
func importShuffled(t *testing.T, p *collect.Pipeline, lines [][]byte, rng *rand.Rand) {
	t.Helper()
	lines = slices.Clone(lines)
	rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	dir := t.TempDir()
	for i := 0; len(lines) > 0; i++ {
		n := min(len(lines), 1+rng.IntN(100))
		path := writeLines(t, filepath.Join(dir, fmt.Sprint(i)+".jsonl"), lines[:n]...)
		lines = lines[n:]
		if rng.IntN(3) == 0 { // at once or a run each
			mustImport(t, p, path)
		}
	}
	mustImport(t, p, dir)
}

// The trail's records, in any order and split, end in the same state.
func TestCorpusAnySplit(t *testing.T) {
	dir := corpus(t, "sans504-s3-ransomware")
	p := keepAll(t)
	mustImport(t, p, dir)
	want := stateOf(t, p)
	var lines [][]byte
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(z)
		if err != nil {
			return err
		}
		var file struct{ Records []json.RawMessage }
		if err := json.Unmarshal(text, &file); err != nil {
			return err
		}
		for _, r := range file.Records {
			lines = append(lines, r)
		}
		return nil
	})
	if err != nil || len(lines) != 403 {
		t.Fatalf("%d records, %v", len(lines), err)
	}
	for seed := range uint64(3) {
		p := keepAll(t)
		importShuffled(t, p, lines, rand.New(rand.NewPCG(seed, 2)))
		if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
			t.Errorf("seed %d: another order gives another state:\n%s", seed, diff)
		}
	}
}

// With the default filter the 93 AssumeRole events of the logging service are
// noise, counted once, and alert nobody.
func TestCorpusNoise(t *testing.T) {
	p := newPipeline(t)
	for _, f := range []string{"sans504-s3-ransomware", "lookup-events-sans504"} {
		mustImport(t, p, corpus(t, f))
	}
	s := stateOf(t, p)
	if got := int64(len(s.Filtered)); got < 93 || got+int64(len(s.Events)) != 282 {
		t.Errorf("%d filtered and %d stored, want at least 93 filtered and 282 together", got, len(s.Events))
	}
	if _, err := p.Export(context.Background(), collect.ExportOptions{Rebuild: true}); err != nil {
		t.Error(err)
	}
}
