package lake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var _ Bucket = (*mem)(nil)

// OpenMem returns an empty bucket in memory. It keeps to the contract as
// strictly as any other and reports misuse (a write after Commit, a read after
// Close) as an error, so that tests over it find such faults.
func OpenMem() Bucket { return &mem{objects: make(map[string]memObject)} }

type mem struct {
	mu      sync.Mutex // guards the rest
	objects map[string]memObject
	writes  int64 // makes every ETag unique
}

type memObject struct {
	Object
	data []byte // never changed after Commit, so that readers may share it
}

var errClosed = errors.New("already closed")

func (m *mem) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := cmp.Or(CheckPrefix(prefix), alive(ctx, "list", prefix)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Object
	for key, o := range m.objects {
		if strings.HasPrefix(key, prefix) {
			out = append(out, o.Object)
		}
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (m *mem) Open(ctx context.Context, key string) (Reader, error) {
	if err := cmp.Or(CheckKey(key), alive(ctx, "open", key)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", key, ErrNotFound)
	}
	return &memReader{o: o}, nil
}

func (m *mem) Create(ctx context.Context, key string) (Writer, error) {
	if err := cmp.Or(CheckKey(key), alive(ctx, "create", key)); err != nil {
		return nil, err
	}
	return &memWriter{m: m, ctx: ctx, key: key}, nil
}

func (m *mem) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(CheckKey(key), alive(ctx, "delete", key)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

type memReader struct {
	o      memObject
	mu     sync.Mutex
	closed bool
}

func (r *memReader) Object() Object { return r.o.Object }

func (r *memReader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("read %s: %w", r.o.Key, errClosed)
	}
	return bytes.NewReader(r.o.data).ReadAt(p, off)
}

func (r *memReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("close %s: %w", r.o.Key, errClosed)
	}
	r.closed = true
	return nil
}

type memWriter struct {
	m    *mem
	ctx  context.Context
	key  string
	buf  bytes.Buffer
	done bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.key, errClosed)
	}
	return w.buf.Write(p)
}

func (w *memWriter) Commit(ifMatch string) (Object, error) {
	if w.done {
		return Object{}, fmt.Errorf("commit %s: %w", w.key, errClosed)
	}
	w.done = true
	if err := alive(w.ctx, "commit", w.key); err != nil {
		return Object{}, err
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.m.objects[w.key].ETag != ifMatch {
		return Object{}, fmt.Errorf("commit %s: %w", w.key, ErrChanged)
	}
	w.m.writes++
	o := Object{Key: w.key, Size: int64(w.buf.Len()), ETag: strconv.FormatInt(w.m.writes, 16), ModTime: time.Now().UTC()}
	w.m.objects[w.key] = memObject{Object: o, data: w.buf.Bytes()}
	return o, nil
}

func (w *memWriter) Abort() error {
	w.done = true
	w.buf = bytes.Buffer{}
	return nil
}

// readAll reads a whole object of at most the size it was opened with.
func readAll(r Reader) ([]byte, error) {
	b := make([]byte, r.Object().Size)
	if _, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", r.Object().Key, err)
	}
	return b, nil
}
