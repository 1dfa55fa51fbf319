package server

import (
	"encoding/binary"
	"hash/fnv"
)

// chance tells whether something of probability p befalls what parts name: always
// the same for the same seed and parts.
func (s *Server) chance(p float64, parts ...any) bool { return p > 0 && s.draw(parts...) < p }

// draw returns a number in [0, 1) that is a function of the seed and parts.
func (s *Server) draw(parts ...any) float64 {
	h := fnv.New64a()
	put := func(n uint64) { _, _ = h.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	put(s.seed)
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			put(uint64(len(p)))
			_, _ = h.Write([]byte(p))
		case [16]byte:
			_, _ = h.Write(p[:])
		case int:
			put(uint64(p)) //nolint:gosec // any bits do
		default:
			panic("server: draw: a part of another type")
		}
	}
	// FNV's last bits are good, its first ones less so: stir.
	z := h.Sum64()
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}
