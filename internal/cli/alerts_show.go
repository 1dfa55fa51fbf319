package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/story"
)

func newAlertsShowCmd(e *env) *cobra.Command {
	return freshFlag(e, &cobra.Command{
		Use:   "show ID…",
		Short: "Explain alerts: what happened, who it was, why it matters, what to do next",
		Long: `Explain alerts: what happened and who it was, with the chain of sessions and how
certain that is; what the same person did in the hour before and after; why it
matters, what to do next, and commands to copy. ID is what "alerts list" prints, or
the first characters of it (at least four).

JSON is the alert's object, with who it was as "who" (actor, actor_kind,
actor_account, certainty, reason, chain, evidence), the hour before and after as
"around" (sessions as of "timeline"), commands as "commands", its rule's object as
"about", and what was not collected within a day of it, in its account, under
"coverage" (an array for several ids).`,
		Example: "  iamtrack alerts show 3f2a91c07d1be455",
		Args:    argCount(1, -1, "the id of an alert"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAlertsShow(cmd.Context(), e, args)
		},
	})
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

// shownAlert is what `alerts show --format json` prints.
type shownAlert struct {
	alertView
	Who      *whoItWas       `json:"who"`
	Around   []sessionView   `json:"around"`
	Commands []string        `json:"commands"`
	About    *rule.Rule      `json:"about"`
	Coverage *answerCoverage `json:"coverage"`
}

// whoItWas is who is behind an alert's event; null when the event isn't stored.
type whoItWas struct {
	Actor     string             `json:"actor"`
	Kind      string             `json:"actor_kind"`
	Account   string             `json:"actor_account,omitempty"`
	Certainty string             `json:"certainty"`
	Reason    string             `json:"reason,omitempty"`
	Chain     []lineage.Hop      `json:"chain"`
	Evidence  []lineage.Evidence `json:"evidence"`

	person story.Person
}

// alertStory is what there is to tell of an alert.
type alertStory struct {
	alert  rule.Alert
	rule   rule.Rule    // empty when it is switched off
	event  *event.Event // nil when it isn't stored
	who    *whoItWas
	around story.Timeline
	cure   []string // commands of AWS's own CLI
}

// beside is how long before and after an alert the person's doings are told.
const beside = time.Hour

func runAlertsShow(ctx context.Context, e *env, ids []string) error {
	return e.asking(ctx, "alerts show", func(a *app.App, engine query.RangeEngine, c *covered) error {
		about := map[string]rule.Rule{}
		for _, r := range a.Rules.Rules() {
			about[r.ID] = r
		}
		alerts := make([]rule.Alert, len(ids))
		for i, id := range ids {
			var err error
			if alerts[i], err = findAlert(ctx, a, id); err != nil {
				return err
			}
		}
		teller := storyTeller(a, engine)
		views := make([]any, len(alerts))
		texts := make([]string, len(alerts))
		for i := range alerts {
			s := alertStory{alert: alerts[i], rule: about[alerts[i].Rule]}
			if err := e.tellAlert(ctx, a, teller, &s); err != nil {
				return fmt.Errorf("alert %s: %w", alerts[i].ID, err)
			}
			since, until := around(&alerts[i])
			lacks := c.answer(e, question{since: since, until: until, streams: inAccount(alerts[i].AccountID)})
			v := shownAlert{
				alertView: viewAlert(&alerts[i]), Who: s.who, Coverage: lacks, Commands: append(e.alertCommands(&s), s.cure...),
				Around: viewTimeline(story.Person{}, s.around, since, until).Session,
			}
			if r, ok := about[alerts[i].Rule]; ok {
				v.About = &r
			}
			views[i] = v
			texts[i] = e.alertText(&s, c.names) + e.missingText(lacks)
		}
		return e.objects(views, func(i int) string { return texts[i] })
	})
}

// tellAlert finds who is behind an alert, and what else they did then.
func (e *env) tellAlert(ctx context.Context, a *app.App, teller *story.Teller, s *alertStory) error {
	al := &s.alert
	ev, r, err := teller.Resolve(ctx, story.Place{Key: event.Key{AccountID: al.AccountID, EventID: al.EventID}, Time: al.EventTime})
	if errors.Is(err, lake.ErrNotFound) {
		return nil // retention removed it, or its day is in another store
	}
	if err != nil {
		return err
	}
	s.event = &ev
	p := story.PersonOf(r.Kind, r.Actor, ev.AccountID)
	s.who = &whoItWas{p.Name, p.Kind, p.Account, r.Certainty, r.Reason, r.Chain, r.Evidence, p}
	from, to := time.UnixMilli(al.EventTime).Add(-beside), time.UnixMilli(lastEvent(al)).Add(beside)
	risks, err := risksOf(ctx, a, store.AlertFilter{Since: from.Add(-24 * time.Hour), Until: to})
	if err != nil {
		return err
	}
	s.around, err = teller.Timeline(ctx, story.Life{Person: p, Range: story.Range{Since: from, Until: to}, Risks: risks, Limit: 100})
	s.cure = cures(al, &ev)
	return err
}

func lastEvent(a *rule.Alert) int64 {
	last := a.EventTime
	for _, r := range a.Events {
		last = max(last, r.EventTime)
	}
	return last
}

// alertText is an alert for people.
func (e *env) alertText(s *alertStory, names map[string]string) string {
	t := e.newPage()
	a, r := &s.alert, &s.rule
	t.line(e.paint(severityColour(a.Severity.String()), strings.ToUpper(a.Severity.String())) + "  " + e.paint(render.Bold, render.Text(a.Title)))
	t.paragraph(render.Text(e.sentence(s, names)))
	if a.Detail != "" {
		t.paragraph(render.Text(a.Detail))
	}
	t.blank()
	if w := s.who; w != nil {
		t.line("  " + e.paint(render.Dim, pad("who", fieldWidth)) + e.paint(render.Bold, cut(w.Actor, 80)) + "  " + e.kindText(w.person, names) + "  " + e.certaintyText(w.Certainty, w.Reason))
		if len(w.Chain) > 1 {
			t.field("chain", render.Shorten(render.Text(lineage.ChainText(w.Chain)), 200))
		}
		for i, ev := range w.Evidence {
			if len(w.Evidence) == 1 && ev.EventID == "" && len(w.Chain) == 1 {
				break // it goes without saying
			}
			label := ""
			if i == 0 {
				label = "because"
			}
			text := ev.How
			if ev.EventID != "" {
				text += " (" + ev.EventID + ")"
			}
			t.field(label, text)
		}
	} else {
		t.field("who", a.Actor)
		t.field("", "the event is no longer stored, so who is behind it can't be looked up")
	}
	t.field("from", a.SourceIP)
	if s.event != nil {
		t.field("with", render.Shorten(render.Text(s.event.UserAgent), 80))
		t.field("key", s.event.AccessKeyID)
	}
	t.field("time", e.timeText(a.EventTime))
	t.field("account", named(names, a.AccountID))
	t.field("region", a.AWSRegion)
	t.field("event", a.EventName)
	t.field("targets", render.Shorten(render.Text(strings.Join(a.Targets, ", ")), 200))
	t.field("alert", a.ID)
	t.field("rule", a.Rule)
	t.field("state", stateText(a, e.config.Zone))
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
		t.line("  " + e.timeText(ev.EventTime) + "  " + cut(ev.EventName, 80) + "  " + render.Text(ev.EventID))
	}
	if s.around.Count > int64(len(a.Events)) {
		t.heading("The hour before and after, by the same " + personWord(s.who.Kind))
		told := map[string]bool{a.ID: true}
		for i := range s.around.Sessions {
			e.sessionText(t, &s.around.Sessions[i], names, told, a.ID)
		}
		if s.around.More {
			t.line("  … the older ones are left out")
		}
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
	t.heading("Look further")
	for _, c := range e.alertCommands(s) {
		t.line("  " + c)
	}
	if len(s.cure) > 0 {
		t.heading("Stop it (in account " + cut(named(names, a.AccountID), 60) + ", once you are sure)")
		for _, c := range s.cure {
			t.line("  " + c)
		}
	}
	return t.String()
}

// personWord is how somebody of a kind is spoken of.
func personWord(kind string) string {
	switch kind {
	case event.KindService, event.KindInstance, event.KindFunction, event.KindWebIdentity:
		return "workload"
	case event.KindRoleSession, event.KindAccount, event.KindUnknown:
		return "caller"
	}
	return "person"
}

// sentence says what happened.
func (e *env) sentence(s *alertStory, names map[string]string) string {
	var b strings.Builder
	a := &s.alert
	actor := a.Actor
	if s.who != nil && s.who.Actor != "" {
		actor = s.who.Actor
		if self := s.who.Chain[len(s.who.Chain)-1].Name; len(s.who.Chain) > 1 {
			actor += " (as " + render.Shorten(render.Text(self), 100) + ")"
		}
	}
	if actor == "" {
		actor = "Somebody unknown"
	}
	actor = render.Shorten(render.Text(actor), 200)
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
		b.WriteString(" on " + render.Shorten(render.Text(strings.Join(shown, ", ")), 300) + rest)
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
	return time.UnixMilli(a.EventTime).UTC().AddDate(0, 0, -1), time.UnixMilli(lastEvent(a)).UTC().AddDate(0, 0, 1)
}

// alertCommands are what an investigator types next; they work as printed.
func (e *env) alertCommands(s *alertStory) []string {
	a := &s.alert
	from, to := around(a)
	since, until := from.Format(time.RFC3339), to.Format(time.RFC3339)
	var out []string
	add := func(words ...string) {
		if c := e.command(words...); c != "" {
			out = append(out, c)
		}
	}
	add("events", a.EventID)
	if s.who != nil && s.around.Count > 0 {
		add("timeline", s.who.person.String(), "--since", since, "--until", until)
	}
	traced := ""
	if s.event != nil {
		if traced = s.event.IssuedAccessKeyID; traced == "" {
			traced = s.event.AccessKeyID
		}
		if traced != "" {
			add("trace", traced)
		}
	}
	if a.SourceIP != "" {
		add("who", a.SourceIP, "--as", story.AsIP, "--since", since, "--until", until)
	}
	for _, t := range a.Targets {
		if len(out) == 7 {
			break
		}
		switch {
		case t == traced:
		case strings.Contains(t, ":iam::aws:"), strings.Contains(t, "*"), t == a.AccountID: // everybody's target
		default:
			add("who", t)
		}
	}
	if a.State == rule.StateFinding {
		add("alerts", "ack", a.ID, "--note", "expected, because …")
	}
	return out
}
