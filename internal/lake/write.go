package lake

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// writer builds a day file from rows in their order.
type writer[T any] struct {
	t      *table[T]
	w      *parquet.GenericWriter[T]
	batch  []T
	weight int // of the batch
	group  int // rows and raw bytes of the row group
	raw    int
	counts map[string]int64
	rows   int64
}

// Rows go to the parquet writer in batches of so many rows or bytes. It looks
// at the size of its pages after each, so a batch of large rows must be short.
const (
	writeRows  = 64
	writeBytes = 1 << 20
)

func (t *table[T]) write(out io.Writer, version string) *writer[T] {
	w := &writer[T]{t: t, batch: make([]T, 0, writeRows), counts: map[string]int64{}}
	if pw, ok := t.writers.Get().(*parquet.GenericWriter[T]); ok {
		pw.Reset(out)
		w.w = pw
	} else {
		w.w = parquet.NewGenericWriter[T](out, t.writerOptions()...)
	}
	w.w.SetKeyValueMetadata(metaSchema, strconv.Itoa(schemaVersion))
	w.w.SetKeyValueMetadata(metaVersion, version)
	return w
}

func (w *writer[T]) add(row *T) error {
	w.batch = append(w.batch, *row)
	w.weight += w.t.weight(row)
	w.counts[w.t.count(row)]++
	w.rows++
	if len(w.batch) == cap(w.batch) || w.weight >= writeBytes {
		return w.flush()
	}
	return nil
}

func (w *writer[T]) flush() (err error) {
	defer panicOf(&err)
	if _, err := w.w.Write(w.batch); err != nil {
		return err
	}
	w.group += len(w.batch)
	w.raw += w.weight
	clear(w.batch) // lets the strings go
	w.batch, w.weight = w.batch[:0], 0
	if w.group >= rowGroupRows || w.raw >= rowGroupBytes {
		w.group, w.raw = 0, 0
		return w.w.Flush()
	}
	return nil
}

// close writes what is left and the footer.
func (w *writer[T]) close() error {
	if err := w.flush(); err != nil {
		return err
	}
	counts, err := json.Marshal(w.counts)
	if err != nil {
		return fmt.Errorf("row counts: %w", err)
	}
	w.w.SetKeyValueMetadata(metaRows, string(counts))
	return w.finish()
}

func (w *writer[T]) finish() (err error) {
	defer panicOf(&err)
	if err := w.w.Close(); err != nil {
		return err
	}
	w.t.writers.Put(w.w) // one that failed is in no known state and isn't reused
	w.w = nil
	return nil
}

// panicOf turns a panic of parquet-go into an error.
func panicOf(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet writer: %v", p)
	}
}
