package qcow2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// Bits of table entries.
const (
	offsetMask   uint64 = 1<<56 - 1<<9
	copiedBit    uint64 = 1 << 63
	compressBit  uint64 = 1 << 62
	zeroBit      uint64 = 1
	reservedInL1        = ^(offsetMask | copiedBit)
	reservedInL2        = ^(offsetMask | copiedBit | compressBit | zeroBit)
)

// tables are the L1 table, checked, and the L2 tables, cached.
type tables struct {
	header
	src   bounded.Source
	cache *bounded.Cache
	l1    *bounded.Table
	size  int64   // of the disk, bytes
	used  []int64 // offsets of the L2 tables, ascending

	// claimed is the least bytes that the clusters of the tables seen so far
	// take in the object. Clusters are apart, so that is no more than it has,
	// unless the image was made to be much work.
	seen    bounded.Bitset
	claimed atomic.Int64
}

// newTables reads the L1 table and checks that each L2 table lies in the object,
// apart from the others.
func newTables(src bounded.Source, head header, size int64, limits diskimage.Limits) (*tables, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for used
	need := (size + head.span() - 1) / head.span()
	l1, err := bounded.NewTable(cache, "L1 table", int64(head.l1Offset), need, entrySize)
	if err != nil {
		return nil, err
	}
	t := &tables{header: head, src: src, cache: cache, l1: l1, size: size, seen: bounded.NewBitset(need)}
	return t, t.checkL1Entries(limits.MetadataBytes / 2)
}

func (t *tables) checkL1Entries(budget int64) error {
	for i := int64(0); i < t.l1.Count(); {
		page, err := t.l1.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			entry := binary.BigEndian.Uint64(page)
			if entry&^copiedBit == 0 {
				continue
			}
			if err := t.checkL1Entry(i, entry); err != nil {
				return err
			}
			t.used = append(t.used, int64(entry&offsetMask))
			if n := int64(len(t.used)); n > t.src.Size/t.cluster() {
				return t.l1Fault(i, entry, diskimage.Malformed, "more L2 tables than the object has room for")
			} else if n*8 > budget {
				return t.l1Fault(i, entry, diskimage.Limit, "%d L2 tables take more than %d bytes to keep apart", n, budget)
			}
		}
	}
	slices.Sort(t.used)
	for i := 1; i < len(t.used); i++ {
		if t.used[i] == t.used[i-1] {
			return t.src.NewPart("L2 table", t.used[i], nil).Fault(diskimage.Malformed, "two L1 entries point at it")
		}
	}
	return nil
}

func (t *tables) checkL1Entry(i int64, entry uint64) error {
	at := int64(entry & offsetMask)
	switch {
	case entry&reservedInL1 != 0:
		return t.l1Fault(i, entry, diskimage.Malformed, "reserved bits are set")
	case at%t.cluster() != 0:
		return t.l1Fault(i, entry, diskimage.Malformed, "not a multiple of the cluster size %d", t.cluster())
	case at > t.src.Size-t.cluster():
		return t.l1Fault(i, entry, diskimage.Truncated, "the table ends past the end of the object (%#x)", t.src.Size)
	case t.overHead(at, at+t.cluster()):
		return t.l1Fault(i, entry, diskimage.Malformed, "points into the header or the L1 table")
	}
	return nil
}

// overHead reports whether a range of the object touches the header or the L1
// table.
func (t *tables) overHead(off, end int64) bool {
	l1 := t.l1.Offset(0)
	return off < t.cluster() || off < l1+t.l1.Count()*entrySize && l1 < end
}

// overMetadata reports whether a range of the object touches any structure that
// is known.
func (t *tables) overMetadata(off, end int64) bool {
	i, _ := slices.BinarySearch(t.used, off-t.cluster()+1)
	return i < len(t.used) && t.used[i] < end || t.overHead(off, end)
}

// l2 returns where L2 table i begins in the object; 0 when there is none, and
// then how many tables from i on, below end, there are none of.
func (t *tables) l2(i, end int64) (at, absent int64, err error) {
	page, err := t.l1.From(i)
	if err != nil {
		return 0, 0, err
	}
	if at = int64(binary.BigEndian.Uint64(page) & offsetMask); at != 0 {
		return at, 0, nil
	}
	for absent = 1; i+absent < end && absent*entrySize < int64(len(page)); absent++ {
		if binary.BigEndian.Uint64(page[absent*entrySize:])&offsetMask != 0 {
			break
		}
	}
	return 0, absent, nil
}

// load returns the entries of L2 table i, at an offset, and counts what they
// claim when they are seen first.
func (t *tables) load(i, at int64) ([]byte, error) {
	entries, err := t.cache.Get("L2 table", at, t.cluster())
	if err != nil {
		return nil, err
	}
	if !t.seen.Has(i) && t.seen.Add(i) {
		t.claimed.Add(t.claim(entries, t.size-i*t.span()))
	}
	if n := t.claimed.Load(); n > t.src.Size+t.cluster() { // the last cluster may be cut
		return nil, t.src.NewPart(l2Name(i), at, nil).Fault(diskimage.Limit,
			"amplification: the clusters so far take %d bytes at least, the object has %d", n, t.src.Size)
	}
	return entries, nil
}

// claim returns the least bytes that the clusters of a table take, of which n
// bytes of the disk are left.
func (t *tables) claim(entries []byte, n int64) int64 {
	sum, step := int64(0), t.l2Entry()
	for ; len(entries) > 0 && n > 0; entries, n = entries[step:], n-t.cluster() {
		e := binary.BigEndian.Uint64(entries)
		switch {
		case e&compressBit != 0:
			sum += t.minStream()
		case e&offsetMask != 0 && e&zeroBit == 0:
			sum += t.cluster()
		}
	}
	return sum
}

// minStream is the least bytes that a cluster compresses to: DEFLATE makes of a
// byte 1032 at most; zstd has 6 bytes of frame, and 4 for 128 KiB of the same.
func (t *tables) minStream() int64 {
	if t.compression == zstandard {
		return 6 + 4*((t.cluster()+1<<17-1)>>17)
	}
	return max(1, t.cluster()/1032)
}

func (t *tables) l1Fault(i int64, entry uint64, c diskimage.Class, reason string, args ...any) error {
	field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: entry}
	return t.src.NewPart("L1 table", t.l1.Offset(0), nil).FieldFault(c, field, reason, args...)
}

func l2Name(i int64) string { return fmt.Sprintf("L2 table %d", i) }
