package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/exchange"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/store"
)

// onBothTiers is the annotation of commands that work on a data directory and a stack
// at once.
const onBothTiers = "both-tiers"

// direction is push or pull.
type direction struct {
	name, short, long string
	toStack           bool
}

const exchanged = `Moved are events and the rows of filtered ones, day by day; records that could not be
parsed; contents that contradict each other; who is behind sessions; alerts with their
acknowledgements, of which the newer one stays; and coverage, by which each side knows
what need not be read again. Afterwards the receiver has the union: nothing is ever
taken away. Nobody is told again of an alert: what is older than alert_horizon is
history, and of the rest the receiver tells only if the giver told nobody.

The tracker may be at work meanwhile. Interrupted anywhere, it goes on when it is given
again; with nothing new it moves nothing. With --since or --until a part is moved, and
only of that part coverage is claimed. --dry-run counts what would be moved.

JSON is one object: direction, stack, data_dir, days, days_read, days_expired,
events_new, events_known, conflicts, filtered, rejected, alerts, alerts_missing,
acknowledged, coverage_intervals, coverage_streams, seconds, dry_run.`

func newPushCmd(e *env) *cobra.Command {
	return newExchangeCmd(e, direction{
		name: "push", toStack: true, short: "Give a stack what the data directory has",
		long: `Give a stack in AWS what the data directory has: a history that was imported here, or
collected before there was a stack.

` + exchanged + `

A stack without a lake (EnableAnalytics=false) gets all of it into its table, at some
3.5 write units an event, as far back as it keeps events (LakeDays).`,
	})
}

func newPullCmd(e *env) *cobra.Command {
	return newExchangeCmd(e, direction{
		name: "pull", short: "Get into the data directory what a stack has",
		long: `Get into the data directory what a stack in AWS has: to ask it without AWS, to keep a
copy, or to move to another stack. The stack is only read.

` + exchanged,
	})
}

func newExchangeCmd(e *env, d direction) *cobra.Command {
	var dryRun bool
	cmd := onStack(taking(&cobra.Command{
		Use:     d.name,
		Short:   d.short,
		Long:    d.long,
		Example: "  iamtrack " + d.name + " --stack prod --dry-run\n  iamtrack " + d.name + " --stack prod\n  iamtrack " + d.name + " --stack prod --since 30d --format json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runExchange(cmd.Context(), e, d, dryRun) },
	}, takesRange))
	cmd.Annotations[onBothTiers] = "yes"
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count what would be moved, and write nothing")
	return cmd
}

// exchangeView is what `push --format json` and `pull --format json` print.
type exchangeView struct {
	Direction string `json:"direction"`
	Stack     string `json:"stack"`
	DataDir   string `json:"data_dir"`
	exchange.Result
}

func runExchange(ctx context.Context, e *env, d direction, dryRun bool) (err error) {
	e.debug("data directory %s (%s)", e.config.DataDir, e.config.Origin("data_dir"))
	options := app.Options{Command: d.name, Create: !d.toStack && !dryRun, Now: e.now, Version: e.version}
	here, err := app.Open(ctx, e.config, options)
	if dryRun && !d.toStack && errors.Is(err, app.ErrNoData) {
		// What would be moved into a directory that isn't there yet.
		if here, err = app.New(e.config, store.OpenMem(), lake.OpenMem(), options); err == nil {
			here.Pipeline.Inbox = nil
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, here.Close()) }()
	there, err := e.openStack(ctx, d.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	if d.toStack && there.TableOnly() {
		e.note("the stack %s keeps no lake (EnableAnalytics=false): events go into its table, at some 3.5 write units each", render.Text(there.Parts.Stack))
	}
	o := exchange.Options{Since: e.since, Until: e.until, DryRun: dryRun, Horizon: e.config.AlertHorizon, MemoryBytes: e.config.MemoryLimit / 8, Now: e.now}
	from, to := there, here
	var marks store.Store
	if !here.ReadOnly {
		marks = here.Store
	}
	if d.toStack {
		from, to = here, there
		if err := e.refresh(ctx, here); err != nil {
			return err
		}
	}
	if marks != nil {
		o.Marks = exchange.NewMarks(marks, d.name, there.Parts.ID)
	}
	if !from.TableOnly() {
		if o.Lost, err = from.LostDays(ctx); err != nil {
			return fmt.Errorf("look for the lake's files: %w", err)
		}
	}
	bar := e.newProgress()
	defer bar.done()
	defer e.spendMemory()()
	o.Progress = bar.exporting
	res, err := exchange.Transfer(ctx, from.Pipeline, to.Pipeline, o)
	bar.done()
	if err != nil {
		return awsHint(withHint(fmt.Errorf("%s: %w", d.name, err), "what was moved so far is stored: give the command again, and it goes on"))
	}
	if !d.toStack && !dryRun {
		if _, err := here.Pipeline.RollUp(ctx, bar.rollingUp); err != nil {
			e.rollUpNote(err.Error())
		}
	}
	view := exchangeView{Direction: d.name, Stack: there.Parts.Stack, DataDir: e.config.DataDir, Result: res}
	if err := e.object(view, func() string { return e.exchangeText(d, &view) }); err != nil {
		return err
	}
	return e.exchangeNotes(d, &res, len(o.Lost))
}

func (e *env) exchangeText(d direction, v *exchangeView) string {
	r := &v.Result
	t := e.newPage()
	receiver := "the data directory"
	if d.toStack {
		receiver = "the stack " + render.Text(v.Stack)
	}
	if r.Nothing() {
		t.line(fmt.Sprintf("nothing to %s: %s has all of it (%s)", d.name, receiver, count(r.Days, "day")))
		return t.String()
	}
	verb := map[bool]string{false: "new to ", true: "would be new to "}[r.DryRun]
	t.line(e.paint(render.Bold, count(r.EventsNew, "event")) + " " + verb + receiver)
	t.field("days", fmt.Sprintf("%s of %s looked into", number(r.DaysRead), count(r.Days, "day")))
	t.field("known", number(r.EventsKnown)+" of the events in these")
	field := func(name string, n int64, what string) {
		if n > 0 {
			t.field(name, number(n)+what)
		}
	}
	field("conflicts", r.Conflicts, " contents that contradict another one of their event")
	field("filtered", r.Filtered, " rows of filtered events")
	field("rejected", r.Rejected, " records that could not be parsed")
	t.field("alerts", number(r.Alerts)+" new, "+number(r.Acknowledged)+" acknowledged")
	t.field("coverage", count(r.Intervals, "interval")+" in "+count(r.Streams, "stream"))
	return t.String()
}

// exchangeNotes says what was not moved.
func (e *env) exchangeNotes(d direction, r *exchange.Result, lost int) error {
	if r.DaysExpired > 0 {
		e.note("%s left out: older than what the receiver keeps (lake_days)", count(r.DaysExpired, "day was|days were"))
	}
	if r.AlertsMissing > 0 {
		e.note("%s not moved: the events behind are no longer there, or the rules here find nothing in them", count(r.AlertsMissing, "alert was|alerts were"))
	}
	if lost > 0 {
		return withHint(&partError{fmt.Sprintf("%s: the lake's files of %s are gone: their events could not be moved, and of these days no coverage was", d.name, count(lost, "day"))},
			"restore the files, or import the trail files of these days again")
	}
	return nil
}
