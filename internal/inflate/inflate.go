// Package inflate unpacks gzip files that fit in memory, several times as fast as
// pure Go can: with libdeflate, which is part of this package, in builds with cgo.
// It says no to all else (other builds, damaged files, files that unpack to more
// than there is room for), for which there is a reader that streams.
package inflate

import "encoding/binary"

const (
	// minMember is the size of the smallest member: header, an empty block, trailer.
	minMember = 18
	maxRatio  = 1032 // that deflate can reach
	flagName  = 8    // in a header: the packed file's name follows
)

// Gzip unpacks all members of a gzip file into memory that it may take from buf. It
// reports false if the file isn't one of sound members and nothing else, if that
// takes more than limit bytes, or if this build can't; what it returns then is
// only good for the next call.
func Gzip(buf, packed []byte, limit int) ([]byte, bool) {
	out := buf[:0]
	for first := true; first || len(packed) > 0; first = false {
		// Headers with more than a name are left to who looks at all of it.
		if !available || len(packed) < minMember || packed[3]&^flagName != 0 {
			return out, false
		}
		// The size at the end is of the last member, modulo 2^32, and may be a lie;
		// of other members nothing is known.
		size := min(int64(binary.LittleEndian.Uint32(packed[len(packed)-4:])), int64(len(packed))*maxRatio)
		for {
			// Nothing to unpack needs room too: libdeflate takes no empty output.
			out = grow(out, min(int(max(size, 1)), limit-len(out)))
			used, n, res := member(out[len(out):min(cap(out), limit)], packed)
			if res == noRoom && cap(out) < limit {
				size = 2 * int64(cap(out)-len(out)+1)
				continue
			}
			if res != done {
				return out, false
			}
			out, packed = out[:len(out)+n], packed[used:]
			break
		}
	}
	return out, true
}

type result uint8

const (
	done   result = iota
	noRoom        // the output is larger than there was room for
	bad           // no sound member
)

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}
