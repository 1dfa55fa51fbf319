package lake

import (
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// frames is zstd as day files have it, for parquet-go's writer.
type frames struct{ zstd.Codec }

func (f *frames) Encode(dst, src []byte) ([]byte, error) {
	return compress(&dst, src), nil
}

var codec = new(frames)

// writerOptions are the settings of parquet-go's writer, for files that are
// copied column by column rather than made of rows. They come close to what
// writer does.
func (t *table[T]) writerOptions() []parquet.WriterOption {
	opts := []parquet.WriterOption{
		t.schema,
		parquet.Compression(codec),
		parquet.PageBufferSize(pageBytes),
		// Not the library's default, DELTA_LENGTH_BYTE_ARRAY: lengths apart from
		// the bytes cost 10 % of the size.
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.WriteBufferSize(0), // the bucket's writer has a buffer
		parquet.DataPageVersion(1), // what every reader understands
		// Bounds in page headers are read by nobody; those of the column index
		// and the column chunk stay.
		parquet.DataPageStatistics(false),
		// A column of ever new values is not worth a dictionary.
		parquet.DictionaryMaxBytes(dictBytes),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending("account_id"), parquet.Ascending("event_time"), parquet.Ascending("event_id"))),
	}
	var filters []parquet.BloomFilterColumn
	for _, name := range t.bloom {
		filters = append(filters, parquet.SplitBlockFilter(bloomBits, name))
	}
	opts = append(opts, parquet.BloomFilters(filters...))
	for _, f := range t.fields {
		if f.kind == text && !slices.Contains(t.bounded, f.name) {
			opts = append(opts, parquet.SkipPageBounds(f.name))
		}
	}
	return opts
}

// panicOf turns a panic of parquet-go into an error.
func panicOf(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("parquet writer: %v", p)
	}
}
