package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Limits of decompression. Trail files unpack to 10 to 40 times their size; a
// bomb reaches 1,000 (gzip) or far more (zstd).
const (
	maxRatio    = 300       // bytes out per byte in, judged once past ratioGrace
	ratioGrace  = 256 << 20 // bytes out
	maxUnpacked = 256 << 30 // bytes out, of one file
	zstdWindow  = 128 << 20 // bytes of history a zstd frame may ask for
	readBuffer  = 256 << 10

	// Files up to this size, which nearly all of a trail have, are unpacked as a
	// whole, if they then fit in some memory.
	smallPacked   = 1 << 20
	smallUnpacked = 8 << 20
)

// ErrBomb is wrapped by the error of a file that unpacks to more than is sane.
var ErrBomb = errors.New("unpacks to more than is permitted")

// Reader reads a file's decompressed bytes.
type Reader struct {
	r      io.Reader
	packed *counter // bytes as stored
	out    int64    // bytes unpacked
	zipped bool
	whole  []byte // all that there is to read; nil: it is read as it comes
	close  []func() error
}

// Open opens a file; what it holds, plain JSON, gzip (several members too) or
// zstd, is told by its first bytes, not by its name. stdin is read for Stdin.
// Errors do not repeat the path.
//
// A pipe may have nothing to read for as long as its writer likes, and can't
// even be opened before there is one; the end of the context ends both, with its
// cause.
func Open(ctx context.Context, f File, stdin io.Reader) (*Reader, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	r := &Reader{}
	in, err := input(ctx, f, stdin)
	if err != nil {
		return nil, unwrapPath(err)
	}
	if c, ok := in.(io.Closer); ok {
		r.close = append(r.close, c.Close)
	}
	r.packed = &counter{r: in}
	u := unpackers.Get().(*unpacker)
	r.close = append(r.close, func() error { u.release(); return nil })
	if f.Size > 0 && f.Size <= smallPacked {
		if r.whole = u.small(r.packed); r.whole != nil {
			r.r, r.zipped = bytes.NewReader(r.whole), true
			return r, nil
		}
	} else {
		u.in.Reset(r.packed)
	}
	buf := u.in
	head, err := buf.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = r.Close()
		return nil, unwrapPath(err)
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		if err := u.gzip.Reset(buf); err != nil {
			_ = r.Close()
			return nil, fmt.Errorf("gzip: %w", err)
		}
		r.r, r.zipped = &u.gzip, true
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			_ = r.Close()
			return nil, fmt.Errorf("zstd: %w", err)
		}
		r.r, r.zipped = z, true
		r.close = append(r.close, func() error { z.Close(); return nil })
	default:
		r.r = buf
	}
	return r, nil
}

// unpacker is what unpacking a file takes, kept for the next: a trail has very
// many small files.
type unpacker struct {
	in       *bufio.Reader
	gzip     gzip.Reader
	packed   []byte // of a small file
	unpacked []byte
}

// small returns what a small gzip file holds, valid until release. If it is none,
// or damaged, it returns nil and in reads the file from its start: a reader that
// streams gives what comes before the damage, and tells what it is.
func (u *unpacker) small(r io.Reader) []byte {
	if u.packed == nil {
		u.packed = make([]byte, smallPacked+1) // so that its end is seen
	}
	n, err := io.ReadFull(r, u.packed)
	all := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if packed := u.packed[:n]; all && bytes.HasPrefix(packed, gzipMagic) {
		if u.unzip(packed, smallUnpacked) {
			return u.unpacked
		}
	}
	rest := r
	if err != nil && !all {
		rest = failed{err}
	}
	u.in.Reset(io.MultiReader(bytes.NewReader(u.packed[:n]), rest))
	return nil
}

// unzip unpacks a whole gzip file into unpacked. It reports false for one that is
// damaged, or that unpacks to more than limit bytes.
func (u *unpacker) unzip(packed []byte, limit int) bool {
	if err := u.gzip.Reset(bytes.NewReader(packed)); err != nil {
		return false
	}
	out := u.unpacked[:0]
	// The size at the end is of the last member only, and may be a lie.
	if size := int(binary.LittleEndian.Uint32(packed[len(packed)-4:])); size < limit && size >= cap(out) {
		out = make([]byte, 0, size+1)
	}
	for {
		if len(out) == cap(out) {
			out = slices.Grow(out, max(4096, len(out)))
		}
		n, err := u.gzip.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		u.unpacked = out
		if len(out) > limit || err != nil && !errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			return true
		}
	}
}

// failed is what is read after a failure.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

var gzipMagic = []byte{0x1f, 0x8b}

var unpackers = sync.Pool{New: func() any { return &unpacker{in: bufio.NewReaderSize(nil, readBuffer)} }}

func (u *unpacker) release() {
	u.in.Reset(nil) // nothing of the file is held on to
	unpackers.Put(u)
}

// input opens what a path names. Only what it opened, or made, is an io.Closer.
func input(ctx context.Context, f File, stdin io.Reader) (io.Reader, error) {
	if f.remote != nil {
		return f.openRemote(ctx)
	}
	if f.content != nil {
		return bytes.NewReader(f.content), nil
	}
	path := f.Path
	if path == Stdin {
		if stdin == nil {
			return nil, errors.New("no standard input")
		}
		in := struct{ io.Reader }{stdin} // not ours to close
		if file, ok := stdin.(*os.File); ok && mayWait(file.Stat()) {
			return pump(ctx, func() (io.Reader, error) { return in, nil }), nil
		}
		return in, nil
	}
	if mayWait(os.Stat(path)) {
		return pump(ctx, func() (io.Reader, error) { return os.Open(path) }), nil
	}
	return os.Open(path)
}

// mayWait tells whether reading may take for ever: all but regular files.
func mayWait(info fs.FileInfo, err error) bool {
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// pump reads in a goroutine of its own, which is left behind, waiting in the
// system, when the context ends or the reader is closed first.
func pump(ctx context.Context, open func() (io.Reader, error)) io.ReadCloser {
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(context.Cause(ctx)) }) // it never fails
	go func() {
		defer stop()
		in, err := open()
		if err == nil {
			_, err = io.CopyBuffer(pw, struct{ io.Reader }{in}, make([]byte, readBuffer))
			if c, ok := in.(io.Closer); ok {
				_ = c.Close() // it was only read
			}
		}
		_ = pw.CloseWithError(err) // nil: io.EOF
	}()
	return pr
}

// Read returns unpacked bytes. A truncated or damaged file gives an error that
// wraps io.ErrUnexpectedEOF or the codec's, a bomb one that wraps ErrBomb.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.out += int64(n)
	if r.zipped {
		if r.out > maxUnpacked {
			return n, fmt.Errorf("%w: over %d GiB", ErrBomb, maxUnpacked>>30)
		}
		if r.out > ratioGrace && r.out/maxRatio > r.packed.n {
			return n, fmt.Errorf("%w: over %d times its size", ErrBomb, maxRatio)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = unwrapPath(err)
	}
	return n, err
}

// Whole returns all that the file unpacks to, valid until Close, if that is in
// memory and nothing was read yet; else nil.
func (r *Reader) Whole() []byte { return r.whole }

// Packed returns how many bytes of the stored file were read so far; safe to
// call while another goroutine reads only between its calls.
func (r *Reader) Packed() int64 { return r.packed.n }

// Close releases the file.
func (r *Reader) Close() error {
	var errs []error
	for i := len(r.close) - 1; i >= 0; i-- {
		errs = append(errs, r.close[i]())
	}
	r.close, r.r, r.whole = nil, closed{}, nil
	return errors.Join(errs...)
}

// closed is what is read of a closed file.
type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, fs.ErrClosed }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
