package function

import (
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Namespace is where the functions' metrics are, in CloudWatch.
const Namespace = "IAMActivityTracker"

// Units of CloudWatch.
const (
	Count   = "Count"
	Seconds = "Seconds"
)

// metricNames are the figures of each function, by which the stack's alarms go.
var metricNames = map[string][]string{
	Tracker: {"EventsStored", "EventsFiltered", "EventsLate", "EventsRejected", "CoverageGaps", "CollectionLag", "Requests", "RequestsThrottled",
		"Problems", "AlertsPending"},
	Realtime: {"EventsStored", "EventsFiltered", "EventsRejected", "Alerts"},
	Exporter: {"DaysWritten", "DaysToExport", "InboxUnreadable"},
	Notifier: {"MessagesSent", "ChannelsFailed", "AlertsPending"},
}

// MetricNames lists the metrics that each invocation of a function writes.
func MetricNames(function string) []string { return slices.Clone(metricNames[function]) }

// Metric is one figure of an invocation.
type Metric struct {
	Name  string
	Unit  string // Count or Seconds
	Value float64
}

// Metrics writes figures in CloudWatch's embedded metric format (Amazon CloudWatch
// User Guide, "Specification: Embedded metric format"): a line of the log that
// CloudWatch makes metrics of, at no request of ours.
type Metrics struct {
	// W is the function's log.
	W io.Writer
	// Stack is the stack's name, the second dimension besides the function's.
	Stack string

	mu sync.Mutex
}

type emfMetric struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type emfDirective struct {
	Namespace  string      `json:"Namespace"`
	Dimensions [][]string  `json:"Dimensions"`
	Metrics    []emfMetric `json:"Metrics"`
}

type emfMeta struct {
	Timestamp         int64          `json:"Timestamp"` // ms since the epoch
	CloudWatchMetrics []emfDirective `json:"CloudWatchMetrics"`
}

// Put writes the figures of one invocation, in one line.
func (m *Metrics) Put(function string, at time.Time, metrics ...Metric) {
	list := make([]emfMetric, len(metrics))
	line := map[string]any{"Stack": m.Stack, "Function": function}
	for i, v := range metrics {
		list[i] = emfMetric{v.Name, v.Unit}
		line[v.Name] = v.Value
	}
	line["_aws"] = emfMeta{at.UnixMilli(), []emfDirective{{Namespace, [][]string{{"Stack", "Function"}}, list}}}
	text, err := json.Marshal(line)
	if err != nil { // floats that aren't numbers, which no count is
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.W.Write(append(text, '\n'))
}

// NewLog returns a log of lines of JSON, as Lambda's JSON format has them
// (timestamp, level, message). Text in it is scrubbed as rejected records are: what
// looks like a credential is left out.
func NewLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 {
			switch a.Key {
			case slog.TimeKey:
				a.Key = "timestamp"
				a.Value = slog.TimeValue(a.Value.Time().UTC())
				return a
			case slog.MessageKey:
				a.Key = "message"
			}
		}
		if a.Value.Kind() == slog.KindString {
			a.Value = slog.StringValue(event.ScrubText(a.Value.String()))
		}
		return a
	}}))
}
