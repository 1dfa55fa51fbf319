package event

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus returns the folder of public test data, or skips the test.
func corpus(t testing.TB) string {
	dir := os.Getenv("IAMTRACK_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "cloudtrail", "manifest.json")); err != nil {
		if os.Getenv("IAMTRACK_CORPUS_REQUIRED") == "1" {
			t.Fatalf("the corpus is required: %v", err)
		}
		t.Skipf("no corpus: %v", err)
	}
	return filepath.Join(dir, "cloudtrail")
}

// corpusStream opens a corpus file, decompressed.
func corpusStream(t testing.TB, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func isData(path string) bool {
	path = strings.TrimSuffix(path, ".gz")
	return strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".jsonl")
}

// TestCorpus holds parsing to the counts that the corpus declares, and every
// record to the promise that it can be reassembled.
func TestCorpus(t *testing.T) {
	root := corpus(t)
	type counts struct {
		Events int
		Unique int `json:"unique_event_ids"`
		Core   int
		CoreID int `json:"core_unique_event_ids"`
		IAM    int `json:"iam"`
		STS    int `json:"sts"`
		Signin int `json:"signin"`
		SSO    int `json:"sso"`
	}
	var manifest map[string]counts
	data, err := os.ReadFile(filepath.Join(root, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	for folder, want := range manifest {
		t.Run(folder, func(t *testing.T) {
			got := counts{}
			rejected := 0
			ids, core := map[string]bool{}, map[string]bool{}
			p, again := NewParser(), NewParser()
			err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || !isData(path) || strings.Contains(path, "expected") {
					return err
				}
				s := NewSplitter(bytes.NewReader(corpusStream(t, path)))
				for {
					e, raw, err := p.Next(s)
					var reject *RejectError
					if errors.As(err, &reject) {
						rejected++
						continue
					}
					if errors.Is(err, io.EOF) {
						return nil
					}
					if err != nil {
						t.Errorf("%s: %v", path, err)
						return nil
					}
					reassembles(t, again, raw.Data, &e)
					got.Events++
					ids[e.EventID] = true
					switch e.Category {
					case CategoryIAM:
						got.IAM++
					case CategorySTS:
						got.STS++
					case CategorySignin:
						got.Signin++
					case CategorySSO:
						got.SSO++
					default:
						continue
					}
					got.Core++
					core[e.EventID] = true
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			got.Unique, got.CoreID = len(ids), len(core)
			switch folder {
			case "panther-analysis":
				// Hand-edited on purpose: 13 without eventTime, some with odd times.
				if got.Events+rejected != want.Events {
					t.Errorf("%d events and %d rejected, want %d together", got.Events, rejected, want.Events)
				}
				t.Logf("%d events, %d rejected", got.Events, rejected)
			case "traildiscover":
				if rejected != 1 { // not JSON, but its brackets match
					t.Errorf("%d rejected, want 1", rejected)
				}
				fallthrough
			default:
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if folder != "traildiscover" && rejected > 0 {
					t.Errorf("%d rejected", rejected)
				}
			}
		})
	}
}

// reassembles checks that e's columns give back the canonical redacted record,
// and that parsing it again changes nothing. raw may be an envelope.
func reassembles(t testing.TB, p *Parser, raw []byte, e *Event) {
	t.Helper()
	rec, err := e.Record()
	if err != nil {
		t.Fatalf("Record: %v\nrest: %s\nraw: %s", err, e.Rest, raw)
	}
	same, err := Canonical(rec)
	if err != nil || !bytes.Equal(rec, same) {
		t.Fatalf("record isn't canonical: %v\n%s\n%s", err, rec, same)
	}
	b, err := p.Parse(rec)
	if err != nil {
		t.Fatalf("parsing the record again: %v\n%s", err, rec)
	}
	if !bytes.Equal(p.c.out, rec) {
		t.Fatalf("redacting again changes the record\n%s\n%s", rec, p.c.out)
	}
	if d := diff(e, &b); d != "" {
		t.Fatalf("parsing the record again: %s\nraw: %s", d, raw)
	}
	if !e.valid() {
		t.Fatalf("a column isn't UTF-8: %+v", e)
	}
}

// TestCorpusForms: the records that LookupEvents wraps are those of the trail,
// so that importing both adds nothing.
func TestCorpusForms(t *testing.T) {
	root := corpus(t)
	read := func(folder string) map[Key]int64 {
		core := map[Key]int64{}
		p := NewParser()
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !isData(path) {
				return err
			}
			s := NewSplitter(bytes.NewReader(corpusStream(t, path)))
			for {
				e, _, err := p.Next(s)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if e.Category != CategoryOther {
					core[e.Key()] = e.RecordHash
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return core
	}
	trail, lookup := read("sans504-s3-ransomware"), read("lookup-events-sans504")
	if len(trail) != 130 || !maps.Equal(trail, lookup) {
		t.Errorf("%d core events in the trail, %d in the look-ups, equal %v", len(trail), len(lookup), maps.Equal(trail, lookup))
	}
}
