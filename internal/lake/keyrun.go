package lake

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"

	"github.com/iamtrack/iamtrack/internal/event"
)

// A key run is a sorted set of entries, each of which says that a day of the
// run's month may hold a key: 43 bits of the key's hash, then 5 bits of the day.
// Two of ten million keys share 43 bits with a likelihood of about one in a
// million for each key asked, and every hit is looked up in the day file anyway.
//
// The file, all numbers big endian:
//
//	blocks   682 entries of 6 bytes (the last block: the rest), CRC-32C of them
//	trailer  "IATKEYS1", number of entries (8 bytes), month as year*12+month-1 (4),
//	         CRC-32C of the trailer so far (4)
//
// Hashes are spread evenly, so a look-up goes straight to the block that must
// hold an entry, or to its neighbour; checksums are by block so that it is safe
// to read no more than that.
const (
	runMagic     = "IATKEYS1"
	entrySize    = 6
	blockEntries = 682
	blockSize    = blockEntries*entrySize + 4 // 4096
	trailerSize  = 24
	dayBits      = 5
	maxEntry     = 1<<(8*entrySize) - 1
	// smallRun is the size up to which an open run is kept in memory, larger
	// ones keep their file open instead.
	smallRun = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// month is a calendar month as year*12 + month-1.
type month int32

func monthOf(d event.Date) month {
	t := d.Time()
	return month(t.Year()*12 + int(t.Month()) - 1)
}

func (m month) String() string { return fmt.Sprintf("%04d-%02d", int(m)/12, int(m)%12+1) }

// date returns a day of the month.
func (m month) date(day int) event.Date {
	d, err := event.ParseDate(fmt.Sprintf("%v-%02d", m, day))
	if err != nil {
		return event.Date(-1 << 31) // day 31 of a shorter month: no file has it
	}
	return d
}

// entryOf packs a key's hash and its day.
func entryOf(h hash128, d event.Date) uint64 {
	return h.Hi>>(64-8*entrySize+dayBits)<<dayBits | uint64(d.Time().Day())
}

// filterHash spreads an entry's hash bits over the 64 that the filter looks at
// (the finaliser of SplitMix64).
func filterHash(entry uint64) uint64 {
	x := entry >> dayBits
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashBits clears an entry's day.
func hashBits(entry uint64) uint64 { return entry &^ (1<<dayBits - 1) }

// writeRun writes sorted entries, of which equal ones are written once.
func writeRun(w io.Writer, m month, from entries) error {
	block := make([]byte, 0, blockSize)
	flush := func() error {
		block = binary.BigEndian.AppendUint32(block, crc32.Checksum(block, castagnoli))
		_, err := w.Write(block)
		block = block[:0]
		return err
	}
	var n, last uint64
	for {
		e, ok, err := from.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if n > 0 && e == last {
			continue
		}
		last = e
		n++
		block = append(block, byte(e>>40), byte(e>>32), byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
		if len(block) == blockEntries*entrySize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(block) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	trailer := append([]byte(nil), runMagic...)
	trailer = binary.BigEndian.AppendUint64(trailer, n)
	trailer = binary.BigEndian.AppendUint32(trailer, uint32(m))
	trailer = binary.BigEndian.AppendUint32(trailer, crc32.Checksum(trailer, castagnoli))
	_, err := w.Write(trailer)
	return err
}

// run is an open key run. Not safe for concurrent use.
type run struct {
	obj     Object
	month   month
	entries int64
	small   []byte // the whole file, if it is small
	r       Reader // the open file, if it isn't
	buf     []byte
}

// damagedRun is the error of a run that is cut short or changed.
type damagedRun struct{ key string }

func (e *damagedRun) Error() string { return fmt.Sprintf("read %s: damaged key index", e.key) }

func isDamagedRun(err error) bool {
	var d *damagedRun
	return errors.As(err, &d)
}

func openRun(ctx context.Context, b Bucket, key string) (*run, error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	k := &run{obj: r.Object(), r: r}
	if err := k.init(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return k, nil
}

func (k *run) init() error {
	if k.obj.Size < trailerSize {
		return &damagedRun{k.obj.Key}
	}
	var t [trailerSize]byte
	if err := k.read(t[:], k.obj.Size-trailerSize); err != nil {
		return err
	}
	if string(t[:8]) != runMagic || binary.BigEndian.Uint32(t[20:]) != crc32.Checksum(t[:20], castagnoli) {
		return &damagedRun{k.obj.Key}
	}
	n := binary.BigEndian.Uint64(t[8:])
	k.entries, k.month = int64(n), month(binary.BigEndian.Uint32(t[16:]))
	if n > uint64(k.obj.Size) || k.obj.Size != k.blocks()*4+k.entries*entrySize+trailerSize {
		return &damagedRun{k.obj.Key}
	}
	if k.small == nil && k.obj.Size <= smallRun {
		all, err := readAll(k.r)
		if err != nil {
			return err
		}
		k.small = all
		err = k.r.Close()
		k.r = nil
		return err
	}
	return nil
}

func (k *run) close() error {
	if k.r == nil {
		return nil
	}
	err := k.r.Close()
	k.r = nil
	return err
}

// read fills p from the file.
func (k *run) read(p []byte, off int64) error {
	if k.small != nil {
		copy(p, k.small[off:])
		return nil
	}
	n, err := k.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return &damagedRun{k.obj.Key}
	}
	return fmt.Errorf("read %s: %w", k.obj.Key, err)
}

func (k *run) blocks() int64 { return (k.entries + blockEntries - 1) / blockEntries }

// block returns the entries of block i, unpacked by the caller, valid until the
// next call.
func (k *run) block(i int64) ([]byte, error) {
	n := min(k.entries-i*blockEntries, blockEntries)
	if cap(k.buf) < blockSize {
		k.buf = make([]byte, blockSize)
	}
	b := k.buf[:n*entrySize+4]
	if err := k.read(b, i*blockSize); err != nil {
		return nil, err
	}
	return k.checked(b)
}

func (k *run) checked(b []byte) ([]byte, error) {
	body := b[:len(b)-4]
	if binary.BigEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(body, castagnoli) {
		return nil, &damagedRun{k.obj.Key}
	}
	return body, nil
}

func entryAt(block []byte, i int) uint64 {
	b := block[i*entrySize:][:entrySize]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

// days appends the days whose entries have the hash bits of e.
func (k *run) days(e uint64, to []event.Date) ([]event.Date, error) {
	if k.entries == 0 {
		return to, nil
	}
	e = hashBits(e)
	last := k.blocks() - 1
	i := int64(float64(e) / (maxEntry + 1) * float64(k.blocks()))
	i = min(max(i, 0), last)
	// Go back while an earlier block may hold an entry, then forward.
	b, err := k.block(i)
	for err == nil && i > 0 && entryAt(b, 0) >= e {
		i--
		b, err = k.block(i)
	}
	for {
		if err != nil {
			return to, err
		}
		n := len(b) / entrySize
		for j := sort.Search(n, func(j int) bool { return entryAt(b, j) >= e }); j < n; j++ {
			if hashBits(entryAt(b, j)) != e {
				return to, nil
			}
			to = append(to, k.month.date(int(entryAt(b, j)&(1<<dayBits-1))))
		}
		if i == last {
			return to, nil
		}
		i++
		b, err = k.block(i)
	}
}

// entries is a sorted sequence of entries. It is no iter.Seq because merging
// those would switch coroutines for each entry, which takes longer than the rest.
type entries interface {
	// next returns the next entry; false at the end.
	next() (uint64, bool, error)
}

// slice is a sequence in memory.
type slice struct{ rest []uint64 }

// sorted sorts entries and returns them as a sequence.
func sorted(list []uint64) *slice {
	slices.Sort(list)
	return &slice{list}
}

func (s *slice) next() (uint64, bool, error) {
	if len(s.rest) == 0 {
		return 0, false, nil
	}
	e := s.rest[0]
	s.rest = s.rest[1:]
	return e, true, nil
}

// stream reads all entries of a run, some blocks at a time.
type stream struct {
	ctx   context.Context
	k     *run
	buf   []byte
	first int64  // block that the buffer will hold next
	rest  []byte // blocks of the buffer that were not looked at
	block []byte // entries left of the current block
}

func (k *run) stream(ctx context.Context) *stream { return &stream{ctx: ctx, k: k} }

func (s *stream) next() (uint64, bool, error) {
	if len(s.block) == 0 {
		if err := s.fill(); err != nil {
			return 0, false, err
		}
		if len(s.block) == 0 {
			return 0, false, nil
		}
	}
	e := entryAt(s.block, 0)
	s.block = s.block[entrySize:]
	return e, true, nil
}

func (s *stream) fill() (err error) {
	const chunk = 64 // blocks
	if len(s.rest) == 0 && s.first < s.k.blocks() {
		if err := alive(s.ctx, "read", s.k.obj.Key); err != nil {
			return err
		}
		if s.buf == nil {
			s.buf = make([]byte, min(chunk, s.k.blocks())*blockSize)
		}
		end := min((s.first+chunk)*blockSize, s.k.obj.Size-trailerSize)
		s.rest = s.buf[:end-s.first*blockSize]
		if err := s.k.read(s.rest, s.first*blockSize); err != nil {
			return err
		}
		s.first += chunk
	}
	if len(s.rest) > 0 {
		n := min(len(s.rest), blockSize)
		s.block, err = s.k.checked(s.rest[:n])
		s.rest = s.rest[n:]
	}
	return err
}

// without leaves out the entries of some days.
type without struct {
	entries
	days map[int]bool
}

func (w without) next() (uint64, bool, error) {
	for {
		e, ok, err := w.entries.next()
		if err != nil || !ok || !w.days[int(e&(1<<dayBits-1))] {
			return e, ok, err
		}
	}
}

// merge is several sequences as one.
type merge struct {
	from  []entries
	heads []uint64 // next entry of each
}

func merged(from ...entries) (*merge, error) {
	m := &merge{}
	for _, f := range from {
		e, ok, err := f.next()
		if err != nil {
			return nil, err
		}
		if ok {
			m.from, m.heads = append(m.from, f), append(m.heads, e)
		}
	}
	return m, nil
}

func (m *merge) next() (uint64, bool, error) {
	if len(m.heads) == 0 {
		return 0, false, nil
	}
	least := 0 // so few that a scan beats a heap
	for i, e := range m.heads {
		if e < m.heads[least] {
			least = i
		}
	}
	out := m.heads[least]
	e, ok, err := m.from[least].next()
	if err != nil {
		return 0, false, err
	}
	if ok {
		m.heads[least] = e
	} else {
		m.heads = slices.Delete(m.heads, least, least+1)
		m.from = slices.Delete(m.from, least, least+1)
	}
	return out, true, nil
}
