package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
)

// table is one of the lake's tables.
type table struct {
	name string // also its folder's name
	file string // name of each day's file
}

var (
	eventsTable   = table{"events", "events.parquet"}
	filteredTable = table{"filtered", "filtered.parquet"}
)

// partition starts the name of each day's folder.
const partition = "event_date="

// lakeFile is a day's file as it was when the folder was listed.
type lakeFile struct {
	path string
	date event.Date
	size int64
	mod  time.Time
}

// listFiles returns a table's files of the days since to until, both
// inclusive, ascending. Folders and files of other names are left alone; a
// table without a folder has no files.
func listFiles(lakeDir string, t table, since, until event.Date) ([]lakeFile, error) {
	dir := filepath.Join(lakeDir, t.name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list lake: %w", err)
	}
	var files []lakeFile
	for _, e := range entries {
		day, ok := strings.CutPrefix(e.Name(), partition)
		if !ok {
			continue
		}
		date, err := event.ParseDate(day)
		if err != nil || date < since || date > until {
			continue
		}
		path := filepath.Join(dir, e.Name(), t.file)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list lake: %w", err)
		}
		if info.Mode().IsRegular() {
			files = append(files, lakeFile{path, date, info.Size(), info.ModTime()})
		}
	}
	return files, nil
}

// changed tells whether any of the files was replaced or removed since.
func changed(files []lakeFile) bool {
	for _, f := range files {
		info, err := os.Stat(f.path)
		if err != nil || info.Size() != f.size || !info.ModTime().Equal(f.mod) {
			return true
		}
	}
	return false
}
