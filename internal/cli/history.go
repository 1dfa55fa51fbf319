package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	historyFile = "sql_history"
	maxHistory  = 1000 // entries
)

// history keeps the prompt's lines in a file of the data directory, for its
// owner only. It implements term.History.
type history struct {
	path    string
	entries []string // oldest first
}

// openHistory reads the history; with an error there is still one, in memory.
func openHistory(dir string) (*history, error) {
	h := &history{path: filepath.Join(dir, historyFile)}
	data, err := os.ReadFile(h.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if line != "" {
			h.entries = append(h.entries, line)
		}
	}
	if over := len(h.entries) - maxHistory; over > 0 {
		h.entries = h.entries[over:]
		err := os.WriteFile(h.path, []byte(strings.Join(h.entries, "\n")+"\n"), 0o600)
		if err != nil {
			return h, fmt.Errorf("shorten %s: %w", h.path, err)
		}
	}
	return h, nil
}

// Add appends a line; a repetition of the last one isn't kept. A file that
// can't be written only shortens the memory to this session.
func (h *history) Add(entry string) {
	entry = strings.ReplaceAll(entry, "\n", " ")
	if strings.TrimSpace(entry) == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
		return
	}
	h.entries = append(h.entries, entry)
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = f.WriteString(entry + "\n")
	_ = f.Close()
}

// Len returns the number of entries.
func (h *history) Len() int { return len(h.entries) }

// At returns an entry, the newest at 0.
func (h *history) At(i int) string { return h.entries[len(h.entries)-1-i] }
