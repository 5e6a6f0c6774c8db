// Package frame is the cryptography of the store: the keys of a dedupe domain,
// and the frame that holds one block of it. It is pure: it reads no file and
// knows no catalog.
//
// # Frame, version 1
//
// A frame is a payload of block.Size bytes and a tail of TailSize bytes, so
// that frames one after the other keep the alignment that O_DIRECT asks for.
// Integers are little-endian; offsets of the tail count from its start.
//
//	frame     0  524288  payload: plaintext, or ciphertext of the same length
//	frame 524288    4096  tail
//
//	tail   0  16  tag of AES-256-GCM; zeros without a cipher
//	tail  16  12  nonce, random; zeros without a cipher
//	tail  28   4  magic "DPFR"
//	tail  32   1  version, 1
//	tail  33   1  codec, 0: the plaintext is not compressed
//	tail  34   1  cipher: 0 none, 1 AES-256-GCM
//	tail  35   1  zero
//	tail  36   4  plaintext bytes, 524288
//	tail  40  32  block ID; also the associated data of the cipher
//	tail  72 4020 zeros
//	tail 4092  4  CRC-32C of the tail before it
//
// The tag is first because GCM appends it to the ciphertext: encrypting in place
// puts it exactly there. The nonce follows so that everything the cipher adds is
// together. The CRC is last so that it covers all of the tail. It serves to tell
// damage from a wrong key; protection comes from the tag and the ID.
//
// An ID is the HMAC-SHA-256 of the plaintext's SHA-256 under the domain's ID
// key, so opening a frame proves its plaintext with or without a cipher.
package frame
