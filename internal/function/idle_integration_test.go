//go:build integration

package function_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// What a run takes of the table that finds nothing new is what the estimates of package
// cost rest on, and doesn't depend on what the table holds: runs are many, and a table
// with events of weeks and messages of months is large.
func TestIdleRun(t *testing.T) {
	end := time.Now().UTC().Truncate(time.Hour)
	sim, err := simulate.New(simulate.Config{Seed: 5, Start: end.AddDate(0, 0, -8), End: end, Events: 1500})
	if err != nil {
		t.Fatal(err)
	}
	api, err := server.New(server.Options{World: sim, Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	defer srv.Close()
	url := peers.DynamoDB(t)
	open := func(url string, client aws.HTTPClient) *awsapi.Session {
		s, err := awsapi.Open(t.Context(), awsapi.Config{EndpointURL: url, HTTPClient: client, Region: peers.Region, Alone: true, Keys: &awsapi.Keys{AccessKeyID: account, SecretAccessKey: "secret"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var absent peers.Absent
	db := open(url, &absent).DynamoDB("")
	if err := dynamo.Create(t.Context(), db, "idle", dynamo.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var writes, reads float64
	st := dynamo.Open(db, "idle", dynamo.Options{Keep: 7 * 24 * time.Hour, Consumed: func(c dynamo.Capacity) {
		mu.Lock()
		defer mu.Unlock()
		writes, reads = writes+c.Write, reads+c.Read
	}})
	none := func(string) (string, bool) { return "", false }
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: func(name string) (string, bool) {
		v, ok := map[string]string{
			"IAMTRACK_REQUEST_RATE": "100", "IAMTRACK_DAILY_SUMMARY": "00:00",
			"IAMTRACK_CHANNELS": `[{name: topic, type: sns, topic_arn: "arn:aws:sns:us-east-1:111122223333:alerts"}]`,
		}[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, st, lake.OpenMem(), app.Options{Command: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f := &function.Functions{
		App: a, Now: time.Now, Log: function.NewLog(io.Discard, slog.LevelInfo), Metrics: &function.Metrics{W: io.Discard},
		Accounts: func(context.Context) ([]*awsapi.Account, error) {
			return []*awsapi.Account{open(srv.URL, srv.Client()).Own()}, nil
		},
		Notifier: func(_ context.Context, _ bool, o notify.Options) *notify.Notifier {
			o.Publish = func(context.Context, notify.Publication) error { return nil }
			return a.NotifierWith(o, none, nil)
		},
	}
	track := func() *function.TrackResult {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := f.Invoke(ctx, function.Tracker, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.(*function.TrackResult)
	}
	for r := track(); r.Unfinished; r = track() {
	}
	ledgers, err := st.Streams(t.Context())
	if err != nil || len(ledgers) < 20 {
		t.Fatalf("%d streams, %v", len(ledgers), err)
	}
	writes, reads = 0, -absent.Units()
	const runs = 5
	for range runs {
		time.Sleep(3 * time.Second)
		if r := track(); r.Stored != 0 {
			t.Fatalf("%+v: not idle", r)
		}
	}
	n := float64(runs * len(ledgers))
	u := cost.DefaultUnits()
	tracked, written := reads+absent.Units(), writes
	tell := func() *function.NotifyResult {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := f.Invoke(ctx, function.Notifier, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.(*function.NotifyResult)
	}
	if r := tell(); r.Sent == 0 || r.Pending != 0 {
		t.Fatalf("%+v", r)
	}
	notified := func() float64 {
		reads = -absent.Units()
		for range runs {
			if r := tell(); r.Sent != 0 || r.Pending != 0 {
				t.Fatalf("%+v: not idle", r)
			}
		}
		return (reads + absent.Units()) / runs
	}
	before := notified()
	old := make([]event.Event, 2000)
	for i := range old {
		old[i] = event.Event{EventID: fmt.Sprint("old", i), AccountID: account, EventTime: end.AddDate(0, 0, -3).UnixMilli(), EventVersion: "1.08", RecordHash: int64(i)}
	}
	if err := st.Put(t.Context(), old, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		text := rand.Text() + rand.Text() + rand.Text() + rand.Text() + rand.Text() + rand.Text()
		m := store.Message{ID: fmt.Sprint("m", i), Channel: "c", Kind: "test", Body: text, Created: end, Due: end}
		if _, err := st.Enqueue(t.Context(), []store.Message{m}, nil); err != nil {
			t.Fatal(err)
		}
		claimed, err := st.Claim(t.Context(), "c", time.Minute)
		if err != nil || claimed == nil {
			t.Fatal(claimed, err)
		}
		if err := st.Settle(t.Context(), claimed, store.Outcome{State: store.MessageSent}); err != nil {
			t.Fatal(err)
		}
	}
	reads = -absent.Units()
	track()
	if again := reads + absent.Units(); again > 1.1*tracked/runs {
		t.Errorf("a run of the tracker takes %.1f read units, and %.1f when the table holds more", tracked/runs, again)
	}
	after := notified()
	t.Logf("a run of the notifier: %.2f read units, %.2f with a larger table", before, after)
	if after > before+1 {
		t.Errorf("a run of the notifier takes %.1f read units, and %.1f when the table holds more", before, after)
	}
	reads, writes = tracked, written
	t.Logf("of %d streams: %.2f write units and %.2f read units a run", len(ledgers), writes/n, reads/n)
	for what, c := range map[string][2]float64{"write_units_per_stream_run": {writes / n, u.WriteUnitsPerStreamRun}, "read_units_per_stream_run": {reads / n, u.ReadUnitsPerStreamRun}, "read_units_per_notifier_run": {before, u.ReadUnitsPerNotifierRun}} {
		if math.Abs(c[0]-c[1]) > 0.2*c[1] {
			t.Errorf("%s is %.2f, and the cost page is computed with %v", what, c[0], c[1])
		}
	}
}
