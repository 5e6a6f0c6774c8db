// Package blockstore stores blocks: frames in append-only packs, found
// through a catalog, each stored once inside its dedupe domain.
//
// A unit of work writes packs through a PackWriter; the event that finishes the
// unit enters their blocks into the catalog (the ordering invariant in
// ARCHITECTURE.md). A Store reads blocks back, and every read is verified. Block
// memory comes from Slots, the node's budget: a decoder fills a slot, and the same
// memory is hashed, framed and written.
//
// # Pack, version 1
//
// A header, frames (see package frame) and a trailer. Integers are
// little-endian.
//
//	        0    4096  header
//	     4096  528384  frame of slot 0; slot i is at 4096 + 528384 i
//	      ...          n frames
//	   behind          trailer, 24 + 32 n + 4 bytes rounded up to 4096
//
//	header    0   4  magic "DPPK"
//	header    4   2  version, 1
//	header    6   2  zero
//	header    8   8  file ID
//	header   16   4  frame bytes, 528384
//	header   20   4  zero
//	header   24      domain ID, account, KMS key, wrapped keys: each 2 bytes of
//	                 length and as many bytes
//	header 4092   4  CRC-32C of the header before it
//
//	trailer   0   4  magic "DPPT"
//	trailer   4   2  version, 1
//	trailer   6   2  zero
//	trailer   8   8  file ID
//	trailer  16   4  n
//	trailer  20   4  zero
//	trailer  24      n block IDs of 32 bytes, in order of slots
//	trailer  -4   4  CRC-32C of the trailer before it
//
// The header holds what is known before the first block, the trailer what is known
// only after the last one, so a pack is written once, from front to back. A trailer
// is shorter than a frame, so the size of a file gives n and with it the place of
// the trailer. Header and trailer together rebuild the catalog: nothing but the
// packs (and the master key) is needed.
package blockstore
