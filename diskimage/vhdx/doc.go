// Package vhdx reads Hyper-V's VHDX images, fixed and dynamic, with their log
// replayed, as written by Hyper-V, Windows, WSL, Disk2vhd and qemu.
//
// Source: Microsoft, "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format". All
// numbers are little-endian, checksums CRC-32C with the field taken as zero.
//
//	offset   bytes  structure
//	0        64 K   "vhdxfile", creator in UTF-16
//	64 KiB   4 K    header 1
//	128 KiB  4 K    header 2: the valid one with the higher sequence counts
//	192 KiB  64 K   region table 1
//	256 KiB  64 K   region table 2, a copy
//	1 MiB           log, metadata region, block allocation table (BAT) region and
//	                payload blocks, in any order, all at multiples of 1 MiB
//
// Everything above 1 MiB is found through what lies below, so that only one place
// has to be safe against torn writes: for that reason the headers alternate, and
// all other metadata goes through the log.
//
// Header: 0 "head", 4 checksum, 8 sequence, 48 log GUID, 64 log version, 66
// version, 68 log length, 72 log offset. Region table: 0 "regi", 4 checksum, 8
// count, from 16 entries {GUID, offset u64, length u32, required u32}. Metadata
// table: 0 "metadata", 10 count u16, from 32 entries {GUID, offset u32, length
// u32, flags u32, u32}.
//
// BAT: u64 entries, a state in the low 3 bits and an offset in MiB from bit 20
// on. After every chunk of 2^23 × sector / block entries one for a sector
// bitmap follows, which only differencing disks use and some writers fill with
// garbage. States: 0 not present, 1 undefined, 2 zero, 3 and 5 unmapped, 6
// present, 7 partially present. All but 6 read as zeros, whatever their offset
// holds.
//
// Log: a ring of 4 KiB sectors, used only while the header's log GUID is not
// zero. Entries {0 "loge", 4 checksum, 8 length u32, 12 tail u32, 16 sequence,
// 24 descriptors u32, 32 GUID, 48 flushed file offset, 56 last file offset},
// then from 64 descriptors of 32 bytes: "zero" {8 length, 16 offset, 24
// sequence} and "desc" {4 trailing bytes, 8 leading bytes, 16 offset, 24
// sequence}; then a sector "data" {4 sequence high, 8 4084 bytes, 4092 sequence
// low} for each "desc". The object is never written: the log is replayed into
// memory and laid over every read.
//
// Not supported, and refused by name: differencing disks.
package vhdx
