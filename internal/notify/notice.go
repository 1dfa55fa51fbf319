package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// notice is what a message says, before it's put into a channel's language.
type notice struct {
	label    string // of the program's own: "HIGH", "12 alerts"
	title    string // may hold hostile text; may be empty
	severity rule.Severity
	fields   []field
	items    []item
	lines    []string // hostile too
	command  string   // to type
	alerts   []rule.Alert
	data     any // of a digest or summary, as JSON
}

type field struct {
	label, value string
	own          bool // of the program's own words
	must         bool // never left out
}

// item is an alert in a list.
type item struct {
	label, id string
	values    []string
}

// outgoing is a message on its way.
type outgoing struct {
	*store.Message
	*notice
	t             *target
	subject, text string // in the channel's language
	names         map[string]string
	n             *Notifier
}

// errNothing says that there is nothing left to tell.
var errNothing = errors.New("its alerts were acknowledged or superseded meanwhile")

// compose turns a row of the outbox into what it says now.
func (n *Notifier) compose(ctx context.Context, t *target, m *store.Message) (*outgoing, error) {
	out := &outgoing{Message: m, t: t, n: n, names: map[string]string{}}
	names, err := n.store.AccountNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range names {
		if a.Name != a.AccountID { // that it is known, and not how it is called
			out.names[a.AccountID] = a.Name
		}
	}
	switch m.Kind {
	case KindAlert, KindResend, KindGroup:
		err = out.aboutAlerts(ctx)
	case KindDigest:
		err = out.aboutHistory(ctx)
	case KindSummary:
		err = out.aboutDay(ctx)
	case KindSilence:
		err = out.aboutSilence()
	case KindGap:
		err = out.aboutGaps()
	case KindTest:
		out.notice = &notice{label: "Test message of iamtrack", fields: []field{
			{label: "Channel", value: t.Name, own: true},
			{label: "Message", value: m.ID, own: true},
			{label: "Meaning", value: "alerts of this installation arrive here", own: true},
		}}
	default:
		err = fmt.Errorf("compose message %s: this version doesn't know messages of kind %q", m.ID, m.Kind)
	}
	if err != nil {
		return nil, err
	}
	out.subject, out.text = t.style.text(out.notice, t.limit)
	return out, nil
}

// alertsOf reads those alerts of a message that are still to be told.
func (o *outgoing) alertsOf(ctx context.Context, ids []string, all bool) (list []rule.Alert, err error) {
	for _, id := range ids {
		a, err := o.n.store.Alert(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if all || a.State == rule.StateFinding {
			list = append(list, a)
		}
	}
	return list, nil
}

func (o *outgoing) aboutAlerts(ctx context.Context) error {
	list, err := o.alertsOf(ctx, o.AlertIDs, o.Kind == KindResend)
	if err != nil {
		return err
	}
	switch len(list) {
	case 0:
		return errNothing
	case 1:
		o.notice = o.single(&list[0])
		return nil
	}
	bySeverity := map[string]int{}
	worst := rule.Info
	from, to := list[0].EventTime, list[0].EventTime
	common := map[string]bool{}
	for i := range list {
		bySeverity[list[i].Severity.String()]++
		worst = max(worst, list[i].Severity)
		from, to = min(from, list[i].EventTime), max(to, list[i].EventTime)
		common[list[i].Rule+"\x00"+list[i].Actor] = true
	}
	o.notice = &notice{
		label: fmt.Sprintf("%d alerts (%s)", len(list), severities(bySeverity)), severity: worst, alerts: list,
		items:   o.items(list),
		command: "Each: " + o.n.o.Command("alerts", "show", "ID"),
	}
	if len(common) == 1 {
		o.notice.title = list[0].Title
		o.fields = append(o.fields, field{label: "Who", value: list[0].Actor})
	}
	o.fields = append(o.fields, field{label: "Time", value: o.span(from, to), own: true}, field{label: "Message", value: o.ID, own: true})
	return nil
}

// single is one alert in full.
func (o *outgoing) single(a *rule.Alert) *notice {
	next := ""
	if r := o.n.rules[a.Rule]; r != nil {
		next = r.Next
	}
	return &notice{
		label: strings.ToUpper(a.Severity.String()), title: a.Title, severity: a.Severity, alerts: []rule.Alert{*a},
		fields: []field{
			{label: "What", value: a.Detail},
			{label: "Who", value: a.Actor},
			{label: "From", value: a.SourceIP},
			{label: "Account", value: o.account(a.AccountID)},
			{label: "Time", value: o.time(a.EventTime), own: true},
			{label: "Alert", value: a.ID, own: true, must: true},
			{label: "Event", value: strings.TrimSpace(a.EventName + " " + a.EventID)},
			{label: "Region", value: a.AWSRegion},
			{label: "Targets", value: strings.Join(a.Targets[:min(10, len(a.Targets))], ", ")},
			{label: "Rule", value: a.Rule},
			{label: "Next", value: next, own: true},
			{label: "Message", value: o.ID, own: true},
		},
		command: "More: " + o.n.o.Command("alerts", "show", a.ID),
	}
}

func (o *outgoing) items(list []rule.Alert) []item {
	items := make([]item, len(list))
	for i := range list {
		a := &list[i]
		items[i] = item{label: a.Severity.String(), id: a.ID, values: []string{a.Title, a.Actor, o.account(a.AccountID)}}
	}
	return items
}

func (o *outgoing) aboutHistory(ctx context.Context) error {
	var d digest
	if err := json.Unmarshal([]byte(o.Body), &d); err != nil {
		return fmt.Errorf("compose message %s: %w", o.ID, err)
	}
	list, err := o.alertsOf(ctx, d.Gravest, true)
	if err != nil {
		return err
	}
	o.notice = &notice{
		label: fmt.Sprintf("Found in history: %s (%s)", plural(d.Alerts, "alert"), severities(d.BySeverity)), severity: worstOf(d.BySeverity),
		fields: []field{
			{label: "Time", value: o.span(d.From, d.To), own: true},
			{label: "Rules", value: mostOf(d.ByRule)},
			{label: "Message", value: o.ID, own: true},
		},
		items: o.items(list), data: d,
		command: "All: " + o.n.o.Command("alerts", "list"),
	}
	if d.Alerts > len(list) {
		o.fields = append(o.fields, field{label: "Gravest", value: fmt.Sprintf("%d of them:", len(list)), own: true})
	}
	return nil
}

// account is an id with the name that goes with it.
func (o *outgoing) account(id string) string {
	if name := o.names[id]; name != "" {
		return id + " (" + name + ")"
	}
	return id
}

func (o *outgoing) time(ms int64) string {
	return time.UnixMilli(ms).In(o.n.o.Zone).Format("2006-01-02 15:04:05 MST")
}

func (o *outgoing) span(from, to int64) string {
	if from == to {
		return o.time(from)
	}
	return o.time(from) + " to " + o.time(to)
}

// severities says how many there are of each, the gravest first.
func severities(count map[string]int) string {
	var parts []string
	for s := rule.Critical; s >= rule.Info; s-- {
		if n := count[s.String()]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+s.String())
		}
	}
	return strings.Join(parts, ", ")
}

func worstOf(count map[string]int) rule.Severity {
	for s := rule.Critical; s > rule.Info; s-- {
		if count[s.String()] > 0 {
			return s
		}
	}
	return rule.Info
}

// mostOf names what is most frequent.
func mostOf(count map[string]int) string {
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names[:min(8, len(names))] {
		parts = append(parts, fmt.Sprintf("%s %d", name, count[name]))
	}
	if len(names) > 8 {
		parts = append(parts, fmt.Sprintf("and %d more", len(names)-8))
	}
	return strings.Join(parts, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
