package frame

import (
	"crypto/sha256"
	"hash/crc32"

	"github.com/diskport/diskport/internal/block"
)

// Sums are what is computed of a plaintext before it is known whether it is to be
// framed: its digest and, without a cipher, the checksum that its frame will have.
type Sums struct {
	Digest block.Digest

	crc    uint32
	stored bool // crc is that of what is stored
}

// sumPiece is how many bytes Sum takes at a time: both sums of a piece are computed while
// it is in the cache nearest to the core. One after the other over the block, which is
// evicted before it is framed, the checksum costs an eighth of an import.
const sumPiece = 16 << 10

// Sum returns the sums of a block's plaintext.
func (k *Keys) Sum(plain []byte) Sums {
	if k.cipher != None {
		return Sums{Digest: block.Sum(plain)}
	}
	s := Sums{stored: true}
	h := sha256.New()
	for len(plain) > 0 {
		piece := plain[:min(sumPiece, len(plain))]
		h.Write(piece)
		s.crc = crc32.Update(s.crc, castagnoli, piece)
		plain = plain[len(piece):]
	}
	h.Sum(s.Digest[:0])
	return s
}
