//go:build cgo

// libdeflate's decompressor as one unit: the go command compiles no subfolders.
#include "libdeflate/lib/utils.c"
#include "libdeflate/lib/x86/cpu_features.c"
#include "libdeflate/lib/arm/cpu_features.c"
#include "libdeflate/lib/crc32.c"
#include "libdeflate/lib/deflate_decompress.c"
#include "libdeflate/lib/gzip_decompress.c"
