package bounded

import (
	"container/list"
	"sync"
)

// Cache keeps recently used pieces of a source, up to a budget of bytes. One
// serves all tables of an image, so that the image as a whole stays under
// Limits.MetadataBytes. It may be used concurrently; a piece that several
// goroutines want at once is read once.
type Cache struct {
	src    Source
	budget int64

	mu    sync.Mutex // guards what follows
	used  int64
	items map[piece]*list.Element // of *loaded
	order list.List               // most recently used first
}

type piece struct{ off, n int64 }

type loaded struct {
	piece
	once sync.Once
	data []byte
	err  error
}

// NewCache returns a cache over src that holds up to budget bytes.
func NewCache(src Source, budget int64) *Cache {
	return &Cache{src: src, budget: budget, items: map[piece]*list.Element{}}
}

// Get returns the n bytes at off, n > 0. They are shared: the caller must not
// change them. A range outside the object is refused before it is allocated;
// the caller keeps n small (a page, a grain table, a bitmap).
func (c *Cache) Get(name string, off, n int64) ([]byte, error) {
	l := c.find(piece{off, n})
	l.once.Do(func() {
		if l.err = c.src.Check(name, off, n); l.err != nil {
			return
		}
		data := make([]byte, n)
		if l.err = c.src.ReadFull(name, data, off); l.err == nil {
			l.data = data
		}
	})
	if l.err != nil {
		c.forget(l) // the next reader tries again
	}
	return l.data, l.err
}

// find returns the entry of p, made if necessary, as the most recent one.
func (c *Cache) find(p piece) *loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[p]; e != nil {
		c.order.MoveToFront(e)
		return e.Value.(*loaded)
	}
	l := &loaded{piece: p}
	c.items[p] = c.order.PushFront(l)
	c.used += p.n
	for c.used > c.budget && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
	return l
}

func (c *Cache) forget(l *loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[l.piece]; e != nil && e.Value == l {
		c.remove(e)
	}
}

func (c *Cache) remove(e *list.Element) {
	l := c.order.Remove(e).(*loaded)
	delete(c.items, l.piece)
	c.used -= l.n
}
