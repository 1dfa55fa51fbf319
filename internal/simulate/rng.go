package simulate

import (
	"encoding/hex"
	"math/bits"
)

// rng is splitmix64. It is our own so that a seed gives the same world with
// every release of Go.
type rng struct{ state uint64 }

// newRNG starts a stream that is independent for each list of parts.
func newRNG(parts ...uint64) *rng {
	r := seeded(parts...)
	return &r
}

func seeded(parts ...uint64) rng {
	s := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		s = mix64(s ^ p)
	}
	return rng{s}
}

func mix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func (r *rng) next() uint64 {
	z := mix64(r.state)
	r.state += 0x9e3779b97f4a7c15
	return z
}

// intn returns a number in [0, n); n must be positive.
func (r *rng) intn(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// between returns a number in [lo, hi].
func (r *rng) between(lo, hi int) int { return lo + r.intn(hi-lo+1) }

// chance is true with probability p.
func (r *rng) chance(p float64) bool { return float64(r.next()>>11)/(1<<53) < p }

func pick[T any](r *rng, from []T) T { return from[r.intn(len(from))] }

// label turns a name into a part of a seed (FNV-1a).
func label(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

const (
	upperBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	lowerHex    = "0123456789abcdef"
	lowerAlnum  = "abcdefghijklmnopqrstuvwxyz0123456789"
	base64Chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// appendRandom adds n characters of an alphabet of 16, 32 or 64.
func (r *rng) appendRandom(dst []byte, alphabet string, n int) []byte {
	width := bits.TrailingZeros(uint(len(alphabet)))
	mask := uint64(len(alphabet) - 1)
	var pool uint64
	left := 0
	for range n {
		if left < width {
			pool, left = r.next(), 64
		}
		dst = append(dst, alphabet[pool&mask])
		pool >>= width
		left -= width
	}
	return dst
}

func (r *rng) text(alphabet string, n int) string {
	if len(alphabet)&(len(alphabet)-1) != 0 {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[r.intn(len(alphabet))]
		}
		return string(b)
	}
	return string(r.appendRandom(make([]byte, 0, n), alphabet, n))
}

type uuid [16]byte

// newUUID makes a version 4 UUID.
func (r *rng) newUUID() uuid {
	var u uuid
	a, b := r.next(), r.next()
	for i := range 8 {
		u[i] = byte(a >> (8 * i))
		u[8+i] = byte(b >> (8 * i))
	}
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func (u uuid) append(dst []byte) []byte {
	dst = hex.AppendEncode(dst, u[0:4])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[4:6])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[6:8])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, u[8:10])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, u[10:16])
}

func (u uuid) String() string { return string(u.append(make([]byte, 0, 36))) }

// TokenPrefix begins every simulated session token, as it begins real ones. It
// occurs nowhere else in a record, so finding it in a store, a lake, a log or a
// message shows that a credential was kept.
const TokenPrefix = "IQoJb3JpZ2luX2Vj"

// appendToken adds a session token of real length and alphabet.
func (r *rng) appendToken(dst []byte) []byte {
	dst = append(dst, TokenPrefix...)
	return r.appendRandom(dst, base64Chars, 320+r.intn(6)*24)
}
