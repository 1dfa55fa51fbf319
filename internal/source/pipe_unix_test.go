//go:build unix

package source_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/iamtrack/iamtrack/internal/source"
)

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Without a writer a pipe can't be opened; an interrupt ends the wait.
func TestOpenPipeInterrupted(t *testing.T) {
	files, _, err := source.Expand([]string{fifo(t)})
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, err := source.Open(ctx, files[0], nil); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

// A writer that writes no more holds nobody either, be it a named pipe or
// standard input.
func TestReadPipeInterrupted(t *testing.T) {
	path := fifo(t)
	both, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close() //nolint:errcheck // a test's pipe
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close() //nolint:errcheck // a test's pipe
	defer pw.Close() //nolint:errcheck // a test's pipe
	for _, c := range []struct {
		path   string
		writer *os.File
	}{{path, both}, {source.Stdin, pw}} {
		const text = `{"Records":[`
		if _, err := c.writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := source.Open(ctx, source.File{Path: c.path}, pr)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", c.path, got, err)
		}
		cancel(stopped)
		if _, err := r.Read(got); !errors.Is(err, stopped) {
			t.Errorf("%s: read after the interrupt: %v", c.path, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Pipes are read to their end.
func TestReadPipe(t *testing.T) {
	path := fifo(t)
	go func() {
		if err := os.WriteFile(path, packGzip(t, []byte("hello")), 0); err != nil {
			t.Error(err)
		}
	}()
	r, err := source.Open(t.Context(), source.File{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
