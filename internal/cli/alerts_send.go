package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/store"
)

func newAlertsTestCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "test [CHANNEL…]",
		Short: "Send a test message to each channel",
		Long: `Send a test message to each channel that is configured (setting channels), or to
those that are named, and say what became of it. A channel that is off gets one
when it is named.

JSON is an array of objects with channel, type, ok, error, seconds. The exit code
is 3 when a channel did not take the message.`,
		Example: "  iamtrack alerts test\n  iamtrack alerts test oncall",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAlertsTest(cmd.Context(), e, args)
		},
	}
}

func runAlertsTest(ctx context.Context, e *env, names []string) error {
	if err := e.needChannels(names...); err != nil {
		return err
	}
	return e.with(ctx, "alerts test", true, func(a *app.App) error {
		outcomes, err := e.notifier(ctx, a, notify.Options{}).Test(ctx, names...)
		if err != nil {
			return fmt.Errorf("test: %w", err)
		}
		types := map[string]string{}
		for _, c := range e.config.Channels {
			types[c.Name] = c.Type
		}
		failed := 0
		err = e.answer(render.Columns("channel", "type", "ok", "error", "seconds"), func(p render.Printer) error {
			for _, o := range outcomes {
				var said any
				if o.Err != nil {
					failed++
					said = o.Err.Error()
				}
				if err := p.Row([]any{o.Channel, types[o.Channel], o.Err == nil, said, o.Took.Round(time.Millisecond).Seconds()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch {
		case len(outcomes) == 0:
			return withHint(errors.New("test: all channels are off"), "name one to test it all the same")
		case failed > 0:
			return &partError{fmt.Sprintf("test: %s did not take the message", count(failed, "channel"))}
		}
		return nil
	})
}

// needChannels wants channels to be configured, and the named ones among them.
func (e *env) needChannels(names ...string) error {
	if len(e.config.Channels) == 0 {
		return withHint(errors.New("no channel is configured: alerts are sent nowhere"),
			"list some under `channels` in iamtrack.yaml: docs/alerts.md shows how")
	}
	var known []string
	for _, c := range e.config.Channels {
		known = append(known, c.Name)
	}
	for _, name := range names {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return unknown("channel", name, known, "the setting channels lists them")
		}
	}
	return nil
}

func newAlertsResendCmd(e *env) *cobra.Command {
	var channel string
	cmd := &cobra.Command{
		Use:   "resend ID…",
		Short: "Send alerts to the channels once more",
		Long: `Send alerts to the channels once more, whatever their state: to the channels that
want them by severity, rule and account, or to the one that is named. What a
channel does not take now is sent again by later commands.

JSON is an array of objects with alert_id, channel, state, error. The exit code is
3 when a channel did not take a message.`,
		Example: "  iamtrack alerts resend 3f2a91c07d1be455 --channel oncall",
		Args:    argCount(1, -1, "the id of an alert"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAlertsResend(cmd.Context(), e, args, channel)
		},
	}
	cmd.Flags().StringVar(&channel, "channel", "", "only to that channel, which need not want them")
	return cmd
}

func runAlertsResend(ctx context.Context, e *env, args []string, channel string) error {
	var names []string
	if channel != "" {
		names = []string{channel}
	}
	if err := e.needChannels(names...); err != nil {
		return err
	}
	for _, c := range e.config.Channels {
		if c.Name == channel && c.Off {
			return withHint(usagef("channel %s is off: nothing is sent there", channel), "take `off` out of its settings, or name another channel")
		}
	}
	return e.changing(ctx, "alerts resend", func(a *app.App) error {
		ids := make([]string, len(args))
		for i, id := range args {
			al, err := findAlert(ctx, a, id)
			if err != nil {
				return err
			}
			ids[i] = al.ID
		}
		n := e.notifier(ctx, a, notify.Options{})
		messages, err := n.Resend(ctx, ids, channel)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			return withHint(errors.New("resend: no channel wants these alerts"), "--channel NAME sends them all the same")
		}
		if _, err := n.Deliver(ctx); err != nil {
			return fmt.Errorf("resend: %w", err)
		}
		return e.resent(ctx, a, messages)
	})
}

// resent says what became of messages.
func (e *env) resent(ctx context.Context, a *app.App, messages []store.Message) error {
	failed := 0
	err := e.answer(render.Columns("alert_id", "channel", "state", "error"), func(p render.Printer) error {
		for _, m := range messages {
			now, err := a.Store.Messages(ctx, store.MessageFilter{ID: m.ID})
			if err != nil {
				return fmt.Errorf("resend: %w", err)
			}
			for _, m := range now {
				if m.State != store.MessageSent {
					failed++
				}
				if err := p.Row([]any{m.AlertIDs[0], m.Channel, m.State, orNull(m.LastError)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if failed > 0 {
		return &partError{fmt.Sprintf("resend: %s not sent yet", count(failed, "message is|messages are"))}
	}
	return nil
}
