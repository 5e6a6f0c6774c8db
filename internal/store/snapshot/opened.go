package snapshot

import (
	"context"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/store/frame"
)

// Opened keeps the plaintexts of blocks that are read again and again: in small pieces
// through a Disk, or by clients that ask for one block several times. It is one budget
// of memory for all snapshots of a service, which share what they have in common. It
// may be used concurrently.
//
// A block is found in it only by a reader that has opened a snapshot which names it, in
// the domain of the snapshot, and whether its keys may be used is asked as for any other
// read. A block that is asked for as a whole is kept only when it is asked for a second
// time, so clients that read a snapshot from end to end don't push out what others
// read again; nor does Scan, which does not come here at all.
type Opened struct {
	blocks *cache.Cache[openedKey, openedBlock]
	asked  *cache.Cache[openedKey, struct{}] // for as a whole, not long ago
}

type openedKey struct {
	domain string
	id     block.ID
}

// openedBlock is the plaintext of a block, which was verified and never changes.
type openedBlock struct {
	plain  []byte
	digest block.Digest
}

// remembered is how many blocks Opened remembers to have been asked for, for each that
// it keeps. It is 100 bytes each.
const remembered = 32

// NewOpened returns an empty cache of a number of bytes, at least one block.
func NewOpened(bytes int64) *Opened {
	n := max(1, int(bytes/frame.Size))
	return &Opened{cache.New[openedKey, openedBlock](n), cache.New[openedKey, struct{}](n * remembered)}
}

// again reports whether a block has been asked for not long ago, and notes that it is
// now.
func (o *Opened) again(key openedKey) bool {
	again := true
	_, _ = o.asked.Get(key, func() (struct{}, error) { // does not fail
		again = false
		return struct{}{}, nil
	})
	return again
}

// Read is Get for blocks that may be read again. The plaintext may be another reader's
// too, so it must not be changed; it lies in buf only if this was the first time that
// anybody asked for it. The caller has asked whether the domain's keys may be used now.
func (b *Blocks) Read(ctx context.Context, index int64, buf []byte) ([]byte, block.Digest, error) {
	o := b.lib.Opened
	if o == nil {
		return b.Get(ctx, index, buf)
	}
	id, err := b.ID(ctx, index)
	if err != nil {
		return nil, block.Digest{}, err
	}
	key := openedKey{b.rec.Domain, id}
	if kept, ok := o.blocks.Find(key); ok {
		return kept.plain, kept.digest, nil
	}
	if !o.again(key) {
		return b.Get(ctx, index, buf)
	}
	kept, err := b.keep(ctx, index, key)
	return kept.plain, kept.digest, err
}

// keep is Read for a block that is kept at once.
func (b *Blocks) keep(ctx context.Context, index int64, key openedKey) (openedBlock, error) {
	open := func() (openedBlock, error) {
		plain, digest, err := b.Get(ctx, index, make([]byte, frame.Size))
		return openedBlock{plain, digest}, err
	}
	if b.lib.Opened == nil {
		return open()
	}
	return b.lib.Opened.blocks.Get(key, open)
}
