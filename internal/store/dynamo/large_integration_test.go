//go:build integration

package dynamo_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
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
			name := table(t, db)
			s := dynamo.Open(db, name, o)
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
			if aside == "bucket" {
				if keys := slices.Collect(maps.Keys(bucket.kept)); len(keys) != 1 || !strings.HasPrefix(keys[0], "large/ledger/") {
					t.Fatalf("the bucket has %v", keys)
				} else if old, err := dynamo.MakeOldReference(ctx, db, name, stream, path.Base(keys[0])); err != nil {
					t.Fatal(err)
				} else { // where values were before
					bucket.kept[old] = bucket.kept[keys[0]]
					delete(bucket.kept, keys[0])
					if got := read(); !got.Equal(want) {
						t.Error("by an old reference another ledger is read")
					}
				}
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

// TestLargeValuesExpire: as the bucket's lifecycle deletes objects, each event can be read
// as long as its item may be there, also a late one and whatever the retention became;
// afterwards its body is gone.
func TestLargeValuesExpire(t *testing.T) {
	db := connect(t, peers.DynamoDB(t))
	name, ctx := table(t, db), t.Context()
	now := clockAt()
	bucket := &aging{shelf: shelf{kept: map[string][]byte{}}, made: map[string]time.Time{}, now: &now}
	const day = 24 * time.Hour
	noise := make([]byte, 600_000)
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	needed := map[event.Key]time.Time{}
	put := func(id string, hash int64, at time.Time, keep time.Duration) *dynamo.Store {
		t.Helper()
		for i := range noise {
			noise[i] = byte(rng.Uint32())
		}
		s := dynamo.Open(db, name, dynamo.Options{Now: func() time.Time { return now }, Keep: keep, Blobs: bucket})
		e := event.Event{EventID: id, AccountID: "1", EventTime: at.UnixMilli(), EventVersion: "1.08", RecordHash: hash, EventName: "PutRolePolicy", RequestParameters: hex.EncodeToString(noise)}
		if err := s.Put(ctx, []event.Event{e}, nil); err != nil {
			t.Fatal(err)
		}
		expires := at.Add(keep)
		if least := now.Add(7 * day); least.After(expires) {
			expires = least
		}
		needed[e.Key()] = expires.Add(7 * day) // as long as DynamoDB may take
		return s
	}
	put("now", 1, now, 30*day)
	put("late", 1, now.Add(-60*day), 30*day)
	s := put("shorter", 1, now, 5*day) // the retention is another one
	put("years", 1, now, 3650*day)
	if len(bucket.kept) != 4 {
		t.Fatalf("%d of 4 bodies are in the bucket", len(bucket.kept))
	}
	gone := 0
	for range 90 {
		now = now.Add(day)
		bucket.pass()
		for k, until := range needed {
			if now.After(until) {
				continue
			}
			if _, err := s.Event(ctx, k); err != nil {
				t.Fatalf("%s, needed until %v, isn't there at %v: %v", k.EventID, until, now, err)
			}
		}
		gone = 4 - len(bucket.kept)
	}
	if gone != 3 {
		t.Errorf("after 90 days %d bodies of 3 are gone", gone)
	}
	now = now.Add(4100 * day)
	bucket.pass()
	if len(bucket.kept) != 0 {
		t.Errorf("%d bodies stay for ever", len(bucket.kept))
	}
}

// aging is a shelf of which a lifecycle deletes what Lifetimes allows, at the midnight
// after (Amazon S3 User Guide, "Lifecycle configuration elements").
type aging struct {
	shelf
	made map[string]time.Time
	now  *time.Time
}

func (a *aging) Put(ctx context.Context, key string, data []byte) error {
	if _, there := a.kept[key]; there {
		return nil
	}
	a.made[key] = *a.now
	return a.shelf.Put(ctx, key, data)
}

func (a *aging) Get(ctx context.Context, key string) ([]byte, error) {
	if _, there := a.kept[key]; !there {
		return nil, errors.New("no such key: " + key)
	}
	return a.shelf.Get(ctx, key)
}

func (a *aging) pass() {
	for key, made := range a.made {
		for _, l := range dynamo.Lifetimes() {
			if strings.HasPrefix(key, l.Prefix) && !a.now.Before(made.Add(time.Duration(l.Days)*24*time.Hour)) {
				delete(a.kept, key)
				delete(a.made, key)
			}
		}
	}
}

// TestLargeKeys: one content is written for items that expire at different times, in any
// order. The object that has a key outlives each item that refers to it, whoever made it.
func TestLargeKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	const day = 24 * 60 * 60
	made := map[string]int64{}
	now := clockAt().Unix()
	for range 20_000 {
		now += rng.Int64N(day / 4)
		expires := now + 7*day + rng.Int64N([]int64{day, 30 * day, 4000 * day}[rng.IntN(3)])
		key := dynamo.LargeKey("event", "sum", expires, now)
		if _, ok := made[key]; !ok {
			made[key] = now
		}
		for _, l := range dynamo.Lifetimes() {
			if strings.HasPrefix(key, l.Prefix) && made[key]+l.Days*day < expires+7*day {
				t.Fatalf("%s is deleted %d s before its item may be gone", key, expires+7*day-made[key]-l.Days*day)
			}
		}
	}
	if len(made) < 1000 {
		t.Errorf("%d keys", len(made))
	}
	for _, never := range []int64{0, now + 5000*day} {
		if key := dynamo.LargeKey("event", "sum", never, now); key != "large/event/sum" {
			t.Errorf("what expires at %d is at %s", never, key)
		}
	}
}
