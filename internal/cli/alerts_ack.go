package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/rule"
)

type ackOptions struct {
	by, note string
}

func newAlertsAckCmd(e *env) *cobra.Command {
	var o ackOptions
	cmd := &cobra.Command{
		Use:   "ack ID…",
		Short: "Acknowledge alerts: somebody has looked",
		Long: `Acknowledge alerts: somebody has looked. All ids are acknowledged, or, when one
of them isn't known, none. The alerts are printed as they are then.`,
		Example: "  iamtrack alerts ack 3f2a91c07d1be455 --note 'planned change 4711'",
		Args:    argCount(1, -1, "the id of an alert"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAlertsAck(cmd.Context(), e, o, args)
		},
	}
	cmd.Flags().StringVar(&o.by, "by", "", "who has looked (default: the user who runs the command)")
	cmd.Flags().StringVar(&o.note, "note", "", "what came of it")
	return onStack(cmd)
}

func runAlertsAck(ctx context.Context, e *env, o ackOptions, args []string) error {
	if o.by == "" {
		o.by = e.userName()
	}
	return e.changing(ctx, "alerts ack", func(a *app.App) error {
		ids := make([]string, len(args))
		for i, id := range args {
			al, err := findAlert(ctx, a, id)
			if err != nil {
				return err
			}
			ids[i] = al.ID
		}
		if err := a.Store.Ack(ctx, ids, o.by, o.note, e.now()); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
		alerts := make([]rule.Alert, len(ids))
		for i, id := range ids {
			var err error
			if alerts[i], err = findAlert(ctx, a, id); err != nil {
				return err
			}
		}
		list, err := a.Store.AccountNames(ctx)
		if err != nil {
			return err
		}
		return e.printAlerts(alerts, accountNames(list), nil, nil)
	})
}

// userName is who runs the program, as far as the environment tells.
func (e *env) userName() string {
	for _, name := range []string{"USER", "USERNAME", "LOGNAME"} {
		if v, _ := e.lookupEnv(name); v != "" {
			return v
		}
	}
	return "unknown"
}
