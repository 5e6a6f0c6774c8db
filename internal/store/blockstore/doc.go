// Package blockstore stores blocks: frames in append-only packs, found
// through a catalog, each stored once inside its dedupe domain.
//
// A unit of work writes packs through a PackWriter; the event that finishes the
// unit enters their blocks into the catalog (the ordering invariant in
// ARCHITECTURE.md). A Store reads blocks back, and every read is verified. Block
// memory comes from Slots, the node's budget: a decoder fills a slot, and the same
// memory is hashed, framed and written.
//
// # Pack, version 2
//
// A header, frames (see package frame) one behind the other, and a trailer. All of
// them begin at multiples of 4096, a unit. Integers are little-endian.
//
//	header    0   4  magic "DPPK"
//	header    4   2  version, 2
//	header    6   2  zero
//	header    8   8  file ID
//	header   16   4  bytes of a unit, 4096
//	header   20   4  zero
//	header   24      domain ID, account, KMS key, wrapped keys: each 2 bytes of
//	                 length and as many bytes
//	header 4092   4  CRC-32C of the header before it
//
//	trailer   0      n entries of 40 bytes, in order of the frames
//	                    0 32  block ID
//	                   32  4  where its frame begins in the pack, in units
//	                   36  4  how long it is, in units
//	                 zeros
//	trailer -24   4  magic "DPPT"
//	trailer -20   2  version, 2
//	trailer -18   2  zero
//	trailer -16   8  file ID
//	trailer  -8   4  n
//	trailer  -4   4  CRC-32C of the trailer before it
//
// The header holds what is known before the first block, the trailer what is known
// only after the last one, so a pack is written once, from front to back. The wrapped keys
// are those that the pack's frames need, though the domain may have others by now. The last
// bytes of a file give n, and with it the place of the trailer. Header and trailer
// together rebuild the catalog: nothing but the packs (and the master key) is
// needed.
package blockstore
