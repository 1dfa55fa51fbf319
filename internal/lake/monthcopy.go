package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// monthRow says which columns a roll-up has: an event's, and the day, which a
// day file has in its path.
type monthRow struct {
	event.Event
	EventDate int32 `parquet:"event_date,date,dict"` // days since 1970-01-01
}

const eventDate = "event_date"

var monthSchema = parquet.NewSchema("event", parquet.SchemaOf(monthRow{}))

// metaDays is the footer's entry with the day files that a roll-up was made of.
const metaDays = "iamtrack.days"

// Row groups of a roll-up end at this many rows, or bytes of the day files'
// (compressed) columns, which is about what they take in memory until they end.
const (
	monthGroupRows  = 100_000
	monthGroupBytes = 32 << 20
)

// monthWriter copies day files into a roll-up, a column at a time: no row is put
// together.
type monthWriter struct {
	out     *sealer
	w       *parquet.GenericWriter[monthRow]
	columns []*parquet.ColumnWriter
	values  []parquet.Value // of one column
	group   int64           // rows and bytes of the row group
	bytes   int64
	counts  map[string]int64
}

func newMonthWriter(out io.Writer, version, days string) *monthWriter {
	w := &monthWriter{out: &sealer{out: out}, counts: map[string]int64{}, values: make([]parquet.Value, 1024)}
	// The settings of a day file, but for columns and order.
	w.w = parquet.NewGenericWriter[monthRow](w.out, append(eventTable.writerOptions(), monthSchema,
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending(eventDate),
			parquet.Ascending("account_id"), parquet.Ascending("event_time"), parquet.Ascending("event_id"))))...)
	w.columns = w.w.ColumnWriters()
	w.w.SetKeyValueMetadata(metaSchema, strconv.Itoa(schemaVersion))
	w.w.SetKeyValueMetadata(metaVersion, version)
	w.w.SetKeyValueMetadata(metaDays, days)
	w.w.SetKeyValueMetadata(metaSeal, openSeal)
	return w
}

// add copies a day.
func (w *monthWriter) add(ctx context.Context, d event.Date, f *file) error {
	for category, n := range f.counts {
		w.counts[category] += n
	}
	for i, g := range f.RowGroups() {
		var size int64
		for _, c := range f.Metadata().RowGroups[i].Columns {
			size += c.MetaData.TotalCompressedSize
		}
		if err := w.addGroup(ctx, d, f, g, size); err != nil {
			return fmt.Errorf("copy %s: %w", f.Object().Key, err)
		}
	}
	return nil
}

// addGroup copies a row group of a day, of so many bytes, and ends row groups of
// the month where they are full.
func (w *monthWriter) addGroup(ctx context.Context, d event.Date, f *file, g parquet.RowGroup, size int64) (err error) {
	defer damageOf(&err)
	from := make([]monthSource, len(eventTable.fields))
	defer func() {
		for i := range from {
			from[i].close()
		}
	}()
	chunks := g.ColumnChunks()
	for i := range from {
		if err := from[i].open(&eventTable.fields[i], f, chunks); err != nil {
			return err
		}
	}
	rows := g.NumRows()
	perRow := size/max(rows, 1) + 1
	for done := int64(0); done < rows; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(rows-done, monthGroupRows-w.group, (monthGroupBytes-w.bytes)/perRow+1)
		for i := range from {
			if err := w.copy(&from[i], w.columns[i], n); err != nil {
				return fmt.Errorf("column %s: %w", from[i].field.name, err)
			}
		}
		if err := w.day(d, n); err != nil {
			return err
		}
		done += n
		w.group += n
		w.bytes += n * perRow
		if w.group >= monthGroupRows || w.bytes >= monthGroupBytes {
			w.group, w.bytes = 0, 0
			if err := w.w.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy copies n values of a column, one a row.
func (w *monthWriter) copy(from *monthSource, to *parquet.ColumnWriter, n int64) error {
	for n > 0 {
		values := w.values[:min(n, int64(len(w.values)))]
		k, err := from.read(values)
		if err != nil {
			return err
		}
		if _, err := to.WriteRowValues(values[:k]); err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// day writes the day's date n times.
func (w *monthWriter) day(d event.Date, n int64) error {
	v := parquet.Int32Value(int32(d)).Level(0, 0, len(w.columns)-1)
	for i := range w.values {
		w.values[i] = v
	}
	for n > 0 {
		k := min(n, int64(len(w.values)))
		if _, err := w.columns[len(w.columns)-1].WriteRowValues(w.values[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

func (w *monthWriter) close() (err error) {
	defer panicOf(&err)
	counts, err := json.Marshal(w.counts)
	if err != nil {
		return fmt.Errorf("row counts: %w", err)
	}
	w.w.SetKeyValueMetadata(metaRows, string(counts))
	if err := w.w.Flush(); err != nil {
		return err
	}
	w.out.hold()
	if err := w.w.Close(); err != nil {
		return err
	}
	return w.out.seal()
}

// monthSource yields the values of a column chunk of a day file, whatever schema
// the file has.
type monthSource struct {
	field  *field
	max    int // definition level of a value; 0 in a column without NULLs
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader // of the page; nil: another page is needed
}

func (s *monthSource) open(fd *field, f *file, chunks []parquet.ColumnChunk) error {
	s.field = fd
	leaf, ok := f.Schema().Lookup(fd.name)
	if !ok {
		return nil // the file is older than the column
	}
	if !fd.readable(leaf.Node) {
		return fmt.Errorf("%w: column %s has type %v", ErrDamaged, fd.name, leaf.Node.Type())
	}
	s.max = leaf.MaxDefinitionLevel
	s.pages = chunks[leaf.ColumnIndex].Pages()
	return nil
}

func (s *monthSource) close() {
	if s.page != nil {
		parquet.Release(s.page)
	}
	if s.pages != nil {
		_ = s.pages.Close() // only read from
	}
}

// read fills values, as the roll-up's column wants them, up to the page's end;
// at least one. The values are valid until the next call.
func (s *monthSource) read(values []parquet.Value) (int, error) {
	if s.pages == nil {
		for i := range values {
			values[i] = s.field.zero()
		}
		return len(values), nil
	}
	for {
		if s.values == nil {
			if s.page != nil {
				parquet.Release(s.page)
				s.page = nil
			}
			page, err := s.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return 0, fmt.Errorf("fewer rows than the footer says: %w", ErrDamaged)
			}
			if err != nil {
				return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			s.page, s.values = page, page.Values()
		}
		n, err := s.values.ReadValues(values)
		if err != nil {
			s.values = nil
			if !errors.Is(err, io.EOF) {
				return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		if n > 0 {
			s.level(values[:n])
			return n, nil
		}
		if err == nil {
			return 0, fmt.Errorf("%w: no value read", ErrDamaged)
		}
	}
}

// level makes values of a column that could be NULL, or could not, such of one
// that is as it is today.
func (s *monthSource) level(values []parquet.Value) {
	optional := s.field.optional
	if optional == (s.max > 0) {
		return
	}
	for i, v := range values {
		switch {
		case v.IsNull():
			values[i] = s.field.zero()
		case optional:
			values[i] = v.Level(0, 1, v.Column())
		default:
			values[i] = v.Level(0, 0, v.Column())
		}
	}
}

// zero is the field's value where a record had none.
func (f *field) zero() parquet.Value {
	switch {
	case f.optional:
		return parquet.NullValue()
	case f.kind == integer:
		return parquet.Int64Value(0)
	case f.kind == boolean:
		return parquet.BooleanValue(false)
	}
	return parquet.ByteArrayValue([]byte{})
}
