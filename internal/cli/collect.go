package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/render"
)

type collectOptions struct {
	watch  time.Duration
	budget time.Duration
}

func newCollectCmd(e *env) *cobra.Command {
	var o collectOptions
	cmd := &cobra.Command{
		Use:   "collect",
		Short: "Read the last 90 days of all regions from CloudTrail, and what is new since",
		Long: `Read CloudTrail's event history (LookupEvents, which is free and needs no trail)
of every enabled region: IAM, STS, console sign-in, Identity Center, and what
happens to CloudTrail and the organization itself. The first run reads 90 days,
the newest first; the next ones what is new, what is missing, and again what may
have come late. A run can be interrupted at any time: the next one goes on.

Credentials are found as the AWS command line finds them. One permission is
needed, cloudtrail:LookupEvents; with ec2:DescribeRegions and sso:ListInstances
the regions are found by themselves.

--watch goes on until it is interrupted, through lost networks and a machine that
sleeps, and sends alerts to the channels of the settings within seconds. --for
ends a run after that time in good order.

JSON is one object: regions (each account_id, aws_region, requests, throttled,
events, stored, late), problems (what could not be read, and why), requests,
throttled, records, stored, duplicates, conflicts, filtered, rejected, late,
alerts, seconds, unfinished; with --watch an object for each run, one a line. CSV
and Markdown are a row for each account and region. The exit code is 3 when
something could not be read. An account that can't be asked for its regions in this
run is named, and read as it was found before.`,
		Example: `  iamtrack collect
  iamtrack collect --profile security --regions us-east-1,eu-west-1
  iamtrack collect --organization
  iamtrack collect --watch 5m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCollect(cmd.Context(), e, o) },
	}
	f := cmd.Flags()
	f.DurationVar(&o.watch, "watch", 0, "go on until interrupted, with a run every so often, such as 5m")
	f.DurationVar(&o.budget, "for", 0, "end after that time, such as 10m; the next run goes on")
	awsFlags(cmd, awsFlagNames...)
	return cmd
}

// shortestWatch is the least distance between the runs of a watch.
const shortestWatch = 10 * time.Second

func runCollect(ctx context.Context, e *env, o collectOptions) error {
	if o.watch != 0 && o.watch < shortestWatch {
		return withHint(usagef("--watch %s is too short", o.watch), "use 10s or more; 5m is a good distance")
	}
	if o.budget < 0 {
		return usagef("--for %s: a time to end after is positive", o.budget)
	}
	return e.with(ctx, "collect", true, func(a *app.App) error {
		defer e.spendMemory()()
		c, err := e.collector(ctx, a)
		if err != nil {
			e.tellFailed(ctx, a, err)
			return awsHint(fmt.Errorf("collect: %w", err))
		}
		reading := ctx
		if o.budget > 0 {
			var cancel context.CancelFunc
			reading, cancel = context.WithTimeout(ctx, o.budget)
			defer cancel()
		}
		if o.watch > 0 {
			return e.collectWatch(reading, a, c, o.watch)
		}
		sum, err := e.collectOnce(reading, a, c)
		if err != nil {
			e.tellFailed(ctx, a, err)
			return err
		}
		if err := e.collectSummary(&sum); err != nil {
			return err
		}
		e.collectNotes(&sum)
		e.tellCollected(context.WithoutCancel(ctx), a, &sum)
		if ctx.Err() != nil {
			return context.Cause(ctx) // interrupted: what was read is stored
		}
		return collectResult(&sum)
	})
}

// collector makes the collector of the accounts that are configured.
func (e *env) collector(ctx context.Context, a *app.App) (*lookup.Collector, error) {
	session, err := e.aws(ctx)()
	if err != nil {
		return nil, err
	}
	accounts, err := app.Accounts(ctx, e.config, session)
	if err != nil {
		return nil, err
	}
	return a.Collector(ctx, accounts)
}

// collectOnce runs the collector and brings the lake up to date.
func (e *env) collectOnce(ctx context.Context, a *app.App, c *lookup.Collector) (lookup.Summary, error) {
	p := e.newRegionProgress()
	c.Progress = p.show
	sum, err := c.Run(ctx)
	p.done()
	if err != nil {
		return sum, fmt.Errorf("collect: %w", err)
	}
	// Also when the time is up: the next answer would have to do it.
	if _, err := a.Refresh(context.WithoutCancel(ctx)); err != nil {
		return sum, fmt.Errorf("bring the lake up to date: %w", err)
	}
	return sum, nil
}

// collectWatch collects until the context ends.
func (e *env) collectWatch(ctx context.Context, a *app.App, c *lookup.Collector, every time.Duration) error {
	if e.format() == render.CSV || e.format() == render.Markdown {
		return withHint(usagef("--watch with --format %s: runs have no end that such a table needs", e.format()), "use table or json")
	}
	p := e.newRegionProgress()
	c.Progress = p.show
	n := e.notifier(ctx, a, notify.Options{Window: burstWindow})
	var telling sync.WaitGroup
	defer telling.Wait()
	if n.Active() {
		telling.Go(func() { n.Run(ctx) })
	}
	var last lookup.Summary
	runs := 0
	err := c.Watch(ctx, every, func(sum lookup.Summary, err error) error {
		p.done()
		if n.Active() {
			// Of what this run found in history, one digest.
			if _, err := n.Route(context.WithoutCancel(ctx)); err != nil {
				e.warn("%v; the next run goes on", err)
			}
		}
		if err != nil {
			// The next run may do better: a full disk, a store that is busy.
			e.warn("this run failed: %v", err)
			if n.Active() {
				e.tellGaps(context.WithoutCancel(ctx), a, n, &sum, err)
			}
			return nil
		}
		if _, err := a.Refresh(context.WithoutCancel(ctx)); err != nil {
			e.warn("bring the lake up to date: %v", err)
		}
		e.watchProblems(&last, &sum, runs)
		if n.Active() {
			e.tellGaps(context.WithoutCancel(ctx), a, n, &sum, nil)
		}
		last = sum
		if !p.terminal {
			c.Progress = nil // a log has a line for what is news
		}
		if runs++; e.format() == render.JSON {
			return render.WriteJSONLine(e.stdout, sum)
		}
		if runs == 1 || sum.Stored > 0 || sum.Alerts > 0 {
			e.note("%s", e.watchLine(&sum))
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.note("watched for %s", count(runs, "run"))
	return nil
}

// watchLine is a run of a watch in one line.
func (e *env) watchLine(s *lookup.Summary) string {
	line := fmt.Sprintf("%s  %s new, %s filtered", e.timeText(e.now().UnixMilli()), count(s.Stored, "event"), number(s.Filtered))
	if s.Late > 0 {
		line += fmt.Sprintf(", %s of them late", number(s.Late))
	}
	if s.Alerts > 0 {
		line += ", " + count(s.Alerts, "new alert") + ": `iamtrack alerts list`"
	}
	return line
}

// watchProblems names what a run could not read, if that is news.
func (e *env) watchProblems(last, now *lookup.Summary, runs int) {
	known := problemLines(last.Problems)
	for _, line := range problemLines(now.Problems) {
		if !slices.Contains(known, line) {
			e.warn("%s", line)
		}
	}
	if runs > 0 && len(last.Problems) > 0 && len(now.Problems) == 0 && !now.Unfinished {
		e.note("all streams are read again")
	}
}

// collectResult is the error for what a run did not read.
func collectResult(s *lookup.Summary) error {
	switch {
	case nothingRead(s):
		return withHint(errors.New("collect: no account could be read"), "the lines above say why")
	case len(s.Problems) > 0:
		what := "something"
		if n := len(s.Problems); n > 1 {
			what = count(n, "stream or region|streams or regions")
		}
		rest := "everything else is stored"
		if s.Unfinished {
			rest = "of the rest, the time was up before everything was read"
		}
		return withHint(&partError{fmt.Sprintf("collect: %s could not be read; %s", what, rest)},
			"the lines above say what and why; the next run asks again, and goes on where this one was")
	case s.Unfinished:
		return withHint(&partError{"collect: the time was up before everything was read"}, "run it again: it goes on where it was")
	}
	return nil
}

// nothingRead: not even what there is to read could be asked for. Regions that
// another collector reads are no such failure.
func nothingRead(s *lookup.Summary) bool {
	ofRegion := func(p lookup.Problem) bool { return p.Region != "" }
	return len(s.Regions) == 0 && len(s.Problems) > 0 && !slices.ContainsFunc(s.Problems, ofRegion)
}

// collectSummary prints a run: an object, or in the formats of tables its regions.
func (e *env) collectSummary(s *lookup.Summary) error {
	switch e.format() {
	case render.CSV, render.Markdown:
		return e.answer(render.Columns("account_id", "aws_region", "streams", "requests", "throttled", "events", "stored", "late", "seconds"), func(p render.Printer) error {
			for _, r := range s.Regions {
				if err := p.Row([]any{r.AccountID, r.Region, r.Streams, r.Requests, r.Throttled, r.Events, r.Stored, r.Late, r.Seconds}); err != nil {
					return err
				}
			}
			return nil
		})
	case render.Table:
		if nothingRead(s) {
			return nil // and what can't be read is said
		}
	}
	return e.object(*s, func() string { return e.collectText(s) })
}

// collectText is the summary for people.
func (e *env) collectText(s *lookup.Summary) string {
	t := e.newPage()
	accounts := map[string]bool{}
	for _, r := range s.Regions {
		accounts[r.AccountID] = true
	}
	t.line(fmt.Sprintf("%s from %s of %s, in %s (%s)", e.paint(render.Bold, count(s.Records, "event")),
		count(len(s.Regions), "region"), count(len(accounts), "account"), secondsText(time.Duration(s.Seconds*float64(time.Second))),
		count(s.Requests, "request")))
	t.field("stored", number(s.Stored))
	t.field("duplicates", number(s.Duplicates)+" (the same event again)")
	t.field("filtered", number(s.Filtered)+" (by AWS services and roles)")
	optional := func(name string, n int64, what string) {
		if n > 0 {
			t.field(name, number(n)+" "+e.typed(what))
		}
	}
	optional("late", int64(s.Late), "(came after their time had been read)")
	optional("conflicts", s.Conflicts, "(a known event id with other content, kept apart)")
	optional("rejected", s.Rejected, "(not readable as CloudTrail records: see `iamtrack status --rejected`)")
	optional("throttled", int64(s.Throttled), "requests were asked again: others use the same quota")
	t.field("alerts", number(s.Alerts)+" new")
	return t.String()
}

// collectNotes names what could not be read, and what to do next.
func (e *env) collectNotes(s *lookup.Summary) {
	const most = 12
	lines := problemLines(s.Problems)
	for i, line := range lines {
		if i == most {
			e.fail("and %s; --format json lists all", count(len(lines)-most, "more problem"))
			break
		}
		e.fail("%s", line)
	}
	if s.Alerts > 0 {
		e.note("next: `iamtrack alerts list`")
	}
}

// problemLines are problems in words: one line for the streams of an account that
// have the same.
func problemLines(problems []lookup.Problem) []string {
	type kind struct{ account, err string }
	var order []kind
	regions, sources := map[kind][]string{}, map[kind][]string{}
	note := func(list []string, name string) []string {
		if name == "" || slices.Contains(list, name) {
			return list
		}
		return append(list, name)
	}
	for _, p := range problems {
		at := kind{p.AccountID, p.Error}
		if _, ok := regions[at]; !ok {
			order = append(order, at)
		}
		regions[at] = note(regions[at], p.Region)
		sources[at] = note(sources[at], strings.TrimSuffix(p.Source, ".amazonaws.com"))
	}
	few := func(list []string, noun string) string {
		if len(list) > 3 {
			return count(len(list), noun)
		}
		return strings.Join(list, ", ")
	}
	lines := make([]string, len(order))
	for i, at := range order {
		where := strings.Join(strings.Fields(at.account+" "+few(regions[at], "region")+" "+few(sources[at], "source")), " ")
		if where != "" {
			where += ": "
		}
		lines[i] = where + at.err
	}
	return lines
}
