package laketest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// Day is the day that most tests use: 2026-02-16.
const Day event.Date = 20500

// Lake runs the tests of a lake over the bucket. They set fault hooks for the
// whole process, so nothing may run beside them.
func Lake(t *testing.T, open func(tb testing.TB) lake.Bucket) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, lake.Bucket)
	}{
		{"an empty lake", lakeEmpty},
		{"what is merged can be read", lakeRoundTrip},
		{"merging again writes nothing", lakeRepeat},
		{"the greater version stays, the other is handed out", lakeVersions},
		{"dropped contents leave the file", lakeDrop},
		{"filtered rows of former events leave the file", lakeWas},
		{"derived columns are filled, and rewritten when they change", lakeFill},
		{"files that are gone are noticed", lakeAbsent},
		{"a day that becomes empty loses its file", lakeEmptied},
		{"a stored event takes the place of a filtered row", lakeFiltered},
		{"a late event rewrites its day only", lakeLate},
		{"input out of order or of another day is refused", lakeBadInput},
		{"an input that changes while it is read loses nothing", lakeUnstable},
		{"keys are found on other days", lakeElsewhere},
		{"the key index survives loss and damage", lakeIndexRepair},
		{"many merges fold the key index", lakeFold},
		{"removal", lakeRemove},
		{"values of any size and content", lakeOddValues},
		{"merges of one day at the same time", lakeConcurrent},
		{"every fault of a merge converges", lakeFaults},
		{"every fault of a fold converges", lakeFoldFaults},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Seq yields rows without an error.
func Seq[T any](rows []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Merge merges rows in any order, or fails the test.
func Merge(tb testing.TB, l *lake.Lake, d event.Date, events []event.Event, filtered []event.Filtered) (lake.Stats, bool) {
	tb.Helper()
	s, changed, err := l.Merge(context.Background(), d, Input(events, filtered))
	if err != nil {
		tb.Fatal(err)
	}
	return s, changed
}

// Input sorts the rows into an input.
func Input(events []event.Event, filtered []event.Filtered) lake.Input {
	e, f := slices.Clone(events), slices.Clone(filtered)
	slices.SortStableFunc(e, func(a, b event.Event) int { return a.Compare(&b) })
	slices.SortStableFunc(f, compareFiltered)
	return lake.Input{Events: Seq(e), Filtered: Seq(f)}
}

func compareFiltered(a, b event.Filtered) int {
	if c := strings.Compare(a.AccountID, b.AccountID); c != 0 {
		return c
	}
	if a.EventTime != b.EventTime {
		if a.EventTime < b.EventTime {
			return -1
		}
		return 1
	}
	return strings.Compare(a.EventID, b.EventID)
}

// Collect reads a sequence to its end, or fails the test.
func Collect[T any](tb testing.TB, s iter.Seq2[T, error]) []T {
	tb.Helper()
	out := []T{}
	for v, err := range s {
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func events(tb testing.TB, l *lake.Lake, d event.Date) []event.Event {
	tb.Helper()
	return Collect(tb, l.Events(context.Background(), d))
}

// Thin makes the filtered row that stands for an event.
func Thin(e event.Event) event.Filtered {
	return event.Filtered{EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID,
		AWSRegion: e.AWSRegion, EventSource: e.EventSource, EventName: e.EventName, Reason: "service"}
}

// conflicting returns another content of the event's key, with its version.
func conflicting(e event.Event, version, name string) event.Event {
	e.EventVersion, e.EventName = version, name
	e.RecordHash = contentHash(&e)
	return e
}

func lakeEmpty(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	if got := events(t, l, Day); len(got) > 0 {
		t.Errorf("%d events", len(got))
	}
	if v, err := l.Versions(ctx, Day); v != nil || err != nil {
		t.Errorf("versions: %v, %v, want nil", v, err)
	}
	if v, err := l.FilteredKeys(ctx, Day); v != nil || err != nil {
		t.Errorf("filtered keys: %v, %v, want nil", v, err)
	}
	if d, err := l.Days(ctx); len(d) > 0 || err != nil {
		t.Errorf("days: %v, %v", d, err)
	}
	if p, err := l.Elsewhere(ctx, []event.Key{{AccountID: "1", EventID: "2"}}, Day); len(p) > 0 || err != nil {
		t.Errorf("elsewhere: %v, %v", p, err)
	}
	if _, err := l.Event(ctx, event.Key{EventID: "x"}, Day); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("event: %v, want ErrNotFound", err)
	}
	if s, changed := Merge(t, l, Day, nil, nil); changed || s.Events != 0 || s.Bytes != 0 {
		t.Errorf("merging nothing: %+v, %v", s, changed)
	}
	if err := l.Remove(ctx, []event.Date{Day}); err != nil {
		t.Errorf("remove: %v", err)
	}
	if _, err := l.Rebuild(ctx, Day, nil); err != nil {
		t.Errorf("rebuild: %v", err)
	}
	if got := names(t, b, ""); len(got) > 0 {
		t.Errorf("all this left %q", got)
	}
}

func lakeFill(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	traffic := Traffic(1, Day, 300)
	merge := func(add []event.Event, actor string) bool {
		in := Input(add, nil)
		in.Fill = func(e *event.Event) error {
			e.Actor, e.ActorKind, e.ActorChain = actor, event.KindIAMUser, actor+" > x"
			return nil
		}
		s, changed, err := l.Merge(ctx, Day, in)
		if err != nil {
			t.Fatal(err)
		}
		if s.Events == 0 || s.Bytes == 0 {
			t.Errorf("stats: %+v", s)
		}
		for _, e := range events(t, l, Day) {
			if e.Actor != actor || e.ActorChain != actor+" > x" {
				t.Fatalf("actor %q, %q, want %q", e.Actor, e.ActorChain, actor)
			}
		}
		return changed
	}
	if !merge(traffic[:200], "alice") {
		t.Error("new events changed nothing")
	}
	if merge(nil, "alice") || merge(traffic[:100], "alice") {
		t.Error("the same actors rewrote the day")
	}
	if !merge(nil, "bob") {
		t.Error("other actors didn't rewrite the day")
	}
	if !merge(traffic[200:], "bob") {
		t.Error("more events changed nothing")
	}
	failed := errors.New("no links")
	in := Input(nil, nil)
	in.Fill = func(*event.Event) error { return failed }
	if _, _, err := l.Merge(ctx, Day, in); !errors.Is(err, failed) {
		t.Errorf("an error of Fill: %v", err)
	}
	if _, err := l.Rebuild(ctx, Day, func(e *event.Event) error { e.Actor = "carol"; return nil }); err != nil {
		t.Fatal(err)
	}
	if e := events(t, l, Day); len(e) != 300 || e[0].Actor != "carol" {
		t.Errorf("rebuilt: %d events, actor %q", len(e), e[0].Actor)
	}
}

func lakeRoundTrip(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{ProgramVersion: "1.2.3"})
	want := Traffic(1, Day, 2000)
	noise := Traffic(2, Day, 500)
	var thin []event.Filtered
	for _, e := range noise {
		thin = append(thin, Thin(e))
	}
	Merge(t, l, Day, want[:700], thin[:100])
	got, changed := Merge(t, l, Day, want[500:], thin[50:])
	if !changed {
		t.Error("not changed")
	}
	if diff := cmp.Diff(want, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(thin, Collect(t, l.Filtered(ctx, Day))); diff != "" {
		t.Error(diff)
	}
	stats := lake.Stats{Date: Day, Events: 2000, Filtered: 500, Categories: map[string]int64{}}
	for _, e := range want {
		stats.Categories[e.Category]++
	}
	list, err := b.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		if !strings.HasPrefix(o.Key, "keys/") {
			stats.Bytes += o.Size
		}
	}
	if diff := cmp.Diff(stats, got); diff != "" {
		t.Errorf("merge returned: %s", diff)
	}
	days, err := l.Days(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]lake.Stats{stats}, days); diff != "" {
		t.Errorf("days: %s", diff)
	}
	versions, err := l.Versions(ctx, Day)
	if err != nil || len(versions) != len(want) {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for _, e := range want {
		if versions[e.Key()] != e.Version() {
			t.Fatalf("version of %v is %v, want %v", e.Key(), versions[e.Key()], e.Version())
		}
	}
	filtered, err := l.FilteredKeys(ctx, Day)
	if err != nil || len(filtered) != len(thin) {
		t.Fatalf("%d filtered keys, %v", len(filtered), err)
	}
	for _, i := range []int{0, 1, 777, 1999} {
		e, err := l.Event(ctx, want[i].Key(), Day)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], e); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := l.Event(ctx, want[0].Key(), Day+1); !errors.Is(err, lake.ErrNotFound) {
		t.Errorf("event of another day: %v", err)
	}
	rebuilt, err := l.Rebuild(ctx, Day, nil)
	if err != nil {
		t.Fatal(err)
	}
	rebuilt.Bytes = stats.Bytes // the compressor may find other matches
	if diff := cmp.Diff(stats, rebuilt); diff != "" {
		t.Errorf("rebuilt: %s", diff)
	}
	if diff := cmp.Diff(want, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
}

// counting counts what is written.
type counting struct {
	lake.Bucket
	writes atomic.Int64
}

func (c *counting) Create(ctx context.Context, key string) (lake.Writer, error) {
	c.writes.Add(1)
	return c.Bucket.Create(ctx, key)
}

func (c *counting) Delete(ctx context.Context, key string) error {
	c.writes.Add(1)
	return c.Bucket.Delete(ctx, key)
}

func lakeRepeat(t *testing.T, b lake.Bucket) {
	c := &counting{Bucket: b}
	rows := Traffic(1, Day, 300)
	thin := []event.Filtered{Thin(rows[0]), Thin(Traffic(2, Day, 1)[0])}
	first, _ := Merge(t, lake.New(c, lake.Options{}), Day, rows, thin)
	c.writes.Store(0)
	for what, in := range map[string][]event.Event{"all": rows, "some": rows[100:110], "nothing": nil,
		"twice": append(slices.Clone(rows), rows[7:50]...)} {
		again, changed := Merge(t, lake.New(c, lake.Options{ProgramVersion: "another"}), Day, in, thin)
		if changed || c.writes.Load() > 0 {
			t.Errorf("%s again: changed %v, %d writes", what, changed, c.writes.Load())
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%s again: %s", what, diff)
		}
	}
}

func lakeVersions(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	e := Traffic(1, Day, 1)[0]
	older, newer := conflicting(e, "1.8", "Older"), conflicting(e, "1.11", "Newer")
	newer.EventTime += 5000 // so that they don't meet in the order
	for what, batches := range map[string][][]event.Event{
		"newer later":  {{older}, {newer}},
		"older later":  {{newer}, {older}},
		"both at once": {{older, newer}},
	} {
		if err := lake.New(b, lake.Options{}).Remove(ctx, []event.Date{Day}); err != nil {
			t.Fatal(err)
		}
		l := lake.New(b, lake.Options{})
		var lost []event.Event
		for _, batch := range batches {
			in := Input(batch, nil)
			in.Lost = func(es []event.Event) error {
				lost = append(lost, es...)
				return nil
			}
			if _, _, err := l.Merge(ctx, Day, in); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]event.Event{newer}, events(t, l, Day)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if diff := cmp.Diff([]event.Event{older}, lost); diff != "" {
			t.Errorf("%s: lost: %s", what, diff)
		}
		before := events(t, l, Day)
		in := Input([]event.Event{older}, nil)
		in.Lost = func([]event.Event) error { return errors.New("no room") }
		if _, changed, err := l.Merge(ctx, Day, in); err == nil || changed {
			t.Errorf("%s: a loser that can't be kept: %v, %v", what, changed, err)
		}
		if diff := cmp.Diff(before, events(t, l, Day)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func lakeDrop(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 20)
	Merge(t, l, Day, rows[:10], nil)
	in := Input(rows[5:], nil)
	dropped := map[event.Key]event.Version{rows[3].Key(): rows[3].Version(), rows[15].Key(): rows[15].Version(),
		rows[4].Key(): {Major: 9}} // another content of a key that stays
	in.Drop = func(k event.Key, v event.Version) bool { return dropped[k] == v }
	in.Lost = func(es []event.Event) error { return fmt.Errorf("%d contents lost", len(es)) }
	s, _, err := l.Merge(ctx, Day, in)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(rows[:3], rows[4:15], rows[16:])
	if diff := cmp.Diff(want, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
	if s.Events != int64(len(want)) {
		t.Errorf("stats: %d events, want %d", s.Events, len(want))
	}
}

func lakeAbsent(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 2)
	s, _ := Merge(t, l, Day, rows[:1], []event.Filtered{Thin(rows[1])})
	empty := lake.Stats{Date: Day + 1}
	if lost, err := l.Absent(ctx, []lake.Stats{s, empty}); err != nil || len(lost) > 0 {
		t.Errorf("nothing is absent: %v, %v", lost, err)
	}
	other := s
	other.Date += 2
	for _, key := range names(t, b, "filtered/") {
		if err := b.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if lost, err := l.Absent(ctx, []lake.Stats{s, empty, other}); err != nil || !slices.Equal(lost, []event.Date{Day, Day + 2}) {
		t.Errorf("got %v, %v", lost, err)
	}
}

// What had an event once has no filtered row, old or new.
func lakeWas(t *testing.T, b lake.Bucket) {
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 4)
	thin := []event.Filtered{Thin(rows[0]), Thin(rows[1]), Thin(rows[2]), Thin(rows[3])}
	Merge(t, l, Day, nil, thin[:2])
	in := Input(nil, thin[2:])
	in.Was = func(k event.Key) bool { return k == rows[0].Key() || k == rows[2].Key() }
	s, changed, err := l.Merge(context.Background(), Day, in)
	if err != nil || !changed || s.Filtered != 2 {
		t.Errorf("got %+v, %v, %v; want two filtered rows", s, changed, err)
	}
	keys, err := l.FilteredKeys(context.Background(), Day)
	if diff := cmp.Diff(map[event.Key]struct{}{rows[1].Key(): {}, rows[3].Key(): {}}, keys); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func lakeEmptied(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 3)
	Merge(t, l, Day, rows, nil)
	in := lake.Input{Drop: func(event.Key, event.Version) bool { return true }}
	s, changed, err := l.Merge(ctx, Day, in)
	if err != nil || !changed || s.Events != 0 || s.Bytes != 0 {
		t.Errorf("got %+v, %v, %v", s, changed, err)
	}
	if got := names(t, b, "events/"); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if d, err := l.Dates(ctx); len(d) > 0 || err != nil {
		t.Errorf("dates %v, %v", d, err)
	}
	if p, err := l.Elsewhere(ctx, []event.Key{rows[0].Key()}, Day+1); len(p) > 0 || err != nil {
		t.Errorf("elsewhere %v, %v", p, err)
	}
	Merge(t, l, Day, rows, nil)
	if diff := cmp.Diff(rows, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
}

func lakeFiltered(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 3)
	var thin []event.Filtered
	for _, e := range rows {
		thin = append(thin, Thin(e))
	}
	Merge(t, l, Day, nil, thin)
	late := rows[1]
	late.EventTime++ // another content: the key alone counts
	s, _ := Merge(t, l, Day, []event.Event{late}, nil)
	if s.Events != 1 || s.Filtered != 2 {
		t.Errorf("%d events, %d filtered, want 1 and 2", s.Events, s.Filtered)
	}
	if _, changed := Merge(t, l, Day, nil, thin); changed {
		t.Error("the filtered row came back")
	}
	Merge(t, l, Day, rows, nil)
	if got := names(t, b, "filtered/"); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	if got := Collect(t, l.Filtered(ctx, Day)); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func etags(t *testing.T, b lake.Bucket, prefix string) map[string]string {
	t.Helper()
	list, err := b.List(context.Background(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range list {
		out[o.Key] = o.ETag
	}
	return out
}

func lakeLate(t *testing.T, b lake.Bucket) {
	l := lake.New(b, lake.Options{})
	for d := range event.Date(4) {
		Merge(t, l, Day+d, Traffic(1, Day+d, 50), []event.Filtered{Thin(Traffic(2, Day+d, 1)[0])})
	}
	before := etags(t, b, "")
	Merge(t, l, Day+2, Traffic(3, Day+2, 1), nil)
	for key, etag := range etags(t, b, "") {
		own := strings.Contains(key, "events/event_date="+(Day+2).String())
		index := strings.HasPrefix(key, "keys/")
		if changed := before[key] != etag; changed != (own || index) {
			t.Errorf("%s: changed %v", key, changed)
		}
	}
}

func lakeBadInput(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 3)
	slices.Reverse(rows)
	for what, in := range map[string]lake.Input{
		"reversed":    {Events: Seq(rows)},
		"another day": {Events: Seq(Traffic(1, Day+1, 1))},
		"failing": {Events: func(yield func(event.Event, error) bool) {
			_ = yield(rows[2], nil) && yield(event.Event{}, errors.New("source failed"))
		}},
		"failing filtered": {Filtered: func(yield func(event.Filtered, error) bool) {
			yield(event.Filtered{}, errors.New("source failed"))
		}},
	} {
		if _, changed, err := l.Merge(ctx, Day, in); err == nil || changed {
			t.Errorf("%s: changed %v, error %v", what, changed, err)
		}
	}
	if got := names(t, b, ""); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// lakeUnstable lets the hot store change between the two readings of the input.
func lakeUnstable(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	e := Traffic(1, Day, 1)[0]
	older, newer, newest := conflicting(e, "1.01", "A"), conflicting(e, "1.02", "B"), conflicting(e, "1.03", "C")
	Merge(t, l, Day, []event.Event{older}, nil)
	reading := 0
	in := lake.Input{Events: func(yield func(event.Event, error) bool) {
		reading++
		if reading == 1 {
			yield(newer, nil)
		} else {
			yield(newest, nil)
		}
	}}
	if _, _, err := l.Merge(ctx, Day, in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]event.Event{newest}, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
}

func lakeOddValues(t *testing.T, b lake.Bucket) {
	l := lake.New(b, lake.Options{})
	rows := Traffic(1, Day, 200)
	rows[3].RequestParameters = `{"x":"` + strings.Repeat("é\u2028x", 1<<20) + `"}`
	rows[4].Rest = strings.Repeat("\x00", 4<<20)
	rows[5].UserName = strings.Repeat("u", 3<<20) // a dictionary column
	rows[6].SourceIP = "\x00"
	rows[7].ErrorMessage = "nul \x00 and \xff\xfe no utf-8"
	rows[8].EventName = "\u202eevil\n\x1b[31m"
	rows[9].ReadOnly, rows[9].MFA = nil, nil
	no := false
	rows[10].ReadOnly = &no
	for i := 20; i < 100; i++ {
		rows[i].Rest = fmt.Sprintf("%d%s", i, strings.Repeat("0123456789abcdef", 8<<10))
	}
	Merge(t, l, Day, rows[:150], nil)
	Merge(t, l, Day, rows[100:], nil)
	if diff := cmp.Diff(rows, events(t, l, Day)); diff != "" {
		t.Error("the rows that came back differ (diff of megabytes left out)")
	}
	e, err := l.Event(context.Background(), rows[4].Key(), Day)
	if err != nil || e.Rest != rows[4].Rest {
		t.Errorf("single event: %v", err)
	}
}

func lakeRemove(t *testing.T, b lake.Bucket) {
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	for d := range event.Date(40) {
		Merge(t, l, Day+d, Traffic(1, Day+d, 3), nil)
	}
	var gone []event.Date
	for d := range event.Date(30) { // all of February's, and some of March's
		gone = append(gone, Day+d)
	}
	if err := l.Remove(ctx, gone); err != nil {
		t.Fatal(err)
	}
	dates, err := l.Dates(ctx)
	if err != nil || len(dates) != 10 || dates[0] != Day+30 {
		t.Errorf("dates %v, %v", dates, err)
	}
	if got := names(t, b, "keys/2026-02"); len(got) > 0 {
		t.Errorf("left %q", got)
	}
	keys := []event.Key{Traffic(1, Day+2, 3)[0].Key(), Traffic(1, Day+29, 3)[0].Key(), Traffic(1, Day+31, 3)[0].Key()}
	p, err := l.Elsewhere(ctx, keys, Day)
	if err != nil || len(p) != 1 || p[keys[2]][0].Date != Day+31 {
		t.Errorf("elsewhere %v, %v", p, err)
	}
}

func lakeConcurrent(t *testing.T, b lake.Bucket) {
	rows := Traffic(1, Day, 400)
	thin := make([]event.Filtered, 0, 50)
	for _, e := range Traffic(2, Day, 50) {
		thin = append(thin, Thin(e))
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			l := lake.New(b, lake.Options{}) // as another process has
			if _, _, err := l.Merge(context.Background(), Day, Input(rows[i*100:(i+1)*100], thin[i*10:i*10+20])); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l := lake.New(b, lake.Options{})
	if diff := cmp.Diff(rows, events(t, l, Day)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(thin, Collect(t, l.Filtered(context.Background(), Day))); diff != "" {
		t.Error(diff)
	}
	indexComplete(t, b)
}

// indexComplete checks that a fresh lake finds every event by its key.
func indexComplete(t *testing.T, b lake.Bucket) {
	t.Helper()
	ctx := context.Background()
	l := lake.New(b, lake.Options{})
	days, err := l.Dates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range days {
		var keys []event.Key
		for _, e := range events(t, l, d) {
			keys = append(keys, e.Key())
		}
		found, err := l.Elsewhere(ctx, keys, Day-1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if !slices.ContainsFunc(found[k], func(p lake.Place) bool { return p.Date == d }) {
				t.Fatalf("the key index doesn't know %v of %v", k, d)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
