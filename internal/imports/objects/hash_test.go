package objects

import (
	"bytes"
	"crypto/md5"
	"math/rand/v2"
	"sync"
	"testing"

	md5simd "github.com/minio/md5-simd"
)

func newHashers(t *testing.T) *hashers {
	h := &hashers{server: md5simd.NewServer()}
	t.Cleanup(h.server.Close)
	return h
}

// md5Of writes content in pieces of some bytes, and returns the MD5 of it.
func md5Of(h *hashers, content []byte, some int) [16]byte {
	s := newSums(nil).withMD5(h, -1)
	defer s.close()
	for at := 0; at < len(content); at += some {
		_, _ = s.Write(content[at:min(at+some, len(content))])
	}
	var p Piece
	s.into(&p)
	return p.MD5
}

// TestHashersAreLentAgain: the server of the hashers keeps every hasher for ever, and
// looks at all of them each time.
func TestHashersAreLentAgain(t *testing.T) {
	h := newHashers(t)
	for i := range 100 {
		content := bytes.Repeat([]byte{byte(i)}, 1000+i)
		if got := md5Of(h, content, 300); got != md5.Sum(content) {
			t.Fatalf("the MD5 of content %d is wrong", i)
		}
	}
	if h.made != 1 {
		t.Errorf("%d hashers were made for one writer at a time", h.made)
	}
}

// TestHashersBehindAborted: what a writer has left in the middle of does not get into
// the sum of the next.
func TestHashersBehindAborted(t *testing.T) {
	h := newHashers(t)
	for _, left := range []int{0, 1, 64, 100, hashUnit, 5*hashUnit + 7} {
		s := newSums(nil).withMD5(h, -1)
		_, _ = s.Write(make([]byte, left))
		s.close()
		if got := md5Of(h, []byte("next"), 4); got != md5.Sum([]byte("next")) {
			t.Errorf("after %d bytes of another: a wrong MD5", left)
		}
	}
}

// TestMoreWritersThanHashers: those that get none hash by themselves.
func TestMoreWritersThanHashers(t *testing.T) {
	h := newHashers(t)
	random := rand.NewChaCha8([32]byte{})
	var begun, done sync.WaitGroup
	begun.Add(2 * maxHashers)
	for range 2 * maxHashers {
		content := make([]byte, 3*hashUnit+11)
		_, _ = random.Read(content)
		done.Go(func() {
			s := newSums(nil).withMD5(h, -1)
			defer s.close()
			begun.Done()
			begun.Wait()
			_, _ = s.Write(content)
			var p Piece
			s.into(&p)
			if p.MD5 != md5.Sum(content) {
				t.Error("a wrong MD5")
			}
		})
	}
	done.Wait()
	if h.made != maxHashers || len(h.free) != maxHashers {
		t.Errorf("%d hashers were made, and %d given back, not %d", h.made, len(h.free), maxHashers)
	}
}
