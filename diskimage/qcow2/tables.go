package qcow2

import (
	"encoding/binary"
	"fmt"
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
	size  int64 // of the disk, bytes

	clusters *bounded.Layout // of the L2 tables and the plain clusters
	streams  *bounded.Layout // of the clusters that compressed ones lie in
	verdicts *bounded.Verdicts

	// claimed is the least number of bytes that the clusters of the tables seen so
	// far take in the object. It exceeds the object's size only if compressed
	// clusters share their streams, which is the case only in images that were made
	// to cause much work.
	claimed atomic.Int64
}

// newTables reads the L1 table and checks that each L2 table lies in the object,
// apart from the others.
func newTables(src bounded.Source, head header, size int64, limits diskimage.Limits) (*tables, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for the layouts
	need := (size + head.span() - 1) / head.span()
	l1, err := bounded.NewTable(cache, "L1 table", int64(head.l1Offset), need, entrySize)
	if err != nil {
		return nil, err
	}
	t := &tables{
		header: head, src: src, cache: cache, l1: l1, size: size, verdicts: bounded.NewVerdicts(need),
		clusters: bounded.NewLayout(src.Size, head.cluster(), head.cluster(), limits.MetadataBytes/4),
		streams:  bounded.NewLayout(src.Size, head.cluster(), 1, limits.MetadataBytes/4),
	}
	t.clusters.Beside, t.streams.Beside = t.streams, t.clusters
	t.clusters.MayEndShort = true
	if m := t.clusters.Reserve("the header", 0, min(head.cluster(), src.Size)); m != nil {
		return nil, head.part.Fault(m.Class, "%s", m.Reason)
	}
	if m := t.clusters.Reserve("the L1 table", l1.Offset(0), need*entrySize); m != nil {
		return nil, head.fault(m.Class, "L1 offset", 40, head.l1Offset, "%s", m.Reason)
	}
	return t, t.checkL1Entries()
}

func (t *tables) checkL1Entries() error {
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
		}
	}
	return nil
}

func (t *tables) checkL1Entry(i int64, entry uint64) error {
	if entry&reservedInL1 != 0 {
		return t.l1Fault(i, entry, diskimage.Malformed, "reserved bits are set")
	}
	at := int64(entry & offsetMask)
	m := t.clusters.Take(at, t.cluster())
	if m != nil {
		return t.l1Fault(i, entry, m.Class, "%s", m.Reason)
	}
	if n := t.src.Size - at; n < t.cluster() {
		return t.l1Fault(i, entry, diskimage.Truncated, "the table has %d bytes, of which the object has %d", t.cluster(), n)
	}
	return nil
}

// l2 returns where L2 table i begins in the object; 0 when there is none, and then
// how many tables from i on, below end, are absent.
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

// load returns the entries of L2 table i, at an offset, which are checked when
// they are seen first.
func (t *tables) load(i, at int64) ([]byte, error) {
	entries, err := t.cache.Get("L2 table", at, t.cluster())
	if err != nil {
		return nil, err
	}
	if !t.verdicts.Passed(i) {
		if err := t.verdicts.Check(i, func() error { return t.check(i, at, entries) }); err != nil {
			return nil, err
		}
	}
	if n := t.claimed.Load(); n > t.src.Size+t.cluster() { // the last cluster may be cut
		return nil, t.src.NewPart(l2Name(i), at, nil).Fault(diskimage.Limit,
			"amplification: the clusters so far take %d bytes at least, the object has %d", n, t.src.Size)
	}
	return entries, nil
}

// check checks where the clusters of L2 table i, at an offset, lie. The object may
// end in the last one, of which old writers leave out zeros. The rest of an entry
// is checked when it is used.
func (t *tables) check(i, at int64, entries []byte) error {
	sum, step := int64(0), t.l2Entry()
	left := (t.size - i*t.span() + t.cluster() - 1) / t.cluster() // entries that the disk has
	for k := int64(0); k < left && k*step < int64(len(entries)); k++ {
		e := binary.BigEndian.Uint64(entries[k*step:])
		if e == 0 {
			continue
		}
		var m *bounded.Misfit
		switch off := int64(e & offsetMask); {
		case e&compressBit != 0:
			sum += t.minStream()
			m = t.streams.Share(t.stream(e))
		case off != 0 && e&(reservedInL2|zeroBit) == 0 && !t.holdsNothing(entries[k*step:]):
			sum += t.cluster()
			m = t.clusters.Take(off, min(t.cluster(), t.size-i*t.span()-k*t.cluster()))
		}
		if m != nil {
			if own := t.naming(at, entries); own >= 0 {
				return t.l2Fault(i, at, own, binary.BigEndian.Uint64(entries[own*step:]), diskimage.Malformed, "names the table that it is in")
			}
			return t.l2Fault(i, at, k, e, m.Class, "%s", m.Reason)
		}
	}
	t.claimed.Add(sum)
	return nil
}

// naming returns which entry of a damaged table names the table itself, which is
// the best description of the damage; -1 when none does.
func (t *tables) naming(at int64, entries []byte) int64 {
	step := t.l2Entry()
	for k := int64(0); k*step < int64(len(entries)); k++ {
		if e := binary.BigEndian.Uint64(entries[k*step:]); e&compressBit == 0 && int64(e&offsetMask) == at {
			return k
		}
	}
	return -1
}

// stream returns the offset that the entry of a compressed cluster names.
func (t *tables) stream(entry uint64) int64 { return int64(entry & (1<<(70-t.clusterBits) - 1)) }

// holdsNothing reports whether an extended entry is that of a cluster none of
// whose sub-clusters is stored.
func (t *tables) holdsNothing(entry []byte) bool {
	return t.extended() && binary.BigEndian.Uint32(entry[entrySize+4:]) == 0
}

// l2Fault reports entry k of L2 table i, at an offset.
func (t *tables) l2Fault(i, at, k int64, entry uint64, c diskimage.Class, reason string, args ...any) error {
	field := bounded.Field{Name: fmt.Sprintf("entry %d", k), At: k * t.l2Entry(), Value: entry}
	return t.src.NewPart(l2Name(i), at, nil).FieldFault(c, field, reason, args...)
}

// minStream is the least number of bytes that a cluster compresses to: DEFLATE
// expands a byte to 1032 at most; zstd takes 6 bytes for the frame, and 4 for 128
// KiB of equal bytes.
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
