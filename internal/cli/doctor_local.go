package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/store"
)

// What must be free on the disk: an export writes a day's file beside the old one.
const (
	diskTight = 1 << 30   // bytes
	diskFull  = 100 << 20 // bytes
)

// local checks what needs no AWS. usable: the data directory can be written.
func (d *doctor) local(ctx context.Context) (usable bool) {
	if file := d.config.File; file != "" {
		d.ok("settings", file)
	} else {
		d.ok("settings", "no file; environment, flags and defaults are in force")
	}
	usable = d.folder(ctx)
	d.channels(ctx)
	return usable
}

// folder checks the data directory and what is in it.
func (d *doctor) folder(ctx context.Context) bool {
	const name = "data directory"
	dir := d.config.DataDir
	d.disk(dir)
	a, err := d.open(ctx, "doctor", false)
	if errors.Is(err, app.ErrNoData) {
		if err := probe(ctx, dir); err != nil {
			d.failed(name, err.Error(), "make it writable, or name another with --data-dir (setting data_dir)")
			return false
		}
		d.ok(name, dir+": nothing is stored yet")
		return true
	}
	if err != nil {
		hint := "name another with --data-dir (setting data_dir)"
		if errors.Is(err, store.ErrNewer) {
			hint = "use the newer version of iamtrack"
		}
		d.failed(name, err.Error(), hint)
		return false
	}
	defer func() {
		if err := a.Close(); err != nil {
			d.warning(name, "close it: "+err.Error(), "")
		}
	}()
	if a.ReadOnly {
		d.failed(name, a.ErrReadOnly().Error(), "answers work; collecting and importing don't")
	} else {
		d.ok(name, dir)
	}
	d.modes(dir)
	d.lake(ctx, a)
	d.lastRun(ctx, a)
	return !a.ReadOnly
}

// probe makes and removes a store where there is none yet: that tells whether the
// folder can be written, and lies on a local disk.
func probe(ctx context.Context, dir string) (err error) {
	tmp, err := os.MkdirTemp(existing(dir), ".iamtrack-doctor-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	s, err := store.OpenSQLite(ctx, filepath.Join(tmp, "probe.db"), store.SQLiteOptions{})
	if err != nil {
		return err
	}
	return s.Close()
}

// existing is the folder itself, or the nearest above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func (d *doctor) disk(dir string) {
	const name = "disk"
	free, err := diskFree(existing(dir))
	switch {
	case err != nil:
		d.warning(name, "can't tell how much is free: "+err.Error(), "")
	case free < diskFull:
		d.failed(name, bytesText(free)+" free", "make room: nothing can be stored without; 1 GB is comfortable")
	case free < diskTight:
		d.warning(name, bytesText(free)+" free", "make room: a large import may need more")
	default:
		d.ok(name, bytesText(free)+" free")
	}
}

// modes checks that nobody else can read what is stored.
func (d *doctor) modes(dir string) {
	if runtime.GOOS == "windows" {
		return // folders of a user's profile are theirs
	}
	var open []string
	entries, err := os.ReadDir(dir)
	if err == nil {
		paths := []string{dir}
		for _, e := range entries {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
		for _, p := range paths {
			if info, serr := os.Lstat(p); serr == nil && info.Mode()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
				open = append(open, fmt.Sprintf("%s (%04o)", p, info.Mode().Perm()))
			}
		}
	}
	switch {
	case err != nil:
		d.warning("file modes", err.Error(), "")
	case len(open) > 0:
		d.warning("file modes", "others of this machine may read "+listed(open), "chmod go= on them: the events tell much")
	default:
		d.ok("file modes", "only for their owner")
	}
}

// lake reads the newest day: a file of a newer version, or a damaged one, shows.
func (d *doctor) lake(ctx context.Context, a *app.App) {
	dates, err := a.Lake.Dates(ctx)
	if err == nil && len(dates) > 0 {
		for _, rerr := range a.Lake.Events(ctx, dates[len(dates)-1]) {
			err = rerr
			break
		}
	}
	if err != nil {
		d.failed("lake", err.Error(), "`iamtrack verify` checks all of it")
		return
	}
	d.ok("lake", count(len(dates), "day"))
}

// lastRun tells when was last collected.
func (d *doctor) lastRun(ctx context.Context, a *app.App) {
	const name = "last collection"
	ledgers, err := a.Store.Streams(ctx)
	if err != nil {
		d.failed(name, err.Error(), "")
		return
	}
	var last int64
	for _, l := range ledgers {
		if l.Began > 0 {
			last = max(last, l.Until)
		}
	}
	if last == 0 {
		d.warning(name, "never", "`iamtrack collect` reads the last 90 days, and what is new")
		return
	}
	ago := d.now().Sub(time.Unix(last, 0))
	detail := fmt.Sprintf("%s, %s ago", d.timeText(last*1000), ago.Round(time.Minute))
	if ago > notify.SilentAfter {
		d.warning(name, detail, "`iamtrack collect` reads what is missing; --watch 5m goes on")
		return
	}
	d.ok(name, detail)
}

// channels checks what can be checked of channels without sending.
func (d *doctor) channels(ctx context.Context) {
	const name = "channels"
	good := 0
	for _, c := range d.config.Channels {
		switch _, err := c.Resolved(d.lookupEnv, app.Vault(ctx, d.env.aws(ctx))); {
		case err != nil:
			d.failed(name, err.Error(), "alerts wait until it is mended")
		case !c.Off:
			good++
		}
	}
	switch {
	case len(d.config.Channels) == 0:
		d.ok(name, "none: alerts are recorded, and sent nowhere")
	case good > 0:
		d.add(name, checkOK, "", count(good, "channel is|channels are")+" on", "`iamtrack alerts test` sends a message to each")
	}
}
