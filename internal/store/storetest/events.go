package storetest

import (
	"math"
	"math/rand"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func testPut(t *testing.T, open Open) {
	low, mid, high := made(1, version("1.08", 5)), made(1, version("1.08", 9)), made(1, version("1.11", 2))
	t.Run("new", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, made(2), made(1, onDay(1)))
		same(t, "first day", all(t, s.Day(t.Context(), day0)), []event.Event{made(2)})
		same(t, "second day", all(t, s.Day(t.Context(), day0+1)), []event.Event{made(1, onDay(1))})
		same(t, "dirty", dirty(t, s), []event.Date{day0, day0 + 1})
	})
	t.Run("again changes nothing", func(t *testing.T) {
		s := fresh(t, open)
		for range 2 {
			put(t, s, low, low, high)
		}
		clean(t, s)
		before := mustDump(t, s)
		put(t, s, high)
		put(t, s, low)
		same(t, "state", mustDump(t, s), before)
		same(t, "dirty", dirty(t, s), nil)
	})
	for name, order := range map[string][]event.Event{
		"rising": {low, mid, high}, "falling": {high, mid, low}, "mixed": {mid, high, low},
	} {
		for _, together := range []bool{true, false} {
			t.Run("the greatest version stays, "+name, func(t *testing.T) {
				s := fresh(t, open)
				if together {
					put(t, s, order...)
				} else {
					for _, e := range order {
						put(t, s, e)
					}
				}
				same(t, "event", all(t, s.Day(t.Context(), day0)), []event.Event{high})
				same(t, "conflicts", all(t, s.Conflicts(t.Context())), []event.Event{low, mid})
			})
		}
	}
	t.Run("minor versions are numbers and hashes unsigned", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, made(1, version("1.9", 1)), made(1, version("1.10", 0)), made(2, version("1.9", 7)), made(2, version("1.9", math.MaxUint64)))
		same(t, "events", all(t, s.Day(t.Context(), day0)),
			[]event.Event{made(1, version("1.10", 0)), made(2, version("1.9", math.MaxUint64))})
	})
	t.Run("the day left behind becomes dirty", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, low)
		clean(t, s)
		put(t, s, made(1, version("1.11", 2), onDay(3)))
		same(t, "dirty", dirty(t, s), []event.Date{day0, day0 + 3})
		same(t, "old day", all(t, s.Day(t.Context(), day0)), nil)
		same(t, "new day", len(all(t, s.Day(t.Context(), day0+3))), 1)
	})
	t.Run("the day of a new loser becomes dirty, once", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, high)
		clean(t, s)
		loser := made(1, version("1.08", 5), onDay(2))
		put(t, s, loser)
		same(t, "dirty", dirty(t, s), []event.Date{day0 + 2})
		clean(t, s)
		put(t, s, loser)
		same(t, "dirty again", dirty(t, s), nil)
	})
	t.Run("accounts are apart", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, made(1), made(1, account("")), made(1, account("999")))
		same(t, "events", len(all(t, s.Day(t.Context(), day0))), 3)
		same(t, "conflicts", len(all(t, s.Conflicts(t.Context()))), 0)
	})
	t.Run("nothing", func(t *testing.T) {
		s := fresh(t, open)
		noError(t, s.Put(t.Context(), nil, nil))
		same(t, "dirty", dirty(t, s), nil)
	})
	t.Run("filtered", func(t *testing.T) { testPutFiltered(t, open) })
}

func testPutFiltered(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	filtered := func(rows ...event.Filtered) { t.Helper(); noError(t, s.Put(ctx, nil, rows)) }
	filtered(dropped(2), dropped(1), dropped(2))
	same(t, "rows", all(t, s.DayFiltered(ctx, day0)), []event.Filtered{dropped(1), dropped(2)})
	same(t, "dirty", dirty(t, s), []event.Date{day0})
	clean(t, s)

	filtered(dropped(2), dropped(1))
	same(t, "the same rows again", dirty(t, s), nil)
	filtered(dropped(2), dropped(1, onDay(1)), dropped(1), dropped(7, onDay(2)))
	same(t, "only days that gained a row", dirty(t, s), []event.Date{day0 + 1, day0 + 2})
	same(t, "the key on its first day", all(t, s.DayFiltered(ctx, day0)), []event.Filtered{dropped(1), dropped(2)})
	same(t, "the key on another day", all(t, s.DayFiltered(ctx, day0+1)), []event.Filtered{dropped(1, onDay(1))})
	clean(t, s)

	role, later := dropped(1), dropped(1)
	role.Reason = "role"
	later.EventTime += 500
	filtered(later, role)
	same(t, "dirty", dirty(t, s), []event.Date{day0})
	rows := []event.Filtered{role, dropped(1), later, dropped(2)}
	same(t, "all contents stay", all(t, s.DayFiltered(ctx, day0)), rows)
	clean(t, s)
	found, err := s.FindFiltered(ctx, append([]event.Filtered{dropped(3), dropped(1, onDay(5)), dropped(9)}, rows...))
	noError(t, err)
	same(t, "found", found, map[event.Filtered]bool{role: true, dropped(1): true, later: true, dropped(2): true})
	found, err = s.FindFiltered(ctx, nil)
	noError(t, err)
	same(t, "of none", len(found), 0)

	put(t, s, made(1, onDay(3)), made(2))
	same(t, "the days of the events", dirty(t, s), []event.Date{day0, day0 + 3})
	same(t, "an event removes no filtered row", all(t, s.DayFiltered(ctx, day0)), rows)
	noError(t, s.Put(ctx, []event.Event{made(3)}, []event.Filtered{dropped(3)}))
	same(t, "nor keeps one out", all(t, s.DayFiltered(ctx, day0)), append(rows, dropped(3)))
	same(t, "and the events stay", len(all(t, s.Day(ctx, day0))), 2)
}

func testRead(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	var events []event.Event
	var keys []event.Key
	yes, no := true, false
	for n := range 200 {
		e := made(n)
		switch n % 3 {
		case 1:
			e.ReadOnly, e.MFA = &yes, &no
		case 2:
			e.AccountID, e.MFA = "9", &yes
		}
		events = append(events, e)
		keys = append(keys, e.Key(), event.Key{AccountID: e.AccountID, EventID: "absent"})
	}
	shuffled := append([]event.Event(nil), events...)
	rand.New(rand.NewSource(1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	noError(t, s.Put(ctx, shuffled, []event.Filtered{dropped(1000), dropped(1001, onDay(4), account("8")), dropped(1002, account("8"))}))

	t.Run("Find", func(t *testing.T) {
		want := map[event.Key]store.Found{}
		for _, e := range events {
			want[e.Key()] = store.Found{Date: e.Date(), Version: e.Version()}
		}
		got, err := s.Find(ctx, append(keys, keys[0], dropped1000().Key()))
		noError(t, err)
		same(t, "found", got, want)
	})
	t.Run("Event", func(t *testing.T) {
		got, err := s.Event(ctx, events[1].Key())
		noError(t, err)
		same(t, "event", got, events[1])
		*got.ReadOnly, *got.MFA = false, true
		again, err := s.Event(ctx, events[1].Key())
		noError(t, err)
		same(t, "the caller owns it", again, events[1])
		_, err = s.Event(ctx, event.Key{AccountID: "012345678901", EventID: "absent"})
		wantError(t, err, store.ErrNotFound)
		_, err = s.Event(ctx, dropped1000().Key())
		wantError(t, err, store.ErrNotFound)
	})
	t.Run("Day", func(t *testing.T) {
		got := all(t, s.Day(ctx, day0))
		same(t, "number", len(got), len(events))
		for i := 1; i < len(got); i++ {
			if got[i-1].Compare(&got[i]) >= 0 {
				t.Fatalf("row %d is not after row %d", i, i-1)
			}
		}
		same(t, "an empty day", all(t, s.Day(ctx, day0+9)), nil)
	})
	t.Run("Day stops when told, and again from the start", func(t *testing.T) {
		seq := s.Day(ctx, day0)
		for range 2 {
			n := 0
			for _, err := range seq {
				noError(t, err)
				if n++; n == 3 {
					break
				}
			}
			same(t, "rows", n, 3)
		}
	})
	t.Run("Day is as of one moment", func(t *testing.T) {
		s := fresh(t, open)
		put(t, s, made(1), made(2))
		var seen []event.Event
		for e, err := range s.Day(ctx, day0) {
			noError(t, err)
			seen = append(seen, e)
			put(t, s, made(3), made(2, version("1.11", 1))) // and a loop may write
		}
		same(t, "seen", seen, []event.Event{made(1), made(2)})
		same(t, "afterwards", len(all(t, s.Day(ctx, day0))), 3)
	})
	t.Run("DayFiltered", func(t *testing.T) {
		same(t, "rows", all(t, s.DayFiltered(ctx, day0)), []event.Filtered{dropped(1000), dropped(1002, account("8"))})
		same(t, "another day", all(t, s.DayFiltered(ctx, day0+4)), []event.Filtered{dropped(1001, onDay(4), account("8"))})
	})
	t.Run("DayFiltered is in order of all fields", func(t *testing.T) {
		s := fresh(t, open)
		rows := []event.Filtered{dropped(1)}
		for _, set := range []func(*event.Filtered){ // each above those before it
			func(f *event.Filtered) { f.Reason = "t" },
			func(f *event.Filtered) { f.EventName = "Z" },
			func(f *event.Filtered) { f.EventSource = "z" },
			func(f *event.Filtered) { f.AWSRegion = "z" },
			func(f *event.Filtered) { f.EventID = "z" },
			func(f *event.Filtered) { f.EventTime++ },
			func(f *event.Filtered) { f.AccountID = "9" },
		} {
			f := dropped(1)
			set(&f)
			rows = append(rows, f)
		}
		shuffled := slices.Clone(rows)
		rand.New(rand.NewSource(1)).Shuffle(len(rows), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		noError(t, s.Put(ctx, nil, shuffled))
		same(t, "rows", all(t, s.DayFiltered(ctx, day0)), rows)
	})
	t.Run("DayFiltered is as of one moment", func(t *testing.T) {
		s := fresh(t, open)
		noError(t, s.Put(ctx, nil, []event.Filtered{dropped(1), dropped(2)}))
		var seen []event.Filtered
		for f, err := range s.DayFiltered(ctx, day0) {
			noError(t, err)
			seen = append(seen, f)
			noError(t, s.Put(ctx, nil, []event.Filtered{dropped(3)}))
		}
		same(t, "seen", seen, []event.Filtered{dropped(1), dropped(2)})
		same(t, "afterwards", len(all(t, s.DayFiltered(ctx, day0))), 3)
	})
}

func dropped1000() *event.Filtered {
	f := dropped(1000)
	return &f
}

// hostile are strings that stores tend to change or trip over.
var hostile = []string{
	"\x00", "a\x00b", "'; DROP TABLE events; --", "\xff\xfe invalid \xc3", "\u202e right to left", "\u2028\r\n\t\x1b[31m",
	"%s%n$1?", `\`, `"`, "𝕊🏴‍☠️", " ", "null", strings.Repeat("long ", 1<<12),
}

func testHostile(t *testing.T, open Open) {
	ctx := t.Context()
	s := fresh(t, open)
	var events []event.Event
	var rows []event.Filtered
	for i, h := range hostile {
		e := made(i)
		fields := reflect.ValueOf(&e).Elem()
		for f := range fields.NumField() {
			if fields.Field(f).Kind() == reflect.String {
				fields.Field(f).SetString(h)
			}
		}
		e.EventID += "x"
		events = append(events, e)
		rows = append(rows, event.Filtered{EventID: h, EventTime: e.EventTime, AccountID: h, AWSRegion: h, EventSource: h, EventName: h, Reason: h})
	}
	noError(t, s.Put(ctx, events, rows))
	for _, e := range events {
		got, err := s.Event(ctx, e.Key())
		noError(t, err)
		same(t, "event", got, e)
	}
	same(t, "events", len(all(t, s.Day(ctx, day0))), len(hostile))
	got := all(t, s.DayFiltered(ctx, day0))
	for _, row := range rows {
		if !slices.Contains(got, row) {
			t.Fatalf("the filtered row of %.40q came back changed", row.EventID)
		}
	}
	same(t, "filtered", len(got), len(hostile))

	for _, h := range hostile {
		id := "id" + h
		settle := func(facts []rule.Fact) []rule.Alert {
			f := facts[0]
			same(t, "fact", []string{f.Title, f.Targets[0], f.Data[h], f.EventID, f.Kind}, []string{h, h, h, h, h})
			return []rule.Alert{{ID: id, Rule: h, Title: h, EventID: h, Actor: h, AccountID: h, Targets: []string{h}, Detail: h,
				Events: []rule.EventRef{{EventID: h, EventName: h, EventTime: 7}}}}
		}
		_, err := s.Record(ctx, store.Findings{
			Facts:    []rule.Fact{{Rule: h, Group: h, Kind: h, EventID: h, AccountID: h, Title: h, Targets: []string{h}, Data: map[string]string{h: h}}},
			Rejected: []store.Rejected{{SHA256: h, File: h, Reason: h, Excerpt: h, Seen: newClock().at}},
		}, settle)
		noError(t, err)
		noError(t, s.Ack(ctx, []string{id}, h, h, newClock().at))
		a, err := s.Alert(ctx, id)
		noError(t, err)
		same(t, "alert", []string{a.Rule, a.Title, a.Detail, a.AckedBy, a.Note, a.Targets[0], a.Events[0].EventName}, []string{h, h, h, h, h, h, h})
		noError(t, s.SetMeta(ctx, h, h))
		v, err := s.Meta(ctx, h)
		noError(t, err)
		same(t, "meta", v, h)
		noError(t, s.FileDone(ctx, h, []store.FileState{{Path: h}}))
		files, err := s.Imported(ctx, []string{h})
		noError(t, err)
		same(t, "file", files[h].Path, h)
		l, err := s.Acquire(ctx, h, h, 1e9)
		noError(t, err)
		noError(t, l.Release(ctx))
	}
	same(t, "rejected", len(all(t, s.Rejected(ctx))), len(hostile))

	t.Run("large values", func(t *testing.T) {
		s := fresh(t, open)
		noise := make([]byte, 4<<20)
		rand.New(rand.NewSource(1)).Read(noise) //nolint:errcheck // never fails
		e := made(1)
		e.Rest, e.RequestParameters, e.ErrorMessage = string(noise), strings.Repeat("a", 4<<20), string(noise[:1<<20])
		put(t, s, e)
		got, err := s.Event(ctx, e.Key())
		noError(t, err)
		if !reflect.DeepEqual(got, e) {
			t.Fatal("a large event came back changed")
		}
	})
	t.Run("extreme numbers", func(t *testing.T) {
		s := fresh(t, open)
		for i, ms := range []int64{0, -1, 1, int64(math.MaxInt32) * msPerDay, int64(math.MinInt32) * msPerDay} {
			e := made(i)
			e.EventTime, e.RecordHash = ms, math.MinInt64
			put(t, s, e)
			got, err := s.Event(ctx, e.Key())
			noError(t, err)
			same(t, "event", got, e)
			if !slices.ContainsFunc(all(t, s.Day(ctx, e.Date())), func(o event.Event) bool { return o.EventID == e.EventID }) {
				t.Fatalf("the event of %d is not on its day", ms)
			}
		}
	})
}

func testLargeDay(t *testing.T, open Open) {
	if testing.Short() {
		t.Skip("100,000 rows")
	}
	s := fresh(t, open)
	const rows = 100_000
	batch := make([]event.Event, 0, 10_000)
	for n := range rows {
		e := made((n * 7919) % rows) // a permutation
		e.EventTime = int64(day0)*msPerDay + int64(n%1000)
		e.Rest = strings.Repeat("0123456789abcdef", 64)
		if batch = append(batch, e); len(batch) == cap(batch) {
			put(t, s, batch...)
			batch = batch[:0]
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	n := 0
	var last event.Event
	var before, most uint64
	for e, err := range s.Day(t.Context(), day0) {
		noError(t, err)
		if n > 0 && last.Compare(&e) >= 0 {
			t.Fatalf("row %d is out of order", n)
		}
		last = e
		if n == 0 {
			before = heap()
		}
		if n++; n%10_000 == 0 {
			most = max(most, heap())
		}
	}
	same(t, "rows", n, rows)
	// The day is 100 MB. A store that holds it in memory anyway has it before the
	// first row, too.
	if grown := int64(most) - int64(before); grown > 16<<20 {
		t.Fatalf("reading the day took %d MB of memory", grown>>20)
	}
}

func mustDump(tb testing.TB, s store.Store, dates ...event.Date) State {
	tb.Helper()
	st, err := Dump(tb.Context(), s, dates...)
	noError(tb, err)
	return st
}
