package collect_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

// importLines imports records as one file.
func importLines(t *testing.T, p *collect.Pipeline, records ...map[string]any) {
	t.Helper()
	var lines [][]byte
	for _, r := range records {
		lines = append(lines, encode(t, r))
	}
	path := writeLines(t, filepath.Join(t.TempDir(), "part.jsonl"), lines...)
	if _, err := p.Import(t.Context(), collect.ImportOptions{Paths: []string{path}}); err != nil {
		t.Fatal(err)
	}
}

// chains are the chains of all events in the lake, by event id.
func chains(t *testing.T, p *collect.Pipeline) map[string]string {
	t.Helper()
	out := map[string]string{}
	dates, err := p.Lake.Dates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dates {
		for e, err := range p.Lake.Events(t.Context(), d) {
			if err != nil {
				t.Fatal(err)
			}
			out[e.EventID] = e.ActorChain
		}
	}
	return out
}

// written is which days' files an export replaces.
func written(t *testing.T, p *collect.Pipeline, b lake.Bucket) (days int, res collect.ExportResult) {
	t.Helper()
	etags := func() map[string]string {
		list, err := b.List(t.Context(), "events/")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, o := range list {
			out[o.Key] = o.ETag
		}
		return out
	}
	before := etags()
	res, err := p.Export(t.Context(), collect.ExportOptions{Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	for key, etag := range etags() {
		if before[key] != etag {
			days++
		}
	}
	return days, res
}

// A link that arrives late rewrites the days that used its credentials, or those
// that were issued with them, and no other; a thousand late links rewrite a day
// once; and links that change nothing rewrite nothing.
func TestLateLinks(t *testing.T) {
	bucket := lake.OpenMem()
	s := store.OpenMem()
	p := pipelineOver(t, s, bucket)
	base := now.AddDate(0, 0, -5).Truncate(24 * time.Hour).Add(12 * time.Hour)
	hours := func(n int) time.Time { return base.Add(time.Duration(n) * time.Hour) }
	used := func(id string, at time.Time, n int) map[string]any {
		return rec(id, at, func(r map[string]any) { inSession(r, n) })
	}
	issued := func(id string, at time.Time, n int, by int) map[string]any {
		return rec(id, at, func(r map[string]any) {
			issue(r, n)
			if by >= 0 {
				inSession(r, by)
			}
		})
	}
	// Session 1 is used on two days, and issues session 2, which is used on the
	// second; session 3 on a third.
	importLines(t, p, used("a", hours(0), 1), used("b", hours(13), 1), issued("c", hours(1), 2, 1), used("d", hours(13), 2), used("e", hours(40), 3), rec("f", hours(80)))
	if days, _ := written(t, p, bucket); days != 4 {
		t.Fatalf("%d days", days)
	}
	want := map[string]string{"a": "r1/s", "b": "r1/s", "c": "r1/s", "d": "r1/s > r2/s", "e": "r3/s", "f": "ann"}
	check := func() {
		t.Helper()
		for id, chain := range chains(t, p) {
			if want[id] != chain {
				t.Errorf("%s: %q, want %q", id, chain, want[id])
			}
		}
	}
	check()
	// The late link comes in a day of its own.
	importLines(t, p, issued("g", hours(-14), 1, -1))
	days, res := written(t, p, bucket)
	want = map[string]string{"a": "ann > r1/s", "b": "ann > r1/s", "c": "ann > r1/s", "d": "ann > r1/s > r2/s", "e": "r3/s", "f": "ann", "g": "ann"}
	check()
	if days != 3 || res.Written != 3 {
		t.Errorf("the late link wrote %d days, %+v; want its own and two", days, res)
	}
	// The same again, and a link of something that nobody used.
	importLines(t, p, issued("g", hours(-14), 1, -1))
	if days, res := written(t, p, bucket); days != 0 || res.Written != 0 {
		t.Errorf("a repeated link wrote %d days, %+v", days, res)
	}

	// A storm.
	var uses, links []map[string]any
	for i := range 1000 {
		uses = append(uses, used(fmt.Sprint("u", i), hours(80+i%3*24), 100+i))
		links = append(links, issued(fmt.Sprint("l", i), hours(79+i%3*24), 100+i, -1))
	}
	importLines(t, p, uses...)
	written(t, p, bucket)
	for part := range slices.Chunk(links, 100) {
		importLines(t, p, part...)
	}
	if days, res := written(t, p, bucket); days != 3 || res.Written > 4 {
		t.Errorf("a thousand late links wrote %d days, %+v", days, res)
	}
	for i := range 1000 {
		want[fmt.Sprint("u", i)], want[fmt.Sprint("l", i)] = fmt.Sprintf("ann > r%d/s", 100+i), "ann"
	}
	check()
}

// opened counts how often a lake's objects are opened.
type opened struct {
	lake.Bucket
	times atomic.Int64
}

func (o *opened) Open(ctx context.Context, key string) (lake.Reader, error) {
	o.times.Add(1)
	return o.Bucket.Open(ctx, key)
}

// Many records that contradict stored ones on who was given a key: the greater
// content of each counts, in any order, and they don't each cost a pass over the
// day.
func TestManyConflicts(t *testing.T) {
	at := now.AddDate(0, 0, -100) // straight into the lake
	var a, b, uses []map[string]any
	for i := range 300 {
		id := fmt.Sprint("l", i)
		a = append(a, rec(id, at, func(r map[string]any) { issue(r, i) }))
		b = append(b, rec(id, at, func(r map[string]any) { issue(r, i); inSession(r, 1000) }))
		uses = append(uses, rec(fmt.Sprint("u", i), at, func(r map[string]any) { inSession(r, i) }))
	}
	both := make([]map[string]string, 2)
	for i, parts := range [][][]map[string]any{{a, uses, b}, {b, uses, a}} {
		bucket := &opened{Bucket: lake.OpenMem()}
		p := pipelineOver(t, store.OpenMem(), bucket)
		for _, part := range parts {
			importLines(t, p, part...)
		}
		written(t, p, bucket)
		both[i] = chains(t, p)
		if n := bucket.times.Load(); n > 60 {
			t.Errorf("%d files were opened for %d conflicts", n, len(a))
		}
	}
	if diff := cmp.Diff(both[0], both[1]); diff != "" {
		t.Error(diff)
	}
	for i := range a {
		if issuer := both[0][fmt.Sprint("l", i)]; both[0][fmt.Sprint("u", i)] != fmt.Sprintf("%s > r%d/s", issuer, i) {
			t.Fatalf("session %d: %q, issued by %q", i, both[0][fmt.Sprint("u", i)], issuer)
		}
	}
}

// A filter that drops what issued credentials cuts no chain.
func TestFilteredLinks(t *testing.T) {
	p := newPipeline(t)
	at := now.AddDate(0, 0, -3)
	importLines(t, p,
		rec("a", at, noise, func(r map[string]any) { // told by its head
			issue(r, 1)
			r["userIdentity"] = map[string]any{"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"}
		}),
		rec("b", at.Add(time.Second), func(r map[string]any) { inSession(r, 1) }),
		rec("c", at, func(r map[string]any) { // taking a role that is filtered by name
			issue(r, 2)
			r["requestParameters"] = map[string]any{"roleArn": "arn:aws:iam::012345678901:role/BigScanner", "roleSessionName": "s"}
			r["responseElements"].(map[string]any)["assumedRoleUser"] = map[string]any{"arn": "arn:aws:sts::012345678901:assumed-role/BigScanner/s"}
		}),
		rec("d", at.Add(time.Second), func(r map[string]any) { // its session, filtered, goes on
			issue(r, 3)
			r["userIdentity"] = map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::012345678901:assumed-role/BigScanner/s", "accountId": "012345678901", "accessKeyId": "ASIA2"}
		}),
		rec("e", at.Add(2*time.Second), func(r map[string]any) { inSession(r, 3) }))
	if _, err := p.Export(t.Context(), collect.ExportOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	got := chains(t, p)
	if len(got) != 2 || got["b"] != "ecs-tasks.amazonaws.com > r1/s" || got["e"] != "ann > BigScanner/s > r3/s" {
		t.Errorf("%q", got)
	}
}

// Names that the user gives are on the events at the next export, and gone when
// they are no longer given.
func TestGiveNames(t *testing.T) {
	bucket := lake.OpenMem()
	p := pipelineOver(t, store.OpenMem(), bucket)
	const storeARN = "arn:aws:identitystore::012345678901:identitystore/d-1"
	portal := func(id string, day int, user string) map[string]any {
		return rec(id, now.AddDate(0, 0, -day), func(r map[string]any) {
			r["eventSource"], r["eventName"] = "sso.amazonaws.com", "ListAccounts"
			r["userIdentity"] = map[string]any{"type": "IdentityCenterUser", "accountId": "012345678901", "onBehalfOf": map[string]any{"userId": user, "identityStoreArn": storeARN}}
		})
	}
	importLines(t, p, portal("a", 1, "u1"), portal("b", 2, "u2"), portal("c", 100, "u1"))
	written(t, p, bucket)
	for _, c := range []struct {
		name, want string
		days       int
	}{{"", "u1", 0}, {"Alice", "Alice", 2}, {"Alice", "Alice", 0}, {"Alice B.", "Alice B.", 2}, {"", "u1", 2}} {
		var names []lineage.Name
		if c.name != "" {
			names = []lineage.Name{{Node: lineage.UserNode("d-1", "u1"), Name: c.name, Source: lineage.Given}}
		}
		if err := p.GiveNames(context.Background(), names); err != nil {
			t.Fatal(err)
		}
		if days, _ := written(t, p, bucket); days != c.days {
			t.Errorf("%q: %d days written, want %d", c.name, days, c.days)
		}
		if got := chains(t, p); got["a"] != c.want || got["c"] != c.want || got["b"] != "u2" {
			t.Errorf("%q: %q", c.name, got)
		}
	}
}

// A lake of an older version, with a store that knows nothing of lineage, gets its
// actors at the first export.
func TestLineageIsLearnedOnce(t *testing.T) {
	bucket := lake.OpenMem()
	p := pipelineOver(t, store.OpenMem(), bucket)
	at := now.AddDate(0, 0, -3)
	importLines(t, p, rec("a", at, func(r map[string]any) { issue(r, 1) }), rec("b", at.Add(time.Second), func(r map[string]any) { inSession(r, 1) }))
	written(t, p, bucket)
	// As the older version wrote it.
	if _, err := p.Lake.Rebuild(t.Context(), event.DateOf(at.UnixMilli()), func(e *event.Event) error {
		if e.EventID == "b" {
			e.ActorKind, e.Actor, e.ActorChain = event.KindRoleSession, "r1/s", "r1/s"
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	fresh := pipelineOver(t, store.OpenMem(), bucket)
	if days, _ := written(t, fresh, bucket); days != 1 {
		t.Errorf("%d days written", days)
	}
	if got := chains(t, fresh); got["b"] != "ann > r1/s" {
		t.Errorf("%q", got)
	}
	if days, _ := written(t, fresh, bucket); days != 0 {
		t.Errorf("again: %d days written", days)
	}
}

// However a simulated organization arrives (shuffled, split, some of it twice,
// exports in between), each event in the lake has the actor and chain that its
// links give when all are known at once, which package lineage holds against the
// declared truth.
func TestLakeHasTheActorsOfAllLinks(t *testing.T) {
	w, err := simulate.New(simulate.Config{Seed: 11, Days: 10, Events: 6000, End: now.Truncate(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p := newPipeline(t)
	var lines [][]byte
	want := map[string]string{}
	all, o, parser := store.OpenMem(), lineage.NewObserver(), event.NewParser()
	var events []event.Event
	for r := range w.Events() {
		lines = append(lines, r.JSON)
		e, err := parser.Parse(r.JSON)
		if err != nil {
			t.Fatal(err)
		}
		o.Observe(&e, p.Filter.Reason(&e) != "")
		events = append(events, e)
	}
	if err := all.RecordLineage(t.Context(), o.Batch()); err != nil {
		t.Fatal(err)
	}
	r := lineage.NewResolver(all)
	for i := range events {
		if err := r.Fill(t.Context(), &events[i]); err != nil {
			t.Fatal(err)
		}
		want[events[i].EventID] = events[i].ActorChain
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for n, part := range slices.Collect(slices.Chunk(lines, len(lines)/5)) {
		path := writeLines(t, filepath.Join(t.TempDir(), "part.jsonl"), append(part, lines[:len(lines)/20]...)...)
		if _, err := p.Import(t.Context(), collect.ImportOptions{Paths: []string{path}}); err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			if _, err := p.Export(t.Context(), collect.ExportOptions{Wait: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := p.Export(t.Context(), collect.ExportOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	got := chains(t, p)
	if len(got) < 800 {
		t.Errorf("%d events in the lake", len(got))
	}
	for id, chain := range got {
		if chain != want[id] {
			t.Errorf("event %s: %q, want %q", id, chain, want[id])
		}
	}
}
