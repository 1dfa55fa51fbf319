package collect_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/collect"
)

func TestIngestTellsOutcomes(t *testing.T) {
	p := newPipeline(t)
	at := now.Add(-48 * time.Hour)
	other := func(r map[string]any) { r["userAgent"] = "another" }
	live := func(b []byte) collect.Live { return collect.Live{Data: b, From: "a stream"} }
	res, err := p.Ingest(context.Background(), []collect.Live{
		live(encode(t, rec("one", at))),
		live(encode(t, rec("two", at, noise))),
		live([]byte(`{"eventVersion":"1.08","eventName":"X","eventTime":"yesterday"}`)),
		live(encode(t, rec("one", at))),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := collect.Ingested{Records: 4, Stored: 1, Duplicates: 1, Filtered: 1, Rejected: 1, Alerts: res.Alerts,
		Times:    []int64{at.Unix(), at.Unix(), 0, at.Unix()},
		Outcomes: []collect.Outcome{collect.Stored, collect.FilteredOut, collect.RejectedRecord, collect.Duplicate}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Fatal(diff)
	}
	res, err = p.Ingest(context.Background(), []collect.Live{live(encode(t, rec("one", at))), live(encode(t, rec("one", at, other)))})
	if err != nil {
		t.Fatal(err)
	}
	if res.Stored != 0 || res.Duplicates != 1 || res.Conflicts != 1 {
		t.Fatalf("the same again, and another content: %+v", res)
	}
	again := live(encode(t, rec("two", at, noise)))
	res, err = p.Ingest(context.Background(), []collect.Live{again, live(encode(t, rec("three", at, noise))), live(encode(t, rec("three", at, noise)))})
	if err != nil {
		t.Fatal(err)
	}
	if res.Filtered != 1 || res.Duplicates != 2 || res.Outcomes[0] != collect.FilteredOut {
		t.Fatalf("noise again, and other noise twice: %+v", res)
	}
	if s := stateOf(t, p); len(s.Events) != 1 || len(s.Conflicts) != 1 || len(s.Rejected) != 1 || len(s.Filtered) != 2 {
		t.Fatalf("stored: %+v", s)
	}
}

// Records that come live, in whatever batches, leave what an import of a file
// with them leaves.
func TestIngestEqualsImport(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lines := drawRecords(r, t)
		imported, ingested := newPipeline(t), newPipeline(t)
		importSplit(r, t, imported, lines)
		for rest := rapid.Permutation(lines).Draw(r, "order"); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(r, "batch")
			batch := make([]collect.Live, n)
			for i := range batch {
				batch[i].Data = rest[i]
			}
			if _, err := ingested.Ingest(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(r, "again") {
				if _, err := ingested.Ingest(context.Background(), batch); err != nil {
					t.Fatal(err)
				}
			}
			rest = rest[n:]
		}
		if diff := cmp.Diff(stateOf(t, imported), stateOf(t, ingested)); diff != "" {
			r.Fatal(diff)
		}
	})
}
