package lake

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unsafe"

	"github.com/parquet-go/parquet-go"
)

// writer builds a day file from rows in their order.
type writer[T any] struct {
	t      *table[T]
	out    *sealer
	w      *parquet.GenericWriter[T]
	batch  []T
	column []parquet.Value // of one column of the batch
	weight int             // of the batch
	group  int             // rows and raw bytes of the row group
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
	w := &writer[T]{t: t, out: &sealer{out: out}, batch: make([]T, 0, writeRows), counts: map[string]int64{}}
	// A new writer each time: one that is Reset (v0.32.0) clears the column paths
	// and sorting columns that the next file's footer needs.
	w.w = parquet.NewGenericWriter[T](w.out, t.writerOptions()...)
	w.w.SetKeyValueMetadata(metaSchema, strconv.Itoa(schemaVersion))
	w.w.SetKeyValueMetadata(metaVersion, version)
	w.w.SetKeyValueMetadata(metaSeal, openSeal)
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
	if err := w.columns(); err != nil {
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

// columns writes the batch column by column. GenericWriter.Write (v0.32.0) takes
// some runs of zero values for present ones: of NULL, value, NULL, NULL, the last
// two became empty strings (TestNulls).
func (w *writer[T]) columns() error {
	if len(w.batch) == 0 {
		return nil // the library takes the address of the first value
	}
	for i, column := range w.w.ColumnWriters() {
		f := &w.t.fields[i]
		w.column = w.column[:0]
		for j := range w.batch {
			w.column = append(w.column, f.value(unsafe.Pointer(&w.batch[j]), i))
		}
		if _, err := column.WriteRowValues(w.column); err != nil {
			return err
		}
	}
	return nil
}

// value is the field of the row at p, as the parquet value of column i.
func (f *field) value(p unsafe.Pointer, i int) parquet.Value {
	p = unsafe.Add(p, f.offset)
	var v parquet.Value
	switch f.kind {
	case integer:
		v = parquet.Int64Value(*(*int64)(p))
	case boolean:
		b := *(**bool)(p)
		if b == nil {
			return parquet.NullValue().Level(0, 0, i)
		}
		v = parquet.BooleanValue(*b)
	default:
		s := *(*string)(p)
		if s == "" && f.optional {
			return parquet.NullValue().Level(0, 0, i)
		}
		v = parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(s), len(s)))
	}
	if f.optional {
		return v.Level(0, 1, i)
	}
	return v.Level(0, 0, i)
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
	if err := w.w.Flush(); err != nil {
		return err
	}
	w.out.hold()
	if err := w.w.Close(); err != nil {
		return err
	}
	return w.out.seal()
}

// panicOf turns a panic of parquet-go into an error.
func panicOf(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet writer: %v", p)
	}
}
