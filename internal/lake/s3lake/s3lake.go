// Package s3lake keeps a lake in an S3 bucket. Objects are written with conditional
// requests, so that of two writers one wins; what was opened is read by its version,
// or at once where it is small, so that it stays readable while it is replaced. A
// write whose answer is lost is known again by an id in the object's metadata.
//
// The bucket should keep versions (for a day is enough): without them, a large
// object that is replaced while it is read gives lake.ErrChanged.
package s3lake

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/lake"
)

const (
	// whole is up to which size an object is read when it is opened, in bytes; more
	// is read in blocks of that size, of which each reader keeps a few.
	whole      = 4 << 20
	keepBlocks = 6
	// part is how much of an object is gathered before it is written as a part:
	// 10,000 of them are the most that S3 takes.
	part = 8 << 20
	// writeMark is the metadata that tells a writer its own object.
	writeMark = "iamtrack-write"
)

// Bucket is a lake.Bucket in S3.
type Bucket struct {
	b      *awsapi.Bucket
	prefix string
}

var _ lake.Bucket = (*Bucket)(nil)

// New returns the lake's objects in a bucket, all under a prefix, which is empty or
// ends in a slash.
func New(b *awsapi.Bucket, prefix string) *Bucket { return &Bucket{b: b, prefix: prefix} }

func fail(op, key string, err error) error {
	switch {
	case errors.Is(err, awsapi.ErrChanged):
		return fmt.Errorf("%s %s: %w", op, key, errors.Join(lake.ErrChanged, err))
	case errors.Is(err, awsapi.ErrNotFound) && !noBucket(err):
		return fmt.Errorf("%s %s: %w", op, key, errors.Join(lake.ErrNotFound, err))
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}

// noBucket tells a bucket that is gone from an object that isn't there: the one is
// an error, the other a day without events.
func noBucket(err error) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && e.Code == "NoSuchBucket"
}

// List implements lake.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) ([]lake.Object, error) {
	if err := lake.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	var all []lake.Object
	in := awsapi.ListInput{Prefix: b.prefix + prefix}
	for {
		page, err := b.b.List(ctx, in)
		if err != nil {
			return nil, fail("list", prefix, err)
		}
		for _, o := range page.Objects {
			key := strings.TrimPrefix(o.Key, b.prefix)
			if lake.CheckKey(key) != nil {
				continue // nothing of the lake's: a folder's mark, say
			}
			all = append(all, lake.Object{Key: key, Size: o.Size, ETag: o.ETag, ModTime: o.Modified})
		}
		if page.Token == "" {
			return all, nil
		}
		in.Token = page.Token
	}
}

// Open implements lake.Bucket.
func (b *Bucket) Open(ctx context.Context, key string) (lake.Reader, error) {
	if err := lake.CheckKey(key); err != nil {
		return nil, err
	}
	data, stat, err := b.b.Read(ctx, b.prefix+key, awsapi.Range{To: whole})
	if err != nil {
		return nil, fail("open", key, err)
	}
	return &reader{
		ctx: ctx, b: b, stat: stat, blocks: map[int64][]byte{0: data},
		object: lake.Object{Key: key, Size: stat.Size, ETag: stat.ETag, ModTime: stat.Modified},
	}, nil
}

// Delete implements lake.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := lake.CheckKey(key); err != nil {
		return err
	}
	if err := b.b.Delete(ctx, b.prefix+key); err != nil && (!errors.Is(err, awsapi.ErrNotFound) || noBucket(err)) {
		return fail("delete", key, err)
	}
	return nil
}

// Create implements lake.Bucket.
func (b *Bucket) Create(ctx context.Context, key string) (lake.Writer, error) {
	if err := lake.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("create %s: %w", key, context.Cause(ctx))
	}
	id := make([]byte, 12)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	return &writer{ctx: ctx, b: b, key: key, id: hex.EncodeToString(id)}, nil
}

// reader reads one version of an object.
type reader struct {
	ctx    context.Context
	b      *Bucket
	object lake.Object
	stat   awsapi.Stat

	mu     sync.Mutex
	blocks map[int64][]byte // by number
	order  []int64          // of use, the latest last; not the first block's
	closed bool
}

func (r *reader) Object() lake.Object { return r.object }

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: offset %d", r.object.Key, off)
	}
	for n < len(p) {
		if off >= r.object.Size {
			return n, io.EOF
		}
		block, err := r.block(off / whole)
		if err != nil {
			return n, err
		}
		at := off % whole
		if at >= int64(len(block)) {
			return n, fmt.Errorf("read %s at %d: %w", r.object.Key, off, io.ErrUnexpectedEOF)
		}
		k := copy(p[n:], block[at:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

func (r *reader) block(i int64) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("read %s: already closed", r.object.Key)
	}
	if data, ok := r.blocks[i]; ok {
		return data, nil
	}
	ask := awsapi.Range{From: i * whole, To: min((i+1)*whole, r.object.Size), Version: r.stat.Version}
	if ask.Version == "" {
		ask.ETag = r.stat.ETag
	}
	data, _, err := r.b.b.Read(r.ctx, r.b.prefix+r.object.Key, ask)
	if err != nil {
		if errors.Is(err, awsapi.ErrNotFound) && !noBucket(err) {
			// It was there a moment ago.
			return nil, fmt.Errorf("read %s: %w", r.object.Key, errors.Join(lake.ErrChanged, err))
		}
		return nil, fail("read", r.object.Key, err)
	}
	if len(r.order) >= keepBlocks {
		delete(r.blocks, r.order[0])
		r.order = r.order[1:]
	}
	r.blocks[i], r.order = data, append(r.order, i)
	return data, nil
}

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("close %s: already closed", r.object.Key)
	}
	r.closed, r.blocks = true, nil
	return nil
}

// writer gathers an object, and writes it in parts when it is large.
type writer struct {
	ctx    context.Context
	b      *Bucket
	key    string
	id     string
	buf    []byte
	size   int64
	upload *awsapi.Upload
	done   bool
}

func (w *writer) meta() map[string]string { return map[string]string{writeMark: w.id} }

func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: already closed", w.key)
	}
	w.buf = append(w.buf, p...)
	w.size += int64(len(p))
	for len(w.buf) >= 2*part { // what is left is more than the least size of a part
		if err := w.flush(w.buf[:part]); err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], w.buf[part:]...)
	}
	return len(p), nil
}

func (w *writer) flush(data []byte) (err error) {
	if w.upload == nil {
		if w.upload, err = w.b.b.StartUpload(w.ctx, w.b.prefix+w.key, w.meta()); err != nil {
			w.upload = nil
			return fail("write", w.key, err)
		}
	}
	if err := w.upload.Part(w.ctx, data); err != nil {
		return fail("write", w.key, err)
	}
	return nil
}

// Commit implements lake.Writer.
func (w *writer) Commit(ifMatch string) (lake.Object, error) {
	if w.done {
		return lake.Object{}, fmt.Errorf("commit %s: already closed", w.key)
	}
	if err := w.ctx.Err(); err != nil {
		return lake.Object{}, errors.Join(fmt.Errorf("commit %s: %w", w.key, context.Cause(w.ctx)), w.Abort())
	}
	stat, err := w.commit(awsapi.Condition{ETag: ifMatch})
	if err != nil && w.ctx.Err() == nil {
		// The write may have taken effect although its answer was lost: asked again,
		// S3 says that the condition doesn't hold any more, or that there is no such
		// upload.
		if now, herr := w.b.b.Head(w.ctx, w.b.prefix+w.key); herr == nil && now.Meta[writeMark] == w.id {
			stat, err = now, nil
		}
	}
	if err != nil {
		err = fail("commit", w.key, err)
		if errors.Is(err, lake.ErrNotFound) && ifMatch != "" {
			err = errors.Join(lake.ErrChanged, err) // what was to be replaced is gone
		}
		return lake.Object{}, errors.Join(err, w.Abort())
	}
	w.done, w.buf = true, nil
	if stat.Modified.IsZero() {
		stat.Modified = time.Now().UTC()
	}
	return lake.Object{Key: w.key, Size: w.size, ETag: stat.ETag, ModTime: stat.Modified}, nil
}

func (w *writer) commit(only awsapi.Condition) (awsapi.Stat, error) {
	if w.upload == nil {
		return w.b.b.Put(w.ctx, w.b.prefix+w.key, w.buf, w.meta(), only)
	}
	if len(w.buf) > 0 {
		if err := w.upload.Part(w.ctx, w.buf); err != nil {
			return awsapi.Stat{}, err
		}
		w.buf = nil
	}
	return w.upload.Complete(w.ctx, only)
}

// Abort implements lake.Writer.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done, w.buf = true, nil
	if w.upload == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 20*time.Second)
	defer cancel()
	if err := w.upload.Abort(ctx); err != nil && !errors.Is(err, awsapi.ErrNotFound) {
		return fail("give up", w.key, err)
	}
	return nil
}
