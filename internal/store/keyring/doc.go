// Package keyring turns what an account asks for, a KMS key or none, into the
// dedupe domain and its keys. It stands between the imports and direct writes
// that fill a domain, the readers of snapshots, and the KMS: the embedded one,
// or any endpoint that speaks the API.
//
// A writer calls Resolve with the identifier that it was given, SnapshotKey once
// for the new snapshot (that is the check of permissions), and Encrypted for the
// domain of account and key. A reader calls Keys at every request: that asks for
// the state of the domain's KMS key, so a key that was disabled stops reads at
// once, although the domain's keys are in memory.
//
// # Wrapped keys of an encrypted domain, version 1
//
//	0  1  version, 2: 1 would be what secret.MasterKey makes for the others
//	1  2  n, big-endian
//	3  n  data key, encrypted by the KMS under {"diskport:domain": domain ID}
//	3+n   the domain's ID key and data key, wrapped under that data key
//
// Two levels, because a KMS encrypts no more than 4 KiB and not under names of
// ours; and so that re-wrapping under another KMS key needs no new domain keys.
//
// One data key encrypts all blocks of a domain. It is good for 2^32 random nonces,
// which is 2 PiB of blocks; at 2^30 a new one should be made, and is not yet.
package keyring
