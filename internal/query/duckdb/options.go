// Package duckdb answers SQL over the lake on one machine, with DuckDB inside
// the process. It is a package of its own because DuckDB is cgo and large: the
// Lambda function must not link it.
//
// Each query has a DuckDB of its own, in memory, which knows two views (events
// and filtered) over an explicit list of the lake's files, and then is locked: no
// file outside the lake's folders of events can be opened, no setting changed, no
// extension loaded. Opening one takes about ten milliseconds, while the lake's
// files are listed, and in exchange the list is always today's, a query can be
// given only the days it needs, and nothing leaks from one query into the next. A
// month's copy of its days (lake.RollUpKey) is read in their place where it stands
// for exactly those that are there. What may be run at all is decided before that
// by DuckDB's own parser; see check.go.
//
// Results are streamed, so memory stays within Options.MemoryMB whatever their
// size.
package duckdb

import (
	"time"
)

// Options of an engine.
type Options struct {
	// LakeDir is the folder that holds events/ and filtered/. It need not
	// exist yet: an empty lake has empty tables.
	LakeDir string
	// MemoryMB is how much DuckDB may use for one query, in MiB; 0 means 256.
	// What doesn't fit is put in TempDir.
	MemoryMB int
	// Threads is how many threads a query uses; 0 means one a core.
	Threads int
	// TempDir is where a query's overflow goes, in a folder of its own that is
	// removed afterwards; empty means the system's folder for such files.
	TempDir string
	// TempMB bounds that overflow, in MiB; 0 means 10,240.
	TempMB int
	// Timeout bounds each query from its start until its rows are closed; 0
	// means none.
	Timeout time.Duration
	// MaxRows ends each result after so many rows, with Stats.Truncated set; 0
	// means no limit.
	MaxRows int64
	// Concurrent is how many queries run at once, others wait; 0 means 2. A
	// query counts until its rows are closed.
	Concurrent int
}

func (o Options) withDefaults() Options {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.MemoryMB, 256)
	set(&o.TempMB, 10*1024)
	set(&o.Concurrent, 2)
	return o
}
