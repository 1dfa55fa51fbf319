package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// table is a kind of files that the lake has.
type table struct {
	name string // of the folder; of the view too, but for roll-ups
	file string // name of each day's file; empty for roll-ups
}

var (
	eventsTable   = table{"events", "events.parquet"}
	filteredTable = table{"filtered", "filtered.parquet"}
	rollUpTable   = table{name: "months"} // of events
)

// partition starts the name of each day's folder.
const partition = "event_date="

// lakeFile is a file as it was when the folder was listed.
type lakeFile struct {
	table  table
	path   string
	date   event.Date // the first one that it holds
	object lake.Object
}

// listFiles returns a table's files of the days since to until, both
// inclusive, ascending. Folders and files of other names are left alone; a
// table without a folder has no files.
func listFiles(lakeDir string, t table, since, until event.Date) ([]lakeFile, error) {
	dir := filepath.Join(lakeDir, t.name)
	entries, err := readDir(dir)
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
			key := t.name + "/" + e.Name() + "/" + t.file
			files = append(files, lakeFile{t, path, date, lake.DiskObject(key, info)})
		}
	}
	return files, nil
}

// readDir lists a folder, by name; one that isn't there is empty.
func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// changed tells whether any of the files was replaced or removed since.
func changed(files []lakeFile) bool {
	for _, f := range files {
		info, err := os.Stat(f.path)
		if err != nil || lake.DiskObject(f.object.Key, info).ETag != f.object.ETag {
			return true
		}
	}
	return false
}
