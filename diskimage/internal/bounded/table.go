package bounded

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A page is 1 MiB: one ranged read from an object store costs about as much as
// a smaller one, and a page maps 256 GiB of a dynamic VHD.
const maxPage = 1 << 20

// Table is an array of fixed-size entries in a source, read in pages on demand.
type Table struct {
	cache *Cache
	name  string
	off   int64
	count int64
	entry int64
	page  int64 // bytes
}

// NewTable describes count entries of entry bytes (a power of two) at off, and
// refuses a table that does not lie in the object. It reads nothing.
func NewTable(c *Cache, name string, off, count, entry int64) (*Table, error) {
	// Comparing counts avoids an overflow.
	if count > c.src.Size/entry {
		count = c.src.Size/entry + 1
	}
	if err := c.src.Check(name, off, count*entry); err != nil {
		return nil, err
	}
	return &Table{cache: c, name: name, off: off, count: count, entry: entry, page: pageSize(c.budget)}, nil
}

// pageSize is the largest power of two that lets four pages live in the budget.
func pageSize(budget int64) int64 {
	largest := int64(1) << (bits.Len64(uint64(max(budget/4, 512))) - 1)
	return min(largest, maxPage)
}

// Count returns the number of entries.
func (t *Table) Count() int64 { return t.count }

// Offset returns where entry i lies in the object.
func (t *Table) Offset(i int64) int64 { return t.off + i*t.entry }

// From returns the entries from i to the end of i's page as raw bytes, shared
// and read-only; 0 <= i < Count. Scanning them costs no further look-up.
func (t *Table) From(i int64) ([]byte, error) {
	page, _, err := t.load(i)
	return page, err
}

// Zeros returns how many entries from i to the end of i's page are there when the
// whole page is zeros, and 0 otherwise: a way to pass over the tables of an empty
// disk without looking at entries.
func (t *Table) Zeros(i int64) (n int64, err error) {
	page, zero, err := t.load(i)
	if err != nil || !zero {
		return 0, err
	}
	return int64(len(page)) / t.entry, nil
}

// load returns the bytes of i's page from i on, and whether the page is zeros.
func (t *Table) load(i int64) (p []byte, zero bool, err error) {
	at := i * t.entry
	start := at &^ (t.page - 1)
	n := min(t.page, t.count*t.entry-start)
	l, err := t.cache.get(t.name, piece{t.off + start, n})
	if err != nil {
		return nil, false, err
	}
	return l.data[at-start:], l.zero, nil
}

// StretchLE32 counts the little-endian entries of 4 bytes at the start of page of
// which each is the one before plus step: at least one, and at most limit.
func StretchLE32(page []byte, step uint32, limit int64) int64 {
	limit = max(1, min(limit, int64(len(page))/4))
	if step == 0 && bytes.Equal(page[4:limit*4], page[:limit*4-4]) {
		return limit // at memory speed: most of a table is like that, or nothing
	}
	want := binary.LittleEndian.Uint32(page)
	n := int64(1)
	for ; n < limit; n++ {
		if want += step; binary.LittleEndian.Uint32(page[n*4:]) != want {
			break
		}
	}
	return n
}
