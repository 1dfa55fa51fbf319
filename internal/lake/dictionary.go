package lake

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// dictionary numbers distinct texts from 0 in the order they come. It keeps its
// memory when it is emptied, since a file has some thirty of them.
type dictionary struct {
	text  []byte
	ends  []uint32
	hash  []uint32
	table []int32 // open addressing: number + 1, or 0; its length is a power of 2
	last  int32
}

const firstTable = 64

func (d *dictionary) reset() {
	d.text, d.ends, d.hash, d.last = d.text[:0], d.ends[:0], d.hash[:0], 0
	d.table = d.table[:min(len(d.table), firstTable)]
	clear(d.table)
}

func (d *dictionary) len() int { return len(d.ends) }

// useless tells whether of so many values too few repeat.
func (d *dictionary) useless(values int) bool { return d.len()*4 > values*3 }

// value returns a text; it is valid until the next add.
func (d *dictionary) value(i int32) string {
	from := uint32(0)
	if i > 0 {
		from = d.ends[i-1]
	}
	if from == d.ends[i] {
		return ""
	}
	return unsafe.String(&d.text[from], d.ends[i]-from)
}

// add adds the text if it isn't there, and returns its number.
func (d *dictionary) add(s string) int32 {
	if len(d.ends) > 0 && d.value(d.last) == s {
		return d.last // events of one session follow each other
	}
	if len(d.ends)*2 >= len(d.table) {
		d.grow()
	}
	h := uint32(xxh3.HashString(s))
	mask := uint32(len(d.table) - 1)
	for p := h & mask; ; p = (p + 1) & mask {
		i := d.table[p] - 1
		if i < 0 {
			d.text = append(d.text, s...)
			d.ends = append(d.ends, uint32(len(d.text)))
			d.hash = append(d.hash, h)
			d.last = int32(len(d.ends)) - 1
			d.table[p] = d.last + 1
			return d.last
		}
		if d.hash[i] == h && d.value(i) == s {
			d.last = i
			return i
		}
	}
}

func (d *dictionary) grow() {
	n := max(firstTable, 2*len(d.table))
	if n <= cap(d.table) {
		d.table = d.table[:n]
		clear(d.table)
	} else {
		d.table = make([]int32, n)
	}
	mask := uint32(n - 1)
	for i, h := range d.hash {
		p := h & mask
		for d.table[p] != 0 {
			p = (p + 1) & mask
		}
		d.table[p] = int32(i) + 1
	}
}

// width is how many bits an index takes: whole bytes unless it is small, since
// zstd sees bytes (1 % of a day of 1,400 events).
func (d *dictionary) width() int {
	n := max(1, bits.Len(uint(len(d.ends)-1)))
	if n > 2 {
		n = (n + 7) &^ 7
	}
	return n
}

// plain is the dictionary's page, in buf's memory.
func (d *dictionary) plain(buf *[]byte) []byte {
	b := (*buf)[:0]
	for i := range int32(len(d.ends)) {
		s := d.value(i)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	*buf = b
	return b
}

// bounds returns the least and the greatest text.
func (d *dictionary) bounds() (least, most string) {
	for i := range int32(len(d.ends)) {
		s := d.value(i)
		if i == 0 {
			least, most = s, s
		}
		least, most = min(least, s), max(most, s)
	}
	return least, most
}
