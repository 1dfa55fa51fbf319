//go:build cgo

package inflate

/*
#include "libdeflate/libdeflate.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

const available = true

// decompressor is some kilobytes of tables outside of Go's memory.
type decompressor struct {
	p *C.struct_libdeflate_decompressor
}

var decompressors = sync.Pool{New: func() any {
	d := &decompressor{C.libdeflate_alloc_decompressor()}
	if d.p != nil {
		runtime.AddCleanup(d, func(p *C.struct_libdeflate_decompressor) { C.libdeflate_free_decompressor(p) }, d.p)
	}
	return d
}}

// member unpacks the first member of in, of which it takes used bytes.
func member(out, in []byte) (used, n int, _ result) {
	d := decompressors.Get().(*decompressor)
	defer decompressors.Put(d)
	if d.p == nil {
		return 0, 0, bad // out of memory
	}
	var took, gave C.size_t
	res := C.libdeflate_gzip_decompress_ex(d.p, unsafe.Pointer(unsafe.SliceData(in)), C.size_t(len(in)),
		unsafe.Pointer(unsafe.SliceData(out)), C.size_t(len(out)), &took, &gave)
	switch res {
	case C.LIBDEFLATE_SUCCESS:
		return int(took), int(gave), done
	case C.LIBDEFLATE_INSUFFICIENT_SPACE:
		return 0, 0, noRoom
	}
	return 0, 0, bad
}
