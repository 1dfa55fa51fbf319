package lake

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/zeebo/xxh3"

	"github.com/iamtrack/iamtrack/internal/event"
)

// schemaVersion is in every file's footer. It rises when a reader of the older
// number would misread a file; a column more is no such change, since files are
// read by column name.
const schemaVersion = 1

// table says how rows of T are kept; everything else in this package is the
// same for both tables.
type table[T any] struct {
	prefix  string // of the object keys
	path    func(event.Date) string
	fields  []field  // all columns, in order
	ranked  []string // columns that id and rank need
	schema  *parquet.Schema
	compare func(a, b *T) int
	id      func(*T) event.Key
	date    func(*T) event.Date
	rank    func(*T) rank
	count   func(*T) string // what the footer counts rows by
	bounded []string        // text columns with minimum and maximum in chunks and pages
	bloom   []string        // columns with a bloom filter
	fault   string          // name of the fault point around its commit
}

// rank orders the contents seen for one key; the greatest stays.
type rank struct {
	a int64
	b uint64
}

func (r rank) compare(o rank) int { return cmp.Or(cmp.Compare(r.a, o.a), cmp.Compare(r.b, o.b)) }

// versionRank is event.Version's order in less space. Numbers that need more
// than 31 bits count as the greatest that doesn't.
func versionRank(v event.Version) rank {
	clamp := func(n int) int64 { return int64(min(max(n, -math.MaxInt32), math.MaxInt32)) }
	return rank{clamp(v.Major)<<32 + clamp(v.Minor), v.Hash}
}

var eventTable = &table[event.Event]{
	prefix: eventsPrefix,
	path:   eventsKey,
	fields: fieldsOf[event.Event](),
	ranked: []string{"account_id", "event_id", "event_version", "record_hash"},
	schema: parquet.NewSchema("event", parquet.SchemaOf(event.Event{})),
	compare: func(a, b *event.Event) int {
		return a.Compare(b)
	},
	id:    (*event.Event).Key,
	date:  (*event.Event).Date,
	rank:  func(e *event.Event) rank { return versionRank(e.Version()) },
	count: func(e *event.Event) string { return e.Category },
	// What bounds can rule out row groups by. For the rest they would be the
	// whole range every time, cost a comparison a row, and may be as long as the
	// longest value, megabytes.
	bounded: []string{"event_id", "account_id", "aws_region", "event_source", "event_name", "category", "outcome"},
	// What people look up by one value. A filter over a dictionary holds its
	// distinct values only and costs next to nothing; event_id's is the large
	// one, 10 bits a row.
	bloom: []string{"event_id", "access_key_id", "issued_access_key_id", "actor", "source_ip",
		"user_name", "role_name", "session_name", "identity_arn", "principal_id", "target_name", "target_arn"},
	fault: "lake.commit",
}

var filteredTable = &table[event.Filtered]{
	prefix: filteredPrefix,
	path:   filteredKey,
	fields: fieldsOf[event.Filtered](),
	ranked: []string{"account_id", "event_id", "event_time", "aws_region", "event_source", "event_name", "reason"},
	schema: parquet.NewSchema("filtered", parquet.SchemaOf(event.Filtered{})),
	compare: func(a, b *event.Filtered) int {
		return cmp.Or(strings.Compare(a.AccountID, b.AccountID),
			cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID))
	},
	id:   (*event.Filtered).Key,
	date: (*event.Filtered).Date,
	// Rows of one key differ hardly ever (a record that was changed). Which one
	// stays doesn't matter, only that the order of arrival has no say in it.
	rank: func(f *event.Filtered) rank {
		var h xxh3.Hasher
		for _, s := range []string{f.AWSRegion, f.EventSource, f.EventName, f.Reason} {
			_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(s))))
			_, _ = h.WriteString(s)
		}
		return rank{-f.EventTime, h.Sum64()}
	},
	count:   func(f *event.Filtered) string { return f.Reason },
	bounded: []string{"event_id", "account_id", "aws_region", "event_source", "event_name", "reason"},
	bloom:   []string{"event_id"},
	fault:   "lake.commit.filtered",
}

// Row groups end at this many rows or raw bytes: pages of the current one are
// held in memory, compressed, until it ends.
const (
	rowGroupRows  = 64 << 10
	rowGroupBytes = 64 << 20
)

// codec is shared by all files: it keeps encoders, each of which has tables of
// its own to clear.
var codec = &zstd.Codec{Level: zstd.SpeedFastest}

// writerOptions are the settings of every file of the table. Measured on 100,000
// made-up events (2026-11, one core, see BenchmarkMergeNew): zstd's fastest level
// took a fifth less time than its default for 6 % more bytes; pages of 512 KiB
// make 3 % less bytes than such of 256 KiB.
func (t *table[T]) writerOptions() []parquet.WriterOption {
	opts := []parquet.WriterOption{
		t.schema,
		parquet.Compression(codec),
		parquet.PageBufferSize(512 << 10),
		// Not the library's default, DELTA_LENGTH_BYTE_ARRAY: lengths apart from
		// the bytes cost 10 % of the size, and not every reader knows it.
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.WriteBufferSize(0), // the bucket's writer has a buffer
		parquet.DataPageVersion(1), // what every reader understands
		// Bounds in page headers are read by nobody; those of the column index
		// and the column chunk stay.
		parquet.DataPageStatistics(false),
		// A column of ever new values is not worth a dictionary.
		parquet.DictionaryMaxBytes(1 << 20),
		parquet.SortingWriterConfig(parquet.SortingColumns(
			parquet.Ascending("account_id"), parquet.Ascending("event_time"), parquet.Ascending("event_id"))),
	}
	var filters []parquet.BloomFilterColumn
	for _, name := range t.bloom {
		filters = append(filters, parquet.SplitBlockFilter(10, name))
	}
	opts = append(opts, parquet.BloomFilters(filters...))
	for _, f := range t.fields {
		if f.kind == text && !slices.Contains(t.bounded, f.name) {
			opts = append(opts, parquet.SkipPageBounds(f.name))
		}
	}
	return opts
}

type kind int

const (
	text kind = iota
	integer
	boolean
)

// field is one column: where it lies in the Go struct. Values are read and
// written through the offset, because a closure or reflection for each of 39
// columns of each row would cost more than decoding it.
type field struct {
	name     string
	kind     kind
	offset   uintptr
	optional bool // a zero value is NULL
}

// fieldsOf reads the columns from T's struct tags, which are the contract. It
// panics on a type that no column has; it runs once, at start.
func fieldsOf[T any]() []field {
	var out []field
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		c := field{name: name, offset: f.Offset, optional: slices.Contains(strings.Split(options, ","), "optional")}
		switch f.Type {
		case reflect.TypeFor[string]():
			c.kind = text
		case reflect.TypeFor[int64]():
			c.kind = integer
		case reflect.TypeFor[*bool]():
			c.kind = boolean
		default:
			panic(fmt.Sprintf("lake: column %s of %v has type %v", name, t, f.Type))
		}
		out = append(out, c)
	}
	return out
}

// at points to the field's place in a row; V must be the type that kind names.
func at[V, T any](row *T, f *field) *V {
	return (*V)(unsafe.Add(unsafe.Pointer(row), f.offset))
}

// weight is about how many bytes a row takes before compression.
func (t *table[T]) weight(row *T) int {
	n := 8 * len(t.fields)
	for i := range t.fields {
		if f := &t.fields[i]; f.kind == text {
			n += len(*at[string](row, f))
		}
	}
	return n
}

// hash128 stands for an event.Key. Two keys of a lake having the same is less
// likely (2^-128 a pair) than the disk lying about a bit.
type hash128 = xxh3.Uint128

func hashKey(k event.Key) hash128 {
	var buf [96]byte
	b := append(buf[:0], k.AccountID...)
	b = append(b, 0)
	b = append(b, k.EventID...)
	return xxh3.Hash128(b)
}
