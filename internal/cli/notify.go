package cli

import (
	"context"
	"maps"
	"slices"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/notify"
)

// notifier makes who tells people of alerts, and says which channels can't be
// used.
func (e *env) notifier(ctx context.Context, a *app.App, o notify.Options) *notify.Notifier {
	o.Terminal, o.Command = e.stderr, e.command
	o.Log = func(text string) { e.warn("%s", text) }
	o.Status = a.CoverageLines
	n := a.Notifier(ctx, o, e.lookupEnv, e.aws(ctx))
	for _, err := range n.Problems() {
		e.warn("%v", err)
	}
	return n
}

// tell tells people of what was found, when channels are configured, before a
// command ends. What can't be sent waits for the next command that does so.
func (e *env) tell(ctx context.Context, a *app.App) {
	if len(e.config.Channels) == 0 {
		return
	}
	n := e.notifier(ctx, a, notify.Options{})
	if !n.Active() {
		return
	}
	d, err := n.Pass(ctx)
	if err != nil {
		e.warn("%v; the next run goes on", err)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Errors)) {
		e.warn("channel %s: %v; the next run sends again", name, d.Errors[name])
	}
	if d.Sent > 0 {
		e.note("%s about alerts", count(d.Sent, "message was sent|messages were sent"))
	}
}
