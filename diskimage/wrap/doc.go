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
// Parts may follow one another in any number; of zstd, skippable frames too.
// Behind the last part may be zeros (tapes and uploads pad), and up to 1 MiB of
// anything else (builds append signatures and descriptions), which is left out
// with a warning. What may be a part that is damaged is refused there, as is an
// object that ends in a part. What an object says of its uncompressed size is not
// believed: Limits.VirtualSize bounds what comes out, whatever the ratio.
// Dictionaries and windows are at most 128 MiB.
//
// Spooling a raw disk costs its data once in scratch room and one more pass; a
// way to hand it on without is not needed so far.
//
// What the contents are is for package detect to say, which looks one level deep.
package wrap
