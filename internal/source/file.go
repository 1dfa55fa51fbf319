// Package source finds and opens what events come from. Files are named by
// path, folder, glob or "-" (standard input); a trail's log files are known by
// their name, wherever they lie, because layouts differ (organization trails,
// Control Tower, hand-made prefixes). The package decompresses, and bounds what
// decompression may yield; it parses nothing.
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/iamtrack/iamtrack/internal/event"
)

// File is an input file.
type File struct {
	Path    string // absolute; "-" for standard input
	Size    int64  // bytes as stored; 0 for standard input
	ModTime time.Time
	ETag    string // of an S3 object, else ""
	// Date is the UTC day in a trail log file's name, and Dated whether there
	// is one. Events lie on that day or close to it; nothing may rely on it.
	Date  event.Date
	Dated bool
	// Named says that the user named this very file, not a folder around it.
	Named bool
	// Err says why what was found at Path can't be read at all: a folder that
	// is closed to us, a link to nowhere. Open returns it.
	Err error

	content []byte   // of a file that is in memory; nil for others
	remote  Bucket   // where an s3:// path lies; nil for files of this machine
	fetched *fetched // see Ahead; nil when it isn't fetched ahead
}

// InMemory is a file of what was read elsewhere; path says where, and etag tells its
// content from others of that path.
func InMemory(path, etag string, content []byte) File {
	return File{Path: path, Size: int64(len(content)), ETag: etag, Named: true, content: content}
}

// Stdin is the path that means standard input.
const Stdin = "-"

// Skipped counts what a folder held beside event files.
type Skipped struct {
	Digest          int // CloudTrail-Digest: chains of signatures
	Insight         int // CloudTrail-Insight
	NetworkActivity int // CloudTrail-NetworkActivity
	Aggregated      int // CloudTrail-Aggregated: another record shape
	Other           int // names that are no JSON, gzip or zstd files
}

// Total returns the number of files that were passed over.
func (s Skipped) Total() int {
	return s.Digest + s.Insight + s.NetworkActivity + s.Aggregated + s.Other
}

// logName is the name that CloudTrail gives a log file (CloudTrail User Guide,
// "CloudTrail log file names"): the day and minute are of the delivery.
var logName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`_CloudTrail_[a-z0-9-]+_(\d{4})(\d{2})(\d{2})T\d{4}Z_`)
})

// siblings are the parts of path and name that tell a trail's other files.
var siblings = []struct {
	part  string
	count func(*Skipped) *int
}{
	{"CloudTrail-Digest", func(s *Skipped) *int { return &s.Digest }},
	{"CloudTrail-Insight", func(s *Skipped) *int { return &s.Insight }},
	{"CloudTrail-NetworkActivity", func(s *Skipped) *int { return &s.NetworkActivity }},
	{"CloudTrail-Aggregated", func(s *Skipped) *int { return &s.Aggregated }},
}

// Expand lists the files that paths name: files as they are, folders with all
// below them, globs (with ** for any depth). The list is in order of the day in
// the file name, undated files last, then of path, so that the files of one day
// are read together; no file is listed twice. A path that does not exist or can't
// be read, and a glob that matches nothing, is an error that names it; what can't
// be read below a folder, or among the matches of a glob, is listed with Err, so
// that it holds up nothing else. Links to folders are followed, but for those that
// lead to what was walked before, or back above it.
func Expand(paths []string) ([]File, Skipped, error) {
	var (
		files []File
		skip  Skipped
		seen  = map[string]bool{}
	)
	add := func(path, place string, info fs.FileInfo, named bool) error {
		abs, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
		if seen[abs] || seen[place] {
			return nil
		}
		seen[abs], seen[place] = true, true
		if c := sibling(abs); c != nil {
			*c(&skip)++
			return nil
		}
		if !named && !eventFileName(abs) {
			skip.Other++
			return nil
		}
		f := File{Path: abs, Size: info.Size(), ModTime: info.ModTime(), Named: named}
		f.Date, f.Dated = dateInName(filepath.Base(abs))
		files = append(files, f)
		return nil
	}
	for _, p := range paths {
		if p == Stdin {
			if !seen[Stdin] {
				seen[Stdin] = true
				files = append(files, File{Path: Stdin, Named: true})
			}
			continue
		}
		matches, err := match(p)
		if err != nil {
			return nil, skip, err
		}
		fail := func(path string, err error) {
			abs, aerr := filepath.Abs(path)
			if aerr != nil {
				abs = path
			}
			if !seen[abs] {
				seen[abs] = true
				files = append(files, File{Path: abs, Err: unwrapPath(err)})
			}
		}
		for _, m := range matches {
			w := walker{add: add, fail: fail}
			if err := w.walk(m, m == p); err != nil {
				return nil, skip, err
			}
		}
	}
	sortFiles(files)
	return files, skip, nil
}

// dateInName is the day in a trail log file's name.
func dateInName(path string) (event.Date, bool) {
	m := logName().FindStringSubmatch(path)
	if m == nil {
		return 0, false
	}
	d, err := event.ParseDate(m[1] + "-" + m[2] + "-" + m[3])
	return d, err == nil
}

// sortFiles brings files in the order of Expand.
func sortFiles(files []File) {
	slices.SortStableFunc(files, func(a, b File) int {
		switch {
		case a.Dated != b.Dated:
			if a.Dated {
				return -1
			}
			return 1
		case a.Date != b.Date:
			return int(a.Date) - int(b.Date)
		}
		return strings.Compare(a.Path, b.Path)
	})
}

// match expands one argument: itself when it exists, else as a glob.
func match(p string) ([]string, error) {
	if _, err := os.Stat(p); err == nil {
		return []string{p}, nil
	} else if !strings.ContainsAny(p, "*?[{") {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("import %s: no such file or folder", p)
		}
		return nil, fmt.Errorf("import %s: %w", p, unwrapPath(err))
	}
	matches, err := doublestar.FilepathGlob(p)
	if err != nil {
		return nil, fmt.Errorf("import %s: not a valid pattern: %w", p, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("import %s: no file matches this pattern", p)
	}
	return matches, nil
}

// walker lists what lies below folders.
type walker struct {
	// add takes a file; place is its path without links to folders in it.
	add  func(path, place string, info fs.FileInfo, named bool) error
	fail func(path string, err error)
	dirs []string // real paths of the folders walked, the first one first
}

// walk adds root, or, if it is a folder, the files below it. An error of root
// itself is returned when the user named it, all others go to fail.
func (w *walker) walk(root string, named bool) error {
	info, err := os.Stat(root)
	if err != nil {
		return w.bad(root, err, named)
	}
	place, err := realPath(root)
	if err != nil {
		return w.bad(root, err, named)
	}
	if !info.IsDir() {
		return w.add(root, place, info, named)
	}
	w.dirs = append(w.dirs, place)
	// Where a link leads only a trailing separator says.
	return filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		top := path == filepath.Clean(root)
		switch {
		case err != nil:
			return w.bad(path, err, named && top)
		case !top && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(path) // follows links
		if err != nil {
			if !eventFileName(path) {
				return nil // wherever it leads, it is no event file
			}
			return w.bad(path, err, false)
		}
		switch {
		case info.IsDir():
			return w.follow(path)
		case !info.Mode().IsRegular():
			return nil
		}
		return w.add(path, filepath.Join(place, strings.TrimPrefix(path, filepath.Clean(root))), info, false)
	})
}

// follow walks the folder that a link below another folder leads to.
func (w *walker) follow(link string) error {
	place, err := realPath(link)
	if err != nil {
		return w.bad(link, err, false)
	}
	if within(w.dirs[0], place) {
		return nil
	}
	for _, d := range w.dirs {
		if within(place, d) {
			return nil
		}
	}
	return w.walk(link, false)
}

func (w *walker) bad(path string, err error, named bool) error {
	if named {
		return fmt.Errorf("import %s: %w", path, unwrapPath(err))
	}
	w.fail(path, err)
	return nil
}

// realPath is the absolute path of a file, without links in it.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// within reports whether a path is a folder or lies below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// sibling returns the counter of a trail file that holds no events, or nil. The
// folder's name counts as well as the file's: both carry it in a trail's bucket.
func sibling(path string) func(*Skipped) *int {
	dir, name := filepath.Split(path)
	for _, s := range siblings {
		if strings.Contains(name, "_"+s.part+"_") || strings.Contains(filepath.ToSlash(dir), "/"+s.part+"/") {
			return s.count
		}
	}
	return nil
}

// eventFileName tells whether a file found in a folder is worth opening.
func eventFileName(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	for _, packed := range []string{".gz", ".gzip", ".zst", ".zstd"} {
		if rest, ok := strings.CutSuffix(name, packed); ok {
			name = rest
			// A packed file without a second ending is taken as it comes.
			if filepath.Ext(name) == "" {
				return true
			}
			break
		}
	}
	switch filepath.Ext(name) {
	case ".json", ".jsonl", ".ndjson", ".log":
		return true
	}
	return false
}

// unwrapPath drops the path that os errors repeat.
func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
