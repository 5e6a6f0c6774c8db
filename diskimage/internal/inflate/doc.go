// Package inflate expands one DEFLATE stream (RFC 1951), bare or in a zlib wrapper
// (RFC 1950), with the whole input and output in memory.
//
// Disk images compress small units: a VMDK grain is a 64 KiB zlib stream, a qcow2
// cluster a bare one. Their exact size is known beforehand, so the output buffer is
// the window, nothing has to be resumable, and the inner loop can run without
// checks while both buffers have room. Imports spend most of their time here; this
// is almost three times as fast as compress/zlib.
//
// It accepts and refuses what compress/flate does, and the tests compare the two.
// Layout:
//
//	inflate.go  Decoder, the API, errors
//	block.go    block headers, stored blocks, the code lengths of a dynamic block
//	table.go    code lengths to decoding tables; what an entry holds
//	fast.go     the symbols of a block while both buffers have room
//	slow.go     the same near either end, every step checked
//	adler.go    the checksum of the zlib wrapper
package inflate
