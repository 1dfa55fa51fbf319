package duckdb

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// sources are the files that a query reads.
type sources struct {
	days     []lakeFile // of events
	months   []lakeFile // roll-ups: each stands for day files that are not in days
	filtered []lakeFile
	// clip tells that a month has days outside since to until.
	clip         bool
	since, until event.Date
}

// all returns every file.
func (s *sources) all() []lakeFile { return slices.Concat(s.days, s.months, s.filtered) }

// listSources chooses the files for the days since to until, of the tables that a
// statement mentions.
func listSources(lakeDir string, since, until event.Date, sql string) (_ *sources, err error) {
	s := &sources{since: since, until: until}
	if mentions(sql, filteredTable.name) {
		if s.filtered, err = listFiles(lakeDir, filteredTable, since, until); err != nil {
			return s, err
		}
	}
	if !mentions(sql, eventsTable.name) {
		return s, nil
	}
	// The day files before the roll-ups: one that stands for files listed here
	// stands for them whatever happens meanwhile.
	first, last := wholeMonths(since, until)
	days, err := listFiles(lakeDir, eventsTable, first, last)
	if err != nil {
		return s, err
	}
	rollUps, err := listRollUps(lakeDir)
	if err != nil {
		return s, err
	}
	for len(days) > 0 {
		n := monthLength(days)
		s.choose(lakeDir, days[:n], rollUps)
		days = days[n:]
	}
	return s, nil
}

// choose takes the roll-up of a month's day files, or those that are wanted
// themselves. A roll-up of which less than half is wanted isn't worth it: its
// row groups may be larger than the days.
func (s *sources) choose(lakeDir string, days []lakeFile, rollUps map[string]bool) {
	wanted := slices.DeleteFunc(slices.Clone(days), func(f lakeFile) bool { return f.date < s.since || f.date > s.until })
	objects := make([]lake.Object, len(days))
	for i, f := range days {
		objects[i] = f.object
	}
	key := lake.RollUpKey(objects)
	if key != "" && rollUps[key] && 2*len(wanted) >= len(days) {
		path := filepath.Join(lakeDir, filepath.FromSlash(key))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			s.months = append(s.months, lakeFile{rollUpTable, path, days[0].date, lake.DiskObject(key, info)})
			s.clip = s.clip || len(wanted) < len(days)
			return
		}
	}
	s.days = append(s.days, wanted...)
}

// monthLength is how many of the files, from the first on, are of one month.
func monthLength(days []lakeFile) int {
	for i := range days {
		if !sameMonth(days[0].date, days[i].date) {
			return i
		}
	}
	return len(days)
}

func sameMonth(a, b event.Date) bool {
	x, y := a.Time(), b.Time()
	return x.Year() == y.Year() && x.Month() == y.Month()
}

// wholeMonths widens a range of days to whole months.
func wholeMonths(since, until event.Date) (first, last event.Date) {
	of := func(d event.Date, month time.Month, day int) event.Date {
		d = min(max(d, minDate), maxDate) // whatever stands for no bound
		t := d.Time()
		return event.DateOf(time.Date(t.Year(), t.Month()+month, day, 0, 0, 0, 0, time.UTC).UnixMilli())
	}
	return of(since, 0, 1), of(until, 1, 0)
}

// Days beyond these have no folder: a year has four digits.
var (
	minDate = event.DateOf(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	maxDate = event.DateOf(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli())
)

// listRollUps returns the keys of the lake's roll-ups.
func listRollUps(lakeDir string) (map[string]bool, error) {
	entries, err := readDir(filepath.Join(lakeDir, rollUpTable.name))
	if err != nil {
		return nil, fmt.Errorf("list lake: %w", err)
	}
	keys := make(map[string]bool, len(entries))
	for _, e := range entries {
		keys[rollUpTable.name+"/"+e.Name()] = true
	}
	return keys, nil
}
