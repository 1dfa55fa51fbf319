package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/story"
)

type timelineOptions struct {
	narrow                query.EventFilter
	writes, denied, risky bool
}

const (
	// timelineDays is how far a timeline looks back by itself.
	timelineDays = 7
	// lookBackDays is how long before a timeline everything must have been
	// collected for something in it to be called new.
	lookBackDays = 30
)

func newTimelineCmd(e *env) *cobra.Command {
	var o timelineOptions
	cmd := taking(&cobra.Command{
		Use:   "timeline ACTOR",
		Short: "Tell all that one person did, over all their sessions and accounts",
		Long: fmt.Sprintf(`Tell all that one person (or workload) did, over all their sessions and accounts,
in order of time; without --since, of the last %d days. ACTOR is a name as answers
show it, or the only one that holds the text; an ARN, a user's id, an access key
or an e-mail address names whoever acted with it. Of two users of one name "NAME @
ACCOUNT" says which.

Sessions are what was done from one address, in one way (as the user agent says:
console, CLI, Terraform …) and one account without a pause of an hour. Calls that
only read are folded between others; what was refused, and what raised an alert,
stands apart. New is what the person hasn't done, or used, in all that is stored
before; it is only said where the %d days before were collected without a gap.

JSON is an object with actor, actor_kind, actor_account, since, until, count,
denied, bearers (the users who had that name: id, first, last, count), sessions,
more (older entries were left out by --limit), novelty and coverage. A session has
from, to, way, source_ip, account_id, regions, chain, certainty, reason, keys, new,
count and entries; an entry first, last, event_name, event_source, outcome,
error_code, target, read, count, new, alerts and events (the first ids).`, timelineDays, lookBackDays),
		Example: `  iamtrack timeline alice
  iamtrack timeline 'alice @ 111122223333' --since 30d --writes
  iamtrack timeline AKIAIOSFODNN7EXAMPLE --risky --format json`,
		Args: argCount(1, 1, "whose timeline: a name, an ARN, a user's id, an access key or an e-mail address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name := emptyList(cmd); name != "" {
				return withHint(usagef("--%s has an empty value", name), "leave it out, or name what is looked for")
			}
			return runTimeline(cmd.Context(), e, o, args[0])
		},
	}, takesRange, takesLimit)
	placeFlags(cmd, &o.narrow)
	f := cmd.Flags()
	f.BoolVar(&o.writes, "writes", false, "only calls that change something")
	f.BoolVar(&o.denied, "denied", false, "only calls that were refused")
	f.BoolVar(&o.risky, "risky", false, "only calls that raised an alert")
	return freshFlag(e, cmd)
}

// timelineView is what `timeline --format json` prints.
type timelineView struct {
	Actor   string        `json:"actor"`
	Kind    string        `json:"actor_kind"`
	Account string        `json:"actor_account,omitempty"`
	Since   *time.Time    `json:"since"`
	Until   *time.Time    `json:"until"`
	Count   int64         `json:"count"`
	Denied  int64         `json:"denied"`
	Bearers []bearerView  `json:"bearers"`
	Session []sessionView `json:"sessions"`
	More    bool          `json:"more"`
	// Novelty says whether what is new is marked, or why not.
	Novelty  string          `json:"novelty"`
	Coverage *answerCoverage `json:"coverage"`

	life story.Timeline
}

type bearerView struct {
	ID    string    `json:"id"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int64     `json:"count"`
}

type sessionView struct {
	From      time.Time   `json:"from"`
	To        time.Time   `json:"to"`
	Way       string      `json:"way"`
	SourceIP  string      `json:"source_ip"`
	AccountID string      `json:"account_id"`
	Regions   []string    `json:"regions"`
	Chain     string      `json:"chain"`
	Certainty string      `json:"certainty"`
	Reason    string      `json:"reason,omitempty"`
	Keys      []string    `json:"keys"`
	New       []string    `json:"new"`
	Count     int64       `json:"count"`
	Entries   []entryView `json:"entries"`
}

type entryView struct {
	First       time.Time    `json:"first"`
	Last        time.Time    `json:"last"`
	EventName   string       `json:"event_name"`
	EventSource string       `json:"event_source"`
	Outcome     string       `json:"outcome"`
	ErrorCode   string       `json:"error_code,omitempty"`
	Target      string       `json:"target,omitempty"`
	Read        bool         `json:"read"`
	Count       int64        `json:"count"`
	New         []string     `json:"new"`
	Alerts      []story.Risk `json:"alerts"`
	Events      []string     `json:"events"`
}

// orEmpty makes a list that JSON shows as [].
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func runTimeline(ctx context.Context, e *env, o timelineOptions, text string) error {
	if strings.TrimSpace(text) == "" {
		return withHint(usagef("ACTOR is empty"), "`iamtrack query active_users` lists who is active")
	}
	if o.denied {
		o.narrow.Outcomes = []string{event.OutcomeDenied}
	}
	since := e.since
	if since.IsZero() {
		since = e.now().AddDate(0, 0, -timelineDays)
		if !e.until.IsZero() {
			since = e.until.AddDate(0, 0, -timelineDays)
		}
	}
	return e.asking(ctx, "timeline", func(a *app.App, engine query.RangeEngine, c *covered) error {
		teller := storyTeller(a, engine)
		found, err := e.findPerson(ctx, teller, c, text)
		if err != nil {
			return err
		}
		risks, err := risksOf(ctx, a, store.AlertFilter{Since: since.Add(-24 * time.Hour), Until: e.until})
		if err != nil {
			return err
		}
		l := story.Life{
			Person: found.Person, Range: story.Range{Since: since, Until: e.until}, Narrow: o.narrow, Writes: o.writes, Risky: o.risky,
			Risks: risks, Limit: e.limit(200), Events: found.Count, Covered: c.known(since),
		}
		life, err := teller.Timeline(ctx, l)
		if err != nil {
			return fmt.Errorf("timeline: %w", err)
		}
		v := viewTimeline(found.Person, life, since, e.until)
		v.Coverage = c.answer(e, question{since: since, until: e.until, streams: eventStreams(&o.narrow)})
		v.Novelty = c.novelty(since, life)
		return e.printTimeline(v, found, c.names)
	})
}

// findPerson finds whom a text names; several are wrong usage, none a failure.
func (e *env) findPerson(ctx context.Context, teller *story.Teller, c *covered, text string) (story.Found, error) {
	found, ok, err := teller.Find(ctx, text)
	var many *story.ErrMany
	switch {
	case errors.As(err, &many):
		var b strings.Builder
		fmt.Fprintf(&b, "%d actors match %s:", many.All, cut(text, 80))
		for _, f := range many.Found {
			fmt.Fprintf(&b, "\n%s  %s, %s, last %s", cut(f.String(), 100), e.kindText(f.Person, c.names), count(f.Count, "event"), e.timeText(f.Last))
		}
		if n := many.All - len(many.Found); n > 0 {
			fmt.Fprintf(&b, "\nand %s", count(n, "other"))
		}
		return found, withHint(&usageError{b.String()}, "give the whole name, as it stands in the list")
	case err != nil:
		return found, fmt.Errorf("look for %s: %w", text, err)
	case !ok:
		for _, line := range c.answer(e, question{}).lines {
			e.say("missing: " + line)
		}
		return found, withHint(fmt.Errorf("nobody is called %s in what is stored", cut(text, 80)),
			"`iamtrack who NAME` looks in targets and sessions too; `iamtrack query active_users` lists who is active")
	}
	return found, nil
}

// risksOf are the alerts that a filter lets through, by the keys of their events.
func risksOf(ctx context.Context, a *app.App, f store.AlertFilter) (map[event.Key][]story.Risk, error) {
	alerts, err := a.Store.Alerts(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	out := map[event.Key][]story.Risk{}
	add := func(account, id string, r story.Risk) {
		k := event.Key{AccountID: account, EventID: id}
		if !slices.Contains(out[k], r) {
			out[k] = append(out[k], r)
		}
	}
	for i := range alerts {
		al := &alerts[i]
		r := story.Risk{ID: al.ID, Rule: al.Rule, Title: al.Title, Severity: al.Severity.String()}
		add(al.AccountID, al.EventID, r)
		for _, ref := range al.Events {
			add(al.AccountID, ref.EventID, r)
		}
	}
	return out, nil
}

// known tells what was collected without a gap for long enough before a time that
// what isn't stored hasn't been.
func (c *covered) known(before time.Time) func(account, service string) bool {
	w := coverage.Span{From: before.AddDate(0, 0, -lookBackDays).Unix(), To: before.Unix()}
	memo := map[[2]string]bool{}
	return func(account, service string) bool {
		k := [2]string{account, service}
		if known, ok := memo[k]; ok {
			return known
		}
		known := false
		for _, l := range c.ledgers {
			if l.Stream.AccountID != account || service != "" && l.Stream.Source != service {
				continue
			}
			known = true
			if l.Since > w.From || len(coverage.AnswerGaps([]*coverage.Ledger{l}, w, coverage.Filter{})) > 0 {
				known = false
				break
			}
		}
		memo[k] = known
		return known
	}
}

// novelty says what a timeline's marks of what is new rest on.
func (c *covered) novelty(since time.Time, life story.Timeline) string {
	known := c.known(since)
	some := false
	for i := range life.Sessions {
		s := &life.Sessions[i]
		if !known(s.AccountID, "") {
			for j := range s.Entries {
				some = some || known(s.AccountID, s.Entries[j].Source)
			}
			if some {
				return fmt.Sprintf("partly marked: not all of the %d days before is collected", lookBackDays)
			}
			return fmt.Sprintf("not marked: the %d days before are not collected without a gap", lookBackDays)
		}
	}
	return "marked"
}

func viewTimeline(p story.Person, life story.Timeline, since, until time.Time) *timelineView {
	v := &timelineView{
		Actor: p.Name, Kind: p.Kind, Account: p.Account, Since: instant(since), Until: instant(until),
		Count: life.Count, Denied: life.Denied, More: life.More, Session: []sessionView{}, life: life,
	}
	utc := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	v.Bearers = []bearerView{}
	for _, b := range life.Bearers {
		v.Bearers = append(v.Bearers, bearerView{b.ID, utc(b.First), utc(b.Last), b.Count})
	}
	for i := range life.Sessions {
		s := &life.Sessions[i]
		sv := sessionView{
			From: utc(s.From), To: utc(s.To), Way: s.Way, SourceIP: s.SourceIP, AccountID: s.AccountID, Regions: orEmpty(s.Regions), Chain: s.Chain,
			Certainty: s.Certainty, Reason: s.Reason, Keys: orEmpty(s.Keys), New: orEmpty(s.New), Count: s.Count,
		}
		for j := range s.Entries {
			n := &s.Entries[j]
			sv.Entries = append(sv.Entries, entryView{
				First: utc(n.First), Last: utc(n.Last), EventName: n.Name, EventSource: n.Source, Outcome: n.Outcome, ErrorCode: n.Error, Target: n.Target,
				Read: n.Read, Count: n.Count, New: orEmpty(n.New), Alerts: orEmpty(n.Risks), Events: orEmpty(n.Events),
			})
		}
		v.Session = append(v.Session, sv)
	}
	return v
}

func (e *env) printTimeline(v *timelineView, found story.Found, names map[string]string) error {
	var err error
	switch e.format() {
	case render.JSON:
		err = e.document(func(w io.Writer) error { return render.WriteJSON(w, v) })
	case render.CSV, render.Markdown:
		err = e.timelineRows(v)
	default:
		err = e.document(func(w io.Writer) error {
			_, err := io.WriteString(w, e.timelineText(v, found, names)+e.missingText(v.Coverage))
			return err
		})
	}
	if err != nil {
		return err
	}
	if e.format() != render.JSON {
		e.tellCoverage(v.Coverage)
	}
	if v.Novelty != "marked" && len(v.Session) > 0 && e.format() != render.JSON {
		e.note("what is new is %s", v.Novelty)
	}
	if e.since.IsZero() {
		e.note("the last %d days: --since asks for more", timelineDays)
	}
	if v.More {
		e.note("older entries were left out: --limit 0 shows all")
	}
	return nil
}

func (e *env) timelineRows(v *timelineView) error {
	cols := render.Columns("first", "last", "event_name", "event_source", "count", "outcome", "error_code", "target", "new", "alerts", "way", "source_ip", "account_id", "regions", "chain", "certainty", "keys", "events")
	return e.coveredAnswer(cols, v.Coverage, func(p render.Printer) error {
		for i := range v.Session {
			s := &v.Session[i]
			for j := range s.Entries {
				n := &s.Entries[j]
				alerts := []string{}
				for _, r := range n.Alerts {
					alerts = append(alerts, r.Severity+": "+r.Title)
				}
				if err := p.Row([]any{
					n.First, n.Last, n.EventName, n.EventSource, n.Count, n.Outcome, orNull(n.ErrorCode), orNull(n.Target), append(slices.Clone(s.New), n.New...), alerts,
					s.Way, s.SourceIP, s.AccountID, s.Regions, s.Chain, s.Certainty, s.Keys, n.Events,
				}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (e *env) timelineText(v *timelineView, found story.Found, names map[string]string) string {
	t := e.newPage()
	p := found.Person
	t.line(e.paint(render.Bold, cut(p.Name, 80)) + "  " + e.kindText(p, names) + e.paint(render.Dim, "; "+e.rangeText(*v.Since, e.until)))
	if len(v.Session) == 0 {
		t.blank()
		t.line("Nothing in that time. All that is stored: " + count(found.Count, "event") + ", " + e.timeText(found.First) + " to " + e.timeText(found.Last) + ".")
		return t.String()
	}
	accounts, risks := map[string]bool{}, map[string]bool{}
	for i := range v.Session {
		accounts[v.Session[i].AccountID] = true
		for j := range v.Session[i].Entries {
			for _, r := range v.Session[i].Entries[j].Alerts {
				risks[r.ID] = true
			}
		}
	}
	sum := count(v.Count, "call") + " in " + count(len(v.Session), "session")
	if len(accounts) > 1 {
		sum += " and " + count(len(accounts), "account")
	}
	if v.Denied > 0 {
		sum += "; " + number(v.Denied) + " denied"
	}
	if len(risks) > 0 {
		sum += "; " + count(len(risks), "alert")
	}
	t.line(sum)
	if n := len(v.Bearers); n > 1 {
		t.line(e.paint(render.Yellow, count(n, "user")+" had that name in that time; not all of it need be by one person"))
		for _, b := range v.Bearers {
			t.line("  " + cut(b.ID, 80) + "  " + e.spanText(b.First.UnixMilli(), b.Last.UnixMilli()) + "  " + count(b.Count, "call"))
		}
	}
	told := map[string]bool{}
	for i := range v.life.Sessions {
		e.sessionText(t, &v.life.Sessions[i], names, told, "")
	}
	return t.String()
}

// sessionText is a session: how it came in, then what was done. told are the
// alerts that were named already: some have many events. Events of the alert this
// are marked; "" is none.
func (e *env) sessionText(t *page, s *story.Session, names map[string]string, told map[string]bool, this string) {
	head := e.spanText(s.From, s.To)
	parts := []string{s.Way}
	if s.SourceIP != "" {
		parts = append(parts, "from "+cut(s.SourceIP, 60))
	}
	parts = append(parts, "in "+cut(named(names, s.AccountID), 60))
	if n := len(s.Regions); n > 0 {
		parts = append(parts, shortList(s.Regions, 3, 0))
	}
	t.blank()
	line := e.paint(render.Bold, head) + "  " + strings.Join(parts, "  ")
	if len(s.New) > 0 {
		line += "  " + e.paint(render.Cyan, "new "+strings.Join(s.New, ", "))
	}
	t.line(line)
	if strings.Contains(s.Chain, lineage.ChainSeparator) {
		text := cut(s.Chain, 160)
		if s.Certainty != "" && s.Certainty != lineage.Proven {
			text += "  " + e.certaintyText(s.Certainty, s.Reason)
		}
		t.line("  " + e.paint(render.Dim, text))
	} else if s.Certainty != "" && s.Certainty != lineage.Proven {
		t.line("  " + e.certaintyText(s.Certainty, s.Reason))
	}
	lines := entryLines(s.Entries)
	width, clocks := 0, make([]string, len(lines))
	indent := 0
	for i, l := range lines {
		width = max(width, min(uniseg.StringWidth(l.what), 44))
		clocks[i] = e.clock(l.first)
		if to := e.clock(l.last); to != clocks[i] {
			clocks[i] += " – " + to
		}
		if e.day(l.first) != e.day(s.From) {
			clocks[i] = e.day(l.first)[5:] + " " + clocks[i]
		}
		indent = max(indent, uniseg.StringWidth(clocks[i])+2)
	}
	for i, l := range lines {
		text := "  " + clocks[i] + strings.Repeat(" ", indent-uniseg.StringWidth(clocks[i])) + l.what + strings.Repeat(" ", max(0, width-uniseg.StringWidth(l.what)))
		if l.outcome != event.OutcomeOK {
			word := l.outcome
			if l.code != "" && l.outcome == event.OutcomeFailed {
				word += " (" + l.code + ")"
			}
			text += "  " + e.paint(paintOutcome(l.outcome), word)
		}
		if len(l.news) > 0 {
			text += "  " + e.paint(render.Cyan, strings.Join(l.news, ", "))
		}
		if slices.ContainsFunc(l.risks, func(r story.Risk) bool { return r.ID == this }) {
			text += "  " + e.paint(render.Cyan, "◀ this alert")
		}
		t.line(strings.TrimRight(text, " "))
		for _, r := range l.risks {
			if told[r.ID] {
				continue
			}
			told[r.ID] = true
			t.line(strings.Repeat(" ", indent+4) + e.paint(severityColour(r.Severity), r.Severity) + ": " + cut(r.Title, 80) + e.paint(render.Dim, "  alert "+r.ID))
		}
	}
}

func (e *env) clock(ms int64) string { return time.UnixMilli(ms).In(e.config.Zone).Format("15:04:05") }
func (e *env) day(ms int64) string {
	return time.UnixMilli(ms).In(e.config.Zone).Format(time.DateOnly)
}

// entryLine is a line of a session; what is safe.
type entryLine struct {
	first, last   int64
	what          string
	outcome, code string
	news          []string
	risks         []story.Risk
}

// entryLines puts entries in words. Many different calls that only read are one
// line: what matters is that somebody looked around.
func entryLines(entries []story.Entry) []entryLine {
	var out []entryLine
	for i := 0; i < len(entries); {
		n := &entries[i]
		plain := func(o *story.Entry) bool { return o.Read && len(o.Risks) == 0 && o.Outcome == n.Outcome }
		end := i + 1
		if plain(n) {
			for end < len(entries) && plain(&entries[end]) {
				end++
			}
		}
		if end-i > 3 {
			out = append(out, readsLine(entries[i:end]))
			i = end
			continue
		}
		what := cut(n.Name, 60)
		if n.Count > 1 {
			what += " ×" + number(n.Count)
		}
		if n.Target != "" && !n.Read {
			what += " → " + cut(n.Target, 60)
		}
		l := entryLine{first: n.First, last: n.Last, what: what, outcome: n.Outcome, code: cut(n.Error, 50), risks: n.Risks}
		for _, kind := range n.New {
			l.news = append(l.news, "new "+kind)
		}
		out = append(out, l)
		i++
	}
	return out
}

// readsLine folds calls that only read into one line.
func readsLine(entries []story.Entry) entryLine {
	l := entryLine{first: entries[0].First, last: entries[0].Last, outcome: entries[0].Outcome}
	var names []string
	var fresh int
	byCount := slices.Clone(entries)
	slices.SortStableFunc(byCount, func(a, b story.Entry) int { return int(b.Count - a.Count) })
	total := int64(0)
	for i := range byCount {
		n := &byCount[i]
		l.first, l.last = min(l.first, n.First), max(l.last, n.Last)
		total += n.Count
		if slices.Contains(n.New, "call") {
			fresh++
		}
		names = append(names, times(n.Name, n.Count))
	}
	l.what = number(total) + " reads: " + shortList(names, 4, 0)
	if fresh > 0 {
		l.news = []string{count(fresh, "new call")}
	}
	return l
}
