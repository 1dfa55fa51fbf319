package simulate_test

import (
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

func TestDefaultsAreFilledIn(t *testing.T) {
	cfg := newWorld(t, simulate.Config{}).Config()
	if cfg.Events != 24_000 || cfg.Accounts != 3 || cfg.Noise != 0.82 || cfg.End.Sub(cfg.Start) != 90*24*time.Hour || !slices.Contains(cfg.Regions, "us-east-1") {
		t.Errorf("defaults are %+v", cfg)
	}
	w := newWorld(t, simulate.Config{Regions: []string{"eu-west-3"}, Accounts: 4})
	if r := w.Regions(); !slices.Contains(r, "us-east-1") || !slices.Contains(r, "eu-north-1") {
		t.Errorf("regions %v lack the global one or those of sign-ins", r)
	}
	ids := w.Accounts()
	leading := false
	for _, id := range ids {
		if len(id) != 12 {
			t.Errorf("account id %q", id)
		}
		leading = leading || id[0] == '0'
	}
	if len(ids) != 4 || !leading {
		t.Errorf("accounts %v: want 4, one of them with a leading zero", ids)
	}
}

func TestBadConfigsAreRefused(t *testing.T) {
	for want, cfg := range map[string]simulate.Config{
		"End is missing":      {},
		"shorter than 7 days": {End: end, Days: 6},
		"Events is -1":        {End: end, Events: -1},
		"Accounts is 2":       {End: end, Accounts: 2},
		"Accounts is 41":      {End: end, Accounts: 41},
		"Noise is 0.99":       {End: end, Noise: 0.99},
		"41 regions":          {End: end, Regions: make([]string, 40)},
	} {
		if _, err := simulate.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, want %q", cfg, err, want)
		}
	}
	if _, err := simulate.New(simulate.Config{End: end, Start: end.Add(time.Hour)}); err == nil {
		t.Error("a window that ends before it starts is accepted")
	}
}

func TestWorldsOfAnyConfigAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := simulate.Config{
			Seed:     rapid.Uint64().Draw(t, "seed"),
			End:      time.Unix(rapid.Int64Range(1_600_000_000, 1_900_000_000).Draw(t, "end"), 0),
			Days:     rapid.IntRange(7, 24).Draw(t, "days"),
			Events:   rapid.IntRange(1, 3000).Draw(t, "events"),
			Accounts: rapid.IntRange(3, 6).Draw(t, "accounts"),
			Noise:    rapid.Float64Range(0.5, 0.95).Draw(t, "noise"),
			Regions:  rapid.SliceOfN(rapid.SampledFrom([]string{"us-east-1", "eu-west-1", "us-west-2", "eu-north-1"}), 1, 1).Draw(t, "regions"),
		}
		w, err := simulate.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		full := w.Config()
		n, ids, last := 0, map[string]bool{}, time.Time{}
		for r := range w.Events() {
			n++
			if ids[r.ID] || r.Time.Before(last) || r.Time.Before(full.Start) || !r.Time.Before(full.End) {
				t.Fatalf("record %s at %v: twice, out of order or outside %v to %v", r.ID, r.Time, full.Start, full.End)
			}
			ids[r.ID], last = true, r.Time
		}
		truth := w.Truth()
		if n < cfg.Events || n != truth.Counts.Records {
			t.Fatalf("%d records, declared %d, asked for %d", n, truth.Counts.Records, cfg.Events)
		}
		for _, a := range truth.Alerts {
			if !ids[a.EventID] {
				t.Fatalf("alert %s is about %s, which is not in the records", a.Rule, a.EventID)
			}
			for _, id := range a.Events {
				if !ids[id] {
					t.Fatalf("alert %s is about %s, which is not in the records", a.Rule, id)
				}
			}
		}
	})
}

// A larger world has more of everything, and what it was asked for.
func TestWorldsScale(t *testing.T) {
	type size struct{ records, people, keys, addresses int }
	measure := func(events int) size {
		w := newWorld(t, simulate.Config{Seed: 1, Events: events})
		keys, addresses := map[string]bool{}, map[string]bool{}
		n := 0
		for r := range w.Events() {
			n++
			text := string(r.JSON)
			keys[between(text, `"accessKeyId":"`)] = true
			addresses[between(text, `"sourceIPAddress":"`)] = true
		}
		return size{n, len(w.Truth().People), len(keys), len(addresses)}
	}
	small, large := measure(20_000), measure(120_000)
	for _, s := range []struct{ got, want int }{{small.records, 20_000}, {large.records, 120_000}} {
		if ratio := float64(s.got) / float64(s.want); ratio < 1 || ratio > 1.08 {
			t.Errorf("%d records where %d were asked for", s.got, s.want)
		}
	}
	if large.people < 2*small.people || large.keys < 5*small.keys || large.addresses < small.addresses*4/3 {
		t.Errorf("small %+v, large %+v", small, large)
	}
}

func between(s, before string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, `"`)
	return s
}

// The simulated account must not share what it is there to check.
func TestTheWorldSharesNoCodeWithItsExaminee(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "iamtrack/internal/") {
				t.Errorf("%s imports %s", e.Name(), i.Path.Value)
			}
		}
	}
}
