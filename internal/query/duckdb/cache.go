package duckdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/iamtrack/iamtrack/internal/lake"
)

// cache keeps versions of a bucket's objects as files, for any number of processes:
//
//	files/HASH/content    one version; the folder's time is when it was last used
//	tmp/…                 downloads, and the folders of queries under way
//
// A version is downloaded into tmp, synced, and moved to its place as a whole: what
// is there is complete. It never changes; whoever wants to read it makes a hard link
// of it, so that it may be removed at any time.
type cache struct {
	dir  string
	name string // of the bucket, so that several may share the folder
	max  int64  // bytes that stay

	loading singleflight.Group // by place: queries of this process fetch a version once
}

const (
	cacheFiles   = "files"
	cacheTemp    = "tmp"
	cacheContent = "content"
	// cacheStale is the age at which what is in tmp was left by a killed process.
	cacheStale = 24 * time.Hour
	// cacheParallel is how many objects are downloaded at once.
	cacheParallel = 8
	// cacheBlock is how much of an object is asked for at once, in bytes.
	cacheBlock = 8 << 20
)

func openCache(dir, name string, most int64) (*cache, error) {
	c := &cache{dir: dir, name: name, max: most}
	for _, d := range []string{cacheFiles, cacheTemp} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("open the cache of the lake's files: %w", err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, cacheTemp))
	if err != nil {
		return nil, fmt.Errorf("open the cache of the lake's files: %w", err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > cacheStale {
			_ = os.RemoveAll(filepath.Join(dir, cacheTemp, e.Name())) // the next one tries again
		}
	}
	return c, nil
}

// place is the folder of a version.
func (c *cache) place(o lake.Object) string {
	sum := sha256.Sum256([]byte(c.name + "\x00" + o.Key + "\x00" + o.ETag + "\x00" + strconv.FormatInt(o.Size, 10)))
	return filepath.Join(c.dir, cacheFiles, hex.EncodeToString(sum[:16]))
}

// has tells whether a version is there.
func (c *cache) has(o lake.Object) bool {
	info, err := os.Stat(filepath.Join(c.place(o), cacheContent))
	return err == nil && info.Size() == o.Size
}

// drop forgets a version.
func (c *cache) drop(o lake.Object) error { return c.remove(c.place(o)) }

// remove takes a version away in one step, so that nobody meets half of it.
func (c *cache) remove(place string) error {
	grave, err := os.MkdirTemp(filepath.Join(c.dir, cacheTemp), "old-")
	if err != nil {
		return err
	}
	err = os.Rename(place, filepath.Join(grave, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody else was quicker
	}
	return errors.Join(err, os.RemoveAll(grave))
}

// collect puts the objects into a folder, as their keys say, downloading those that
// aren't there. An object that is replaced meanwhile is there in its newer version;
// one that is removed is left out.
func (c *cache) collect(ctx context.Context, bucket lake.Bucket, objects []lake.Object, folder string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cacheParallel)
	for _, o := range objects {
		group.Go(func() error { return c.put(ctx, bucket, o, filepath.Join(folder, filepath.FromSlash(o.Key))) })
	}
	return group.Wait()
}

// put makes path a version of the object.
func (c *cache) put(ctx context.Context, bucket lake.Bucket, o lake.Object, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	for range 10 {
		if c.has(o) {
			err := link(filepath.Join(c.place(o), cacheContent), path)
			if err == nil {
				now := time.Now()
				_ = os.Chtimes(c.place(o), now, now) // if it was removed since, it's no longer ours to note
				return nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		// It isn't there, or another process has just removed it.
		got, err, _ := c.loading.Do(c.place(o), func() (any, error) { return c.download(ctx, bucket, o.Key) })
		switch {
		case err == nil:
			o, _ = got.(lake.Object)
		case errors.Is(err, lake.ErrNotFound):
			return os.Remove(filepath.Dir(path)) // the day has no file any more
		case ctx.Err() == nil && errors.Is(err, context.Canceled): // of whoever asked first
		default:
			return err
		}
	}
	return fmt.Errorf("fetch %s: other processes remove it from the cache as soon as it is there: allow the cache more space", o.Key)
}

// download fetches an object as it is now and returns which version that is.
func (c *cache) download(ctx context.Context, bucket lake.Bucket, key string) (o lake.Object, err error) {
	r, err := bucket.Open(ctx, key)
	if err != nil {
		return o, fmt.Errorf("fetch %s: %w", key, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	o = r.Object()
	temp, err := os.MkdirTemp(filepath.Join(c.dir, cacheTemp), "new-")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }() // nothing, once it is in place
	version := filepath.Join(temp, "version")
	if err := os.Mkdir(version, 0o700); err != nil {
		return o, err
	}
	if err := write(ctx, filepath.Join(version, cacheContent), r, o); err != nil {
		return o, fmt.Errorf("fetch %s: %w", key, err)
	}
	if err := os.Rename(version, c.place(o)); err != nil {
		if c.has(o) {
			return o, nil // another process was quicker
		}
		// What is there isn't complete, whatever made it so.
		if err := errors.Join(c.remove(c.place(o)), os.Rename(version, c.place(o))); err != nil && !c.has(o) {
			return o, fmt.Errorf("fetch %s: %w", key, err)
		}
	}
	return o, nil
}

// write copies an object into a new file, durably, with the object's time.
func write(ctx context.Context, path string, r lake.Reader, o lake.Object) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	block := make([]byte, min(o.Size, cacheBlock))
	for at := int64(0); at < o.Size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := block[:min(o.Size-at, cacheBlock)]
		n, err := r.ReadAt(part, at)
		if n < len(part) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w at byte %d of %d", err, at+int64(n), o.Size)
		}
		if _, err := f.Write(part); err != nil {
			return err
		}
		at += int64(n)
	}
	err = errors.Join(f.Sync(), f.Close())
	f = nil
	if err != nil {
		return err
	}
	return os.Chtimes(path, o.ModTime, o.ModTime)
}

// link makes path the same file, or a copy where the file system knows no links.
func link(from, path string) error {
	err := os.Link(from, path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, rerr := os.ReadFile(from)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, data, 0o600), os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// shrink removes the versions used longest ago, of all buckets, until what is left
// fits.
func (c *cache) shrink() error {
	entries, err := os.ReadDir(filepath.Join(c.dir, cacheFiles))
	if err != nil {
		return err
	}
	type version struct {
		place string
		used  time.Time
		size  int64
	}
	var all []version
	var total int64
	for _, e := range entries {
		place := filepath.Join(c.dir, cacheFiles, e.Name())
		folder, err := os.Stat(place)
		content, cerr := os.Stat(filepath.Join(place, cacheContent))
		if err != nil || cerr != nil {
			continue // removed since
		}
		all = append(all, version{place, folder.ModTime(), content.Size()})
		total += content.Size()
	}
	slices.SortFunc(all, func(a, b version) int { return a.used.Compare(b.used) })
	for _, v := range all {
		if total <= c.max {
			break
		}
		if err := c.remove(v.place); err != nil {
			return err
		}
		total -= v.size
	}
	return nil
}
