package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/stack"
)

// Outputs of the stack's template that only these commands need.
const (
	outputTracker  = "TrackerFunction"
	outputNotifier = "NotifierFunction"
)

func newAWSInitCmd(e *env) *cobra.Command {
	return ofStack(&cobra.Command{
		Use:   "init",
		Short: "Collect the last 90 days into a stack, export them and ask a first query",
		Long: `Collect the last 90 days into a stack, export them and ask a first query, instead of
waiting for what the schedules bring: the tracker is invoked over and over, the newest
events come first, then the exporter. CloudTrail permits two requests a second in each
region, so an account with many events takes hours; answers can be had all the while,
and say what is still missing.

It may be interrupted and given again: it goes on. The exit code is 3 when something
could not be read.`,
		Example: "  iamtrack aws init\n  iamtrack aws init --stack audit",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAWSInit(cmd.Context(), e) },
	})
}

func runAWSInit(ctx context.Context, e *env) error {
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	st, err := e.theStack(ctx, session)
	if err != nil {
		return err
	}
	return e.initialize(ctx, session, st)
}

// offerInit asks whether the stack that was just made is to be filled at once.
func (e *env) offerInit(ctx context.Context, session *awsapi.Session, st awsapi.Stack, created, unasked bool) error {
	if !created {
		return nil
	}
	if unasked || !e.asksPeople() {
		e.note("`iamtrack aws init` collects the last 90 days at once; the schedule does so in its own time")
		return nil
	}
	sure, err := e.confirm(ctx, "Collect the last 90 days now? It takes minutes to hours, and may be interrupted.")
	if err != nil || !sure {
		return err
	}
	return e.initialize(ctx, session, st)
}

func (e *env) initialize(ctx context.Context, session *awsapi.Session, st awsapi.Stack) error {
	tracker, err := output(st, outputTracker, "ScheduleExpression")
	if err != nil {
		return err
	}
	p := e.newProgress()
	e.note("collecting the last 90 days, the newest first")
	filled, stuck := stack.Collect(ctx, session, tracker, e.now, func(f stack.Filling) {
		p.show(int64(f.Share()*1000), 1000, e.fillingText(f))
	})
	p.done()
	if stuck != nil && !errors.Is(stuck, stack.ErrStuck) {
		return awsHint(stuck)
	}
	e.note("%s", e.fillingText(filled))
	if exporter := st.Outputs[app.OutputExporter]; exporter != "" {
		p := e.newProgress()
		written := 0
		err := stack.Export(ctx, session, exporter, func(x stack.Exported) {
			written += x.Written
			p.show(int64(written), int64(written+x.DirtyDays), fmt.Sprintf("exporting: %s written, %s to go", count(written, "day"), number(x.DirtyDays)))
		})
		p.done()
		if err != nil {
			return awsHint(err)
		}
		e.note("exported: %s written", count(written, "day"))
	}
	if stuck != nil {
		return withHint(&partError{fmt.Sprintf("init: %v", stuck)}, "`iamtrack aws status` tells what is missing; the schedule goes on trying")
	}
	e.onStack = true
	return runQuery(ctx, e, queryOptions{}, "daily_summary")
}

// fillingText is how far the first reading is, in words.
func (e *env) fillingText(f stack.Filling) string {
	text := fmt.Sprintf("%s, %s kept", count(f.Runs, "run"), count(f.Stored, "event"))
	if f.Last.PromisedSeconds > 0 {
		text = fmt.Sprintf("%.0f %% of 90 days, %s", f.Share()*100, text)
	}
	if !f.Last.ReadBackTo.IsZero() {
		text += ", complete back to " + f.Last.ReadBackTo.In(e.config.Zone).Format("2006-01-02 15:04")
	}
	if took := e.now().Sub(f.Started); f.Share() > 0.01 && f.Share() < 1 && took > time.Minute {
		text += ", about " + leftText(time.Duration(float64(took)*(1-f.Share())/f.Share())) + " left"
	}
	if f.Note != "" {
		text += " (" + f.Note + ")"
	}
	return text
}

// outputsText is what a stack is made of.
func (e *env) outputsText(st awsapi.Stack) func(io.Writer) error {
	return func(w io.Writer) error {
		t := e.newPage()
		t.line("the stack " + e.paint(render.Bold, render.Text(st.Name)) + " is there: " + render.Text(st.Status))
		for _, name := range slices.Sorted(maps.Keys(st.Outputs)) {
			t.wideField(name, st.Outputs[name])
		}
		_, err := io.WriteString(w, t.String())
		return err
	}
}

func newAWSTestAlertsCmd(e *env) *cobra.Command {
	return ofStack(&cobra.Command{
		Use:   "test-alerts [CHANNEL…]",
		Short: "Send a test message to each channel of a stack",
		Long: `Send a test message to each channel of a stack, or to those that are named, by the
function that sends alerts, and say what became of it. The channel topic is the
stack's SNS topic, whose subscriber by mail must have confirmed.

JSON is an array of objects with channel, type, ok, error, seconds. The exit code
is 3 when a channel did not take the message.`,
		Example: "  iamtrack aws test-alerts\n  iamtrack aws test-alerts topic",
		Args:    cobra.ArbitraryArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return runAWSTestAlerts(cmd.Context(), e, args) },
	})
}

func runAWSTestAlerts(ctx context.Context, e *env, channels []string) error {
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	st, err := e.theStack(ctx, session)
	if err != nil {
		return err
	}
	notifier, err := output(st, outputNotifier, "EnableSecurityAlerts")
	if err != nil {
		return err
	}
	tested, err := stack.TestAlerts(ctx, session, notifier, channels)
	if err != nil {
		return awsHint(err)
	}
	failed := 0
	if err := e.answer(render.Columns("channel", "type", "ok", "error", "seconds"), func(p render.Printer) error {
		for _, t := range tested {
			if !t.OK {
				failed++
			}
			if err := p.Row([]any{t.Channel, t.Type, t.OK, orNull(t.Error), t.Seconds}); err != nil {
				return err
			}
			if t.OK && t.Type == "sns" {
				e.note("sent to %s; subscribers: %s", st.Outputs[app.OutputTopic], mailText(st.Parameters["AlertsEmailAddress"]))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	switch {
	case len(tested) == 0:
		return withHint(errors.New("the stack has no channel that is on"), "the parameter Channels adds some")
	case failed > 0:
		return &partError{fmt.Sprintf("test-alerts: %s did not take the message", count(failed, "channel"))}
	}
	return nil
}

func mailText(address string) string {
	if address == "" {
		return "none by the stack (parameter AlertsEmailAddress)"
	}
	return address + ", who gets it once the subscription is confirmed"
}
