package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// WriteParquet writes a result as one Parquet file (zstd, every column
// optional) and returns how many rows it has. Times are plain timestamps in
// UTC, as in the lake; lists and other nested values become JSON text. It
// neither opens nor closes rows. A column name that comes twice gets a number.
func WriteParquet(w io.Writer, rows Rows) (int64, error) {
	columns := rows.Columns()
	group := &orderedGroup{Group: parquet.Group{}}
	kinds := make([]parquetKind, len(columns))
	for i, c := range columns {
		kinds[i] = kindOf(c.Type)
		name := c.Name
		for n := 1; group.Group[name] != nil; n++ {
			name = fmt.Sprintf("%s_%d", c.Name, n)
		}
		group.Group[name] = parquet.Optional(kinds[i].node)
		group.order = append(group.order, name)
	}
	out := parquet.NewGenericWriter[any](w, parquet.NewSchema("result", group), parquet.Compression(&zstd.Codec{}))
	var n int64
	row := make(parquet.Row, len(columns))
	for {
		values, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
		for i, v := range values {
			cell, err := kinds[i].value(v)
			if err != nil {
				return n, fmt.Errorf("write parquet: column %s, row %d: %w", columns[i].Name, n+1, err)
			}
			defined := 1
			if v == nil {
				defined = 0
			}
			row[i] = cell.Level(0, defined, i)
		}
		if _, err := out.WriteRows([]parquet.Row{row}); err != nil {
			return n, fmt.Errorf("write parquet: %w", err)
		}
		n++
	}
	if err := out.Close(); err != nil {
		return n, fmt.Errorf("write parquet: %w", err)
	}
	return n, nil
}

// orderedGroup is a parquet.Group that keeps its fields in order.
type orderedGroup struct {
	parquet.Group
	order []string
}

// Fields returns the columns in the result's order, not by name.
func (g *orderedGroup) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, f := range g.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, len(g.order))
	for i, name := range g.order {
		fields[i] = byName[name]
	}
	return fields
}

// parquetKind is how an engine's type is kept.
type parquetKind struct {
	node  parquet.Node
	value func(any) (parquet.Value, error)
}

// kindOf maps an engine's type name, DuckDB's or Trino's.
func kindOf(name string) parquetKind {
	base, _, _ := strings.Cut(strings.ToUpper(name), "(")
	switch base {
	case "BOOLEAN":
		return parquetKind{parquet.Leaf(parquet.BooleanType), cell(parquet.BooleanValue)}
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT":
		return parquetKind{parquet.Int(64), cell(parquet.Int64Value)}
	case "FLOAT", "REAL", "DOUBLE", "DECIMAL":
		return parquetKind{parquet.Leaf(parquet.DoubleType), cell(parquet.DoubleValue)}
	case "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE":
		return parquetKind{parquet.TimestampAdjusted(parquet.Microsecond, false),
			cell(func(t time.Time) parquet.Value { return parquet.Int64Value(t.UnixMicro()) })}
	case "DATE":
		return parquetKind{parquet.Date(), func(v any) (parquet.Value, error) {
			d, ok := v.(Date)
			if !ok {
				return cell(func(Date) parquet.Value { return parquet.Value{} })(v)
			}
			t, err := time.Parse(time.DateOnly, string(d))
			if err != nil {
				return parquet.Value{}, fmt.Errorf("%q is no date that Parquet can hold", d)
			}
			return parquet.Int32Value(int32(t.Unix() / (24 * 60 * 60))), nil
		}}
	default:
		return parquetKind{parquet.String(), textCell}
	}
}

// cell returns the conversion of values of type T; nil is NULL.
func cell[T any](to func(T) parquet.Value) func(any) (parquet.Value, error) {
	return func(v any) (parquet.Value, error) {
		switch v := v.(type) {
		case nil:
			return parquet.NullValue(), nil
		case T:
			return to(v), nil
		default:
			return parquet.Value{}, fmt.Errorf("%v does not fit the column's type", v)
		}
	}
}

func textCell(v any) (parquet.Value, error) {
	switch v := v.(type) {
	case nil:
		return parquet.NullValue(), nil
	case string:
		return parquet.ByteArrayValue([]byte(v)), nil
	default:
		b, err := json.Marshal(v)
		return parquet.ByteArrayValue(b), err
	}
}
