package filter_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
)

// All 93 assumptions of CloudTrail's own role are noise, and nothing else of
// the ransomware lab's core records is.
func TestCorpusServiceNoise(t *testing.T) {
	dir := os.Getenv("IAMTRACK_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(dir, "cloudtrail", "lookup-events-sans504", "lookup-events-cli-v2.json"))
	if err != nil {
		if os.Getenv("IAMTRACK_CORPUS_REQUIRED") == "1" {
			t.Fatalf("the corpus is required: %v", err)
		}
		t.Skipf("no corpus: %v", err)
	}
	f := newFilter(t, filter.Config{ServiceEvents: true})
	roles := newFilter(t, filter.Config{Roles: []string{"cloudtrailrole*"}})
	counts := map[string]int{}
	parser := event.NewParser()
	for s := event.NewSplitter(bytes.NewReader(data)); ; {
		raw, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := parser.Parse(raw.Data)
		if err != nil {
			t.Fatal(err)
		}
		counts[f.Reason(&e)]++
		counts["by role: "+roles.Reason(&e)]++
	}
	if counts[filter.Service] != 93 || counts[""] != 37 || counts["by role: role"] != 93 {
		t.Errorf("%v, want 93 of 130 to be noise", counts)
	}
}
