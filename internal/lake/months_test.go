package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
)

// farAway is a day by which every month of the tests is over.
var farAway = event.DateOf(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())

// monthEvent makes an event of a day of June 2026 of which the n-th column is
// there when the n-th bit says so.
func monthEvent(day, n int, present uint64) event.Event {
	e := event.Event{
		EventID: fmt.Sprintf("%02d-%06d", day, n), EventTime: time.Date(2026, 6, day, 0, 0, 0, n*1000, time.UTC).UnixMilli(),
		AccountID: "000000000001", Category: event.CategoryIAM, Outcome: event.OutcomeOK, RecordHash: int64(n),
	}
	yes := present&1 != 0
	for i := range eventTable.fields {
		f := &eventTable.fields[i]
		if !f.optional || present>>i&1 == 0 {
			continue
		}
		if f.kind == boolean {
			*at[*bool](&e, f) = &yes
		} else if f.kind == text {
			*at[string](&e, f) = fmt.Sprintf("%s %d", f.name, n%7)
		}
	}
	return e
}

func mergeDay(t testing.TB, l *Lake, events []event.Event) {
	t.Helper()
	seq := func(yield func(event.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
	if _, _, err := l.Merge(context.Background(), events[0].Date(), Input{Events: seq}); err != nil {
		t.Fatal(err)
	}
}

// dump is every value of a Parquet file as other readers see it: a line a row,
// and event_date where the file has none.
func dump(t testing.TB, b Bucket, key string, day event.Date) []string {
	t.Helper()
	r, err := b.Open(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read from
	f, err := parquet.OpenFile(r, r.Object().Size)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, g := range f.RowGroups() {
		first := len(lines)
		lines = append(lines, make([]string, g.NumRows())...)
		for i, c := range g.ColumnChunks() {
			name := f.Schema().Columns()[i][0]
			n := first
			pages := c.Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				values := make([]parquet.Value, page.NumValues())
				if k, err := page.Values().ReadValues(values); k < len(values) {
					t.Fatal(k, err)
				}
				for _, v := range values {
					lines[n] += fmt.Sprintf("%s=%v ", name, v)
					n++
				}
			}
			_ = pages.Close()
		}
		if _, ok := f.Schema().Lookup(eventDate); !ok {
			for i := first; i < len(lines); i++ {
				lines[i] += fmt.Sprintf("%s=%v ", eventDate, parquet.Int32Value(int32(day)))
			}
		}
	}
	return lines
}

// rolledUp returns the keys of the lake's roll-ups.
func rolledUp(t testing.TB, b Bucket) []string {
	t.Helper()
	list, err := b.List(context.Background(), monthsPrefix)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return keys
}

func dayFiles(t testing.TB, b Bucket) []Object {
	t.Helper()
	list, err := b.List(context.Background(), eventsPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// rollUpAll does what is due and checks that nothing is due then.
func rollUpAll(t testing.TB, l *Lake) {
	t.Helper()
	ctx := context.Background()
	due, err := l.RollUpsDue(ctx, farAway)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range due {
		if changed, err := l.RollUp(ctx, m, farAway); err != nil || !changed {
			t.Fatalf("roll up %v: changed %v, error %v", m, changed, err)
		}
	}
	if due, err = l.RollUpsDue(ctx, farAway); err != nil || len(due) > 0 {
		t.Fatalf("still due: %v, %v", due, err)
	}
}

// A roll-up has every column of every row of its days, NULLs where they have
// them, whatever their neighbours are.
func TestRollUpEqualsItsDays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := OpenMem()
		l := New(b, Options{})
		var want []string
		for _, day := range rapid.SliceOfNDistinct(rapid.IntRange(1, 30), 2, 4, rapid.ID[int]).Draw(rt, "days") {
			n := rapid.SampledFrom([]int{1, 2, 63, 65, 600}).Draw(rt, "rows")
			masks := rapid.SliceOfN(rapid.Uint64(), 1, 8).Draw(rt, "present")
			var events []event.Event
			for i := range n {
				events = append(events, monthEvent(day, i, masks[i%len(masks)]))
			}
			mergeDay(t, l, events)
		}
		for _, o := range dayFiles(t, b) {
			d, _ := dateOfKey(o.Key, eventsPrefix)
			want = append(want, dump(t, b, o.Key, d)...)
		}
		rollUpAll(t, l)
		keys := rolledUp(t, b)
		if len(keys) != 1 || keys[0] != RollUpKey(dayFiles(t, b)) {
			rt.Fatalf("roll-ups: %v", keys)
		}
		got := dump(t, b, keys[0], 0)
		if len(got) != len(want) {
			rt.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				rt.Fatalf("row %d:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
		used, stale, err := l.VerifyRollUps(context.Background(), func(p Problem) { rt.Error(p) })
		if used != 1 || stale != 0 || err != nil {
			rt.Fatalf("verified: %d used, %d stale, %v", used, stale, err)
		}
	})
}

// The row groups of a roll-up are large, and split days where they must.
func TestRollUpGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("makes some 100,000 rows")
	}
	b := OpenMem()
	l := New(b, Options{})
	for _, day := range []int{3, 4} {
		var events []event.Event
		for i := range 60_000 {
			events = append(events, monthEvent(day, i, uint64(i)))
		}
		mergeDay(t, l, events)
	}
	rollUpAll(t, l)
	f, err := l.openDay(context.Background(), rolledUp(t, b)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var sizes []int64
	for _, g := range f.RowGroups() {
		sizes = append(sizes, g.NumRows())
	}
	if !slices.Equal(sizes, []int64{monthGroupRows, 20_000}) {
		t.Errorf("row groups: %v", sizes)
	}
	if _, _, err := l.VerifyRollUps(context.Background(), func(p Problem) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}

// Two columns fewer than an event, one of them optional, and one that could not
// be NULL then.
type olderRow struct {
	EventID   string `parquet:"event_id"`
	EventTime int64  `parquet:"event_time,timestamp(millisecond:local)"`
	AccountID string `parquet:"account_id"`
	Category  string `parquet:"category,optional"`
	Outcome   string `parquet:"outcome"`
	UserName  string `parquet:"user_name"`
}

// A day file of an older schema is copied by the names of its columns.
func TestRollUpOfOlderFiles(t *testing.T) {
	b := OpenMem()
	l := New(b, Options{})
	mergeDay(t, l, []event.Event{monthEvent(2, 1, ^uint64(0))})
	old := monthEvent(1, 1, 0)
	old.UserName = "ann"
	out, err := b.Create(context.Background(), eventsKey(old.Date()))
	if err != nil {
		t.Fatal(err)
	}
	seal := &sealer{out: out}
	w := parquet.NewGenericWriter[olderRow](seal, parquet.KeyValueMetadata(metaSchema, "1"),
		parquet.KeyValueMetadata(metaRows, `{"iam":1}`), parquet.KeyValueMetadata(metaSeal, openSeal))
	if _, err := w.Write([]olderRow{{old.EventID, old.EventTime, old.AccountID, old.Category, old.Outcome, "ann"}}); err != nil {
		t.Fatal(err)
	}
	seal.hold()
	if err := errors.Join(w.Close(), seal.seal()); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Commit(""); err != nil {
		t.Fatal(err)
	}
	rollUpAll(t, l)
	used, _, err := l.VerifyRollUps(context.Background(), func(p Problem) { t.Error(p) })
	if used != 1 || err != nil {
		t.Errorf("verified %d, %v", used, err)
	}
	rows := dump(t, b, rolledUp(t, b)[0], 0)
	for _, want := range []string{"user_name=ann ", "category=iam ", "record_hash=0 ", "aws_region=<null> "} {
		if !strings.Contains(rows[0], want) {
			t.Errorf("row %s\nlacks %s", rows[0], want)
		}
	}
}

// What is there for whom, as days come, change and go.
func TestRollUpsDue(t *testing.T) {
	ctx := context.Background()
	b := OpenMem()
	l := New(b, Options{})
	june := event.DateOf(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	due := func(before event.Date, want ...event.Date) {
		t.Helper()
		got, err := l.RollUpsDue(ctx, before)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("due: got %v, %v; want %v", got, err, want)
		}
	}
	due(farAway)
	mergeDay(t, l, []event.Event{monthEvent(3, 1, 0)})
	due(farAway) // a single day is as quick by itself
	mergeDay(t, l, []event.Event{monthEvent(4, 1, 0)})
	due(farAway, june)
	due(june+30, june) // its last day is before: it is over
	due(june + 29)
	rollUpAll(t, l)
	first := rolledUp(t, b)
	mergeDay(t, l, []event.Event{monthEvent(4, 2, 0)})
	due(june+10, june) // not over, but there is one to be removed
	rollUpAll(t, l)
	if second := rolledUp(t, b); len(second) != 1 || second[0] == first[0] {
		t.Errorf("roll-ups: %v, then %v", first, second)
	}
	if err := l.Remove(ctx, []event.Date{june + 2}); err != nil {
		t.Fatal(err)
	}
	if left := rolledUp(t, b); len(left) > 0 {
		t.Errorf("what was removed is still in %v", left)
	}
	due(farAway)
}

// A roll-up that isn't what its name says is reported.
func TestVerifyRollUps(t *testing.T) {
	ctx := context.Background()
	for name, tc := range map[string]struct {
		days []event.Event // what the roll-up is made of instead
		list bool          // whether its footer has the right list
		cut  bool
		want string
	}{
		"right":        {days: []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, 7)}, list: true},
		"other row":    {days: []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, ^uint64(0))}, list: true, want: "row 1 isn't that of 2026-06-04"},
		"row too few":  {days: []event.Event{monthEvent(3, 1, 7)}, list: true, want: "ends after 1 rows"},
		"row too many": {days: []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, 7), monthEvent(5, 1, 7)}, list: true, want: "more rows"},
		"other list":   {days: []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, 7)}, want: "different day files"},
		"damaged":      {days: []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, 7)}, list: true, cut: true, want: "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			b, other := OpenMem(), OpenMem()
			l := New(b, Options{})
			for _, e := range []event.Event{monthEvent(3, 1, 7), monthEvent(4, 1, 7)} {
				mergeDay(t, l, []event.Event{e})
			}
			list, _, _ := rollUpList(dayFiles(t, b))
			if !tc.list {
				list = "another"
			}
			from := New(other, Options{})
			for _, e := range tc.days {
				mergeDay(t, from, []event.Event{e})
			}
			var file bytes.Buffer
			w := newMonthWriter(&file, "test", list)
			for _, o := range dayFiles(t, other) {
				if err := from.copyDay(ctx, w, o); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.close(); err != nil {
				t.Fatal(err)
			}
			data := file.Bytes()
			if tc.cut {
				data[100] ^= 1
			}
			out, err := b.Create(ctx, RollUpKey(dayFiles(t, b)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := out.Write(data); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Commit(""); err != nil {
				t.Fatal(err)
			}
			var got []string
			used, _, err := l.VerifyRollUps(ctx, func(p Problem) { got = append(got, p.String()) })
			if used != 1 || err != nil {
				t.Fatalf("used %d, %v", used, err)
			}
			switch {
			case tc.want == "" && len(got) > 0, tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
				t.Errorf("problems %q, want one of %q", got, tc.want)
			}
		})
	}
}

// Whichever step of a roll-up fails, what would be used is right, and the next
// attempt ends as if nothing had happened.
func TestRollUpFaults(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("broken")
	work := func(l *Lake) error {
		due, err := l.RollUpsDue(ctx, farAway)
		for _, m := range due {
			if _, rollErr := l.RollUp(ctx, m, farAway); err == nil {
				err = rollErr
			}
		}
		return err
	}
	for fail := 0; ; fail++ {
		b := OpenMem()
		l := New(b, Options{})
		mergeDay(t, l, []event.Event{monthEvent(3, 1, 3)})
		mergeDay(t, l, []event.Event{monthEvent(4, 1, 5)})
		if err := work(l); err != nil {
			t.Fatal(err)
		}
		mergeDay(t, l, []event.Event{monthEvent(4, 2, 9)}) // the roll-up is of no use now
		n := 0
		restore := fault.Set(func(point string) error {
			if n++; n == fail {
				return fmt.Errorf("%s: %w", point, broken)
			}
			return nil
		})
		err := work(l)
		restore()
		if fail > n {
			if n < 4 {
				t.Errorf("only %d steps were reached", n)
			}
			return
		}
		if errors.Is(err, broken) != (fail > 0) {
			t.Fatalf("step %d: %v", fail, err)
		}
		check := func() {
			t.Helper()
			if _, _, err := l.VerifyRollUps(ctx, func(p Problem) { t.Errorf("step %d: %v", fail, p) }); err != nil {
				t.Error(err)
			}
		}
		check()
		if err := work(l); err != nil {
			t.Fatal(err)
		}
		check()
		if keys := rolledUp(t, b); len(keys) != 1 || keys[0] != RollUpKey(dayFiles(t, b)) {
			t.Errorf("step %d: roll-ups %v", fail, keys)
		}
	}
}
