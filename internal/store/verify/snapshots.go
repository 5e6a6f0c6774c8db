package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// snapshots checks the snapshots of all accounts and regions, behind an id.
func (r *run) snapshots(ctx context.Context, after string, reached func(string) error) error {
	for {
		list, err := r.Store.Snapshots(ctx, after, batch)
		if err != nil {
			return err
		}
		for _, rec := range list {
			if err := r.snapshot(ctx, rec); err != nil {
				return err
			}
			after = rec.ID
			if err := reached(after); err != nil {
				return err
			}
		}
		if len(list) < batch {
			return nil
		}
	}
}

// snapshot checks a snapshot: its row, its root, its pages, and what is known of its
// blocks.
func (r *run) snapshot(ctx context.Context, rec snapshot.Record) error {
	r.current = &Checked{ID: rec.ID, Account: rec.Account, Region: rec.Region, Blocks: rec.Blocks}
	defer func() { r.current = nil }()
	whole, err := r.state(rec)
	if err != nil || !whole && rec.Root.ID == 0 {
		return err
	}
	if whole {
		release, err := r.Shelf.Hold(ctx, rec, "verify")
		if errors.Is(err, snapshot.ErrNotFound) {
			return nil // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		defer release()
	}
	if err := r.snapshotDomain(ctx, rec); err != nil {
		return err
	}
	if err := r.tree(ctx, rec); err != nil {
		return err
	}
	r.summary.Snapshots++
	return r.o.Snapshot(*r.current)
}

// state checks what a row says of the snapshot's life, and returns whether it is one that can
// be read.
func (r *run) state(rec snapshot.Record) (completed bool, err error) {
	switch {
	case rec.State == snapshot.Completed && rec.Root.ID != 0:
		return true, nil
	case rec.State == snapshot.Completed:
		err = errors.New("its row says that it is completed, and names no root")
	case rec.State != snapshot.Pending && rec.State != snapshot.Failed:
		err = fmt.Errorf("its row says that it is %q", rec.State)
	case rec.Root.ID != 0:
		err = fmt.Errorf("its row says that it is %s, and names a root", rec.State)
	default:
		r.pending = r.pending || rec.State == snapshot.Pending
		return false, nil
	}
	r.needs.snapshot(rec)
	return false, r.found(ofSnapshot(Row, rec, err).advised(repairSnapshot))
}

// snapshotDomain checks the domain of a snapshot, and whether its key can be used.
func (r *run) snapshotDomain(ctx context.Context, rec snapshot.Record) error {
	d, err := r.domainOf(ctx, rec.Domain)
	if err != nil {
		return err
	}
	switch {
	case d == nil:
		err = fmt.Errorf("its row says domain %s, which has no row", rec.Domain)
	case d.Account != rec.Account:
		err = fmt.Errorf("its row says account %q, the row of its domain %q", rec.Account, d.Account)
	}
	if err != nil {
		r.needs.snapshot(rec)
		f := ofSnapshot(Row, rec, err).advised(repairSnapshot)
		if r.needs.domain(rec.Domain); d == nil {
			f = f.advised(enterDomain)
		}
		return r.found(f)
	}
	_, err = r.Keys.Keys(ctx, rec.Domain)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isLocked(err):
		r.locked(rec.Domain, err)
		r.current.Locked = err.Error()
	case err != nil:
		return r.found(ofSnapshot(Data, rec, fmt.Errorf("the keys of its blocks can't be opened: %w", err)).advised(restoreRow))
	}
	return nil
}

// tree checks the root of a snapshot, and what is under it.
func (r *run) tree(ctx context.Context, rec snapshot.Record) error {
	t, err := r.Shelf.Library.ReadTree(ctx, rec.Root)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, blockstore.ErrUnavailable) {
		return err
	}
	if err != nil {
		r.needs.snapshot(rec) // it may be the row that is wrong about which it is
		return r.found(ofSnapshot(Root, rec, fmt.Errorf("its root can't be read: %w", err)))
	}
	if err := t.Mismatch(rec); err != nil {
		r.needs.snapshot(rec)
		if err := r.found(ofSnapshot(Row, rec, err).advised(repairSnapshot)); err != nil {
			return err
		}
	}
	return t.Walk(ctx, func(p snapshot.TreePage) error {
		if err := r.pace.Wait(ctx, int64(len(p.Blocks))*int64(len(block.ID{}))); err != nil {
			return err
		}
		if errors.Is(p.Err, blockstore.ErrUnavailable) {
			return p.Err
		}
		if p.Err != nil {
			r.needs.page(rec.Domain, p.ID)
			return r.found(ofPage(rec, p.Page, p.Count, p.Err))
		}
		return r.blocks(ctx, rec, p)
	})
}

// blocks reports those blocks of a page that can't be read.
func (r *run) blocks(ctx context.Context, rec snapshot.Record, p snapshot.TreePage) error {
	ids := make([]block.ID, len(p.Blocks))
	for i, b := range p.Blocks {
		ids[i] = b.ID
	}
	places, err := r.Store.Places(ctx, ids)
	if err != nil {
		return err
	}
	for _, b := range p.Blocks {
		at, known := places[b.ID]
		why, bad := r.bad[b.ID]
		switch {
		case !known:
			why = "the catalog does not know the block"
		case !at.HasFile:
			why = fmt.Sprintf("the block is said to lie in file %d, which has no row", at.File.ID)
		case bad:
		case at.Damaged:
			why = "it was found damaged"
		default:
			continue
		}
		r.needs.block(b.ID)
		f := about(Data, why)
		f.Snapshot, f.Index, f.Block = rec.ID, b.Index, b.ID.String()
		if at.HasFile {
			f.File, f.Offset = at.File.Name(), int64(at.Off)*blockstore.Align
		}
		if err := r.found(f); err != nil {
			return err
		}
	}
	return nil
}
