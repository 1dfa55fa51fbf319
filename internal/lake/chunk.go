package lake

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// chunk collects one column of a row group and encodes it. Text begins as
// indices into a dictionary; when too many values are new the chunk changes to
// plain pages, so a chunk has either a dictionary and one page, or no dictionary
// and any number of pages. Its memory is used again for the next row group.
type chunk struct {
	field   *field
	bounded bool // keeps minimum and maximum
	bloom   bool // has a filter, if the row group is large
	random  bool // has ever new values of one length: no dictionary, lengths apart

	rows    int    // of the chunk
	nulls   int    // of the chunk
	defined []byte // of each row of the page, if optional: 1 for a value, 0 for NULL

	// Values of the page; of a dictionary's page, the chunk's.
	dict    *dictionary // nil: plain
	index   []int32
	text    []byte
	offsets []uint32
	ints    []int64
	bools   []byte

	least, most string // bounds of plain text; integers keep theirs as bytes at the end
	low, high   int64
	hashes      []uint64 // of plain values, for the filter

	pages  []byte // finished, with headers
	count  int
	raw    int64 // size of pages uncompressed, with headers
	zstd   bool
	dictAt int // length of the dictionary page, which is first; 0: none

	// Memory that is used again.
	spare                                            dictionary
	saved, scratch, raws, packed, words, packedWords []byte
}

// Pages are cut at so many raw bytes.
const pageBytes = 512 << 10

// A dictionary larger than this isn't one, nor is one whose values hardly repeat.
const (
	dictBytes = 1 << 20
	dictLook  = 1024 // values after which the second is judged
)

const (
	// Integers are kept as differences from so many rows on: of fewer, those of
	// the next account weigh more than the others save.
	deltaRows = 512
	// Less than this gets hardly ever smaller.
	incompressible = 64
)

// start empties the chunk.
func (c *chunk) start() {
	c.rows, c.nulls, c.defined = 0, 0, c.defined[:0]
	c.dict = nil
	if c.field.kind == text && !c.random {
		c.spare.reset()
		c.dict = &c.spare
	}
	c.index, c.text, c.offsets = c.index[:0], c.text[:0], append(c.offsets[:0], 0)
	c.ints, c.bools = c.ints[:0], c.bools[:0]
	c.least, c.most = "", ""
	c.low, c.high = math.MaxInt64, math.MinInt64
	c.hashes = c.hashes[:0]
	c.pages, c.count, c.raw, c.zstd, c.dictAt = c.pages[:0], 0, 0, false, 0
}

// add takes the column's value of the row at p, and returns its raw size.
func (c *chunk) add(p unsafe.Pointer) int {
	p = unsafe.Add(p, c.field.offset)
	c.rows++
	switch c.field.kind {
	case integer:
		n := *(*int64)(p)
		c.low, c.high = min(c.low, n), max(c.high, n)
		c.ints = append(c.ints, n)
		return 8
	case boolean:
		b := *(**bool)(p)
		if b == nil {
			c.null()
			return 1
		}
		c.present()
		if *b {
			c.bools = append(c.bools, 1)
		} else {
			c.bools = append(c.bools, 0)
		}
		return 1
	}
	s := *(*string)(p)
	if s == "" && c.field.optional {
		c.null()
		return 1
	}
	c.present()
	if c.dict == nil {
		c.plain(s)
		return len(s) + 4
	}
	c.index = append(c.index, c.dict.add(s))
	if len(c.dict.text) > dictBytes || len(c.index) == dictLook && c.dict.useless(dictLook) {
		c.spill()
	}
	return len(s) + 4
}

func (c *chunk) null() {
	c.nulls++
	if c.field.optional {
		c.defined = append(c.defined, 0)
	}
}

func (c *chunk) present() {
	if c.field.optional {
		c.defined = append(c.defined, 1)
	}
}

// plain takes a value of the page that is not in a dictionary.
func (c *chunk) plain(s string) {
	if c.bounded {
		if c.count == 0 && len(c.offsets) == 1 {
			c.least, c.most = strings.Clone(s), strings.Clone(s)
		} else if s < c.least {
			c.least = strings.Clone(s)
		} else if s > c.most {
			c.most = strings.Clone(s)
		}
	}
	if c.bloom {
		c.hashes = append(c.hashes, hashText(s))
	}
	c.text = append(c.text, s...)
	c.offsets = append(c.offsets, uint32(len(c.text)))
	if len(c.text) >= pageBytes {
		c.cut()
	}
}

// spill turns the chunk from a dictionary to plain pages.
func (c *chunk) spill() {
	dict := c.dict
	c.saved = append(c.saved[:0], c.defined...)
	c.dict, c.defined = nil, c.defined[:0]
	next := 0
	for i := range max(len(c.saved), len(c.index)) {
		if c.field.optional {
			c.defined = append(c.defined, c.saved[i])
			if c.saved[i] == 0 {
				continue
			}
		}
		c.plain(dict.value(c.index[next]))
		next++
	}
	c.index = c.index[:0]
}

// cut ends a plain page before the chunk's last.
func (c *chunk) cut() {
	enc, body := c.body()
	c.zstd = true
	c.append(dataPage(c.values(), enc), body, compress(&c.packed, body))
	c.defined, c.text, c.offsets = c.defined[:0], c.text[:0], append(c.offsets[:0], 0)
	c.ints, c.bools = c.ints[:0], c.bools[:0]
}

// values is the number of values of the page, NULLs included.
func (c *chunk) values() int {
	switch {
	case c.field.optional:
		return len(c.defined)
	case c.field.kind == integer:
		return len(c.ints)
	case c.dict != nil:
		return len(c.index)
	}
	return len(c.offsets) - 1
}

// finish encodes what is left. What gets no smaller by compression stays as it
// is, if that is the whole chunk: the codec is the chunk's.
func (c *chunk) finish() {
	if c.dict != nil && (c.dict.len() == 0 || c.dict.useless(len(c.index))) {
		c.spill()
	}
	if c.count > 0 && c.values() == 0 {
		return
	}
	enc, body := c.body()
	var words []byte
	if c.dict != nil {
		words = c.dict.plain(&c.words)
	}
	data, packedWords := body, words
	if c.zstd || len(body)+len(words) >= incompressible {
		data, packedWords = compress(&c.packed, body), nil
		if c.dict != nil {
			packedWords = compress(&c.packedWords, words)
		}
		if c.zstd = c.zstd || len(data)+len(packedWords) < len(body)+len(words); !c.zstd {
			data, packedWords = body, words
		}
	}
	if c.dict != nil {
		c.append(format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
			NumValues: int32(c.dict.len()), Encoding: format.Plain})}, words, packedWords)
		c.dictAt = len(c.pages)
	}
	c.append(dataPage(c.values(), enc), body, data)
}

func dataPage(values int, enc format.Encoding) format.PageHeader {
	return format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{
		NumValues: int32(values), Encoding: enc, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
}

// append adds a finished page.
func (c *chunk) append(h format.PageHeader, raw, body []byte) {
	h.UncompressedPageSize, h.CompressedPageSize = int32(len(raw)), int32(len(body))
	h.CRC = int32(crc32.ChecksumIEEE(body))
	before := len(c.pages)
	c.pages = appendThrift(c.pages, &h)
	c.raw += int64(len(c.pages) - before + len(raw))
	c.pages = append(c.pages, body...)
	c.count++
}

// body is the page, not compressed: definition levels and values.
func (c *chunk) body() (format.Encoding, []byte) {
	b := c.raws[:0]
	if c.field.optional {
		c.scratch, _ = (&rle.Encoding{BitWidth: 1}).EncodeLevels(c.scratch[:0], c.defined)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.scratch)))
		b = append(b, c.scratch...)
	}
	enc := format.Plain
	switch {
	case c.field.kind == boolean:
		for i, v := range c.bools {
			if i%8 == 0 {
				b = append(b, 0)
			}
			b[len(b)-1] |= v << (i % 8)
		}
	case c.field.kind == integer && !c.deltas():
		for _, n := range c.ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
	case c.field.kind == integer:
		enc = format.DeltaBinaryPacked
		c.scratch, _ = (&delta.BinaryPackedEncoding{}).EncodeInt64(c.scratch[:0], c.ints)
		b = append(b, c.scratch...)
	case c.dict != nil:
		enc = format.RLEDictionary
		width := c.dict.width()
		b = append(b, byte(width))
		c.scratch, _ = (&rle.Encoding{BitWidth: width}).EncodeInt32(c.scratch[:0], c.index)
		b = append(b, c.scratch...)
	case c.random:
		enc = format.DeltaLengthByteArray
		c.scratch, _ = (&delta.LengthByteArrayEncoding{}).EncodeByteArray(c.scratch[:0], c.text, c.offsets)
		b = append(b, c.scratch...)
	default:
		for i := range len(c.offsets) - 1 {
			s := c.text[c.offsets[i]:c.offsets[i+1]]
			b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	}
	c.raws = b
	return enc, b
}

// deltas tells whether integers are kept as differences.
func (c *chunk) deltas() bool { return !c.random && c.rows >= deltaRows }

// bounds returns minimum and maximum, in Parquet's plain form; nil if none are kept.
func (c *chunk) bounds() (least, most []byte) {
	if !c.bounded || c.nulls == c.rows {
		return nil, nil
	}
	if c.field.kind == integer {
		return binary.LittleEndian.AppendUint64(nil, uint64(c.low)), binary.LittleEndian.AppendUint64(nil, uint64(c.high))
	}
	if c.dict != nil {
		c.least, c.most = c.dict.bounds()
	}
	if len(c.least) > boundBytes || len(c.most) > boundBytes {
		return nil, nil
	}
	return []byte(c.least), []byte(c.most)
}

// filter makes the chunk's bloom filter.
func (c *chunk) filter() bloom.SplitBlockFilter {
	if c.dict != nil {
		for i := range int32(c.dict.len()) {
			c.hashes = append(c.hashes, hashText(c.dict.value(i)))
		}
	}
	f := make(bloom.SplitBlockFilter, max(1, bloom.NumSplitBlocksOf(int64(len(c.hashes)), bloomBits)))
	f.InsertBulk(c.hashes)
	return f
}

func hashText(s string) uint64 {
	return bloom.XXH64{}.Sum64(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// encodings are those of the chunk's pages.
func (c *chunk) encodings() []format.Encoding {
	var out []format.Encoding
	if c.field.optional {
		out = append(out, format.RLE)
	}
	switch {
	case c.dict != nil:
		return append(out, format.Plain, format.RLEDictionary)
	case c.field.kind == integer && c.deltas():
		return append(out, format.DeltaBinaryPacked)
	case c.field.kind == text && c.random:
		return append(out, format.DeltaLengthByteArray)
	}
	return append(out, format.Plain)
}
