package digest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Trail is where a trail's files lie. Methods but List are called from several
// goroutines.
type Trail interface {
	// List calls visit for every file, in any order, until visit fails.
	List(ctx context.Context, visit func(path string) error) error
	// Open opens a file as it is stored. A file that isn't there any more gives
	// fs.ErrNotExist.
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Signature is the digest file's own signature, hex, as its object's metadata
	// tell; empty when that isn't known.
	Signature(ctx context.Context, path string) (string, error)
}

// SignatureSuffix ends the name of a text file beside a copied digest file that
// holds its signature, for example made with
// `aws s3api head-object … --query Metadata.signature --output text`.
const SignatureSuffix = ".signature"

// FS returns the trail files below the root of a file system.
func FS(fsys fs.FS) Trail { return folder{fsys} }

type folder struct{ fs.FS }

func (f folder) List(ctx context.Context, visit func(string) error) error {
	return fs.WalkDir(f.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil || d.IsDir() {
			return err
		}
		return visit(path)
	})
}

func (f folder) Open(_ context.Context, path string) (io.ReadCloser, error) { return f.FS.Open(path) }

func (f folder) Signature(_ context.Context, path string) (string, error) {
	const most = 64 << 10
	file, err := f.FS.Open(path + SignatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, most))
	return strings.Trim(string(text), "\" \t\r\n"), errors.Join(err, file.Close())
}

// damagedError is a file that was read, but can't be unpacked: its content is
// wrong, while other errors say nothing about the content.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }

// faithful notes whether reading itself failed.
type faithful struct {
	r   io.Reader
	err error
}

func (f *faithful) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// unpacked gives read a file's uncompressed content, at most limit bytes of it;
// more is an error, and so is a file that can't be unpacked: a *damagedError.
func unpacked(ctx context.Context, t Trail, path string, limit int64, read func(io.Reader) error) error {
	file, err := t.Open(ctx, path)
	if err != nil {
		return err
	}
	raw := &faithful{r: file}
	err = unpack(raw, limit, read)
	if err != nil && raw.err == nil {
		err = &damagedError{err}
	}
	return errors.Join(err, file.Close())
}

func unpack(file io.Reader, limit int64, read func(io.Reader) error) error {
	buf := bufio.NewReaderSize(file, 64<<10)
	head, err := buf.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var in io.Reader = buf
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buf)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		in = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		defer z.Close()
		in = z
	}
	bounded := &io.LimitedReader{R: in, N: limit + 1}
	if err := read(bounded); err != nil {
		return err
	}
	if bounded.N <= 0 {
		return fmt.Errorf("unpacks to more than %d MiB", limit>>20)
	}
	return nil
}
