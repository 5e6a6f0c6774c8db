package blobtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// Catalog is a catalog in memory, for tests of what stands on one. It may be
// used concurrently.
type Catalog struct {
	mu        sync.Mutex
	domains   []blockstore.Domain
	files     map[blockstore.FileID]blockstore.File
	closed    map[blockstore.FileID]bool
	blocks    map[block.ID]blockstore.Location
	condemned map[block.ID]bool
	damaged   map[block.ID]bool
	identity  string
	lost      map[fence]bool
	used      map[dataKey]int64 // blocks
}

// fence is the part of a lease that its effects are checked against.
type fence struct{ unit, attempt int64 }

type dataKey struct {
	domain string
	number uint32
}

var (
	_ blockstore.Catalog = (*Catalog)(nil)
	_ blockstore.Owner   = (*Catalog)(nil)
)

// NewCatalog returns an empty catalog, in which every lease is held.
func NewCatalog() *Catalog {
	return &Catalog{
		files:     map[blockstore.FileID]blockstore.File{},
		closed:    map[blockstore.FileID]bool{},
		blocks:    map[block.ID]blockstore.Location{},
		condemned: map[block.ID]bool{},
		damaged:   map[block.ID]bool{},
		lost:      map[fence]bool{},
		used:      map[dataKey]int64{},
	}
}

// EnsureDomain implements blockstore.Catalog.
func (c *Catalog) EnsureDomain(ctx context.Context, d blockstore.Domain) (blockstore.Domain, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.domains {
		if o.Account == d.Account && o.KMSKey == d.KMSKey {
			return o, ctx.Err()
		}
	}
	c.domains = append(c.domains, d)
	return d, ctx.Err()
}

// CreateFile implements blockstore.Catalog.
func (c *Catalog) CreateFile(ctx context.Context, l work.Lease, f blockstore.File, u blockstore.KeyUse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost[fence{l.ID, l.Attempt}] {
		return work.ErrLost
	}
	if _, ok := c.files[f.ID]; ok {
		return errors.New("file ID used twice")
	}
	if err := c.encrypt(f.Domain, u); err != nil {
		return err
	}
	c.files[f.ID] = f
	return ctx.Err()
}

// CheckLease implements blockstore.Catalog.
func (c *Catalog) CheckLease(ctx context.Context, l work.Lease) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost[fence{l.ID, l.Attempt}] {
		return work.ErrLost
	}
	return ctx.Err()
}

// SetDomain replaces the row of a domain, or adds it.
func (c *Catalog) SetDomain(d blockstore.Domain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.domains = append(slices.DeleteFunc(c.domains, func(o blockstore.Domain) bool { return o.ID == d.ID }), d)
}

// encrypt counts what is to be encrypted in a domain. It needs mu.
func (c *Catalog) encrypt(domain string, u blockstore.KeyUse) error {
	if u.Blocks == 0 {
		return nil
	}
	newest := uint32(0)
	for _, d := range c.domains {
		if d.ID == domain {
			newest = d.Newest
		}
	}
	key := dataKey{domain, u.Newest}
	if newest != u.Newest || c.used[key]+u.Blocks > u.Limit {
		return fmt.Errorf("%w: number %d of domain %s", blockstore.ErrStaleKey, u.Newest, domain)
	}
	c.used[key] += u.Blocks
	return nil
}

// Locate implements blockstore.Catalog.
func (c *Catalog) Locate(ctx context.Context, ids []block.ID) (map[block.ID]blockstore.Location, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[block.ID]blockstore.Location{}
	for _, id := range ids {
		if at, ok := c.blocks[id]; ok {
			found[id] = at
		}
	}
	return found, ctx.Err()
}

// Claim implements blockstore.Catalog.
func (c *Catalog) Claim(ctx context.Context, ids []block.ID) ([]block.ID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var claimed []block.ID
	for _, id := range ids {
		if _, ok := c.blocks[id]; ok && !c.damaged[id] {
			delete(c.condemned, id)
			claimed = append(claimed, id)
		}
	}
	return claimed, ctx.Err()
}

// MarkDamaged implements blockstore.Catalog.
func (c *Catalog) MarkDamaged(ctx context.Context, id block.ID, at blockstore.Location) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks[id] == at {
		c.damaged[id] = true
	}
	return ctx.Err()
}

// Damaged returns how many blocks are marked as damaged.
func (c *Catalog) Damaged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.damaged)
}

// Insert enters the blocks of packs, as the event that finishes a unit does:
// the first copy of a block stays and is un-condemned, unless it is damaged.
func (c *Catalog) Insert(packs ...blockstore.ClosedPack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range packs {
		c.closed[p.File.ID] = true
		for _, b := range p.Blocks {
			if _, ok := c.blocks[b.ID]; !ok || c.damaged[b.ID] {
				delete(c.damaged, b.ID)
				c.blocks[b.ID] = blockstore.Location{File: p.File, Span: b.Span}
			}
			delete(c.condemned, b.ID)
		}
	}
}

// Condemn marks blocks as garbage, as gc does first.
func (c *Catalog) Condemn(ids ...block.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.condemned[id] = true
	}
}

// Condemned returns how many blocks are condemned.
func (c *Catalog) Condemned() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.condemned)
}

// Sweep deletes the rows of condemned blocks, as gc does last.
func (c *Catalog) Sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.condemned {
		delete(c.blocks, id)
		delete(c.damaged, id)
	}
	clear(c.condemned)
}

// Lose makes a lease lost.
func (c *Catalog) Lose(l work.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost[fence{l.ID, l.Attempt}] = true
}

// StoreIdentity implements blockstore.Owner.
func (c *Catalog) StoreIdentity(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity, ctx.Err()
}

// SetStoreIdentity implements blockstore.Owner.
func (c *Catalog) SetStoreIdentity(ctx context.Context, id string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.identity == "" {
		c.identity = id
	}
	return c.identity, ctx.Err()
}

// KnownFiles implements blockstore.Owner.
func (c *Catalog) KnownFiles(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[blockstore.FileID]bool{}
	for _, id := range ids {
		if _, ok := c.files[id]; ok {
			known[id] = true
		}
	}
	for _, at := range c.blocks {
		if slices.Contains(ids, at.File.ID) {
			known[at.File.ID] = true
		}
	}
	return known, ctx.Err()
}

// ClosedFiles implements blockstore.Owner.
func (c *Catalog) ClosedFiles(ctx context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.closed)), ctx.Err()
}

// LoseFile deletes the row of a file, as damage would.
func (c *Catalog) LoseFile(id blockstore.FileID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.files, id)
	delete(c.closed, id)
}
