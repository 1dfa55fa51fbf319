//go:build integration

package dynamo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
	"github.com/iamtrack/iamtrack/internal/store/storetest"
)

// trouble stands between the store and its table. harm is asked for each request; it
// may answer instead of the table, or spoil the table's answer.
type trouble struct {
	mu   sync.Mutex
	harm func(action string, n int, send func() (*http.Response, error)) (*http.Response, error)
	n    int
	did  map[string]int // requests by action
}

func (tr *trouble) Do(r *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	tr.mu.Lock()
	tr.n++
	n, harm := tr.n, tr.harm
	if tr.did == nil {
		tr.did = map[string]int{}
	}
	tr.did[action]++
	tr.mu.Unlock()
	send := func() (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) }
	if harm == nil {
		return send()
	}
	return harm(action, n, send)
}

func (tr *trouble) set(harm func(string, int, func() (*http.Response, error)) (*http.Response, error)) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.harm, tr.n = harm, 0
}

// refuse is an answer of DynamoDB's that refuses.
func refuse(code, message string) *http.Response {
	body := fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":%q}`, code, message)
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Requestid": {"1"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// unprocessed has the table do half of a batch (nothing of one thing), and gives the
// rest back as not done. So does AWS when the table is short of capacity (DynamoDB API
// Reference, "BatchGetItem", "BatchWriteItem").
func unprocessed(r *http.Request, action string, body []byte) (*http.Response, error) {
	type keys struct {
		Keys                 []json.RawMessage
		ConsistentRead       bool
		ProjectionExpression *string `json:",omitempty"`
	}
	var (
		do, left any
		rest     = "UnprocessedItems"
		some     bool
	)
	if action == "BatchGetItem" {
		var in struct{ RequestItems map[string]keys }
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		now, later := map[string]keys{}, map[string]keys{}
		for table, k := range in.RequestItems {
			n := len(k.Keys) / 2
			some = n > 0
			first, last := k, k
			first.Keys, last.Keys = k.Keys[:n], k.Keys[n:]
			now[table], later[table] = first, last
		}
		do, left, rest = now, later, "UnprocessedKeys"
	} else {
		var in struct{ RequestItems map[string][]json.RawMessage }
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		now, later := map[string][]json.RawMessage{}, map[string][]json.RawMessage{}
		for table, w := range in.RequestItems {
			n := len(w) / 2
			some = n > 0
			now[table], later[table] = w[:n], w[n:]
		}
		do, left = now, later
	}
	answer := map[string]any{}
	resp := refuse("", "")
	resp.StatusCode = http.StatusOK
	if some {
		half, err := json.Marshal(map[string]any{"RequestItems": do})
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(half)), int64(len(half))
		r.Header.Del("Content-Length")
		if resp, err = http.DefaultTransport.RoundTrip(r); err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return nil, err
		}
	}
	answer[rest] = left
	data, err := json.Marshal(answer)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	resp.Header.Del("Content-Length")
	resp.Header.Del("X-Amz-Crc32")
	return resp, err
}

func troubled(tb testing.TB, url string) (*awsapi.DynamoDB, *trouble) {
	tr := &trouble{}
	return connect(tb, url, func(c *awsapi.Config) { c.HTTPClient = tr }), tr
}

// work is what the tests write: that of all writers of the suite, lineage and a
// message.
func work(ctx context.Context, s store.Store) error {
	for w := range storetest.Writers {
		if err := storetest.DoWork(ctx, s, w); err != nil {
			return err
		}
	}
	links := lineage.Batch{Links: []lineage.Link{
		{Node: "ASIA2345672345672345", AccountID: "1", EventID: "e1", EventTime: 86_400_000 * 20_700, Chain: []lineage.Hop{{Kind: event.KindService, Name: "ec2.amazonaws.com"}}},
		{Node: "AKIA1", AccountID: "1", EventID: "e2", EventTime: 86_400_000 * 20_700, Chain: []lineage.Hop{{Kind: event.KindIAMUser, Name: "alice"}}},
	}, Uses: []lineage.Use{{Node: "ASIA2345672345672345", Date: 20_700}, {Node: "AKIA1", Date: 20_701}}}
	if err := s.RecordLineage(ctx, links); err != nil {
		return err
	}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for i := range 3 {
		if _, err := s.Enqueue(ctx, []store.Message{{ID: fmt.Sprint(i), Channel: "c", Created: at, Due: at}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// clockAt is a clock that stands.
func clockAt() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// TestTroubleOnTheWay: whatever becomes of single requests, the work ends in the same
// state, as long as it's repeated when it fails.
func TestTroubleOnTheWay(t *testing.T) {
	url := peers.DynamoDB(t)
	ideal := dynamo.Open(connect(t, url), table(t, connect(t, url)), dynamo.Options{Now: clockAt})
	if err := work(t.Context(), ideal); err != nil {
		t.Fatal(err)
	}
	want, err := storetest.Dump(t.Context(), ideal)
	if err != nil {
		t.Fatal(err)
	}
	errReset := fmt.Errorf("read: %w", syscall.ECONNRESET)
	for name, harm := range map[string]func(string, int, func() (*http.Response, error)) (*http.Response, error){
		"throttled": func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n%47 == 3 {
				return refuse("ProvisionedThroughputExceededException", "slow down"), nil
			}
			return send()
		},
		"reset before it took effect": func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n%53 == 5 {
				return nil, errReset
			}
			return send()
		},
		"no answer though it took effect": func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			resp, err := send()
			if err == nil && n%37 == 2 {
				return nil, errors.Join(resp.Body.Close(), errReset)
			}
			return resp, err
		},
		// Amazon DynamoDB Developer Guide, "Transactional conflict handling".
		"others' transactions": func(action string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			switch {
			case action == "TransactWriteItems" && n%5 == 0:
				return refuse("TransactionInProgressException", "The transaction with the given request token is already in progress"), nil
			case action == "TransactWriteItems" && n%5 < 4:
				r := refuse("", "")
				const body = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"Transaction cancelled","CancellationReasons":[{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}]}`
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				return r, nil
			case strings.HasSuffix(action, "Item") && action != "BatchWriteItem" && action != "BatchGetItem" && n%23 == 2:
				return refuse("TransactionConflictException", "Transaction is ongoing for the item"), nil
			}
			return send()
		},
		"server errors": func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			resp, err := send()
			if err == nil && n%41 == 1 {
				_ = resp.Body.Close() // an answer that nobody gets
				r := refuse("InternalServerError", "it broke")
				r.StatusCode = http.StatusInternalServerError
				return r, nil
			}
			return resp, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, tr := troubled(t, url)
			s := dynamo.Open(db, table(t, db), dynamo.Options{Now: clockAt})
			tr.set(harm)
			if err := work(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			tr.set(nil)
			got, err := storetest.Dump(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if d := storetest.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestKilledAnywhere: a program that ends after any of its requests leaves what the
// next one completes; a day to which it wrote is dirty until it is exported after the
// writer is certainly dead.
func TestKilledAnywhere(t *testing.T) {
	url := peers.DynamoDB(t)
	clean := connect(t, url)
	ideal := dynamo.Open(clean, table(t, clean), dynamo.Options{Now: clockAt})
	task := func(ctx context.Context, s store.Store) error {
		for w := range 3 {
			if err := storetest.Work(w)[0](ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
	if err := task(t.Context(), ideal); err != nil {
		t.Fatal(err)
	}
	want, err := storetest.Dump(t.Context(), ideal)
	if err != nil {
		t.Fatal(err)
	}
	errKilled := errors.New("killed")
	for range 25 {
		db, tr := troubled(t, url)
		name := table(t, clean)
		s := dynamo.Open(db, name, dynamo.Options{Now: clockAt})
		last, applied := 1+rand.IntN(250), rand.IntN(2) == 0
		ctx, kill := context.WithCancelCause(t.Context())
		tr.set(func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n < last {
				return send()
			}
			if n == last && applied {
				if resp, err := send(); err == nil {
					_ = resp.Body.Close() // it took effect
				}
			}
			kill(errKilled)
			return nil, errKilled
		})
		killed := task(ctx, s)
		kill(nil)
		next := dynamo.Open(clean, name, dynamo.Options{Now: clockAt})
		// Events that are there have a dirty day, whether or not the writer came to an
		// end.
		days, err := next.DirtyDays(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for d := event.Date(20_700); d < 20_703; d++ {
			for _, err := range next.Day(t.Context(), d) {
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(days, func(x store.DirtyDay) bool { return x.Date == d }) {
					t.Fatalf("killed at request %d: %v has events and is clean", last, d)
				}
				break
			}
		}
		if killed != nil && !errors.Is(killed, errKilled) {
			t.Fatalf("killed at request %d: %v", last, killed)
		}
		if err := task(t.Context(), next); err != nil {
			t.Fatalf("after request %d: %v", last, err)
		}
		got, err := storetest.Dump(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		if d := storetest.Diff(want, got); d != "" {
			t.Fatalf("killed at request %d, applied %v (-want +got):\n%s", last, applied, d)
		}
	}
}

// TestExportWhileSomebodyWrites: a day that is read between a writer's steps can't
// become clean by that.
func TestExportWhileSomebodyWrites(t *testing.T) {
	url := peers.DynamoDB(t)
	db, tr := troubled(t, url)
	name := table(t, db)
	writer := dynamo.Open(db, name, dynamo.Options{})
	exporter := dynamo.Open(connect(t, url), name, dynamo.Options{})
	ctx := t.Context()
	event1 := event.Event{EventID: "a", AccountID: "1", EventTime: 20_700 * 86_400_000, EventVersion: "1.08", RecordHash: 1}
	if err := writer.Put(ctx, []event.Event{event1}, nil); err != nil {
		t.Fatal(err)
	}
	exports := 0
	tr.set(func(action string, _ int, send func() (*http.Response, error)) (*http.Response, error) {
		// Before each of the writer's requests, a whole export.
		days, err := exporter.DirtyDays(ctx)
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			exports++
			if err := exporter.DayExported(ctx, d.Mark, store.LakeDay{Date: d.Date}); err != nil {
				return nil, err
			}
		}
		return send()
	})
	event2 := event1
	event2.EventID, event2.RecordHash = "b", 2
	if err := writer.Put(ctx, []event.Event{event2}, nil); err != nil {
		t.Fatal(err)
	}
	tr.set(nil)
	days, err := exporter.DirtyDays(ctx)
	if err != nil || len(days) != 1 || exports == 0 {
		t.Fatalf("dirty days %v after %d exports, %v", days, exports, err)
	}
}

// TestPruneWhileSomebodyWrites: a day that somebody writes to, between the steps of who
// removes it, stays with what was written.
func TestPruneWhileSomebodyWrites(t *testing.T) {
	url := peers.DynamoDB(t)
	db, tr := troubled(t, url)
	name := table(t, db)
	pruner := dynamo.Open(db, name, dynamo.Options{})
	writer := dynamo.Open(connect(t, url), name, dynamo.Options{})
	ctx := t.Context()
	const day = 20_700
	var keys []event.Key
	put := func() error {
		e := event.Event{EventID: fmt.Sprint("e", len(keys)), AccountID: "1", EventTime: day * 86_400_000, EventVersion: "1.08", RecordHash: int64(len(keys))}
		keys = append(keys, e.Key())
		return writer.Put(ctx, []event.Event{e}, nil)
	}
	clean := func() {
		t.Helper()
		days, err := writer.DirtyDays(ctx)
		if err != nil || len(days) != 1 {
			t.Fatal(days, err)
		}
		if err := writer.DayExported(ctx, days[0].Mark, store.LakeDay{Date: day}); err != nil {
			t.Fatal(err)
		}
	}
	for at := 1; ; at++ { // the request of the pruner before which somebody writes
		if err := put(); err != nil {
			t.Fatal(err)
		}
		clean()
		written := false
		tr.set(func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n == at {
				written = true
				if err := put(); err != nil {
					return nil, err
				}
			}
			return send()
		})
		removed, err := pruner.Prune(ctx, day+1)
		tr.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !written {
			if removed == 0 || at < 3 {
				t.Errorf("%d rows were removed, with %d requests", removed, at-1)
			}
			break
		}
		latest := keys[len(keys)-1]
		if found, err := writer.Find(ctx, []event.Key{latest}); err != nil || len(found) != 1 {
			t.Fatalf("written before request %d: %v, %v; %d rows were removed", at, found, err, removed)
		}
		clean()
	}
	// What was removed stays so when the day comes back, although its items expire later.
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if found, err := writer.Find(ctx, keys); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	n := 0
	for e, err := range writer.Day(ctx, day) {
		if n++; err != nil || e.Key() != keys[len(keys)-1] {
			t.Errorf("the day has %s, %v", e.EventID, err)
		}
	}
	if n != 1 {
		t.Errorf("the day has %d events", n)
	}
}

// TestUnprocessed: what a batch left undone is done.
func TestUnprocessed(t *testing.T) {
	url := peers.DynamoDB(t)
	var asked sync.Map // how many batches there were, by action; every other one is done in part
	db := connect(t, url, func(c *awsapi.Config) {
		c.HTTPClient = httpFunc(func(r *http.Request) (*http.Response, error) {
			_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if strings.HasPrefix(action, "Batch") {
				n, _ := asked.LoadOrStore(action, new(atomic.Int64))
				if n.(*atomic.Int64).Add(1)%2 == 1 {
					return unprocessed(r, action, body)
				}
			}
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	ctx, s := t.Context(), dynamo.Open(db, table(t, db), dynamo.Options{})
	var files []store.FileState
	for i := range 60 {
		files = append(files, store.FileState{Path: fmt.Sprint("f", i)})
	}
	if err := s.FileDone(ctx, "j", files); err != nil {
		t.Fatal(err)
	}
	got, err := s.Job(ctx, "j")
	if err != nil || len(got) != 60 {
		t.Errorf("%d files, %v", len(got), err)
	}
	world, err := simulate.New(simulate.Config{Seed: 1, Days: 7, Events: 600, End: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	var keys []event.Key
	parser := event.NewParser()
	known, days := map[event.Key]bool{}, map[event.Date]bool{}
	for r := range world.Events() {
		e, err := parser.Parse(r.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if !known[e.Key()] {
			known[e.Key()], days[e.Date()] = true, true
			events, keys = append(events, e), append(keys, e.Key())
		}
	}
	if err := s.Put(ctx, events, nil); err != nil {
		t.Fatal(err)
	}
	found, err := s.Find(ctx, keys)
	if err != nil || len(found) != len(keys) || len(keys) < 250 {
		t.Errorf("%d of %d events are found, %v", len(found), len(keys), err)
	}
	n := 0
	for d := range days {
		for _, err := range s.Day(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n != len(keys) {
		t.Errorf("%d of %d events are read by day", n, len(keys))
	}
	for _, action := range []string{"BatchGetItem", "BatchWriteItem"} {
		if n, ok := asked.Load(action); !ok || n.(*atomic.Int64).Load() < 6 {
			t.Errorf("%s was hardly ever asked for", action)
		}
	}
}

type httpFunc func(*http.Request) (*http.Response, error)

func (f httpFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestThrottledForGood ends when the context does, and says of what.
func TestThrottledForGood(t *testing.T) {
	db, tr := troubled(t, peers.DynamoDB(t))
	name := table(t, db)
	s := dynamo.Open(db, name, dynamo.Options{})
	if _, err := s.Meta(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	tr.set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
		return refuse("ProvisionedThroughputExceededException", "slow down"), nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := s.SetMeta(ctx, "k", "v")
	tr.set(nil)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) && !(errors.Is(err, awsapi.ErrThrottled) && strings.Contains(err.Error(), name)) {
		t.Fatalf("got %v", err)
	}
}

// TestErrorsSayWhatToDo: the table's own troubles, each a sentence.
func TestErrorsSayWhatToDo(t *testing.T) {
	url := peers.DynamoDB(t)
	db := connect(t, url)
	name := table(t, db)
	ctx := t.Context()
	wants := func(what string, err error, words ...string) {
		t.Helper()
		if err == nil {
			t.Fatalf("%s: no error", what)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q lacks %q", what, err, w)
			}
		}
	}
	_, err := dynamo.Open(db, "absent", dynamo.Options{}).Meta(ctx, "k")
	wants("no table", err, "table absent", "not found", "eu-west-1", "region")
	wants("no table, checked", dynamo.Open(db, "absent", dynamo.Options{}).Check(ctx), "table absent", "not found")

	for code, words := range map[string][]string{
		"AccessDeniedException":       {"dynamodb:BatchGetItem", "table " + name, "permit"},
		"ExpiredTokenException":       {"credentials expired", "get new ones"},
		"UnrecognizedClientException": {"access key", "aws_region"},
	} {
		refused, tr := troubled(t, url)
		tr.set(func(string, int, func() (*http.Response, error)) (*http.Response, error) {
			return refuse(code, "no"), nil
		})
		_, err := dynamo.Open(refused, name, dynamo.Options{}).Meta(ctx, "k")
		wants(code, err, words...)
	}
	if err := dynamo.Open(db, name, dynamo.Options{Keep: time.Hour}).Check(ctx); err != nil {
		t.Fatal(err)
	}
	wants("made twice", dynamo.Create(ctx, db, name, dynamo.TableOptions{}), name)
	if err := dynamo.MakeNewer(ctx, db, name); err != nil {
		t.Fatal(err)
	}
	_, err = dynamo.Open(db, name, dynamo.Options{}).Meta(ctx, "k")
	wants("newer", err, "update it", name)
	if !errors.Is(err, store.ErrNewer) {
		t.Errorf("%v", err)
	}
	bare := name + "-bare"
	if err := dynamo.CreateBare(ctx, db, bare); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deleteTable(t, db, bare) })
	s := dynamo.Open(db, bare, dynamo.Options{})
	wants("no index", s.Check(ctx), bare, "no index principal", "update the stack")
	for _, err := range s.ByName(ctx, "CreateUser", 0, 1) {
		wants("no index, asked", err, bare, "no index name", "update the stack")
	}
}

// TestLostLease: who lost a lease changes nothing that the lease guards.
func TestLostLease(t *testing.T) {
	db := connect(t, peers.DynamoDB(t))
	now := clockAt()
	s := dynamo.Open(db, table(t, db), dynamo.Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	first, err := s.Acquire(ctx, "lake", "one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	guarded := first.(store.Guard).Guard(ctx)
	if err := s.MarkDirty(ctx, []event.Date{5}); err != nil {
		t.Fatal(err)
	}
	days, err := s.DirtyDays(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DayExported(guarded, 0, store.LakeDay{Date: 5, Events: 1}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	second, err := s.Acquire(ctx, "lake", "two", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"export": s.DayExported(guarded, days[0].Mark, store.LakeDay{Date: 5, Events: 9}),
		"drop":   s.DropLakeDays(guarded, []event.Date{5}),
	} {
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if lake, err := s.LakeDays(ctx); err != nil || len(lake) != 1 || lake[0].Events != 1 {
		t.Errorf("lake days %v, %v", lake, err)
	}
	if err := s.DayExported(second.(store.Guard).Guard(ctx), days[0].Mark, store.LakeDay{Date: 5, Events: 2}); err != nil {
		t.Error(err)
	}
}

// TestIndexesAndPresence: events are found by who acted, by name, and by the days on
// which a key, an address, an account or a target was seen.
func TestIndexesAndPresence(t *testing.T) {
	db := connect(t, peers.DynamoDB(t))
	s := dynamo.Open(db, table(t, db), dynamo.Options{Now: clockAt, Keep: 7 * 24 * time.Hour})
	ctx := t.Context()
	const day = 86_400_000
	at := clockAt().UnixMilli() - 3*day
	var events []event.Event
	for i := range 500 {
		e := event.Event{EventID: fmt.Sprintf("id-%03d", i), AccountID: "1", EventTime: at + int64(i%3)*day + int64(i), EventVersion: "1.08", RecordHash: int64(i),
			EventName: []string{"CreateUser", "DeleteUser"}[i%2], UserName: []string{"alice", "bob", "carol"}[i%3], SourceIP: fmt.Sprint("192.0.2.", i%3), TargetName: "t"}
		if i%3 == 1 {
			e.AccessKeyID = "AKIAX"
		}
		events = append(events, e)
	}
	if err := s.Put(ctx, events, nil); err != nil {
		t.Fatal(err)
	}
	want := func(match func(*event.Event) bool) (list []event.Event) {
		for i := range events {
			if match(&events[i]) {
				list = append(list, events[i])
			}
		}
		slices.SortFunc(list, func(a, b event.Event) int { return int(b.EventTime - a.EventTime) })
		return list
	}
	same := func(what string, seq func(func(event.Event, error) bool), want []event.Event) {
		t.Helper()
		var got []event.Event
		for e, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if !slices.EqualFunc(got, want, func(a, b event.Event) bool { return a == b }) {
			t.Errorf("%s: %d events, want %d", what, len(got), len(want))
		}
	}
	far := at + 30*day
	same("alice", s.ByPrincipal(ctx, "alice", 0, far), want(func(e *event.Event) bool { return e.UserName == "alice" }))
	same("name", s.ByName(ctx, "DeleteUser", at+day, at+2*day), want(func(e *event.Event) bool {
		return e.EventName == "DeleteUser" && e.EventTime >= at+day && e.EventTime < at+2*day
	}))
	same("nobody", s.ByPrincipal(ctx, "nobody", 0, far), nil)
	first := event.DateOf(at)
	for _, c := range []struct {
		kind  int
		value string
		want  []event.Date
	}{
		{dynamo.SeenKey, "AKIAX", []event.Date{first + 1}}, {dynamo.SeenAddress, "192.0.2.2", []event.Date{first + 2}},
		{dynamo.SeenAccount, "1", []event.Date{first, first + 1, first + 2}}, {dynamo.SeenTarget, "t", []event.Date{first, first + 1, first + 2}},
		{dynamo.SeenTarget, "u", nil},
	} {
		got, err := s.Seen(ctx, c.kind, c.value, first-40, first+40)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("seen %d %s: %v, %v, want %v", c.kind, c.value, got, err, c.want)
		}
	}
	// A day that is gone is not found, though DynamoDB hasn't deleted its items.
	if err := s.DropLakeDays(ctx, []event.Date{first}); err != nil {
		t.Fatal(err)
	}
	same("alice, whose day is gone", s.ByPrincipal(ctx, "alice", 0, far), nil)
}

// TestManyRouted: an Enqueue of more alerts than a transaction holds is all or
// nothing, and one that died in the middle is no more.
func TestManyRouted(t *testing.T) {
	url := peers.DynamoDB(t)
	db, tr := troubled(t, url)
	name := table(t, db)
	s := dynamo.Open(db, name, dynamo.Options{Now: clockAt})
	ctx := t.Context()
	if err := storetest.DoWork(ctx, s, 1); err != nil {
		t.Fatal(err)
	}
	ids := alerts(t, s, 260)
	at := clockAt()
	m := []store.Message{{ID: "m", Channel: "c", Created: at, Due: at}}
	errKilled := errors.New("killed")
	killed, kill := context.WithCancelCause(ctx)
	transactions := 0
	tr.set(func(action string, _ int, send func() (*http.Response, error)) (*http.Response, error) {
		if action == "TransactWriteItems" {
			if transactions++; transactions > 2 {
				kill(errKilled)
				return nil, errKilled
			}
		}
		return send()
	})
	if done, err := s.Enqueue(killed, m, ids); done || !errors.Is(err, errKilled) {
		t.Fatal(done, err)
	}
	tr.set(nil)
	if got, err := s.Messages(ctx, store.MessageFilter{}); err != nil || len(got) != 0 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	dynamo.Later(t, 20*time.Minute)
	if got := unrouted(t, s); len(got) < len(ids) {
		t.Fatalf("%d alerts are to be routed, want %d", len(got), len(ids))
	}
	for range 2 {
		done, err := s.Enqueue(ctx, m, ids)
		if err != nil {
			t.Fatal(err)
		}
		if left := unrouted(t, s); slices.ContainsFunc(left, func(id string) bool { return slices.Contains(ids, id) }) {
			t.Fatalf("done %v: still to be routed", done)
		}
	}
	if got, err := s.Messages(ctx, store.MessageFilter{}); err != nil || len(got) != 1 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
}

// TestDeadWriter: what a killed writer left is dirty, is exported while nobody can
// tell whether it is dead, and becomes clean with the second export after that.
func TestDeadWriter(t *testing.T) {
	db, tr := troubled(t, peers.DynamoDB(t))
	s := dynamo.Open(db, table(t, db), dynamo.Options{})
	ctx := t.Context()
	e := event.Event{EventID: "a", AccountID: "1", EventTime: 20_700 * 86_400_000, EventVersion: "1.08", RecordHash: 1}
	errKilled := errors.New("killed")
	killed, kill := context.WithCancelCause(ctx)
	updates := 0
	tr.set(func(action string, _ int, send func() (*http.Response, error)) (*http.Response, error) {
		if action == "UpdateItem" {
			if updates++; updates == 2 { // the first signs up, the second off
				kill(errKilled)
				return nil, errKilled
			}
		}
		return send()
	})
	if err := s.Put(killed, []event.Event{e}, nil); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	tr.set(nil)
	export := func() (dirty bool) {
		t.Helper()
		days, err := s.DirtyDays(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range days {
			if err := s.DayExported(ctx, d.Mark, store.LakeDay{Date: d.Date}); err != nil {
				t.Fatal(err)
			}
		}
		return len(days) > 0
	}
	for i, want := range []bool{true, true} {
		if got := export(); got != want {
			t.Fatalf("export %d: dirty %v", i, got)
		}
	}
	dynamo.Later(t, 20*time.Minute)
	for i, want := range []bool{true, true, false} {
		if got := export(); got != want {
			t.Fatalf("export %d after its time: dirty %v", i, got)
		}
	}
	if c, err := s.Counts(ctx); err != nil || c.HotEvents != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
}

// alerts records alerts and returns their ids.
func alerts(t *testing.T, s store.Store, n int) (ids []string) {
	t.Helper()
	f := rule.Fact{Rule: "r", Group: "many", AccountID: "1", EventID: "e", EventTime: 1}
	if _, err := s.Record(t.Context(), store.Findings{Facts: []rule.Fact{f}}, func(facts []rule.Fact) []rule.Alert {
		var list []rule.Alert
		for i := 0; i < n && facts[0].Group == "many"; i++ {
			list = append(list, rule.Alert{ID: fmt.Sprintf("%016x", i), Rule: "r", EventTime: 1})
		}
		return list
	}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ids = append(ids, fmt.Sprintf("%016x", i))
	}
	return ids
}

func unrouted(t *testing.T, s store.Store) (ids []string) {
	t.Helper()
	for a, err := range s.Unrouted(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// TestSettledAtOnce: of two who settle a group at once, the one that knew more stays,
// although the other writes last.
func TestSettledAtOnce(t *testing.T) {
	db := connect(t, peers.DynamoDB(t))
	s := dynamo.Open(db, table(t, db), dynamo.Options{Now: clockAt})
	ctx := t.Context()
	fact := func(id string) store.Findings {
		return store.Findings{Facts: []rule.Fact{{Group: "g", Rule: "r", Kind: "seen", AccountID: "012345678901", EventID: id}}}
	}
	alert := func(facts []rule.Fact) []rule.Alert {
		a := rule.Alert{ID: strings.Repeat("a", 64), Rule: "r", AccountID: "012345678901"}
		for _, f := range facts {
			a.Events = append(a.Events, rule.EventRef{EventID: f.EventID})
		}
		return []rule.Alert{a}
	}
	told := 0
	n, err := s.Record(ctx, fact("e1"), func(facts []rule.Fact) []rule.Alert {
		if len(facts) != 1 {
			t.Errorf("the first knows %d facts", len(facts))
		}
		n, err := s.Record(ctx, fact("e2"), alert)
		if err != nil {
			t.Error(err)
		}
		told += n
		return alert(facts)
	})
	if told += n; err != nil || told != 1 {
		t.Errorf("%d new alerts, %v", told, err)
	}
	found, err := s.Alerts(ctx, store.AlertFilter{})
	if err != nil || len(found) != 1 || len(found[0].Events) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestNothingExpiresSoon: what came late is kept as long as it takes to export it, however
// old it is, and what is new as long as was asked for.
func TestNothingExpiresSoon(t *testing.T) {
	db := connect(t, peers.DynamoDB(t))
	name, ctx := table(t, db), t.Context()
	const day = 24 * time.Hour
	s := dynamo.Open(db, name, dynamo.Options{Now: clockAt, Keep: 30 * day})
	expires := func() (soonest, latest time.Time) {
		t.Helper()
		out, err := db.Scan(ctx, &dynamodb.ScanInput{TableName: &name})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range out.Items {
			x, ok := it["x"].(*types.AttributeValueMemberN)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(x.Value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Unix(n, 0).UTC()
			if soonest.IsZero() || at.Before(soonest) {
				soonest = at
			}
			if at.After(latest) {
				latest = at
			}
		}
		return soonest, latest
	}
	put := func(id string, at time.Time) {
		t.Helper()
		e := event.Event{EventID: id, AccountID: "1", EventTime: at.UnixMilli(), EventVersion: "1.08"}
		f := event.Filtered{EventID: id + "f", AccountID: "1", EventTime: at.UnixMilli()}
		if err := s.Put(ctx, []event.Event{e}, []event.Filtered{f}); err != nil {
			t.Fatal(err)
		}
	}
	put("late", clockAt().Add(-80*day))
	if soonest, latest := expires(); soonest.Before(clockAt().Add(7*day)) || latest.After(clockAt().Add(8*day)) {
		t.Errorf("what came late expires from %s to %s", soonest, latest)
	}
	put("new", clockAt())
	if _, latest := expires(); latest.Before(clockAt().Add(30 * day)) {
		t.Errorf("what is new expires by %s", latest)
	}
}

// TestDayDroppedWhileSomebodyWrites: rows of a day that is dropped between the steps of
// their writer are written again.
func TestDayDroppedWhileSomebodyWrites(t *testing.T) {
	url := peers.DynamoDB(t)
	db, tr := troubled(t, url)
	name, ctx := table(t, db), t.Context()
	writer := dynamo.Open(db, name, dynamo.Options{})
	other := dynamo.Open(connect(t, url), name, dynamo.Options{})
	const day = 20_700
	for at := 1; ; at++ { // the request of the writer before which the day is dropped
		e := event.Event{EventID: fmt.Sprint("e", at), AccountID: "1", EventTime: day * 86_400_000, EventVersion: "1.08"}
		dropped := false
		tr.set(func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n == at {
				dropped = true
				if err := other.DropLakeDays(ctx, []event.Date{day}); err != nil {
					return nil, err
				}
			}
			return send()
		})
		err := writer.Put(ctx, []event.Event{e}, nil)
		tr.set(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !dropped {
			if at < 5 {
				t.Errorf("%d requests", at-1)
			}
			return
		}
		found, err := other.Find(ctx, []event.Key{e.Key()})
		dirty, err2 := other.DirtyDays(ctx)
		if err = errors.Join(err, err2); err != nil || len(found) != 1 || len(dirty) != 1 {
			t.Fatalf("dropped before request %d: found %v, dirty %v, %v", at, found, dirty, err)
		}
	}
}

// TestMessageKilledAnywhere: of a message whose writer or sender is killed between its
// steps, the next program finds it as long as it's pending, once, and what they left
// behind goes.
func TestMessageKilledAnywhere(t *testing.T) {
	url := peers.DynamoDB(t)
	clean := connect(t, url)
	ctx, now := t.Context(), clockAt()
	name := table(t, clean)
	next := dynamo.Open(clean, name, dynamo.Options{Now: func() time.Time { return now }})
	left := func() []string {
		t.Helper()
		pk := "pending"
		out, err := clean.Query(ctx, &dynamodb.QueryInput{
			TableName: &name, KeyConditionExpression: aws.String("pk = :pk"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: pk}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, it := range out.Items {
			keys = append(keys, it["sk"].(*types.AttributeValueMemberS).Value)
		}
		return keys
	}
	errKilled := errors.New("killed")
	for kill, over := 1, false; !over; kill++ {
		db, tr := troubled(t, url)
		first := dynamo.Open(db, name, dynamo.Options{Now: func() time.Time { return now }})
		if _, err := first.Meta(ctx, "known"); err != nil {
			t.Fatal(err)
		}
		over = true
		living, die := context.WithCancelCause(ctx)
		tr.set(func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
			if n <= kill {
				return send()
			}
			over = false
			die(errKilled)
			return nil, errKilled
		})
		work := func(ctx context.Context, s *dynamo.Store) error {
			m := store.Message{ID: fmt.Sprint("m", kill), Channel: "c", Created: now, Due: now}
			if _, err := s.Enqueue(ctx, []store.Message{m}, nil); err != nil {
				return err
			}
			claimed, err := s.Claim(ctx, "c", time.Second)
			if err != nil || claimed == nil {
				return err
			}
			return s.Settle(ctx, claimed, store.Outcome{State: store.MessageSent})
		}
		err := work(living, first)
		die(nil)
		if over != (err == nil) || err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("killed after %d requests: %v", kill, err)
		}
		list, err := next.Messages(ctx, store.MessageFilter{ID: fmt.Sprint("m", kill)})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Second) // its claim runs out
		if channels, err := next.Due(ctx); err != nil || len(channels) != len(list) && list[0].State != store.MessageSent {
			t.Fatalf("killed after %d requests: there is %+v, and due %v, %v", kill, list, channels, err)
		}
		if err := work(ctx, next); err != nil {
			t.Fatal(err)
		}
		if channels, err := next.Due(ctx); err != nil || len(channels) != 0 {
			t.Fatalf("killed after %d requests: sent, and due %v, %v", kill, channels, err)
		}
		if _, err := next.PruneOutbox(ctx, now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if keys := left(); len(keys) != 0 {
			t.Fatalf("killed after %d requests: %q are left", kill, keys)
		}
	}

	// A message that was to be written with an alert that somebody else routes isn't,
	// and what announced it goes, but not before its writer is certainly dead.
	m := store.Message{ID: "late", Channel: "c", Created: now, Due: now}
	if _, err := next.Record(ctx, store.Findings{Facts: []rule.Fact{{Group: "g", Rule: "r", Kind: "seen", AccountID: "1", EventID: "e"}}},
		func([]rule.Fact) []rule.Alert { return []rule.Alert{{ID: "a", Rule: "r", AccountID: "1"}} }); err != nil {
		t.Fatal(err)
	}
	db, tr := troubled(t, url)
	slow := dynamo.Open(db, name, dynamo.Options{Now: func() time.Time { return now }})
	tr.set(func(action string, _ int, send func() (*http.Response, error)) (*http.Response, error) {
		if action == "TransactWriteItems" {
			if err := next.MarkTold(ctx, []string{"a"}); err != nil {
				return nil, err
			}
		}
		return send()
	})
	if done, err := slow.Enqueue(ctx, []store.Message{m}, []string{"a"}); err != nil || done {
		t.Fatal(done, err)
	}
	for _, passed := range []struct {
		time.Duration
		left int
	}{{0, 1}, {23 * time.Hour, 1}, {2 * time.Hour, 0}} {
		now = now.Add(passed.Duration)
		if _, err := next.PruneOutbox(ctx, now.Add(-time.Hour*100)); err != nil {
			t.Fatal(err)
		}
		if keys := left(); len(keys) != passed.left {
			t.Errorf("after %v %q are left", passed.Duration, keys)
		}
	}
}

// TestRecordTakenForDead: of a writer that stood still for so long between two of its
// requests that somebody settled what it had announced, no finding is lost.
func TestRecordTakenForDead(t *testing.T) {
	url := peers.DynamoDB(t)
	alert := func(facts []rule.Fact) []rule.Alert {
		return []rule.Alert{{ID: "a", Rule: "r", AccountID: "1", EventID: facts[0].EventID}}
	}
	for at, over := 1, false; !over; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			db, tr := troubled(t, url)
			name, ctx := table(t, db), t.Context()
			slow := dynamo.Open(db, name, dynamo.Options{})
			other := dynamo.Open(connect(t, url), name, dynamo.Options{})
			over = true
			tr.set(func(_ string, n int, send func() (*http.Response, error)) (*http.Response, error) {
				if n == at {
					over = false
					dynamo.Later(t, 20*time.Minute)
					if _, err := other.Record(ctx, store.Findings{}, alert); err != nil {
						return nil, err
					}
				}
				return send()
			})
			found := store.Findings{Facts: []rule.Fact{{Group: "g", Rule: "r", Kind: "seen", AccountID: "1", EventID: "e"}}}
			if _, err := slow.Record(ctx, found, alert); err != nil {
				t.Fatal(err)
			}
			tr.set(nil)
			if list, err := other.Alerts(ctx, store.AlertFilter{}); err != nil || len(list) != 1 {
				t.Errorf("taken for dead before request %d: alerts %v, %v", at, list, err)
			}
		})
	}
}
