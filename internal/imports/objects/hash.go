package objects

import (
	"crypto/md5"
	"hash"

	md5simd "github.com/minio/md5-simd"
)

// sums computes the MD5 of bytes and checksums by other algorithms. It must be closed.
type sums struct {
	md5    md5simd.Hasher
	others map[Algorithm]hash.Hash
}

// smallHash is up to how many bytes are hashed by themselves, and not together with
// those of other writers, which costs a change of goroutines.
const smallHash = 256 << 10

// newSums returns sums for size bytes, or for an unknown number if that is negative.
// Unknown algorithms are left out.
func (s *Service) newSums(size int64, algorithms []Algorithm) sums {
	out := sums{others: map[Algorithm]hash.Hash{}}
	if size >= 0 && size <= smallHash {
		out.md5 = plainMD5{md5.New()}
	} else {
		out.md5 = s.md5.NewHash()
	}
	for _, a := range algorithms {
		if h := a.newHash(); h != nil {
			out.others[a] = h
		}
	}
	return out
}

// Write never fails.
func (s sums) Write(p []byte) (int, error) {
	_, _ = s.md5.Write(p)
	for _, h := range s.others {
		_, _ = h.Write(p)
	}
	return len(p), nil
}

// into sets the digests of p.
func (s sums) into(p *Piece) {
	copy(p.MD5[:], s.md5.Sum(nil))
	p.Digest = map[Algorithm][]byte{}
	for a, h := range s.others {
		p.Digest[a] = h.Sum(nil)
	}
}

func (s sums) close() { s.md5.Close() }

// plainMD5 is an MD5 that needs no server.
type plainMD5 struct{ hash.Hash }

func (plainMD5) Close() {}
