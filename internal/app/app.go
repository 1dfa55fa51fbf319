// Package app is the composition root: it opens what a configuration names
// (store, lake, rules, filter, SQL engine) and ties it into the pipeline. What
// the parts do is decided in them, not here.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/inbox"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// Files and folders of a data directory.
const (
	storeFile  = "iamtrack.db"
	lakeFolder = "lake"
)

// ErrNoData is wrapped by the error of Open when there is no data directory.
var ErrNoData = errors.New("no data yet")

// Options say how to open.
type Options struct {
	Command string           // for lease holders: the command that runs
	Create  bool             // make the data directory when it is not there
	Now     func() time.Time // nil: time.Now
	Version string           // the program's
}

// App is an open data directory.
type App struct {
	Config   config.Config
	Store    store.Store
	Lake     *lake.Lake
	Rules    *rule.Engine
	Filter   *filter.Filter
	Pipeline *collect.Pipeline
	// Bucket is where the lake is; empty for a stack that keeps none.
	Bucket lake.Bucket
	// Parts are those of the stack that was opened; zero for a data directory.
	Parts Parts
	// ReadOnly: the folder can't be written; answers tell what was exported last.
	ReadOnly bool

	now func() time.Time
}

// Open opens the data directory that cfg names. Without Create, a directory
// that does not exist, or is empty, is ErrNoData; one with a lake and no store is
// another error, since there is data to save. A directory that can't be
// written is opened for reading.
func Open(ctx context.Context, cfg config.Config, o Options) (_ *App, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a, err := newApp(cfg, o)
	if err != nil {
		return nil, err
	}
	dbPath := filepath.Join(cfg.DataDir, storeFile)
	if _, err := os.Stat(dbPath); errors.Is(err, fs.ErrNotExist) {
		if !o.Create {
			if lake := filepath.Join(cfg.DataDir, lakeFolder); isDir(lake) {
				return nil, fmt.Errorf("open the data directory: %s is gone, %s is there: restore it from a copy, or import the trail files again", dbPath, lake)
			}
			return nil, fmt.Errorf("%w in %s", ErrNoData, cfg.DataDir)
		}
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make the data directory (setting data_dir): %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open the data directory (setting data_dir): %w", err)
	}
	a.ReadOnly = !writable(cfg.DataDir)
	if a.ReadOnly && o.Create {
		return nil, a.ErrReadOnly()
	}
	if a.Store, err = store.OpenSQLite(ctx, dbPath, store.SQLiteOptions{ReadOnly: a.ReadOnly, Now: o.Now}); err != nil {
		return nil, err
	}
	bucket, err := lake.OpenDisk(a.LakeDir(), a.ReadOnly)
	if err != nil {
		return nil, errors.Join(err, a.Store.Close())
	}
	a.tie(bucket, o)
	if !a.ReadOnly {
		if err := a.giveNames(ctx); err != nil {
			return nil, errors.Join(err, a.Store.Close())
		}
	}
	return a, nil
}

// newApp makes the parts that only a configuration is needed for.
func newApp(cfg config.Config, o Options) (a *App, err error) {
	a = &App{Config: cfg, now: o.Now}
	if a.Rules, err = rule.NewEngine(cfg.RuleConfig()); err != nil {
		return nil, err
	}
	if a.Filter, err = filter.New(cfg.FilterConfig()); err != nil {
		return nil, err
	}
	return a, nil
}

// tie makes the pipeline of the store and a bucket.
func (a *App) tie(bucket lake.Bucket, o Options) {
	a.Bucket, a.Lake = bucket, lake.New(bucket, lake.Options{ProgramVersion: o.Version})
	a.Pipeline = &collect.Pipeline{
		Store: a.Store, Lake: a.Lake, Rules: a.Rules, Filter: a.Filter, Now: o.Now,
		HotDays: a.Config.HotDays, LakeDays: a.Config.LakeDays, Holder: collect.NewHolder(o.Command),
	}
}

// New ties a store and a bucket that are open already; Close closes the store. What
// is collected waits in the bucket's inbox for the export.
func New(cfg config.Config, s store.Store, bucket lake.Bucket, o Options) (*App, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a, err := newApp(cfg, o)
	if err != nil {
		return nil, err
	}
	a.Store = s
	a.tie(bucket, o)
	a.Pipeline.Inbox = inbox.New(bucket)
	return a, nil
}

// giveNames makes the names of users those of the setting identities_file.
func (a *App) giveNames(ctx context.Context) error {
	var names []lineage.Name
	if path := a.Config.IdentitiesFile; path != "" {
		var err error
		if names, err = lineage.ReadNames(path); err != nil {
			return fmt.Errorf("setting identities_file: %w", err)
		}
	}
	return a.Pipeline.GiveNames(ctx, names)
}

// LakeDir is the folder of the lake.
func (a *App) LakeDir() string { return filepath.Join(a.Config.DataDir, lakeFolder) }

// ErrReadOnly is the error of what can't be done in a ReadOnly folder.
func (a *App) ErrReadOnly() error {
	return fmt.Errorf("data directory %s is read-only: make it writable, or name another with --data-dir", a.Config.DataDir)
}

// Close releases everything; it does not wait for other users.
func (a *App) Close() error { return a.Store.Close() }

// Freshness says how current the lake is that an answer was read from.
type Freshness struct {
	// DirtyDays are the days with newer events in the store than in the lake;
	// empty after an export.
	DirtyDays []store.DirtyDay
	// Reason says why they were not exported; empty when there are none.
	Reason string
	// Of a stack: the lake has all that was stored before AsOf, and Newer events
	// wait for the exporter.
	AsOf  time.Time
	Newer int64
}

// Refresh exports dirty days, so that the lake has all that is stored. When
// another process exports, the folder is read-only or the disk full, it does not
// wait: the answer then says how fresh it is. A stack's lake is the exporter
// function's to bring up to date, so that answering takes no right to write.
func (a *App) Refresh(ctx context.Context) (Freshness, error) {
	if a.Parts.Table != "" {
		return a.waiting(ctx)
	}
	dirty, err := a.Store.DirtyDays(ctx)
	if err != nil || len(dirty) == 0 {
		return Freshness{}, err
	}
	f := Freshness{DirtyDays: dirty}
	if a.ReadOnly {
		f.Reason = "the data directory is read-only"
		return f, nil
	}
	_, err = a.Pipeline.Export(ctx, collect.ExportOptions{})
	var held *store.HeldError
	if errors.As(err, &held) {
		f.Reason = held.Error()
		return f, nil
	}
	if errors.Is(err, store.ErrFull) || errors.Is(err, syscall.ENOSPC) {
		f.Reason = "the disk is full"
		return f, nil
	}
	if err != nil {
		return f, err
	}
	return Freshness{}, nil
}

// LostDays returns the days whose files the lake should have and hasn't, so that
// answers lack their events, ascending.
func (a *App) LostDays(ctx context.Context) ([]event.Date, error) {
	days, err := a.Store.LakeDays(ctx)
	if err != nil {
		return nil, err
	}
	recorded := make([]lake.Stats, len(days))
	for i, d := range days {
		recorded[i] = lake.Stats(d)
	}
	lost, err := a.Lake.Absent(ctx, recorded)
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	// Retention may have removed some meanwhile.
	if days, err = a.Store.LakeDays(ctx); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(lost, func(d event.Date) bool {
		return !slices.ContainsFunc(days, func(r store.LakeDay) bool { return r.Date == d })
	}), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// writable tells whether files can be made in dir.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".write-*")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}
