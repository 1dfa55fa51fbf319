package store

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// OpenSQLite opens the store in the file at path, and makes file (0600) and
// folder (0700) if they aren't there. Any number of processes may have it open.
//
// The error wraps ErrNewer, ErrDamaged, ErrNetworkFS, ErrReadOnly (open it with
// SQLiteOptions.ReadOnly instead) or fs.ErrNotExist (for ReadOnly), and names
// the file.
func OpenSQLite(ctx context.Context, path string, o SQLiteOptions) (Store, error) {
	s := &sqlite{path: path, now: o.Now, wait: o.Wait}
	if s.now == nil {
		s.now = time.Now
	}
	if s.wait == 0 {
		s.wait = 30 * time.Second
	}
	if err := s.open(ctx, o.ReadOnly); err != nil {
		// Before Close, which makes every error one about a closed store.
		err = s.fail("open", err)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *sqlite) open(ctx context.Context, readOnly bool) (err error) {
	if s.path, err = filepath.Abs(s.path); err != nil {
		return err
	}
	if !readOnly {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
			return readOnlyFile(err)
		}
	}
	if name, err := networkFS(filepath.Dir(s.path)); err != nil {
		return err
	} else if name != "" {
		return fmt.Errorf("%w (%s): keep it on a local disk", ErrNetworkFS, name)
	}
	if readOnly {
		return s.openReadOnly(ctx)
	}
	if err := s.prepareFile(); err != nil {
		return err
	}
	if err := s.openWriter(ctx); err != nil {
		return s.whyNotWritable(err)
	}
	s.readers = openPool(s.dsn("mode=rw", "_query_only=1", "_busy_timeout=10000", "_stmt_cache_size=32"))
	s.readers.SetMaxIdleConns(4)
	return nil
}

// prepareFile makes the file, before SQLite would, so that nobody else can ever
// read it: SQLite gives the files beside it (-wal, -shm) the same permissions.
func (s *sqlite) prepareFile() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return readOnlyFile(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file")
	}
	if err := looksLikeSQLite(f); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return f.Chmod(0o600)
	}
	return nil
}

// looksLikeSQLite reads a file's first bytes; an empty file will do.
func looksLikeSQLite(f io.ReaderAt) error {
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n > 0 && !bytes.Equal(head[:n], []byte(magic)) {
		return fmt.Errorf("%w: move it away, or name another folder", ErrDamaged)
	}
	return nil
}

func (s *sqlite) openWriter(ctx context.Context) error {
	s.writing = openPool(s.dsn("mode=rw", "_synchronous=FULL", "_busy_timeout="+strconv.Itoa(busyStep), "_cache_size=-32768"))
	s.writing.SetMaxOpenConns(1)
	s.turn = make(chan struct{}, 1)
	s.stmts = map[string]*sql.Stmt{}
	plain := context.WithoutCancel(ctx)
	// Each step may meet another process that opens the file, or mends its log after
	// a crash, and has all of it locked: the driver's own pragmas read the file, too.
	if err := s.retry(ctx, func() (err error) {
		s.conn, err = s.writing.Conn(plain)
		return err
	}); err != nil {
		return err
	}
	if err := s.retry(ctx, func() error {
		var mode string
		if err := s.conn.QueryRowContext(plain, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
			return err
		}
		if mode != "wal" {
			return fmt.Errorf("journal mode is %s, the write-ahead log can't be used here", mode)
		}
		return nil
	}); err != nil {
		return err
	}
	// The log grows to 16 MB before it is copied into the file: bulk writes touch
	// the same pages again and again. On macOS only a full fsync is durable.
	for _, pragma := range []string{"wal_autocheckpoint = 4000", "fullfsync = 1", "checkpoint_fullfsync = 1"} {
		if err := s.retry(ctx, func() error {
			_, err := s.conn.ExecContext(plain, "PRAGMA "+pragma)
			return err
		}); err != nil {
			return err
		}
	}
	return s.migrate(ctx)
}

// openReadOnly finds the way in which the file can be read, in this order: as a
// living store; as one that nobody has open in a folder that can't be written;
// and as the same with a log that its last writer left behind.
func (s *sqlite) openReadOnly(ctx context.Context) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	err = looksLikeSQLite(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	err = s.openReaders(ctx, "mode=ro", "_busy_timeout=10000")
	if kind := kindOf(err); kind != cantOpenError && kind != readOnlyError {
		return err
	}
	// SQLite wants to make a -shm file, and can't.
	log, statErr := os.Stat(s.path + "-wal")
	switch {
	case errors.Is(statErr, fs.ErrNotExist) || statErr == nil && log.Size() == 0:
		return s.openReaders(ctx, "mode=ro", "immutable=1")
	case statErr != nil:
		return statErr
	}
	// Without locks and in exclusive mode, SQLite keeps the log's index in memory.
	// Each connection reads the log for itself; none can write.
	return s.openReaders(ctx, "mode=ro", "vfs="+noLockVFS, "_locking_mode=EXCLUSIVE")
}

func (s *sqlite) openReaders(ctx context.Context, params ...string) error {
	if s.readers != nil {
		if err := s.readers.Close(); err != nil {
			return err
		}
	}
	s.readers = openPool(s.dsn(append(params, "_query_only=1", "_stmt_cache_size=32")...))
	s.readers.SetMaxIdleConns(4)
	version, err := s.schemaVersion(ctx, s.readers)
	if err == nil && version < len(migrations) {
		err = fmt.Errorf("%w: it was made by an older version, open it once where it can be written", ErrReadOnly)
	}
	return err
}

// whyNotWritable tells a folder that can't be written from other reasons for
// which SQLite can't open or write a file.
func (s *sqlite) whyNotWritable(err error) error {
	if kind := kindOf(err); kind != cantOpenError && kind != readOnlyError {
		return err
	}
	f, probeErr := os.CreateTemp(filepath.Dir(s.path), ".iamtrack-probe-*")
	if probeErr != nil {
		return readOnlyFile(probeErr)
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// readOnlyFile makes ErrReadOnly of what the system says of files and folders
// that can't be written.
func readOnlyFile(err error) error {
	if errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// dsn returns SQLite's address of the file, with parameters.
func (s *sqlite) dsn(params ...string) string {
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a Windows drive
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(params, "&")}
	return u.String()
}

// connector opens connections without the driver's global registration.
type connector string

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return c.Driver().Open(string(c))
}

func (connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func openPool(dsn string) *sql.DB { return sql.OpenDB(connector(dsn)) }
