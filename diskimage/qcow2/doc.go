// Package qcow2 reads qcow2 images, versions 2 and 3, as written by qemu-img,
// libvirt and the publishers of cloud images.
//
// Source: QEMU, docs/interop/qcow2.txt. All numbers are big-endian; an image
// is made of clusters of 512 bytes to 2 MiB.
//
//	offset           bytes        structure
//	0                1 cluster    header, extensions, name of the backing file
//	header+40        8 × n        L1 table
//	L1 entry         1 cluster    L2 table
//	L2 entry         1 cluster    data; or a compressed stream at any byte
//	header+48, +64   any          refcounts and snapshots, which are not read
//
// Header, 72 bytes in version 2:
//
//	0    4  "QFI\xfb"
//	4    4  version, 2 or 3
//	8    8  offset of the backing file's name; 0 for none
//	16   4  its length
//	20   4  cluster bits, 9 to 21
//	24   8  size of the disk in bytes
//	32   4  encryption: 0 none, 1 AES, 2 LUKS
//	36   4  entries of the L1 table; more than the disk's with snapshots
//	40   8  offset of the L1 table
//	72   8  incompatible features; version 3 from here
//	80   8  compatible features, ignored
//	88   8  features that a writer clears, ignored
//	100  4  length of the header
//	104  1  compression: 0 deflate, 1 zstd; when the header is longer than 104
//
// Incompatible features: bit 0 not closed cleanly (its refcounts are stale,
// which does not matter here), 1 corrupt, 2 data in another file, 3 another
// compression, 4 extended L2 entries.
//
// Extensions follow the header, each a type (4 bytes), a length (4), and its
// data padded to 8; type 0 ends them.
//
// An L1 entry is, in bits 9 to 55, the offset of an L2 table, 0 for none. An L2
// entry, of 8 bytes:
//
//	bit 62 clear  bits 9-55  offset of the cluster; 0 none
//	              bit 0      the cluster is zeros, whatever is stored (version 3)
//	bit 62 set    bits 0-    offset of the stream, 70 - cluster bits wide
//	              bits -61   sectors of 512 bytes that it touches after the first
//
// Bit 63, of both, is about refcounts. An extended entry has 8 more bytes for
// the cluster's 32 sub-clusters: the lower half says which are stored, the upper
// which are zeros; lowest bit first.
//
// A stream is bare DEFLATE, or one zstd frame, and expands to a cluster. What
// follows it in its last sector is another's.
//
// Writers may cut the last cluster of the object. The missing part reads as zeros,
// with a warning; a cluster of which everything is missing is a fault, where qemu
// reads zeros.
//
// Not supported, and refused by name: backing files, external data files,
// encryption, version 1. Internal snapshots and bitmaps are ignored.
package qcow2
