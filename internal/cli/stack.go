package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/query/athena"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
)

// Engines that --engine names.
const (
	engineAthena = "athena"
	engineDuckDB = "duckdb"
)

// onStack makes a command work on a stack, too.
func onStack(cmd *cobra.Command) *cobra.Command {
	taking(cmd, append(strings.Fields(cmd.Annotations[takes]), takesStack)...)
	for _, name := range stackFlagNames {
		if cmd.Flags().Lookup(name) == nil {
			awsFlags(cmd, name)
		}
	}
	return cmd
}

// freshFlag adds --fresh to a command whose answer is from the lake.
func freshFlag(e *env, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&e.flags.fresh, "fresh", false, "with --stack: bring the stack's lake up to date first")
	return onStack(cmd)
}

// engineFlag adds --engine to a command that asks in SQL.
func engineFlag(e *env, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&e.flags.engine, "engine", "", "with --stack: athena (default), or duckdb on this machine over a cache of the lake's files")
	complete(cmd, "engine", engineAthena, engineDuckDB)
	return cmd
}

// pickTier decides whether a command works on the data directory or on a stack: what
// a flag says counts before what the settings say.
func (e *env) pickTier(cmd *cobra.Command, c *config.Config, given map[string]string) error {
	switch e.flags.engine {
	case "", engineAthena, engineDuckDB:
	default:
		return withHint(usagef("--engine %q: there is none of that name", e.flags.engine), "use athena or duckdb")
	}
	e.onStack = slices.Contains(strings.Fields(cmd.Annotations[takes]), takesStack)
	if cmd.Annotations[onBothTiers] != "" {
		if c.Stack == "" {
			return withHint(usagef("`%s` works with a stack: --stack NAME", cmd.CommandPath()), "the setting stack names one too")
		}
		e.flags.stack = c.Stack
		return nil
	}
	if given["data-dir"] != "" {
		if given["stack"] != "" {
			return usagef("--data-dir and --stack: an answer is from one of them")
		}
		c.Stack = ""
	}
	if c.Stack != "" {
		if e.flags.stack == "" && e.onStack {
			e.flags.stack = c.Stack // for the commands that are printed
		}
		return nil
	}
	if !e.onStack {
		return nil
	}
	names := append([]string{"fresh", "engine"}, stackFlagNames...)
	for _, name := range names {
		flag := cmd.Flags().Lookup(name)
		if flag == nil || !flag.Changed || slices.Contains(strings.Fields(cmd.Annotations[withoutStack]), name) {
			continue
		}
		return withHint(usagef("--%s goes with --stack", name), "--stack NAME, or the setting stack, names the stack")
	}
	return nil
}

// withoutStack is a command's annotation that lists which flags of a stack mean
// something to it without one, too.
const withoutStack = "without-stack"

// openStack opens the stack that the settings name.
func (e *env) openStack(ctx context.Context, command string) (*app.App, error) {
	e.debug("stack %s (%s)", e.config.Stack, e.config.Origin("stack"))
	session, err := e.aws(ctx)()
	if err != nil {
		return nil, err
	}
	parts, err := app.FindStack(ctx, session, e.config.Stack)
	if err != nil {
		return nil, awsHint(err)
	}
	e.session = session
	open := e.openParts
	if open == nil {
		open = app.OpenStack
	}
	return open(ctx, e.config, session, parts, app.Options{Command: command, Now: e.now, Version: e.version})
}

// freshen has the stack's exporter bring the lake up to date.
func (e *env) freshen(ctx context.Context, a *app.App) error {
	if a.TableOnly() {
		return nil // there is nothing between the table and the answer
	}
	if a.Parts.Exporter == "" {
		return fmt.Errorf("--fresh: the stack %s has no output %s that names its exporter", a.Parts.Stack, app.OutputExporter)
	}
	for before := -1; ; {
		e.note("the exporter of the stack is at work")
		out, err := e.session.Invoke(ctx, a.Parts.Exporter, []byte("{}"))
		if err != nil {
			return fmt.Errorf("--fresh: %w", err)
		}
		var r function.ExportResult
		if err := json.Unmarshal(out, &r); err != nil {
			return fmt.Errorf("--fresh: the exporter %s answered what no exporter does: %w", a.Parts.Exporter, err)
		}
		switch {
		case r.Busy:
			e.warn("another exporter is at work on the lake: what it has not written yet is missing here")
			return nil
		case !r.Unfinished:
			return nil
		case r.DirtyDays == before:
			return fmt.Errorf("--fresh: the exporter doesn't come to an end: %s left after each run; its log says more", count(r.DirtyDays, "day is|days are"))
		}
		before = r.DirtyDays
	}
}

// stackEngine opens an engine over a stack's data: DuckDB, on this machine.
func (e *env) stackEngine(ctx context.Context, a *app.App) (query.RangeEngine, error) {
	options := duckdb.Options{MemoryMB: int(e.config.MemoryLimit >> 21)}
	if a.TableOnly() {
		return e.tableEngine(a, options)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return duckdb.OpenRemote(ctx, duckdb.RemoteOptions{
		Bucket: a.Bucket, Name: "s3://" + a.Parts.Bucket, CacheDir: filepath.Join(cache, "lake"), Options: options,
		Fetching: func(files int, bytes int64) {
			e.note("fetching %s of the lake, %s", count(files, "file"), bytesText(bytes))
		},
	})
}

// cacheDir is the folder of what is kept of stacks between commands.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the cache: %w", err)
	}
	dir = filepath.Join(dir, "iamtrack")
	return dir, os.MkdirAll(dir, 0o700)
}

// historyDir is where the prompt's history is kept.
func (e *env) historyDir() string {
	if e.config.Stack != "" {
		if dir, err := cacheDir(); err == nil {
			return dir
		}
	}
	return e.config.DataDir
}

// sqlEngine opens the engine that --engine names, over a stack's data.
func (e *env) sqlEngine(ctx context.Context, a *app.App) (query.Engine, error) {
	if e.flags.engine == engineDuckDB || a.TableOnly() || e.flags.engine == "" && a.Parts.Workgroup == "" {
		if e.flags.engine == engineAthena {
			return nil, withHint(fmt.Errorf("the stack %s keeps no lake that Athena could ask (its setting EnableAnalytics is false)", a.Parts.Stack), "without --engine the table answers")
		}
		return e.stackEngine(ctx, a)
	}
	for _, o := range [][2]string{{a.Parts.Workgroup, app.OutputWorkgroup}, {a.Parts.Database, app.OutputDatabase}} {
		if o[0] == "" {
			return nil, withHint(fmt.Errorf("the stack %s has no output %s, which Athena needs", a.Parts.Stack, o[1]), "--engine duckdb asks the lake without Athena")
		}
	}
	return athena.New(e.session.Athena(""), athena.Options{
		Workgroup: a.Parts.Workgroup, Database: a.Parts.Database, Warn: func(text string) { e.warn("%s", text) },
	})
}

// tableEngine answers on a stack that has no lake: it makes one of the days that are
// asked for, here, for as long as it is open. DuckDB reads no table.
type tableEngine struct {
	*duckdb.Engine
	e      *env
	a      *app.App
	dir    string
	bucket lake.Bucket // of dir
	l      *lake.Lake

	mu   sync.Mutex
	have map[event.Date]bool
}

// manyDays is from how many days on it is said that a table's days are read.
const manyDays = 3

func (e *env) tableEngine(a *app.App, o duckdb.Options) (_ *tableEngine, err error) {
	dir, err := os.MkdirTemp("", "iamtrack-table-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the table's days: %w", err)
	}
	t := &tableEngine{e: e, a: a, dir: dir, have: map[event.Date]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.bucket, err = lake.OpenDisk(dir, false); err != nil {
		return nil, err
	}
	t.l = lake.New(t.bucket, lake.Options{ProgramVersion: e.version})
	o.LakeDir = dir
	t.Engine, err = duckdb.Open(context.Background(), o)
	return t, err
}

// Close removes what was read.
func (t *tableEngine) Close() error { return os.RemoveAll(t.dir) }

// Query implements query.Engine: all days of the table are read.
func (t *tableEngine) Query(ctx context.Context, sql string) (query.Rows, error) {
	first, last, err := t.span(ctx)
	if err != nil {
		return nil, err
	}
	return t.QueryRange(ctx, sql, first, last)
}

// Days implements query.RangeEngine. How large a day is isn't known.
func (t *tableEngine) Days(ctx context.Context) ([]query.Day, error) {
	dirty, err := t.a.Store.DirtyDays(ctx)
	if err != nil {
		return nil, err
	}
	days := make([]query.Day, len(dirty))
	for i, d := range dirty {
		days[i] = query.Day{Date: d.Date}
	}
	return days, nil
}

func (t *tableEngine) span(ctx context.Context) (first, last event.Date, err error) {
	days, err := t.Days(ctx)
	if err != nil || len(days) == 0 {
		return 0, 0, err
	}
	return days[0].Date, days[len(days)-1].Date, nil
}

// QueryRange implements query.RangeEngine.
func (t *tableEngine) QueryRange(ctx context.Context, sql string, since, until event.Date) (query.Rows, error) {
	if err := t.read(ctx, since, until); err != nil {
		return nil, err
	}
	return t.Engine.QueryRange(ctx, sql, since, until)
}

// read makes day files of the table's days that weren't read yet.
func (t *tableEngine) read(ctx context.Context, since, until event.Date) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	days, err := t.Days(ctx)
	if err != nil {
		return err
	}
	days = slices.DeleteFunc(days, func(d query.Day) bool { return d.Date < since || d.Date > until || t.have[d.Date] })
	if len(days) >= manyDays {
		t.e.note("reading %s of the table, which has no lake", count(len(days), "day"))
	}
	for _, d := range days {
		if err := t.a.Pipeline.CopyDay(ctx, d.Date, t.bucket, t.l); err != nil {
			return fmt.Errorf("read the table: %w", err)
		}
		t.have[d.Date] = true
	}
	return nil
}
