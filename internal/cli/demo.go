package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/store"
)

type demoOptions struct {
	seed   uint64
	days   int
	events int
}

// demoDays is how far back CloudTrail's event history reaches.
const demoDays = 90

// demoMark is the file that says that a data directory is the demo's, and may
// be emptied by it.
const demoMark = "THIS-IS-A-DEMO.txt"

func newDemoCmd(e *env) *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on a simulated organization with an attack in it",
		Long: `Serve a simulated organization on this computer, with 90 days of events and an
attack among them, collect from all its accounts as "iamtrack collect
--organization" does, and show what a real collection would: what came in, what
was noise, the alerts, what the attacker did, a query, and what to type next.

It needs no AWS account and no network, uses none of your AWS settings, and
touches no other data: it has a data directory of its own (DATA_DIR-demo, or
--data-dir), which it empties when run again.`,
		Example: "  iamtrack demo\n  iamtrack demo --seed 7",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), e, o) },
	}
	f := cmd.Flags()
	f.Uint64Var(&o.seed, "seed", 42, "which world: the same seed gives the same events")
	f.IntVar(&o.days, "days", demoDays, "days of history, at most 90: event history has no more")
	f.IntVar(&o.events, "events", 48_000, "how many events happen at least; half of them, or less, in services that are collected")
	return cmd
}

// demoDir empties, or makes, the demo's data directory and points the
// configuration at it.
func (e *env) demoDir() error {
	e.config.Stack = "" // the demo is nobody's
	if e.flags.dataDir == "" {
		e.config.DataDir += "-demo"
		e.flags.dataDir = e.config.DataDir
	}
	dir := e.config.DataDir
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open the demo's data directory: %w", err)
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return withHint(fmt.Errorf("%s is not empty, and no earlier demo's: the demo does not touch it", dir), "name an empty folder with --data-dir")
		}
		for _, entry := range entries {
			if entry.Name() == demoMark {
				continue
			}
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("empty the demo's data directory: %w", err)
			}
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the demo's data directory: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, demoMark), []byte("Made by `iamtrack demo`, which empties this folder when it is run again.\n"), 0o600)
}

func runDemo(ctx context.Context, e *env, o demoOptions) error {
	if err := e.demoDir(); err != nil {
		return err
	}
	if o.days > demoDays {
		return usagef("--days %d: CloudTrail's event history has %d", o.days, demoDays)
	}
	world, err := simulate.New(simulate.Config{Seed: o.seed, Days: o.days, Events: o.events, End: e.now().UTC().Truncate(time.Hour)})
	if err != nil {
		return usagef("%v", err)
	}
	return e.with(ctx, "demo", true, func(a *app.App) error {
		sum, err := e.collectSimulated(ctx, a, world)
		if err != nil {
			return err
		}
		d := demo{e: e, a: a, page: e.newPage()}
		if err := d.tell(ctx, sum); err != nil {
			return err
		}
		return e.document(func(w io.Writer) error {
			_, err := io.WriteString(w, d.page.String())
			return err
		})
	})
}

// demo writes the demo's pages from what the product itself finds; it knows
// nothing of the simulated world.
type demo struct {
	e    *env
	a    *app.App
	page *page
}

func (d *demo) tell(ctx context.Context, sum lookup.Summary) error {
	d.page.heading("What came in")
	d.page.b.WriteString(d.e.collectText(&sum))
	if sum.Records > 0 {
		d.page.paragraph(fmt.Sprintf("%d %% of it was AWS services at work: counted, kept apart, and out of every answer.", 100*sum.Filtered/sum.Records))
	}
	d.page.paragraph(fmt.Sprintf("It came from CloudTrail's event history of a simulated organization, which permits %d requests a second in each account and region. AWS permits %s: a first run there takes minutes.",
		demoRate, strconv.FormatFloat(lookup.PermittedRate, 'f', -1, 64)))
	alerts, err := d.a.Store.Alerts(ctx, store.AlertFilter{})
	if err != nil {
		return err
	}
	if err := d.alerts(alerts); err != nil {
		return err
	}
	engine, err := duckdb.Open(ctx, duckdb.Options{LakeDir: d.a.LakeDir()})
	if err != nil {
		return err
	}
	defer engine.Close() //nolint:errcheck // in memory, read only
	source := worstAddress(alerts)
	if err := d.story(ctx, engine, source, alerts); err != nil {
		return err
	}
	if err := d.query(ctx, engine); err != nil {
		return err
	}
	d.next(source, alerts)
	return nil
}

// alerts lists the worst ones in the order of time.
func (d *demo) alerts(alerts []rule.Alert) error {
	const most = 12
	by := map[rule.Severity]int{}
	for i := range alerts {
		by[alerts[i].Severity]++
	}
	heading := fmt.Sprintf("Alerts: %d critical, %d high, %d medium, %d low", by[rule.Critical], by[rule.High], by[rule.Medium], by[rule.Low]+by[rule.Info])
	worst := slices.Clone(alerts)
	slices.SortStableFunc(worst, func(a, b rule.Alert) int { return int(b.Severity) - int(a.Severity) })
	if len(worst) > most {
		worst = worst[:most]
		heading += fmt.Sprintf("; the %d latest of the most severe:", most)
	}
	d.page.heading(heading)
	slices.SortStableFunc(worst, func(a, b rule.Alert) int { return int(a.EventTime/1000 - b.EventTime/1000) })
	cols := []render.Column{{Name: "time"}, {Name: "severity", Whole: true, Paint: paintSeverity}, {Name: "alert", Whole: true}, columnStyle("actor")}
	return d.table(cols, func(p render.Printer) error {
		for i := range worst {
			a := &worst[i]
			if err := p.Row([]any{time.UnixMilli(a.EventTime), a.Severity.String(), a.Title, a.Actor}); err != nil {
				return err
			}
		}
		return nil
	})
}

// demoWidth bounds the page's tables when it is not for a terminal.
const demoWidth = 100

// table prints rows on the page.
func (d *demo) table(cols []render.Column, f func(render.Printer) error) error {
	width, ok := render.Terminal(d.e.stdout)
	if !ok {
		width = demoWidth
	}
	p := render.New(&d.page.b, cols, render.Options{Format: render.Table, Zone: d.e.config.Zone, Width: width, Colour: d.e.colour()})
	if err := f(p); err != nil {
		return err
	}
	return p.Close()
}

// worstAddress is the source address of the most severe alerts: where an
// investigation starts.
func worstAddress(alerts []rule.Alert) string {
	score := map[string]int{}
	for i := range alerts {
		if a := &alerts[i]; a.SourceIP != "" {
			score[a.SourceIP] += map[rule.Severity]int{rule.Critical: 100, rule.High: 10, rule.Medium: 1}[a.Severity]
		}
	}
	best := ""
	for ip, n := range score {
		if best == "" || n > score[best] || n == score[best] && ip < best {
			best = ip
		}
	}
	return best
}

// story tells in order what came from one address, folded where it repeats.
func (d *demo) story(ctx context.Context, engine query.Engine, source string, alerts []rule.Alert) error {
	if source == "" {
		return nil
	}
	raised := map[eventKey][]*rule.Alert{}
	for i := range alerts {
		a := &alerts[i]
		if a.Severity >= rule.Medium {
			key := eventKey{a.AccountID, a.EventID}
			raised[key] = append(raised[key], a)
		}
	}
	text, err := query.EventsSQL(query.EventFilter{
		IPs: []string{source}, Columns: []string{"event_time", "event_name", "outcome", "actor", "target_name", "account_id", "event_id"},
	})
	if err != nil {
		return err
	}
	rows, err := engine.Query(ctx, text)
	if err != nil {
		return err
	}
	steps, err := foldSteps(rows, raised)
	if err = errors.Join(err, rows.Close()); err != nil {
		return err
	}
	d.page.heading("Where the worst alerts come from: everything that " + render.Text(source) + " did")
	d.steps(steps)
	return nil
}

// steps prints a line a step, and the alerts it raised below it.
func (d *demo) steps(steps []step) {
	const mostActor = 24
	actor := 0
	for _, s := range steps {
		actor = max(actor, min(mostActor, uniseg.StringWidth(render.Text(s.actor))))
	}
	for _, s := range steps {
		who := render.Shorten(render.Text(s.actor), actor)
		line := "  " + d.e.timeText(s.at.UnixMilli()) + "  " + who + strings.Repeat(" ", actor-uniseg.StringWidth(who)) + "  " + render.Text(s.name)
		if s.n > 1 {
			line += fmt.Sprintf(" ×%d", s.n)
		}
		if s.target != "" {
			line += " → " + render.Text(s.target)
		}
		if s.outcome != "ok" {
			line += "  " + d.e.paint(paintOutcome(s.outcome), render.Text(s.outcome))
		}
		d.page.line(line)
		for _, a := range s.alerts {
			d.page.line("      " + d.e.paint(severityColour(a.Severity.String()), a.Severity.String()) + ": " + render.Text(a.Title))
		}
	}
}

// eventKey is an event's key.
type eventKey struct{ account, id string }

// step is a run of like events.
type step struct {
	at                           time.Time
	actor, name, outcome, target string
	alerts                       []*rule.Alert
	n                            int
}

// foldSteps reads events newest first and returns them oldest first, reads that
// follow each other folded into one.
func foldSteps(rows query.Rows, raised map[eventKey][]*rule.Alert) ([]step, error) {
	var all []step
	for {
		v, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		text := func(i int) string { s, _ := v[i].(string); return s }
		at, _ := v[0].(time.Time)
		all = append(all, step{at: at, name: text(1), outcome: text(2), actor: text(3), target: text(4), alerts: raised[eventKey{text(5), text(6)}], n: 1})
	}
	slices.Reverse(all)
	var steps []step
	for _, s := range all {
		if n := len(steps); n > 0 {
			last := &steps[n-1]
			if last.name == s.name && last.outcome == s.outcome && last.actor == s.actor && len(last.alerts)+len(s.alerts) == 0 {
				last.n++
				if last.target != s.target {
					last.target = "several"
				}
				continue
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// query runs one query of the pack, as a user would.
func (d *demo) query(ctx context.Context, engine query.Engine) error {
	catalogue, err := query.LoadCatalogue("")
	if err != nil {
		return err
	}
	q, err := catalogue.Get(demoQuery)
	if err != nil {
		return err
	}
	text, err := q.Render(query.Params{TZ: d.e.config.Zone, Limit: 6, Now: d.e.now()})
	if err != nil {
		return err
	}
	rows, err := engine.Query(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // read to its end
	d.page.heading("A query, " + demoQuery + ": " + q.Title)
	o := rowsOptions{columns: q.Table}
	cols, index := o.choose(rows.Columns(), false)
	return d.table(cols, func(p render.Printer) error {
		_, err := copyRows(p, rows, index)
		return err
	})
}

const demoQuery = "failed_auth"

// next lists commands that work on the demo's data as printed.
func (d *demo) next(source string, alerts []rule.Alert) {
	d.page.heading("Type next")
	try := func(what string, words ...string) {
		if line := d.e.command(words...); line != "" {
			d.page.line("  " + line)
			d.page.line("      " + d.e.paint(render.Dim, what))
		}
	}
	for i := range alerts {
		if alerts[i].Severity == rule.Critical && alerts[i].SourceIP == source {
			try("what happened, who it was, why it matters, what to do", "alerts", "show", alerts[i].ID)
			break
		}
	}
	for i := range alerts {
		a := &alerts[i]
		if a.SourceIP == source && a.EventName == "CreateAccessKey" && a.Actor != "" && len(a.Targets) > 0 {
			try("who made that key, and who used it", "who", a.Targets[0])
			try("all that the person did, over all sessions and accounts", "timeline", a.Actor)
			break
		}
	}
	if source != "" {
		try("every event from that address, newest first", "events", "--ip", source)
	}
	try("that query again", "query", demoQuery)
	try("all alerts of the last week", "alerts", "list", "--since", "7d")
	try("who changed permissions", "query", "permission_changes")
	try("the queries there are", "query", "list")
	try("your own SQL", "sql", "SELECT actor, count(*) AS events FROM events WHERE outcome = 'denied' GROUP BY 1 ORDER BY 2 DESC LIMIT 10")
	try("what is stored", "status")
}
