package snapshot

import (
	"container/list"
	"sync"
)

// cache keeps the values that were used last. A value is loaded by one caller
// at a time; values of different keys are loaded side by side.
type cache[V any] struct {
	limit int

	mu      sync.Mutex // guards what follows
	entries map[int64]*list.Element
	used    *list.List // of *cached[V], the one used last in front
}

type cached[V any] struct {
	key int64

	mu     sync.Mutex // guards what follows; held while the value is loaded
	loaded bool
	value  V
}

func newCache[V any](limit int) *cache[V] {
	return &cache[V]{limit: limit, entries: map[int64]*list.Element{}, used: list.New()}
}

// get returns the value of key, and loads it when it is not there. What load
// fails to load is not kept.
func (c *cache[V]) get(key int64, load func() (V, error)) (V, error) {
	e := c.entry(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loaded {
		return e.value, nil
	}
	v, err := load()
	if err == nil {
		e.value, e.loaded = v, true
	}
	return v, err
}

func (c *cache[V]) entry(key int64) *cached[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.used.MoveToFront(e)
		return e.Value.(*cached[V])
	}
	e := &cached[V]{key: key}
	c.entries[key] = c.used.PushFront(e)
	if c.used.Len() > c.limit {
		old := c.used.Remove(c.used.Back()).(*cached[V])
		delete(c.entries, old.key)
	}
	return e
}
