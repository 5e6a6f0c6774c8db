// Package snapshot is the waist of the hourglass: what every import fills (ranges),
// what every direct write fills (a draft), and what every reader reads (blocks, or
// the same as a diskimage.Disk).
//
// A snapshot's manifest is a tree of two levels: a small root names pages, a page
// names the blocks of PageBlocks consecutive indexes by their IDs. Pages are
// immutable and named by a MAC of their content, so snapshots that share content
// share pages. Where a block or a page lies is known to the catalog alone, so packs
// can be rewritten without touching a manifest.
//
// Pages and roots are authenticated under a service-wide key. They are not
// encrypted: they hold nothing but keyed IDs, and gc can read them without the key
// of any domain. Integers are little-endian.
//
// # Page, version 1
//
//	  0    4  magic "DPPG"
//	  4    2  version, 1
//	  6    2  n, 1 to 1024
//	  8  128  bitmap: bit i of byte i/8, from the lowest, is block i of the page
//	136 32 n  the IDs of the blocks whose bits are set, in their order
//
// A page does not say which page it is, nor of which volume, since otherwise equal
// pages would differ. The bitmap comes before the IDs because it tells where each
// ID is. A pages file is pages one after the other.
//
// # Root, version 2
//
//	 0   4  magic "DPRT"
//	 4   2  version, 2
//	 6   2  zero
//	 8   8  blocks of the volume
//	16   8  bytes of the imported disk, which the volume rounds up; 0: no import
//	24   8  blocks that the pages name, all together
//	32   4  n, the number of pages
//	36   2  s, bytes of the snapshot ID, at most 64
//	38   2  d, bytes of the domain ID, at most 64
//	40   s  snapshot ID
//	     d  domain ID
//	  44 n  pages, ascending, those without blocks left out:
//	          0   8  index of the page: its first block / 1024
//	          8  32  page ID
//	         40   4  blocks that it names
//	    32  MAC of everything before
//
// Whatever describes a snapshot's bytes is under the MAC, so a changed row can make
// no other disk of them. The first 40 bytes give the size of the whole, so a reader
// knows what to expect before it allocates; the MAC is behind what it covers.
package snapshot
