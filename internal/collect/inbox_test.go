package collect_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
	"github.com/iamtrack/iamtrack/internal/store"
)

// inboxOver is pipelineOver as it is in AWS.
func inboxOver(t testing.TB, s store.Store, b lake.Bucket) *collect.Pipeline {
	t.Helper()
	p := pipelineOver(t, s, b)
	p.Inbox = inbox.New(b)
	return p
}

func listed(t testing.TB, b lake.Bucket, prefix string) []lake.Object {
	t.Helper()
	list, err := b.List(context.Background(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// breaking runs a step until it succeeds, while the n-th point that it passes fails.
func breaking(t *rapid.T, step func() error) {
	var mu sync.Mutex // points are passed by several goroutines
	left := rapid.IntRange(0, 40).Draw(t, "fails at")
	restore := fault.Set(func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			return errInjected
		}
		return nil
	})
	err := step()
	restore()
	if err != nil && !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	if err != nil {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// However events come, in batches of any size, several times, with failures at any
// point, and objects of the inbox that come back after they were merged: the day files
// hold what a local export makes of the same events.
func TestInboxGivesTheSameDays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawRecords(rt, t)
		local := newPipeline(t)
		importSplit(rt, t, local, lines)
		want := stateOf(t, local)

		clock := now
		s := store.OpenMem()
		s.Now = func() time.Time { clock = clock.Add(time.Minute); return clock } // leases of failed steps run out
		b := lake.OpenMem()
		p := inboxOver(t, s, b)
		seen := map[string][]byte{}
		rest := append(rapid.Permutation(lines).Draw(rt, "order"), rapid.SliceOfN(rapid.SampledFrom(lines), 0, 4).Draw(rt, "again")...)
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			var batch []collect.Live
			for _, l := range rest[:n] {
				batch = append(batch, collect.Live{Data: l, From: "test"})
			}
			rest = rest[n:]
			breaking(rt, func() error { _, err := p.Ingest(context.Background(), batch); return err })
			for _, o := range listed(t, b, "inbox/") {
				seen[o.Key], _ = laketest.Get(t, b, o.Key)
			}
			if rapid.Bool().Draw(rt, "export between") {
				breaking(rt, func() error { _, err := p.Export(context.Background(), collect.ExportOptions{}); return err })
			}
			if len(seen) > 0 && rapid.IntRange(0, 3).Draw(rt, "comes back") == 0 {
				keys := make([]string, 0, len(seen))
				for key := range seen {
					keys = append(keys, key)
				}
				slices.Sort(keys)
				key := rapid.SampledFrom(keys).Draw(rt, "which")
				if !slices.ContainsFunc(listed(t, b, "inbox/"), func(o lake.Object) bool { return o.Key == key }) {
					laketest.Put(t, b, key, seen[key], "")
				}
			}
		}
		got := stateOf(t, p)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("the inbox gives another state (-local +inbox):\n%s\nlines:\n%s", diff, joinLines(lines))
		}
		if left := listed(t, b, "inbox"); len(left) > 0 {
			rt.Fatalf("left in the inbox: %v", left)
		}
		before := listed(t, b, "")
		if res, err := p.Export(context.Background(), collect.ExportOptions{}); err != nil || res.Written > 0 || res.Days > 0 {
			rt.Fatalf("a second export: %+v, %v", res, err)
		}
		if diff := cmp.Diff(before, listed(t, b, "")); diff != "" {
			rt.Fatalf("a second export wrote:\n%s", diff)
		}
	})
}

// rowless is a store whose rows nobody may ask for.
type rowless struct{ store.Store }

var errRows = errors.New("the store's rows were asked for")

func (rowless) Day(context.Context, event.Date) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) { yield(event.Event{}, errRows) }
}

func (rowless) DayFiltered(context.Context, event.Date) iter.Seq2[event.Filtered, error] {
	return func(yield func(event.Filtered, error) bool) { yield(event.Filtered{}, errRows) }
}

// The export reads no row from the hot store, and a late event changes one day's file.
func TestInboxExportReadsNoRows(t *testing.T) {
	ctx := context.Background()
	b := lake.OpenMem()
	p := inboxOver(t, rowless{store.OpenMem()}, b)
	day := now.AddDate(0, 0, -3).Truncate(24 * time.Hour).Add(9 * time.Hour)
	ingest := func(r map[string]any) {
		t.Helper()
		if _, err := p.Ingest(ctx, []collect.Live{{Data: encode(t, r)}}); err != nil {
			t.Fatal(err)
		}
	}
	export := func() collect.ExportResult {
		t.Helper()
		res, err := p.Export(ctx, collect.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for i := range 5 {
		at := day.AddDate(0, 0, -i)
		ingest(rec("e"+at.Format(time.DateOnly), at))
		ingest(rec("n"+at.Format(time.DateOnly), at, noise))
	}
	if n := len(listed(t, b, "inbox/")); n != 10 {
		t.Errorf("%d objects of ten batches", n)
	}
	if res := export(); res.Written != 5 || len(listed(t, b, "inbox/")) > 0 {
		t.Errorf("%+v, left %v", res, listed(t, b, "inbox/"))
	}
	before := listed(t, b, "events/")
	ingest(rec("late", day.AddDate(0, 0, -2)))
	if res := export(); res.Written != 1 {
		t.Errorf("a late event: %+v", res)
	}
	changed := 0
	for i, o := range listed(t, b, "events/") {
		if o != before[i] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("a late event changed %d files", changed)
	}
	// Known noise and known events write nothing, though they come again.
	ingest(rec("late", day.AddDate(0, 0, -2)))
	if res := export(); res.Written != 0 {
		t.Errorf("the same event again: %+v", res)
	}
}

// Rows of a writer that was killed before it could make their day dirty are exported,
// and what can't be read is told of and stops nothing.
func TestInboxOfNobody(t *testing.T) {
	ctx := context.Background()
	b := lake.OpenMem()
	p := inboxOver(t, store.OpenMem(), b)
	rows := laketest.Traffic(1, laketest.Day, 30)
	if err := p.Inbox.Put(ctx, laketest.Day, rows, nil); err != nil {
		t.Fatal(err)
	}
	laketest.Put(t, b, "inbox/"+laketest.Day.String()+"/0123456789abcdef0123-e1.zst", []byte("poison"), "")
	res, err := p.Export(ctx, collect.ExportOptions{})
	if err != nil || res.Written != 1 || len(res.Unreadable) != 1 || !res.Unreadable[0].SetAside {
		t.Fatalf("%+v, %v", res, err)
	}
	n := 0
	for _, err := range p.Lake.Events(ctx, laketest.Day) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if bad := listed(t, b, "inbox-bad/"); n != len(rows) || len(bad) != 1 || !strings.Contains(bad[0].Key, "0123456789abcdef0123") {
		t.Errorf("%d rows, set aside %v", n, bad)
	}
}

// An import of many rows goes straight into the day files, beside what waits.
func TestInboxBesideImport(t *testing.T) {
	ctx := context.Background()
	day := now.AddDate(0, 0, -3).Truncate(24 * time.Hour)
	var lines [][]byte
	for i := range 2500 {
		lines = append(lines, encode(t, rec("i"+string(rune('a'+i%26))+time.Duration(i).String(), day.Add(time.Duration(i)*time.Second))))
	}
	newer := func(r map[string]any) { r["eventVersion"] = "1.10" }
	waits := [][]byte{encode(t, rec("waits", day)), encode(t, rec("i"+"a"+time.Duration(0).String(), day, newer))}
	file := writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), lines...)
	states := make([]state, 0, 2)
	for _, p := range []*collect.Pipeline{newPipeline(t), inboxOver(t, store.OpenMem(), lake.OpenMem())} {
		for _, l := range waits {
			if _, err := p.Ingest(ctx, []collect.Live{{Data: l}}); err != nil {
				t.Fatal(err)
			}
		}
		mustImport(t, p, file)
		states = append(states, stateOf(t, p))
	}
	if diff := cmp.Diff(states[0], states[1]); diff != "" {
		t.Error(diff)
	}
}

// A stack that had no lake gets one: what is in its table only comes into the lake, also
// of days of which the inbox has something, before anything is pruned.
func TestLakeComesLater(t *testing.T) {
	ctx := context.Background()
	s, b := store.OpenMem(), lake.OpenMem()
	clock := now
	table := pipelineOver(t, s, lake.OpenMem())
	table.NoLake, table.HotDays, table.Now = true, 7, func() time.Time { return clock }
	ingest := func(p *collect.Pipeline, id string, at time.Time) {
		t.Helper()
		if _, err := p.Ingest(ctx, []collect.Live{{Data: encode(t, rec(id, at)), From: "test"}}); err != nil {
			t.Fatal(err)
		}
	}
	ingest(table, "old", now.AddDate(0, 0, -20))
	ingest(table, "today", now.Add(-time.Hour))
	p := inboxOver(t, s, b)
	p.HotDays, p.Now = 7, table.Now
	ingest(p, "later", now.Add(-time.Minute))
	export := func() {
		t.Helper()
		if _, err := p.Export(ctx, collect.ExportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want ...string) {
		t.Helper()
		var got []string
		dates, err := p.Lake.Dates(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dates {
			for e, err := range p.Lake.Events(ctx, d) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.EventID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the lake has %q, want %q", got, want)
		}
	}
	export()
	has("old", "today", "later")
	// A function of the time without a lake that is still at work.
	ingest(table, "straggler", now.Add(-2*time.Hour))
	clock = clock.Add(25 * time.Hour)
	export()
	has("old", "straggler", "today", "later")
	if text, err := s.Meta(ctx, "table_only"); text != "" || err != nil {
		t.Errorf("the time without a lake isn't over: %q, %v", text, err)
	}
	ingest(p, "last", now)
	export()
	has("old", "straggler", "today", "later", "last")
}
