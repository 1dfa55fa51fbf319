package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/iamtrack/iamtrack/internal/query"
)

// rows is a result that is computed as it is read. It owns its instance. Not
// safe for concurrent use.
type rows struct {
	ctx    context.Context
	engine *Engine
	inst   *instance
	stop   func() // of the watcher
	stmt   mapping.PreparedStatement
	result mapping.Result
	files  []lakeFile

	columns []query.Column
	types   []columnType

	chunk   mapping.DataChunk
	readers []vectorReader // of the chunk's columns
	size    int            // rows in the chunk
	row     int            // next row of the chunk
	eof     bool           // DuckDB has no more chunks
	values  []any

	stats   query.Stats
	start   time.Time
	release func()
	failed  error // what Next returns from now on
	closed  bool
}

// newRows starts a prepared statement and computes its first rows. It takes
// over the instance and the statement, and gives them back on error.
func newRows(ctx context.Context, inst *instance, stmt mapping.PreparedStatement, e *Engine, files []lakeFile) (*rows, error) {
	r := &rows{ctx: ctx, engine: e, inst: inst, stmt: stmt, files: files, stop: inst.watch(ctx)}
	r.stats.Files = int64(len(files))
	if err := r.begin(); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

func (r *rows) begin() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	var pending mapping.PendingResult
	defer mapping.DestroyPending(&pending)
	if pendingStreaming(r.stmt, &pending) == mapping.StateError {
		return errors.New(mapping.PendingError(pending))
	}
	if mapping.ExecutePending(pending, &r.result) == mapping.StateError {
		return errors.New(mapping.ResultError(&r.result))
	}
	for i := range mapping.ColumnCount(&r.result) {
		name := mapping.ColumnName(&r.result, i)
		t := mapping.ColumnLogicalType(&r.result, i)
		kind, err := typeOf(t)
		mapping.DestroyLogicalType(&t)
		if err != nil {
			return fmt.Errorf("column %s has %w", name, err)
		}
		r.types = append(r.types, kind)
		r.columns = append(r.columns, query.Column{Name: name, Type: kind.name})
	}
	r.values = make([]any, len(r.columns))
	if err := r.fetch(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// fetch gets the next chunk that has rows, or io.EOF.
func (r *rows) fetch() error {
	if r.eof {
		return io.EOF // DuckDB calls it an error to ask again
	}
	for {
		mapping.DestroyDataChunk(&r.chunk)
		r.chunk = mapping.FetchChunk(r.result)
		r.row, r.size = 0, 0
		if r.chunk.Ptr == nil {
			if message := mapping.ResultError(&r.result); message != "" {
				return errors.New(message)
			}
			if err := r.ctx.Err(); err != nil {
				return err // an interrupt can look like the end
			}
			r.eof = true
			return io.EOF
		}
		if r.size = int(mapping.DataChunkGetSize(r.chunk)); r.size > 0 {
			break
		}
	}
	r.readers = r.readers[:0]
	for i := range r.types {
		r.readers = append(r.readers, r.types[i].reader(mapping.DataChunkGetVector(r.chunk, mapping.IdxT(i))))
	}
	return nil
}

// Columns describes the result.
func (r *rows) Columns() []query.Column { return r.columns }

// Next returns the next row, or io.EOF.
func (r *rows) Next() ([]any, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if limit := r.engine.options.MaxRows; limit > 0 && r.stats.Rows >= limit {
		r.stats.Truncated = r.row < r.size || r.fetch() == nil
		return nil, r.finish(io.EOF)
	}
	if r.row >= r.size {
		if err := r.fetch(); err != nil {
			return nil, r.finish(err)
		}
	}
	for i := range r.readers {
		v, err := r.readers[i].value(r.row)
		if err != nil {
			return nil, r.finish(fmt.Errorf("column %s: %w", r.columns[i].Name, err))
		}
		r.values[i] = v
	}
	r.row++
	r.stats.Rows++
	return r.values, nil
}

// finish ends the result with io.EOF or an error.
func (r *rows) finish(err error) error {
	if !errors.Is(err, io.EOF) {
		if r.ctx.Err() == nil && changed(r.files) {
			err = fmt.Errorf("the lake was changed while the result was read; run the query again: %w", r.engine.scrub(err))
		} else {
			err = r.engine.explain(r.ctx, err, r.files)
		}
	}
	r.failed = err
	r.end()
	r.stats.Elapsed = time.Since(r.start)
	return err
}

// Stats tells what the answer took.
func (r *rows) Stats() query.Stats { return r.stats }

// Close gives everything back; the rows not read are dropped.
func (r *rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.failed == nil {
		r.failed = errors.New("the result is closed")
	}
	r.end()
	r.release()
	return nil
}

// end releases all of DuckDB, once.
func (r *rows) end() {
	if r.inst == nil {
		return
	}
	r.stop()
	mapping.DestroyDataChunk(&r.chunk)
	mapping.DestroyResult(&r.result)
	mapping.DestroyPrepare(&r.stmt)
	r.stats.BytesScanned = r.inst.bytesScanned(r.files)
	r.inst.close()
	r.inst = nil
	r.row, r.size = 0, 0
}
