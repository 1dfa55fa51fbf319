package store

import (
	"strconv"
	"strings"
	"sync"
)

// Rows go to SQLite many to a statement: a call into it costs more than a row.
// The sizes are few, so that the prepared statements are.
var batchSizes = [...]int{64, 8, 1}

// batches calls do with the parts [from, to) of n rows; to-from is always one of
// batchSizes.
func batches(n int, do func(from, to int) error) error {
	from := 0
	for _, size := range batchSizes {
		for ; n-from >= size; from += size {
			if err := do(from, from+size); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts keeps the texts of statements, which are the keys of prepared ones.
type texts struct {
	mu   sync.Mutex
	kept map[int]string // by number of rows
}

func (t *texts) get(n int, build func() string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, ok := t.kept[n]
	if !ok {
		if t.kept == nil {
			t.kept = map[int]string{}
		}
		text = build()
		t.kept[n] = text
	}
	return text
}

// inserting is an INSERT of any number of rows.
type inserting struct {
	into    string // table (columns)
	columns int
	end     string // what follows the rows, for example ON CONFLICT
	texts   texts
}

func (in *inserting) text(n int) string {
	return in.texts.get(n, func() string {
		row := "(" + strings.TrimSuffix(strings.Repeat("?,", in.columns), ",") + ")"
		return "INSERT INTO " + in.into + " VALUES " + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + " " + in.end
	})
}

// insert adds n rows; row appends the values of the i-th to args.
func (tx *writer) insert(in *inserting, n int, row func(args []any, i int) []any) error {
	_, err := tx.insertCounting(in, n, row)
	return err
}

// insertCounting is insert, and returns how many rows were added or changed.
func (tx *writer) insertCounting(in *inserting, n int, row func(args []any, i int) []any) (changed int64, err error) {
	args := make([]any, 0, in.columns*min(n, batchSizes[0]))
	err = batches(n, func(from, to int) error {
		if err := tx.check(); err != nil {
			return err
		}
		args = args[:0]
		for i := from; i < to; i++ {
			args = row(args, i)
		}
		n, err := tx.exec(in.text(to-from), args...)
		changed += n
		return err
	})
	return changed, err
}

// lookup finds rows of a table by a unique key of some columns.
type lookup struct {
	table   string
	columns string   // wanted, of the table t
	by      []string // key columns
	texts   texts
}

func (l *lookup) text(n int) string {
	return l.texts.get(n, func() string {
		var b strings.Builder
		b.WriteString("WITH k (i, " + strings.Join(l.by, ", ") + ") AS (VALUES ")
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("(" + strconv.Itoa(i) + strings.Repeat(",?", len(l.by)) + ")")
		}
		// CROSS JOIN: the keys first, each looked up in the table's index.
		b.WriteString(") SELECT k.i, " + l.columns + " FROM k CROSS JOIN " + l.table + " t ON ")
		for i, c := range l.by {
			if i > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString("t." + c + " = k." + c)
		}
		return b.String()
	})
}

// eachFunc runs a query: writer.each, or sqlite.read with its first arguments.
type eachFunc func(query string, args []any, row func(scan func(...any) error) error) error

// find looks up n keys; arg appends the values of the i-th to args. For each key
// that is there it reads the wanted columns into into and calls found.
func (l *lookup) find(each eachFunc, n int, arg func(args []any, i int) []any, into []any, found func(i int)) error {
	args := make([]any, 0, len(l.by)*min(n, batchSizes[0]))
	var at int
	into = append([]any{&at}, into...)
	return batches(n, func(from, to int) error {
		args = args[:0]
		for i := from; i < to; i++ {
			args = arg(args, i)
		}
		return each(l.text(to-from), args, func(scan func(...any) error) error {
			if err := scan(into...); err != nil {
				return err
			}
			found(from + at)
			return nil
		})
	})
}
