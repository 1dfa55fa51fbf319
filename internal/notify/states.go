package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// What is told besides alerts: that collection is silent, that times can't be
// read, and what a day was like.

// Silence is a collection that has stopped.
type Silence struct {
	Since  time.Time `json:"since"`  // when it worked last
	Reason string    `json:"reason"` // why it doesn't; may be empty
}

// Gap is a time that could not be read.
type Gap struct {
	AccountID string    `json:"account_id"`
	Region    string    `json:"aws_region"`
	Source    string    `json:"event_source"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Reason    string    `json:"reason"`
}

const (
	// SilentAfter is how long collection may be silent before Silent tells of it.
	SilentAfter = 6 * time.Hour
	// GapAfter is how long ago a gap must begin before Gaps tells of it.
	GapAfter = 6 * time.Hour
	// gapAgain is after what time a gap that is still there is told again.
	gapAgain = 7 * 24 * time.Hour
)

// Silent tells every channel once that collection has not worked since a time;
// nothing as long as that is no longer ago than SilentAfter.
func (n *Notifier) Silent(ctx context.Context, s Silence) error {
	now := n.o.Now()
	if now.Sub(s.Since) < SilentAfter {
		return nil
	}
	return n.tell(ctx, KindSilence, s, now, s.Since.UTC().Format(time.RFC3339))
}

// tell enqueues a message for every channel, unless it's there already.
func (n *Notifier) tell(ctx context.Context, kind string, body any, now time.Time, what ...string) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var messages []store.Message
	for _, t := range n.active() {
		messages = append(messages, message(t, kind, nil, string(text), now, what...))
	}
	if len(messages) == 0 {
		return nil
	}
	if _, err := n.store.Enqueue(ctx, messages, nil); err != nil {
		return fmt.Errorf("write the message about %s: %w", kind, err)
	}
	return nil
}

// Keys of the store for what a notifier did, since in AWS each pass is one of its own:
// the gaps that were told, the date of the last summary in the outbox, and when the
// outbox was pruned, in seconds since 1970.
const (
	metaGaps    = "notify.gaps"
	metaSummary = "notify.summary"
	metaPruned  = "notify.pruned"
)

// toldGap is a gap that was told, or seen.
type toldGap struct {
	Gap
	At time.Time `json:"at,omitzero"` // when it was told; zero: it was only seen
}

// Gaps tells every channel, in one message, of the gaps that are older than
// GapAfter, except those that were told in the last week. One that ended so long
// ago is told at once; one that goes on, as that of a region that denies grows
// with every run, when it's there for the second time: what fails once, such as
// the first run after a night's sleep, may be mended by the next one. gaps must be
// all that there are: one that isn't among them is told again when it comes back.
// A gap is known by its stream and reason, and by overlapping the one that was
// told, since its ends move while it's being read.
func (n *Notifier) Gaps(ctx context.Context, gaps []Gap) error {
	now := n.o.Now()
	text, err := n.store.Meta(ctx, metaGaps)
	if err != nil {
		return fmt.Errorf("read which gaps were told: %w", err)
	}
	var told []toldGap
	if text != "" {
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			return fmt.Errorf("read which gaps were told: %w", err)
		}
	}
	var kept []toldGap
	var news []Gap
	var what []string
	for _, g := range gaps {
		seen := false
		var at time.Time // when it, or a part of it, was told last
		for _, t := range told {
			if t.AccountID == g.AccountID && t.Region == g.Region && t.Source == g.Source && t.Reason == g.Reason &&
				t.From.Before(g.To) && g.From.Before(t.To) {
				seen = true
				if t.At.After(at) {
					at = t.At
				}
			}
		}
		switch {
		case now.Sub(at) < gapAgain:
			kept = append(kept, toldGap{g, at})
		case now.Sub(g.From) < GapAfter || !seen && now.Sub(g.To) < GapAfter:
			kept = append(kept, toldGap{Gap: g})
		default:
			kept = append(kept, toldGap{g, now.UTC()})
			news = append(news, g)
			what = append(what, fmt.Sprint(g.AccountID, " ", g.Region, " ", g.Source, " ", g.From.Unix(), " ", g.Reason))
		}
	}
	if len(news) > 0 && len(n.active()) > 0 {
		// The day is in the id, so that a reminder is another message.
		if err := n.tell(ctx, KindGap, news, now, append(what, now.UTC().Format(time.DateOnly))...); err != nil {
			return err
		}
	}
	if len(n.active()) == 0 || len(kept) == 0 && text == "" {
		return nil
	}
	now2, err := json.Marshal(kept)
	if err == nil && string(now2) != text {
		err = n.store.SetMeta(ctx, metaGaps, string(now2))
	}
	if err != nil {
		return fmt.Errorf("note which gaps were told: %w", err)
	}
	return nil
}

// day is what a summary tells.
type day struct {
	Date    string         `json:"date"` // on which it's sent
	Alerts  map[string]int `json:"alerts"`
	Open    map[string]int `json:"open"`
	Gravest []string       `json:"gravest"` // ids
	Lines   []string       `json:"lines"`
}

// Summarize enqueues the summary of the last 24 hours, once a day, when its time
// has come.
func (n *Notifier) Summarize(ctx context.Context) error {
	if n.o.DailySummary < 0 {
		return nil
	}
	now := n.o.Now().In(n.o.Zone)
	date := now.Format(time.DateOnly)
	due := time.Date(now.Year(), now.Month(), now.Day(), n.o.DailySummary/60, n.o.DailySummary%60, 0, 0, n.o.Zone)
	if now.Before(due) {
		return nil
	}
	if told, err := n.store.Meta(ctx, metaSummary); err != nil || told == date {
		return err
	}
	d := day{Date: date, Alerts: map[string]int{}, Open: map[string]int{}}
	list, err := n.store.Alerts(ctx, store.AlertFilter{Since: now.Add(-24 * time.Hour), Until: now})
	if err != nil {
		return fmt.Errorf("summarize the day: %w", err)
	}
	var gravest []rule.Alert
	for i := range list {
		d.Alerts[list[i].Severity.String()]++
		if list[i].State == rule.StateFinding {
			gravest = top(append(gravest, list[i]), digestTop)
		}
	}
	for i := range gravest {
		d.Gravest = append(d.Gravest, gravest[i].ID)
	}
	counts, err := n.store.Counts(ctx)
	if err != nil {
		return fmt.Errorf("summarize the day: %w", err)
	}
	for severity, k := range counts.Alerts[rule.StateFinding] {
		d.Open[severity] = int(k)
	}
	if n.o.Status != nil {
		if d.Lines, err = n.o.Status(ctx); err != nil {
			return fmt.Errorf("summarize the day: %w", err)
		}
	}
	if err := n.tell(ctx, KindSummary, d, now, date); err != nil {
		return err
	}
	if err := n.store.SetMeta(ctx, metaSummary, date); err != nil {
		return fmt.Errorf("note that the day was summarized: %w", err)
	}
	return nil
}

func (o *outgoing) aboutDay(ctx context.Context) error {
	var d day
	if err := json.Unmarshal([]byte(o.Body), &d); err != nil {
		return fmt.Errorf("compose message %s: %w", o.ID, err)
	}
	list, err := o.alertsOf(ctx, d.Gravest, true)
	if err != nil {
		return err
	}
	none := func(text string) string {
		if text == "" {
			return "none"
		}
		return text
	}
	o.notice = &notice{
		label: "Summary of " + d.Date, severity: rule.Info,
		fields: []field{
			{label: "Alerts", value: none(severities(d.Alerts)) + " in 24 hours", own: true},
			{label: "Open", value: none(severities(d.Open)) + " in all", own: true},
			{label: "Message", value: o.ID, own: true},
		},
		items: o.items(list), lines: d.Lines, data: d, command: "All: " + o.n.o.Command("alerts", "list"),
	}
	return nil
}

func (o *outgoing) aboutSilence() error {
	var s Silence
	if err := json.Unmarshal([]byte(o.Body), &s); err != nil {
		return fmt.Errorf("compose message %s: %w", o.ID, err)
	}
	o.notice = &notice{
		label: "Nothing was collected since " + o.time(s.Since.UnixMilli()), severity: rule.High,
		fields: []field{
			{label: "Reason", value: s.Reason},
			{label: "Meaning", value: "nobody is told of what has happened since then", own: true},
			{label: "Message", value: o.ID, own: true},
		},
		data: s, command: "See: " + o.n.o.Command("status"),
	}
	return nil
}

// gapLines is how many gaps a message names one by one, and gapData how many in
// JSON, where each may take two kilobytes: a denial in all regions of a large
// organization makes thousands.
const (
	gapLines = 12
	gapData  = 100
)

func (o *outgoing) aboutGaps() error {
	var gaps []Gap
	if err := json.Unmarshal([]byte(o.Body), &gaps); err != nil {
		return fmt.Errorf("compose message %s: %w", o.ID, err)
	}
	o.notice = &notice{
		label: "Not collected: " + plural(len(gaps), "gap") + " in the history", severity: rule.High,
		fields: []field{{label: "Message", value: o.ID, own: true}},
		data:   gaps[:min(gapData, len(gaps))], command: "See: " + o.n.o.Command("status"),
	}
	for _, g := range gaps[:min(gapLines, len(gaps))] {
		o.lines = append(o.lines, fmt.Sprintf("%s %s %s: %s: %s", o.account(g.AccountID), g.Region, strings.TrimSuffix(g.Source, ".amazonaws.com"),
			o.span(g.From.UnixMilli(), g.To.UnixMilli()), g.Reason))
	}
	if more := len(gaps) - gapLines; more > 0 {
		o.lines = append(o.lines, fmt.Sprintf("and %d more", more))
	}
	return nil
}
