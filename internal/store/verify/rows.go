package verify

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// headed is a domain as the headers of packs have it: with the newest keys that can be opened.
type headed struct {
	blockstore.Domain
	keys *frame.Keys // nil: none can be opened
	torn bool        // headers say different accounts or KMS keys
}

// heads returns what the headers of all packs say of domains, by their ids.
func (r *run) heads(ctx context.Context) (map[string]*headed, error) {
	type wrapped struct{ domain, keys string }
	found, tried := map[string]*headed{}, map[wrapped]bool{}
	err := r.eachClosed(ctx, func(f blockstore.FoundFile, _ bool) error {
		if f.Kind != blockstore.PackFile {
			return nil
		}
		x, err := blockstore.ReadPackHeader(r.store.Reader(ctx, f.File))
		if errors.Is(err, blockstore.ErrUnavailable) {
			return err
		}
		if err != nil {
			return ctx.Err() // it is a finding already
		}
		h := found[x.Domain.ID]
		if h == nil {
			h = &headed{Domain: x.Domain}
			found[x.Domain.ID] = h
		}
		h.torn = h.torn || h.Account != x.Domain.Account || h.KMSKey != x.Domain.KMSKey
		if w := (wrapped{x.Domain.ID, string(x.Domain.WrappedKeys)}); !h.torn && !tried[w] {
			tried[w] = true
			keys, err := r.Keys.Unwrap(ctx, x.Domain)
			if err == nil && (h.keys == nil || keys.Newest() > h.keys.Newest()) {
				h.Domain, h.keys = x.Domain, keys
			}
		}
		return ctx.Err()
	})
	return found, err
}

// rows puts the rows of domains and snapshots right, as far as the files of the store tell. A
// domain is as the headers of its packs have it, which all have to say the same; its keys are
// bound to its id. A snapshot is as its root has it, which is under a MAC. What a fix changes
// has at least two witnesses against the row.
func (r *run) rows(ctx context.Context, out *Repaired) error {
	if len(r.needs.domains)+len(r.needs.snapshots) == 0 {
		return nil
	}
	heads, err := r.heads(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(r.needs.domains)) {
		if err := r.domainRow(ctx, id, heads, out); err != nil {
			return err
		}
	}
	r.domains = map[string]*domain{}
	if err := r.loadDomains(ctx); err != nil {
		return err
	}
	roots, err := r.rootsOf(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(r.needs.snapshots)) {
		if err := r.snapshotRow(ctx, r.needs.snapshots[id], roots[id], heads, out); err != nil {
			return err
		}
	}
	return nil
}

// domainRow puts the row of a domain right.
func (r *run) domainRow(ctx context.Context, id string, heads map[string]*headed, out *Repaired) error {
	h := heads[id]
	if h == nil || h.torn {
		return nil
	}
	was := r.domains[id]
	if was == nil {
		was = r.misnamed(h, heads)
	}
	if was == nil {
		return nil // Rebuild enters it
	}
	now := was.Domain
	now.ID, now.Account, now.KMSKey = id, h.Account, h.KMSKey
	keys, err := r.Keys.Unwrap(ctx, now)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isLocked(err): // what it has can't be told now
		return nil
	case err != nil && h.keys == nil:
		return nil
	case err != nil:
		now.WrappedKeys, keys = h.WrappedKeys, h.keys
	}
	if now.Oldest, now.Newest = keys.Oldest(), keys.Newest(); now.Retire > now.Newest {
		now.Retire = 0
	}
	fixed, err := r.Fixes.FixDomain(ctx, was.Domain, now)
	if fixed {
		out.Rows++
		r.Keys.Forget(was.ID)
		r.Keys.Forget(id)
	}
	return err
}

// misnamed returns the domain whose row has another id than the headers of its packs, or nil.
func (r *run) misnamed(h *headed, heads map[string]*headed) *domain {
	for id, d := range r.domains {
		if heads[id] == nil && d.Account == h.Account && d.KMSKey == h.KMSKey {
			return d
		}
	}
	return nil
}

// rootsOf returns the roots of those snapshots that are to be put right: closed ones, that no
// deletion has let go of.
func (r *run) rootsOf(ctx context.Context) (map[string][]*snapshot.Tree, error) {
	found := map[string][]*snapshot.Tree{}
	if len(r.needs.snapshots) == 0 {
		return found, nil
	}
	err := r.eachClosed(ctx, func(f blockstore.FoundFile, known bool) error {
		if f.Kind != blockstore.RootFile || !known {
			return nil
		}
		c, err := r.Store.Contents(ctx, f.ID)
		if err != nil || c.Row.State != stateClosed || c.Row.Dead != 0 {
			return err
		}
		t, err := r.Shelf.Library.ReadTree(ctx, f.File)
		if errors.Is(err, blockstore.ErrUnavailable) {
			return err
		}
		if err != nil {
			return ctx.Err() // it is a finding already
		}
		id := t.Record().ID
		for was, rec := range r.needs.snapshots {
			if id == rec.ID || rec.Root.ID == f.ID {
				found[was] = append(found[was], t)
			}
		}
		return nil
	})
	return found, err
}

// snapshotRow puts the row of a snapshot right: what its root says, or which root it has. If the
// root that the row names is that of another snapshot, and there is none of its own, the id
// is what is wrong.
func (r *run) snapshotRow(ctx context.Context, was snapshot.Record, roots []*snapshot.Tree, heads map[string]*headed, out *Repaired) error {
	own := slices.DeleteFunc(slices.Clone(roots), func(t *snapshot.Tree) bool { return t.Record().ID != was.ID })
	if named := slices.IndexFunc(own, func(t *snapshot.Tree) bool { return t.Record().Root.ID == was.Root.ID }); named >= 0 {
		own = own[named : named+1]
	}
	if len(own) == 0 {
		own = roots
	}
	if len(own) != 1 {
		return nil
	}
	says, now := own[0].Record(), was
	now.ID, now.Root, now.Domain = says.ID, says.Root, says.Domain
	now.VolumeSize, now.VirtualSize, now.Blocks, now.State = says.VolumeSize, says.VirtualSize, says.Blocks, snapshot.Completed
	d, h := r.domains[now.Domain], heads[now.Domain]
	if d == nil {
		return nil
	}
	if h != nil && !h.torn && h.Account == d.Account {
		now.Account = d.Account
	}
	fixed, err := r.Fixes.FixSnapshot(ctx, was, now)
	if fixed {
		out.Rows++
	}
	return err
}
