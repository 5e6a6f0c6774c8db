package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/cache"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// PageIndex knows where pages lie. Every Store is one.
type PageIndex interface {
	// LocatePages is that of Records.
	LocatePages(ctx context.Context, ids []PageID) (map[PageID]PagePlace, error)
}

// Library writes and reads manifests and what they name. It may be used
// concurrently; its fields are set before.
type Library struct {
	Store   *blockstore.Store
	Index   PageIndex
	PageKey *PageKey
	// Keys returns the keys of a domain, for reading its blocks.
	Keys func(ctx context.Context, domain string) (*frame.Keys, error)
	// Opened keeps blocks that are read again and again; nil: each read opens a frame.
	Opened *Opened
	// Damaged is told of a snapshot of which something can't be read, whenever that is met;
	// nil: nobody asks. The snapshot may be gone meanwhile.
	Damaged func(ctx context.Context, rec Record, err error)

	wide, narrow sync.Pool // of *window
	stages       sync.Pool // of *stage
}

// Root is a durable root.
type Root struct {
	File   blockstore.File
	Bytes  int64
	Blocks int64 // that its pages name
}

// WriteRoot writes the root of the snapshot of rec, which has these pages, in
// order of Page, and makes it durable.
func (l *Library) WriteRoot(ctx context.Context, lease work.Lease, rec Record, pages []PagePlace) (Root, error) {
	r := &root{snapshot: rec.ID, domain: rec.Domain, volume: rec.VolumeSize * block.PerGiB, virtual: rec.VirtualSize}
	for _, p := range pages {
		r.pages = append(r.pages, rootPage{index: p.Page, id: p.ID, blocks: p.Blocks})
		r.blocks += int64(p.Blocks)
	}
	if err := r.validate(); err != nil {
		return Root{}, fmt.Errorf("writing the root of %s: %w", rec.ID, err)
	}
	b := r.encode(l.PageKey)
	s, err := l.Store.NewStream(ctx, lease, blockstore.RootFile, int64(len(b)))
	if err != nil {
		return Root{}, fmt.Errorf("writing the root of %s: %w", rec.ID, err)
	}
	err = s.Write(ctx, b)
	if err == nil {
		_, err = s.Close(ctx)
	}
	if err != nil {
		return Root{}, fmt.Errorf("writing the root of %s: %w", rec.ID, errors.Join(err, s.Abort()))
	}
	return Root{File: s.File(), Bytes: s.Size(), Blocks: r.blocks}, nil
}

// Open opens a completed snapshot for reading. It reads the root; pages are
// read when they are needed.
func (l *Library) Open(ctx context.Context, rec Record) (*Blocks, error) {
	r, err := l.readRoot(ctx, rec)
	if err != nil {
		l.damaged(ctx, rec, err)
		return nil, fmt.Errorf("opening %s, %s: %w", rec.ID, rec.Root.Name(), err)
	}
	keys, err := l.Keys(ctx, rec.Domain)
	if err != nil {
		l.damaged(ctx, rec, err)
		return nil, fmt.Errorf("opening %s: %w", rec.ID, err)
	}
	return &Blocks{lib: l, rec: rec, root: r, keys: keys, pages: cache.New[int64, *located](cachedPages)}, nil
}

// damaged tells of a snapshot, if err says that something of it is damaged. A root that was
// opened by itself says nothing of where its snapshot is.
func (l *Library) damaged(ctx context.Context, rec Record, err error) {
	if l.Damaged != nil && rec.Account != "" && ctx.Err() == nil && IsDamage(err) {
		l.Damaged(ctx, rec, err)
	}
}

// OpenRoot opens a root by its file alone, for callers that keep it alive by a
// hold: the record of its snapshot may be gone.
func (l *Library) OpenRoot(ctx context.Context, f blockstore.File) (*Blocks, error) {
	r, err := l.loneRoot(ctx, f)
	if err != nil {
		return nil, err
	}
	keys, err := l.Keys(ctx, r.domain)
	if err != nil {
		return nil, err
	}
	return &Blocks{lib: l, rec: r.record(f), root: r, keys: keys, pages: cache.New[int64, *located](cachedPages)}, nil
}

// loneRoot reads a root when only the root itself says how large the volume is.
func (l *Library) loneRoot(ctx context.Context, f blockstore.File) (*root, error) {
	head, err := l.beginning(ctx, f, maxBeginning)
	if err != nil {
		return nil, err
	}
	volume := int64(binary.LittleEndian.Uint64(head[8:])) // not trusted until the MAC has been checked, below
	if volume < 0 || volume > maxVolume {
		return nil, fmt.Errorf("%w: root of a volume of %d blocks", ErrCorrupt, volume)
	}
	return l.root(ctx, f, head, volume)
}

func (l *Library) readRoot(ctx context.Context, rec Record) (*root, error) {
	if rec.VolumeSize < 0 || rec.VolumeSize > maxVolume/block.PerGiB {
		return nil, fmt.Errorf("%w: its row says a volume of %d GiB", ErrCorrupt, rec.VolumeSize)
	}
	volume := rec.VolumeSize * block.PerGiB
	pages := min(max(rec.Blocks, 0), pagesOf(volume))
	head, err := l.beginning(ctx, rec.Root, int(min(maxRootFixed+pages*rootEntry, maxBeginning)))
	if err != nil {
		return nil, err
	}
	r, err := l.root(ctx, rec.Root, head, volume)
	if err != nil {
		return nil, err
	}
	if r.snapshot != rec.ID || r.domain != rec.Domain || r.blocks != rec.Blocks || r.virtual != rec.VirtualSize {
		return nil, fmt.Errorf("%w: its row does not fit its root, of %s in %s with %d blocks of a disk of %d bytes", ErrCorrupt, r.snapshot, r.domain, r.blocks, r.virtual)
	}
	return r, nil
}

// maxBeginning is how much of a root is read at once before it is known how long it is: all
// of it for up to 750 GiB of data. A second request to a store elsewhere would take longer.
const maxBeginning = 64 << 10

// beginning reads up to n bytes of a root, at least its head.
func (l *Library) beginning(ctx context.Context, f blockstore.File, n int) ([]byte, error) {
	b := make([]byte, n)
	n, err := l.Store.ReadUpTo(ctx, f, b, 0)
	if err == nil && n < rootHead {
		err = fmt.Errorf("%s: %w", f.Name(), blockstore.ErrTruncated)
	}
	return b[:n], err
}

// root reads and checks the root in f, which begins with head.
func (l *Library) root(ctx context.Context, f blockstore.File, head []byte, volume int64) (*root, error) {
	size, err := rootSize(head, volume)
	if err != nil {
		return nil, err
	}
	b := head[:min(size, len(head)):len(head)]
	if size > len(head) {
		b = append(make([]byte, 0, size), head...)[:size]
		if err := l.Store.ReadAt(ctx, f, b[len(head):], int64(len(head))); err != nil {
			return nil, err
		}
	}
	return parseRoot(b, l.PageKey, volume)
}

// readPage locates, reads and checks a page of a volume. A page may be moved between
// looking it up and reading it.
func (l *Library) readPage(ctx context.Context, e rootPage, volume int64) (*page, error) {
	p, err := l.findPage(ctx, e)
	if errors.Is(err, blockstore.ErrNotExist) {
		p, err = l.findPage(ctx, e)
	}
	if err != nil {
		return nil, err
	}
	if e.index*PageBlocks+int64(p.last()) >= volume {
		return nil, fmt.Errorf("%w: page %d names blocks past the volume's end", ErrCorrupt, e.index)
	}
	return p, nil
}

func (l *Library) findPage(ctx context.Context, e rootPage) (*page, error) {
	found, err := l.Index.LocatePages(ctx, []PageID{e.id})
	if err != nil {
		return nil, fmt.Errorf("locating page %d: %w", e.index, err)
	}
	at, ok := found[e.id]
	if !ok {
		return nil, fmt.Errorf("%w: page %d is not in the catalog", ErrCorrupt, e.index)
	}
	p, err := l.page(ctx, at, e.blocks)
	if err != nil {
		return nil, &PageError{Page: e.index, File: at.in(), Off: at.Off, Err: err}
	}
	return p, nil
}

// PageError reports a page that can't be read where it lies.
type PageError struct {
	Page int64 // index
	File blockstore.File
	Off  int64 // bytes
	Err  error
}

func (e *PageError) Error() string { return fmt.Sprintf("page %d: %v", e.Page, e.Err) }

// Unwrap returns why.
func (e *PageError) Unwrap() error { return e.Err }

// in returns the file that a page lies in.
func (p PagePlace) in() blockstore.File {
	return blockstore.File{ID: p.File, Kind: blockstore.PagesFile}
}

// page reads and checks the page at a place. blocks is how many it must name.
func (l *Library) page(ctx context.Context, at PagePlace, blocks int) (*page, error) {
	b := make([]byte, pageSize(blocks))
	if err := l.Store.ReadAt(ctx, at.in(), b, at.Off); err != nil {
		return nil, err
	}
	if PageID(l.PageKey.mac(b)) != at.ID {
		return nil, fmt.Errorf("%w: %s at %d does not authenticate", ErrCorrupt, at.in().Name(), at.Off)
	}
	return parsePage(b)
}
