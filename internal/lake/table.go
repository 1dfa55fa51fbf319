package lake

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
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
	random  []string        // columns of ever new values of one length
	fault   string          // name of the fault point around its commit

	once   sync.Once
	footer format.FileMetaData
	chunks sync.Pool // of *[]chunk, one for each field
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
	bounded: []string{"account_id", "event_time", "aws_region", "event_source", "event_name", "category", "outcome"},
	// What people look up by one value. A filter over a dictionary holds its
	// distinct values only and costs next to nothing; event_id's is the large
	// one, 10 bits a row.
	bloom: []string{"event_id", "access_key_id", "issued_access_key_id", "actor", "source_ip",
		"user_name", "role_name", "session_name", "identity_arn", "principal_id", "target_name", "target_arn"},
	random: []string{"event_id", "record_hash"},
	fault:  "lake.commit",
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
		h := uint64(0)
		for _, s := range [...]string{f.AWSRegion, f.EventSource, f.EventName, f.Reason} {
			h = bits.RotateLeft64(h, 17) ^ xxh3.HashString(s)
		}
		return rank{-f.EventTime, h}
	},
	count:   func(f *event.Filtered) string { return f.Reason },
	bounded: []string{"account_id", "event_time", "aws_region", "event_source", "event_name", "reason"},
	bloom:   []string{"event_id"},
	random:  []string{"event_id"},
	fault:   "lake.commit.filtered",
}

// Row groups end at this many rows or raw bytes: pages of the current one are
// held in memory, compressed, until it ends.
const (
	rowGroupRows  = 64 << 10
	rowGroupBytes = 64 << 20
)

// A bloom filter pays in a large row group only: of a small one it would cost a
// reader as much to fetch as the column's dictionary.
const (
	bloomRows = 8 << 10
	bloomBits = 10 // for each value
)

// boundBytes is the longest text kept as a bound.
const boundBytes = 64

// layout returns the parts of a footer that are the same in every file, as the
// Parquet library derives them from T's struct tags.
func (t *table[T]) layout() format.FileMetaData {
	t.once.Do(func() {
		var empty bytes.Buffer
		w := parquet.NewGenericWriter[T](&empty, t.schema)
		if err := w.Close(); err != nil {
			panic(err) // memory takes all
		}
		f, err := parquet.OpenFile(bytes.NewReader(empty.Bytes()), int64(empty.Len()))
		if err != nil {
			panic(err)
		}
		m := f.Metadata()
		t.footer = format.FileMetaData{Version: 1, Schema: m.Schema, ColumnOrders: m.ColumnOrders}
	})
	return t.footer
}

// sorting is the order of the rows.
func (t *table[T]) sorting() []format.SortingColumn {
	var out []format.SortingColumn
	for _, name := range []string{"account_id", "event_time", "event_id"} {
		i := slices.IndexFunc(t.fields, func(f field) bool { return f.name == name })
		out = append(out, format.SortingColumn{ColumnIdx: int32(i)})
	}
	return out
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

// physical is the column's Parquet type.
func (f *field) physical() format.Type {
	return [...]format.Type{text: format.ByteArray, integer: format.Int64, boolean: format.Boolean}[f.kind]
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
