package lake

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/iamtrack/iamtrack/internal/event"
)

// ErrDamaged is wrapped by the error that names a lake file which is cut short,
// changed or not ours.
var ErrDamaged = errors.New("damaged, or not a file of iamtrack's lake: restore it, or move it away and import its day again")

// Footer entries of a day file.
const (
	metaSchema  = "iamtrack.schema"  // schemaVersion, decimal
	metaVersion = "iamtrack.version" // of the program that wrote the file
	metaRows    = "iamtrack.rows"    // JSON object: rows by category, or by reason
	metaSeal    = "iamtrack.seal"    // checksum of the whole file, see sealer
	// metaSources, in files that have any: ids of what was merged into the file when
	// it was written (Input.Sources), with spaces between.
	metaSources = "iamtrack.sources"
)

// file is an open day file whose footer has been read and accepted.
type file struct {
	Reader
	*parquet.File
	counts map[string]int64 // by category or reason
}

// openDay opens a day file; nil without an error when there is none.
func (l *Lake) openDay(ctx context.Context, key string, opts ...parquet.FileOption) (*file, error) {
	r, err := l.bucket.Open(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := readFooter(r, opts...)
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return f, nil
}

func readFooter(r Reader, opts ...parquet.FileOption) (f *file, err error) {
	defer damageOf(&err)
	size := r.Object().Size
	if size < 12 {
		return nil, fmt.Errorf("%w: %d bytes", ErrDamaged, size)
	}
	// parquet-go would allocate whatever length a damaged file claims.
	var tail [8]byte
	if _, err := r.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-12 {
		return nil, fmt.Errorf("%w: cut short", ErrDamaged)
	}
	opts = append([]parquet.FileOption{
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(64 << 10),
	}, opts...)
	pf, err := parquet.OpenFile(r, size, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	schema, _ := pf.Lookup(metaSchema)
	n, err := strconv.Atoi(schema)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%w: footer entry %s is %q", ErrDamaged, metaSchema, schema)
	}
	if n > schemaVersion {
		version, _ := pf.Lookup(metaVersion)
		return nil, fmt.Errorf("schema %d, by %q: %w", n, version, ErrNewer)
	}
	f = &file{Reader: r, File: pf}
	rows, _ := pf.Lookup(metaRows)
	if err := json.Unmarshal([]byte(rows), &f.counts); err != nil {
		return nil, fmt.Errorf("%w: footer entry %s: %w", ErrDamaged, metaRows, err)
	}
	return f, nil
}

// damageOf turns a panic of parquet-go, which trusts what it reads, into an
// error. Functions that defer it must not call back into other packages.
func damageOf(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
}

// etag is the file's ETag; empty when there is no file.
func (f *file) etag() string {
	if f == nil {
		return ""
	}
	return f.Object().ETag
}

// rows is the number of rows, bytes the size; 0 when there is no file.
func (f *file) rows() int64 {
	if f == nil {
		return 0
	}
	return f.NumRows()
}

func (f *file) bytes() int64 {
	if f == nil {
		return 0
	}
	return f.Object().Size
}

func (f *file) close() {
	if f != nil {
		_ = f.Reader.Close() // only read from
	}
}

// statsOf puts together what the two footers say.
func statsOf(d event.Date, events, filtered *file) Stats {
	s := Stats{Date: d, Events: events.rows(), Filtered: filtered.rows(),
		Bytes: events.bytes() + filtered.bytes(), Categories: map[string]int64{}}
	if events != nil {
		s.Categories = events.counts
	}
	return s
}
