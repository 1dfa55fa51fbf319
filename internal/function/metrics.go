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
	Percent = "Percent"
)

// published are the figures that CloudWatch makes metrics of, one for the stack each:
// ten are free of charge in an account, and a metric with the function's name for a
// dimension would be one more for each function. The other figures are in the same lines
// of the log, where CloudWatch Logs Insights finds them.
var published = []string{"EventsStored", "EventsFiltered", "EventsLate", "EventsRejected", "CoverageGaps", "CollectionLag", "AlertsPending",
	"DaysToExport", "InboxUnreadable", "TimeUsed"}

// MetricNames lists the metrics of a stack in CloudWatch.
func MetricNames() []string { return slices.Clone(published) }

// Metric is one figure of an invocation.
type Metric struct {
	Name  string
	Unit  string // Count, Seconds or Percent
	Value float64
}

// Metrics writes figures in CloudWatch's embedded metric format (Amazon CloudWatch
// User Guide, "Specification: Embedded metric format"): a line of the log that
// CloudWatch makes metrics of, at no request of ours.
type Metrics struct {
	// W is the function's log.
	W io.Writer
	// Stack is the stack's name, the dimension of the metrics.
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
	list := []emfMetric{}
	line := map[string]any{"Stack": m.Stack, "Function": function}
	for _, v := range metrics {
		if slices.Contains(published, v.Name) {
			list = append(list, emfMetric{v.Name, v.Unit})
		}
		line[v.Name] = v.Value
	}
	line["_aws"] = emfMeta{at.UnixMilli(), []emfDirective{{Namespace, [][]string{{"Stack"}}, list}}}
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
