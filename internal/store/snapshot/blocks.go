package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// cachedPages is how many pages of an open snapshot stay in memory. With the places
// of its blocks, a page takes about 100 KiB. It is enough for as many readers in
// different parts of the volume.
const cachedPages = 16

// ErrAbsent reports a block that the snapshot does not have. It reads as zeros
// on the volume.
var ErrAbsent = errors.New("snapshot: no block at this index")

// Blocks is a completed snapshot, opened for reading. It may be used
// concurrently.
type Blocks struct {
	lib   *Library
	rec   Record
	root  *root
	keys  *frame.Keys
	pages *cache.Cache[int64, *located]
}

// located is a page, and where its blocks lie once that has been asked.
type located struct {
	*page

	mu sync.Mutex // guards at; held while it is looked up
	at map[block.ID]blockstore.Location
}

// Record returns the record that the snapshot was opened with.
func (b *Blocks) Record() Record { return b.rec }

// Volume returns the blocks of the volume.
func (b *Blocks) Volume() int64 { return b.root.volume }

// Count returns how many blocks the snapshot has.
func (b *Blocks) Count() int64 { return b.root.blocks }

// Get reads the block at index into buf, frame.Size bytes, and returns its
// plaintext, which lies in buf, and its digest. The plaintext has been verified.
// ErrAbsent when there is no such block. A block that is found damaged is marked,
// so that storing the same contents once more makes it whole.
func (b *Blocks) Get(ctx context.Context, index int64, buf []byte) ([]byte, block.Digest, error) {
	p, id, err := b.find(ctx, index)
	if err != nil {
		return nil, block.Digest{}, err
	}
	var failed *misread
	for range maxMoves {
		at, err := b.locate(ctx, p, id)
		if err != nil {
			b.lib.damaged(ctx, b.rec, fmt.Errorf("block %d: %w", index, err))
			return nil, block.Digest{}, fmt.Errorf("%s, block %d: %w", b.rec.ID, index, err)
		}
		if failed != nil && failed.at == at {
			break
		}
		payload, digest, err := b.lib.Store.Get(ctx, b.keys, id, at, buf)
		if err == nil {
			return payload, digest, nil
		}
		failed = &misread{at, err}
		if !isDamage(err) {
			return nil, block.Digest{}, fmt.Errorf("%s, block %d: %w", b.rec.ID, index, err)
		}
		p.forget() // it may have been moved since it was looked up
	}
	if err := b.lib.Store.Catalog.MarkDamaged(ctx, id, failed.at); err != nil {
		failed.err = errors.Join(failed.err, err)
	}
	b.lib.damaged(ctx, b.rec, fmt.Errorf("block %d: %w", index, failed.err))
	return nil, block.Digest{}, fmt.Errorf("%s, block %d: %w", b.rec.ID, index, failed.err)
}

// maxMoves is at how many places a block is looked for, since it may be moved
// between looking it up and reading it.
const maxMoves = 3

// misread is a read that failed.
type misread struct {
	at  blockstore.Location
	err error
}

// isDamage reports whether an error of reading a block means that the block is
// missing or damaged.
func isDamage(err error) bool {
	return errors.Is(err, blockstore.ErrNotExist) || errors.Is(err, frame.ErrCorrupt) || errors.Is(err, blockstore.ErrTruncated) || errors.Is(err, blockstore.ErrNoBlock)
}

// IsDamage reports whether an error of reading a snapshot says that something of it is
// missing, damaged or not known here, the keys of its domain included, so that reading it
// again would fail again.
func IsDamage(err error) bool {
	return isDamage(err) || errors.Is(err, frame.ErrUnknown) || errors.Is(err, ErrCorrupt) || errors.Is(err, secret.ErrWrapped)
}

// ID returns the ID of the block at index, or ErrAbsent.
func (b *Blocks) ID(ctx context.Context, index int64) (block.ID, error) {
	_, id, err := b.find(ctx, index)
	return id, err
}

// find returns the page of a block, and its ID.
func (b *Blocks) find(ctx context.Context, index int64) (*located, block.ID, error) {
	if index < 0 {
		return nil, block.ID{}, ErrAbsent
	}
	e, ok := b.root.page(index / PageBlocks)
	if !ok {
		return nil, block.ID{}, ErrAbsent
	}
	p, err := b.page(ctx, e)
	if err != nil {
		return nil, block.ID{}, err
	}
	rank, ok := p.find(int(index % PageBlocks))
	if !ok {
		return nil, block.ID{}, ErrAbsent
	}
	return p, p.ids[rank], nil
}

func (b *Blocks) page(ctx context.Context, e rootPage) (*located, error) {
	return b.pages.Get(e.index, func() (*located, error) {
		p, err := b.lib.readPage(ctx, e, b.root.volume)
		if err != nil {
			b.lib.damaged(ctx, b.rec, err)
			return nil, fmt.Errorf("%s: %w", b.rec.ID, err)
		}
		return &located{page: p}, nil
	})
}

// locate returns where a block of the page lies. The first call looks up the
// whole page.
func (b *Blocks) locate(ctx context.Context, p *located, id block.ID) (blockstore.Location, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		at, err := b.lib.Store.Catalog.Locate(ctx, p.ids)
		if err != nil {
			return blockstore.Location{}, fmt.Errorf("locating blocks: %w", err)
		}
		p.at = at
	}
	at, ok := p.at[id]
	if !ok {
		return blockstore.Location{}, fmt.Errorf("%w: %s", blockstore.ErrNoBlock, id)
	}
	return at, nil
}

func (p *located) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = nil
}

// From returns the blocks that the snapshot has from an index on, ascending. It
// reads pages only. After an error the sequence ends.
func (b *Blocks) From(ctx context.Context, index int64) iter.Seq2[Block, error] {
	index = max(index, 0)
	return func(yield func(Block, error) bool) {
		for _, e := range b.root.from(index / PageBlocks) {
			p, err := b.page(ctx, e)
			if err != nil {
				yield(Block{}, err)
				return
			}
			first := e.index * PageBlocks
			for i, rank := range p.from(int(max(0, index-first))) {
				if !yield(Block{first + int64(i), p.ids[rank]}, nil) {
					return
				}
			}
		}
	}
}
