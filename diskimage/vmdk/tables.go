package vmdk

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// batchBytes is how much of the grain tables is read at once where they lie one
// after the other, as in images whose tables were made in advance: 128 tables,
// which map 4 GiB. A scattered table is a read of its own.
const batchBytes = 256 << 10

// tableList is a grain directory with the grain tables that it lists.
type tableList struct {
	*bounded.Table
	cache   *bounded.Cache
	bytes   int64  // of a table
	batch   int64  // tables
	batched bitset // the batches whose tables lie one after the other
}

func newTableList(t *bounded.Table, cache *bounded.Cache, tableBytes int64) *tableList {
	batch := batchBytes / tableBytes
	return &tableList{t, cache, tableBytes, batch, newBitset((t.Count() + batch - 1) / batch)}
}

// sector returns entry i: the sector of table i, or 0.
func (l *tableList) sector(i int64) (uint32, error) {
	page, err := l.From(i)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(page), nil
}

// findBatches walks the directory once. misplaced says why no table can be at a
// sector; empty if one can.
func (l *tableList) findBatches(misplaced func(at uint32) string) error {
	var first uint32
	row := false // the batch's tables are in a row so far
	step := uint32(l.bytes / sector)
	for i := int64(0); i < l.Count(); {
		page, err := l.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			at := binary.LittleEndian.Uint32(page)
			k := i % l.batch
			if k == 0 {
				first, row = at, true
			}
			row = row && at == first+uint32(k)*step && misplaced(at) == ""
			if row && (k == l.batch-1 || i == l.Count()-1) {
				l.batched.set(i / l.batch)
			}
		}
	}
	return nil
}

// table reads table i, which is at a sector, with its neighbours where they lie
// together.
func (l *tableList) table(i int64, at uint32) ([]byte, error) {
	off := int64(at) * sector
	if !l.batched.has(i / l.batch) {
		return l.cache.Get("grain table", off, l.bytes)
	}
	first := i / l.batch * l.batch
	n := min(l.batch, l.Count()-first)
	tables, err := l.cache.Get("grain tables", off-(i-first)*l.bytes, n*l.bytes)
	if err != nil {
		return nil, err
	}
	return tables[(i-first)*l.bytes:][:l.bytes], nil
}

// bitset is a set of numbers for concurrent use.
type bitset []atomic.Uint64

func newBitset(n int64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int64) bool { return b[i/64].Load()>>(i%64)&1 == 1 }

// set adds i and reports whether it is new.
func (b bitset) set(i int64) bool { return b[i/64].Or(1<<(i%64))>>(i%64)&1 == 0 }
