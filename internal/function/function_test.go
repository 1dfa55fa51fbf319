package function_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// dieAt is the setting by which this program is the bootstrap of AWS Lambda instead of
// a test, and kills itself at a point of package fault: its name, a colon and which
// time.
const dieAt = "IAMTRACK_TEST_DIE_AT"

func dyingBootstrap(at string) {
	point, nth, _ := strings.Cut(at, ":")
	var n atomic.Int64
	left, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		panic(err)
	}
	fault.Set(func(p string) error {
		if p == point && n.Add(1) == left {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
		return nil
	})
	function.Main("test")
}

// TestMain takes away the AWS settings of whoever runs the tests, and makes what
// packages share, compressors, outside of any bubble.
func TestMain(m *testing.M) {
	if at := os.Getenv(dieAt); at != "" {
		dyingBootstrap(at)
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	b := lake.New(lake.OpenMem(), lake.Options{})
	e := event.Event{EventID: strings.Repeat("warm up ", 100), AccountID: "111122223333", RequestParameters: strings.Repeat("warm up ", 100)}
	if _, _, err := b.Merge(context.Background(), e.Date(), lake.Input{Events: func(yield func(event.Event, error) bool) { yield(e, nil) }}); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func inBubble(t *testing.T, f func(*testing.T)) {
	synctest.Test(t, f)
	runtime.GC()
	runtime.GC()
}

// stack is the functions over a simulated organization, a store and a lake in memory.
type stack struct {
	*function.Functions
	t   *testing.T
	sim *simulate.World
	aws *server.Server
	log bytes.Buffer
	// bucket is the lake's.
	bucket lake.Bucket
	sent   []notify.Publication
	// refuse is the answer of the topic.
	refuse error
	// listed is how often the accounts were.
	listed int
	// slow is how long the lake takes to begin an object.
	slow time.Duration
}

type slowBucket struct {
	lake.Bucket
	s *stack
}

func (b slowBucket) Create(ctx context.Context, key string) (lake.Writer, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(b.s.slow):
	}
	return b.Bucket.Create(ctx, key)
}

func newStack(t *testing.T, c simulate.Config, o server.Options) *stack {
	t.Helper()
	time.Sleep(time.Until(today))
	c.Start, c.End = today.AddDate(0, 0, -90), today
	sim, err := simulate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o.World = sim
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, sim: sim, aws: srv}
	env := map[string]string{
		"IAMTRACK_CHANNELS": `[{name: topic, type: sns, topic_arn: "arn:aws:sns:us-east-1:111122223333:alerts"}]`,
		"IAMTRACK_HOT_DAYS": "120",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: lookup})
	if err != nil {
		t.Fatal(err)
	}
	mem := store.OpenMem()
	mem.Now = time.Now
	bucket := lake.OpenMem()
	a, err := app.New(cfg, mem, slowBucket{bucket, s}, app.Options{Command: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.bucket = bucket
	s.Functions = &function.Functions{
		App: a, Now: time.Now, Log: function.NewLog(&s.log, slog.LevelInfo), Metrics: &function.Metrics{W: &s.log, Stack: "prod"},
		Accounts: func(ctx context.Context) (list []*awsapi.Account, err error) {
			s.listed++
			for _, id := range sim.Accounts() {
				session, err := awsapi.Open(ctx, awsapi.Config{
					EndpointURL: server.Endpoint, Region: "us-east-1", HTTPClient: srv.Client(),
					Keys: &awsapi.Keys{AccessKeyID: id, SecretAccessKey: "secret"},
				})
				if err != nil {
					return nil, err
				}
				list = append(list, session.Own())
			}
			return list, nil
		},
		Notifier: func(_ context.Context, _ bool, o notify.Options) *notify.Notifier {
			o.Publish = func(_ context.Context, p notify.Publication) error {
				if s.refuse == nil {
					s.sent = append(s.sent, p)
				}
				return s.refuse
			}
			return a.NotifierWith(o, lookup, nil)
		},
	}
	return s
}

// invoke runs a function as Lambda does, with that much time.
func (s *stack) invoke(name string, payload any, timeout time.Duration) (map[string]any, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	text, err := json.Marshal(payload)
	if err != nil {
		s.t.Fatal(err)
	}
	started := time.Now()
	result, err := s.Invoke(ctx, name, text)
	if took := time.Since(started); took > timeout {
		s.t.Errorf("%s took %s of the %s that it had", name, took, timeout)
	}
	if err != nil {
		return nil, err
	}
	text, err = json.Marshal(result)
	if err != nil {
		s.t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		s.t.Fatal(err)
	}
	return object, nil
}

// figures are the values of a figure in all invocations of a function (empty: of any),
// the latest last.
func (s *stack) figures(name, metric string) (values []float64) {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		var l struct {
			Meta *struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
			Function, Stack string
		}
		var all map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			s.t.Fatalf("%v in the log's line %q", err, line)
		}
		if err := json.Unmarshal([]byte(line), &all); err != nil {
			s.t.Fatal(err)
		}
		if l.Meta == nil || (name != "" && l.Function != name) {
			continue
		}
		if m := l.Meta.CloudWatchMetrics; len(m) != 1 || m[0].Namespace != function.Namespace || !cmp.Equal(m[0].Dimensions, [][]string{{"Stack"}}) || l.Stack != "prod" {
			s.t.Errorf("not of the embedded metric format: %s", line)
		} else {
			for _, d := range m[0].Metrics {
				if _, ok := all[d.Name].(float64); !ok {
					s.t.Errorf("metric %s has no value in %s", d.Name, line)
				}
				if !slices.Contains(function.MetricNames(), d.Name) {
					s.t.Errorf("%s is a metric that isn't known", d.Name)
				}
			}
			if v, ok := all[metric].(float64); ok {
				values = append(values, v)
				is := slices.ContainsFunc(m[0].Metrics, func(d struct{ Name, Unit string }) bool { return d.Name == metric })
				if is != slices.Contains(function.MetricNames(), metric) {
					s.t.Errorf("%s: is a metric of CloudWatch: %v", metric, is)
				}
			}
		}
	}
	return values
}

// Ninety days are collected over as many invocations as it takes, exported and
// told of; in the end everything equals the declared truth.
func TestNinetyDaysOverManyInvocations(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 3, Events: 12_000}, server.Options{Faults: server.Faults{Latency: 200 * time.Millisecond}})
		runs, missing, back := 0, math.Inf(1), "9"
		for unfinished := true; unfinished; runs++ {
			r, err := s.invoke(function.Tracker, nil, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			unfinished = r["unfinished"] == true
			// What is left shrinks, and reading goes backwards from the newest.
			left, to := r["missing_seconds"].(float64), r["read_back_to"].(string)
			if left >= missing || to > back || r["promised_seconds"].(float64) < 80*86400 {
				t.Errorf("run %d: %v seconds are missing after %v, read back to %s after %s, of %v", runs, left, missing, to, back, r["promised_seconds"])
			}
			if missing, back = left, to; unfinished != (left > 0) {
				t.Errorf("run %d: unfinished is %v, and %v seconds are missing", runs, unfinished, left)
			}
			time.Sleep(5*time.Minute - time.Minute)
		}
		if runs < 2 {
			t.Errorf("%d invocation: this test shows nothing of how they go on", runs)
		}
		for range 2 {
			if _, err := s.invoke(function.Exporter, nil, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		written := s.figures(function.Exporter, "DaysWritten")
		if len(written) != 2 || written[0] < 60 || written[1] != 0 {
			t.Errorf("days written: %v, want most of 90, then none", written)
		}
		got, want := map[string]bool{}, map[string]bool{}
		dates, err := s.App.Lake.Dates(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dates {
			for e, err := range s.App.Lake.Events(context.Background(), d) {
				if err != nil {
					t.Fatal(err)
				}
				got[e.EventID] = true
			}
			for f, err := range s.App.Lake.Filtered(context.Background(), d) {
				if err != nil {
					t.Fatal(err)
				}
				got[f.EventID] = true
			}
		}
		for _, ids := range s.aws.Visible(today.AddDate(0, 0, -89), today) {
			for _, id := range ids {
				want[id] = true
			}
		}
		for id := range want {
			if !got[id] {
				t.Errorf("event %s is missing", id)
			}
		}
		if len(want) < 5000 {
			t.Fatalf("the accounts show %d events: too few", len(want))
		}

		if _, err := s.invoke(function.Notifier, nil, time.Minute); err != nil {
			t.Fatal(err)
		}
		if r, err := s.invoke(function.Notifier, nil, time.Minute); err != nil || r["sent"] != 0. || r["pending"] != 0. {
			t.Errorf("the second notifier sends %v, %v", r, err)
		}
		told := map[string]int{}
		for _, p := range s.sent {
			for _, id := range strings.Split(p.Attributes["alert_id"], ",") {
				told[id]++
			}
		}
		alerts, err := s.App.Store.Alerts(context.Background(), store.AlertFilter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(alerts) == 0 || len(s.sent) == 0 {
			t.Errorf("%d alerts, %d messages", len(alerts), len(s.sent))
		}
		if n := s.figures(function.Notifier, "AlertsPending"); len(n) != 2 || n[1] != 0 {
			t.Errorf("alerts pending: %v", n)
		}
		if n := s.figures(function.Tracker, "CoverageGaps"); n[len(n)-1] != 0 {
			t.Errorf("coverage gaps: %v", n)
		}
	})
}

// A region that is denied doesn't make the tracker fail; no region that can be read
// does, and a topic that refuses makes the notifier fail.
func TestWhatFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 4, Events: 1500}, server.Options{})
		f := s.aws.Faults()
		f.Deny = []server.Denial{{Region: "eu-west-1", Service: "cloudtrail"}}
		s.aws.SetFaults(f)
		r, err := s.invoke(function.Tracker, nil, 15*time.Minute)
		if err != nil || r["problems"] == 0. {
			t.Errorf("a denied region: %v, %v", r, err)
		}
		if n := s.figures(function.Tracker, "CoverageGaps"); n[len(n)-1] == 0 {
			t.Errorf("coverage gaps: %v", n)
		}
		if n := s.figures(function.Tracker, "AlertsPending"); n[len(n)-1] == 0 {
			t.Errorf("alerts that nobody was told of: %v", n)
		}
		if !strings.Contains(s.log.String(), `"aws_region":"eu-west-1"`) {
			t.Error("the log doesn't name the region that is denied")
		}
		time.Sleep(5 * time.Minute)
		if _, err := s.invoke(function.Tracker, nil, 15*time.Minute); err != nil || s.listed != 1 {
			t.Errorf("the accounts were listed %d times within five minutes, %v", s.listed, err)
		}
		f.Deny = []server.Denial{{Service: "cloudtrail"}}
		s.aws.SetFaults(f)
		time.Sleep(time.Hour)
		if r, err := s.invoke(function.Tracker, nil, 15*time.Minute); err == nil || !strings.Contains(err.Error(), "nothing could be read") {
			t.Errorf("all regions denied: %v, %v", r, err)
		}
		if s.listed != 2 {
			t.Errorf("the accounts were listed %d times, want 2: there may be new ones", s.listed)
		}
		s.refuse = errors.New("the topic is gone")
		if r, err := s.invoke(function.Notifier, nil, time.Minute); err == nil || !strings.Contains(err.Error(), "channel topic: the topic is gone") {
			t.Errorf("a topic that refuses: %v, %v", r, err)
		}
		if n := s.figures(function.Notifier, "AlertsPending"); len(n) != 1 || n[0] == 0 {
			t.Errorf("alerts pending: %v", n)
		}
		s.refuse = nil
		time.Sleep(time.Hour)
		if r, err := s.invoke(function.Notifier, nil, time.Minute); err != nil || r["pending"] != 0. {
			t.Errorf("a topic that is back: %v, %v", r, err)
		}
		if !slices.ContainsFunc(s.sent, func(p notify.Publication) bool {
			return strings.Contains(p.Body, "eu-west-1") && strings.Contains(p.Body, "denied")
		}) {
			t.Errorf("nobody was told that a region is denied: %+v", s.sent)
		}
		if _, err := s.invoke("nonsense", nil, time.Minute); err == nil || !strings.Contains(err.Error(), "tracker, realtime, exporter, notifier") {
			t.Errorf("an unknown function: %v", err)
		}
	})
}

// An event from EventBridge is stored once, however often it comes; its alert too.
func TestRealtime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 4, Events: 1000}, server.Options{})
		detail := map[string]any{
			"eventVersion": "1.08", "eventID": "5c1d9b6e-1111-4222-8333-123456789abc", "eventTime": today.Format(time.RFC3339), "eventSource": "iam.amazonaws.com",
			"eventName": "AttachUserPolicy", "awsRegion": "us-east-1", "sourceIPAddress": "203.0.113.9", "userAgent": "aws-cli/2", "recipientAccountId": "111122223333",
			"userIdentity":      map[string]any{"type": "IAMUser", "userName": "eve", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/eve", "principalId": "AIDAEVE"},
			"requestParameters": map[string]any{"userName": "eve", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
		}
		bridge := map[string]any{"version": "0", "id": "e1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam", "detail": detail}
		for i, want := range []string{"stored", "duplicate"} {
			r, err := s.invoke(function.Realtime, bridge, time.Minute)
			if err != nil || r["outcome"] != want || r["event_id"] != detail["eventID"] {
				t.Fatalf("delivery %d: %v, %v", i, r, err)
			}
		}
		alerts, err := s.App.Store.Alerts(context.Background(), store.AlertFilter{})
		if err != nil || len(alerts) != 1 || alerts[0].EventID != detail["eventID"] {
			t.Errorf("alerts: %v, %v", alerts, err)
		}
		for name, payload := range map[string]any{
			"not one of EventBridge":    []int{1},
			"isn't a CloudTrail record": map[string]any{"id": "e2", "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "detail": map[string]any{"state": "\x1b[31m"}},
			"made it up":                map[string]any{"id": "e3", "detail-type": "AWS API Call via CloudTrail", "source": "my.aws.iam", "detail": detail},
			`of detail-type ""`:         map[string]any{},
			`detail-type "\x1b[2Jx`:     map[string]any{"detail-type": "\x1b[2Jx", "detail": 1},
		} {
			if r, err := s.invoke(function.Realtime, payload, time.Minute); err == nil || !(strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "isn't one of EventBridge") && name == "not one of EventBridge") {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
		// A record that CloudTrail would not write is kept as rejected, and counted.
		delete(detail, "eventTime")
		if r, err := s.invoke(function.Realtime, bridge, time.Minute); err != nil || r["outcome"] != "rejected" {
			t.Errorf("a record without time: %v, %v", r, err)
		}
		if n := s.figures(function.Realtime, "EventsRejected"); !slices.Equal(n, []float64{0, 0, 1}) {
			t.Errorf("events rejected: %v", n)
		}
	})
}

// An object of the inbox that can't be read is a line of the log and a figure; it
// holds up nothing.
func TestPoisonedInbox(t *testing.T) {
	s := newStack(t, simulate.Config{Seed: 5, Days: 3, Events: 300}, server.Options{})
	key := "inbox/" + today.AddDate(0, 0, -1).Format(time.DateOnly) + "/00112233445566778899-e1.zst"
	w, err := s.bucket.Create(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("no object of ours")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.invoke(function.Tracker, nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.invoke(function.Exporter, nil, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.figures(function.Exporter, "InboxUnreadable"); !cmp.Equal(got, []float64{1, 0}) {
		t.Errorf("unreadable: %v", got)
	}
	if got := s.figures(function.Exporter, "DaysWritten"); got[0] == 0 || got[1] != 0 {
		t.Errorf("days written: %v", got)
	}
	if n := strings.Count(s.log.String(), key); n == 0 || !strings.Contains(s.log.String(), `"set_aside":true`) {
		t.Errorf("logged %d times", n)
	}
}

// An exporter whose time is up goes on in the next run; one that got nothing done fails,
// so that somebody hears of it.
func TestSlowLake(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 5, Days: 9, Events: 900}, server.Options{})
		if r, err := s.invoke(function.Tracker, nil, 15*time.Minute); err != nil || r["unfinished"] != false {
			t.Fatal(r, err)
		}
		s.slow = time.Hour
		if r, err := s.invoke(function.Exporter, nil, time.Minute); err == nil || !strings.Contains(err.Error(), "bring the lake up to date: ") {
			t.Errorf("nothing was written: %v, %v", r, err)
		}
		s.slow = 15 * time.Second
		left, runs := math.Inf(1), 0
		for unfinished := true; unfinished && runs < 99; runs++ {
			r, err := s.invoke(function.Exporter, nil, time.Minute)
			if err != nil || r["dirty_days"].(float64) >= left {
				t.Fatalf("run %d: %v, %v; %v days were left", runs, r, err, left)
			}
			left, unfinished = r["dirty_days"].(float64), r["unfinished"] == true
			if unfinished != (left > 0) {
				t.Errorf("run %d: %v", runs, r)
			}
		}
		if runs < 2 || left > 0 {
			t.Errorf("%d runs; %v days are left", runs, left)
		}
	})
}

// While an exporter is at work for minutes, an event that EventBridge delivers is stored
// in time.
func TestEventDuringExport(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 5, Days: 9, Events: 900}, server.Options{})
		if r, err := s.invoke(function.Tracker, nil, 15*time.Minute); err != nil || r["unfinished"] != false {
			t.Fatal(r, err)
		}
		s.slow = 4 * time.Second
		ended := make(chan error, 1)
		began := time.Now()
		go func() {
			r, err := s.App.Pipeline.Export(context.Background(), collect.ExportOptions{})
			if took := time.Since(began); r.Days < 8 || took < 90*time.Second {
				t.Errorf("%d days in %v", r.Days, took)
			}
			ended <- err
		}()
		time.Sleep(time.Second)
		for i := range 3 {
			detail := fmt.Sprintf(`{"eventVersion":"1.08","eventID":"soon-%d","eventTime":%q,"eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","recipientAccountId":"111122223333","userIdentity":{"type":"Root","accountId":"111122223333"}}`,
				i, time.Now().UTC().Format(time.RFC3339))
			payload := map[string]any{"detail-type": "AWS API Call via CloudTrail", "source": "aws.iam", "detail": json.RawMessage(detail)}
			if r, err := s.invoke(function.Realtime, payload, time.Minute); err != nil || r["outcome"] != "stored" {
				t.Errorf("event %d: %v, %v", i, r, err)
			}
		}
		select {
		case err := <-ended:
			t.Errorf("the export was over: %v", err)
			ended <- err
		default:
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A tracker whose writing is slow ends in time, and what it didn't write is read again.
func TestTrackerEndsInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 5, Days: 9, Events: 900}, server.Options{})
		for _, s.slow = range []time.Duration{time.Hour, 20 * time.Second, 0} {
			began := time.Now()
			r, err := s.invoke(function.Tracker, nil, 5*time.Minute)
			if took := time.Since(began); took > 5*time.Minute || err != nil || r["unfinished"] != (s.slow > time.Minute) && s.slow != 20*time.Second {
				t.Errorf("%v: it took %v: %v, %v", s.slow, took, r, err)
			}
		}
		r, err := s.invoke(function.Tracker, nil, 15*time.Minute)
		if err != nil || r["unfinished"] != false || r["missing_seconds"] != 0. {
			t.Fatal(r, err)
		}
		want := 0
		for _, ids := range s.aws.Visible(time.Now().AddDate(0, 0, -89), time.Now()) {
			want += len(ids)
		}
		c, err := s.App.Store.Counts(context.Background())
		if got := int(c.HotEvents + c.HotFiltered); err != nil || got < want {
			t.Errorf("%d of %d events are stored, %v", got, want, err)
		}
	})
}

// What is collected no more isn't late: no stream of which sources were taken out, and
// none of an account that is gone.
func TestLagOfWhatIsCollected(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 5, Events: 300}, server.Options{})
		run := func() float64 {
			t.Helper()
			for {
				r, err := s.invoke(function.Tracker, nil, 15*time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if r["unfinished"] == false {
					break
				}
			}
			n := s.figures(function.Tracker, "CollectionLag")
			return n[len(n)-1]
		}
		run()
		all := s.Accounts
		s.Accounts = func(ctx context.Context) ([]*awsapi.Account, error) {
			list, err := all(ctx)
			return list[:1], err
		}
		time.Sleep(3 * time.Hour) // the accounts are listed anew
		if lag := run(); lag > 900 {
			t.Errorf("with one account of several collection is %v seconds behind", lag)
		}
		s.App.Config.Sources = []string{"iam.amazonaws.com"}
		time.Sleep(3 * time.Hour)
		if lag := run(); lag > 900 {
			t.Errorf("with one source of several collection is %v seconds behind", lag)
		}
	})
}

// A function knows how much memory it has.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
	f := &function.Functions{Now: time.Now, Log: function.NewLog(io.Discard, slog.LevelInfo)}
	if _, err := f.Invoke(context.Background(), "nobody", nil); err == nil {
		t.Error("no error")
	}
	if got := debug.SetMemoryLimit(-1); got != 512<<20*6/10 {
		t.Errorf("the limit is %d MB", got>>20)
	}
}

// A log keeps no secret, whatever a message says.
func TestLogKeepsNoSecret(t *testing.T) {
	var out bytes.Buffer
	log := function.NewLog(&out, slog.LevelInfo)
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	log.Error("call failed: aws_secret_access_key="+secret, slog.String("error", `{"SecretAccessKey":"`+secret+`"}`))
	if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), `"level":"ERROR"`) || !strings.Contains(out.String(), "REDACTED") {
		t.Errorf("logged: %s", out.String())
	}
}

// Test messages go out at once, and whoever asked is told what became of each.
func TestNotifierTests(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 3, Events: 500}, server.Options{})
		ask := map[string]any{"test": true}
		want := map[string]any{"channel": "topic", "type": "sns", "ok": true, "error": "", "seconds": 0.}
		r, err := s.invoke(function.Notifier, ask, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{want}, r["tested"]); diff != "" || len(s.sent) != 1 {
			t.Errorf("%d messages (-want +got):\n%s", len(s.sent), diff)
		}
		s.refuse = errors.New("the topic is gone")
		want["ok"], want["error"] = false, "the topic is gone"
		if r, err = s.invoke(function.Notifier, ask, time.Minute); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{want}, r["tested"]); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		if _, err := s.invoke(function.Notifier, map[string]any{"test": true, "channels": []string{"moon"}}, time.Minute); err == nil || !strings.Contains(err.Error(), "moon") {
			t.Errorf("a channel that isn't there: %v", err)
		}
		// What a schedule sends is no request for a test.
		s.refuse = nil
		if r, err = s.invoke(function.Notifier, map[string]any{"detail-type": "Scheduled Event"}, time.Minute); err != nil || r["tested"] != nil || len(s.sent) != 1 {
			t.Errorf("%v %v, %d messages", r, err, len(s.sent))
		}
	})
}

// A run that finds nothing new takes the time that the estimates of package cost rest
// on: of one account, with answers of LookupEvents after half a second.
func TestIdleRunTakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 3, Events: 500}, server.Options{Faults: server.Faults{Latency: 500 * time.Millisecond}})
		all := s.Accounts
		s.Accounts = func(ctx context.Context) ([]*awsapi.Account, error) {
			list, err := all(ctx)
			return list[:1], err
		}
		for unfinished := true; unfinished; time.Sleep(5 * time.Minute) {
			r, err := s.invoke(function.Tracker, nil, 5*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			unfinished = r["unfinished"] == true
		}
		var sum time.Duration
		const runs = 24
		for range runs {
			began := time.Now()
			if _, err := s.invoke(function.Tracker, nil, 5*time.Minute); err != nil {
				t.Fatal(err)
			}
			sum += time.Since(began)
			time.Sleep(5 * time.Minute)
		}
		got, want := (sum / runs).Seconds(), cost.DefaultUnits().RunSeconds
		if math.Abs(got-want) > 0.2*want {
			t.Errorf("a run takes %.2f seconds, and the cost page is computed with %v", got, want)
		}
		t.Logf("a run takes %.2f seconds", got)
	})
}

// Each metric of the stack is written by some function, and the cost page counts them.
func TestMetricsAreCounted(t *testing.T) {
	source, err := os.ReadFile("function.go")
	if err != nil {
		t.Fatal(err)
	}
	names := function.MetricNames()
	for _, name := range names {
		if !strings.Contains(string(source), `Metric{"`+name+`"`) {
			t.Errorf("no function writes the metric %s", name)
		}
	}
	if want := cost.DefaultUnits().Metrics; float64(len(names)) != want {
		t.Errorf("%d metrics, and the cost page is computed with %v", len(names), want)
	}
}
