package lake

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// encoders are zstd's, one pool for each level.
var encoders [zstd.SpeedBestCompression + 1]sync.Pool

// compress returns b as a zstd frame, in buf's memory.
func compress(buf *[]byte, b []byte, level zstd.EncoderLevel) []byte {
	e, ok := encoders[level].Get().(*zstd.Encoder)
	if !ok {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level),
			zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), // pages have a checksum
			// Ids are text of 4 bits a byte in which nothing repeats.
			zstd.WithAllLitEntropyCompression(true))
		if err != nil {
			panic(err) // the settings are constants
		}
	}
	defer encoders[level].Put(e)
	*buf = e.EncodeAll(b, (*buf)[:0])
	return *buf
}
