package duckdb

import (
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"
	"github.com/parquet-go/parquet-go"
)

// DuckDB's own count of bytes read covers little more than footers (1.5.6), so
// ours is an estimate: for each scan of the lake in the plan that was run, the
// files that it opened, at the average size of the files it was given, times
// the share that the touched columns (and the footer) have in the largest of
// them. Row groups that statistics let DuckDB skip are counted all the same.

// bytesScanned estimates what the last statement read of the given files.
func (i *instance) bytesScanned(files []lakeFile) int64 {
	info := mapping.GetProfilingInfo(i.conn)
	if info.Ptr == nil || len(files) == 0 {
		return 0
	}
	var total int64
	for _, s := range scans(info) {
		total += s.bytes(files)
	}
	return total
}

// scan is one operator that read Parquet.
type scan struct {
	detail string // the profiler's text: columns, filters
	opened int64  // files
	table  table
}

var (
	openedForm = regexp.MustCompile(`Total Files Read=(\d+)`)
	wordsForm  = regexp.MustCompile(`[a-z][a-z0-9_]*`)
)

func scans(info mapping.ProfilingInfo) []scan {
	var found []scan
	value := mapping.ProfilingInfoGetValue(info, "EXTRA_INFO")
	if value.Ptr != nil {
		detail := mapping.GetVarchar(value)
		mapping.DestroyValue(&value)
		if m := openedForm.FindStringSubmatchIndex(detail); m != nil && strings.Contains(detail, "READ_PARQUET") {
			s := scan{detail: detail[:m[0]], table: eventsTable}
			s.opened, _ = strconv.ParseInt(detail[m[2]:m[3]], 10, 64)
			switch rest := detail[m[1]:]; {
			case strings.Contains(rest, filteredTable.file):
				s.table = filteredTable
			case !strings.Contains(rest, eventsTable.file):
				s.table = rollUpTable
			}
			found = append(found, s)
		}
	}
	for c := range mapping.ProfilingInfoGetChildCount(info) {
		found = append(found, scans(mapping.ProfilingInfoGetChild(info, c))...)
	}
	return found
}

func (s scan) bytes(files []lakeFile) int64 {
	var size, n int64
	var largest lakeFile
	for _, f := range files {
		if f.table == s.table {
			size, n = size+f.object.Size, n+1
			if f.object.Size > largest.object.Size {
				largest = f
			}
		}
	}
	if n == 0 {
		return 0
	}
	columns := map[string]bool{}
	for _, word := range wordsForm.FindAllString(s.detail, -1) {
		columns[word] = true
	}
	return int64(float64(size) * float64(min(s.opened, n)) / float64(n) * share(largest, columns))
}

// share is the part of a file that reading some columns touches, 0 to 1; of a
// file that is no longer there, all.
func share(f lakeFile, columns map[string]bool) float64 {
	file, err := os.Open(f.path)
	if err != nil {
		return 1
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return 1
	}
	p, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return 1
	}
	var touched, rest int64
	for _, group := range p.Metadata().RowGroups {
		for _, c := range group.Columns {
			if columns[strings.Join(c.MetaData.PathInSchema, ".")] {
				touched += c.MetaData.TotalCompressedSize
			} else {
				rest += c.MetaData.TotalCompressedSize
			}
		}
	}
	footer := info.Size() - touched - rest // and the indexes and bloom filters
	return min(1, max(0, float64(touched+footer)/float64(info.Size())))
}
