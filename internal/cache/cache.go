// Package cache keeps values that take long to load: the pages and blocks of an
// open snapshot, open snapshots, pieces of a remote object. The LRU library drops
// the value that was used least recently when a cache is full; this package adds
// that a value is loaded once, however many callers want it at the same time.
package cache

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache keeps the values that were used last. The value of a key is loaded by one
// caller at a time; values of different keys are loaded at the same time. It may be
// used concurrently.
type Cache[K comparable, V any] struct {
	mu      sync.Mutex // guards entries; never held while a value is loaded
	entries *simplelru.LRU[K, *entry[V]]
}

type entry[V any] struct {
	mu     sync.Mutex // guards what follows; held while the value is loaded
	loaded bool
	value  V
}

// New returns a cache of limit values at most; limit is positive.
func New[K comparable, V any](limit int) *Cache[K, V] {
	entries, err := simplelru.NewLRU[K, *entry[V]](limit, nil)
	if err != nil {
		panic("cache: " + err.Error()) // limits are constants
	}
	return &Cache[K, V]{entries: entries}
}

// Get returns the value of key, and calls load for it when it is not there. A value
// that load fails to load is not kept: the error goes to this caller alone, and the
// next one tries again. A caller that waits for another's load waits until that
// ends, so load must end.
func (c *Cache[K, V]) Get(key K, load func() (V, error)) (V, error) {
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

// Find returns the value of key if it is there, as the one used last; one that is being
// loaded is waited for.
func (c *Cache[K, V]) Find(key K) (v V, ok bool) {
	c.mu.Lock()
	e, ok := c.entries.Get(key)
	c.mu.Unlock()
	if !ok {
		return v, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.value, e.loaded
}

// entry returns the entry of key, made if necessary, as the one used last.
func (c *Cache[K, V]) entry(key K) *entry[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries.Get(key); ok {
		return e
	}
	e := &entry[V]{}
	c.entries.Add(key, e)
	return e
}
