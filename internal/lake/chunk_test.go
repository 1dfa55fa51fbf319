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

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// reread writes events and reads them back with the reader of day files.
func reread(t *testing.T, events []event.Event) (*parquet.File, []event.Event) {
	t.Helper()
	var out bytes.Buffer
	w := eventTable.write(&out, "test")
	for i := range events {
		if err := w.add(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	b := OpenMem()
	dst, err := b.Create(context.Background(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Write(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Commit(""); err != nil {
		t.Fatal(err)
	}
	f, err := New(b, Options{}).openDay(context.Background(), "x")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := eventTable.read(f)
	if err != nil {
		t.Fatal(err)
	}
	var got []event.Event
	for {
		e, err := rows.next(context.Background())
		if errors.Is(err, io.EOF) {
			return f.File, got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *e)
	}
}

// The shapes that a column can take: constant, a dictionary of one or two bytes
// an index, values that stop repeating early and late, several pages, none.
func TestColumnShapes(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows, one after the other")
	}
	long := strings.Repeat("x", 3000)
	for name, value := range map[string]func(i int) string{
		"none":             func(int) string { return "" },
		"constant":         func(int) string { return "a" },
		"three":            func(i int) string { return fmt.Sprint(i % 3) },
		"with gaps":        func(i int) string { return strings.Repeat("b", i%4) },
		"300 values":       func(i int) string { return fmt.Sprint(i * i % 307) },
		"all new":          func(i int) string { return fmt.Sprint(i) },
		"new, with gaps":   func(i int) string { return strings.Repeat(fmt.Sprint(i), i%2) },
		"new after a time": func(i int) string { return fmt.Sprint(max(i, 1500)) },
		"new, long":        func(i int) string { return fmt.Sprint(i, long) },
		"dictionary full":  func(i int) string { return fmt.Sprint(i%700, long) },
		"full, with gaps":  func(i int) string { return strings.Repeat(fmt.Sprint(i%700, long), min(i%3, 1)) },
		"one huge":         func(i int) string { return strings.Repeat("y", i/2499*3*pageBytes) },
		"huge, then small": func(i int) string { return strings.Repeat("y", 3*pageBytes*max(0, 1-i)+1) },
	} {
		for _, n := range []int{1, 7, 8, 9, 500, 2500} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				want := make([]event.Event, n)
				for i := range want {
					e := &want[i]
					e.EventID, e.Category, e.Outcome = fmt.Sprintf("%036d", i*7919), value(i), "ok"
					e.UserName, e.RequestParameters = value(i), value(n-i)
					e.EventTime, e.RecordHash = int64(i/100*100-i%100)*1e10, -int64(i)
					if i%5 > 0 {
						e.MFA = &truth[i%2]
					}
				}
				f, got := reread(t, want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatal(diff)
				}
				if err := bounds(f, want); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A column may be small enough to stay as it is in one row group and not in the
// next; what reads the file takes the codec of the first for all.
func TestRowGroupsOfOneCodec(t *testing.T) {
	for _, first := range []bool{true, false} {
		want := make([]event.Event, rowGroupRows+500)
		for i := range want {
			e := &want[i]
			e.EventID, e.EventTime, e.Category, e.Outcome = fmt.Sprintf("%036d", i*7919), int64(i), "iam", "ok"
			if (i < rowGroupRows) == first {
				e.AccountID, e.UserName = fmt.Sprintf("%012d", i%311), fmt.Sprint(i%97)
			}
		}
		f, got := reread(t, want)
		if n := len(f.RowGroups()); n != 2 {
			t.Fatalf("%d row groups", n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("small columns first: %v: the rows read differ from those written", !first)
		}
	}
}

// bounds checks what the footer says of user_name and event_time.
func bounds(f *parquet.File, rows []event.Event) error {
	least, most, nulls := rows[0].EventTime, rows[0].EventTime, int64(0)
	for _, e := range rows {
		least, most = min(least, e.EventTime), max(most, e.EventTime)
		if e.UserName == "" {
			nulls++
		}
	}
	for i, field := range eventTable.fields {
		c := f.Metadata().RowGroups[0].Columns[i].MetaData
		if c.NumValues != int64(len(rows)) {
			return fmt.Errorf("%s: %d values", field.name, c.NumValues)
		}
		switch field.name {
		case "event_time":
			low, high, ok := f.RowGroups()[0].ColumnChunks()[i].(*parquet.FileColumnChunk).Bounds()
			if !ok || low.Int64() != least || high.Int64() != most {
				return fmt.Errorf("bounds of time are %v to %v, not %d to %d", low, high, least, most)
			}
		case "user_name":
			if c.Statistics.NullCount != nulls {
				return fmt.Errorf("%d NULLs, not %d", c.Statistics.NullCount, nulls)
			}
		case "category":
			if len(c.Statistics.MinValue) > boundBytes {
				return fmt.Errorf("a bound of %d bytes", len(c.Statistics.MinValue))
			}
		}
	}
	return nil
}

// Memory of one file that is used for the next leaves nothing behind.
func TestWriterReuse(t *testing.T) {
	large := make([]event.Event, 3000)
	for i := range large {
		large[i] = event.Event{EventID: fmt.Sprintf("%036d", i), UserName: fmt.Sprint(i % 1000), Category: "iam", Rest: fmt.Sprint(i), ActorChain: "c"}
	}
	for range 3 {
		for _, n := range []int{3000, 1, 0, 12} {
			want := append([]event.Event(nil), large[3000-n:]...)
			if _, got := reread(t, want); !cmp.Equal(want, got) {
				t.Fatalf("%d events: read %d others", n, len(got))
			}
		}
	}
}

func TestBoundsOfText(t *testing.T) {
	rows := []event.Event{{EventID: "1", Category: "sts"}, {EventID: "2", Category: "iam"}, {EventID: "3", Category: "signin"}}
	i := 0
	for eventTable.fields[i].name != "category" {
		i++
	}
	for range 2 { // with a dictionary, and plain
		f, _ := reread(t, rows)
		s := f.Metadata().RowGroups[0].Columns[i].MetaData.Statistics
		if string(s.MinValue) != "iam" || string(s.MaxValue) != "sts" {
			t.Errorf("%d rows: %q to %q", len(rows), s.MinValue, s.MaxValue)
		}
		for range 9 {
			rows = append(rows, rows[0])
		}
	}
}

// Filters and the few columns that have them, in large row groups only.
func TestFilters(t *testing.T) {
	for _, n := range []int{bloomRows - 1, bloomRows} {
		rows := make([]event.Event, n)
		for i := range rows {
			rows[i] = event.Event{EventID: fmt.Sprintf("%036d", i), SourceIP: fmt.Sprint("ip", i%77)}
		}
		f, _ := reread(t, rows)
		for i, field := range eventTable.fields {
			filter := f.RowGroups()[0].ColumnChunks()[i].BloomFilter()
			want := map[string]string{"event_id": rows[5].EventID, "source_ip": "ip76"}[field.name]
			if n < bloomRows || want == "" {
				if n < bloomRows && filter != nil {
					t.Errorf("%d rows: %s has a filter", n, field.name)
				}
				continue
			}
			for value, expect := range map[string]bool{want: true, "other": false} {
				if ok, err := filter.Check(parquet.ByteArrayValue([]byte(value))); err != nil || ok != expect {
					t.Errorf("%s: %q is in the filter: %v, %v", field.name, value, ok, err)
				}
			}
		}
	}
}
