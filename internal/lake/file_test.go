package lake_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
)

var update = flag.Bool("update", false, "write golden files anew")

const eventsFile = "events/event_date=2026-02-16/events.parquet"

// parsed returns n events of the day whose records really reassemble.
func parsed(t *testing.T, n int) []event.Event {
	t.Helper()
	p := event.NewParser()
	var out []event.Event
	for i := range n {
		e, err := p.Parse(fmt.Appendf(nil, `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"alice-%d","accountId":"000000000001","arn":"arn:aws:iam::000000000001:user/alice"},
			"eventTime":"2026-02-16T%02d:%02d:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.%d",
			"userAgent":"aws-cli","requestParameters":{"userName":"bob-%d"},"responseElements":null,"requestID":"r-%d","eventID":"e-%d","readOnly":false,"recipientAccountId":"000000000001"}`,
			i%7, i/60%24, i%60, i%250, i, i, i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func fill(t *testing.T, rows []event.Event, thin []event.Filtered) (*lake.Lake, lake.Bucket) {
	t.Helper()
	b := lake.OpenMem()
	l := lake.New(b, lake.Options{ProgramVersion: "1.2.3"})
	laketest.Merge(t, l, day, rows, thin)
	return l, b
}

func problems(t *testing.T, l *lake.Lake) []string {
	t.Helper()
	out := []string{}
	if _, err := l.Verify(context.Background(), day, func(p lake.Problem) { out = append(out, p.String()) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// rewrite replaces the day's events by rows that no merge would write.
func rewrite(t *testing.T, b lake.Bucket, rows []event.Event, meta map[string]string) {
	t.Helper()
	write(t, b, rows, meta)
}

func write[T any](t *testing.T, b lake.Bucket, rows []T, meta map[string]string) {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf)
	for k, v := range meta {
		w.SetKeyValueMetadata(k, v)
	}
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	etag := ""
	if r, err := b.Open(context.Background(), eventsFile); err == nil {
		etag = r.Object().ETag
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	laketest.Put(t, b, eventsFile, buf.Bytes(), etag)
}

func TestSchema(t *testing.T) {
	var thin []event.Filtered
	for _, e := range laketest.Traffic(2, day, 9000) {
		thin = append(thin, laketest.Thin(e))
	}
	_, b := fill(t, laketest.Traffic(1, day, 9000), thin)
	var got strings.Builder
	for _, key := range []string{eventsFile, "filtered/event_date=2026-02-16/filtered.parquet"} {
		data, _ := laketest.Get(t, b, key)
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "# %s\n%v\n", key, f.Schema())
		for _, kv := range f.Metadata().KeyValueMetadata {
			value := kv.Value
			if kv.Key == "iamtrack.seal" { // depends on what the compressor found
				value = strings.Map(func(r rune) rune {
					if strings.ContainsRune("0123456789abcdef", r) {
						return '.'
					}
					return r
				}, value)
			}
			fmt.Fprintf(&got, "%s = %s\n", kv.Key, value)
		}
		g := f.Metadata().RowGroups[0]
		var encodings strings.Builder
		codecs := map[string]int{}
		fmt.Fprint(&got, "sorted by")
		for _, s := range g.SortingColumns {
			fmt.Fprintf(&got, " %s", strings.Join(f.Schema().Columns()[s.ColumnIdx], "."))
		}
		fmt.Fprint(&got, "\nbloom filters:")
		for _, c := range g.Columns {
			if c.MetaData.BloomFilterOffset > 0 {
				fmt.Fprintf(&got, " %s", strings.Join(c.MetaData.PathInSchema, "."))
			}
			codecs[c.MetaData.Codec.String()]++
			if c.MetaData.TotalCompressedSize > c.MetaData.TotalUncompressedSize {
				t.Errorf("%v grew by compression", c.MetaData.PathInSchema)
			}
			fmt.Fprintf(&encodings, "%s: %v\n", strings.Join(c.MetaData.PathInSchema, "."), c.MetaData.Encoding)
		}
		fmt.Fprint(&got, "\nno bounds:")
		for _, c := range g.Columns {
			if c.MetaData.NumValues != c.MetaData.Statistics.NullCount && c.MetaData.Statistics.MinValue == nil {
				fmt.Fprintf(&got, " %s", strings.Join(c.MetaData.PathInSchema, "."))
			}
		}
		fmt.Fprintf(&got, "\nencodings:\n%s\n", encodings.String())
		if len(codecs) > 2 || codecs["ZSTD"] == 0 || codecs["ZSTD"]+codecs["UNCOMPRESSED"] != len(g.Columns) {
			t.Errorf("%s: codecs %v", key, codecs)
		}
	}
	golden := filepath.Join("testdata", "schema.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNewerFileIsRefused(t *testing.T) {
	ctx := context.Background()
	rows := laketest.Traffic(1, day, 3)
	l, b := fill(t, rows, nil)
	rewrite(t, b, rows, map[string]string{"iamtrack.schema": "99", "iamtrack.version": "9.9", "iamtrack.rows": "{}"})
	before, _ := laketest.Get(t, b, eventsFile)
	_, _, errMerge := l.Merge(ctx, day, laketest.Input(laketest.Traffic(2, day, 1), nil))
	_, errVersions := l.Versions(ctx, day)
	_, errDays := l.Days(ctx)
	_, errRebuild := l.Rebuild(ctx, day, nil)
	var errEvents error
	for _, err := range l.Events(ctx, day) {
		errEvents = err
	}
	for what, err := range map[string]error{"merge": errMerge, "versions": errVersions, "days": errDays, "rebuild": errRebuild, "events": errEvents} {
		if !errors.Is(err, lake.ErrNewer) || !strings.Contains(err.Error(), eventsFile) || !strings.Contains(err.Error(), "9.9") {
			t.Errorf("%s: got %v, want ErrNewer with the file's name and writer", what, err)
		}
	}
	if after, _ := laketest.Get(t, b, eventsFile); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if p := problems(t, l); len(p) != 1 || !strings.Contains(p[0], eventsFile) {
		t.Errorf("verify: %q", p)
	}
}

// An older schema has fewer columns, in another order.
func TestOlderFileIsReadByName(t *testing.T) {
	type old struct {
		RecordHash int64  `parquet:"record_hash"`
		EventName  string `parquet:"event_name,optional"`
		EventID    string `parquet:"event_id"`
		AccountID  string `parquet:"account_id"`
		EventTime  int64  `parquet:"event_time,timestamp(millisecond:local)"`
		Category   string `parquet:"category"`
		Gone       string `parquet:"a_column_of_the_past"`
	}
	ms := day.Time().UnixMilli()
	b := lake.OpenMem()
	write(t, b, []old{{5, "GetUser", "b", "1", ms, "iam", "x"}, {6, "", "a", "2", ms + 1, "sts", "x"}},
		map[string]string{"iamtrack.schema": "1", "iamtrack.version": "0.1", "iamtrack.rows": `{"iam":1,"sts":1}`})
	l := lake.New(b, lake.Options{})
	want := []event.Event{{EventID: "b", AccountID: "1", EventTime: ms, EventName: "GetUser", Category: "iam", RecordHash: 5},
		{EventID: "a", AccountID: "2", EventTime: ms + 1, Category: "sts", RecordHash: 6}}
	for _, step := range []string{"as it was", "rebuilt", "merged"} {
		switch step {
		case "rebuilt":
			if _, err := l.Rebuild(context.Background(), day, nil); err != nil {
				t.Fatal(err)
			}
		case "merged":
			more := laketest.Traffic(1, day, 1)
			laketest.Merge(t, l, day, more, nil)
			want = append(want, more...)
			slices.SortFunc(want, func(a, b event.Event) int { return a.Compare(&b) })
		}
		if diff := cmp.Diff(want, laketest.Collect(t, l.Events(context.Background(), day))); diff != "" {
			t.Errorf("%s: %s", step, diff)
		}
	}
	write(t, b, []struct {
		EventID int64 `parquet:"event_id"`
	}{{1}}, map[string]string{"iamtrack.schema": "1", "iamtrack.rows": "{}"})
	if _, err := l.Versions(context.Background(), day); !errors.Is(err, lake.ErrDamaged) {
		t.Errorf("a column of another type: %v", err)
	}
}

func TestVerify(t *testing.T) {
	rows := parsed(t, 300)
	rows = rows[:290]
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b event.Event) int { return a.Compare(&b) })
	thin := laketest.Thin(parsed(t, 300)[295])
	l, _ := fill(t, rows, []event.Filtered{thin})
	var got []lake.Problem
	s, err := l.Verify(context.Background(), day, func(p lake.Problem) { got = append(got, p) })
	if err != nil || len(got) > 0 {
		t.Fatalf("a good day: %v, %v", got, err)
	}
	if s.Events != 290 || s.Filtered != 1 || s.Categories["iam"] != 290 || s.Bytes == 0 {
		t.Errorf("stats %+v", s)
	}
	good := map[string]string{"iamtrack.schema": "1", "iamtrack.version": "1", "iamtrack.rows": `{"iam":290}`}
	edit := func(f func([]event.Event) []event.Event) []event.Event { return f(slices.Clone(sorted)) }
	for want, c := range map[string]struct {
		rows []event.Event
		meta map[string]string
	}{
		"row 0 ":                          {edit(func(r []event.Event) []event.Event { r[0].UserAgent += "x"; return r }), good},
		"doesn't match record_hash":       {edit(func(r []event.Event) []event.Event { r[9].EventName = "DeleteUser"; return r }), good},
		"not in order":                    {edit(func(r []event.Event) []event.Event { r[3], r[4] = r[4], r[3]; return r }), good},
		"the key is there twice":          {edit(func(r []event.Event) []event.Event { return slices.Insert(r, 3, r[3]) }), good},
		"belongs to 2026-02-17":           {edit(func(r []event.Event) []event.Event { r[289].EventTime += 24 * 3600 * 1000; return r }), good},
		"the footer says 289 rows":        {sorted[:289], good},
		"the file has 290 rows map[iam:2": {sorted, map[string]string{"iamtrack.schema": "1", "iamtrack.rows": `{"iam":289,"sts":1}`}},
		"lacks 1 of 290 keys": {edit(func(r []event.Event) []event.Event {
			r[289] = parsed(t, 292)[291]
			return r
		}), good},
		"although its event is stored": {edit(func(r []event.Event) []event.Event {
			r[289] = parsed(t, 296)[295]
			return r
		}), good},
		"footer entry iamtrack.schema": {sorted, nil},
	} {
		l, b := fill(t, rows, []event.Filtered{thin})
		rewrite(t, b, c.rows, c.meta)
		if got := strings.Join(problems(t, l), "\n"); !strings.Contains(got, want) {
			t.Errorf("want a problem with %q, got:\n%s", want, got)
		}
	}
}

// Whatever happens to a file's bytes: no panic, and never wrong rows in silence.
func TestDamagedFile(t *testing.T) {
	ctx := context.Background()
	rows := parsed(t, 400)
	l, b := fill(t, rows, nil)
	want := laketest.Collect(t, l.Events(ctx, day))
	whole, _ := laketest.Get(t, b, eventsFile)
	keys := []event.Key{want[0].Key(), {AccountID: "x", EventID: "y"}}
	try := func(what string, data []byte) {
		t.Helper()
		_, o := laketest.Get(t, b, eventsFile)
		laketest.Put(t, b, eventsFile, data, o.ETag)
		found := problems(t, l)
		got := []event.Event{}
		var readErr error
		for e, err := range l.Events(ctx, day) {
			if err != nil {
				readErr = err
				break
			}
			got = append(got, e)
		}
		if readErr == nil && len(found) == 0 && !cmp.Equal(want, got) {
			t.Errorf("%s: other rows, and nobody noticed", what)
		}
		// The first names the file; others, as that the index doesn't have a changed
		// id, follow from it.
		if len(found) > 0 && !strings.Contains(found[0], eventsFile) {
			t.Errorf("%s: the problem doesn't name the file: %s", what, found[0])
		}
		if readErr != nil && !strings.Contains(readErr.Error(), eventsFile) {
			t.Errorf("%s: the error doesn't name the file: %v", what, readErr)
		}
		_, _ = l.Versions(ctx, day) // must not panic; the error is the same
		_, _ = l.Event(ctx, keys[0], day)
		_, _ = l.Elsewhere(ctx, keys, day+1)
	}
	step := len(whole)/150 + 1
	for i := 0; i < len(whole); i += step {
		damaged := slices.Clone(whole)
		damaged[i] ^= 0x55
		try(fmt.Sprintf("byte %d", i), damaged)
	}
	for i := len(whole) - 60; i < len(whole); i++ { // the end of the footer, its length and the magic
		damaged := slices.Clone(whole)
		damaged[i] ^= 0xff
		try(fmt.Sprintf("byte %d", i), damaged)
	}
	for n := 0; n < len(whole); n += len(whole)/40 + 1 {
		try(fmt.Sprintf("first %d bytes", n), whole[:n])
	}
	try("not Parquet", []byte(strings.Repeat("PAR1", 100)))
	_, _, err := l.Merge(ctx, day, laketest.Input(laketest.Traffic(1, day, 2), nil))
	if !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), eventsFile) {
		t.Errorf("merge into a damaged file: %v", err)
	}
	try("restored", whole)
	if p := problems(t, l); len(p) > 0 {
		t.Errorf("restored: %q", p)
	}
}
