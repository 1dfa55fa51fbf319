package dynamo

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	_ "embed" // the dictionary

	"github.com/klauspost/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/store"
)

// Packed values: the format's number, one byte, then a zstd frame. The frame names
// the dictionary that it was made with: one that is trained anew gets another id, a
// file and a line here, and what was written with the older ones stays readable.
const packFormat = 1

// dictionary1 is trained on simulated records: go test -run TestDictionary -train 1.
//
//go:embed dictionary1.zdict
var dictionary1 []byte

// maxPlain bounds what a damaged value may unpack to, in bytes.
const maxPlain = 64 << 20

var (
	errDamaged = errors.New("damaged value")
	errFormat  = fmt.Errorf("value in an unknown format: %w", store.ErrNewer)
)

// Both are made when they are first needed: many programs start and write nothing.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary1), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderLevel(zstd.SpeedBetterCompression)))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary1), zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPlain)))
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the dictionary is part of the program
	}
	return v
}

// compress packs a value.
func compress(plain []byte) []byte { return encoder().EncodeAll(plain, []byte{packFormat}) }

// decompress unpacks a value.
func decompress(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errDamaged
	}
	if packed[0] != packFormat {
		return nil, errFormat
	}
	plain, err := decoder().DecodeAll(packed[1:], nil)
	if errors.Is(err, zstd.ErrUnknownDictionary) {
		return nil, errFormat
	}
	if err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	return plain, nil
}

// packer writes rows as columns, so that like stands by like. What is random, ids and
// hashes, stays out of what is compressed: it would only spoil it.
type packer struct {
	columns [][]byte
	random  []byte
}

func (p *packer) column(i int) *[]byte {
	for len(p.columns) <= i {
		p.columns = append(p.columns, nil)
	}
	return &p.columns[i]
}

func (p *packer) number(column int, v int64) {
	c := p.column(column)
	*c = binary.AppendVarint(*c, v)
}

// ms writes a time, or what it differs by: CloudTrail's are whole seconds.
func (p *packer) ms(column int, v int64) {
	if v%1000 == 0 {
		p.number(column, v/1000*2)
		return
	}
	p.number(column, v*2+1)
}

func (p *packer) hash(v uint64) { p.random = binary.LittleEndian.AppendUint64(p.random, v) }

func (p *packer) text(column int, v string) {
	c := p.column(column)
	*c = append(binary.AppendUvarint(*c, uint64(len(v))), v...)
}

// id writes an event id: a UUID, as nearly all are, takes 16 bytes.
func (p *packer) id(column int, v string) {
	c := p.column(column)
	if len(v) == 36 && v[8] == '-' && v[13] == '-' && v[18] == '-' && v[23] == '-' {
		digits := v[:8] + v[9:13] + v[14:18] + v[19:23] + v[24:]
		if raw, err := hex.DecodeString(digits); err == nil && hex.EncodeToString(raw) == digits {
			*c = append(*c, 0)
			p.random = append(p.random, raw...)
			return
		}
	}
	*c = append(binary.AppendUvarint(*c, uint64(len(v))+1), v...)
}

// base32of has the alphabet of access key ids after their first four characters.
var base32of = base32.StdEncoding

// keyID writes an access key id, which takes ten bytes when it is like AWS's.
func (p *packer) keyID(column int, v string) {
	c := p.column(column)
	if len(v) == 20 && v[:4] == "ASIA" {
		if raw, err := base32of.DecodeString(v[4:]); err == nil && base32of.EncodeToString(raw) == v[4:] {
			*c = append(*c, 0)
			p.random = append(p.random, raw...)
			return
		}
	}
	*c = append(binary.AppendUvarint(*c, uint64(len(v))+1), v...)
}

// bytes are the columns, each after its length, compressed, then what is random.
func (p *packer) bytes() []byte {
	packed := compress(p.plain())
	return append(append(binary.AppendUvarint(nil, uint64(len(packed))), packed...), p.random...)
}

func (p *packer) plain() (plain []byte) {
	for _, c := range p.columns {
		plain = append(binary.AppendUvarint(plain, uint64(len(c))), c...)
	}
	return plain
}

// unpacker reads what a packer wrote. After the first value that isn't there it is
// bad, and gives zero values.
type unpacker struct {
	columns []string
	random  string
	bad     bool
}

// unpack reads a packed value of that many columns; columns that a later version
// added are left alone.
func unpack(packed []byte, columns int) (*unpacker, error) {
	size, n := binary.Uvarint(packed)
	if n <= 0 || size > uint64(len(packed)-n) {
		return nil, errDamaged
	}
	plain, err := decompress(packed[n : n+int(size)])
	if err != nil {
		return nil, err
	}
	u := &unpacker{random: string(packed[n+int(size):])}
	all := unpacker{columns: []string{string(plain)}}
	for all.columns[0] != "" && !all.bad {
		u.columns = append(u.columns, all.text(0))
	}
	if all.bad || len(u.columns) < columns {
		return nil, errDamaged
	}
	return u, nil
}

func (u *unpacker) fail() { u.bad = true }

// more reports whether a column has another value.
func (u *unpacker) more(column int) bool { return !u.bad && u.columns[column] != "" }

func (u *unpacker) uvarint(column int) uint64 {
	c := u.columns[column]
	var v uint64
	for i := 0; i < len(c) && i < binary.MaxVarintLen64; i++ {
		v |= uint64(c[i]&0x7f) << (7 * i)
		if c[i] < 0x80 {
			u.columns[column] = c[i+1:]
			return v
		}
	}
	u.fail()
	return 0
}

func (u *unpacker) number(column int) int64 {
	v := u.uvarint(column)
	return int64(v>>1) ^ -int64(v&1)
}

func (u *unpacker) ms(column int) int64 {
	v := u.number(column)
	if v&1 == 0 {
		return v / 2 * 1000
	}
	return v >> 1
}

func (u *unpacker) take(column int, n uint64) string {
	c := u.columns[column]
	if u.bad || n > uint64(len(c)) {
		u.fail()
		return ""
	}
	u.columns[column] = c[n:]
	return c[:n]
}

// raw takes what is random.
func (u *unpacker) raw(n int) string {
	if u.bad || n > len(u.random) {
		u.fail()
		return ""
	}
	v := u.random[:n]
	u.random = u.random[n:]
	return v
}

func (u *unpacker) hash() uint64 {
	b := u.raw(8)
	if u.bad {
		return 0
	}
	return binary.LittleEndian.Uint64([]byte(b))
}

func (u *unpacker) text(column int) string { return u.take(column, u.uvarint(column)) }

func (u *unpacker) id(column int) string {
	n := u.uvarint(column)
	if n > 0 {
		return u.take(column, n-1)
	}
	h := hex.EncodeToString([]byte(u.raw(16)))
	if u.bad {
		return ""
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (u *unpacker) keyID(column int) string {
	n := u.uvarint(column)
	if n > 0 {
		return u.take(column, n-1)
	}
	return "ASIA" + base32of.EncodeToString([]byte(u.raw(10)))
}

func (u *unpacker) err() error {
	if u.bad {
		return errDamaged
	}
	return nil
}
