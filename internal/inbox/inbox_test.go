package inbox_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
)

const day = laketest.Day

func thin(rows []event.Event) []event.Filtered {
	out := make([]event.Filtered, len(rows))
	for i := range rows {
		out[i] = laketest.Thin(rows[i])
	}
	return out
}

func put(t testing.TB, b lake.Bucket, d event.Date, events []event.Event, filtered []event.Filtered) {
	t.Helper()
	if err := inbox.New(b).Put(context.Background(), d, events, filtered); err != nil {
		t.Fatal(err)
	}
}

func keys(t testing.TB, b lake.Bucket, prefix string) []string {
	t.Helper()
	list, err := b.List(context.Background(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range list {
		out = append(out, o.Key)
	}
	return out
}

// drain reads all that the inbox has, with the problems met.
func drain(t testing.TB, b lake.Bucket, use func(*inbox.Day, *inbox.Batch)) []inbox.Problem {
	t.Helper()
	return drainOf(t, b, inbox.New(b), use)
}

func drainOf(t testing.TB, b lake.Bucket, in *inbox.Inbox, use func(*inbox.Day, *inbox.Batch)) []inbox.Problem {
	t.Helper()
	ctx := context.Background()
	var problems []inbox.Problem
	days, err := in.Days(ctx, func(p inbox.Problem) { problems = append(problems, p) })
	if err != nil {
		t.Fatal(err)
	}
	l := lake.New(b, lake.Options{})
	for _, d := range days {
		for last := false; !last; {
			batch, err := d.Next(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			use(d, batch)
			last = batch.Last
		}
	}
	return problems
}

func all(t testing.TB, b lake.Bucket) (events []event.Event, filtered []event.Filtered, problems []inbox.Problem) {
	t.Helper()
	problems = drain(t, b, func(_ *inbox.Day, batch *inbox.Batch) {
		if batch.Events != nil {
			events = append(events, laketest.Collect(t, batch.Events)...)
			if again := laketest.Collect(t, batch.Events); len(again) == 0 {
				t.Error("the rows can be read once only")
			}
		}
		if batch.Filtered != nil {
			filtered = append(filtered, laketest.Collect(t, batch.Filtered)...)
		}
	})
	return events, filtered, problems
}

// What is put comes back, in order, from however many objects.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for _, parts := range []int{1, 2, 7, 40} {
		b := lake.OpenMem()
		rows := laketest.Traffic(1, day, 900)
		rows[3].Rest = strings.Repeat("x\x00é", 1<<20)
		rows[4].ReadOnly, rows[4].MFA, rows[5].UserName = nil, nil, "\xff\xfe\n"
		dropped := thin(laketest.Traffic(2, day, 300))
		events, filtered := make([][]event.Event, parts), make([][]event.Filtered, parts)
		for _, e := range rows {
			i := r.IntN(parts)
			events[i] = append(events[i], e)
		}
		for _, f := range dropped {
			i := r.IntN(parts)
			filtered[i] = append(filtered[i], f)
		}
		for i := range parts {
			put(t, b, day, events[i], filtered[i])
		}
		if n := len(keys(t, b, "inbox/")); n != parts {
			t.Errorf("%d objects of %d batches", n, parts)
		}
		gotEvents, gotFiltered, problems := all(t, b)
		if diff := cmp.Diff(rows, gotEvents); diff != "" {
			t.Errorf("%d parts: the events differ", parts)
		}
		if diff := cmp.Diff(dropped, gotFiltered); diff != "" || len(problems) > 0 {
			t.Errorf("%d parts: %s %v", parts, diff, problems)
		}
	}
}

// The same rows are the same object; other rows are another one.
func TestTheSameRowsAreTheSameObject(t *testing.T) {
	b := lake.OpenMem()
	rows := laketest.Traffic(1, day, 100)
	put(t, b, day, rows, nil)
	first := keys(t, b, "")
	put(t, b, day, rows, nil)
	if diff := cmp.Diff(first, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
	rows[50].SourceIP += "0"
	put(t, b, day, rows, nil)
	put(t, b, day, nil, thin(rows))
	if n := len(keys(t, b, "")); n != 3 {
		t.Errorf("%d objects, want 3", n)
	}
}

// A batch of large rows is several objects, each of which fits in memory.
func TestLargeBatches(t *testing.T) {
	b := lake.OpenMem()
	rows := laketest.Traffic(1, day, 40)
	for i := range rows {
		rows[i].Rest = strings.Repeat(fmt.Sprint(i), 1<<20)
	}
	put(t, b, day, rows, nil)
	if n := len(keys(t, b, "inbox/")); n < 3 {
		t.Errorf("%d objects", n)
	}
	got, _, problems := all(t, b)
	slices.SortFunc(got, func(x, y event.Event) int { return x.Compare(&y) })
	if len(problems) > 0 || len(got) != len(rows) || got[39].Rest != rows[39].Rest {
		t.Errorf("%d rows, %v", len(got), problems)
	}
}

func TestRowsOfAnotherDayOrOutOfOrderAreRefused(t *testing.T) {
	rows := laketest.Traffic(1, day, 3)
	for what, events := range map[string][]event.Event{"order": {rows[1], rows[0]}, "day": laketest.Traffic(1, day+1, 1)} {
		b := lake.OpenMem()
		if err := inbox.New(b).Put(context.Background(), day, events, nil); err == nil || len(keys(t, b, "")) > 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// object returns an object of the inbox, and its key.
func object(t testing.TB, events []event.Event, filtered []event.Filtered) (string, []byte) {
	t.Helper()
	b := lake.OpenMem()
	put(t, b, day, events, filtered)
	key := keys(t, b, "")[0]
	data, _ := laketest.Get(t, b, key)
	return key, data
}

const before = 8 + len("iamtrack inbox\n") + 4 // the header

// withHeader changes an object's header.
func withHeader(t testing.TB, data []byte, change func(map[string]any)) []byte {
	t.Helper()
	size := int(binary.LittleEndian.Uint32(data[before-4:]))
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := d.DecodeAll(data[before:before+size], nil)
	if err != nil {
		t.Fatal(err)
	}
	var h map[string]any
	if err := json.Unmarshal(text, &h); err != nil {
		t.Fatal(err)
	}
	change(h)
	if text, err = json.Marshal(h); err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := e.EncodeAll(text, nil)
	out := bytes.Clone(data[:before])
	binary.LittleEndian.PutUint32(out[before-4:], uint32(len(packed)))
	return slices.Concat(out, packed, data[before+size:])
}

// What isn't an object of the inbox is set aside, told of once, and stops nothing.
func TestPoison(t *testing.T) {
	rows := laketest.Traffic(1, day, 200)
	key, good := object(t, rows, thin(rows[:9]))
	flip := func(at int) []byte {
		d := bytes.Clone(good)
		d[at] ^= 1
		return d
	}
	bomb, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	huge := bomb.EncodeAll(make([]byte, 200<<20), nil)
	otherKey, _ := object(t, rows[:7], nil)
	for what, c := range map[string]struct {
		key  string
		data []byte
	}{
		"no name":             {"inbox/readme.txt", good},
		"name of another day": {strings.Replace(key, day.String(), (day + 1).String(), 1), good},
		"no such day":         {strings.Replace(key, day.String(), "2026-13-41", 1), good},
		"another's name":      {otherKey, good},
		"another's id":        {strings.Replace(key, filepath.Base(key)[:20], filepath.Base(otherKey)[:20], 1), good},
		"another kind":        {key[:strings.LastIndexByte(key, 'f')] + ".zst", good},
		"another number":      {strings.Replace(key, ".zst", "0.zst", 1), good},
		"no number":           {key[:strings.LastIndexByte(key, '-')] + "-.zst", good},
		"hostile name":        {"inbox/2026-02-16/\x1b[31m<script>", []byte("x")},
		"empty":               {key, nil},
		"text":                {key, []byte(strings.Repeat("hello ", 99))},
		"first byte":          {key, flip(0)},
		"header":              {key, flip(before + 9)},
		"a row":               {key, flip(len(good) - 30)},
		"cut":                 {key, good[:len(good)-1]},
		"longer":              {key, append(bytes.Clone(good), 0)},
		"header only":         {key, good[:before+20]},
		"header's length":     {key, slices.Concat(good[:before-4], []byte{255, 255, 255, 255}, good[before:])},
		"header is a bomb":    {key, slices.Concat(good[:before-4], binary.LittleEndian.AppendUint32(nil, uint32(len(huge))), huge)},
		"block is a bomb": {key, withHeader(t, slices.Concat(good[:before+int(binary.LittleEndian.Uint32(good[before-4:]))], huge), func(h map[string]any) {
			h["events"], h["filtered"] = [][]int{{len(huge), 1 << 20, 5}}, nil
		})},
		"lengths": {key, withHeader(t, good, func(h map[string]any) { h["events"] = [][]int{{-1, 5, 5}} })},
		"rows":    {key, withHeader(t, good, func(h map[string]any) { h["events"] = [][]int{{10, 1 << 30, 1 << 30}} })},
		"date":    {key, withHeader(t, good, func(h map[string]any) { h["date"] = "2020-01-01" })},
		"twice":   {key, withHeader(t, good, func(h map[string]any) { h["columns"] = append(h["columns"].([]any), "event_id") })},
	} {
		b := lake.OpenMem()
		fine := laketest.Traffic(5, day, 20)
		put(t, b, day, fine, nil)
		laketest.Put(t, b, c.key, c.data, "")
		events, _, problems := all(t, b)
		if diff := cmp.Diff(fine, events); diff != "" {
			t.Errorf("%s: the others differ: %s", what, diff)
		}
		if len(problems) != 1 || problems[0].Object != c.key || !problems[0].SetAside || problems[0].Reason == "" {
			t.Errorf("%s: told of %+v", what, problems)
		}
		bad := keys(t, b, "inbox-bad/")
		if len(bad) != 1 {
			t.Fatalf("%s: set aside are %q", what, bad)
		}
		if kept, _ := laketest.Get(t, b, bad[0]); !bytes.Equal(kept, c.data) {
			t.Errorf("%s: what was set aside has changed", what)
		}
		if _, _, again := all(t, b); len(again) > 0 {
			t.Errorf("%s: told of again: %+v", what, again)
		}
	}
}

// What a newer program wrote stays until the exporter is updated.
func TestNewerObjectsStay(t *testing.T) {
	key, good := object(t, laketest.Traffic(1, day, 20), nil)
	for what, change := range map[string]func(map[string]any){
		"format": func(h map[string]any) { h["format"] = 2 },
		"column": func(h map[string]any) { h["columns"] = append(h["columns"].([]any), "vpc_endpoint") },
	} {
		b := lake.OpenMem()
		laketest.Put(t, b, key, withHeader(t, good, change), "")
		for range 2 {
			_, _, problems := all(t, b)
			if len(problems) != 1 || problems[0].SetAside || !strings.Contains(problems[0].Reason, lake.ErrNewer.Error()) {
				t.Errorf("%s: told of %+v", what, problems)
			}
		}
		if n := keys(t, b, ""); len(n) != 1 || n[0] != key {
			t.Errorf("%s: there are %q", what, n)
		}
	}
}

// What a day's files name is removed without being read.
func TestMergedObjectsAreRemoved(t *testing.T) {
	ctx := context.Background()
	b := lake.OpenMem()
	l := lake.New(b, lake.Options{})
	rows := laketest.Traffic(1, day, 50)
	put(t, b, day, rows[:30], thin(rows[40:]))
	drain(t, b, func(d *inbox.Day, batch *inbox.Batch) {
		if _, _, err := l.Merge(ctx, d.Date, lake.Input{Events: batch.Events, Filtered: batch.Filtered, Sources: batch.IDs}); err != nil {
			t.Fatal(err)
		}
	}) // killed before Done
	put(t, b, day, rows[30:40], nil)
	left := keys(t, b, "inbox/")
	// Were one of them read again, it would be found to be damaged.
	id := ""
	drain(t, &reading{Bucket: b, read: func(key string) {
		if strings.HasPrefix(key, "inbox/") {
			id += key
		}
	}}, func(*inbox.Day, *inbox.Batch) {})
	now := keys(t, b, "inbox/")
	if len(left) != 2 || len(now) != 1 || id != now[0] {
		t.Errorf("left %q, now %q, read %q", left, now, id)
	}
}

// Who reads only changes nothing: what is merged stays, and so does what is no good,
// which is told of.
func TestReadOnly(t *testing.T) {
	ctx := context.Background()
	b := lake.OpenMem()
	l := lake.New(b, lake.Options{})
	rows := laketest.Traffic(1, day, 50)
	put(t, b, day, rows[:30], nil)
	drain(t, b, func(d *inbox.Day, batch *inbox.Batch) {
		if _, _, err := l.Merge(ctx, d.Date, lake.Input{Events: batch.Events, Sources: batch.IDs}); err != nil {
			t.Fatal(err)
		}
	})
	put(t, b, day, rows[30:], nil)
	laketest.Put(t, b, "inbox/readme.txt", []byte("x"), "")
	key, good := object(t, rows[:7], nil)
	laketest.Put(t, b, key, good[:len(good)-1], "")
	before := keys(t, b, "")
	read := 0
	problems := drainOf(t, b, inbox.New(b).ReadOnly(), func(_ *inbox.Day, batch *inbox.Batch) {
		if batch.Events != nil {
			read += len(laketest.Collect(t, batch.Events))
		}
		if err := batch.Done(ctx); err != nil {
			t.Error(err)
		}
	})
	if read != 20 || len(problems) != 2 || problems[0].SetAside || problems[1].SetAside {
		t.Errorf("%d rows, told of %+v", read, problems)
	}
	if diff := cmp.Diff(before, keys(t, b, "")); diff != "" {
		t.Errorf("the bucket changed: %s", diff)
	}
}

type reading struct {
	lake.Bucket
	read func(key string)
}

func (r *reading) Open(ctx context.Context, key string) (lake.Reader, error) {
	r.read(key)
	return r.Bucket.Open(ctx, key)
}

// An error of the bucket is no poison: nothing is set aside.
func TestUnreachableObjectsStay(t *testing.T) {
	b := lake.OpenMem()
	put(t, b, day, laketest.Traffic(1, day, 5), nil)
	days, err := inbox.New(failing{b}).Days(context.Background(), func(p inbox.Problem) { t.Errorf("told of %+v", p) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := days[0].Next(context.Background(), lake.New(b, lake.Options{})); !errors.Is(err, errNoAccess) {
		t.Errorf("got %v", err)
	}
	if n := keys(t, b, "inbox"); len(n) != 1 {
		t.Errorf("there are %q", n)
	}
}

var errNoAccess = errors.New("no access")

type failing struct{ lake.Bucket }

func (failing) Open(context.Context, string) (lake.Reader, error) { return nil, errNoAccess }

func TestWaiting(t *testing.T) {
	b := lake.OpenMem()
	in := inbox.New(b)
	if w, err := in.Waiting(t.Context()); err != nil || w != (inbox.Waiting{}) {
		t.Fatalf("of an empty inbox: %+v, %v", w, err)
	}
	before := time.Now()
	events := laketest.Traffic(3, laketest.Day, 40)
	put(t, b, laketest.Day, events[:30], nil)
	put(t, b, laketest.Day, events[30:], nil)
	put(t, b, laketest.Day, events[30:], nil) // the same object again
	laketest.Put(t, b, "inbox/readme.txt", []byte("x"), "")
	since := time.Date(2026, 2, 17, 1, 2, 3, 0, time.UTC)
	aged := inbox.New(written{b, func(i int) time.Time { return since.Add(time.Duration(i^1) * time.Hour) }})
	if w, err := aged.Waiting(t.Context()); err != nil || !w.Since.Equal(since) {
		t.Errorf("the oldest is of %s, %v; want %s", w.Since, err, since)
	}
	w, err := in.Waiting(t.Context())
	if err != nil || w.Objects != 2 || w.Events != 40 || w.Filtered != 0 || w.Since.Before(before.Add(-time.Second)) || w.Since.After(time.Now()) {
		t.Errorf("%+v, %v", w, err)
	}
}

// written is a bucket whose objects were written at other times.
type written struct {
	lake.Bucket
	at func(i int) time.Time
}

func (w written) List(ctx context.Context, prefix string) ([]lake.Object, error) {
	list, err := w.Bucket.List(ctx, prefix)
	for i := range list {
		list[i].ModTime = w.at(i)
	}
	return list, err
}
