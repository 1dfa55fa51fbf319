// Package function is what runs in AWS Lambda: four functions in one program,
// told apart by the name of their handler.
//
//	tracker   collects what is new of all streams within the time it has; the next
//	          run goes on (a schedule invokes it)
//	realtime  takes one event as EventBridge delivers it
//	exporter  merges what came into the day files of the lake (a schedule, or who
//	          wants a fresh answer, invokes it)
//	notifier  turns alerts into messages, and sends what is due (a schedule)
//
// They work through the pipeline, the collector and the notifier that the command
// line uses, so invocations that overlap, end early or come twice do no harm. A
// function that could not do its work returns an error, which AWS Lambda counts;
// what it can't read of several things is a metric and a line of its log.
package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Functions are the functions of one stack. Invocations of one instance come one
// after the other.
type Functions struct {
	App *app.App
	// Session is the way into AWS.
	Session *awsapi.Session
	// Accounts lists the accounts to collect from.
	Accounts func(context.Context) ([]*awsapi.Account, error)
	// Notifier makes who turns alerts into messages; one that doesn't send needs no
	// secrets of channels.
	Notifier func(ctx context.Context, sends bool, o notify.Options) *notify.Notifier
	// Log is where a line of each invocation goes, and Metrics where its figures go.
	Log     *slog.Logger
	Metrics *Metrics
	Now     func() time.Time

	memory    sync.Once         // see limitMemory
	collector *lookup.Collector // kept while the instance is warm: it knows regions and rates
	listed    time.Time         // when its accounts were
}

// Names of the functions, as the stack's handlers name them.
const (
	Tracker  = "tracker"
	Realtime = "realtime"
	Exporter = "exporter"
	Notifier = "notifier"
)

// Names lists the functions.
func Names() []string { return []string{Tracker, Realtime, Exporter, Notifier} }

// Known reports whether there is a function of that name.
func Known(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	return fmt.Errorf("there is no function %q: the handler (_HANDLER) must be one of %s", name, strings.Join(Names(), ", "))
}

// Invoke runs a function with the payload of its invocation. The result is one
// object of JSON.
func (f *Functions) Invoke(ctx context.Context, name string, payload json.RawMessage) (result any, err error) {
	f.memory.Do(limitMemory)
	started := f.Now()
	switch name {
	case Tracker:
		result, err = f.track(ctx)
	case Realtime:
		result, err = f.realtime(ctx, payload)
	case Exporter:
		result, err = f.export(ctx)
	case Notifier:
		result, err = f.notify(ctx, payload)
	default:
		return nil, Known(name)
	}
	ended := f.Now()
	if end, ok := ctx.Deadline(); ok && end.After(started) {
		f.Metrics.Put(name, ended, Metric{"TimeUsed", Percent, 100 * float64(ended.Sub(started)) / float64(end.Sub(started))})
	}
	took := slog.Float64("seconds", ended.Sub(started).Seconds())
	if err != nil {
		f.Log.ErrorContext(ctx, name+" failed", slog.String("error", err.Error()), took)
		return nil, err
	}
	f.Log.InfoContext(ctx, name+" done", slog.Any("result", result), took)
	return result, nil
}

// limitMemory tells the garbage collector how much the function has: it allows as
// much as is in use beside it, and a function that takes more than it has is killed.
// GOMEMLIMIT, when set, is the user's word.
//
// Source: AWS Lambda Developer Guide, "Defined runtime environment variables".
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if mb, err := strconv.ParseInt(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 64); err == nil && mb > 0 {
		debug.SetMemoryLimit(mb << 20 * 6 / 10) // the rest is for buffers and head-room
	}
}

// margin is what is left of an invocation's time for writing what was read.
func margin(left time.Duration) time.Duration {
	return min(max(left/10, 5*time.Second), left/2)
}

// withMargin ends a context some time before the invocation's own time is up.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-margin(time.Until(end))))
}

// relist is how long the list of accounts of a warm instance is taken for true.
const relist = time.Hour

// TrackResult counts what a run of the tracker did.
type TrackResult struct {
	Regions    int   `json:"regions"`
	Requests   int   `json:"requests"`
	Throttled  int   `json:"throttled"` // of the requests
	Records    int64 `json:"records"`   // that came, doubles included
	Stored     int64 `json:"stored"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`
	Filtered   int64 `json:"filtered"`
	Rejected   int64 `json:"rejected"`
	Late       int   `json:"late"`
	Alerts     int   `json:"alerts"`
	// Problems counts what could not be read; the log has a line for each.
	Problems int `json:"problems"`
	// Unfinished: the time was up; the next run goes on.
	Unfinished bool `json:"unfinished"`
	Left
}

// Left is what collection still has to read.
type Left struct {
	// MissingSeconds are those of all streams, of the PromisedSeconds, that are still
	// to be read: what is denied, or lost, isn't among them.
	MissingSeconds  int64 `json:"missing_seconds"`
	PromisedSeconds int64 `json:"promised_seconds"`
	// ReadBackTo: from then on nothing is missing. It is null before anything was read.
	ReadBackTo *time.Time `json:"read_back_to"`
}

// left sums up the ledgers.
func left(ledgers []*coverage.Ledger) (sum Left) {
	var first, from int64
	for _, l := range ledgers {
		if l.Ended != 0 || l.Began == 0 {
			continue
		}
		promised := l.Promised()
		sum.PromisedSeconds += promised.To - promised.From
		if first == 0 || promised.From < first {
			first = promised.From
		}
		for _, g := range l.Gaps(promised) {
			if g.Reason == coverage.Pending || g.Reason == coverage.Failed {
				sum.MissingSeconds += g.To - g.From
				from = max(from, g.To)
			}
		}
	}
	if sum.MissingSeconds < sum.PromisedSeconds {
		at := time.Unix(max(first, from), 0).UTC()
		sum.ReadBackTo = &at
	}
	return sum
}

// track collects.
func (f *Functions) track(ctx context.Context) (*TrackResult, error) {
	if f.collector == nil || f.Now().Sub(f.listed) > relist {
		accounts, err := f.Accounts(ctx)
		if err != nil {
			err = fmt.Errorf("list the accounts to collect from: %w", err)
			return nil, errors.Join(err, f.App.TellGaps(ctx, f.Notifier(ctx, false, notify.Options{}), &lookup.Summary{}, err))
		}
		if f.collector, err = f.App.Collector(ctx, accounts); err != nil {
			return nil, err
		}
		f.listed = f.Now()
	}
	reading, cancel := withMargin(ctx)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		f.collector.Grace = margin(time.Until(end)) * 3 / 4 // the rest is for what is told of the run
	}
	sum, err := f.collector.Run(reading)
	for _, p := range sum.Problems {
		f.Log.WarnContext(ctx, "could not be read", slog.String("account_id", p.AccountID), slog.String("aws_region", p.Region),
			slog.String("event_source", p.Source), slog.String("reason", string(p.Reason)), slog.String("error", p.Error))
	}
	if why := f.App.TellGaps(ctx, f.Notifier(ctx, false, notify.Options{}), &sum, err); why != nil {
		err = errors.Join(err, why)
	}
	if err != nil {
		return nil, err
	}
	still, err := f.measureTracking(ctx, &sum)
	if err != nil {
		return nil, err
	}
	if why := app.WhyNothing(&sum, nil); why != "" {
		return nil, fmt.Errorf("nothing could be read: %s", why)
	}
	return &TrackResult{
		Regions: len(sum.Regions), Requests: sum.Requests, Throttled: sum.Throttled, Records: sum.Records, Stored: sum.Stored,
		Duplicates: sum.Duplicates, Conflicts: sum.Conflicts, Filtered: sum.Filtered, Rejected: sum.Rejected, Late: sum.Late,
		Alerts: sum.Alerts, Problems: len(sum.Problems), Unfinished: sum.Unfinished, Left: still,
	}, nil
}

// measureTracking gives the figures that the stack's alarms rest on, and what is left.
func (f *Functions) measureTracking(ctx context.Context, sum *lookup.Summary) (Left, error) {
	ledgers, err := f.App.Store.Streams(ctx)
	if err != nil {
		return Left{}, err
	}
	now := f.Now().Unix()
	lag := int64(0)
	for _, l := range ledgers {
		if l.Ended == 0 && l.Began != 0 && sum.Collects(l.Stream) {
			l.Expire(now)
			if behind := l.Status(now).LagSeconds; behind != nil {
				lag = max(lag, *behind)
			}
		}
	}
	pending, err := f.pending(ctx)
	if err != nil {
		return Left{}, err
	}
	f.Metrics.Put(Tracker, f.Now(),
		Metric{"EventsStored", Count, float64(sum.Stored)}, Metric{"EventsFiltered", Count, float64(sum.Filtered)},
		Metric{"EventsLate", Count, float64(sum.Late)}, Metric{"EventsRejected", Count, float64(sum.Rejected)},
		Metric{"CoverageGaps", Count, float64(recentGaps(ledgers, f.Now()))}, Metric{"CollectionLag", Seconds, float64(lag)},
		Metric{"Requests", Count, float64(sum.Requests)}, Metric{"RequestsThrottled", Count, float64(sum.Throttled)},
		Metric{"Problems", Count, float64(len(sum.Problems))}, Metric{"AlertsPending", Count, float64(pending)})
	return left(ledgers), nil
}

// told is how old a gap may be to count: it's lost after 90 days, and an alarm that it
// keeps up for ever would hide the next one.
const told = 97 * 24 * time.Hour

// recentGaps counts those that somebody may yet have to do with.
func recentGaps(ledgers []*coverage.Ledger, now time.Time) (n int) {
	for _, g := range app.LastingGaps(ledgers) {
		if now.Sub(g.To) < told {
			n++
		}
	}
	return n
}

// pending counts the alerts that nobody was told of yet, and messages that wait.
// Where nobody is to be told none is pending, however many there are.
func (f *Functions) pending(ctx context.Context) (n int64, err error) {
	if !slices.ContainsFunc(f.App.Config.Channels, func(c config.Channel) bool { return !c.Off }) {
		return 0, nil
	}
	waiting, err := f.App.Store.Messages(ctx, store.MessageFilter{States: []string{store.MessagePending}})
	n = int64(len(waiting))
	for _, why := range f.App.Store.Unrouted(ctx) {
		n++
		err = errors.Join(err, why)
	}
	return n, err
}

// envelope is what EventBridge wraps around a CloudTrail record (Amazon EventBridge
// User Guide, "AWS service events delivered via CloudTrail").
type envelope struct {
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Detail     json.RawMessage `json:"detail"`
}

// viaCloudTrail ends every detail-type of CloudTrail records: "AWS API Call via
// CloudTrail", "AWS Console Sign In via CloudTrail", "AWS Service Event via
// CloudTrail".
const viaCloudTrail = " via CloudTrail"

// RealtimeResult is what became of an event.
type RealtimeResult struct {
	EventID  string `json:"event_id,omitempty"`
	Outcome  string `json:"outcome"`
	Alerts   int    `json:"alerts"`
	Rejected int64  `json:"rejected"`
}

// realtime stores the event that EventBridge delivers. What isn't a CloudTrail
// record is an error, so that it goes where the stack keeps what failed.
func (f *Functions) realtime(ctx context.Context, payload json.RawMessage) (*RealtimeResult, error) {
	var e envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("the event isn't one of EventBridge: %w", err)
	}
	if !strings.HasSuffix(e.DetailType, viaCloudTrail) || len(e.Detail) == 0 {
		return nil, fmt.Errorf("the event %.64q of detail-type %.64q from %.64q isn't a CloudTrail record: the rule that sends events here must ask for detail-types that end in %q",
			e.ID, e.DetailType, e.Source, strings.TrimSpace(viaCloudTrail))
	}
	// EventBridge lets nobody but AWS send events of such a source (Amazon EventBridge
	// API Reference, PutEventsRequestEntry).
	if !strings.HasPrefix(e.Source, "aws.") {
		return nil, fmt.Errorf("the event %.64q says that it is CloudTrail's, and comes from %.64q: only sources that begin with aws. are AWS's own; somebody who may put events into the bus of this account, or of one that forwards to it, made it up",
			e.ID, e.Source)
	}
	sum, err := f.App.Pipeline.Ingest(ctx, []collect.Live{{Data: e.Detail, From: "EventBridge event " + e.ID}})
	if err != nil {
		return nil, err
	}
	var detail struct {
		EventID string `json:"eventID"`
	}
	_ = json.Unmarshal(e.Detail, &detail) // for the log only
	r := &RealtimeResult{EventID: detail.EventID, Outcome: sum.Outcomes[0].String(), Alerts: sum.Alerts, Rejected: sum.Rejected}
	f.Metrics.Put(Realtime, f.Now(),
		Metric{"EventsStored", Count, float64(sum.Stored)}, Metric{"EventsFiltered", Count, float64(sum.Filtered)},
		Metric{"EventsRejected", Count, float64(sum.Rejected)}, Metric{"Alerts", Count, float64(sum.Alerts)})
	return r, nil
}

// ExportResult is what an exporter did.
type ExportResult struct {
	collect.ExportResult
	// Busy: another exporter is at work, and does it.
	Busy bool `json:"busy,omitempty"`
	// Unfinished: the time was up; the next run goes on.
	Unfinished bool `json:"unfinished,omitempty"`
	// DirtyDays are the days that are still to be written.
	DirtyDays int `json:"dirty_days"`
}

// export brings the lake up to date.
func (f *Functions) export(ctx context.Context) (*ExportResult, error) {
	working, cancel := withMargin(ctx)
	defer cancel()
	var r ExportResult
	var err error
	r.ExportResult, err = f.App.Pipeline.Export(working, collect.ExportOptions{})
	var held *store.HeldError
	switch {
	case errors.As(err, &held):
		r.Busy = true
	case err != nil && working.Err() != nil && ctx.Err() == nil && r.Days+r.Written > 0:
		r.Unfinished = true
	case err != nil:
		return nil, fmt.Errorf("bring the lake up to date: %w", err)
	}
	for _, u := range r.Unreadable {
		f.Log.WarnContext(ctx, "could not be merged", slog.String("object", u.Object), slog.String("reason", u.Reason), slog.Bool("set_aside", u.SetAside))
	}
	dirty, err := f.App.Store.DirtyDays(ctx)
	if err != nil {
		return nil, err
	}
	r.DirtyDays = len(dirty)
	f.Metrics.Put(Exporter, f.Now(),
		Metric{"DaysWritten", Count, float64(r.Written)}, Metric{"DaysToExport", Count, float64(r.DirtyDays)},
		Metric{"InboxUnreadable", Count, float64(len(r.Unreadable))})
	return &r, nil
}

// NotifyRequest is the payload of an invocation of the notifier; what a schedule sends
// is none.
type NotifyRequest struct {
	// Test: a test message goes to each of the Channels, or of all that are on, and
	// nothing else happens.
	Test     bool     `json:"test"`
	Channels []string `json:"channels"`
}

// NotifyResult counts messages.
type NotifyResult struct {
	Sent    int   `json:"sent"`
	Failed  int   `json:"failed"`
	Pending int64 `json:"pending"`
	// Tested is what became of test messages, by channel; null when none was asked for.
	Tested []TestedChannel `json:"tested,omitzero"`
}

// TestedChannel is what became of a test message.
type TestedChannel struct {
	Channel string  `json:"channel"`
	Type    string  `json:"type"`
	OK      bool    `json:"ok"`
	Error   string  `json:"error"` // empty when the channel took it
	Seconds float64 `json:"seconds"`
}

// test sends test messages. That a channel didn't take one is an answer.
func (f *Functions) test(ctx context.Context, channels []string) (*NotifyResult, error) {
	outcomes, err := f.Notifier(ctx, true, notify.Options{}).Test(ctx, channels...)
	if err != nil {
		return nil, fmt.Errorf("send test messages: %w", err)
	}
	types := map[string]string{}
	for _, c := range f.App.Config.Channels {
		types[c.Name] = c.Type
	}
	r := &NotifyResult{Tested: []TestedChannel{}}
	for _, o := range outcomes {
		t := TestedChannel{Channel: o.Channel, Type: types[o.Channel], OK: o.Err == nil, Seconds: o.Took.Seconds()}
		if o.Err != nil {
			t.Error = event.ScrubText(o.Err.Error())
			r.Failed++
		} else {
			r.Sent++
		}
		r.Tested = append(r.Tested, t)
	}
	return r, nil
}

// notify routes alerts and sends messages. A channel that fails holds up no other,
// its messages are sent again, and the invocation fails.
func (f *Functions) notify(ctx context.Context, payload json.RawMessage) (*NotifyResult, error) {
	var ask NotifyRequest
	if json.Unmarshal(payload, &ask) == nil && ask.Test { // a schedule's payload is any
		return f.test(ctx, ask.Channels)
	}
	n := f.Notifier(ctx, true, notify.Options{
		Log:    func(text string) { f.Log.WarnContext(ctx, text) },
		Status: f.App.CoverageLines,
	})
	working, cancel := withMargin(ctx)
	defer cancel()
	d, err := n.Pass(working)
	if err != nil {
		return nil, err
	}
	pending, err := f.pending(ctx)
	if err != nil {
		return nil, err
	}
	r := &NotifyResult{Sent: d.Sent, Failed: d.Failed, Pending: pending}
	f.Metrics.Put(Notifier, f.Now(),
		Metric{"MessagesSent", Count, float64(d.Sent)}, Metric{"ChannelsFailed", Count, float64(len(d.Errors))},
		Metric{"AlertsPending", Count, float64(pending)})
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(d.Errors)) {
		failed = append(failed, fmt.Errorf("channel %s: %w", name, d.Errors[name]))
	}
	return r, errors.Join(failed...)
}
