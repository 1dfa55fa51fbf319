package lake

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// writer builds a day file from rows in their order. It writes Parquet itself,
// with parquet-go's encodings: that library's own writer takes several times as
// long for a small file, and a fifth of such a file for what nobody reads (page
// indexes, an index of each single page).
type writer[T any] struct {
	t      *table[T]
	out    *sealer
	offset int64
	err    error // that came up while a row group was written

	chunks []chunk
	group  int // rows and raw bytes of the row group
	raw    int
	footer format.FileMetaData
	counts map[string]int64
	rows   int64
	meta   map[string]string
	buf    []byte
}

const parquetMagic = "PAR1"

func (t *table[T]) write(out io.Writer, version string) *writer[T] {
	w := &writer[T]{t: t, out: &sealer{out: out}, counts: map[string]int64{}, footer: t.layout()}
	w.footer.CreatedBy = "iamtrack version " + version // the form that readers expect
	w.meta = map[string]string{metaSchema: strconv.Itoa(schemaVersion), metaVersion: version, metaSeal: openSeal}
	if chunks, ok := t.chunks.Get().(*[]chunk); ok {
		w.chunks = *chunks
	} else {
		w.chunks = t.newChunks()
	}
	w.start()
	w.write([]byte(parquetMagic))
	return w
}

func (t *table[T]) newChunks() []chunk {
	out := make([]chunk, len(t.fields))
	for i := range out {
		f := &t.fields[i]
		out[i] = chunk{field: f, bounded: slices.Contains(t.bounded, f.name),
			bloom: slices.Contains(t.bloom, f.name), random: slices.Contains(t.random, f.name)}
	}
	return out
}

// start begins a row group.
func (w *writer[T]) start() {
	for i := range w.chunks {
		w.chunks[i].start()
	}
	w.group, w.raw = 0, 0
}

func (w *writer[T]) write(p []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(p)
	}
	w.offset += int64(len(p))
}

func (w *writer[T]) add(row *T) error {
	for i := range w.chunks {
		w.raw += w.chunks[i].add(unsafe.Pointer(row))
	}
	w.counts[w.t.count(row)]++
	w.rows++
	w.group++
	if w.group >= rowGroupRows || w.raw >= rowGroupBytes {
		w.flush()
	}
	return w.err
}

// flush writes the row group.
func (w *writer[T]) flush() {
	if w.group == 0 {
		return
	}
	g := format.RowGroup{NumRows: int64(w.group), FileOffset: w.offset, SortingColumns: w.t.sorting(),
		Ordinal: int16(len(w.footer.RowGroups)), Columns: make([]format.ColumnChunk, len(w.chunks))}
	// parquet-go takes a column's codec from its first row group, so where there
	// are several all have the same.
	several := w.group >= rowGroupRows || w.raw >= rowGroupBytes || len(w.footer.RowGroups) > 0
	for i := range w.chunks {
		c := &w.chunks[i]
		c.zstd = c.zstd || several
		c.finish()
		m := format.ColumnMetaData{Type: c.field.physical(), Encoding: c.encodings(), PathInSchema: []string{c.field.name},
			NumValues: int64(w.group), TotalUncompressedSize: c.raw, TotalCompressedSize: int64(len(c.pages)),
			DataPageOffset: w.offset + int64(c.dictAt)}
		if c.zstd {
			m.Codec = format.Zstd
		}
		if c.dictAt > 0 {
			m.DictionaryPageOffset = w.offset
		}
		m.Statistics.NullCount = int64(c.nulls)
		m.Statistics.MinValue, m.Statistics.MaxValue = c.bounds()
		g.Columns[i] = format.ColumnChunk{MetaData: m}
		g.TotalByteSize += c.raw
		g.TotalCompressedSize += int64(len(c.pages))
		w.write(c.pages)
	}
	if w.group >= bloomRows {
		for i := range w.chunks {
			if c := &w.chunks[i]; c.bloom {
				w.filter(c.filter(), &g.Columns[i].MetaData)
			}
		}
	}
	w.footer.RowGroups = append(w.footer.RowGroups, g)
	w.start()
}

func (w *writer[T]) filter(f bloom.SplitBlockFilter, m *format.ColumnMetaData) {
	m.BloomFilterOffset = w.offset
	w.buf = appendThrift(w.buf[:0], &format.BloomFilterHeader{
		NumBytes:    int32(len(f.Bytes())),
		Algorithm:   format.BloomFilterAlgorithm{Value: &format.SplitBlockAlgorithm{}},
		Hash:        format.BloomFilterHash{Value: &format.XxHash{}},
		Compression: format.BloomFilterCompression{Value: &format.BloomFilterUncompressed{}},
	})
	m.BloomFilterLength = int32(len(w.buf) + len(f.Bytes()))
	w.write(w.buf)
	w.write(f.Bytes())
}

// close writes what is left and the footer. The writer can't be used any more.
func (w *writer[T]) close() error {
	w.flush()
	counts, err := json.Marshal(w.counts)
	if err != nil {
		return fmt.Errorf("row counts: %w", err)
	}
	w.meta[metaRows] = string(counts)
	w.footer.NumRows = w.rows
	for _, k := range []string{metaRows, metaSchema, metaSeal, metaSources, metaVersion} {
		if w.meta[k] == "" {
			continue
		}
		w.footer.KeyValueMetadata = append(w.footer.KeyValueMetadata, format.KeyValue{Key: k, Value: w.meta[k]})
	}
	w.out.hold()
	b := appendThrift(w.buf[:0], &w.footer)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	w.write(append(b, parquetMagic...))
	if w.err != nil {
		return w.err
	}
	chunks := w.chunks
	w.t.chunks.Put(&chunks)
	w.chunks = nil
	return w.out.seal()
}

// bytesWriter appends to itself.
type bytesWriter []byte

func (w *bytesWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func appendThrift(b []byte, v any) []byte {
	w := bytesWriter(b)
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&w)).Encode(v); err != nil {
		panic(err) // no value of ours fails, and memory takes all
	}
	return w
}
