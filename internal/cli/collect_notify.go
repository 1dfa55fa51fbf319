package cli

import (
	"context"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/lookup"
	"github.com/iamtrack/iamtrack/internal/notify"
)

// burstWindow is for how long a watch holds alerts of a burst back, to tell of
// them in one message.
const burstWindow = 15 * time.Minute

// tellCollected tells the channels what a run found, and what it could not read.
func (e *env) tellCollected(ctx context.Context, a *app.App, sum *lookup.Summary) {
	if len(e.config.Channels) == 0 {
		return
	}
	if n := e.notifier(ctx, a, notify.Options{}); n.Active() {
		e.tellGaps(ctx, a, n, sum, nil)
	}
	e.tell(ctx, a)
}

// tellFailed tells the channels of a run that ended with an error, or could not
// begin, once collection has been silent for long.
func (e *env) tellFailed(ctx context.Context, a *app.App, failed error) {
	if ctx.Err() != nil || len(e.config.Channels) == 0 {
		return
	}
	if n := e.notifier(ctx, a, notify.Options{}); n.Active() {
		e.tellGaps(ctx, a, n, &lookup.Summary{}, failed)
	}
	e.tell(ctx, a)
}

// tellGaps enqueues messages about what could not be read for long, and about a
// collection that does not work at all.
func (e *env) tellGaps(ctx context.Context, a *app.App, n *notify.Notifier, sum *lookup.Summary, failed error) {
	if err := a.TellGaps(ctx, n, sum, failed); err != nil {
		e.warn("%v", err)
	}
}
