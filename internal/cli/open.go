package cli

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// open opens the data directory. create makes it when it isn't there; without,
// that is an error even for an answer: nothing found because of a mistyped
// folder must not look like nothing happened.
func (e *env) open(ctx context.Context, command string, create bool) (*app.App, error) {
	if e.config.Stack != "" {
		if !e.onStack {
			return nil, withHint(usagef("`iamtrack %s` works on a data directory, and the setting stack (%s) names a stack", command, e.config.Origin("stack")), "--data-dir DIR says which")
		}
		return e.openStack(ctx, command)
	}
	e.debug("data directory %s (%s)", e.config.DataDir, e.config.Origin("data_dir"))
	return app.Open(ctx, e.config, app.Options{Command: command, Create: create, Now: e.now, Version: e.version})
}

// with opens the data directory, calls f and closes it.
func (e *env) with(ctx context.Context, command string, create bool, f func(*app.App) error) (err error) {
	a, err := e.open(ctx, command, create)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := a.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close the data directory: %w", cerr))
		}
	}()
	return f(a)
}

// changing is with for what changes the data that is there.
func (e *env) changing(ctx context.Context, command string, f func(*app.App) error) error {
	return e.with(ctx, command, false, func(a *app.App) error {
		if a.ReadOnly {
			return a.ErrReadOnly()
		}
		return f(a)
	})
}

// refresh brings the lake up to date before an answer, and says so when it
// could not.
func (e *env) refresh(ctx context.Context, a *app.App) error {
	if e.flags.fresh {
		if err := e.freshen(ctx, a); err != nil {
			return err
		}
	}
	f, err := a.Refresh(ctx)
	if err != nil {
		return fmt.Errorf("bring the lake up to date: %w", err)
	}
	e.fresh = &f
	if n := len(f.DirtyDays); n > 0 {
		e.warn("the newest events of %s (%s to %s) may be missing here: %s", count(n, "day"), f.DirtyDays[0].Date, f.DirtyDays[n-1].Date, f.Reason)
	}
	return nil
}

// engine opens the SQL engine over an up-to-date lake.
func (e *env) engine(ctx context.Context, a *app.App) (query.RangeEngine, error) {
	if err := e.refresh(ctx, a); err != nil {
		return nil, err
	}
	var lost []event.Date
	var looking errgroup.Group // while DuckDB starts
	looking.Go(func() (err error) {
		lost, err = a.LostDays(ctx)
		return err
	})
	engine, err := e.overLake(ctx, a)
	if lerr := looking.Wait(); err == nil && lerr != nil {
		return nil, errors.Join(fmt.Errorf("look for the lake's files: %w", lerr), engine.Close())
	}
	if n := len(lost); n > 0 {
		e.warn("the lake's files of %s (%s to %s) are gone, and their events missing here: restore them, or import the trail files of these days again", count(n, "day"), lost[0], lost[n-1])
	}
	return engine, err
}

// overLake opens DuckDB over what is stored. Half of the limit of memory is left to
// Go: rows on their way, and the store.
func (e *env) overLake(ctx context.Context, a *app.App) (query.RangeEngine, error) {
	if a.Parts.Table != "" {
		return e.stackEngine(ctx, a)
	}
	return duckdb.Open(ctx, duckdb.Options{LakeDir: a.LakeDir(), MemoryMB: int(e.config.MemoryLimit >> 21)})
}

// askingSQL is asking for statements that any engine takes: on a stack, those of
// --engine.
func (e *env) askingSQL(ctx context.Context, command string, f func(*app.App, query.Engine, *covered) error) error {
	return e.with(ctx, command, false, func(a *app.App) (err error) {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return err
		}
		var engine query.Engine
		if a.Parts.Table == "" {
			engine, err = e.engine(ctx, a)
		} else if err = e.refresh(ctx, a); err == nil {
			engine, err = e.sqlEngine(ctx, a)
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, engine.Close()) }()
		return f(a, engine, c)
	})
}

// asking opens the data directory and the engine, calls f and closes both. What
// was collected is looked up before the data is.
func (e *env) asking(ctx context.Context, command string, f func(*app.App, query.RangeEngine, *covered) error) error {
	return e.with(ctx, command, false, func(a *app.App) (err error) {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return err
		}
		engine, err := e.engine(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, engine.Close()) }()
		return f(a, engine, c)
	})
}
