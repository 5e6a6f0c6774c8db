// Package vdi reads VirtualBox disk images, dynamic and fixed, as written by
// VirtualBox and qemu-img.
//
// Source: VirtualBox, the header's definition in its storage code (VDICore.h),
// compared with images of VirtualBox and qemu-img. All numbers are little-endian.
//
//	offset                       bytes          structure
//	0                            72             preheader
//	72                           384 or 400     header
//	header+340                   4 × n          block map; at 512 (qemu) or 1 MiB
//	header+344                   extra + block  blocks, by index
//
// Preheader and header, offsets from the start of the object:
//
//	0    64  text: "<<< Oracle VM VirtualBox Disk Image >>>\n" and others
//	64   4   0xbeda107f
//	68   4   version, 0x00010001
//	72   4   size of the header; VirtualBox rewrites 384 as 400
//	76   4   type: 1 dynamic, 2 fixed, 3 undo, 4 differencing
//	340  4   offset of the block map
//	344  4   offset of the blocks
//	360  4   bytes of a sector, 512
//	368  8   size of the disk in bytes; need not be whole blocks, nor sectors
//	376  4   bytes of a block: 1 MiB, or another power of two
//	380  4   bytes in front of each block, 0
//	384  4   blocks of the disk
//	388  4   blocks stored
//	424  16  UUID of the image before this one; zeros without
//	440  16  UUID of the parent; zeros without
//
// An entry of the map is the index of a block, or 0xffffffff when it is not
// stored, or 0xfffffffe when it was discarded; both read as zeros. A fixed image
// has a map too.
//
// Not supported, and refused by name: undo and differencing images, version 0.1.
package vdi
