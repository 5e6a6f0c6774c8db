// Package block holds the words of the block store: the 512 KiB block, its
// digest and its ID. Everything that stores or serves volumes counts in these.
package block

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// Size is the plaintext bytes of one block, as EBS direct has it.
const Size = 512 << 10

// PerGiB is the number of blocks in one GiB of volume.
const PerGiB = 1 << 30 / Size

// Digest is the SHA-256 of a block's plaintext. It is stored only as long as a
// draft needs it, since a digest discloses what a block holds to anyone who can
// guess it.
type Digest [sha256.Size]byte

// Sum returns the digest of a block's plaintext.
func Sum(p []byte) Digest { return sha256.Sum256(p) }

// Base64 returns the digest as in EBS direct's checksum headers.
func (d Digest) Base64() string { return base64.StdEncoding.EncodeToString(d[:]) }

// ID names a block inside its domain: a keyed hash of its digest. Equal
// plaintext has one ID inside a domain and unlinkable IDs across domains.
type ID [sha256.Size]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Less orders IDs, so that statements over many lock rows in one order.
func (id ID) Less(o ID) bool { return bytes.Compare(id[:], o[:]) < 0 }

// Count returns how many blocks hold n bytes.
func Count(n int64) int64 { return (n + Size - 1) / Size }

// zeros is what IsZero compares with: one page, so that it stays in the cache.
var zeros [4096]byte

// IsZero reports whether p is all zeros. It stops at the first page that is not.
func IsZero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
