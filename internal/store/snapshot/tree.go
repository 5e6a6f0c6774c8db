package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// Tree is a root by itself, with what is under it: for those who check the store, or
// make its index anew. No key of a domain is needed.
type Tree struct {
	lib  *Library
	root *root
	file blockstore.File
}

// ReadTree reads a root by its file alone.
func (l *Library) ReadTree(ctx context.Context, f blockstore.File) (*Tree, error) {
	r, err := l.loneRoot(ctx, f)
	if err != nil {
		return nil, err
	}
	return &Tree{l, r, f}, nil
}

// Record returns what a root says of its snapshot, which is all that its blocks are read by.
func (t *Tree) Record() Record { return t.root.record(t.file) }

// Bytes returns how long the root is.
func (t *Tree) Bytes() int64 { return t.root.size() }

// Pages returns the ids of the pages under the root, ascending by their places.
func (t *Tree) Pages() []PageID {
	ids := make([]PageID, len(t.root.pages))
	for i, p := range t.root.pages {
		ids[i] = p.id
	}
	return ids
}

// TreePage is a page under a root as it was found.
type TreePage struct {
	Page   int64 // index
	ID     PageID
	Count  int     // blocks that the root says it names
	Blocks []Block // none if it can't be read
	Err    error   // why
}

// Walk calls fn with every page, ascending, also those that can't be read. An error of fn
// ends it and is returned.
func (t *Tree) Walk(ctx context.Context, fn func(TreePage) error) error {
	for _, e := range t.root.pages {
		out := TreePage{Page: e.index, ID: e.id, Count: e.blocks}
		p, err := t.lib.readPage(ctx, e, t.root.volume)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if out.Err = err; err == nil {
			for i, rank := range p.from(0) {
				out.Blocks = append(out.Blocks, Block{e.index*PageBlocks + int64(i), p.ids[rank]})
			}
		}
		if err := fn(out); err != nil {
			return err
		}
	}
	return nil
}

// record returns what a root says of its snapshot.
func (r *root) record(f blockstore.File) Record {
	return Record{ID: r.snapshot, Domain: r.domain, VolumeSize: r.volume / block.PerGiB, VirtualSize: r.virtual, Blocks: r.blocks, Root: f}
}

// size returns the bytes of a root.
func (r *root) size() int64 {
	return int64(rootHead + len(r.snapshot) + len(r.domain) + len(r.pages)*rootEntry + macSize)
}

// ParsePage parses the page that b begins with, of a pages file, and returns where it lies
// in b (Len), how many blocks it names, and the ID that its bytes have. An error wraps
// ErrCorrupt; whether there should be such a page is known to roots alone.
func (l *Library) ParsePage(b []byte) (PagePlace, error) {
	n, err := pageLength(b)
	if err != nil {
		return PagePlace{}, err
	}
	if n > len(b) {
		return PagePlace{}, fmt.Errorf("%w: a page of %d bytes, of which %d are there", ErrCorrupt, n, len(b))
	}
	p, err := parsePage(b[:n])
	if err != nil {
		return PagePlace{}, err
	}
	return PagePlace{ID: PageID(l.PageKey.mac(b[:n])), Len: int64(n), Blocks: len(p.ids)}, nil
}

// pageLength returns how long the page that b begins with says it is.
func pageLength(b []byte) (int, error) {
	if len(b) < offIDs || string(b[:4]) != pageMagic {
		return 0, fmt.Errorf("%w: no page", ErrCorrupt)
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if n < 1 || n > PageBlocks {
		return 0, fmt.Errorf("%w: a page of %d blocks", ErrCorrupt, n)
	}
	return pageSize(n), nil
}

// MaxPageBytes is how long a page is at most.
const MaxPageBytes = offIDs + PageBlocks*idSize

// Mismatch returns an error that wraps ErrCorrupt if a snapshot's row does not say what its
// root says, else nil.
func (t *Tree) Mismatch(rec Record) error {
	var wrong []string
	for _, c := range []struct {
		what      string
		row, root any
	}{
		{"id", rec.ID, t.root.snapshot},
		{"domain", rec.Domain, t.root.domain},
		{"size of the volume in GiB", rec.VolumeSize, t.root.volume / block.PerGiB},
		{"size of the disk", rec.VirtualSize, t.root.virtual},
		{"number of blocks", rec.Blocks, t.root.blocks},
	} {
		if c.row != c.root {
			wrong = append(wrong, fmt.Sprintf("its row has %v as %s, its root %v", c.row, c.what, c.root))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrCorrupt, strings.Join(wrong, "; "))
}
