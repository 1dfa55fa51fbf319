package function_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	stacktemplate "github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
	"github.com/iamtrack/iamtrack/internal/store"
)

// alarm is one of the stack's, on a metric that the functions write.
type alarm struct {
	Metric string
	above  func(v float64) bool // whether a value is on the wrong side
	silent bool                 // no value at all is on the wrong side, too
	shown  bool                 // that a fault raises it
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
	var doc struct {
		Resources map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(stacktemplate.Template), &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]*alarm{}
	for id, r := range doc.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		var p struct {
			Namespace          string    `yaml:"Namespace"`
			MetricName         string    `yaml:"MetricName"`
			Threshold          yaml.Node `yaml:"Threshold"`
			ComparisonOperator string    `yaml:"ComparisonOperator"`
			TreatMissingData   string    `yaml:"TreatMissingData"`
		}
		if err := r.Properties.Decode(&p); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if p.Namespace != function.Namespace {
			continue
		}
		text := p.Threshold.Value
		if p.Threshold.Tag == "!Ref" {
			text = defaults[text]
		}
		limit, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: threshold %v", id, err)
		}
		a := &alarm{Metric: p.MetricName, silent: p.TreatMissingData == "breaching", above: func(v float64) bool { return v >= limit }}
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

func (s slow) Counts(ctx context.Context) (store.Counts, error) {
	time.Sleep(s.takes)
	if s.fails != nil {
		return store.Counts{}, s.fails
	}
	return s.Store.Counts(ctx)
}

// A dry run of the alarms that rest on the functions' own metrics: without a fault the
// figure is on the right side of the threshold, with it on the wrong one, and when the
// fault is gone it is right again.
func TestAlarms(t *testing.T) {
	all := alarms(t)
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
