package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/together"
)

// SQLiteOptions configure OpenSQLite; the zero value is the usual case.
type SQLiteOptions struct {
	// ReadOnly opens an existing store without ever writing to it: for read-only
	// folders and copies, a log that a killed writer left beside it included.
	// Writing methods then fail with ErrReadOnly, and so does opening a store of
	// an older version, which must be opened once for writing first. (SQLite
	// makes its -shm and -wal files beside the store where it can.)
	ReadOnly bool
	// Now is the clock of leases and jobs; nil means time.Now.
	Now func() time.Time
	// Wait is how long a write waits for other processes; 0 means 30 seconds.
	Wait time.Duration
}

// sqlite is the Store in one SQLite file, in WAL mode: one connection writes,
// any number read, each statement seeing one moment. Transactions are short and
// begin with the write lock (BEGIN IMMEDIATE), so that none has to be repeated.
type sqlite struct {
	path string // absolute
	now  func() time.Time
	wait time.Duration

	readers *sql.DB

	// turn is held by whoever uses conn, the connection that writes. A channel,
	// because waiting for it must end with the caller's context. nil: read-only.
	turn    chan struct{}
	writing *sql.DB
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt // of conn, by their text
	closed  atomic.Bool

	exported together.Group[exportedDay]
}

var _ Store = (*sqlite)(nil)

// busyStep is how long SQLite itself waits for a lock before the store looks
// whether the caller has given up, in milliseconds.
const busyStep = 100

// querier is what *sql.DB and *sql.Conn have in common here.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// writer is a write transaction.
type writer struct {
	s    *sqlite
	conn *sql.Conn
	ctx  context.Context // of the caller: looked at between statements
}

// write runs f in one transaction, between the method's fault points, and makes
// it durable. op names the operation in errors.
func (s *sqlite) write(ctx context.Context, method, op string, f func(tx *writer) error) error {
	if err := fault.At("store." + method + ".before"); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := s.fail(op, s.transaction(ctx, f)); err != nil {
		return err
	}
	if err := fault.At("store." + method + ".after"); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (s *sqlite) transaction(ctx context.Context, f func(tx *writer) error) (err error) {
	if s.closed.Load() {
		return ErrClosed
	}
	if s.turn == nil {
		return fmt.Errorf("%w: it was opened for reading only", ErrReadOnly)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.closed.Load() {
		return ErrClosed
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	tx := &writer{s: s, conn: s.conn, ctx: ctx}
	committed := false
	defer func() { // also when f panics
		if !committed {
			// The error that led here says more than that of a rollback; after
			// some errors SQLite has rolled back already.
			_, _ = s.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.check(); err != nil {
		return err
	}
	if _, err := tx.exec("COMMIT"); err != nil {
		return err
	}
	committed = true
	return nil
}

// begin takes the write lock. SQLite waits for it in small steps, so that a
// caller who gives up is not kept.
func (s *sqlite) begin(ctx context.Context) error {
	return s.retry(ctx, func() error {
		_, err := s.conn.ExecContext(context.WithoutCancel(ctx), "BEGIN IMMEDIATE")
		return err
	})
}

// retry repeats f while another process has the lock that it needs.
func (s *sqlite) retry(ctx context.Context, f func() error) error {
	// The real clock, not s.now: this is about waiting, not about data.
	for end := time.Now().Add(s.wait); ; {
		err := f()
		if kindOf(err) != busyError || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond): // some locks fail without SQLite waiting
		}
	}
}

// check reports that the caller has given up. Statements themselves run without
// the context: they are short, and the driver starts a goroutine for each that
// has one.
func (tx *writer) check() error { return context.Cause(tx.ctx) }

func (tx *writer) plain() context.Context { return context.WithoutCancel(tx.ctx) }

// stmt returns the prepared statement of a text.
func (tx *writer) stmt(query string) (*sql.Stmt, error) {
	if st := tx.s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := tx.conn.PrepareContext(tx.plain(), query)
	if err != nil {
		return nil, err
	}
	tx.s.stmts[query] = st
	return st, nil
}

// exec runs a statement and returns how many rows it changed.
func (tx *writer) exec(query string, args ...any) (int64, error) {
	st, err := tx.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(tx.plain(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// get reads one row; sql.ErrNoRows when there is none.
func (tx *writer) get(query string, args []any, into ...any) error {
	st, err := tx.stmt(query)
	if err != nil {
		return err
	}
	return st.QueryRowContext(tx.plain(), args...).Scan(into...)
}

// each calls row for every row of a result; scan reads the current one.
func (tx *writer) each(query string, args []any, row func(scan func(...any) error) error) error {
	st, err := tx.stmt(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(tx.plain(), args...)
	if err != nil {
		return err
	}
	return eachRow(rows, row)
}

// script runs statements that are not kept.
func (tx *writer) script(text string) error {
	_, err := tx.conn.ExecContext(tx.plain(), text)
	return err
}

// next returns the next number of a counter.
func (tx *writer) next(counter string) (n int64, err error) {
	err = tx.get("UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value", []any{counter}, &n)
	return n, err
}

func eachRow(rows *sql.Rows, row func(scan func(...any) error) error) error {
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// errStop ends a reading early, without an error.
var errStop = errors.New("stop")

// read calls row for every row of a result, as of one moment. op names the
// operation in errors.
func (s *sqlite) read(ctx context.Context, op, query string, args []any, row func(scan func(...any) error) error) error {
	err := func() error {
		if s.closed.Load() {
			return ErrClosed
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		// Without the context, for the same reason as in writer; each row looks.
		rows, err := s.readers.QueryContext(context.WithoutCancel(ctx), query, args...)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			return row(scan)
		})
	}()
	if errors.Is(err, errStop) {
		return nil
	}
	return s.fail(op, err)
}

// stream yields the rows of a result, as of the moment in which the iteration
// starts.
func stream[T any](ctx context.Context, s *sqlite, op, query string, args []any, scan func(scan func(...any) error) (T, error)) func(yield func(T, error) bool) {
	return func(yield func(T, error) bool) {
		err := s.read(ctx, op, query, args, func(cols func(...any) error) error {
			v, err := scan(cols)
			if err != nil {
				return err
			}
			if !yield(v, nil) {
				return errStop
			}
			return nil
		})
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// Close implements Store. It waits for a write that is under way.
func (s *sqlite) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.turn != nil {
		s.turn <- struct{}{}
		for _, st := range s.stmts {
			errs = append(errs, st.Close())
		}
		if s.conn != nil {
			errs = append(errs, s.conn.Close())
		}
		// The last connection to close copies the log into the file.
		errs = append(errs, s.writing.Close())
		<-s.turn
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// size returns the bytes of the database and its log on disk.
func (s *sqlite) size() (total int64, err error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(s.path + suffix)
		switch {
		case err == nil:
			total += info.Size()
		case suffix == "" || !errors.Is(err, os.ErrNotExist):
			return 0, err
		}
	}
	return total, nil
}
