package athena

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

const (
	// maxPause bounds the pause between two looks, in first pauses.
	maxPause = 20
	// grace is how long a request that was under way when the caller went away may
	// still take: to learn the id of a query that was just started, and to stop it.
	grace = 10 * time.Second
	// attempts is how often a query is run while files are being replaced.
	attempts = 2
)

// open runs a statement to its end and returns its first rows.
func (e *Engine) open(ctx context.Context, sql string) (*rows, error) {
	for attempt := 1; ; attempt++ {
		id, err := e.begin(ctx, sql)
		if err != nil {
			return nil, e.explainStart(ctx, err)
		}
		state, err := e.wait(ctx, id)
		if err != nil {
			return nil, err
		}
		if state.State == "SUCCEEDED" {
			return e.read(ctx, id, state)
		}
		if attempt < attempts && state.State == "FAILED" && passing(state) {
			continue
		}
		return nil, e.explain(id, state)
	}
}

// begin starts the query. The request isn't given up at once when the caller goes
// away: without its answer the query could not be stopped.
func (e *Engine) begin(ctx context.Context, sql string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case <-sending.Done():
		case <-late.C:
			cancel()
		}
	})()
	// The SDK sends a request again when it had no answer: the token makes that one
	// query, not two.
	return e.api.StartQuery(sending, awsapi.AthenaQuery{
		SQL: sql, Workgroup: e.options.Workgroup, Catalog: e.options.Catalog, Database: e.options.Database, Output: e.options.Output,
		Token: "iamtrack-" + rand.Text() + rand.Text(),
	})
}

// wait returns when the query has ended, or stops it when the caller goes away or
// its state can't be asked.
func (e *Engine) wait(ctx context.Context, id string) (awsapi.AthenaState, error) {
	pause := e.options.Poll
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return awsapi.AthenaState{}, e.stop(ctx, id, context.Cause(ctx))
		case <-timer.C:
		}
		pause = min(pause*3/2, maxPause*e.options.Poll)
		state, err := e.api.QueryState(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return state, e.stop(ctx, id, err)
		}
		switch state.State {
		case "QUEUED", "RUNNING":
		case "SUCCEEDED", "FAILED", "CANCELLED":
			return state, nil
		default:
			return state, e.stop(ctx, id, fmt.Errorf("it is in a state that this program doesn't know: %q", state.State))
		}
	}
}

// stop stops a query because of err, and says so if it could not.
func (e *Engine) stop(ctx context.Context, id string, err error) error {
	stopping, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, errors.New("no answer"))
	defer cancel()
	if serr := e.api.StopQuery(stopping, id); serr != nil {
		return fmt.Errorf("query: %w (Athena may go on with it, and charge for it: stop query %s in the Athena console; %v)", err, id, serr) //nolint:errorlint // err is what went wrong
	}
	return fmt.Errorf("query: %w", err)
}
