package lake

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	"golang.org/x/sync/singleflight"

	"github.com/iamtrack/iamtrack/internal/together"
)

var _ Bucket = (*disk)(nil)

// ErrReadOnly is wrapped by every write to a bucket that was opened read-only.
var ErrReadOnly = errors.New("the lake is open for reading only")

const (
	tempFolder = ".tmp"  // objects being written; on the same file system, so that rename is atomic
	lockName   = ".lock" // held while an object is replaced: rename alone can't compare
	// staleTemp is the age after which a file that is being written counts as
	// left behind by a killed process. A live writer touches it all the time.
	staleTemp = time.Hour
)

// disk keeps objects as files below a folder. An object is written to a
// temporary file, synced, renamed into place, and its folder synced.
type disk struct {
	dir      string
	readOnly bool

	making  singleflight.Group // folders, by path
	parents together.Group[string]
}

// OpenDisk returns the bucket in folder dir. Unless readOnly it makes the
// folder, and removes temporary files that a killed process left behind. Files
// are made with mode 0600, folders with 0700: the lake holds what people did.
func OpenDisk(dir string, readOnly bool) (Bucket, error) {
	d := &disk{dir: dir, readOnly: readOnly}
	if readOnly {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("open lake: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("open lake: %s is not a folder", dir)
		}
		return d, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, tempFolder), 0o700); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	if err := d.removeStale(time.Now().Add(-staleTemp)); err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	return d, nil
}

func (d *disk) removeStale(before time.Time) error {
	folder := filepath.Join(d.dir, tempFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // its writer has just finished
		}
		if err != nil {
			return err
		}
		if info.ModTime().Before(before) {
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (d *disk) path(key string) string { return filepath.Join(d.dir, filepath.FromSlash(key)) }

// DiskObject describes an object's file as a bucket on disk does, for readers that
// open the file themselves. Size and modification time identify the content, since
// Commit never leaves a time as it was; and both survive a copy of the folder that
// keeps times.
func DiskObject(key string, info fs.FileInfo) Object {
	m := info.ModTime()
	return Object{
		Key: key, Size: info.Size(), ModTime: m.UTC(),
		ETag: strconv.FormatInt(m.UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36),
	}
}

func (d *disk) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := cmp.Or(CheckPrefix(prefix), alive(ctx, "list", prefix)); err != nil {
		return nil, err
	}
	folder := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = prefix[:i]
	}
	var out []Object
	if err := d.walk(ctx, folder, prefix, &out); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (d *disk) walk(ctx context.Context, folder, prefix string, out *[]Object) error {
	entries, err := os.ReadDir(d.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		key := e.Name()
		if folder != "." {
			key = folder + "/" + key
		}
		switch {
		case e.IsDir():
			if strings.HasPrefix(key+"/", prefix) || strings.HasPrefix(prefix, key+"/") {
				if err := d.walk(ctx, key, prefix, out); err != nil {
					return err
				}
			}
		case strings.HasPrefix(key, prefix):
			info, err := os.Stat(d.path(key)) // follows links, as Open does
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since
			}
			if err != nil {
				return err
			}
			if info.Mode().IsRegular() {
				*out = append(*out, DiskObject(key, info))
			}
		}
	}
	return nil
}

func (d *disk) Open(ctx context.Context, key string) (Reader, error) {
	if err := cmp.Or(CheckKey(key), alive(ctx, "open", key)); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", d.path(key), ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &diskReader{File: f, o: DiskObject(key, info)}, nil
}

func (d *disk) Create(ctx context.Context, key string) (Writer, error) {
	if err := cmp.Or(CheckKey(key), alive(ctx, "create", key)); err != nil {
		return nil, err
	}
	if d.readOnly {
		return nil, fmt.Errorf("create %s: %w", d.path(key), ErrReadOnly)
	}
	f, err := os.CreateTemp(filepath.Join(d.dir, tempFolder), "*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", d.path(key), err)
	}
	buf, ok := diskBuffers.Get().(*bufio.Writer)
	if !ok {
		buf = bufio.NewWriterSize(nil, 256<<10)
	}
	buf.Reset(f)
	return &diskWriter{d: d, ctx: ctx, key: key, f: f, buf: buf}, nil
}

func (d *disk) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(CheckKey(key), alive(ctx, "delete", key)); err != nil {
		return err
	}
	if d.readOnly {
		return fmt.Errorf("delete %s: %w", d.path(key), ErrReadOnly)
	}
	unlock, err := d.lock()
	if err != nil {
		return fmt.Errorf("delete %s: %w", d.path(key), err)
	}
	defer unlock()
	err = os.Remove(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	folder := filepath.Dir(d.path(key))
	if err := syncFolder(folder); err != nil {
		return err
	}
	if folder != filepath.Clean(d.dir) {
		_ = os.Remove(folder) // an empty partition is clutter; one that isn't empty stays
	}
	return nil
}

// lock excludes other writers of this bucket, in this process or another.
func (d *disk) lock() (func(), error) {
	return lockedfile.MutexAt(filepath.Join(d.dir, lockName)).Lock()
}

type diskReader struct {
	*os.File
	o Object
}

func (r *diskReader) Object() Object { return r.o }

// diskBuffers are *bufio.Writer: clearing a new one costs more than a small day.
var diskBuffers sync.Pool

type diskWriter struct {
	d   *disk
	ctx context.Context
	key string
	f   *os.File // nil when committed or aborted
	buf *bufio.Writer
}

func (w *diskWriter) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, fmt.Errorf("write %s: %w", w.key, errClosed)
	}
	n, err := w.buf.Write(p)
	if err != nil {
		err = fmt.Errorf("write %s: %w", w.d.path(w.key), err)
	}
	return n, err
}

func (w *diskWriter) Commit(ifMatch string) (Object, error) {
	if w.f == nil {
		return Object{}, fmt.Errorf("commit %s: %w", w.key, errClosed)
	}
	o, err := w.commit(ifMatch)
	_ = w.Abort() // the temporary file, unless it was renamed
	if err != nil {
		return Object{}, fmt.Errorf("commit %s: %w", w.d.path(w.key), err)
	}
	return o, nil
}

func (w *diskWriter) commit(ifMatch string) (Object, error) {
	if err := w.ctx.Err(); err != nil {
		return Object{}, err
	}
	if err := w.buf.Flush(); err != nil {
		return Object{}, err
	}
	w.buf.Reset(nil)
	diskBuffers.Put(w.buf)
	w.buf = nil
	if err := w.f.Sync(); err != nil {
		return Object{}, err
	}
	path := w.d.path(w.key)
	if err := w.d.makeFolder(filepath.Dir(path)); err != nil {
		return Object{}, err
	}
	o, err := w.replace(path, ifMatch)
	if err != nil {
		return Object{}, err
	}
	return o, syncFolder(filepath.Dir(path))
}

// replace moves the new file into place.
func (w *diskWriter) replace(path, ifMatch string) (Object, error) {
	unlock, err := w.d.lock()
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	var etag string
	old, err := os.Stat(path)
	switch {
	case err == nil:
		etag = DiskObject(w.key, old).ETag
	case !errors.Is(err, fs.ErrNotExist):
		return Object{}, err
	}
	if etag != ifMatch {
		return Object{}, ErrChanged
	}
	if old != nil {
		if err := w.advance(old.ModTime()); err != nil {
			return Object{}, err
		}
	}
	temp := w.f.Name()
	info, err := w.f.Stat()
	if err != nil {
		return Object{}, err
	}
	err = w.f.Close()
	w.f = nil
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return Object{}, err
	}
	return DiskObject(w.key, info), nil
}

// advance makes the new file's time differ from the one it replaces: a file
// system's clock may tick only every few milliseconds, and the time is the ETag.
func (w *diskWriter) advance(old time.Time) error {
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	if info.ModTime().After(old) {
		return nil
	}
	next := old.Truncate(time.Millisecond).Add(2 * time.Millisecond)
	return os.Chtimes(w.f.Name(), next, next)
}

func (w *diskWriter) Abort() error {
	if w.f == nil {
		return nil
	}
	name := w.f.Name()
	err := errors.Join(w.f.Close(), os.Remove(name))
	w.f = nil
	return err
}

// makeFolder makes a folder of the bucket and its parents, durably. Whoever finds
// it there while it is being made waits until it is durable.
func (d *disk) makeFolder(path string) error {
	_, err, _ := d.making.Do(path, func() (any, error) {
		if _, err := os.Stat(path); err == nil {
			return nil, nil
		}
		parent := filepath.Dir(path)
		if parent != path {
			if err := d.makeFolder(parent); err != nil {
				return nil, err
			}
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// Many days are made at once, in few folders.
		return nil, d.parents.Do(parent, func(all []string) error {
			slices.Sort(all)
			for _, p := range slices.Compact(all) {
				if err := syncFolder(p); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return err
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
