package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/cost"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/stack"
)

type deployOptions struct {
	update     bool // only of a stack that is there; parameters stay
	parameters []string
	tags       []string
	bootstrap  string
	bucket     string
	prices     string
	yes        bool
	dryRun     bool
}

func (o *deployOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.parameters, "parameter", "p", nil, "NAME=VALUE of the template's parameters; may be repeated")
	f.StringArrayVar(&o.tags, "tag", nil, "KEY=VALUE that all resources get; may be repeated")
	f.StringVar(&o.bootstrap, "bootstrap", "", "the functions' program, which make lambda builds (releases have it in them)")
	f.StringVar(&o.bucket, "artifacts-bucket", "", "bucket for program and template (default: iamtrack-artifacts-ACCOUNT-REGION, which is made)")
	f.StringVar(&o.prices, "prices", "", "YAML file with AWS's prices instead of those the program knows")
	f.BoolVarP(&o.yes, "yes", "y", false, "change without asking")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change and what it costs, and change nothing")
}

func newAWSDeployCmd(e *env) *cobra.Command {
	var o deployOptions
	cmd := ofStack(&cobra.Command{
		Use:   "deploy",
		Short: "Make the stack, or bring it up to date",
		Long: `Make the stack, or bring it up to date: put the functions' program and the template
into a bucket, have CloudFormation work out what changes, show that and what the
stack costs a month with the events of this account, ask, and follow the change to
its end. Neither SAM nor Docker nor Python is needed.

Parameters of the template are given by --parameter, by environment variables
(IAMTRACK_ and the name, such as IAMTRACK_SCHEDULE_EXPRESSION; those of the earlier
tool without it) or by settings of the same name; of a stack that is there, all
others stay as they are. The estimate rests on the newest events of each region and
service, and on the prices of one dated file.

A stack whose first making failed is deleted first, when that is confirmed. --yes
answers every question with yes. JSON is an object with stack, state, created,
changed, parameters, changes, cost, failures.`,
		Example: `  iamtrack aws deploy --parameter AlertsEmailAddress=security@example.com
  iamtrack aws deploy --stack audit -p ScheduleExpression='rate(15 minutes)' -p BillingMode=PAY_PER_REQUEST
  iamtrack aws deploy --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAWSDeploy(cmd.Context(), e, o) },
	})
	o.flags(cmd)
	return cmd
}

func newAWSUpdateCmd(e *env) *cobra.Command {
	o := deployOptions{update: true}
	cmd := ofStack(&cobra.Command{
		Use:   "update",
		Short: "Bring program and template of a stack up to date",
		Long: `Bring program and template of a stack up to date, as ` + "`iamtrack aws deploy`" + ` does. All
parameters stay as the stack has them, but for those that --parameter gives:
environment and settings of this machine don't count.`,
		Example: `  iamtrack aws update
  iamtrack aws update --parameter LogLevel=DEBUG --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAWSDeploy(cmd.Context(), e, o) },
	})
	o.flags(cmd)
	return cmd
}

// deployView is what `aws deploy --format json` prints.
type deployView struct {
	Stack      string                  `json:"stack"`
	Region     string                  `json:"region"`
	State      string                  `json:"state"`
	Created    bool                    `json:"created"`
	Changed    bool                    `json:"changed"`
	Parameters []parameterView         `json:"parameters"`
	Changes    []awsapi.ResourceChange `json:"changes"`
	Cost       *costView               `json:"cost"`
	Failures   []string                `json:"failures"`
}

type parameterView struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"` // null when it is hidden
	Origin string  `json:"origin"`
}

func runAWSDeploy(ctx context.Context, e *env, o deployOptions) error {
	name := e.stackName()
	template, err := deploy.Parameters(deploy.Template)
	if err != nil {
		return err
	}
	in := stack.Inputs{Given: o.parameters}
	if !o.update {
		in.Settings, in.LookupEnv = e.config.Settings(), e.lookupEnv
	}
	// What is wrong with the command line is told before anybody is asked.
	if _, err := stack.Values(template, in); err != nil {
		return withHint(usagef("%v", err), "docs/template.md lists the parameters")
	}
	prices, err := readPrices(o.prices)
	if err != nil {
		return err
	}
	tags, err := parseTags(o.tags)
	if err != nil {
		return err
	}
	if !o.yes && !o.dryRun && !e.asksPeople() {
		return withHint(usagef("there is no terminal to ask on before the stack %s is changed", name), "--yes changes it without asking, --dry-run shows what would change")
	}
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	st, err := e.settled(ctx, session, name, o)
	if err != nil {
		return err
	}
	standing, _ := stack.StandingOf(st)
	if o.update && standing == stack.Absent {
		return withHint(fmt.Errorf("there is no stack %s in %s to bring up to date", name, session.Region()), "`iamtrack aws deploy` makes it")
	}
	in.Stack = st
	values, err := stack.Values(template, in)
	if err != nil {
		return withHint(usagef("%v", err), "docs/template.md lists the parameters")
	}
	program, err := e.functionsProgram(o.bootstrap, valueOf(values, "Architecture"))
	if err != nil {
		return err
	}
	view := deployView{Stack: name, Region: session.Region(), State: st.Status, Parameters: []parameterView{}, Changes: []awsapi.ResourceChange{}, Failures: []string{}}
	for _, v := range values {
		p := parameterView{Name: v.Name, Value: &v.Value, Origin: v.Origin}
		if v.Hidden {
			p.Value = nil
		}
		view.Parameters = append(view.Parameters, p)
		if v.Origin != stack.FromStack && v.Origin != stack.FromTemplate {
			shown := v.Value
			if v.Hidden {
				shown = "(hidden)"
			}
			e.note("parameter %s = %s (%s)", v.Name, shown, v.Origin)
		}
	}
	plan, err := stack.Prepare(ctx, session, stack.Request{
		Stack: st, Template: deploy.Packaged, Program: program, Values: values, Tags: tags, ArtifactsBucket: o.bucket, Now: e.now(),
	}, func(text string) { e.note("%s", text) })
	if err != nil {
		return awsHint(err)
	}
	if plan.Nothing() {
		return e.object(view, func() string { return "nothing to change: the stack " + name + " is as it is to be\n" })
	}
	view.Changes = plan.Changes
	if view.Cost, err = e.estimate(ctx, session, values, prices); err != nil {
		if ctx.Err() != nil {
			return err
		}
		e.warn("no estimate of the cost: %v", err)
	}
	people := !e.format().Machine()
	if people {
		if err := e.showPlan(&view); err != nil {
			return err
		}
	}
	go4it := o.yes && !o.dryRun
	if !go4it && !o.dryRun {
		verb := "Change"
		if plan.Create {
			verb = "Make"
		}
		if go4it, err = e.confirm(ctx, fmt.Sprintf("%s the stack %s in %s?", verb, name, session.Region())); err != nil {
			return err
		}
	}
	if !go4it {
		if err := plan.Cancel(ctx, session); err != nil {
			return err
		}
		e.note("nothing was changed")
		if people {
			return nil
		}
		return e.object(view, nil)
	}
	out, err := plan.Execute(ctx, session, e.stackEvent)
	view.State, view.Created, view.Changed = out.Stack.Status, plan.Create && err == nil, err == nil
	for _, f := range out.Failures {
		view.Failures = append(view.Failures, f.String())
	}
	if !people {
		err = errors.Join(err, e.object(view, nil))
	}
	if err != nil {
		e.failures(out)
		if errors.Is(err, stack.ErrChangeFailed) {
			return withHint(err, "mend what failed; the same command goes on")
		}
		return err
	}
	if people {
		if err := e.document(e.outputsText(out.Stack)); err != nil {
			return err
		}
	}
	return e.offerInit(ctx, session, out.Stack, plan.Create, o.yes)
}

// settled finds the stack in a state in which it can be changed, or made.
func (e *env) settled(ctx context.Context, session *awsapi.Session, name string, o deployOptions) (awsapi.Stack, error) {
	for {
		st, err := stack.Find(ctx, session, name)
		if err != nil {
			return st, awsHint(err)
		}
		switch standing, why := stack.StandingOf(st); standing {
		case stack.Absent:
			return st, nil
		case stack.Ready:
			return st, stack.Foreign(st)
		case stack.Blocked:
			return st, fmt.Errorf("the stack %s: %s", name, why)
		case stack.Busy:
			if o.dryRun {
				return st, fmt.Errorf("the stack %s: %s", name, why)
			}
			e.note("the stack %s: %s; following it", name, why)
			out, err := stack.Watch(ctx, session, st.ID, "", e.stackEvent)
			if err != nil {
				return st, err
			}
			e.failures(out)
		case stack.Ruined:
			e.warn("the stack %s: %s", name, why)
			sure := o.yes
			if o.dryRun {
				return st, withHint(fmt.Errorf("the stack %s must be deleted before it can be made", name), "`iamtrack aws deploy` without --dry-run does so")
			}
			if !sure {
				if sure, err = e.confirm(ctx, "Delete it and make it anew? Tables and buckets that it has are kept."); err != nil {
					return st, err
				}
			}
			if !sure {
				return st, withHint(fmt.Errorf("the stack %s must be deleted before it can be made", name), "`iamtrack aws destroy` deletes it")
			}
			out, err := stack.Delete(ctx, session, st, stack.DeleteOptions{Now: e.now(), Step: func(text string) { e.note("%s", text) }, See: e.stackEvent})
			if err != nil {
				e.failures(out)
				return st, err
			}
		}
	}
}

// functionsProgram is the functions' program for an architecture.
func (e *env) functionsProgram(file, architecture string) ([]byte, error) {
	from := "the program's own copy"
	program := stack.Embedded(architecture)
	if file != "" {
		from = file
		var err error
		if program, err = os.ReadFile(file); err != nil { //nolint:gosec // the user names it
			return nil, withHint(usagef("--bootstrap: %v", err), "`make lambda` builds it")
		}
	}
	if program == nil {
		return nil, withHint(usagef("this iamtrack has no program for the functions in it, for %s", architecture), "`make lambda` builds it into dist/lambda/bootstrap; --bootstrap dist/lambda/bootstrap takes it (releases have it in them)")
	}
	if err := stack.CheckProgram(program, architecture); err != nil {
		return nil, usagef("--bootstrap %s: %v", from, err)
	}
	return program, nil
}

func readPrices(file string) (cost.Prices, error) {
	if file == "" {
		return cost.DefaultPrices(), nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return cost.Prices{}, usagef("--prices: %v", err)
	}
	p, err := cost.ReadPrices(data)
	if err != nil {
		return p, withHint(usagef("--prices %s: %v", file, err), "docs/cost.md shows the form")
	}
	return p, nil
}

func parseTags(list []string) (map[string]string, error) {
	tags := map[string]string{}
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" || strings.HasPrefix(key, "aws:") {
			return nil, usagef("--tag %q: use KEY=VALUE, with a key that doesn't begin with aws:", text)
		}
		tags[key] = value
	}
	return tags, nil
}

func valueOf(values []stack.Value, name string) string {
	for _, v := range values {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// costView is the estimate of a month.
type costView struct {
	USD       float64    `json:"usd_a_month"`
	PricesOf  string     `json:"prices_of"`
	Region    string     `json:"prices_region"`
	Stored    float64    `json:"stored_events_a_day"`
	Filtered  float64    `json:"filtered_events_a_day"`
	Streams   int        `json:"streams"`
	Estimated int        `json:"streams_extrapolated"`
	Unread    int        `json:"streams_not_read"`
	Lines     []costLine `json:"lines"`
	Notes     []string   `json:"notes"`
}

type costLine struct {
	Service  string  `json:"service"`
	What     string  `json:"what"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	Free     float64 `json:"free"`
	USD      float64 `json:"usd"`
	text     string
}

// lakeMonths is how long the lake of an estimate has grown.
const lakeMonths = 12

// estimate is what the stack costs a month with the events of this account.
func (e *env) estimate(ctx context.Context, session *awsapi.Session, values []stack.Value, prices cost.Prices) (*costView, error) {
	setup, err := setupOf(values)
	if err != nil {
		return nil, err
	}
	noise, err := filter.New(filter.Config{ServiceEvents: valueOf(values, "FilterAWSServiceEvents") == "true", Roles: []string{valueOf(values, "FilteredRoles")}})
	if err != nil {
		return nil, err
	}
	e.note("sampling the events of the last 24 hours, for an estimate of the cost")
	v, err := app.SampleVolume(ctx, session.Own(), e.config.Sources, noise, e.now())
	if err != nil {
		return nil, err
	}
	m := cost.Monthly(cost.Volume{Stored: v.Stored, Filtered: v.Filtered, Streams: float64(v.Streams)}, setup, cost.DefaultUnits(), prices)
	view := &costView{USD: cents(m.Total), PricesOf: prices.Date.Format("2006-01-02"), Region: prices.Region, Stored: math.Round(v.Stored), Filtered: math.Round(v.Filtered),
		Streams: v.Streams, Estimated: v.Full, Unread: v.Failed, Lines: []costLine{}, Notes: append([]string{}, m.Notes...)}
	if valueOf(values, "Organization") == "true" {
		view.Notes = append(view.Notes, "the sample is of this account only: an organization costs more, docs/cost.md says how much")
	}
	if v.Failed > 0 {
		view.Notes = append(view.Notes, fmt.Sprintf("%s of %d could not be read, and are missing in the estimate", count(v.Failed, "stream"), v.Streams))
	}
	for _, l := range m.Lines {
		view.Lines = append(view.Lines, costLine{l.Service, l.What, l.Quantity, l.Unit, l.Free, cents(l.USD), l.String()})
	}
	return view, nil
}

func cents(usd float64) float64 { return math.Round(usd*100) / 100 }

// What the template has no parameter for: the table's capacity with its indexes, and the
// memory of the notifier.
const (
	tableUnits = 25
	notifierMB = 256
)

// setupOf takes from the parameters what the cost depends on.
func setupOf(values []stack.Value) (s cost.Setup, err error) {
	on := func(name string) bool { return valueOf(values, name) == "true" }
	number := func(name string) float64 {
		n, nerr := strconv.ParseFloat(valueOf(values, name), 64)
		if nerr != nil {
			err = errors.Join(err, fmt.Errorf("parameter %s: %w", name, nerr))
		}
		return n
	}
	rate := func(name string) float64 {
		n, rerr := cost.RunsADay(valueOf(values, name))
		err = errors.Join(err, rerr)
		return n
	}
	s = cost.Setup{
		OnDemand: valueOf(values, "BillingMode") == "PAY_PER_REQUEST", ReadCapacity: tableUnits, WriteCapacity: tableUnits,
		ARM: valueOf(values, "Architecture") == stack.ARM, Analytics: on("EnableAnalytics"), Realtime: on("EnableRealtime"), Alerts: on("EnableSecurityAlerts"), AllAlarms: valueOf(values, "Alarms") == "all",
		Runs: rate("ScheduleExpression"), Exports: rate("ExportScheduleExpression"), Notices: rate("NotifyScheduleExpression"),
		TrackerMB: number("TrackerMemorySize"), ExporterMB: number("ExporterMemorySize"), NotifierMB: notifierMB,
		HotDays: number("HotDays"), LogDays: number("LogRetentionDays"), LakeMonths: lakeMonths, QueriesGB: 10,
	}
	return s, err
}

// manyAlike is up to how many equal changes of resources of one type are told one by
// one: a stack has dozens of saved queries.
const manyAlike = 5

// showPlan prints what would change and what it costs.
func (e *env) showPlan(v *deployView) error {
	changes := slices.Clone(v.Changes)
	slices.SortStableFunc(changes, func(a, b awsapi.ResourceChange) int { return strings.Compare(a.Action, b.Action) })
	type kind struct{ action, resource string }
	kindOf := func(c awsapi.ResourceChange) kind {
		if c.Replacement == "True" || c.Replacement == "Conditional" { // what is in it may be lost
			return kind{c.Action, c.Resource}
		}
		return kind{c.Action, c.Type}
	}
	alike := map[kind]int{}
	for _, c := range changes {
		alike[kindOf(c)]++
	}
	err := e.answer(render.Columns("action", "resource", "type", "replacement"), func(p render.Printer) error {
		for _, c := range changes {
			k, name := kindOf(c), c.Resource
			switch n := alike[k]; {
			case n == 0: // told
				continue
			case n > manyAlike:
				name = fmt.Sprintf("%s and %d more", name, n-1)
				alike[k] = 0
			}
			if err := p.Row([]any{c.Action, name, c.Type, replacementText(c.Replacement)}); err != nil {
				return err
			}
		}
		if len(changes) == 0 {
			return p.Row([]any{"Modify", "outputs, or what a resource takes no notice of", "", nil})
		}
		return nil
	})
	if err != nil || v.Cost == nil {
		return err
	}
	c := v.Cost
	if err := e.document(func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "\n%s a month, estimated for %s events a day that are kept and %s that are left out,\na lake of %d months and the prices of %s (%s, without taxes):\n",
			e.paint(render.Bold, cost.USD(c.USD)+" USD"), number(int64(c.Stored)), number(int64(c.Filtered)), lakeMonths, c.PricesOf, c.Region)
		return err
	}); err != nil {
		return err
	}
	if err := e.answer(render.Columns("service", "for", "amount", "usd"), func(p render.Printer) error {
		for _, l := range c.Lines {
			if err := p.Row([]any{l.Service, l.What, l.text, cost.USD(l.USD)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, n := range c.Notes {
		e.warn("%s", n)
	}
	return nil
}

// replacementText says what becomes of a resource's content.
func replacementText(r string) any {
	switch r {
	case "True":
		return "made anew"
	case "Conditional":
		return "perhaps made anew"
	case "False":
		return "no"
	}
	return nil
}
