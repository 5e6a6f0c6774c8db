// Package parallels reads the expandable disks of Parallels, Virtuozzo and
// OpenVZ (.hds, .hdd) in their two forms.
//
// Source: QEMU, docs/interop/parallels.txt, compared with images of Parallels,
// Virtuozzo and qemu-img. All numbers are little-endian.
//
//	offset      bytes    structure
//	0           64       header
//	64          4 × n    block allocation table (BAT)
//	BAT entry   cluster  data, in any order
//
// Header:
//
//	0   16  "WithoutFreeSpace", or "WithouFreSpacExt" for the later form
//	16  4   version, 2
//	28  4   sectors of a cluster ("tracks"): any number, 63 and 2048 are usual
//	32  4   entries of the BAT
//	36  8   sectors of the disk; the earlier form has 4 bytes and garbage
//	44  4   0x746f6e59 while the disk is in use
//	48  4   sector at which the data begin; 0 in some of the earlier form
//	52  4   flags, ignored
//	56  8   sector of the extension (bitmaps), ignored
//
// A BAT entry is 0 when the cluster is not stored; else the earlier form gives
// the sector at which it begins, the later one the cluster, counted from the
// object's start.
//
// Not supported: disks of several .hds files, which their DiskDescriptor.xml names,
// since an object is one file. A file does not say whether it needs others.
package parallels
