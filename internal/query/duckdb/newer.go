package duckdb

import (
	"fmt"
	"os"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// schemaKey is the footer's key that tells which version of the schema a file
// was written with; package lake writes it.
const schemaKey = "iamtrack.schema"

// knownSchema is the version that EventColumns describes.
const knownSchema = 1

// checkNewest refuses a lake that a newer version of the program has written
// to. Only the file written last is looked at: one footer costs nothing, and
// what a newer program touched last is newer. (Package lake checks each file
// that it opens.) A file that can't be opened is for DuckDB to complain about.
func (e *Engine) checkNewest(files []lakeFile) error {
	if len(files) == 0 {
		return nil
	}
	newest := files[0]
	for _, f := range files {
		if f.object.ModTime.After(newest.object.ModTime) {
			newest = f
		}
	}
	version, ok := schemaVersion(newest)
	if ok && version > knownSchema {
		return fmt.Errorf("the lake's file %s was written by a newer version of iamtrack (schema %d, this one knows %d): update iamtrack",
			e.relative(newest), version, knownSchema)
	}
	return nil
}

func schemaVersion(f lakeFile) (version int, ok bool) {
	file, err := os.Open(f.path)
	if err != nil {
		return 0, false
	}
	defer func() { _ = file.Close() }()
	p, err := parquet.OpenFile(file, f.object.Size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return 0, false
	}
	text, ok := p.Lookup(schemaKey)
	if !ok {
		return 0, false
	}
	version, err = strconv.Atoi(text)
	return version, err == nil
}
