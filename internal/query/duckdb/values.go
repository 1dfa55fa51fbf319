package duckdb

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/iamtrack/iamtrack/internal/query"
)

// columnType is a column's type with what is needed to read its values.
type columnType struct {
	id       mapping.Type
	name     string // as SQL writes it
	storage  mapping.Type
	scale    int
	words    []string // of an enum
	fields   []string // of a struct or union
	children []columnType
	size     int // of an array
}

var typeNames = map[mapping.Type]string{
	mapping.TypeBoolean: "BOOLEAN", mapping.TypeTinyInt: "TINYINT", mapping.TypeSmallInt: "SMALLINT",
	mapping.TypeInteger: "INTEGER", mapping.TypeBigInt: "BIGINT", mapping.TypeUTinyInt: "UTINYINT",
	mapping.TypeUSmallInt: "USMALLINT", mapping.TypeUInteger: "UINTEGER", mapping.TypeUBigInt: "UBIGINT",
	mapping.TypeHugeInt: "HUGEINT", mapping.TypeUHugeInt: "UHUGEINT", mapping.TypeFloat: "FLOAT",
	mapping.TypeDouble: "DOUBLE", mapping.TypeTimestamp: "TIMESTAMP", mapping.TypeTimestampS: "TIMESTAMP_S",
	mapping.TypeTimestampMS: "TIMESTAMP_MS", mapping.TypeTimestampNS: "TIMESTAMP_NS",
	mapping.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE", mapping.TypeDate: "DATE", mapping.TypeTime: "TIME",
	mapping.TypeTimeTZ: "TIME WITH TIME ZONE", mapping.TypeInterval: "INTERVAL", mapping.TypeVarchar: "VARCHAR",
	mapping.TypeBlob: "BLOB", mapping.TypeUUID: "UUID", mapping.TypeSQLNull: "NULL", mapping.TypeEnum: "ENUM",
}

// typeOf reads a logical type. The error names a type whose values we can't
// show and says what to do.
func typeOf(t mapping.LogicalType) (columnType, error) {
	c := columnType{id: mapping.GetTypeId(t)}
	c.name = typeNames[c.id]
	switch c.id {
	case mapping.TypeDecimal:
		c.scale = int(mapping.DecimalScale(t))
		c.storage = mapping.DecimalInternalType(t)
		c.name = fmt.Sprintf("DECIMAL(%d,%d)", mapping.DecimalWidth(t), c.scale)
	case mapping.TypeEnum:
		c.storage = mapping.EnumInternalType(t)
		for i := range mapping.EnumDictionarySize(t) {
			c.words = append(c.words, mapping.EnumDictionaryValue(t, mapping.IdxT(i)))
		}
	case mapping.TypeList, mapping.TypeMap:
		if err := c.addChild(mapping.ListTypeChildType(t)); err != nil {
			return c, err
		}
		c.name = c.children[0].name + "[]"
		if c.id == mapping.TypeMap {
			c.name = "MAP"
		}
	case mapping.TypeArray:
		c.size = int(mapping.ArrayTypeArraySize(t))
		if err := c.addChild(mapping.ArrayTypeChildType(t)); err != nil {
			return c, err
		}
		c.name = fmt.Sprintf("%s[%d]", c.children[0].name, c.size)
	case mapping.TypeStruct:
		c.name = "STRUCT"
		for i := range mapping.StructTypeChildCount(t) {
			c.fields = append(c.fields, mapping.StructTypeChildName(t, i))
			if err := c.addChild(mapping.StructTypeChildType(t, i)); err != nil {
				return c, err
			}
		}
	default:
		if c.name == "" {
			return c, fmt.Errorf("a type (number %d) that can't be shown: CAST it to VARCHAR", int(c.id))
		}
	}
	return c, nil
}

// addChild reads and releases a child's type.
func (c *columnType) addChild(t mapping.LogicalType) error {
	defer mapping.DestroyLogicalType(&t)
	child, err := typeOf(t)
	c.children = append(c.children, child)
	return err
}

// vectorReader reads the values of one vector, valid as long as its chunk.
type vectorReader struct {
	kind     *columnType
	data     unsafe.Pointer
	validity unsafe.Pointer // one bit a row, nil when no row is NULL
	children []vectorReader
}

// reader prepares reading a vector of the type.
func (c *columnType) reader(v mapping.Vector) vectorReader {
	r := vectorReader{kind: c, data: mapping.VectorGetData(v), validity: mapping.VectorGetValidity(v)}
	switch c.id {
	case mapping.TypeList, mapping.TypeMap:
		r.children = []vectorReader{c.children[0].reader(mapping.ListVectorGetChild(v))}
	case mapping.TypeArray:
		r.children = []vectorReader{c.children[0].reader(mapping.ArrayVectorGetChild(v))}
	case mapping.TypeStruct:
		for i := range c.children {
			r.children = append(r.children, c.children[i].reader(mapping.StructVectorGetChild(v, mapping.IdxT(i))))
		}
	}
	return r
}

// at reads a fixed-size value.
func at[T any](r *vectorReader, row int) T {
	var zero T
	return *(*T)(unsafe.Add(r.data, uintptr(row)*unsafe.Sizeof(zero)))
}

// value returns a row's value as query.Rows describes it.
func (r *vectorReader) value(row int) (any, error) {
	if r.validity != nil {
		word := *(*uint64)(unsafe.Add(r.validity, uintptr(row/64)*8))
		if word&(1<<(row%64)) == 0 {
			return nil, nil
		}
	}
	switch r.kind.id {
	case mapping.TypeSQLNull:
		return nil, nil
	case mapping.TypeBoolean:
		return at[uint8](r, row) != 0, nil
	case mapping.TypeTinyInt:
		return int64(at[int8](r, row)), nil
	case mapping.TypeSmallInt:
		return int64(at[int16](r, row)), nil
	case mapping.TypeInteger:
		return int64(at[int32](r, row)), nil
	case mapping.TypeBigInt:
		return at[int64](r, row), nil
	case mapping.TypeUTinyInt:
		return int64(at[uint8](r, row)), nil
	case mapping.TypeUSmallInt:
		return int64(at[uint16](r, row)), nil
	case mapping.TypeUInteger:
		return int64(at[uint32](r, row)), nil
	case mapping.TypeUBigInt:
		return whole(new(big.Int).SetUint64(at[uint64](r, row))), nil
	case mapping.TypeHugeInt:
		return whole(r.huge(row, true)), nil
	case mapping.TypeUHugeInt:
		return whole(r.huge(row, false)), nil
	case mapping.TypeFloat:
		return float64(at[float32](r, row)), nil
	case mapping.TypeDouble:
		return at[float64](r, row), nil
	case mapping.TypeDecimal:
		return r.decimal(row)
	case mapping.TypeVarchar:
		return strings.Clone(r.bytes(row)), nil
	case mapping.TypeBlob:
		return `\x` + hex.EncodeToString([]byte(r.bytes(row))), nil
	case mapping.TypeEnum:
		return r.kind.words[r.small(row)], nil
	case mapping.TypeTimestamp, mapping.TypeTimestampTZ:
		return instant(at[int64](r, row), time.UnixMicro)
	case mapping.TypeTimestampMS:
		return instant(at[int64](r, row), time.UnixMilli)
	case mapping.TypeTimestampS:
		return instant(at[int64](r, row), func(s int64) time.Time { return time.Unix(s, 0) })
	case mapping.TypeTimestampNS:
		return instant(at[int64](r, row), func(ns int64) time.Time { return time.Unix(0, ns) })
	case mapping.TypeDate:
		return date(at[int32](r, row)), nil
	case mapping.TypeTime:
		return clock(at[int64](r, row)), nil
	case mapping.TypeTimeTZ:
		v := at[uint64](r, row) // 40 bits of microseconds, 24 bits of offset, the greater the further west
		const east = 16*60*60 - 1
		return clock(int64(v>>24)) + offset(east-int(v&(1<<24-1))), nil
	case mapping.TypeInterval:
		return interval(at[intervalValue](r, row)), nil
	case mapping.TypeUUID:
		return r.uuid(row), nil
	case mapping.TypeList:
		entry := at[listEntry](r, row)
		return r.list(int(entry.offset), int(entry.length))
	case mapping.TypeArray:
		return r.list(row*r.kind.size, r.kind.size)
	case mapping.TypeStruct, mapping.TypeMap:
		var b strings.Builder
		err := r.json(&b, row)
		return b.String(), err
	}
	return nil, fmt.Errorf("a value of type %s can't be read: CAST it to VARCHAR", r.kind.name)
}

// listEntry and intervalValue are laid out as duckdb.h says.
type listEntry struct{ offset, length uint64 }

type intervalValue struct {
	months, days int32
	micros       int64
}

// bytes returns a string or blob that is only valid with its chunk. Up to 12
// bytes lie in the vector itself (duckdb.h, duckdb_string_t).
func (r *vectorReader) bytes(row int) string {
	p := unsafe.Add(r.data, uintptr(row)*16)
	n := *(*uint32)(p)
	if n <= 12 {
		return unsafe.String((*byte)(unsafe.Add(p, 4)), int(n))
	}
	return unsafe.String(*(**byte)(unsafe.Add(p, 8)), int(n))
}

// huge reads 128 bits: the lower word, then the upper.
func (r *vectorReader) huge(row int, signed bool) *big.Int {
	words := at[[2]uint64](r, row)
	n := new(big.Int)
	if signed {
		n.SetInt64(int64(words[1]))
	} else {
		n.SetUint64(words[1])
	}
	n.Lsh(n, 64)
	return n.Add(n, new(big.Int).SetUint64(words[0]))
}

// small reads an unsigned number of the type's storage.
func (r *vectorReader) small(row int) uint64 {
	switch r.kind.storage {
	case mapping.TypeUTinyInt:
		return uint64(at[uint8](r, row))
	case mapping.TypeUSmallInt:
		return uint64(at[uint16](r, row))
	default:
		return uint64(at[uint32](r, row))
	}
}

// whole returns an integer, as text when 64 bits don't hold it.
func whole(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n.String()
}

func (r *vectorReader) decimal(row int) (any, error) {
	var n *big.Int
	switch r.kind.storage {
	case mapping.TypeSmallInt:
		n = big.NewInt(int64(at[int16](r, row)))
	case mapping.TypeInteger:
		n = big.NewInt(int64(at[int32](r, row)))
	case mapping.TypeBigInt:
		n = big.NewInt(at[int64](r, row))
	default:
		n = r.huge(row, true)
	}
	return strconv.ParseFloat(n.String()+"e-"+strconv.Itoa(r.kind.scale), 64)
}

func (r *vectorReader) uuid(row int) string {
	words := at[[2]uint64](r, row)
	words[1] ^= 1 << 63 // DuckDB turns the top bit over, so that UUIDs sort as signed numbers
	s := fmt.Sprintf("%016x%016x", words[1], words[0])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func (r *vectorReader) list(from, n int) (any, error) {
	values := make([]any, n)
	for i := range values {
		var err error
		if values[i], err = r.children[0].value(from + i); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// json writes a value as JSON, structs with their fields in order.
func (r *vectorReader) json(b *strings.Builder, row int) error {
	v, err := any(nil), error(nil)
	switch r.kind.id {
	case mapping.TypeStruct:
		b.WriteByte('{')
		for i := range r.children {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, r.kind.fields[i])
			b.WriteByte(':')
			if err := r.children[i].json(b, row); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	case mapping.TypeMap:
		entry := at[listEntry](r, row)
		pairs := &r.children[0]
		b.WriteByte('{')
		for i := range int(entry.length) {
			if i > 0 {
				b.WriteByte(',')
			}
			key, err := pairs.children[0].value(int(entry.offset) + i)
			if err != nil {
				return err
			}
			writeJSON(b, fmt.Sprint(key))
			b.WriteByte(':')
			if err := pairs.children[1].json(b, int(entry.offset)+i); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	default:
		v, err = r.value(row)
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		v = strconv.FormatFloat(f, 'g', -1, 64)
	}
	writeJSON(b, v)
	return err
}

func writeJSON(b *strings.Builder, v any) {
	text, err := json.Marshal(v)
	if err != nil { // NaN within a list
		text, _ = json.Marshal(fmt.Sprint(v))
	}
	b.Write(text)
}

// instant converts a timestamp; infinite ones become text.
func instant(n int64, to func(int64) time.Time) (any, error) {
	switch n {
	case math.MaxInt64:
		return "infinity", nil
	case -math.MaxInt64:
		return "-infinity", nil
	}
	return to(n).UTC(), nil
}

// date converts days since 1970; infinite ones become text.
func date(days int32) any {
	switch days {
	case math.MaxInt32:
		return query.Date("infinity")
	case -math.MaxInt32:
		return query.Date("-infinity")
	}
	return query.Date(time.Unix(int64(days)*24*60*60, 0).UTC().Format(time.DateOnly))
}

// clock writes microseconds of a day.
func clock(micros int64) string {
	s := fmt.Sprintf("%02d:%02d:%02d", micros/3_600_000_000, micros/60_000_000%60, micros/1_000_000%60)
	if f := micros % 1_000_000; f != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return s
}

// offset writes seconds east of UTC.
func offset(seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	s := fmt.Sprintf("%s%02d:%02d", sign, seconds/3600, seconds/60%60)
	if seconds%60 != 0 {
		s += fmt.Sprintf(":%02d", seconds%60)
	}
	return s
}

// interval writes months, days and time as SQL text.
func interval(v intervalValue) string {
	var parts []string
	add := func(n int32, unit string) {
		if n != 0 {
			plural := "s"
			if n == 1 || n == -1 {
				plural = ""
			}
			parts = append(parts, fmt.Sprintf("%d %s%s", n, unit, plural))
		}
	}
	add(v.months/12, "year")
	add(v.months%12, "month")
	add(v.days, "day")
	if v.micros != 0 || len(parts) == 0 {
		sign, micros := "", v.micros
		if micros < 0 {
			sign, micros = "-", -micros
		}
		parts = append(parts, sign+clock(micros))
	}
	return strings.Join(parts, " ")
}
