package objects

import (
	"sync"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Sizes of the buffers of writers, in bytes. There are maxLarge large ones; who comes
// later writes through a small one, more slowly, so that a writer never waits for
// another, however slow that is.
const (
	largeBuffer = 1 << 20
	smallBuffer = 64 << 10
	maxLarge    = 32
)

// buffers lends memory to writers.
type buffers struct {
	mu   sync.Mutex // guards what follows
	free [][]byte   // large ones
	lent int        // large ones
}

// get returns an aligned buffer for size bytes, or an unknown number if that is
// negative.
func (b *buffers) get(size int64) []byte {
	if size >= 0 && size <= smallBuffer {
		pages := max(1, (size+blockstore.Align-1)/blockstore.Align)
		return blockstore.AlignedBytes(int(pages * blockstore.Align))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lent == maxLarge {
		return blockstore.AlignedBytes(smallBuffer)
	}
	b.lent++
	if n := len(b.free); n > 0 {
		last := b.free[n-1]
		b.free = b.free[:n-1]
		return last
	}
	return blockstore.AlignedBytes(largeBuffer)
}

// put takes a buffer back.
func (b *buffers) put(buf []byte) {
	if len(buf) != largeBuffer {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lent--
	b.free = append(b.free, buf)
}
