// Package wrap unpacks a compressed object, so that what is in it can be read at
// random: gzip, bzip2, xz and zstd can only be read forwards, so the contents are
// spooled to scratch room that the caller gives. Zeros are not stored.
//
//	format  begins with            parts             checked at the end of each
//	gzip    1f 8b 08               members           CRC-32, length
//	bzip2   "BZh1".."BZh9"         streams           CRC-32 of blocks and of all
//	xz      fd "7zXZ" 00           streams, blocks   CRC-32, CRC-64 or SHA-256; index
//	zstd    28 b5 2f fd            frames            XXH64, where the frame has it
//
// Parts may follow one another in any number; of zstd, skippable frames too. The
// last part may be followed by zeros (tapes and uploads pad), and by up to 1 MiB of
// anything else (builds append signatures and descriptions), which is left out with
// a warning. Bytes there that may be a damaged part are refused, and so is an
// object that ends inside a part. The uncompressed size that an object claims is
// not trusted: Limits.VirtualSize bounds what comes out, whatever the ratio.
// Dictionaries and windows are at most 128 MiB.
//
// Spooling a raw disk costs scratch room for its data, and one more pass; a way to
// avoid that has not been needed so far.
//
// Package detect finds out what the contents are. It looks one level deep.
package wrap
