package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func newAlertsCmd(e *env) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "alerts",
		Aliases: []string{"alert"},
		Short:   "List, explain, acknowledge and send what the rules found",
		Example: "  iamtrack alerts list --severity high --since 30d\n  iamtrack alerts show 3f2a91c07d1be455",
	})
	cmd.AddCommand(newAlertsListCmd(e), newAlertsShowCmd(e), newAlertsAckCmd(e), newAlertsTestCmd(e), newAlertsResendCmd(e))
	return cmd
}

type alertsListOptions struct {
	severity       string
	rules, states  []string
	account, actor string
}

// alertStates are the values of --state; "all" means each of them.
var alertStates = []string{rule.StateFinding, rule.StateAcknowledged, rule.StateSuperseded}

func newAlertsListCmd(e *env) *cobra.Command {
	var o alertsListOptions
	cmd := taking(coverageFlag(e, &cobra.Command{
		Use:   "list",
		Short: "List alerts, newest event first",
		Long: `List alerts, newest event first. Alerts that later events contradicted
(superseded) are left out unless --state names them. A table shows the person behind
the session as actor; JSON, CSV and --actor have the caller as the record names it.

JSON is an array of objects with id, rule, title, severity, event_id,
event_time, actor, source_ip, account_id, aws_region, event_name, targets,
state, detail, events, and for acknowledged ones acked_by, acked_at, note.`,
		Example: `  iamtrack alerts list --severity high --since 30d
  iamtrack alerts list --rule root-console-login --state finding --format json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAlertsList(cmd.Context(), e, o) },
	}), takesRange, takesLimit)
	f := cmd.Flags()
	f.StringVar(&o.severity, "severity", "", "at least that severe: info, low, medium, high or critical")
	f.StringSliceVar(&o.rules, "rule", nil, "only of that rule (id; may be repeated)")
	f.StringSliceVar(&o.states, "state", nil, "only in that state: finding, acknowledged, superseded or all")
	f.StringVar(&o.account, "account", "", "only of that account id")
	f.StringVar(&o.actor, "actor", "", "only of actors that contain the text")
	complete(cmd, "severity", "info", "low", "medium", "high", "critical")
	complete(cmd, "state", append(slices.Clone(alertStates), "all")...)
	_ = cmd.RegisterFlagCompletionFunc("rule", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return ruleIDs(e), cobra.ShellCompDirectiveNoFileComp
	})
	return onStack(cmd)
}

// filter checks the options against what there is.
func (o *alertsListOptions) filter(e *env) (store.AlertFilter, error) {
	f := store.AlertFilter{Since: e.since, Until: e.until, AccountID: o.account, Actor: o.actor}
	if o.severity != "" {
		var err error
		if f.MinSeverity, err = rule.ParseSeverity(o.severity); err != nil {
			return f, usagef("--severity: %v", err)
		}
	}
	for _, s := range o.states {
		switch s = strings.ToLower(s); {
		case s == "all":
			f.States = append(f.States, alertStates...)
		case slices.Contains(alertStates, s):
			f.States = append(f.States, s)
		default:
			return f, unknown("state", s, append(slices.Clone(alertStates), "all"), "")
		}
	}
	known := ruleIDs(e)
	for _, id := range o.rules {
		if !slices.Contains(known, id) {
			return f, unknown("rule", id, known, "`iamtrack rules list` lists the rules")
		}
		f.Rules = append(f.Rules, id)
	}
	return f, nil
}

func runAlertsList(ctx context.Context, e *env, o alertsListOptions) error {
	if err := e.checkCoverage(); err != nil {
		return err
	}
	f, err := o.filter(e)
	if err != nil {
		return err
	}
	limit := e.limit(50)
	if limit > 0 {
		f.Limit = limit + 1 // one more tells whether there are more
	}
	return e.with(ctx, "alerts list", false, func(a *app.App) error {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return err
		}
		alerts, err := a.Store.Alerts(ctx, f)
		if err != nil {
			return fmt.Errorf("list alerts: %w", err)
		}
		more := limit > 0 && len(alerts) > limit
		if more {
			alerts = alerts[:limit]
		}
		v := c.answer(e, question{since: e.since, until: e.until, streams: inAccount(o.account)})
		var people map[string]string
		if limit > 0 && !e.format().Machine() {
			if people, err = behind(ctx, a, alerts); err != nil {
				return fmt.Errorf("list alerts: %w", err)
			}
		}
		if err := e.printAlerts(alerts, c.names, people, v); err != nil {
			return err
		}
		e.tellCoverage(v)
		switch {
		case more:
			e.note("more alerts match: --limit 0 shows all")
		case len(alerts) == 0:
			e.note("no alert matches")
		case !e.format().Machine():
			e.note("%s; `iamtrack alerts show ID` explains one", count(len(alerts), "alert"))
		}
		return nil
	})
}

// inAccount tells which streams are of an account; nil, all, for "".
func inAccount(id string) func(coverage.Stream) bool {
	if id == "" {
		return nil
	}
	return func(s coverage.Stream) bool { return s.AccountID == id }
}

// behind names the persons behind alerts, by the alerts' ids. Each takes a look at
// its event, which is little for as many as people read.
func behind(ctx context.Context, a *app.App, alerts []rule.Alert) (map[string]string, error) {
	people := map[string]string{}
	resolver := lineage.NewResolver(a.Store)
	for i := range alerts {
		al := &alerts[i]
		key := event.Key{AccountID: al.AccountID, EventID: al.EventID}
		ev, err := a.Store.Event(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			ev, err = a.Event(ctx, key, event.DateOf(al.EventTime))
		}
		if errors.Is(err, lake.ErrNotFound) {
			continue // retention removed it: what the alert says is all there is
		}
		if err != nil {
			return nil, err
		}
		r, err := resolver.Resolve(ctx, &ev)
		if err != nil {
			return nil, err
		}
		people[al.ID] = r.Actor
	}
	return people, nil
}

// printAlerts prints what people scan, or everything for programs, and what is
// missing there; v may be nil. people are who is behind alerts, as far as known.
func (e *env) printAlerts(alerts []rule.Alert, names, people map[string]string, v *answerCoverage) error {
	if e.format().Machine() {
		cols := render.Columns("id", "rule", "title", "severity", "event_id", "event_time", "actor", "source_ip",
			"account_id", "aws_region", "event_name", "targets", "state", "detail", "events", "acked_by", "acked_at", "note")
		return e.coveredAnswer(cols, v, func(p render.Printer) error {
			for i := range alerts {
				a := viewAlert(&alerts[i])
				if err := p.Row([]any{a.ID, a.Rule, a.Title, a.Severity, a.EventID, a.EventTime, a.Actor, a.SourceIP,
					a.AccountID, a.AWSRegion, a.EventName, a.Targets, a.State, a.Detail, eventRefs(a.Events), orNull(a.AckedBy), timeOrNull(a.AckedAt), orNull(a.Note)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	cols := []render.Column{
		{Name: "id", Whole: true}, {Name: "time"}, {Name: "severity", Whole: true, Paint: paintSeverity}, {Name: "alert"},
		columnStyle("actor"), {Name: "source_ip"}, {Name: "account", Whole: true}, {Name: "targets"}, {Name: "state", Paint: paintState},
	}
	// A title cut short tells nothing: a narrow terminal shows fewer columns.
	n := len(cols)
	if width, ok := render.Terminal(e.stdout); ok && e.format() == render.Table {
		n = alertColumns(width)
	}
	return e.coveredAnswer(cols[:n], v, func(p render.Printer) error {
		for i := range alerts {
			al := &alerts[i]
			values := []any{
				al.ID, time.UnixMilli(al.EventTime), al.Severity.String(), al.Title,
				cmp.Or(people[al.ID], al.Actor), al.SourceIP, namedCell(names, al.AccountID), al.Targets, al.State,
			}
			if err := p.Row(values[:n]); err != nil {
				return err
			}
		}
		return nil
	})
}

// alertView is an alert as JSON: times are RFC 3339, not the store's integers.
type alertView struct {
	ID        string     `json:"id"`
	Rule      string     `json:"rule"`
	Title     string     `json:"title"`
	Severity  string     `json:"severity"`
	EventID   string     `json:"event_id"`
	EventTime time.Time  `json:"event_time"`
	Actor     string     `json:"actor"`
	SourceIP  string     `json:"source_ip"`
	AccountID string     `json:"account_id"`
	AWSRegion string     `json:"aws_region"`
	EventName string     `json:"event_name"`
	Targets   []string   `json:"targets"`
	State     string     `json:"state"`
	Detail    string     `json:"detail"`
	Events    []eventRef `json:"events"`
	AckedBy   string     `json:"acked_by,omitempty"`
	AckedAt   *time.Time `json:"acked_at,omitempty"`
	Note      string     `json:"note,omitempty"`
}

type eventRef struct {
	EventID   string    `json:"event_id"`
	EventTime time.Time `json:"event_time"`
	EventName string    `json:"event_name"`
}

func viewAlert(a *rule.Alert) alertView {
	v := alertView{
		ID: a.ID, Rule: a.Rule, Title: a.Title, Severity: a.Severity.String(), EventID: a.EventID,
		EventTime: time.UnixMilli(a.EventTime).UTC(), Actor: a.Actor, SourceIP: a.SourceIP, AccountID: a.AccountID,
		AWSRegion: a.AWSRegion, EventName: a.EventName, Targets: a.Targets, State: a.State, Detail: a.Detail,
		Events: make([]eventRef, len(a.Events)), AckedBy: a.AckedBy, Note: a.Note,
	}
	if v.Targets == nil {
		v.Targets = []string{}
	}
	for i, r := range a.Events {
		v.Events[i] = eventRef{r.EventID, time.UnixMilli(r.EventTime).UTC(), r.EventName}
	}
	if a.AckedAt != 0 {
		t := time.UnixMilli(a.AckedAt).UTC()
		v.AckedAt = &t
	}
	return v
}

// eventRefs boxes references, so that CSV too prints them as JSON.
func eventRefs(refs []eventRef) []any {
	out := make([]any, len(refs))
	for i := range refs {
		out[i] = refs[i]
	}
	return out
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func timeOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return *t
}

// severityColour is how bad something looks.
func severityColour(s string) render.Colour {
	switch s {
	case "critical":
		return render.BoldRed
	case "high":
		return render.Red
	case "medium":
		return render.Yellow
	case "low":
		return render.Cyan
	}
	return render.NoColour
}

func paintSeverity(v any) render.Colour {
	s, _ := v.(string)
	return severityColour(s)
}

func paintState(v any) render.Colour {
	if v == rule.StateFinding {
		return render.NoColour
	}
	return render.Dim
}

// alertColumns is how many columns of alerts a terminal has room for.
func alertColumns(width int) int {
	switch {
	case width < 116:
		return 5 // id to actor
	case width < 140:
		return 6 // and the address
	case width < 170:
		return 7 // and the account
	}
	return 9
}
