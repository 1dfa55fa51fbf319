package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// batchRows is how many rows a reader decodes at a time.
const batchRows = 512

// rows reads a file's rows in order, some columns or all. Strings of the rows
// share memory with those of their page, so whoever keeps a row for long clones
// what it needs.
type rows[T any] struct {
	t      *table[T]
	f      *file
	want   []field
	group  int // next row group
	cols   []column
	left   int64 // rows left of the current row group
	batch  []T
	at     int // next row of the batch
	closed bool
}

// read starts to read the named columns, all when none is named. A column that
// the file doesn't have (an older schema) stays empty.
func (t *table[T]) read(f *file, columns ...string) (*rows[T], error) {
	r := &rows[T]{t: t, f: f}
	for _, fd := range t.fields {
		if len(columns) == 0 || slices.Contains(columns, fd.name) {
			r.want = append(r.want, fd)
		}
	}
	for i := range r.want {
		leaf, ok := f.Schema().Lookup(r.want[i].name)
		if !ok {
			continue
		}
		if !r.want[i].readable(leaf.Node) {
			return nil, fmt.Errorf("read %s: %w: column %s has type %v",
				f.Object().Key, ErrDamaged, r.want[i].name, leaf.Node.Type())
		}
		r.cols = append(r.cols, column{field: &r.want[i], leaf: leaf.ColumnIndex, maxLevel: leaf.MaxDefinitionLevel})
	}
	return r, nil
}

// readable tells whether a file's column has the field's type.
func (f *field) readable(column parquet.Node) bool {
	kinds := map[kind]parquet.Kind{text: parquet.ByteArray, integer: parquet.Int64, boolean: parquet.Boolean}
	return column.Leaf() && !column.Repeated() && column.Type().Kind() == kinds[f.kind]
}

// next returns the next row, which stays valid until the call after, or io.EOF.
func (r *rows[T]) next(ctx context.Context) (*T, error) {
	if r.at == len(r.batch) {
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
	}
	row := &r.batch[r.at]
	r.at++
	return row, nil
}

func (r *rows[T]) fill(ctx context.Context) (err error) {
	key := r.f.Object().Key
	if err := alive(ctx, "read", key); err != nil {
		return err
	}
	for r.left == 0 {
		groups := r.f.RowGroups()
		if r.group == len(groups) {
			return io.EOF
		}
		if err := r.enter(r.group, 0); err != nil {
			return err
		}
		r.group++
	}
	if r.batch == nil {
		r.batch = make([]T, 0, batchRows)
	}
	n := int(min(int64(cap(r.batch)), r.left))
	r.batch = r.batch[:n]
	clear(r.batch)
	for i := range r.cols {
		if err := readColumn(&r.cols[i], r.batch); err != nil {
			return fmt.Errorf("read %s: column %s: %w", key, r.cols[i].field.name, err)
		}
	}
	r.left -= int64(n)
	r.at = 0
	return nil
}

// enter goes to a row of a row group.
func (r *rows[T]) enter(group int, row int64) (err error) {
	defer damageOf(&err)
	r.release()
	g := r.f.RowGroups()[group]
	chunks := g.ColumnChunks()
	for i := range r.cols {
		c := &r.cols[i]
		c.pages = chunks[c.leaf].Pages()
		if row > 0 {
			if err := c.pages.SeekToRow(row); err != nil {
				return fmt.Errorf("read %s: %w: %w", r.f.Object().Key, ErrDamaged, err)
			}
		}
	}
	r.left = g.NumRows() - row
	r.batch, r.at = r.batch[:0], 0
	return nil
}

// only goes to a row of a row group and makes the sequence end with the group.
func (r *rows[T]) only(group int, row int64) error {
	r.group = len(r.f.RowGroups())
	return r.enter(group, row)
}

func (r *rows[T]) release() {
	for i := range r.cols {
		r.cols[i].release()
	}
}

func (r *rows[T]) close() {
	if !r.closed {
		r.closed = true
		r.release()
	}
}

// column is the place in one column chunk. One page at a time is decoded into
// Go values: a page's strings become one string that values are cut from, a
// dictionary's are made once for each chunk.
type column struct {
	field    *field
	leaf     int
	maxLevel int

	pages parquet.Pages
	size  int    // rows of the page
	row   int    // next row of the page
	value int    // next value of the page; nulls have none
	level []byte // definition level of each row; nil when no row may be null

	text    string
	offsets []uint32
	dict    []string
	from    parquet.Dictionary // what dict was made from
	index   []int32
	ints    []int64
	bools   []bool
}

func (c *column) release() {
	if c.pages != nil {
		_ = c.pages.Close()
		c.pages = nil
	}
	c.from, c.dict = nil, nil
	c.size, c.row, c.value = 0, 0, 0
}

// readColumn sets the column's field in all of the rows.
func readColumn[T any](c *column, rows []T) (err error) {
	defer damageOf(&err)
	for i := range rows {
		for c.row == c.size {
			if err := c.page(); err != nil {
				if errors.Is(err, io.EOF) {
					err = fmt.Errorf("fewer rows than the footer says: %w", ErrDamaged)
				}
				return err
			}
		}
		row := c.row
		c.row++
		if c.level != nil && int(c.level[row]) != c.maxLevel {
			continue
		}
		v := c.value
		c.value++
		switch c.field.kind {
		case text:
			if c.index != nil {
				*at[string](&rows[i], c.field) = c.dict[c.index[v]]
			} else {
				*at[string](&rows[i], c.field) = c.text[c.offsets[v]:c.offsets[v+1]]
			}
		case integer:
			*at[int64](&rows[i], c.field) = c.ints[v]
		case boolean:
			*at[*bool](&rows[i], c.field) = &truth[0]
			if c.bools[v] {
				*at[*bool](&rows[i], c.field) = &truth[1]
			}
		}
	}
	return nil
}

// truth is what boolean fields of rows point to; nobody may write to it.
var truth = [2]bool{false, true}

// page decodes the next page.
func (c *column) page() error {
	p, err := c.pages.ReadPage()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer parquet.Release(p)
	c.size, c.row, c.value = int(p.NumRows()), 0, 0
	c.level = append(c.level[:0], p.DefinitionLevels()...)
	if c.maxLevel == 0 {
		c.level = nil
	}
	if c.field.kind == boolean {
		return c.booleans(p)
	}
	data := p.Data()
	d := p.Dictionary()
	switch {
	case c.field.kind == integer && d == nil:
		c.ints = append(c.ints[:0], data.Int64()...)
	case c.field.kind == integer:
		return fmt.Errorf("%w: a dictionary of integers", ErrDamaged)
	case d != nil:
		if d != c.from {
			c.from = d
			page := d.Page()
			bytes := page.Data()
			b, offsets := bytes.ByteArray()
			s := string(b)
			c.dict = make([]string, 0, d.Len())
			for i := range d.Len() {
				c.dict = append(c.dict, s[offsets[i]:offsets[i+1]])
			}
		}
		c.index = append(c.index[:0], data.Int32()...)
		if c.index == nil {
			c.index = []int32{}
		}
	default:
		b, offsets := data.ByteArray()
		c.text, c.offsets, c.index = string(b), append(c.offsets[:0], offsets...), nil
	}
	return nil
}

// booleans reads a page of bits, by value: a cut page may begin within a byte.
func (c *column) booleans(p parquet.Page) error {
	c.bools = c.bools[:0]
	values := p.Values()
	var buf [64]parquet.Value
	for {
		n, err := values.ReadValues(buf[:])
		for _, v := range buf[:n] {
			if !v.IsNull() {
				c.bools = append(c.bools, v.Boolean())
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if n == 0 {
			return fmt.Errorf("%w: no value read", ErrDamaged)
		}
	}
}
