package function_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	stacktemplate "github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// alarm is one of the stack's.
type alarm struct {
	Namespace, Metric string
	// of is the resource in the template that a metric of AWS's own is about.
	of     string
	above  func(v float64) bool // whether a value is on the wrong side
	silent bool                 // no value at all is on the wrong side, too
	shown  bool                 // that a fault raises it
}

// resources are the properties of the template's resources of a type.
func resources(t *testing.T, kind string) map[string]*yaml.Node {
	t.Helper()
	var doc struct {
		Resources map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(stacktemplate.Template), &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]*yaml.Node{}
	for id, r := range doc.Resources {
		if r.Type == kind {
			found[id] = &r.Properties
		}
	}
	return found
}

// alarms reads them from the template, with the defaults of its parameters.
func alarms(t *testing.T) map[string]*alarm {
	t.Helper()
	list, err := stacktemplate.Parameters(stacktemplate.Template)
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, p := range list {
		defaults[p.Name] = p.Default
	}
	found := map[string]*alarm{}
	for id, properties := range resources(t, "AWS::CloudWatch::Alarm") {
		var p struct {
			Namespace          string    `yaml:"Namespace"`
			MetricName         string    `yaml:"MetricName"`
			Threshold          yaml.Node `yaml:"Threshold"`
			ComparisonOperator string    `yaml:"ComparisonOperator"`
			TreatMissingData   string    `yaml:"TreatMissingData"`
			Dimensions         []struct {
				Value yaml.Node `yaml:"Value"`
			} `yaml:"Dimensions"`
		}
		if err := properties.Decode(&p); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if len(p.Dimensions) != 1 {
			t.Fatalf("%s: %d dimensions", id, len(p.Dimensions))
		}
		of, _, _ := strings.Cut(p.Dimensions[0].Value.Value, ".") // of !Ref and !GetAtt
		text := p.Threshold.Value
		if p.Threshold.Tag == "!Ref" {
			text = defaults[text]
		}
		limit, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: threshold %v", id, err)
		}
		a := &alarm{Namespace: p.Namespace, Metric: p.MetricName, of: of, silent: p.TreatMissingData == "breaching", above: func(v float64) bool { return v >= limit }}
		switch p.ComparisonOperator {
		case "GreaterThanOrEqualToThreshold":
		case "GreaterThanThreshold":
			a.above = func(v float64) bool { return v > limit }
		default:
			t.Fatalf("%s: %s isn't known", id, p.ComparisonOperator)
		}
		found[id] = a
	}
	return found
}

// slow is a store that takes its time to count, and may fail then.
type slow struct {
	store.Store
	takes time.Duration
	fails error
}

func (s slow) Messages(ctx context.Context, f store.MessageFilter) ([]store.Message, error) {
	time.Sleep(s.takes)
	if s.fails != nil {
		return nil, s.fails
	}
	return s.Store.Messages(ctx, f)
}

// A dry run of the alarms that rest on the functions' own metrics: without a fault the
// figure is on the right side of the threshold, with it on the wrong one, and when the
// fault is gone it is right again.
func TestAlarms(t *testing.T) {
	all := alarms(t)
	maps.DeleteFunc(all, func(_ string, a *alarm) bool { return a.Namespace != function.Namespace })
	last := func(s *stack, id string) float64 {
		t.Helper()
		a := all[id]
		if a == nil {
			t.Fatalf("the template has no %s", id)
		}
		values := s.figures("", a.Metric)
		if len(values) == 0 {
			t.Fatalf("%s: no function wrote %s", id, a.Metric)
		}
		return values[len(values)-1]
	}
	expect := func(s *stack, raised bool, ids ...string) {
		t.Helper()
		for _, id := range ids {
			if v := last(s, id); all[id].above(v) != raised {
				t.Errorf("%s: raised %v with %s %v, want %v", id, !raised, all[id].Metric, v, raised)
			}
			if raised {
				all[id].shown = true
			}
		}
	}
	inBubble(t, func(t *testing.T) {
		s := newStack(t, simulate.Config{Seed: 6, Events: 1500}, server.Options{})
		run := func(name string) {
			t.Helper()
			if _, err := s.invoke(name, nil, 15*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		run(function.Tracker)
		expect(s, false, "CollectionLagAlarm", "CoverageGapsAlarm")

		// A region is denied, for longer than collection may be behind.
		f := s.aws.Faults()
		f.Deny = []server.Denial{{Region: "eu-west-1", Service: "cloudtrail"}}
		s.aws.SetFaults(f)
		time.Sleep(2 * time.Hour)
		run(function.Tracker)
		expect(s, true, "CollectionLagAlarm", "CoverageGapsAlarm")
		f.Deny = nil
		s.aws.SetFaults(f)
		run(function.Tracker)
		expect(s, false, "CollectionLagAlarm", "CoverageGapsAlarm")

		// Another exporter holds the lake and doesn't come to an end.
		lease, err := s.App.Store.Acquire(context.Background(), "lake", "somebody else", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		run(function.Exporter)
		expect(s, true, "ExportLagAlarm")
		expect(s, false, "InboxUnreadableAlarm")
		if err := lease.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		run(function.Exporter)
		expect(s, false, "ExportLagAlarm")

		w, err := s.bucket.Create(context.Background(), "inbox/"+today.AddDate(0, 0, -1).Format(time.DateOnly)+"/00112233445566778899-e1.zst")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("no object of ours")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(""); err != nil {
			t.Fatal(err)
		}
		run(function.Exporter)
		expect(s, true, "InboxUnreadableAlarm")
		run(function.Exporter)
		expect(s, false, "InboxUnreadableAlarm", "TimeUsedAlarm")

		// The table answers so slowly that a run takes nearly all of its time; and then
		// a run fails besides.
		fast := s.App.Store
		for _, fail := range []error{nil, errors.New("the table is gone")} {
			s.App.Store = slow{fast, 870 * time.Second, fail}
			if _, err := s.invoke(function.Notifier, nil, 15*time.Minute); !errors.Is(err, fail) {
				t.Errorf("the notifier: %v, want %v", err, fail)
			}
			expect(s, true, "TimeUsedAlarm")
			s.App.Store = fast
			run(function.Notifier)
			expect(s, false, "TimeUsedAlarm")
		}
	})
	// Who can't be started at all writes no figure, and that is an alarm.
	for _, id := range []string{"CollectionLagAlarm", "ExportLagAlarm"} {
		if !all[id].silent {
			t.Errorf("%s: silence isn't on the wrong side", id)
		}
	}
	for id, a := range all {
		if !a.shown {
			t.Errorf("%s: no fault was shown to raise it", id)
		}
	}
}

// gone is a store whose table was deleted.
type gone struct{ store.Store }

var errGone = errors.New("the table is gone")

func (gone) Acquire(context.Context, string, string, time.Duration) (store.Lease, error) {
	return nil, errGone
}
func (gone) Due(context.Context) ([]string, error)               { return nil, errGone }
func (gone) Streams(context.Context) ([]*coverage.Ledger, error) { return nil, errGone }
func (gone) DirtyDays(context.Context) ([]store.DirtyDay, error) { return nil, errGone }
func (gone) Find(context.Context, []event.Key) (map[event.Key]store.Found, error) {
	return nil, errGone
}

// lambda counts as AWS Lambda does, whose functions are those of the template: a failed
// invocation is one of Errors, one that isn't begun, for want of concurrency, one of
// Throttles; an event that failed as often as it may goes to the queue that the function
// names.
//
// Source: AWS Lambda Developer Guide, "Types of metrics for Lambda functions" and
// "Capturing records of Lambda asynchronous invocations"; Amazon SQS Developer Guide,
// "Available CloudWatch metrics for Amazon SQS".
type lambda struct {
	functions map[string]lambdaFunction // by resource
	metrics   map[[3]string]float64     // namespace, metric, resource
	throttled bool
}

type lambdaFunction struct {
	Handler           string `yaml:"Handler"`
	EventInvokeConfig struct {
		MaximumRetryAttempts int `yaml:"MaximumRetryAttempts"`
	} `yaml:"EventInvokeConfig"`
	DeadLetterQueue struct {
		TargetArn yaml.Node `yaml:"TargetArn"` // !GetAtt
	} `yaml:"DeadLetterQueue"`
}

func newLambda(t *testing.T) *lambda {
	t.Helper()
	l := &lambda{functions: map[string]lambdaFunction{}, metrics: map[[3]string]float64{}}
	for id, properties := range resources(t, "AWS::Serverless::Function") {
		var f lambdaFunction
		if err := properties.Decode(&f); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		l.functions[id] = f
	}
	return l
}

// event has a function run with an event, as often as it takes.
func (l *lambda) event(s *stack, id string, payload any) {
	f := l.functions[id]
	for attempt := 0; ; attempt++ {
		if l.throttled {
			l.metrics[[3]string{"AWS/Lambda", "Throttles", id}]++
		} else {
			_, err := s.invoke(f.Handler, payload, time.Minute)
			if err == nil {
				return
			}
			l.metrics[[3]string{"AWS/Lambda", "Errors", id}]++
		}
		if attempt == f.EventInvokeConfig.MaximumRetryAttempts {
			break
		}
		time.Sleep(time.Minute)
	}
	if queue, _, ok := strings.Cut(f.DeadLetterQueue.TargetArn.Value, "."); ok {
		l.metrics[[3]string{"AWS/SQS", "ApproximateNumberOfMessagesVisible", queue}]++
	}
}

// A dry run of the alarms that rest on AWS's own metrics: each function fails when its
// table is gone, and can't be started when too many others run; what comes of that
// raises the alarms that the template has of that function, and no others, and what
// comes of a good run raises none.
func TestAlarmsOfAWS(t *testing.T) {
	all := alarms(t)
	maps.DeleteFunc(all, func(_ string, a *alarm) bool { return a.Namespace == function.Namespace })
	inBubble(t, func(t *testing.T) {
		s, l := newStack(t, simulate.Config{Seed: 7, Events: 1200}, server.Options{}), newLambda(t)
		well := s.App.Store
		events := map[string]any{function.Realtime: map[string]any{"version": "0", "id": "e1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam", "detail": map[string]any{
			"eventVersion": "1.08", "eventID": "5c1d9b6e-1111-4222-8333-123456789abc", "eventTime": today.Format(time.RFC3339), "eventSource": "iam.amazonaws.com", "eventName": "ListUsers",
			"awsRegion": "us-east-1", "sourceIPAddress": "203.0.113.9", "userAgent": "aws-cli/2", "recipientAccountId": "111122223333",
			"userIdentity": map[string]any{"type": "IAMUser", "userName": "eve", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/eve", "principalId": "AIDAEVE"},
		}}}
		expect := func(when string, want func(a *alarm) bool) {
			t.Helper()
			for id, a := range all {
				v, written := l.metrics[[3]string{a.Namespace, a.Metric, a.of}]
				if raised := written && a.above(v) || !written && a.silent; raised != want(a) {
					t.Errorf("%s: %s is raised: %v (%s %v)", when, id, raised, a.Metric, v)
				}
				a.shown = a.shown || want(a)
			}
		}
		for id, f := range l.functions {
			// What AWS counts as nothing, it writes as 0 of Errors and of Throttles.
			use := func(st store.Store) { s.App.Store, s.App.Pipeline.Store = st, st }
			l.event(s, id, events[f.Handler])
			expect(f.Handler+" runs well", func(*alarm) bool { return false })
			use(gone{well})
			l.event(s, id, events[f.Handler])
			use(well)
			expect(f.Handler+" without its table", func(a *alarm) bool {
				return a.Metric == "Errors" && a.of == id || a.Namespace == "AWS/SQS" && f.Handler == function.Realtime
			})
			clear(l.metrics) // somebody has looked after the queue, too
			l.throttled = true
			l.event(s, id, events[f.Handler])
			l.throttled = false
			expect(f.Handler+" throttled", func(a *alarm) bool {
				return a.Metric == "Throttles" && a.of == id || a.Namespace == "AWS/SQS" && f.Handler == function.Realtime
			})
			clear(l.metrics)
		}
	})
	for id, a := range all {
		if !a.shown {
			t.Errorf("%s: no fault was shown to raise it", id)
		}
	}
}
