package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/stack"
)

func newAWSStatusCmd(e *env) *cobra.Command {
	return ofStack(&cobra.Command{
		Use:   "status",
		Short: "Tell how a stack is: its state, alarms, last errors and coverage",
		Long: `Tell how a stack is: CloudFormation's state and what the stack is made of, the alarms
that are in ALARM, the last error of each function within a day, how far collection
is behind, and which times it lacks.

JSON is an object with stack, region, state, reason, outputs, parameters, alarms
(name, description, state, reason, since), errors (time, function, level, message,
line), lag_seconds (null before anything was read), streams. The exit code is 3 when
an alarm is in ALARM or a part could not be read.`,
		Example: "  iamtrack aws status\n  iamtrack aws status --stack audit --format json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAWSStatus(cmd.Context(), e) },
	})
}

// stackView is what `aws status --format json` prints.
type stackView struct {
	Stack      string            `json:"stack"`
	Region     string            `json:"region"`
	State      string            `json:"state"`
	Reason     string            `json:"reason"`
	Outputs    map[string]string `json:"outputs"`
	Parameters map[string]string `json:"parameters"`
	Alarms     []alarmView       `json:"alarms"` // those that aren't OK
	AlarmsOK   int               `json:"alarms_ok"`
	Errors     []logLine         `json:"errors"`
	Lag        *int64            `json:"lag_seconds"` // of the stream that is furthest behind
	Streams    []coverage.Status `json:"streams"`
	Unread     []string          `json:"unread"` // parts that could not be read, and why
}

type alarmView struct {
	Name        string    `json:"name"`
	Description string    `json:"description"`
	State       string    `json:"state"`
	Reason      string    `json:"reason"`
	Since       time.Time `json:"since"`
}

func runAWSStatus(ctx context.Context, e *env) error {
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	name := e.stackName()
	st, err := session.Stack(ctx, name)
	if errors.Is(err, awsapi.ErrNotFound) {
		return withHint(err, hintDeploy)
	}
	if err != nil {
		return awsHint(err)
	}
	v := stackView{Stack: st.Name, Region: session.Region(), State: st.Status, Reason: st.Reason, Outputs: st.Outputs, Parameters: st.Parameters,
		Alarms: []alarmView{}, Errors: []logLine{}, Streams: []coverage.Status{}, Unread: []string{}}
	standing, why := stack.StandingOf(st)
	if standing == stack.Ruined || standing == stack.Blocked {
		e.warn("the stack %s: %s", name, why)
	}
	var c *covered
	if st.Outputs[app.OutputTable] != "" {
		unread := func(err error) {
			if err != nil {
				v.Unread = append(v.Unread, err.Error())
			}
		}
		unread(v.alarms(ctx, session))
		unread(e.lastErrors(ctx, session, st, &v))
		c, err = e.stackCoverage(ctx, &v)
		unread(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.object(v, func() string { return e.stackText(&v, c) }); err != nil {
		return err
	}
	alarmed := 0
	for _, a := range v.Alarms {
		if a.State == "ALARM" {
			alarmed++
		}
	}
	switch {
	case len(v.Unread) > 0:
		return &partError{"status: could not be read: " + strings.Join(v.Unread, "\n")}
	case alarmed > 0:
		return &partError{fmt.Sprintf("status: %s in ALARM", count(alarmed, "alarm is|alarms are"))}
	}
	return nil
}

// alarms reads those of the stack; they are named for it.
func (v *stackView) alarms(ctx context.Context, session *awsapi.Session) error {
	list, err := session.Alarms(ctx, v.Stack+"-")
	for _, a := range list {
		switch a.State {
		case "OK":
			v.AlarmsOK++
		default:
			v.Alarms = append(v.Alarms, alarmView(a))
		}
	}
	slices.SortFunc(v.Alarms, func(a, b alarmView) int { return strings.Compare(a.State+a.Name, b.State+b.Name) })
	return err
}

// errorsWithin is how old an error may be that status tells of.
const errorsWithin = 24 * time.Hour

// lastErrors finds the last error of each function.
func (e *env) lastErrors(ctx context.Context, session *awsapi.Session, st awsapi.Stack, v *stackView) error {
	groups, err := logGroups(st, nil)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		lines, err := readLogs(ctx, session, map[string]string{name: groups[name]}, map[string]time.Time{}, e.now().Add(-errorsWithin), nil)
		if err != nil {
			return err
		}
		for _, l := range slices.Backward(lines) {
			if l.Level == "ERROR" {
				v.Errors = append(v.Errors, l)
				break
			}
		}
	}
	return nil
}

// stackCoverage reads the ledgers of the stack's table.
func (e *env) stackCoverage(ctx context.Context, v *stackView) (c *covered, err error) {
	e.onStack = true
	err = e.with(ctx, "aws status", false, func(a *app.App) error {
		if c, err = e.readCovered(ctx, a); err != nil {
			return err
		}
		for _, l := range c.ledgers {
			s := l.Status(e.now().Unix())
			v.Streams = append(v.Streams, s)
			if s.LagSeconds != nil && (v.Lag == nil || *s.LagSeconds > *v.Lag) {
				v.Lag = s.LagSeconds
			}
		}
		return nil
	})
	return c, err
}

// stackText is what people get.
func (e *env) stackText(v *stackView, c *covered) string {
	t := e.newPage()
	t.line("the stack " + e.paint(render.Bold, render.Text(v.Stack)) + " in " + render.Text(v.Region) + ": " + render.Text(v.State))
	if v.Reason != "" {
		t.field("reason", v.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Outputs)) {
		t.wideField(name, v.Outputs[name])
	}
	if v.Outputs[app.OutputTable] == "" {
		return t.String()
	}
	t.heading("Alarms")
	if len(v.Alarms) == 0 {
		t.line("  " + count(v.AlarmsOK, "alarm is|alarms are") + " OK")
	}
	for _, a := range v.Alarms {
		t.field(strings.ReplaceAll(a.State, "_", " "), a.Name+": "+a.Description)
	}
	t.heading("Last errors")
	if len(v.Errors) == 0 {
		t.line("  none within a day")
	}
	for _, l := range v.Errors {
		t.field(l.Function, l.At.In(e.config.Zone).Format("2006-01-02 15:04:05")+"  "+l.Message)
	}
	switch {
	case c == nil:
	case len(c.ledgers) == 0:
		t.heading("Coverage")
		t.line("  nothing was collected yet: `iamtrack aws init` does so")
	default:
		if v.Lag != nil {
			t.heading("Collection")
			t.field("behind", "by "+lagText(*v.Lag)+" at most")
		}
		e.statusStreams(t, c)
	}
	return t.String()
}
