package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Entries enters into the catalog what files of the store say. Nothing is taken away, and what
// is there already stays as it is. Every method is one transaction, and all may be called
// concurrently. The suite is verifytest; it runs on every engine.
type Entries interface {
	// Begin notes that a rebuild begins, and reports whether an earlier one has not come to
	// Done: then something may be entered that nothing needs and that gc does not look at.
	Begin(ctx context.Context) (again bool, err error)
	// Done notes that all that rebuilds have entered is known to gc.
	Done(ctx context.Context) error
	// EnterDomain adds the row of a domain, whose data keys d says. entered is false if there
	// is one of its id. ErrOtherDomain if there is another one of its account and key.
	EnterDomain(ctx context.Context, d blockstore.Domain) (entered bool, err error)
	// EnterFile adds the row of a pack or pages file, closed, and those of blocks and pages in
	// it. Blocks that have a row stay where they are, unless they can't be read there; pages move.
	// A file that has a row is left alone.
	EnterFile(ctx context.Context, f blockstore.File, bytes int64, blocks []blockstore.Placement, pages []snapshot.PagePlace) error
	// EnterSnapshot adds the row of a completed snapshot, and that of its root, of some bytes,
	// unless there is one that says that no snapshot was deleted with it; of the snapshot that
	// has the root it adds the root's alone, if that is missing. entered is false if a snapshot
	// has the root, or had it. ErrOtherRoot, and nothing is entered, if there is a snapshot of
	// its id that has another root or none yet.
	EnterSnapshot(ctx context.Context, rec snapshot.Record, bytes int64) (entered bool, err error)
}

// ErrOtherDomain reports a domain whose account and key have another one by now.
var ErrOtherDomain = errors.New("verify: there is another domain of this account and key")

// ErrOtherRoot reports a root whose snapshot has another one.
var ErrOtherRoot = errors.New("verify: its snapshot is there, with another root or none")

// Rebuilt is what a rebuild has done.
type Rebuilt struct {
	BroughtBack int64 // files that were set aside
	Domains     int64
	Packs       int64
	Pages       int64 // files of pages
	Snapshots   int64
	Findings    int64 // files that could not be entered
}

// Rebuild enters what the store has and the database does not know: domains, blocks and
// pages from packs and pages files, snapshots from roots; domains and snapshots also if their rows
// alone are lost. It brings back what was set aside, and marks
// what rows say to lie in files that are gone. It removes nothing, may stop anywhere and be run
// again, and what it has entered is as if it had never been lost. Data keys that the row of a domain
// lacks are merged into it. Tags, tasks, images, volumes,
// drafts, accounts and keys are not in the store.
func (v *Verifier) Rebuild(ctx context.Context, aside blockstore.Aside, o Observer) (Rebuilt, error) {
	if !v.mending.TryLock() {
		return Rebuilt{}, ErrMending
	}
	defer v.mending.Unlock()
	b := &rebuild{run: v.start(Effort{}, o), aside: aside, domainsOf: map[string]packDomain{}}
	between := v.Between
	if between == nil {
		between = func(_ context.Context, fn func() error) error { return fn() }
	}
	err := between(ctx, func() error { return b.enter(ctx) })
	return b.out, err
}

// enter does the steps, one after the other.
func (b *rebuild) enter(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		b.begin, b.bringBack, b.lost, b.headers, b.enterDomains,
		b.straysOf(blockstore.PagesFile, b.pages), b.straysOf(blockstore.PackFile, b.pack), b.roots,
		b.bringBackNamed, b.suspect,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	b.out.Findings = b.summary.Findings
	return nil
}

type rebuild struct {
	*run
	aside     blockstore.Aside
	out       Rebuilt
	domainsOf map[string]packDomain // in the headers of packs without a row: with the newest keys
	entered   []blockstore.FileID   // packs and pages files
	failed    bool                  // a file could not be entered
	again     bool                  // an earlier rebuild has not come to its end
}

func (b *rebuild) begin(ctx context.Context) (err error) {
	b.again, err = b.Entries.Begin(ctx)
	return err
}

// bringBack brings back all files that were set aside.
func (b *rebuild) bringBack(ctx context.Context) error {
	var names []string
	if err := b.aside.EachAside(ctx, func(name string) error {
		if _, ok := blockstore.ParseName(name); ok { // others are objects'
			names = append(names, name)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := b.aside.BringBack(ctx, name); err != nil {
			return fmt.Errorf("bringing back %s: %w", name, err)
		}
		b.out.BroughtBack++
	}
	return nil
}

// bringBackNamed brings back once more what gc has set aside before it had a row.
func (b *rebuild) bringBackNamed(ctx context.Context) error {
	before := b.out.BroughtBack
	err := b.bringBack(ctx)
	b.out.BroughtBack = before
	return err
}

// lost marks blocks that are said to lie in files that are gone: those that are found in another
// are entered as lying there.
func (b *rebuild) lost(ctx context.Context) error {
	return b.eachFile(ctx, -1<<63, func(row FileRow) error {
		if row.State != stateClosed {
			return nil
		}
		if _, err := b.size(ctx, row.File, row.Bytes); errors.Is(err, blockstore.ErrNotExist) {
			c, err := b.Store.Contents(ctx, row.ID)
			for _, x := range c.Blocks {
				if err == nil {
					err = b.Store.MarkDamaged(ctx, x.ID, blockstore.Location{File: row.File, Span: x.Span})
				}
			}
			return err
		}
		return ctx.Err()
	})
}

// straysOf returns a step that calls fn with files of a kind that have no row.
func (b *rebuild) straysOf(kind blockstore.FileKind, fn func(context.Context, blockstore.FoundFile) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return b.eachStray(ctx, func(f blockstore.FoundFile) error {
			if f.Kind != kind {
				return nil
			}
			return fn(ctx, f)
		})
	}
}

// refuse reports a file that can't be entered. Only what says nothing about the file ends the
// rebuild.
func (b *rebuild) refuse(ctx context.Context, part Part, f blockstore.FoundFile, err error) error {
	if err == nil || ctx.Err() != nil || !errors.Is(err, blockstore.ErrBadPack) && !snapshot.IsDamage(err) && !errors.Is(err, ErrOtherRoot) && !errors.Is(err, errNoDomain) {
		return err
	}
	b.failed = true
	found := inFile(part, f.File, -1, err)
	if errors.Is(err, errNoDomain) {
		found = inFile(Stray, f.File, -1, err).advised(unlockDomain)
	}
	return b.found(found)
}

// errNoDomain reports a file of a domain of which there is neither a row nor a header whose keys
// can be opened.
var errNoDomain = errors.New("its domain is not known, or its KMS key can't be used: run it again when it can")

// headers looks at the headers of packs, also of those that have a row.
func (b *rebuild) headers(ctx context.Context) error {
	return b.eachClosed(ctx, func(f blockstore.FoundFile, known bool) error {
		if f.Kind != blockstore.PackFile {
			return nil
		}
		return b.header(ctx, f, known)
	})
}

// header looks at the header of a pack for the newest keys of its domain. One that is known
// says nothing about a domain that is.
func (b *rebuild) header(ctx context.Context, f blockstore.FoundFile, known bool) error {
	x, err := blockstore.ReadPackHeader(b.store.Reader(ctx, f.File))
	if errors.Is(err, blockstore.ErrUnavailable) {
		return err
	}
	if err != nil {
		return ctx.Err() // it is refused when it is entered
	}
	row, err := b.domainOf(ctx, x.Domain.ID)
	if err != nil || known && row != nil {
		return err
	}
	keys, err := b.Keys.Unwrap(ctx, x.Domain)
	if err != nil {
		return ctx.Err() // another header may be whole, or none is, and all are refused
	}
	d := x.Domain
	d.Oldest, d.Newest = keys.Oldest(), keys.Newest()
	if was, ok := b.domainsOf[d.ID]; ok && (was.Account != d.Account || was.KMSKey != d.KMSKey) {
		b.failed = true
		return b.found(inFile(Header, f.File, 0, fmt.Errorf("it has domain %s as that of account %q and KMS key %q, another pack as that of %q and %q, which counts",
			d.ID, d.Account, d.KMSKey, was.Account, was.KMSKey)))
	}
	// Of two with the same newest key, the one that lacks older ones was written later.
	if was, ok := b.domainsOf[d.ID]; !ok || d.Newest > was.Newest || d.Newest == was.Newest && d.Oldest > was.Oldest {
		b.domainsOf[d.ID] = packDomain{d, f.File}
	}
	return nil
}

// packDomain is a domain as the header of a pack has it.
type packDomain struct {
	blockstore.Domain
	pack blockstore.File
}

// enterDomains enters the domains of which the keys could be opened, and their keys.
func (b *rebuild) enterDomains(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(b.domainsOf)) {
		d := b.domainsOf[id]
		entered, err := b.Entries.EnterDomain(ctx, d.Domain)
		switch {
		case errors.Is(err, ErrOtherDomain):
			b.failed = true
			err = b.found(about(Row, fmt.Sprintf("domain %s can't be entered: %v", id, err)))
		case entered:
			b.out.Domains++
		case err == nil:
			err = b.mergeKeys(ctx, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeKeys enters the data keys that the row of a domain lacks. They are those of the newest
// header: with those of an older one, the row would get a key of its own whose number the newer
// has as well.
func (b *rebuild) mergeKeys(ctx context.Context, d packDomain) error {
	row, err := b.domainOf(ctx, d.ID)
	if err != nil || row == nil || d.Newest <= row.Newest {
		return err
	}
	merged, err := b.Keys.Merge(ctx, d.Domain)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		b.failed = true
		return b.found(inFile(Header, d.pack, 0, fmt.Errorf("its data keys could not be entered: %w", err)))
	}
	row.Domain = merged
	return nil
}

// pack enters a pack.
func (b *rebuild) pack(ctx context.Context, f blockstore.FoundFile) error {
	x, err := blockstore.ReadPackIndex(b.store.Reader(ctx, f.File), f.Bytes)
	if err == nil && x.File.ID != f.ID {
		err = fmt.Errorf("%w: header of %s", blockstore.ErrBadPack, x.File.Name())
	}
	if err == nil {
		var d *domain
		if d, err = b.domainOf(ctx, x.Domain.ID); err == nil && d == nil {
			err = errNoDomain
		}
	}
	if err != nil {
		return b.refuse(ctx, Header, f, err)
	}
	blocks, rotten, err := b.sound(ctx, x)
	if err != nil {
		return err
	}
	if err := b.Entries.EnterFile(ctx, x.File, f.Bytes, blocks, nil); err != nil {
		return err
	}
	for _, p := range rotten {
		if err := b.Store.MarkDamaged(ctx, p.ID, blockstore.Location{File: x.File, Span: p.Span}); err != nil {
			return err
		}
	}
	b.out.Packs++
	b.entered = append(b.entered, f.ID)
	return b.did(ctx, 0)
}

// sound returns the blocks of a pack without those whose row would move here from where it
// can't be read, if their frames can't be read either: that pack would be let go for
// nothing. rotten are such ones whose rows say that they lie here: they stay marked.
func (b *rebuild) sound(ctx context.Context, x blockstore.PackIndex) (blocks, rotten []blockstore.Placement, err error) {
	ids := make([]block.ID, len(x.Blocks))
	for i, p := range x.Blocks {
		ids[i] = p.ID
	}
	places, err := b.Store.Places(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	var moving []blockstore.Placement
	for _, p := range x.Blocks {
		if at, ok := places[p.ID]; ok && (at.Damaged || !at.HasFile) {
			moving = append(moving, p)
		} else {
			blocks = append(blocks, p)
		}
	}
	if len(moving) == 0 {
		return blocks, nil, nil
	}
	keys, err := b.keys(ctx, x.Domain.ID)
	if err != nil {
		return nil, nil, err
	}
	err = b.frames(ctx, x.File, keys, moving, func(fr *opened) error {
		if here := places[fr.ID].File.ID == x.File.ID; fr.err == nil || here {
			blocks = append(blocks, fr.Placement)
		}
		if fr.err != nil {
			rotten = append(rotten, fr.Placement)
		}
		return nil
	})
	return blocks, rotten, err
}

// pages enters a pages file.
func (b *rebuild) pages(ctx context.Context, f blockstore.FoundFile) error {
	var pages []snapshot.PagePlace
	err := b.eachPage(ctx, f.File, f.Bytes, func(_ []byte, p snapshot.PagePlace) error {
		pages = append(pages, p)
		return nil
	})
	if err != nil {
		if err := b.refuse(ctx, Page, f, err); err != nil {
			return err
		}
	}
	if len(pages) == 0 { // those before the damage are entered
		return nil
	}
	if err := b.Entries.EnterFile(ctx, f.File, f.Bytes, nil, pages); err != nil {
		return err
	}
	b.out.Pages++
	b.entered = append(b.entered, f.ID)
	return nil
}

// roots enters the snapshots of roots that have no row, and of those that no snapshot names
// although none was deleted with them.
func (b *rebuild) roots(ctx context.Context) error {
	return b.eachClosed(ctx, func(f blockstore.FoundFile, known bool) error {
		if f.Kind != blockstore.RootFile {
			return nil
		}
		if known {
			c, err := b.Store.Contents(ctx, f.ID)
			if err != nil || !nameless(c) {
				return err
			}
		}
		return b.root(ctx, f)
	})
}

// root enters the snapshot of a root.
func (b *rebuild) root(ctx context.Context, f blockstore.FoundFile) error {
	t, err := b.Shelf.Library.ReadTree(ctx, f.File)
	var d *domain
	if err == nil {
		if d, err = b.domainOf(ctx, t.Record().Domain); err == nil && d == nil {
			err = errNoDomain
		}
	}
	if err != nil {
		return b.refuse(ctx, Root, f, err)
	}
	rec := t.Record()
	rec.Account, rec.Region, rec.State = d.Account, b.Region, snapshot.Completed
	rec.Description = "Brought back from the block store"
	rec.StartedAt = b.Now()
	rec.CompletedAt = rec.StartedAt
	entered, err := b.Entries.EnterSnapshot(ctx, rec, f.Bytes)
	if entered {
		b.out.Snapshots++
	}
	return b.refuse(ctx, Root, f, err)
}

// suspect has gc look at all that was entered, since of some of it no snapshot may be left;
// not before, since until its root is entered nothing names what a snapshot needs. If a
// file could not be entered, that may be what needs it: then all of it stays. What earlier
// rebuilds entered that were cut off, or where a file could not be entered, is not known: gc
// looks at everything then.
func (b *rebuild) suspect(ctx context.Context) error {
	if b.failed {
		return nil
	}
	if b.again {
		b.entered = nil
		if err := b.eachFile(ctx, -1<<63, func(row FileRow) error {
			if row.State == stateClosed && row.Kind != blockstore.RootFile {
				b.entered = append(b.entered, row.ID)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, id := range b.entered {
		c, err := b.Store.Contents(ctx, id)
		if err != nil {
			return err
		}
		var blocks []block.ID
		for _, x := range c.Blocks {
			blocks = append(blocks, x.ID)
		}
		var pages []snapshot.PageID
		for _, p := range c.Pages {
			pages = append(pages, p.ID)
		}
		if err := b.Fixes.Suspect(ctx, blocks, pages); err != nil {
			return err
		}
	}
	return b.Entries.Done(ctx)
}
