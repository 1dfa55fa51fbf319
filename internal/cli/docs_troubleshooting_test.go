package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The messages that docs/troubleshooting.md explains are the program's own.
func TestDocsTroubleshooting(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // of this repository
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	verb := regexp.MustCompile(`%[-+#0-9.]*[a-z]`)
	program := verb.ReplaceAllString(source.String(), "%")
	messages := 0
	for line := range strings.Lines(string(page)) {
		cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |")
		if !ok || !strings.HasPrefix(line, "| `") {
			continue
		}
		messages++
		for part := range strings.SplitSeq(cell, "…") {
			if part = strings.Trim(part, " ,:;"); part != "" && !strings.Contains(program, part) {
				t.Errorf("the program doesn't say %q, of\n%s", part, line)
			}
		}
	}
	if messages < 40 {
		t.Errorf("only %d messages were found", messages)
	}
}
