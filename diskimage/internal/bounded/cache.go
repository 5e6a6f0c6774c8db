package bounded

import (
	"bytes"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache keeps recently used pieces of a source, up to a budget of bytes. One
// serves all tables of an image, so that the image as a whole stays under
// Limits.MetadataBytes. It may be used concurrently; a piece that several
// goroutines want at once is read once. Pieces of zeros, which make up the
// tables of empty disks, share their bytes and cost next to nothing.
type Cache struct {
	src    Source
	budget int64

	mu    sync.Mutex // guards what follows
	used  int64
	items *simplelru.LRU[piece, *loaded] // bounded by the budget, not by their number
	spare []byte                         // a buffer whose piece was zeros
	zeros []byte                         // shared by such pieces; made when the first is met
}

type piece struct{ off, n int64 }

// overhead is the cost of an entry besides its bytes. Without it, any number of
// small pieces of zeros would be kept.
const overhead = 256

type loaded struct {
	piece
	cost int64 // bytes counted in used; guarded by the cache's mutex
	once sync.Once
	data []byte
	zero bool
	err  error
}

// NewCache returns a cache over src that holds up to budget bytes.
func NewCache(src Source, budget int64) *Cache {
	items, _ := simplelru.NewLRU[piece, *loaded](math.MaxInt, nil) // it refuses limits below 1 alone
	return &Cache{src: src, budget: budget, items: items}
}

// Get returns the n bytes at off, n > 0. They are shared: the caller must not
// change them. A range outside the object is refused before it is allocated;
// the caller keeps n small (a page, a grain table, a bitmap).
func (c *Cache) Get(name string, off, n int64) ([]byte, error) {
	l, err := c.get(name, piece{off, n})
	if err != nil {
		return nil, err
	}
	return l.data, nil
}

func (c *Cache) get(name string, p piece) (*loaded, error) {
	l := c.find(p)
	l.once.Do(func() { c.load(name, l) })
	if l.err != nil {
		c.forget(l) // the next reader tries again
		return nil, l.err
	}
	return l, nil
}

// load reads l's bytes.
func (c *Cache) load(name string, l *loaded) {
	if l.err = c.src.Check(name, l.off, l.n); l.err != nil {
		return
	}
	data := c.buffer(l.n)
	if l.err = c.src.ReadFull(name, data, l.off); l.err != nil {
		return
	}
	if l.zero = isZero(data); l.zero && l.n <= maxPage {
		data = c.share(l, data)
	}
	l.data = data
}

// isZero compares p with itself, shifted by one: that runs at memory speed.
func isZero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) }

// buffer returns n bytes of anything.
func (c *Cache) buffer(n int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if spare := c.spare; int64(len(spare)) == n {
		c.spare = nil
		return spare
	}
	return make([]byte, n)
}

// share returns the shared zeros in place of data, so that l does not cost its
// bytes.
func (c *Cache) share(l *loaded, data []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = data
	if c.keeps(l) {
		c.used -= l.n
		l.cost = overhead
	}
	if c.zeros == nil {
		c.zeros = make([]byte, maxPage)
	}
	return c.zeros[:l.n]
}

// find returns the entry of p, made if necessary, as the most recent one.
func (c *Cache) find(p piece) *loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.items.Get(p); ok {
		return l
	}
	l := &loaded{piece: p, cost: p.n + overhead}
	c.items.Add(p, l)
	c.used += l.cost
	for c.used > c.budget && c.items.Len() > 1 {
		_, oldest, _ := c.items.RemoveOldest()
		c.used -= oldest.cost
	}
	return l
}

func (c *Cache) forget(l *loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keeps(l) {
		c.items.Remove(l.piece)
		c.used -= l.cost
	}
}

// keeps reports whether l itself, not a later one of its piece, is in the cache. It
// needs mu.
func (c *Cache) keeps(l *loaded) bool {
	kept, _ := c.items.Peek(l.piece)
	return kept == l
}
