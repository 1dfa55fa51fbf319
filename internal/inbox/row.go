package inbox

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// A row is the values of the columns that the header names, in their order: texts as
// length and bytes, integers as varints, truth values as one byte (0 none, 1 false,
// 2 true).

// row is what a table of the inbox has rows of.
type row interface{ event.Event | event.Filtered }

type kind uint8

const (
	text kind = iota
	integer
	truth
)

type column struct {
	name   string
	kind   kind
	offset uintptr
}

// columnsOf are the columns of T, named as in the lake.
func columnsOf[T row]() []column {
	t := reflect.TypeFor[T]()
	out := make([]column, t.NumField())
	for i := range out {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
		c := column{name: name, offset: f.Offset}
		switch f.Type {
		case reflect.TypeFor[string]():
		case reflect.TypeFor[int64]():
			c.kind = integer
		case reflect.TypeFor[*bool]():
			c.kind = truth
		default:
			panic("inbox: a column of type " + f.Type.String())
		}
		out[i] = c
	}
	return out
}

var (
	eventColumns    = columnsOf[event.Event]()
	filteredColumns = columnsOf[event.Filtered]()
)

func names(columns []column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.name
	}
	return out
}

// columnsBy are the columns that a header names. One that isn't known here is a newer
// program's: without it, what it says would be lost.
func columnsBy(known []column, names []string) ([]column, error) {
	out := make([]column, len(names))
	seen := map[string]bool{}
	for i, n := range names {
		if seen[n] {
			return nil, fmt.Errorf("the column %.40q comes twice", n)
		}
		seen[n] = true
		at := -1
		for j, c := range known {
			if c.name == n {
				at = j
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("it has a column %.40q: %w", n, lake.ErrNewer)
		}
		out[i] = known[at]
	}
	return out, nil
}

func appendRow[T row](b []byte, columns []column, r *T) []byte {
	for _, c := range columns {
		p := unsafe.Add(unsafe.Pointer(r), c.offset)
		switch c.kind {
		case text:
			s := *(*string)(p)
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		case integer:
			b = binary.AppendVarint(b, *(*int64)(p))
		case truth:
			v := *(**bool)(p)
			switch {
			case v == nil:
				b = append(b, 0)
			case *v:
				b = append(b, 2)
			default:
				b = append(b, 1)
			}
		}
	}
	return b
}

// Rows share these; nobody changes what they point to.
var yes, no = true, false

// readRow reads a row; its texts are parts of b.
func readRow[T row](b string, columns []column, r *T) (rest string, err error) {
	for _, c := range columns {
		p := unsafe.Add(unsafe.Pointer(r), c.offset)
		switch c.kind {
		case text:
			n, used := uvarint(b)
			if used <= 0 || n > uint64(len(b)-used) {
				return "", errRow
			}
			*(*string)(p) = b[used : used+int(n)] //nolint:gosec // compared above
			b = b[used+int(n):]                   //nolint:gosec // compared above
		case integer:
			n, used := uvarint(b)
			if used <= 0 {
				return "", errRow
			}
			*(*int64)(p) = int64(n>>1) ^ -int64(n&1) //nolint:gosec // zigzag, as in encoding/binary
			b = b[used:]
		case truth:
			if b == "" || b[0] > 2 {
				return "", errRow
			}
			*(**bool)(p) = [...]*bool{nil, &no, &yes}[b[0]]
			b = b[1:]
		}
	}
	return b, nil
}

// uvarint is binary.Uvarint of a string.
func uvarint(s string) (uint64, int) {
	return binary.Uvarint(unsafe.Slice(unsafe.StringData(s), min(len(s), binary.MaxVarintLen64)))
}
