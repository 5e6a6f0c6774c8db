// Package keyring turns what an account asks for, a KMS key or none, into the
// dedupe domain and its keys. It stands between the imports and direct writes
// that fill a domain, the readers of snapshots, and the KMS: the embedded one,
// or any endpoint that speaks the API.
//
// A writer calls NewSnapshot with the identifier that it was given: it resolves the
// key, checks that the caller may encrypt under it, and returns the domain of
// account and key. A reader calls Keys at every request, which asks for the state
// of the domain's KMS key; so disabling a key stops reads at once, although the
// domain's keys are in memory.
//
// # Wrapped keys of an encrypted domain, version 1
//
//	0  1  version, 2: 1 would be what secret.MasterKey makes for the others
//	1  2  n, big-endian
//	3  n  data key, encrypted by the KMS under {"diskport:domain": domain ID}
//	3+n   the domain's ID key and data key, wrapped under that data key
//
// There are two levels because a KMS encrypts at most 4 KiB, and does not know our
// domains; and because re-wrapping under another KMS key then needs no new domain
// keys.
//
// One data key encrypts all blocks of a domain. It is good for 2^32 random nonces,
// which is 2 PiB of blocks. At 2^30 a new one should be made. Frames say the number of
// their data key, and wrapped keys may hold several; making a second one is not built
// yet.
package keyring
