package torture

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pageBytes is what a disk writes as a whole.
const pageBytes = 4096

// lostDisk is a file system as a power cut may leave it: what was synced is there, and of
// what was not, anything.
//
// A file has what was synced, and changes since, in pieces of a page. Of a page's changes
// some may have come to the disk, but none before an earlier one: the cache has one state of
// each page. Names are apart: syncing a file does not keep its name, syncing its folder
// does. A rename is atomic, since every journal has it so.
type lostDisk struct {
	root    string
	names   map[string]*node // as programs saw them
	kept    map[string]*node // that were synced
	changes []change         // of names, since
}

// node is a file or folder.
type node struct {
	folder bool
	size   int64 // synced, in bytes
	pages  map[int64][]byte
	pieces []piece // since
}

// piece is a change of a file: of a page, or its size.
type piece struct {
	end    int64 // place in the recording
	page   int64 // -1: it sets the size
	off    int   // within the page
	data   []byte
	size   int64
	shrink bool
}

// change is a change of names: what is gone, and what is there instead.
type change struct {
	end      int64
	from, to string // either may be empty
	node     *node
}

func newLostDisk(root string) *lostDisk {
	d := &lostDisk{root: root, names: map[string]*node{}, kept: map[string]*node{}}
	d.names[root] = &node{folder: true}
	d.kept[root] = d.names[root]
	return d
}

// apply has an event happen.
func (d *lostDisk) apply(e event) error {
	n := d.names[e.path]
	switch e.call {
	case "open", "openat":
		if n == nil {
			n = &node{pages: map[int64][]byte{}}
			d.rename(e, change{to: e.path, node: n})
		}
		if strings.Contains(e.flags, "O_TRUNC") {
			n.pieces = append(n.pieces, piece{end: e.end, page: -1, shrink: true})
		}
	case "mkdir", "mkdirat":
		d.rename(e, change{to: e.path, node: &node{folder: true}})
	case "rename", "renameat":
		d.rename(e, change{from: e.path, to: e.to, node: n})
	case "linkat":
		d.rename(e, change{to: e.to, node: n})
	case "unlink", "unlinkat":
		d.rename(e, change{from: e.path})
	case "write", "pwrite64", "pwritev", "ftruncate", "fallocate":
		if n != nil { // else it has no name any more
			n.write(e)
		}
	case "fsync", "fdatasync":
		if n != nil {
			d.sync(e, n)
		}
	default:
		return errors.New("an event that is not known here: " + e.call)
	}
	return nil
}

func (d *lostDisk) rename(e event, c change) {
	c.end = e.end
	c.do(d.names)
	d.changes = append(d.changes, c)
}

func (c change) do(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// write notes what a call did to a file.
func (n *node) write(e event) {
	switch e.call {
	case "ftruncate":
		n.pieces = append(n.pieces, piece{end: e.end, page: -1, size: e.size, shrink: true})
		return
	case "fallocate":
		n.pieces = append(n.pieces, piece{end: e.end, page: -1, size: e.size})
		return
	}
	for off, data := e.off, e.data; len(data) > 0; {
		at := int(off % pageBytes)
		some := data[:min(len(data), pageBytes-at)]
		n.pieces = append(n.pieces, piece{end: e.end, page: off / pageBytes, off: at, data: some})
		off, data = off+int64(len(some)), data[len(some):]
	}
}

// sync makes durable what was there when the call began.
func (d *lostDisk) sync(e event, n *node) {
	if n.folder {
		d.changes = slices.DeleteFunc(d.changes, func(c change) bool {
			in := c.from != "" && filepath.Dir(c.from) == e.path || c.to != "" && filepath.Dir(c.to) == e.path
			if in && c.end <= e.begin {
				c.do(d.kept)
				return true
			}
			return false
		})
		return
	}
	n.pieces = slices.DeleteFunc(n.pieces, func(p piece) bool {
		if p.end <= e.begin {
			n.size = p.do(n.pages, n.size)
			return true
		}
		return false
	})
}

// do changes pages, which are shared: each is copied first.
func (p piece) do(pages map[int64][]byte, size int64) int64 {
	if p.page < 0 {
		if !p.shrink {
			return max(size, p.size)
		}
		for i, old := range pages {
			switch left := p.size - i*pageBytes; {
			case left <= 0:
				delete(pages, i)
			case left < pageBytes:
				page := slices.Clone(old)
				clear(page[left:])
				pages[i] = page
			}
		}
		return p.size
	}
	page := make([]byte, pageBytes)
	copy(page, pages[p.page])
	copy(page[p.off:], p.data)
	pages[p.page] = page
	return max(size, p.page*pageBytes+int64(p.off+len(p.data)))
}

// fate is how a cut treats what was not synced.
type fate struct {
	name string
	// keep is the part of the changes to files that are there all the same.
	keep float64
	// ordered keeps changes of names up to some moment, as a journal does, otherwise any
	// of them; all keeps all.
	ordered, all bool
}

var fates = []fate{
	{"nothing unsynced is there", 0, true, false},
	{"everything is there", 1, true, true},
	{"names as a journal has them, half of the pages", 0.5, true, false},
	{"all names, no pages", 0, true, true},
	{"any names, most pages", 0.9, false, false},
	{"any names, no pages", 0, false, false},
}

// lay makes the folder to as the disk may be found after a cut.
func (d *lostDisk) lay(to string, f fate, rng *rand.Rand) error {
	names := maps.Clone(d.kept)
	first := len(d.changes)
	if !f.all {
		first = rng.IntN(len(d.changes) + 1)
	}
	if f.keep == 0 && !f.all && f.ordered {
		first = 0
	}
	for i, c := range d.changes {
		if f.ordered && i < first || !f.ordered && rng.IntN(2) == 0 {
			c.do(names)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		if path != d.root {
			if parent := names[filepath.Dir(path)]; parent == nil || !parent.folder {
				delete(names, path) // nobody comes there
				continue
			}
		}
		name := filepath.Join(to, strings.TrimPrefix(path, d.root))
		var err error
		if names[path].folder {
			err = os.MkdirAll(name, 0o700)
		} else {
			err = names[path].lay(name, f.keep, rng)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *node) lay(name string, keep float64, rng *rand.Rand) error {
	pages, size := maps.Clone(n.pages), n.size
	lost := map[int64]bool{} // a page of which a change did not come to the disk
	for _, p := range n.pieces {
		if lost[p.page] || rng.Float64() >= keep {
			lost[p.page] = p.page >= 0
			continue
		}
		size = p.do(pages, size)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for i, page := range pages {
		if _, err := f.WriteAt(page, i*pageBytes); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Truncate(size), f.Close())
}
