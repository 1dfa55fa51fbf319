package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// Parquet has checksums for pages, but none for their headers and the footer,
// where one bit may turn a column into another. So the footer has an entry with
// the CRC-32C of the whole file, taken while the entry's digits are still openSeal's.
const (
	sealName = "crc32c:"
	openSeal = sealName + "????????"
)

// sealer passes a file on, with its checksum filled in. All but the pages, which
// is little, is held back until it is known.
type sealer struct {
	out  io.Writer
	crc  uint32
	tail *bytes.Buffer // nil: not held back yet
}

func (s *sealer) Write(p []byte) (int, error) {
	if s.tail != nil {
		return s.tail.Write(p)
	}
	s.crc = crc32.Update(s.crc, castagnoli, p)
	return s.out.Write(p)
}

// hold begins to hold back what is written.
func (s *sealer) hold() { s.tail = new(bytes.Buffer) }

// seal writes what was held back.
func (s *sealer) seal() error {
	tail := s.tail.Bytes()
	at := lastSeal(tail, openSeal)
	if at < 0 {
		return errors.New("the footer has no place for the checksum")
	}
	crc := crc32.Update(s.crc, castagnoli, tail)
	copy(tail[at:], fmt.Sprintf("%s%08x", sealName, crc))
	_, err := s.out.Write(tail)
	return err
}

// lastSeal finds the entry. Column bounds, which may be what an attacker chose,
// come before the entries in a footer, so the last place is the right one.
func lastSeal(b []byte, seal string) int { return bytes.LastIndex(b, []byte(seal)) }

// checkSeal reads all of a file and compares its checksum; ErrDamaged.
func checkSeal(ctx context.Context, f *file) error {
	key, size := f.Object().Key, f.Object().Size
	seal, ok := f.Lookup(metaSeal)
	if !ok || len(seal) != len(openSeal) || !strings.HasPrefix(seal, sealName) {
		return fmt.Errorf("read %s: %w: footer entry %s is %q", key, ErrDamaged, metaSeal, seal)
	}
	// The entry is near the end, in the footer, which has been read in full.
	const window = 1 << 20
	var crc uint32
	buf := make([]byte, min(size, window))
	place, err := sealPlace(f, seal)
	if err != nil {
		return err
	}
	for off := int64(0); off < size; {
		if err := alive(ctx, "read", key); err != nil {
			return err
		}
		b := buf[:min(window, size-off)]
		if n, err := f.Reader.ReadAt(b, off); n < len(b) {
			return fmt.Errorf("read %s: %w", key, err)
		}
		for i := range len(openSeal) { // the entry may lie across two windows
			if p := place + int64(i) - off; p >= 0 && p < int64(len(b)) {
				b[p] = openSeal[i]
			}
		}
		crc = crc32.Update(crc, castagnoli, b)
		off += int64(len(b))
	}
	if got := fmt.Sprintf("%s%08x", sealName, crc); got != seal {
		return fmt.Errorf("read %s: %w: its checksum is %s, the footer says %s", key, ErrDamaged, got, seal)
	}
	return nil
}

// sealPlace returns the offset of the footer's entry.
func sealPlace(f *file, seal string) (int64, error) {
	size := f.Object().Size
	for n := int64(4 << 10); ; n *= 4 {
		n = min(n, size)
		b := make([]byte, n)
		if m, err := f.Reader.ReadAt(b, size-n); int64(m) < n {
			return 0, fmt.Errorf("read %s: %w", f.Object().Key, err)
		}
		if at := lastSeal(b, seal); at >= 0 {
			return size - n + int64(at), nil
		}
		if n == size {
			return 0, fmt.Errorf("read %s: %w: no checksum found", f.Object().Key, ErrDamaged)
		}
	}
}
