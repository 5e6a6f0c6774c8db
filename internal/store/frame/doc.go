// Package frame is the cryptography of the store: the keys of a dedupe domain,
// and the frame that holds one block of it. It is pure: it reads no file and
// knows no catalog.
//
// # Frame, version 2
//
// A frame is a payload, zeros, and a tail whose fields are the last bytes of the
// frame. It is as short as a multiple of Unit can be, so that frames one after the
// other keep the alignment that O_DIRECT asks for. Integers are little-endian.
//
//	frame   0  n  payload: the plaintext, or what it was compressed to; with a
//	              cipher, the ciphertext of that and the tag of AES-256-GCM (16)
//	        n     zeros, to the tail
//	frame -68 68  tail
//
//	tail    0   4  magic "DPFR"
//	tail    4   1  version, 2
//	tail    5   1  codec: 0 none, 1 zstd (RFC 8878), one frame of it
//	tail    6   1  cipher: 0 none, 1 AES-256-GCM
//	tail    7   1  zero
//	tail    8   4  n
//	tail   12   4  number of the domain's data key, from 0; 0 without a cipher
//	tail   16  12  nonce, random; zeros without a cipher
//	tail   28  32  block ID; also the associated data of the cipher
//	tail   60   4  CRC-32C of the payload
//	tail   64   4  CRC-32C of everything between the payload and here
//
// The plaintext has block.Size bytes. A block is stored compressed only where that
// makes it an eighth shorter. The tag is part of the payload because GCM appends it
// to the ciphertext. The fields are last so that a frame, whose length the catalog
// knows, is read from its end.
//
// The checksums tell damage from a wrong key, and let a frame be copied without any
// key (Inspect); protection comes from the tag and the ID. A later version keeps the
// magic, the version, n and the two checksums where they are, so that it is told
// from damage.
//
// An ID is the HMAC-SHA-256 of the plaintext's SHA-256 under the domain's ID
// key, so opening a frame proves its plaintext with or without a cipher.
package frame
