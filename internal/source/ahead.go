package source

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Log files are small and far away: they are fetched before they are asked for,
// many at once, as far as memory permits.
const (
	fetchers = 16
	// Part of the memory above which a file isn't fetched ahead, but read as it
	// comes.
	largeShare = 8
)

// Ahead has objects among the files fetched, in their order, before Open asks for
// them; at most memory bytes wait in between. Files must be opened in about that
// order, each at most once, and closed. What was fetched and not asked for is
// dropped when the context ends.
func Ahead(ctx context.Context, files []File, memory int64) {
	var remote []*File
	for i := range files {
		if f := &files[i]; f.remote != nil && f.Err == nil && f.Size < memory/largeShare {
			f.fetched = &fetched{ready: make(chan struct{})}
			remote = append(remote, f)
		}
	}
	if len(remote) == 0 {
		return
	}
	budget := semaphore.NewWeighted(memory)
	work := make(chan *File)
	go func() {
		defer close(work)
		for _, f := range remote {
			// In order, so that whoever waits for a file waits for one that is under
			// way: those after it can't have taken the last of the memory.
			if budget.Acquire(ctx, f.Size+1) != nil {
				return
			}
			f.fetched.release = sync.OnceFunc(func() { budget.Release(f.Size + 1) })
			select {
			case work <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	for range min(fetchers, len(remote)) {
		go func() {
			for f := range work {
				f.fetched.fetch(ctx, f)
			}
		}()
	}
}

// fetched is an object's content, or why it couldn't be had, once ready.
type fetched struct {
	ready   chan struct{}
	data    []byte
	err     error
	release func()
}

func (g *fetched) fetch(ctx context.Context, f *File) {
	defer close(g.ready)
	r, err := f.get(ctx)
	if err != nil {
		g.err = err
		return
	}
	buf := bytes.NewBuffer(make([]byte, 0, f.Size+bytes.MinRead))
	// An object that grew meanwhile is cut: its gzip stream ends too early, and
	// the file is read again by the next import, as its size differs.
	if _, err := io.Copy(buf, io.LimitReader(r, f.Size)); err != nil {
		g.err = err
	}
	g.data = buf.Bytes()
	_ = r.Close() // it was only read
}

// open waits for the content.
func (g *fetched) open(ctx context.Context) (io.ReadCloser, error) {
	select {
	case <-g.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	data := g.data
	g.data = nil
	if g.err != nil {
		g.release()
		return nil, g.err
	}
	return &held{Reader: bytes.NewReader(data), release: g.release}, nil
}

// held gives its memory back when it is closed.
type held struct {
	*bytes.Reader
	release func()
}

func (h *held) Close() error { h.release(); return nil }

// get opens the object that the file is.
func (f *File) get(ctx context.Context) (io.ReadCloser, error) {
	_, key, _ := strings.Cut(strings.TrimPrefix(f.Path, S3Scheme), "/")
	return f.remote.Get(ctx, key)
}

// openRemote opens an object, fetched ahead or not.
func (f *File) openRemote(ctx context.Context) (io.ReadCloser, error) {
	if f.fetched != nil {
		return f.fetched.open(ctx)
	}
	return f.get(ctx)
}
