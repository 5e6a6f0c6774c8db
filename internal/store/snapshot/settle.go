package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/work"
)

// What a client reads of a draft that failed.
const (
	msgCount    = "The number of blocks written does not match the changed blocks count"
	msgChecksum = "The checksum of the blocks written does not match the checksum"
	msgKey      = "Given key ID is not accessible"
	msgInternal = "An internal error occurred"
)

// pagesHint is the space set aside for the pages of a draft; more comes with
// writing. It is that of 31 full ones, 15 GiB of volume.
const pagesHint = 1 << 20

// maxTries is how often completing a draft is tried.
const maxTries = 5

// SettleError reports a draft that failed for a reason of ours.
type SettleError struct {
	ID  string
	Err error
}

func (e *SettleError) Error() string { return "snapshot: completing " + e.ID + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SettleError) Unwrap() error { return e.Err }

// Settle does a Complete unit: it compares a complete draft with what its writer said,
// writes its manifest and publishes it, or makes it failed. After a *SettleError the
// unit is done; after any other error it may be tried again.
func (d *Drafts) Settle(ctx context.Context, l work.Lease) error {
	draft, err := d.Store.Draft(ctx, l.Task)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotPending) {
		return work.ErrLost // deleted meanwhile, with its unit
	}
	if err != nil {
		return err
	}
	message, err := d.check(ctx, draft)
	if err == nil && message == "" {
		err = d.publish(ctx, l, draft)
	}
	var key *keyring.Error
	switch {
	case errors.As(err, &key):
		message = msgKey
	case err != nil && !errors.Is(err, work.ErrLost) && ctx.Err() == nil && l.Attempt >= maxTries:
		if rerr := d.Store.Reject(ctx, l, msgInternal); rerr != nil {
			return errors.Join(err, rerr)
		}
		return &SettleError{draft.ID, err}
	case err != nil:
		return err
	}
	if message != "" {
		return d.Store.Reject(ctx, l, message)
	}
	return nil
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
// and publishes it.
func (d *Drafts) publish(ctx context.Context, l work.Lease, draft Draft) error {
	if _, _, err := d.Domains.Open(ctx, draft.Domain); err != nil {
		return err // nobody could read it
	}
	base, err := d.base(ctx, draft)
	if err != nil {
		return err
	}
	m := &merger{lib: d.Library, out: d.Library.newPageWriter(l, pagesHint)}
	defer m.out.abort()
	if base != nil && base.root.domain == draft.Domain {
		m.base, m.rest = base, base.root.pages
	} else if base != nil {
		if err := d.inherit(ctx, draft, base); err != nil {
			return err
		}
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
	var pages Written
	if err := m.out.finish(ctx, &pages); err != nil {
		return err
	}
	s := Manifest{PagesFile: pages.PagesFile, PagesBytes: pages.PagesBytes, Pages: pages.Pages}
	if s.Root, err = d.Library.WriteRoot(ctx, l, draft.Record, m.pages); err != nil {
		return err
	}
	return d.Store.Publish(ctx, l, s)
}

// base opens what a draft begins as; nil: nothing.
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

// maxCopying is how many appends of a copy are under way at a time: while some wait
// for the disk, others read and frame.
const maxCopying = 4

// inherit copies the blocks of a base in another domain that nobody wrote over.
// It goes on where an attempt before was left off.
func (d *Drafts) inherit(ctx context.Context, draft Draft, base *Blocks) error {
	copying, ctx := errgroup.WithContext(ctx)
	copying.SetLimit(maxCopying)
	var some []Block
	seen := int64(0)
	flush := func() {
		batch, at := some, seen
		copying.Go(func() error { return d.copyBlocks(ctx, draft, base, batch, at) })
		some = nil
	}
	var err error
	for b, berr := range d.missing(ctx, draft, base) {
		if err = berr; err != nil {
			break
		}
		seen++
		if some = append(some, b); len(some) == maxAppend {
			flush()
		}
	}
	if err == nil && len(some) > 0 {
		flush()
	}
	return cmp.Or(copying.Wait(), err) // the first to fail ends the other's context
}

// missing returns the blocks of a base that the draft has none at the index of.
func (d *Drafts) missing(ctx context.Context, draft Draft, base *Blocks) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		next, stop := iter.Pull2(d.blocks(ctx, draft.ID, -1))
		defer stop()
		have, err, ok := next()
		for b, berr := range base.From(ctx, 0) {
			for berr == nil && ok && err == nil && have.Index < b.Index {
				have, err, ok = next()
			}
			if err := cmp.Or(berr, err); err != nil {
				yield(Block{}, err)
				return
			}
			if ok && have.Index == b.Index {
				continue
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// copyBlocks appends blocks of the base to the draft; with them, so many were
// copied in this attempt.
func (d *Drafts) copyBlocks(ctx context.Context, draft Draft, base *Blocks, some []Block, seen int64) error {
	ctx, cancel := context.WithTimeout(ctx, appendFor)
	defer cancel()
	to := &appending{blocks: map[int64]DraftBlock{}}
	if err := d.beginAppend(ctx, draft, to); err != nil {
		return err
	}
	frame, percent := make([]byte, frame.Size), int(min(99, 100*seen/base.root.blocks))
	for _, b := range some {
		data, digest, err := base.Get(ctx, b.Index, frame)
		if err == nil {
			err = d.add(ctx, to, DraftBlock{Index: b.Index, Digest: digest, Inherited: true}, data, percent)
		}
		if err != nil {
			to.err = err
			break
		}
	}
	return d.endAppend(ctx, to)
}

// merger makes the pages of a draft: those of its base, with what was written.
type merger struct {
	lib  *Library
	out  *pageWriter
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
