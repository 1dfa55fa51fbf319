package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/story"
)

type whoOptions struct {
	as     string
	narrow query.EventFilter
}

func newWhoCmd(e *env) *cobra.Command {
	var o whoOptions
	cmd := taking(&cobra.Command{
		Use:   "who WHAT",
		Short: "Tell who did something, or touched it, and how certain that is",
		Long: `Tell who did something, or touched it: the person or workload behind the sessions,
how that is known, and on which events it rests. WHAT is taken by its form for

  event-name  CreateAccessKey, 'Create*', iam:CreateUser as in policies: who made the call
  arn         of a user, role, policy, bucket, session: who acted on it, and who as it
  key         AKIA… or ASIA…: who issued the access key, and who used it
  ip          198.51.100.7, 198.51.100.0/24: who came from there
  event       an event id, or its first characters (at least eight): who made it
  account     111122223333: who acted in it, or came from it
  name        anything else: a user, role, policy, session or target of that name

and --as says it where the form misleads (user, role and policy too). A name in the
form of an event's, such as Administrator, that nothing bears is looked for as both.

An answer is proven when AWS recorded each step to the person, inferred when the
steps fit but no record says that they do, else unknown, with the reason.

JSON is an object with what, understood_as, since, until, answers, more (there
are more answers than --limit lets through) and coverage. An answer has
relation (did, touched, was, issued, used, in or from), actor, actor_kind,
actor_account, account_ids, certainty, reason, chain, evidence, chains, events,
count, first, last, source_ips, event_names, targets, issued_keys and outcomes;
not_listed counts what lists leave out. Without --limit there are 20 answers, in
JSON and CSV 200.`,
		Example: `  iamtrack who CreateAccessKey --since 30d
  iamtrack who arn:aws:iam::111122223333:role/deploy
  iamtrack who AKIAIOSFODNN7EXAMPLE
  iamtrack who 198.51.100.0/24 --format json`,
		Args: argCount(1, 1, "what to ask about: an event's name, an ARN, a name, a key, an address, an event id or an account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name := emptyList(cmd); name != "" {
				return withHint(usagef("--%s has an empty value", name), "leave it out, or name what is looked for")
			}
			return runWho(cmd.Context(), e, o, args[0])
		},
	}, takesRange, takesLimit)
	f := cmd.Flags()
	f.StringVar(&o.as, "as", "", "what WHAT is: "+strings.Join(story.Forms(), ", "))
	placeFlags(cmd, &o.narrow)
	f.StringSliceVar(&o.narrow.Outcomes, "outcome", nil, "only ok, denied or failed calls")
	complete(cmd, "as", story.Forms()...)
	complete(cmd, "outcome", "ok", "denied", "failed")
	return freshFlag(e, cmd)
}

// placeFlags narrow an answer to where something happened.
func placeFlags(cmd *cobra.Command, f *query.EventFilter) {
	l := cmd.Flags()
	l.StringSliceVar(&f.Accounts, "account", nil, "only in that account (id)")
	l.StringSliceVar(&f.Regions, "region", nil, "only in that region")
	l.StringSliceVar(&f.EventSources, "event-source", nil, "only of that service, such as iam or iam.amazonaws.com")
}

// storyTeller tells stories over what is stored.
func storyTeller(a *app.App, engine query.RangeEngine) *story.Teller {
	return story.New(engine, a, a.Store)
}

func (o *whoOptions) subject(text string) (story.Subject, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return story.Subject{}, withHint(usagef("WHAT is empty"), "`iamtrack who --help` lists what can be asked about")
	case o.as == "":
		return story.Recognise(text), nil
	case !slices.Contains(story.Forms(), o.as):
		return story.Subject{}, unknown("form", o.as, story.Forms(), "")
	}
	s, err := story.As(text, o.as)
	if err != nil {
		return s, withHint(usagef("--as %s: %v", o.as, err), "without --as the form of WHAT decides")
	}
	return s, nil
}

// whoView is what `who --format json` prints.
type whoView struct {
	What         string          `json:"what"`
	UnderstoodAs string          `json:"understood_as"`
	Since        *time.Time      `json:"since"`
	Until        *time.Time      `json:"until"`
	Answers      []whoAnswer     `json:"answers"`
	More         bool            `json:"more"`
	Coverage     *answerCoverage `json:"coverage"`

	subject story.Subject
}

type whoAnswer struct {
	story.Answer
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

func runWho(ctx context.Context, e *env, o whoOptions, text string) error {
	s, err := o.subject(text)
	if err != nil {
		return err
	}
	limit := e.flags.limit
	if limit < 0 {
		limit = 20
		if e.format().Machine() {
			limit = 200
		}
	}
	if _, err := query.EventsSQL(o.narrow); err != nil {
		return withHint(usagef("who: %v", err), "`iamtrack who --help` lists the flags")
	}
	q := story.Question{Subject: s, Range: story.Range{Since: e.since, Until: e.until}, Narrow: o.narrow, Limit: limit}
	return e.asking(ctx, "who", func(a *app.App, engine query.RangeEngine, c *covered) error {
		teller := storyTeller(a, engine)
		found, err := teller.Who(ctx, q)
		if err == nil && len(found.Answers) == 0 && o.as == "" {
			// CreateAccessKey is the name of an event, and may be anybody's.
			if other, ok := q.Subject.Other(); ok {
				second := q
				second.Subject = other
				var more story.Answers
				if more, err = teller.Who(ctx, second); len(more.Answers) > 0 {
					found, q = more, second
				}
			}
		}
		if err != nil {
			return fmt.Errorf("who: %w", err)
		}
		streams := eventStreams(&o.narrow)
		v := &whoView{
			What: text, UnderstoodAs: q.Subject.As, Since: instant(e.since), Until: instant(e.until), More: found.More,
			Answers: make([]whoAnswer, len(found.Answers)), subject: q.Subject,
			Coverage: c.answer(e, question{since: e.since, until: e.until, streams: streams}),
		}
		for i, a := range found.Answers {
			v.Answers[i] = whoAnswer{a, time.UnixMilli(a.First).UTC(), time.UnixMilli(a.Last).UTC()}
		}
		return e.printWho(v, c.names)
	})
}

// instant is a bound of time for JSON; null for none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (e *env) printWho(v *whoView, names map[string]string) error {
	var err error
	switch e.format() {
	case render.JSON:
		err = e.document(func(w io.Writer) error { return render.WriteJSON(w, v) })
	case render.CSV, render.Markdown:
		err = e.whoRows(v)
	default:
		err = e.document(func(w io.Writer) error {
			_, err := io.WriteString(w, e.whoText(v, names)+e.missingText(v.Coverage))
			return err
		})
	}
	if err != nil {
		return err
	}
	if e.format() != render.Table {
		e.note("%s", v.understood())
		if len(v.Answers) == 0 {
			e.note("nobody: %s", e.rangeText(e.since, e.until))
		}
	}
	if e.format() != render.JSON { // there it is a field
		e.tellCoverage(v.Coverage)
	}
	if v.More {
		e.note("there are more: --limit 0 shows all")
	}
	return nil
}

func (v *whoView) understood() string {
	return fmt.Sprintf("%s is taken for %s; --as says otherwise", render.Shorten(render.Text(v.What), 60), v.subject)
}

// rangeText is the time that an answer is about.
func (e *env) rangeText(since, until time.Time) string {
	switch {
	case since.IsZero() && until.IsZero():
		return "all that is stored"
	case since.IsZero():
		return "until " + e.timeText(until.UnixMilli())
	case until.IsZero():
		return "since " + e.timeText(since.UnixMilli())
	}
	return e.timeText(since.UnixMilli()) + " to " + e.timeText(until.UnixMilli())
}

// whoRows prints an answer a row.
func (e *env) whoRows(v *whoView) error {
	cols := render.Columns("relation", "actor", "actor_kind", "actor_account", "certainty", "reason", "chain", "count", "denied", "failed", "first", "last",
		"event_names", "targets", "source_ips", "account_ids", "issued_keys", "events")
	return e.coveredAnswer(cols, v.Coverage, func(p render.Printer) error {
		for i := range v.Answers {
			a := &v.Answers[i]
			if err := p.Row([]any{
				a.Relation, a.Actor, a.Kind, orNull(a.Home), a.Certainty, orNull(a.Reason), lineage.ChainText(a.Chain), a.Count, a.Denied(), a.Failed(), a.First, a.Last,
				callTexts(a.Calls, true), a.Targets, a.SourceIPs, a.AccountIDs, a.IssuedKeys, a.Events,
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// relationTitles head the answers of one kind.
var relationTitles = map[string]string{
	story.Did: "Made by", story.Issued: "Issued by", story.Used: "Used by", story.Touched: "Acted on by",
	story.Was: "Acted under that name", story.In: "Acted in the account", story.From: "Came from there",
}

func (e *env) whoText(v *whoView, names map[string]string) string {
	t := e.newPage()
	t.line(e.paint(render.Bold, cut(v.What, 80)) + ", taken for " + v.subject.String() + e.paint(render.Dim, "; "+e.rangeText(e.since, e.until)))
	if len(v.Answers) == 0 {
		t.blank()
		t.line("Nobody: no stored event of that time has to do with it.")
		for _, hint := range v.hints(e) {
			t.line("  " + hint)
		}
		return t.String()
	}
	title := ""
	for i := range v.Answers {
		a := &v.Answers[i]
		if a.Relation != title {
			title = a.Relation
			t.heading(relationTitles[title])
		} else {
			t.blank()
		}
		e.whoBlock(t, a, names)
	}
	return t.String()
}

// hints are what else could be asked when nothing was found.
func (v *whoView) hints(e *env) []string {
	var out []string
	if e.since.IsZero() && e.until.IsZero() {
		out = append(out, "`iamtrack status` tells what is stored.")
	} else {
		out = append(out, "Without --since and --until all that is stored is searched.")
	}
	if v.subject.As == story.AsEventName || v.subject.As == story.AsName {
		out = append(out, "A * stands for any text: '*"+cut(v.What, 60)+"*'.")
	}
	for i := range out {
		out[i] = e.typed(out[i])
	}
	return out
}

// whoBlock is one answer.
func (e *env) whoBlock(t *page, a *whoAnswer, names map[string]string) {
	t.line("  " + e.paint(render.Bold, cut(a.Actor, 80)) + "  " + e.kindText(a.Person(), names) + "  " + e.certaintyText(a.Certainty, a.Reason))
	t.subfield("when", e.spanText(a.First.UnixMilli(), a.Last.UnixMilli()))
	t.subfield("calls", shortList(callTexts(a.Calls, false), 6, a.NotListed["event_names"]))
	for _, o := range []string{event.OutcomeDenied, event.OutcomeFailed} {
		if list := callsOf(a.Calls, o); len(list) > 0 {
			t.line("    " + e.paint(paintOutcome(o), pad(o, subfieldWidth)) + shortList(list, 6, 0))
		}
	}
	t.subfield("on", shortList(a.Targets, 6, a.NotListed["targets"]))
	t.subfield("keys", shortList(longLived(a.IssuedKeys), 4, 0))
	t.subfield("from", shortList(a.SourceIPs, 5, a.NotListed["source_ips"]))
	accounts := make([]string, len(a.AccountIDs))
	for i, id := range a.AccountIDs {
		accounts[i] = named(names, id)
	}
	if len(accounts) > 1 || len(accounts) == 1 && a.AccountIDs[0] != a.Home {
		t.subfield("in", shortList(accounts, 4, a.NotListed["account_ids"]))
	}
	if len(a.Chain) > 1 || len(a.Chains) > 1 {
		for i, c := range a.Chains {
			label := "chain"
			if i > 0 {
				label = ""
			}
			text := cut(c.Text, 160)
			if len(a.Chains) > 1 {
				text += fmt.Sprintf("  (%s, %s)", count(c.Count, "call"), c.Certainty)
			}
			t.line("    " + e.paint(render.Dim, pad(label, subfieldWidth)) + text)
		}
		if n := a.NotListed["chains"]; n > 0 {
			t.subfield("", fmt.Sprintf("and %s", count(n, "other way")))
		}
	}
	for i, ev := range a.Evidence {
		if len(a.Evidence) == 1 && ev.EventID == "" && len(a.Chain) == 1 && a.Certainty == lineage.Proven {
			break // it goes without saying
		}
		label := "because"
		if i > 0 {
			label = ""
		}
		text := ev.How
		if ev.EventID != "" {
			text += " (" + ev.EventID + ")"
		}
		t.subfield(label, text)
	}
	shown := a.Events
	if len(shown) > 3 {
		shown = shown[:3]
	}
	t.subfield("events", shortList(shown, 3, a.Count-int64(len(shown))))
}

const subfieldWidth = 9

// subfield prints a name and a value within a block; nothing for an empty value.
func (p *page) subfield(name, value string) {
	if value == "" {
		return
	}
	p.line("    " + p.e.paint(render.Dim, pad(name, subfieldWidth)) + render.Text(value))
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-len(text)))
}

// cut makes text safe and short.
func cut(text string, most int) string { return render.Shorten(render.Text(text), most) }

// shortList joins the first of some texts, and says how many more there are;
// others are those that aren't in the list.
func shortList(list []string, most int, others int64) string {
	var b strings.Builder
	for i, text := range list {
		if i == most {
			others += int64(len(list) - most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(cut(text, 100))
	}
	if others > 0 && b.Len() > 0 {
		b.WriteString(" and " + number(others) + " more")
	}
	return b.String()
}

// callTexts folds calls: "CreateUser ×2"; those that weren't ok have their
// outcome, or are left out.
func callTexts(calls []story.Call, every bool) []string {
	out := []string{}
	for _, c := range calls {
		switch {
		case c.Outcome == event.OutcomeOK:
			out = append(out, times(c.Name, c.Count))
		case every:
			out = append(out, times(c.Name, c.Count)+" "+c.Outcome)
		}
	}
	return out
}

func callsOf(calls []story.Call, outcome string) []string {
	var out []string
	for _, c := range calls {
		if c.Outcome == outcome {
			out = append(out, times(c.Name, c.Count))
		}
	}
	return out
}

func times(name string, n int64) string {
	if n == 1 {
		return name
	}
	return name + " ×" + number(n)
}

// longLived are keys that last until somebody deletes them.
func longLived(keys []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, "AKIA") })
}

// kindWords say what somebody is.
var kindWords = map[string]string{
	event.KindRoot: "root user", event.KindIAMUser: "IAM user", event.KindRoleSession: "role session", event.KindFederatedUser: "federated user",
	event.KindSAMLUser: "SAML user", event.KindWebIdentity: "web identity", event.KindIdentityCenter: "Identity Center user",
	event.KindDirectory: "directory user", event.KindAccount: "another account", event.KindService: "AWS service",
	event.KindInstance: "EC2 instance", event.KindFunction: "Lambda function", event.KindSourceIdentity: "source identity", event.KindUnknown: "unknown caller",
}

func (e *env) kindText(p story.Person, names map[string]string) string {
	text := kindWords[p.Kind]
	if text == "" {
		text = p.Kind
	}
	if p.Account != "" && p.Kind != event.KindAccount {
		text += " of " + named(names, p.Account)
	}
	return cut(text, 100)
}

func (e *env) certaintyText(certainty, reason string) string {
	text := certainty
	if reason != "" {
		text += ": " + reason
	}
	colour := render.NoColour
	switch certainty {
	case lineage.Inferred:
		colour = render.Cyan
	case lineage.Unknown:
		colour = render.Yellow
	}
	return e.paint(colour, cut(text, 240))
}

// spanText is a time, or from one to another.
func (e *env) spanText(from, to int64) string {
	text := e.timeText(from)
	if e.timeText(to) != text {
		text += " – " + e.shortTime(to, from)
	}
	return text
}

// shortTime leaves the day out when it is that of another time.
func (e *env) shortTime(ms, other int64) string {
	t, o := time.UnixMilli(ms).In(e.config.Zone), time.UnixMilli(other).In(e.config.Zone)
	if t.Format(time.DateOnly) == o.Format(time.DateOnly) {
		return t.Format("15:04:05Z07:00")
	}
	return e.timeText(ms)
}
