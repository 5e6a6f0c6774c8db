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
//	3+n   the domain's ID key and data keys, wrapped under that data key
//
// There are two levels because a KMS encrypts at most 4 KiB, and does not know our
// domains; and because wrapping under other material of the KMS key then needs no new
// domain keys.
//
// # Data keys
//
// A data key is good for 2^32 random nonces. After 2^30 blocks, which are 512 TiB, the
// domain gets another one, which encrypts from then on; the older ones still open what is
// under them. Frames say the number of theirs. The domain's row says which numbers there
// are, counts what the newest has encrypted, and is changed by guarded statements
// alone: of several nodes that make a key at once, all get that of the first.
//
// An operator may have all keys replaced that there are (Rotate): new packs are under a
// new key at once, compaction moves the frames of the others, and when no row of a pack
// says that it may have a frame under an old key, that is dropped (Drop). The header of a
// pack keeps what its own frames need.
//
// A database that was restored from a backup may lack keys that packs have: their headers
// have them, and Merge takes them from there when the packs are entered. If it has made keys
// of its own under these numbers before, the headers stay the only place; blockstore.Store
// looks there for whatever the domain's keys do not open, and compaction moves such frames to the newest key.
//
// A ring keeps rows in memory, and so may have older ones than other nodes have made. Who
// writes is told (blockstore.ErrStaleKey), who reads meets a frame whose key it lacks
// (frame.NoKeyError); blockstore.Store then asks for the keys as they are now.
package keyring
