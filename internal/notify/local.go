package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// terminal shows messages where the program runs.
type terminal struct{ w io.Writer }

func (t *terminal) send(_ context.Context, m *outgoing) error {
	if t.w == nil {
		return errNotHere
	}
	_, err := fmt.Fprintf(t.w, "\n%s\n%s\n\n", m.subject, m.text)
	return err
}

// file appends one JSON object a line, and sees it on disk.
type file struct {
	path string
	mu   sync.Mutex
}

func (f *file) send(_ context.Context, m *outgoing) (err error) {
	line, err := m.json()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	w, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the file: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	line = append(line, '\n')
	// A line that a full disk or a kill cut short must not spoil the next one.
	if end, err := w.Seek(0, io.SeekEnd); err == nil && end > 0 {
		var last [1]byte
		if _, err := w.ReadAt(last[:], end-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := w.Write(line); err != nil {
		return fmt.Errorf("append to the file: %w", err)
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("write the file to disk: %w", err)
	}
	return nil
}
