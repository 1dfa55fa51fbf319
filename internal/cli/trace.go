package cli

import (
	"context"
	"errors"
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

func newTraceCmd(e *env) *cobra.Command {
	return freshFlag(e, taking(&cobra.Command{
		Use:   "trace KEY|SESSION|EVENT",
		Short: "Draw where a session's credentials come from, and all that came of them",
		Long: `Draw the tree of a session: the person or workload at its root, the sessions down to
the one that is asked for (marked), and all that it issued in turn, each with what was
called, what was changed and which accounts were reached. KEY is an access key id,
SESSION the ARN or the name of a session (ROLE/SESSION, or SESSION) or of an IAM user,
EVENT an event id or its first characters. --since and --until bound the calls that
are counted, not the tree.

A step is proven when AWS recorded the event that issued the credentials; it is
named with each session.

JSON is an object with what, understood_as, trees, more (sessions of that name that
were left out) and coverage. A tree has certainty, reason, evidence, root and
left_out; root and the nodes in its children have name, actor_kind, account_id, arn,
keys, asked, issued (event_name, event_id, account_id, time, by), count, first, last,
event_names, outcomes, source_ips, account_ids, reached (event_name, target_kind,
target, key, account_id, event_id, time, count), note and children.`,
		Example: `  iamtrack trace ASIAIOSFODNN7EXAMPLE
  iamtrack trace deploy/run-71
  iamtrack trace 0f5c7b1e-7d1a-4a43-9a3a-7a3f8b1f9c01`,
		Args: argCount(1, 1, "an access key id, a session or an event id"),
		RunE: func(cmd *cobra.Command, args []string) error { return runTrace(cmd.Context(), e, args[0]) },
	}, takesRange))
}

// traceView is what `trace --format json` prints.
type traceView struct {
	What         string          `json:"what"`
	UnderstoodAs string          `json:"understood_as"`
	Trees        []treeView      `json:"trees"`
	More         int             `json:"more"`
	Coverage     *answerCoverage `json:"coverage"`
}

type treeView struct {
	Certainty string             `json:"certainty"`
	Reason    string             `json:"reason,omitempty"`
	Evidence  []lineage.Evidence `json:"evidence"`
	EventID   string             `json:"event_id,omitempty"`
	Root      *nodeView          `json:"root"`
	LeftOut   int                `json:"left_out"`
}

type nodeView struct {
	Name       string           `json:"name"`
	Kind       string           `json:"actor_kind"`
	AccountID  string           `json:"account_id,omitempty"`
	ARN        string           `json:"arn,omitempty"`
	Keys       []string         `json:"keys"`
	Asked      bool             `json:"asked"`
	Issued     *issuedView      `json:"issued"`
	Count      int64            `json:"count"`
	First      *time.Time       `json:"first"`
	Last       *time.Time       `json:"last"`
	EventNames map[string]int64 `json:"event_names"`
	Outcomes   map[string]int64 `json:"outcomes"`
	SourceIPs  []string         `json:"source_ips"`
	AccountIDs []string         `json:"account_ids"`
	Reached    []reachView      `json:"reached"`
	Note       string           `json:"note,omitempty"`
	Children   []*nodeView      `json:"children"`
}

type issuedView struct {
	EventName string    `json:"event_name"`
	EventID   string    `json:"event_id"`
	AccountID string    `json:"account_id"`
	Time      time.Time `json:"time"`
	By        string    `json:"by"`
}

type reachView struct {
	EventName  string    `json:"event_name"`
	TargetKind string    `json:"target_kind"`
	Target     string    `json:"target"`
	Key        string    `json:"key,omitempty"`
	AccountID  string    `json:"account_id"`
	EventID    string    `json:"event_id"`
	Time       time.Time `json:"time"`
	Count      int64     `json:"count"`
}

func runTrace(ctx context.Context, e *env, text string) error {
	if strings.TrimSpace(text) == "" {
		return withHint(usagef("there is nothing to trace"), "give an access key id, a session or an event id")
	}
	return e.asking(ctx, "trace", func(a *app.App, engine query.RangeEngine, c *covered) error {
		found, err := storyTeller(a, engine).Trace(ctx, story.Search{Text: text, Range: story.Range{Since: e.since, Until: e.until}})
		v := c.answer(e, question{since: e.since, until: e.until})
		var nothing *story.ErrNothing
		if errors.As(err, &nothing) {
			for _, line := range v.lines {
				e.say("missing: " + line) // it may be there
			}
			return withHint(errors.New(cut(nothing.What, 200)), "`iamtrack who WHAT` searches names, keys and events of all kinds")
		}
		if err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		return e.printTrace(text, found, v, c.names)
	})
}

func (e *env) printTrace(text string, found story.Trees, v *answerCoverage, names map[string]string) error {
	var err error
	switch e.format() {
	case render.JSON:
		view := &traceView{What: text, UnderstoodAs: found.UnderstoodAs, Trees: []treeView{}, More: found.More, Coverage: v}
		for i := range found.Trees {
			t := &found.Trees[i]
			tv := treeView{Certainty: t.Certainty, Reason: t.Reason, Evidence: orEmpty(t.Evidence), Root: viewNode(t.Root), LeftOut: t.Left}
			if t.Event != nil {
				tv.EventID = t.Event.EventID
			}
			view.Trees = append(view.Trees, tv)
		}
		err = e.document(func(w io.Writer) error { return render.WriteJSON(w, view) })
	case render.CSV, render.Markdown:
		err = e.traceRows(found, v)
	default:
		err = e.document(func(w io.Writer) error {
			_, err := io.WriteString(w, e.traceText(found, names)+e.missingText(v))
			return err
		})
	}
	if err != nil {
		return err
	}
	if e.format() != render.JSON {
		e.tellCoverage(v)
	}
	if found.More > 0 {
		e.note("%s of that name are older: trace them by key, or by the id of an event", count(found.More, "session"))
	}
	return nil
}

func viewNode(n *story.Node) *nodeView {
	v := &nodeView{
		Name: n.Name, Kind: n.Kind, AccountID: n.Account, ARN: n.ARN, Keys: orEmpty(n.Keys), Asked: n.Asked, Note: n.Note,
		EventNames: map[string]int64{}, Outcomes: map[string]int64{}, SourceIPs: []string{}, AccountIDs: []string{}, Reached: []reachView{}, Children: []*nodeView{},
	}
	if i := n.Issued; i != nil {
		v.Issued = &issuedView{i.EventName, i.EventID, i.AccountID, time.UnixMilli(i.Time).UTC(), i.By}
	}
	if d := n.Did; d != nil {
		v.Count, v.First, v.Last = d.Count, instant(time.UnixMilli(d.First)), instant(time.UnixMilli(d.Last))
		v.EventNames, v.Outcomes, v.SourceIPs, v.AccountIDs = d.EventNames, d.Outcomes, d.SourceIPs, d.AccountIDs
	}
	for _, r := range n.Reached {
		v.Reached = append(v.Reached, reachView{r.EventName, r.TargetKind, r.Target, r.Key, r.AccountID, r.EventID, time.UnixMilli(r.First).UTC(), r.Count})
	}
	for _, c := range n.Children {
		v.Children = append(v.Children, viewNode(c))
	}
	return v
}

// traceRows prints a node a row, parents first.
func (e *env) traceRows(found story.Trees, v *answerCoverage) error {
	cols := render.Columns("tree", "depth", "asked", "name", "actor_kind", "account_id", "keys", "issued_by", "issuing_event", "issuing_event_id", "issued_at",
		"count", "first", "last", "event_names", "source_ips", "account_ids", "reached", "note")
	return e.coveredAnswer(cols, v, func(p render.Printer) error {
		var walk func(tree, depth int, n *story.Node) error
		walk = func(tree, depth int, n *story.Node) error {
			row := []any{tree, depth, n.Asked, n.Name, n.Kind, orNull(n.Account), orEmpty(n.Keys), nil, nil, nil, nil, int64(0), nil, nil, []string{}, []string{}, []string{}, []string{}, orNull(n.Note)}
			if i := n.Issued; i != nil {
				row[7], row[8], row[9], row[10] = i.By, i.EventName, i.EventID, time.UnixMilli(i.Time).UTC()
			}
			if d := n.Did; d != nil {
				row[11], row[12], row[13] = d.Count, time.UnixMilli(d.First).UTC(), time.UnixMilli(d.Last).UTC()
				row[14], row[15], row[16] = callTexts(d.Calls, true), d.SourceIPs, d.AccountIDs
			}
			reached := []string{}
			for _, r := range n.Reached {
				reached = append(reached, r.EventName+" "+r.Target)
			}
			row[17] = reached
			if err := p.Row(row); err != nil {
				return err
			}
			for _, c := range n.Children {
				if err := walk(tree, depth+1, c); err != nil {
					return err
				}
			}
			return nil
		}
		for i := range found.Trees {
			if err := walk(i+1, 0, found.Trees[i].Root); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *env) traceText(found story.Trees, names map[string]string) string {
	t := e.newPage()
	for i := range found.Trees {
		tree := &found.Trees[i]
		if i > 0 {
			t.blank()
		}
		if ev := tree.Event; ev != nil {
			text := e.paint(render.Bold, cut(ev.EventName, 60))
			if ev.TargetName != "" {
				text += " → " + cut(ev.TargetName, 60)
			}
			if ev.Outcome != event.OutcomeOK {
				text += "  " + e.paint(paintOutcome(ev.Outcome), ev.Outcome)
			}
			t.line(text + "  " + e.timeText(ev.EventTime) + "  " + cut(ev.EventID, 60))
		}
		how := ""
		if len(tree.Evidence) > 0 && tree.Reason == "" {
			how = ": " + cut(tree.Evidence[0].How, 120)
		}
		t.line("The root is " + e.certaintyText(tree.Certainty, tree.Reason) + how)
		t.blank()
		e.nodeText(t, tree.Root, "", "", names, true)
		if tree.Left > 0 {
			t.line("… and " + count(tree.Left, "session") + " more that were issued below")
		}
	}
	return t.String()
}

// nodeText draws a node: first is what stands before its first line, rest before
// the others.
func (e *env) nodeText(t *page, n *story.Node, first, rest string, names map[string]string, root bool) {
	line := e.paint(render.Bold, cut(n.Name, 100)) + "  " + e.kindText(story.Person{Kind: n.Kind, Account: n.Account}, names)
	if n.Asked {
		line += "  " + e.paint(render.Cyan, "◀ asked for")
	}
	t.line(first + line)
	inner := rest
	if len(n.Children) > 0 {
		inner += "│ "
	} else {
		inner += "  "
	}
	field := func(name, value string) {
		if value != "" {
			t.line(inner + e.paint(render.Dim, pad(name, 8)) + value)
		}
	}
	if i := n.Issued; i != nil {
		text := cut(i.EventName, 40) + " at " + e.timeText(i.Time) + " (" + cut(i.EventID, 60) + ")"
		label := "issued"
		if i.Own {
			label = "made" // for another identity, whose own it is
		}
		if root || i.Own {
			text += " by " + cut(i.By, 80)
		}
		field(label, text+", "+lineage.Proven)
		if i.Own && root && i.Parent != "" {
			if c := e.command("trace", i.Parent); c != "" {
				field("", c)
			}
		}
	}
	field("key", shortList(n.Keys, 3, 0))
	if d := n.Did; d != nil {
		field("used", e.spanText(d.First, d.Last)+"  "+count(d.Count, "call")+"  from "+shortList(d.SourceIPs, 3, d.NotListed["source_ips"]))
		field("calls", shortList(callTexts(d.Calls, false), 5, d.NotListed["event_names"]))
		for _, o := range []string{event.OutcomeDenied, event.OutcomeFailed} {
			if list := callsOf(d.Calls, o); len(list) > 0 {
				t.line(inner + e.paint(paintOutcome(o), pad(o, 8)) + shortList(list, 5, 0))
			}
		}
		others := slices.DeleteFunc(slices.Clone(d.AccountIDs), func(id string) bool { return id == n.Account })
		for i := range others {
			others[i] = named(names, others[i])
		}
		field("reached", shortList(others, 5, d.NotListed["account_ids"]))
	} else if len(n.Keys) > 0 {
		field("used", "no stored call")
	}
	for i, r := range n.Reached {
		name := "changed"
		if i > 0 {
			name = ""
		}
		text := e.clockDay(r.First) + "  " + times(cut(r.EventName, 40), r.Count) + " → " + cut(r.Target, 80)
		if r.Key != "" {
			text += "  " + cut(r.Key, 40)
		}
		field(name, text)
	}
	if n.Note != "" {
		field("note", cut(n.Note, 120))
	}
	for i, c := range n.Children {
		if i == len(n.Children)-1 {
			e.nodeText(t, c, rest+"└─ ", rest+"   ", names, false)
		} else {
			e.nodeText(t, c, rest+"├─ ", rest+"│  ", names, false)
		}
	}
}

func (e *env) clockDay(ms int64) string {
	return time.UnixMilli(ms).In(e.config.Zone).Format("2006-01-02 15:04:05")
}
