// Package dmg reads Apple disk images (UDIF, .dmg) at random and by runs: raw
// ones, and those whose chunks are compressed with zlib, bzip2 or xz.
//
// Apple has published no specification. Sources: the images of hdiutil, and what
// the authors of other readers have written down of them. Numbers are big-endian;
// a sector is 512 bytes.
//
// The trailer is the last 512 bytes; behind it there may be less than a sector of
// anything, or zeros:
//
//	0    4  "koly"
//	4    4  version: 4
//	8    4  size of the trailer: 512
//	12   4  flags
//	24   8  offset of the data fork, and 8 its length
//	40   8  offset of the resource fork, and 8 its length
//	56   4  number of this segment, and 4 of segments
//	80   4  type of checksum of the data fork, 4 its bits, 128 checksum
//	216  8  offset of the property list, and 8 its length
//	352  4  type of checksum of all checksums, 4 its bits, 128 checksum
//	488  4  variant
//	492  8  sectors of the disk
//
// The property list is XML. In its dictionary resource-fork the array blkx has a
// dictionary for each partition (and for what lies between them), whose Data, in
// base 64, is a table of chunks:
//
//	0    4  "mish"
//	4    4  version: 1
//	8    8  first sector of the disk that it describes, and 8 how many
//	24   8  added to the offsets of chunks
//	64   4  type of checksum of the contents, 4 its bits, 128 checksum
//	200  4  chunks
//	204     the chunks, 40 bytes each:
//
//	0   4  type
//	4   4  comment
//	8   8  first sector, from that of the table, and 8 how many
//	24  8  offset in the data fork, and 8 length
//
//	type      chunk
//	0         zeros
//	1         raw
//	2         not in use: zeros
//	80000005  a zlib stream
//	80000006  a bzip2 stream
//	80000008  an xz stream
//	7ffffffe  a comment
//	ffffffff  the end of the table
//
// The chunks of all tables together must be the disk, without gap or overlap. The
// checksums of the whole image would cost a pass over all of it and are not
// checked; compressed chunks contain checksums of their own.
//
// Not supported, and refused by name: chunks compressed with ADC (80000004) and
// LZFSE (80000007), images in several segments, images with tables in a resource
// fork alone (before Mac OS X 10.2), encrypted images.
package dmg
