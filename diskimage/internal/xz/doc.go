// Package xz expands streams of the .xz format with bounded memory: the container
// is read here, so that a dictionary that is too large is refused before it is
// allocated, and an index costs no memory; the LZMA2 data in it is left to
// github.com/ulikunitz/xz/lzma.
//
// Source: "The .xz File Format", version 1.2.1. Numbers are little-endian; a
// varint has 7 bits a byte, least first, at most 9 bytes.
//
// A file is streams with, behind each, zeros in multiples of 4 bytes:
//
//	header  fd "7zXZ" 00, 2 flags (00, type of check), CRC-32 of the flags
//	blocks  see below, any number
//	index   00, varint count, of each block varint unpadded and uncompressed
//	        size, zeros to a multiple of 4, CRC-32 of it all
//	footer  CRC-32 of the next 6 bytes, 4 size of the index / 4 - 1, 2 flags, "YZ"
//
// A block:
//
//	1  size of the header / 4 - 1, not 0
//	1  flags: bits 0-1 filters - 1, 6 compressed and 7 uncompressed size follow
//	   varints of those sizes; of each filter varint id, varint length, properties
//	   zeros; 4 CRC-32 of the header
//	   data, zeros to a multiple of 4, the check of the uncompressed data
//
// Checks are none, CRC-32, CRC-64 and SHA-256. Of filters only LZMA2 is read.
// Package wrap uses this for whole objects, package dmg for single chunks.
package xz
