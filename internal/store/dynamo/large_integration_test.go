//go:build integration

package dynamo_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// shelf is a place for large values that may be gone.
type shelf struct {
	mu   sync.Mutex
	kept map[string][]byte
	gone error
}

func (s *shelf) Put(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.kept[name] = data
	}
	return s.gone
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name], s.gone
}

// TestLedgerLargerThanAnItem: a stream with so many gaps, each with words of its own,
// that its ledger doesn't fit an item. Wherever its writing breaks off, what is read is
// the ledger of before or after, whole, and of changes at once none is lost.
func TestLedgerLargerThanAnItem(t *testing.T) {
	url := peers.DynamoDB(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Unix()
	stream := coverage.Stream{AccountID: "111122223333", Region: "eu-west-3", Source: "sts.amazonaws.com"}
	rng := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a test
	words := func() string {           // which don't compress to less than half
		b := make([]byte, 240)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return hex.EncodeToString(b)
	}
	var details []string
	for range 3000 {
		details = append(details, words())
	}
	const step = 2400                 // seconds
	at := func(i int) coverage.Span { // with something between them, or they become one
		from := now - int64(i+2)*step
		return coverage.Span{From: from, To: from + step/2}
	}
	grow := func(l *coverage.Ledger) error {
		l.Begin(now)
		for i, d := range details {
			l.Fail(at(i), coverage.Failed, d, now)
		}
		return nil
	}
	errLost := errors.New("the connection broke")
	for _, aside := range []string{"parts", "bucket"} {
		t.Run(aside, func(t *testing.T) {
			db, tr := troubled(t, url)
			ctx := t.Context()
			var o dynamo.Options
			bucket := &shelf{kept: map[string][]byte{}}
			if aside == "bucket" {
				o.Blobs = bucket
			}
			s := dynamo.Open(db, table(t, db), o)
			read := func() *coverage.Ledger {
				t.Helper()
				all, err := s.Streams(ctx)
				if err != nil || len(all) != 1 {
					t.Fatalf("%d ledgers, %v", len(all), err)
				}
				return all[0]
			}
			want := &coverage.Ledger{Stream: stream}
			if err := grow(want); err != nil {
				t.Fatal(err)
			}

			// The table is busy at first, and each answer to a write gets lost once.
			seen := map[int]bool{}
			tr.set(func(action string, n int, send func() (*http.Response, error)) (*http.Response, error) {
				if action != "PutItem" {
					return send()
				}
				if n < 4 {
					return refuse("ProvisionedThroughputExceededException", "slow down"), nil
				}
				if !seen[n/2] {
					seen[n/2] = true
					if resp, err := send(); err == nil {
						_ = resp.Body.Close()
					}
					return nil, errLost
				}
				return send()
			})
			if err := s.UpdateStream(ctx, stream, grow); err != nil {
				t.Fatal(err)
			}
			tr.set(nil)
			if size := len(want.Encode()); size < 1_000_000 {
				t.Fatalf("the ledger has %d bytes: too few", size)
			}
			if got := read(); !got.Equal(want) {
				t.Fatal("the ledger isn't what was written")
			}
			if aside == "bucket" && len(bucket.kept) != 1 {
				t.Errorf("the bucket has %d values", len(bucket.kept))
			}

			// A change that breaks off anywhere leaves what was.
			change := func(detail string, i int) func(*coverage.Ledger) error {
				return func(l *coverage.Ledger) error {
					l.Fail(at(i), coverage.Failed, detail, now)
					return nil
				}
			}
			breaks := 1
			if aside == "parts" {
				breaks = 3
			}
			for n := range breaks {
				puts := 0
				tr.set(func(action string, _ int, send func() (*http.Response, error)) (*http.Response, error) {
					if action == "PutItem" {
						if puts++; puts > n {
							return refuse("AccessDeniedException", "not authorized to perform: dynamodb:PutItem"), nil
						}
					}
					return send()
				})
				if err := s.UpdateStream(ctx, stream, change("never kept", n)); err == nil || !strings.Contains(err.Error(), "dynamodb:PutItem") {
					t.Errorf("break after %d writes: %v", n, err)
				}
				tr.set(nil)
				if got := read(); !got.Equal(want) {
					t.Fatalf("break after %d writes: the ledger has changed", n)
				}
			}
			if aside == "bucket" {
				bucket.gone = errors.New("the bucket is gone")
				if err := s.UpdateStream(ctx, stream, change("never kept", 0)); !errors.Is(err, bucket.gone) {
					t.Errorf("without the bucket: %v", err)
				}
				if _, err := s.Streams(ctx); !errors.Is(err, bucket.gone) || !strings.Contains(err.Error(), "too large") {
					t.Errorf("reading without the bucket: %v", err)
				}
				bucket.gone = nil
			}

			var wg sync.WaitGroup
			for i := range 4 {
				detail := fmt.Sprintf("change %d", i)
				if err := change(detail, i)(want); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					if err := s.UpdateStream(ctx, stream, change(detail, i)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			gaps := map[string]bool{}
			for _, g := range read().Gaps(want.Promised()) {
				gaps[g.Detail] = true
			}
			for _, g := range want.Gaps(want.Promised()) {
				if !gaps[g.Detail] {
					t.Errorf("lost is %.40q", g.Detail)
				}
			}

			// All is read at last, and the ledger is small again.
			if err := s.UpdateStream(ctx, stream, func(l *coverage.Ledger) error {
				l.Mark(coverage.Read{Span: l.Promised(), Begun: now, Requests: 1})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if got := read(); len(got.Gaps(got.Promised())) != 0 || len(got.Encode()) > 10_000 {
				t.Errorf("%d gaps in %d bytes", len(got.Gaps(got.Promised())), len(got.Encode()))
			}
		})
	}
}
