package verify

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Mender writes anew what is whole. compact.Compactor implements it.
type Mender interface {
	// Mend copies frames to a new pack, and makes those of their blocks lie there that can't
	// be read where they lie; it returns how many.
	Mend(ctx context.Context, domain string, some []compact.Intact) (int64, error)
	// MendPages writes pages anew.
	MendPages(ctx context.Context, domain string, pages [][]byte, places []snapshot.PagePlace) error
	// Run rewrites packs.
	Run(ctx context.Context, e compact.Effort, progress func(compact.Progress)) (compact.Report, error)
}

// Repaired is what a repair has done.
type Repaired struct {
	Summary
	Mended  int64 // blocks for which another copy was found
	Pages   int64 // likewise
	Packs   int64 // with a damaged header or trailer, that were written anew
	Rows    int64 // of files, domains and snapshots, that were put right
	Left    int64 // findings about snapshots that are left
	TooMany bool  // there is more damage than one run mends: run it again
}

// Fixes puts rows right. The suite is verifytest; it runs on every engine.
type Fixes interface {
	// Suspect makes blocks and pages candidates of gc, which finds out whether anything needs
	// them.
	Suspect(ctx context.Context, blocks []block.ID, pages []snapshot.PageID) error
	// FixFile makes a row say kind, domain, bytes and entries of a file as they were read
	// from the file, and that it is closed; how many of the entries were let go is what is
	// left of them by the rows of blocks and pages, unless Dead says that all were: then the file
	// is not there, and nothing is said to lie in it. A file without a row is left alone, as is
	// every one while a snapshot is being made, or something is held of one that was deleted, such
	// as by a volume.
	FixFile(ctx context.Context, row FileRow) error
	// FixDomain makes the row of a domain, which has to be as it was read, say something else;
	// its id, if nothing names the old one. With other keys a new data key is made for the next block,
	// as by EnterDomain. fixed is false, and nothing is changed, if the row has changed, or if there is
	// another domain of that id, or of that account and KMS key.
	FixDomain(ctx context.Context, was, now blockstore.Domain) (fixed bool, err error)
	// FixSnapshot makes the row of a snapshot, which has to be as it was read, say id, account,
	// domain, state, sizes, number of blocks and root of another record. fixed is false, and
	// nothing is changed, if the row has changed, if the root is none that is closed and that no deletion has
	// let go of, or if another snapshot has that root or id.
	FixSnapshot(ctx context.Context, was, now snapshot.Record) (fixed bool, err error)
}

// maxNeeds is how many blocks one run mends at most.
const maxNeeds = 1 << 20

// needs are what is to be mended, as a run has found it. A nil *needs notes nothing.
type needs struct {
	blocks    map[block.ID]bool
	pages     map[snapshot.PageID]string // to the domain of a snapshot that has it
	packs     map[blockstore.FileID]bool
	files     map[blockstore.FileID]bool // whose rows are wrong
	domains   map[string]bool            // likewise
	snapshots map[string]snapshot.Record // likewise, as they were read
	odd       []block.ID                 // of rows that are wrong
	oddPages  []snapshot.PageID
	more      bool
}

func newNeeds() *needs {
	return &needs{
		blocks: map[block.ID]bool{}, pages: map[snapshot.PageID]string{},
		packs: map[blockstore.FileID]bool{}, files: map[blockstore.FileID]bool{},
		domains: map[string]bool{}, snapshots: map[string]snapshot.Record{},
	}
}

func (n *needs) block(id block.ID) {
	if n != nil && n.room() {
		n.blocks[id] = true
	}
}

func (n *needs) page(domain string, id snapshot.PageID) {
	if n != nil && n.room() {
		n.pages[id] = domain
	}
}

func (n *needs) pack(id blockstore.FileID) {
	if n != nil && n.room() {
		n.packs[id] = true
	}
}

func (n *needs) file(id blockstore.FileID) {
	if n != nil && n.room() {
		n.files[id] = true
	}
}

func (n *needs) domain(id string) {
	if n != nil && n.room() {
		n.domains[id] = true
	}
}

func (n *needs) snapshot(rec snapshot.Record) {
	if n != nil && n.room() {
		n.snapshots[rec.ID] = rec
	}
}

func (n *needs) oddBlock(id block.ID) {
	if n != nil && n.room() {
		n.odd = append(n.odd, id)
	}
}

func (n *needs) oddPage(id snapshot.PageID) {
	if n != nil && n.room() {
		n.oddPages = append(n.oddPages, id)
		n.pages[id] = ""
	}
}

func (n *needs) room() bool {
	n.more = n.more || len(n.blocks)+len(n.pages)+len(n.packs)+len(n.files)+len(n.odd)+len(n.oddPages)+len(n.domains)+len(n.snapshots) >= maxNeeds
	return !n.more
}

// Repair reads everything, as Run does, and mends what it can: blocks and pages of which there
// is another copy somewhere in the store, in a pack that rows know or not, packs whose header
// or trailer is damaged, and rows of which files tell what they should say. What it writes is new; it removes nothing. It may stop anywhere and
// be run again. ErrMending while there is another, or a Rebuild.
func (v *Verifier) Repair(ctx context.Context, e Effort, o Observer) (Repaired, error) {
	if !v.mending.TryLock() {
		return Repaired{}, ErrMending
	}
	defer v.mending.Unlock()
	r := v.start(e, o)
	r.needs = newNeeds()
	err := r.all(ctx, Position{}, func(Position) error { return nil })
	out := Repaired{Summary: r.summary}
	if err == nil {
		err = r.mend(ctx, &out)
	}
	return out, err
}

// mend mends what a run has found.
func (r *run) mend(ctx context.Context, out *Repaired) error {
	out.TooMany = r.needs.more
	if err := r.rows(ctx, out); err != nil {
		return err
	}
	if len(r.needs.packs) > 0 {
		report, err := r.Mender.Run(ctx, compact.These(r.needs.packs), nil)
		out.Packs = report.Packs
		if err != nil {
			return err
		}
	}
	s := &search{run: r, out: out, found: map[string][]compact.Intact{}, bytes: map[string]int64{}}
	if err := blockstore.EachFile(ctx, r.store.Backend, func(some []blockstore.FoundFile) error {
		for _, f := range some {
			if f.Closed && len(r.needs.blocks)+len(r.needs.pages) > 0 {
				if err := s.file(ctx, f); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for domain := range s.found {
		if err := s.flush(ctx, domain); err != nil {
			return err
		}
	}
	if err := r.Fixes.Suspect(ctx, r.needs.odd, r.needs.oddPages); err != nil {
		return err
	}
	return r.settle(ctx, out)
}

// settle looks at the snapshots once more, and puts the rows of files right if all can be
// read and none is being made: no row of a block or page is missing then that anything needs.
func (r *run) settle(ctx context.Context, out *Repaired) error {
	again := r.start(Effort{}, Observer{})
	if err := again.loadDomains(ctx); err != nil {
		return err
	}
	if err := again.snapshots(ctx, "", func(string) error { return nil }); err != nil {
		return err
	}
	if out.Left = again.summary.Findings; out.Left > 0 || again.pending {
		return nil
	}
	for id := range r.needs.files {
		row, ok, err := r.restate(ctx, id)
		if err == nil && ok {
			out.Rows++
			err = r.Fixes.FixFile(ctx, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restate returns what the row of a file should say; ok is false if the file does not tell.
func (r *run) restate(ctx context.Context, id blockstore.FileID) (row FileRow, ok bool, err error) {
	c, err := r.Store.Contents(ctx, id)
	if err != nil || !c.HasRow {
		return row, false, err
	}
	for _, kind := range []blockstore.FileKind{blockstore.PackFile, blockstore.PagesFile, blockstore.RootFile} {
		row = FileRow{File: blockstore.File{ID: id, Kind: kind}}
		row.Bytes, err = r.size(ctx, row.File, c.Row.Bytes)
		if errors.Is(err, blockstore.ErrNotExist) {
			continue
		}
		if err == nil {
			row.Domain, row.Entries, err = r.entries(ctx, row.File, row.Bytes)
		}
		if errors.Is(err, blockstore.ErrBadPack) || snapshot.IsDamage(err) {
			return row, false, ctx.Err()
		}
		return row, err == nil, err
	}
	// It is not there, and if nothing lies in it, gc may forget the row.
	n := max(1, c.Row.Entries)
	return FileRow{File: c.Row.File, Entries: n, Dead: n}, len(c.Blocks)+len(c.Pages)+int(c.Roots) == 0, nil
}

// entries returns the domain of a file, and how many blocks, pages or roots it was written
// with.
func (r *run) entries(ctx context.Context, f blockstore.File, size int64) (domain string, n int64, err error) {
	switch f.Kind {
	case blockstore.PackFile:
		x, err := blockstore.ReadPackIndex(r.store.Reader(ctx, f), size)
		return x.Domain.ID, int64(len(x.Blocks)), err
	case blockstore.PagesFile:
		err = r.eachPage(ctx, f, size, func([]byte, snapshot.PagePlace) error { n++; return nil })
		return "", n, err
	case blockstore.RootFile:
		_, err = r.Shelf.Library.ReadTree(ctx, f)
	}
	return "", 1, err
}

// eachPage calls fn with the pages in a file. Behind one that is damaged it is not known where
// the next one begins.
func (r *run) eachPage(ctx context.Context, f blockstore.File, size int64, fn func([]byte, snapshot.PagePlace) error) error {
	buf := make([]byte, snapshot.MaxPageBytes)
	for off := int64(0); off < size; {
		b := buf[:min(int64(len(buf)), size-off)]
		if err := r.store.ReadAt(ctx, f, b, off); err != nil {
			return err
		}
		p, err := r.Shelf.Library.ParsePage(b)
		if err != nil {
			return err
		}
		p.File, p.Off = f.ID, off
		if err := fn(b[:p.Len], p); err != nil {
			return err
		}
		off += p.Len
	}
	return nil
}

// search looks through all files, known to rows or not, for what is needed.
type search struct {
	*run
	out   *Repaired
	found map[string][]compact.Intact // by domain
	bytes map[string]int64            // of frames in found
}

// file looks through a file. One that is damaged or gone has nothing.
func (s *search) file(ctx context.Context, f blockstore.FoundFile) error {
	var err error
	switch f.Kind {
	case blockstore.PackFile:
		err = s.pack(ctx, f)
	case blockstore.PagesFile:
		err = s.pages(ctx, f)
	case blockstore.RootFile:
	}
	if ctx.Err() == nil && (errors.Is(err, blockstore.ErrBadPack) || snapshot.IsDamage(err)) {
		return nil
	}
	return err
}

// pack looks through the trailer of a pack. The frames are opened when they are copied.
func (s *search) pack(ctx context.Context, f blockstore.FoundFile) error {
	x, err := blockstore.ReadPackIndex(s.store.Reader(ctx, f.File), f.Bytes)
	if err != nil {
		return err
	}
	at := f.File // whatever name the header has: a file may lie in the place of another
	at.Domain = x.Domain.ID
	for _, b := range x.Blocks {
		if !s.needs.blocks[b.ID] {
			continue
		}
		whole, err := s.whole(ctx, at, b)
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		domain := x.Domain.ID
		s.found[domain] = append(s.found[domain], compact.Intact{ID: b.ID, At: blockstore.Location{File: at, Span: b.Span}})
		delete(s.needs.blocks, b.ID)
		if s.bytes[domain] += int64(b.Len) * blockstore.Align; s.bytes[domain] >= compact.MaxMended-blockstore.MaxPackBytes/64 {
			if err := s.flush(ctx, domain); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole reports whether a frame is one that can be opened, as far as it can be told now.
func (s *search) whole(ctx context.Context, f blockstore.File, b blockstore.Placement) (whole bool, err error) {
	keys, err := s.keys(ctx, f.Domain)
	if err != nil || keys == nil {
		return false, err
	}
	err = s.frames(ctx, f, keys, []blockstore.Placement{b}, func(fr *opened) error {
		whole = fr.proven
		return nil
	})
	return whole, err
}

// flush mends what was found of a domain.
func (s *search) flush(ctx context.Context, domain string) error {
	n, err := s.Mender.Mend(ctx, domain, s.found[domain])
	s.out.Mended += n
	s.found[domain], s.bytes[domain] = nil, 0
	return err
}

// pages looks through a pages file.
func (s *search) pages(ctx context.Context, f blockstore.FoundFile) error {
	return s.eachPage(ctx, f.File, f.Bytes, func(page []byte, p snapshot.PagePlace) error {
		domain, ok := s.needs.pages[p.ID]
		if !ok {
			return nil
		}
		delete(s.needs.pages, p.ID)
		s.out.Pages++
		return s.Mender.MendPages(ctx, domain, [][]byte{page}, []snapshot.PagePlace{p})
	})
}
