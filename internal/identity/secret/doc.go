// Package secret wraps the small secrets that the service stores: access keys,
// key material of the embedded KMS, session tokens, presigned URLs, and the keys
// of dedupe domains. It stands under everything else and is pure: it reads no
// file and knows no database.
//
// A wrapped secret is bound to associated data that says what it is for, so that
// the secret of one row does not open in another:
//
//	0   1  under which key: 1 the master key itself, 2 a key derived from it for a purpose
//	1  12  nonce, random
//	13     ciphertext of AES-256-GCM, as long as the secret
//	-16 16 tag of AES-256-GCM
//
// A master key can be replaced while it is used; Rewrap wraps what is stored anew.
package secret
