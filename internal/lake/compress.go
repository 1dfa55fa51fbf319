package lake

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// encoders are zstd's at its fastest level: on days of 1,400 events the default
// made 0.7 % less bytes and took a fifth more time.
var encoders sync.Pool

// compress returns b as a zstd frame, in buf's memory.
func compress(buf *[]byte, b []byte) []byte {
	e, ok := encoders.Get().(*zstd.Encoder)
	if !ok {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), // pages have a checksum
			// Ids are text of 4 bits a byte in which nothing repeats.
			zstd.WithAllLitEntropyCompression(true))
		if err != nil {
			panic(err) // the settings are constants
		}
	}
	defer encoders.Put(e)
	*buf = e.EncodeAll(b, (*buf)[:0])
	return *buf
}
