package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func newAlertsShowCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID…",
		Short: "Explain alerts: what happened, why it matters, what to do next",
		Long: `Explain alerts: what happened, why it matters, what to do next. ID is what
"alerts list" prints, or the first characters of it (at least four). JSON is
the alert's object, with its rule's as "about", and what was not collected within a
day of it, in its account, under "coverage" (an array for several ids).`,
		Example: "  iamtrack alerts show 3f2a91c07d1be455",
		Args:    argCount(1, -1, "the id of an alert"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAlertsShow(cmd.Context(), e, args)
		},
	}
}

// findAlert reads one alert; errors name the id and what to do.
func findAlert(ctx context.Context, a *app.App, id string) (rule.Alert, error) {
	al, err := a.Store.Alert(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return al, withHint(fmt.Errorf("no alert has the id %s", id), "`iamtrack alerts list --state all` lists the ids")
	case errors.Is(err, store.ErrAmbiguous):
		return al, withHint(fmt.Errorf("more than one alert id starts with %s", id), "give more of the id")
	case err != nil:
		return al, fmt.Errorf("read alert %s: %w", id, err)
	}
	return al, nil
}

func runAlertsShow(ctx context.Context, e *env, ids []string) error {
	return e.with(ctx, "alerts show", false, func(a *app.App) error {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return err
		}
		about := map[string]rule.Rule{}
		for _, r := range a.Rules.Rules() {
			about[r.ID] = r
		}
		type shown struct {
			alertView
			About    *rule.Rule      `json:"about"`
			Coverage *answerCoverage `json:"coverage"`
		}
		alerts := make([]rule.Alert, len(ids))
		for i, id := range ids {
			var err error
			if alerts[i], err = findAlert(ctx, a, id); err != nil {
				return err
			}
		}
		views := make([]any, len(alerts))
		texts := make([]string, len(alerts))
		for i := range alerts {
			since, until := around(&alerts[i])
			lacks := c.answer(e, question{since: since, until: until, streams: inAccount(alerts[i].AccountID)})
			v := shown{alertView: viewAlert(&alerts[i]), Coverage: lacks}
			if r, ok := about[alerts[i].Rule]; ok {
				v.About = &r
			}
			views[i] = v
			texts[i] = e.alertText(&alerts[i], about[alerts[i].Rule], c.names) + e.missingText(lacks)
		}
		return e.objects(views, func(i int) string { return texts[i] })
	})
}

// alertText is an alert for people. r is empty when the rule is switched off.
func (e *env) alertText(a *rule.Alert, r rule.Rule, names map[string]string) string {
	t := e.newPage()
	t.line(e.paint(severityColour(a.Severity.String()), strings.ToUpper(a.Severity.String())) + "  " + e.paint(render.Bold, render.Text(a.Title)))
	t.paragraph(render.Text(e.sentence(a, names)))
	if a.Detail != "" {
		t.paragraph(render.Text(a.Detail))
	}
	t.blank()
	t.field("alert", a.ID)
	t.field("rule", a.Rule)
	t.field("state", stateText(a, e.config.Zone))
	t.field("time", e.timeText(a.EventTime))
	t.field("actor", a.Actor)
	t.field("from", a.SourceIP)
	t.field("account", named(names, a.AccountID))
	t.field("region", a.AWSRegion)
	t.field("event", a.EventName)
	t.field("targets", strings.Join(a.Targets, ", "))
	if len(r.ATTACK) > 0 {
		t.field("ATT&CK", strings.Join(r.ATTACK, ", "))
	}

	t.heading(count(len(a.Events), "event"))
	const most = 20
	for i, ev := range a.Events {
		if i == most {
			t.line(fmt.Sprintf("  … and %s", count(len(a.Events)-most, "more|more")))
			break
		}
		t.line("  " + e.timeText(ev.EventTime) + "  " + render.Text(ev.EventName) + "  " + render.Text(ev.EventID))
	}
	if r.Why != "" {
		t.heading("Why it matters")
		t.paragraph(render.Text(r.Why))
	}
	if r.Next != "" {
		t.heading("What to do")
		t.paragraph(render.Text(r.Next))
	}
	if r.FalsePositives != "" {
		t.heading("When it is harmless")
		t.paragraph(render.Text(r.FalsePositives))
	}
	t.heading("Commands")
	for _, c := range e.alertCommands(a) {
		t.line("  " + c)
	}
	return t.String()
}

// sentence says what happened.
func (e *env) sentence(a *rule.Alert, names map[string]string) string {
	var b strings.Builder
	actor := a.Actor
	if actor == "" {
		actor = "Somebody unknown"
	}
	if len(a.Events) > 1 {
		fmt.Fprintf(&b, "%s made %s, the first of them %s,", actor, count(len(a.Events), "call"), a.EventName)
	} else {
		fmt.Fprintf(&b, "%s called %s", actor, a.EventName)
	}
	if len(a.Targets) > 0 {
		shown := a.Targets
		rest := ""
		if len(shown) > 3 {
			rest = fmt.Sprintf(" and %d more", len(shown)-3)
			shown = shown[:3]
		}
		b.WriteString(" on " + strings.Join(shown, ", ") + rest)
	}
	if a.AccountID != "" {
		b.WriteString(" in account " + named(names, a.AccountID))
	}
	if a.AWSRegion != "" {
		b.WriteString(" (" + a.AWSRegion + ")")
	}
	if a.SourceIP != "" {
		b.WriteString(" from " + a.SourceIP)
	}
	b.WriteString(", at " + e.timeText(a.EventTime) + ".")
	return b.String()
}

func (e *env) timeText(ms int64) string {
	return time.UnixMilli(ms).In(e.config.Zone).Format("2006-01-02 15:04:05Z07:00")
}

func stateText(a *rule.Alert, zone *time.Location) string {
	s := a.State
	if a.AckedAt != 0 {
		s += fmt.Sprintf(" by %s at %s", a.AckedBy, time.UnixMilli(a.AckedAt).In(zone).Format("2006-01-02 15:04:05Z07:00"))
	}
	if a.Note != "" {
		s += ": " + a.Note
	}
	return s
}

// around is the time in which to look for more: a day before an alert's first
// event to a day after its last one.
func around(a *rule.Alert) (since, until time.Time) {
	last := a.EventTime
	for _, r := range a.Events {
		last = max(last, r.EventTime)
	}
	return time.UnixMilli(a.EventTime).UTC().AddDate(0, 0, -1), time.UnixMilli(last).UTC().AddDate(0, 0, 1)
}

// alertCommands are what an investigator types next; they work as printed.
func (e *env) alertCommands(a *rule.Alert) []string {
	from, to := around(a)
	since, until := from.Format(time.RFC3339), to.Format(time.RFC3339)
	var out []string
	add := func(words ...string) {
		if c := e.command(words...); c != "" {
			out = append(out, c)
		}
	}
	add("events", a.EventID)
	add("events", "--actor", a.Actor, "--since", since, "--until", until)
	if a.SourceIP != "" {
		add("events", "--ip", a.SourceIP, "--since", since, "--until", until)
	}
	for _, t := range a.Targets {
		switch {
		case strings.HasPrefix(t, "AKIA") || strings.HasPrefix(t, "ASIA"):
			add("events", "--key", t)
		case strings.Contains(t, ":iam::aws:"), strings.Contains(t, "*"), t == a.AccountID: // everybody's target
		default:
			add("events", "--target", t)
		}
		if len(out) == 5 {
			break
		}
	}
	if a.State == rule.StateFinding {
		add("alerts", "ack", a.ID, "--note", "expected, because …")
	}
	return out
}
