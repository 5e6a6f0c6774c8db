package blockstore

import "unsafe"

// AlignedBytes returns n zero bytes whose address is aligned to Align.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+Align-1)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (Align - 1)
	return b[at : at+n : at+n]
}

// Aligned reports whether off and the buffers are aligned to Align as
// Writer.WriteAt asks for. Backends refuse what is not aligned even where the file
// system would take it, so that callers are tested everywhere.
func Aligned(bufs [][]byte, off int64) bool {
	odd := uintptr(off)
	for _, b := range bufs {
		odd |= uintptr(len(b)) | uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	}
	return odd&(Align-1) == 0
}

// alignUp rounds n up to a multiple of Align.
func alignUp(n int) int { return (n + Align - 1) &^ (Align - 1) }
