package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// The messages of drafts that failed, which clients see.
const (
	msgCount    = "The number of blocks written does not match the changed blocks count"
	msgChecksum = "The checksum of the blocks written does not match the checksum"
	msgKey      = "Given key ID is not accessible"
	msgInternal = "An internal error occurred"
)

// pagesHint is how many bytes are reserved for the pages of a draft; the file grows
// when there are more. It is enough for 31 full pages, 15 GiB of volume.
const pagesHint = 1 << 20

// slicePages is how many pages of a draft's manifest one transaction registers at most.
const slicePages = 1024

// Handlers returns what a runner does with the units of drafts.
func (d *Drafts) Handlers() map[work.Kind]work.Handler {
	drafts := func(do work.Job) work.Handler {
		return work.Handler{Do: do, Final: keyRefused, Missing: work.Space, Away: away, Fail: d.reject}
	}
	return map[work.Kind]work.Handler{
		work.Complete: drafts(d.settle),
		work.Copy:     drafts(d.copyRange),
		work.LetGo:    {Do: d.letGo},
		work.Expire:   {Do: d.expire, Every: expireEvery},
	}
}

// keyRefused reports whether an error will not go away until the key or its policy
// is changed.
func keyRefused(err error) bool {
	var key *keyring.Error
	return errors.As(err, &key)
}

// away reports whether an error is due to a KMS or a place for blocks that does not answer.
func away(err error) bool {
	return errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, blockstore.ErrUnavailable)
}

// reject makes the draft of a unit that failed for good a failed snapshot.
func (d *Drafts) reject(ctx context.Context, l work.Lease, cause error) (next work.Lease, ok bool, err error) {
	message := msgInternal
	if keyRefused(cause) {
		message = msgKey
	}
	err = d.Store.Reject(ctx, l, message)
	d.Bus.Wake(wake.Task(l.Task))
	return next, false, err
}

// settle compares a complete draft with what its writer said, writes its manifest
// and publishes it, or makes it failed. What it inherits from another domain is
// copied first, by units of their own.
func (d *Drafts) settle(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	draft, err := d.pending(ctx, h.Task)
	if err != nil {
		return next, false, err
	}
	message, err := d.check(ctx, draft)
	if err != nil {
		return next, false, err
	}
	if message != "" {
		err = d.Store.Reject(ctx, h.Lease, message)
	} else {
		err = d.publish(ctx, h.Lease, draft)
	}
	d.Bus.Wake(wake.Task(h.Task))
	return next, false, err
}

// pending returns the draft of a unit. When the draft was deleted meanwhile, its
// units were deleted with it, and the lease is lost.
func (d *Drafts) pending(ctx context.Context, id string) (Draft, error) {
	draft, err := d.Store.Draft(ctx, id)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotPending) {
		err = work.ErrLost
	}
	return draft, err
}

// expireEvery is how late a draft may be failed after its timeout, which is at
// least 10 minutes.
const expireEvery = time.Minute

// expire fails drafts that have gone without a write for their timeout.
func (d *Drafts) expire(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	n, err := d.Store.ExpireDrafts(ctx, d.aged())
	if err == nil && n > 0 {
		h.Log.Info("failed snapshots that were not written to in time", "snapshots", n)
	}
	return next, false, err
}

// letGo lets go of what a large snapshot left behind, slice by slice.
func (d *Drafts) letGo(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	for left := true; left && err == nil; {
		left, err = d.Store.LetGo(ctx, h.Lease)
	}
	return next, false, err
}

// check compares what was written with what its writer said, and returns what
// does not match.
func (d *Drafts) check(ctx context.Context, draft Draft) (message string, err error) {
	if draft.Want.Blocks < 0 {
		return "", nil
	}
	count, sum := int64(0), sha256.New()
	for b, err := range d.blocks(ctx, draft.ID, -1) {
		if err != nil {
			return "", err
		}
		if !b.Inherited {
			count++
			sum.Write(b.Digest[:])
		}
	}
	switch {
	case count != draft.Want.Blocks:
		return msgCount, nil
	case draft.Want.Checksum != nil && subtle.ConstantTimeCompare(draft.Want.Checksum, sum.Sum(nil)) == 0:
		return msgChecksum, nil
	}
	return "", nil
}

// blocks returns the blocks of a draft with indexes above after, ascending.
func (d *Drafts) blocks(ctx context.Context, id string, after int64) iter.Seq2[DraftBlock, error] {
	const batch = PageBlocks
	return func(yield func(DraftBlock, error) bool) {
		for {
			some, err := d.Store.DraftBlocks(ctx, id, after, batch)
			if err != nil {
				yield(DraftBlock{}, err)
				return
			}
			for _, b := range some {
				if !yield(b, nil) {
					return
				}
				after = b.Index
			}
			if len(some) < batch {
				return
			}
		}
	}
}

// publish writes the manifest of a draft, its base's where nothing was written,
// and publishes it. A base in another domain is copied first.
func (d *Drafts) publish(ctx context.Context, l work.Lease, draft Draft) error {
	if _, _, err := d.Domains.Open(ctx, draft.Domain); err != nil {
		return err // or it could not be read once it is published
	}
	base, err := d.base(ctx, draft)
	if err != nil {
		return err
	}
	foreign := base != nil && base.root.domain != draft.Domain
	whole, err := d.copied(ctx, draft, base, foreign)
	if err != nil {
		return err
	}
	if !whole {
		err := d.Store.Split(ctx, l, len(copyRanges(base.root.pages)))
		d.Bus.Wake(work.Due(work.Copy))
		return err
	}
	m := &merger{most: cmp.Or(d.SlicePages, slicePages), out: d.Library.newPageWriter(l, pagesHint)}
	defer func() { m.out.abort() }()
	m.full = func(ctx context.Context) error {
		added, err := m.out.added(ctx)
		if err == nil {
			err = d.Store.AddPages(ctx, l, added)
		}
		m.stored += added.Bytes
		m.out = d.Library.newPageWriter(l, pagesHint)
		return err
	}
	if base != nil && !foreign {
		m.base, m.rest = base, base.root.pages
	}
	for b, err := range d.blocks(ctx, draft.ID, -1) {
		if err == nil {
			err = m.add(ctx, Block{b.Index, b.ID})
		}
		if err != nil {
			return err
		}
	}
	return d.finish(ctx, l, draft, m)
}

func (d *Drafts) finish(ctx context.Context, l work.Lease, draft Draft, m *merger) (err error) {
	if err := m.end(ctx); err != nil {
		return err
	}
	rest, err := m.out.added(ctx)
	if err != nil {
		return err
	}
	s := Manifest{New: rest, Stored: m.stored + rest.Bytes}
	if s.Root, err = d.Library.WriteRoot(ctx, l, draft.Record, m.pages); err != nil {
		return err
	}
	return d.Store.Publish(ctx, l, s)
}

// base opens the snapshot that a draft begins as; nil: none.
func (d *Drafts) base(ctx context.Context, draft Draft) (*Blocks, error) {
	if draft.Base == 0 {
		return nil, nil
	}
	b, err := d.Library.OpenRoot(ctx, blockstore.File{ID: draft.Base, Kind: blockstore.RootFile})
	if err != nil {
		return nil, fmt.Errorf("opening what %s begins as: %w", draft.ID, err)
	}
	return b, nil
}

// merger makes the pages of a draft: those of its base, with what was written.
type merger struct {
	out    *pageWriter
	most   int                             // pages of out
	full   func(ctx context.Context) error // registers the pages of out and makes it a new one
	stored int64                           // bytes of those that were full

	base *Blocks    // nil: none
	rest []rootPage // pages of base that are not dealt with

	index   int64   // of the page of entries
	entries []Block // of one page
	pages   []PagePlace
}

// add takes the next block, ascending.
func (m *merger) add(ctx context.Context, b Block) error {
	if len(m.entries) > 0 && b.Index/PageBlocks != m.index {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	m.index = b.Index / PageBlocks
	m.entries = append(m.entries, b)
	return nil
}

// flush writes the page of entries, after the base's pages before it.
func (m *merger) flush(ctx context.Context) error {
	if len(m.entries) == 0 {
		return nil
	}
	if len(m.out.places) >= m.most {
		if err := m.full(ctx); err != nil {
			return err
		}
	}
	m.inherit(m.index)
	if len(m.rest) > 0 && m.rest[0].index == m.index {
		if err := m.merge(ctx, m.rest[0]); err != nil {
			return err
		}
		m.rest = m.rest[1:]
	}
	if err := m.out.write(ctx, m.index, m.entries); err != nil {
		return err
	}
	m.pages = append(m.pages, m.out.places[len(m.out.places)-1])
	m.entries = m.entries[:0]
	return nil
}

// inherit takes over the base's pages before an index as they are.
func (m *merger) inherit(before int64) {
	for len(m.rest) > 0 && m.rest[0].index < before {
		p := m.rest[0]
		m.pages = append(m.pages, PagePlace{Page: p.index, ID: p.id, Blocks: p.blocks})
		m.rest = m.rest[1:]
	}
}

// merge adds those blocks of a page of the base that entries do not replace.
func (m *merger) merge(ctx context.Context, e rootPage) error {
	p, err := m.base.page(ctx, e)
	if err != nil {
		return err
	}
	first := e.index * PageBlocks
	merged := make([]Block, 0, PageBlocks)
	written := m.entries
	for i, rank := range p.from(0) {
		at := first + int64(i)
		for len(written) > 0 && written[0].Index < at {
			merged, written = append(merged, written[0]), written[1:]
		}
		if len(written) > 0 && written[0].Index == at {
			continue
		}
		merged = append(merged, Block{at, p.ids[rank]})
	}
	m.entries = append(merged, written...)
	return nil
}

// end writes what is left.
func (m *merger) end(ctx context.Context) error {
	if err := m.flush(ctx); err != nil {
		return err
	}
	m.inherit(maxVolume)
	return nil
}
