package inbox

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// An object is a series of zstd frames, so that `zstd -dc` shows it:
//
//	a skippable frame: "iamtrack inbox\n", then the length of the next frame
//	header, JSON: what the columns are called, and how long each block is
//	blocks of events, then blocks of filtered rows: rows (row.go) in order
//
// Each block can be read alone, so that many objects are merged in little memory.
const (
	format      = 1
	magic       = "iamtrack inbox\n"
	skippable   = 0x184D2A50
	preamble    = 8 + len(magic) + 4
	blockBytes  = 128 << 10 // a block ends with the row that makes it this long, uncompressed
	objectBytes = 16 << 20  // an object ends likewise

	// What reading allows, in bytes. A record is at most 4 MB, of which an event
	// repeats a few texts.
	maxObject  = 64 << 20
	maxHeader  = 4 << 20
	maxBlock   = 32 << 20
	maxRawSize = 64 << 20
)

var (
	errRow = errors.New("a row is cut short")
	errCut = errors.New("it is cut short")
)

type header struct {
	Format          int        `json:"format"`
	Date            string     `json:"date"`
	Columns         []string   `json:"columns"`
	FilteredColumns []string   `json:"filtered_columns"`
	Events          []blockLen `json:"events"`
	Filtered        []blockLen `json:"filtered"`
}

// blockLen is the length of a block: compressed, uncompressed, rows.
type blockLen [3]int

// codec compresses; its memory is bounded, and shared by many goroutines.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() codec {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlock+1), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return codec{e, d}
}

// position is where a row stands in a day's order.
type position struct {
	account string
	time    int64
	id      string
}

func (p position) compare(o position) int {
	return cmp.Or(strings.Compare(p.account, o.account), cmp.Compare(p.time, o.time), strings.Compare(p.id, o.id))
}

func (p position) clone() position {
	return position{strings.Clone(p.account), p.time, strings.Clone(p.id)}
}

func positionOf[T row](r *T) position {
	switch r := any(r).(type) {
	case *event.Event:
		return position{r.AccountID, r.EventTime, r.EventID}
	case *event.Filtered:
		return position{r.AccountID, r.EventTime, r.EventID}
	}
	panic("inbox: no such row")
}

// object is being written.
type object struct {
	codec
	date     event.Date
	hash     hash.Hash // of the rows
	raw      int
	events   part[event.Event]
	filtered part[event.Filtered]
}

// part is one table's blocks.
type part[T row] struct {
	columns []column
	rows    []byte // of the block at work
	n       int
	last    position
	lengths []blockLen
	data    []byte
}

func (c codec) newObject(date event.Date) *object {
	o := &object{codec: c, date: date, hash: sha256.New()}
	o.events.columns, o.filtered.columns = eventColumns, filteredColumns
	hashHead(o.hash, date.String(), names(eventColumns), names(filteredColumns))
	return o
}

// hashHead begins the hash that is an object's id.
func hashHead(h hash.Hash, date string, columns, filtered []string) {
	_, _ = fmt.Fprintf(h, "%s%d %q %q %q\n", magic, format, date, columns, filtered) // a hash takes all
}

func hashBlock(h hash.Hash, raw []byte) {
	_, _ = fmt.Fprintf(h, "%d\n", len(raw)) // a hash takes all
	_, _ = h.Write(raw)
}

func (p *part[T]) add(r *T, o *object) error {
	at := positionOf(r)
	if d := event.DateOf(at.time); d != o.date {
		return fmt.Errorf("it is of %v, not of %v", d, o.date)
	}
	if p.n+len(p.lengths) > 0 && p.last.compare(at) > 0 {
		return errors.New("it is not in order of account, time and id")
	}
	p.last = at
	before := len(p.rows)
	p.rows = appendRow(p.rows, p.columns, r)
	p.n++
	o.raw += len(p.rows) - before
	if len(p.rows) > maxBlock {
		return fmt.Errorf("it takes %d bytes; at most %d are read", len(p.rows)-before, maxBlock)
	}
	if len(p.rows) >= blockBytes {
		p.flush(o)
	}
	return nil
}

func (p *part[T]) flush(o *object) {
	if p.n == 0 {
		return
	}
	hashBlock(o.hash, p.rows)
	before := len(p.data)
	p.data = o.encoder.EncodeAll(p.rows, p.data)
	p.lengths = append(p.lengths, blockLen{len(p.data) - before, len(p.rows), p.n})
	p.rows, p.n = p.rows[:0], 0
}

// finish returns the object's name and content.
func (o *object) finish() (name, []byte, error) {
	o.events.flush(o)
	o.filtered.flush(o)
	head, err := json.Marshal(header{
		Format: format, Date: o.date.String(), Columns: names(o.events.columns), FilteredColumns: names(o.filtered.columns),
		Events: o.events.lengths, Filtered: o.filtered.lengths,
	})
	if err != nil {
		return name{}, nil, err
	}
	packed := o.encoder.EncodeAll(append(head, '\n'), nil)
	out := make([]byte, 0, preamble+len(packed)+len(o.events.data)+len(o.filtered.data))
	out = binary.LittleEndian.AppendUint32(out, skippable)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(magic)+4))
	out = append(out, magic...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(packed))) //nolint:gosec // a few KB
	out = append(out, packed...)
	out = append(append(out, o.events.data...), o.filtered.data...)
	n := name{
		date: o.date, id: hex.EncodeToString(o.hash.Sum(nil)[:10]),
		events: rowsOf(o.events.lengths), filtered: rowsOf(o.filtered.lengths),
	}
	return n, out, nil
}

// rowsOf adds up the rows of blocks.
func rowsOf(blocks []blockLen) int {
	n := 0
	for _, b := range blocks {
		n += b[2]
	}
	return n
}

// block is a run of rows in order, still compressed.
type block struct {
	codec
	data        []byte
	raw, rows   int
	first, last position
	columns     []column
}

// plain decompresses a block. What it returns is nobody else's.
func (b *block) plain() (string, error) {
	raw, err := b.decoder.DecodeAll(b.data, make([]byte, 0, b.raw))
	if err != nil {
		return "", fmt.Errorf("a block can't be decompressed: %w", err)
	}
	if len(raw) != b.raw {
		return "", fmt.Errorf("a block has %d bytes, the header says %d", len(raw), b.raw)
	}
	return unsafe.String(unsafe.SliceData(raw), len(raw)), nil // it is never written again
}

// content is an object that was read, and is what its name says.
type content struct {
	name     name
	size     int
	events   []*block
	filtered []*block
}

// parse reads an object's header and looks at each of its rows. The error tells what
// is wrong with it: of the content alone, so that nothing but the object itself, or a
// newer program (lake.ErrNewer), is to blame.
func (c codec) parse(n name, data []byte) (*content, error) {
	if len(data) < preamble || binary.LittleEndian.Uint32(data) != skippable || !bytes.Equal(data[8:8+len(magic)], []byte(magic)) {
		return nil, errors.New("it isn't an object of the inbox")
	}
	size := int(binary.LittleEndian.Uint32(data[preamble-4:]))
	data = data[preamble:]
	if size > min(len(data), maxHeader) {
		return nil, errCut
	}
	var h header
	head, err := c.decoder.DecodeAll(data[:size], nil)
	if err == nil {
		err = json.Unmarshal(head, &h)
	}
	if err != nil {
		return nil, fmt.Errorf("its header can't be read: %w", err)
	}
	data = data[size:]
	if h.Format > format {
		return nil, fmt.Errorf("it has format %d: %w", h.Format, lake.ErrNewer)
	}
	if h.Format < 1 || h.Date != n.date.String() {
		return nil, fmt.Errorf("it has format %d and is of %.20q", h.Format, h.Date)
	}
	sum := sha256.New()
	hashHead(sum, h.Date, h.Columns, h.FilteredColumns)
	left := maxRawSize // bytes to be decompressed
	found := &content{name: n, size: len(data)}
	if found.events, data, err = parseBlocks[event.Event](c, n.date, eventColumns, h.Columns, h.Events, data, sum, &left); err != nil {
		return nil, err
	}
	if found.filtered, data, err = parseBlocks[event.Filtered](c, n.date, filteredColumns, h.FilteredColumns, h.Filtered, data, sum, &left); err != nil {
		return nil, err
	}
	if id := hex.EncodeToString(sum.Sum(nil)[:10]); len(data) > 0 || id != n.id || rowsOf(h.Events) != n.events || rowsOf(h.Filtered) != n.filtered {
		return nil, errors.New("its content isn't what its name says")
	}
	return found, nil
}

func parseBlocks[T row](c codec, date event.Date, known []column, names []string, lengths []blockLen, data []byte, sum hash.Hash, left *int) ([]*block, []byte, error) {
	columns, err := columnsBy(known, names)
	if err != nil {
		return nil, nil, err
	}
	var out []*block
	var last position
	for _, l := range lengths {
		if l[0] < 0 || l[0] > len(data) || l[1] < 0 || l[1] > min(maxBlock, *left) || l[2] < 1 || l[2] > l[1] {
			return nil, nil, errCut
		}
		b := &block{codec: c, data: data[:l[0]], raw: l[1], rows: l[2], columns: columns}
		data, *left = data[l[0]:], *left-l[1]
		rest, err := b.plain()
		if err != nil {
			return nil, nil, err
		}
		hashBlock(sum, unsafe.Slice(unsafe.StringData(rest), len(rest)))
		for i := range b.rows {
			var r T
			if rest, err = readRow(rest, columns, &r); err != nil {
				return nil, nil, err
			}
			at := positionOf(&r)
			switch {
			case at.id == "":
				return nil, nil, errors.New("a row has no event id")
			case event.DateOf(at.time) != date:
				return nil, nil, fmt.Errorf("a row is of %v", event.DateOf(at.time))
			case (len(out) > 0 || i > 0) && last.compare(at) > 0:
				return nil, nil, errors.New("its rows are not in order of account, time and id")
			}
			if i == 0 {
				b.first = at.clone()
			}
			last = at
		}
		if rest != "" {
			return nil, nil, errors.New("a block has more rows than the header says")
		}
		last = last.clone()
		b.last = last
		out = append(out, b)
	}
	return out, data, nil
}
