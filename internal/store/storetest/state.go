package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/store"
)

func testJobs(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	at := time.Date(2026, 1, 2, 3, 4, 5, 123_456_789, time.UTC)
	a := store.FileState{Path: "a.gz", Size: 1, ModTime: at}
	b := store.FileState{Path: "b.gz", Size: 2} // no time, as standard input has
	job := func(name string, want ...store.FileState) {
		t.Helper()
		files := map[string]store.FileState{}
		for _, f := range want {
			files[f.Path] = f
		}
		for range 2 {
			got, err := s.Job(ctx, name)
			noError(t, err)
			same(t, "job "+name, got, files)
		}
	}
	job("one")
	for range 2 {
		noError(t, s.FileDone(ctx, "one", []store.FileState{a}))
		job("one", a)
	}
	noError(t, s.FileDone(ctx, "one", []store.FileState{b}))
	job("one", a, b)
	job("two")
	grown := a
	grown.ETag, grown.Selection = `"5d41402abc4b2a76b9719d911017c592"`, "iam.amazonaws.com"
	grown.Size, grown.ModTime = 9, at.Add(time.Nanosecond).In(time.FixedZone("", 3600))
	noError(t, s.FileDone(ctx, "two", []store.FileState{grown}))
	job("two", grown)
	job("one", a, b)
	noError(t, s.FileDone(ctx, "three", []store.FileState{b})) // started by it
	job("three", b)
	for range 2 {
		noError(t, s.EndJob(ctx, "one"))
	}
	noError(t, s.EndJob(ctx, "absent"))
	job("one")
	job("two", grown)
	got, err := s.Imported(ctx, []string{"a.gz", "b.gz", "c.gz", "a.gz"})
	noError(t, err)
	same(t, "imported, the last state of each", got, map[string]store.FileState{"a.gz": grown, "b.gz": b})
	got, err = s.Imported(ctx, nil)
	noError(t, err)
	same(t, "imported", got, nil)
}

func testMeta(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	for _, want := range []string{"", "one", "two", ""} {
		if want != "" {
			noError(t, s.SetMeta(ctx, "k", want))
			noError(t, s.SetMeta(ctx, "other", "x"))
		} else {
			noError(t, s.SetMeta(ctx, "k", ""))
		}
		got, err := s.Meta(ctx, "k")
		noError(t, err)
		same(t, "value", got, want)
	}
	got, err := s.Meta(ctx, "never set")
	noError(t, err)
	same(t, "value", got, "")
}

func testLeases(t *testing.T, open Open) {
	ctx := t.Context()
	const ttl = 30 * time.Second
	c := newClock()
	s := open(t, c.now)
	held := func(holder string, want store.HeldError) {
		t.Helper()
		_, err := s.Acquire(ctx, "lake", holder, ttl)
		var got *store.HeldError
		if !errors.As(err, &got) {
			t.Fatalf("got %v, want a lease that is held", err)
		}
		same(t, "holder", *got, want)
	}
	take := func(name, holder string) store.Lease {
		t.Helper()
		l, err := s.Acquire(ctx, name, holder, ttl)
		noError(t, err)
		return l
	}
	start := c.at
	first := take("lake", "one")
	take("other", "one") // names are apart
	held("two", store.HeldError{Name: "lake", Holder: "one", Since: start})
	held("one", store.HeldError{Name: "lake", Holder: "one", Since: start}) // nor twice

	c.advance(ttl - time.Millisecond)
	held("two", store.HeldError{Name: "lake", Holder: "one", Since: start})
	noError(t, first.Renew(ctx))
	c.advance(ttl - time.Millisecond)
	held("two", store.HeldError{Name: "lake", Holder: "one", Since: start})

	// Run out, and taken by nobody: it may be renewed.
	c.advance(time.Hour)
	noError(t, first.Renew(ctx))
	held("two", store.HeldError{Name: "lake", Holder: "one", Since: start})

	// The holder died: free after ttl, not before.
	c.advance(ttl)
	second := take("lake", "two")
	wantError(t, first.Renew(ctx), store.ErrLeaseLost)
	noError(t, first.Release(ctx)) // takes nothing from the new holder
	held("three", store.HeldError{Name: "lake", Holder: "two", Since: c.at})
	noError(t, second.Renew(ctx))

	for range 2 {
		noError(t, second.Release(ctx))
	}
	wantError(t, second.Renew(ctx), store.ErrLeaseLost)
	wantError(t, first.Renew(ctx), store.ErrLeaseLost)
	third := take("lake", "one")
	// The same holder's name is not the same lease.
	wantError(t, first.Renew(ctx), store.ErrLeaseLost)
	noError(t, first.Release(ctx))
	noError(t, third.Renew(ctx))

	for _, ttl := range []time.Duration{0, -1} {
		if _, err := s.Acquire(ctx, "x", "one", ttl); err == nil {
			t.Fatalf("a lease for %v", ttl)
		}
	}
}

// each calls every method; the iterators are read to the end.
func each(ctx context.Context, s store.Store, call func(name string, err error)) {
	_, err := s.Find(ctx, []event.Key{{EventID: "a"}})
	call("Find", err)
	_, err = s.FindFiltered(ctx, []event.Filtered{{EventID: "a"}})
	call("FindFiltered", err)
	_, err = s.Event(ctx, event.Key{EventID: "a"})
	call("Event", err)
	_, err = gather(s.Day(ctx, day0))
	call("Day", err)
	_, err = gather(s.DayFiltered(ctx, day0))
	call("DayFiltered", err)
	_, err = s.DirtyDays(ctx)
	call("DirtyDays", err)
	_, err = s.LakeDays(ctx)
	call("LakeDays", err)
	_, err = s.IsConflict(ctx, []store.ConflictRef{{}})
	call("IsConflict", err)
	_, err = gather(s.Conflicts(ctx))
	call("Conflicts", err)
	_, err = gather(s.Rejected(ctx))
	call("Rejected", err)
	_, err = s.Alerts(ctx, store.AlertFilter{})
	call("Alerts", err)
	_, err = s.Alert(ctx, "aaaa")
	call("Alert", err)
	_, err = s.Imported(ctx, []string{"a"})
	call("Imported", err)
	_, err = s.Meta(ctx, "a")
	call("Meta", err)
	_, err = s.Streams(ctx)
	call("Streams", err)
	_, err = s.AccountNames(ctx)
	call("AccountNames", err)
	_, err = s.Counts(ctx)
	call("Counts", err)
	for _, w := range writes {
		call(w.point, w.do(ctx, s))
	}
	_, err = s.Acquire(ctx, "x", "y", time.Hour)
	call("Acquire", err)
}

func testClosed(t *testing.T, open Open) {
	s := fresh(t, open)
	put(t, s, made(1))
	for range 2 {
		noError(t, s.Close())
	}
	each(t.Context(), s, func(name string, err error) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s of a closed store: %v", name, err)
		}
	})
}

func testCancelled(t *testing.T, open Open) {
	s := fresh(t, open)
	prepare(t, s)
	before := mustDump(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.Day(ctx, day0) {
		cancel()
		if err != nil {
			wantError(t, err, context.Canceled)
		}
	}
	each(ctx, s, func(name string, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v", name, err)
		}
	})
	same(t, "nothing was written", mustDump(t, s), before)
}
