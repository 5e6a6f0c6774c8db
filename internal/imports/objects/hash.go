package objects

import (
	"crypto/md5"
	"hash"
	"sync"

	md5simd "github.com/minio/md5-simd"
)

// hashUnit is how many bytes are hashed at a time, while they are in the first caches.
// The hashers that share a server take no more at once, and are slow with what is not a
// multiple of MD5's blocks.
const hashUnit = 32 << 10

// sums computes the MD5 of bytes and checksums by other algorithms. It must be closed.
type sums struct {
	md5    hash.Hash // nil: not wanted
	others map[Algorithm]hash.Hash
	lent   func() // gives md5 back; nil: it was not lent
}

// smallHash is up to how many bytes are hashed by themselves, and not together with
// those of other writers, which costs a change of goroutines.
const smallHash = 256 << 10

// newSums returns sums by algorithms, of which unknown ones are left out.
func newSums(algorithms []Algorithm) sums {
	out := sums{others: map[Algorithm]hash.Hash{}}
	for _, a := range algorithms {
		if h := a.newHash(); h != nil {
			out.others[a] = h
		}
	}
	return out
}

// withMD5 returns s with the MD5 of size bytes, or of an unknown number if that is
// negative.
func (s sums) withMD5(from *hashers, size int64) sums {
	if size < 0 || size > smallHash {
		if h := from.get(); h != nil {
			s.md5, s.lent = h, func() { from.put(h) }
			return s
		}
	}
	s.md5 = md5.New()
	return s
}

// Write never fails. But for the last one, p should be a multiple of hashUnit.
func (s sums) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		unit := p[:min(len(p), hashUnit)]
		if s.md5 != nil {
			_, _ = s.md5.Write(unit)
		}
		for _, h := range s.others {
			_, _ = h.Write(unit)
		}
		p = p[len(unit):]
	}
	return n, nil
}

// into sets the digests of p.
func (s sums) into(p *Piece) {
	if s.md5 != nil {
		copy(p.MD5[:], s.md5.Sum(nil))
	}
	p.Digest = map[Algorithm][]byte{}
	for a, h := range s.others {
		p.Digest[a] = h.Sum(nil)
	}
}

func (s sums) close() {
	if s.lent != nil {
		s.lent()
	}
}

// hashers lends hashers of MD5 that work together: a core computes those of 16 writers
// in the time of one. They are lent again and again, since their server forgets none.
type hashers struct {
	server md5simd.Server

	mu   sync.Mutex // guards what follows
	free []md5simd.Hasher
	made int
}

// maxHashers is how many there are: as many as large buffers. A writer that finds none
// free hashes by itself.
const maxHashers = maxLarge

// get returns nil if all are lent.
func (h *hashers) get() md5simd.Hasher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.free); n > 0 {
		last := h.free[n-1]
		h.free = h.free[:n-1]
		return last
	}
	if h.made == maxHashers {
		return nil
	}
	h.made++
	return h.server.NewHash()
}

// put takes a hasher back, whatever it was in the middle of.
func (h *hashers) put(back md5simd.Hasher) {
	back.Reset()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = append(h.free, back)
}
