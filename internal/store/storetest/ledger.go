package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/store"
)

func stream(region string) coverage.Stream {
	return coverage.Stream{AccountID: "012345678901", Region: region, Source: "sts.amazonaws.com"}
}

// ledger0 is where marks begin.
const ledger0 = 1_790_000_000

// marks returns a change that marks the n-th stretch of a stream as settled.
func marks(n int64) func(*coverage.Ledger) error {
	return func(l *coverage.Ledger) error {
		from := ledger0 + n*100
		l.Mark(coverage.Read{Span: coverage.Span{From: from, To: from + 100}, Begun: ledger0 + 80*24*60*60})
		return nil
	}
}

func testLedgers(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	want := func(ledgers ...*coverage.Ledger) {
		t.Helper()
		got, err := s.Streams(ctx)
		noError(t, err)
		same(t, "ledgers", got, ledgers)
	}
	want()
	// All fields come back; streams in order.
	a, b := &coverage.Ledger{Stream: stream("eu-west-1")}, &coverage.Ledger{Stream: stream("ap-south-1")}
	change := func(l *coverage.Ledger) error {
		l.Begin(ledger0)
		l.Mark(coverage.Read{Span: coverage.Span{From: ledger0 - 900, To: ledger0}, Begun: ledger0, Requests: 2, Events: 60, New: []int64{ledger0 - 5}})
		l.Fail(coverage.Span{From: ledger0 - 9000, To: ledger0 - 8000}, coverage.Denied, "\x1b[31m'\"\xff", ledger0)
		return nil
	}
	noError(t, change(a))
	noError(t, s.UpdateStream(ctx, a.Stream, change))
	want(a)
	noError(t, s.UpdateStream(ctx, b.Stream, func(*coverage.Ledger) error { return nil })) // a new one is kept as it is
	want(b, a)

	// What a caller does with a ledger afterwards is his own affair.
	got, err := s.Streams(ctx)
	noError(t, err)
	noError(t, marks(7)(got[1]))
	var kept *coverage.Ledger
	noError(t, s.UpdateStream(ctx, b.Stream, func(l *coverage.Ledger) error { kept = l; return nil }))
	noError(t, marks(7)(kept))
	want(b, a)

	// An error of the change undoes it.
	err = s.UpdateStream(ctx, a.Stream, func(l *coverage.Ledger) error {
		noError(t, marks(7)(l))
		return errInjected
	})
	wantError(t, err, errInjected)
	err = s.UpdateStream(ctx, stream("new"), func(*coverage.Ledger) error { return errInjected })
	wantError(t, err, errInjected)
	want(b, a)
}

// testLedgersAtOnce: each update reads what all before it wrote.
func testLedgersAtOnce(t *testing.T, open Open) {
	s := fresh(t, open)
	ctx := t.Context()
	const writers, each = 8, 20
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				errs[w] = errors.Join(errs[w], s.UpdateStream(ctx, stream("eu-west-1"), func(l *coverage.Ledger) error {
					l.Requests++
					return nil
				}))
			}
		})
	}
	wg.Wait()
	noError(t, errors.Join(errs...))
	got, err := s.Streams(ctx)
	noError(t, err)
	same(t, "updates", got[0].Requests, int64(writers*each))
}

func testAccountNames(t *testing.T, open Open) {
	ctx := t.Context()
	at := newClock().at
	name := func(id, name, source string, seen time.Duration) store.AccountName {
		return store.AccountName{AccountID: id, Name: name, Source: source, Seen: at.Add(seen)}
	}
	all := []store.AccountName{
		name("1", "old", "z", 0), name("1", "new", "file", time.Hour), name("1", "newer\xff\x00", "file", time.Hour+300*time.Microsecond),
		name("2", "b", "file", 0), name("2", "é", "file", 0), name("2", "zz", "a", 0),
	}
	want := []store.AccountName{name("1", "newer\xff\x00", "file", time.Hour), name("2", "é", "file", 0)}
	rapid.Check(t, func(rt *rapid.T) {
		s := fresh(t, open)
		for _, a := range rapid.Permutation(all).Draw(rt, "order") {
			a.Seen = a.Seen.In(time.FixedZone("", 3600))
			noError(t, s.PutAccountNames(ctx, []store.AccountName{a, a}))
		}
		noError(t, s.PutAccountNames(ctx, nil))
		got, err := s.AccountNames(ctx)
		noError(t, err)
		same(t, "names", got, want)
		noError(t, s.Close())
	})
}

// drawLedgerCall draws a call about streams or account names.
func drawLedgerCall(rt *rapid.T, now time.Time) func(s store.Store, which int) string {
	ctx := rt.Context()
	n := rapid.Int64Range(0, 5).Draw(rt, "part")
	fails := rapid.Bool().Draw(rt, "fails")
	region := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "region")
	seen := now.Add(time.Duration(n%3) * time.Hour)
	return func(s store.Store, _ int) string {
		err := s.UpdateStream(ctx, stream(region), func(l *coverage.Ledger) error {
			l.Begin(ledger0 + n*1000)
			if fails {
				return store.ErrNotFound
			}
			return marks(n)(l)
		})
		err2 := s.PutAccountNames(ctx, []store.AccountName{{AccountID: region, Name: fmt.Sprint(n), Seen: seen}})
		names, err3 := s.AccountNames(ctx)
		return words(err, err2, names, err3)
	}
}
