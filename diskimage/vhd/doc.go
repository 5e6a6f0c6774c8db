// Package vhd reads Virtual Hard Disk images, fixed and dynamic, as written by
// Virtual PC, Hyper-V, Azure, VirtualBox, XenServer, Disk2vhd and qemu.
//
// Source: Microsoft, "Virtual Hard Disk Image Format Specification", version
// 1.0 (2006), under the Open Specification Promise. All numbers are big-endian.
//
// A fixed image is the disk followed by the footer. A dynamic image:
//
//	offset         bytes  structure
//	0              512    copy of the footer
//	footer+16      1024   dynamic header (usually at 512)
//	header+16      4 × n  block allocation table (BAT)
//	BAT entry*512  block  sector bitmap, then the block's data; any order
//	end - 512      512    footer
//
// The tables lead the file so that it can grow at the end; the footer, which
// moves when it does, is copied to the front in case a write is torn.
//
// Footer:
//
//	0   8  "conectix"
//	12  4  version, 0x00010000
//	16  8  offset of the dynamic header; all ones when fixed
//	28  4  creator application
//	40  8  original size
//	48  8  current size: the disk's
//	56  4  geometry; ignored
//	60  4  type: 2 fixed, 3 dynamic, 4 differencing
//	64  4  checksum: complement of the sum of all bytes but these
//	84  1  saved state
//
// Dynamic header:
//
//	0   8    "cxsparse"
//	16  8    offset of the BAT
//	24  4    version, 0x00010000
//	28  4    entries of the BAT; may exceed what the disk needs
//	32  4    block size in bytes; a power of two
//	36  4    checksum, as in the footer
//	40  16   parent's UUID
//	64  512  parent's name, UTF-16
//
// A BAT entry is the sector at which a block begins, or all ones. The block
// begins with a bitmap, most significant bit first, padded to whole sectors: a
// clear bit is a sector of zeros, whatever is stored in its place. Nearly all
// bitmaps are full. A block is a coded run of both, so that far away it takes one
// read, and is data as a whole, as qemu has it.
//
// The size of the disk is the current size, always. Geometry, which Virtual PC
// rounds down and some readers go by, would cut the end of the disk.
//
// Not supported, and refused by name: differencing images.
package vhd
