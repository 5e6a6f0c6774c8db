package blockstore

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// readers keeps the files open that were read last. A file that is dropped
// while somebody reads it is closed by the last of them.
type readers struct {
	backend Backend
	limit   int

	mu   sync.Mutex // guards what follows, and the fields of openFile
	open map[FileID]*list.Element
	used *list.List // of *openFile, the one used last in front
}

type openFile struct {
	Reader
	id      FileID
	users   int
	dropped bool
}

func newReaders(b Backend, limit int) *readers {
	return &readers{backend: b, limit: limit, open: map[FileID]*list.Element{}, used: list.New()}
}

// get returns the open file, for release.
func (c *readers) get(ctx context.Context, f File) (*openFile, error) {
	if r := c.find(f.ID); r != nil {
		return r, nil
	}
	r, err := c.backend.Open(ctx, f.Name())
	if err != nil {
		return nil, err
	}
	added, stale := c.add(&openFile{Reader: r, id: f.ID})
	for _, s := range stale {
		_ = s.Close() // nothing was written through it
	}
	return added, nil
}

func (c *readers) find(id FileID) *openFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.open[id]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	r := e.Value.(*openFile)
	r.users++
	return r
}

// add enters r, unless somebody else was faster, and returns the entry and what
// is to be closed.
func (c *readers) add(r *openFile) (entry *openFile, stale []*openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.open[r.id]; ok {
		entry = e.Value.(*openFile)
		entry.users++
		return entry, []*openFile{r}
	}
	c.open[r.id] = c.used.PushFront(r)
	r.users++
	for c.used.Len() > c.limit {
		if old := c.drop(c.used.Back()); old.users == 0 {
			stale = append(stale, old)
		}
	}
	return r, stale
}

// drop takes an entry out. It needs mu.
func (c *readers) drop(e *list.Element) *openFile {
	r := c.used.Remove(e).(*openFile)
	delete(c.open, r.id)
	r.dropped = true
	return r
}

func (c *readers) release(r *openFile) error {
	c.mu.Lock()
	r.users--
	last := r.dropped && r.users == 0
	c.mu.Unlock()
	if last {
		return r.Close()
	}
	return nil
}

// close closes every file.
func (c *readers) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for c.used.Len() > 0 {
		errs = append(errs, c.drop(c.used.Front()).Close())
	}
	return errors.Join(errs...)
}
