package qed

import (
	"encoding/binary"
	"fmt"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// maxPage is how much of an L2 table, which may be 1 GiB, is read at once.
const maxPage = 1 << 20

// clusterFinder finds the clusters of a disk.
type clusterFinder struct {
	header
	src   bounded.Source
	cache *bounded.Cache
	l1    *bounded.Table
	size  int64 // of the disk, bytes
	page  int64 // bytes of an L2 table that are read at once

	layout *bounded.Layout
	pages  *bounded.Verdicts
}

// newClusterFinder reads the L1 table and checks that each L2 table lies in the
// object, apart from the others.
func newClusterFinder(src bounded.Source, head header, size int64, limits diskimage.Limits) (*clusterFinder, error) {
	cache := bounded.NewCache(src, limits.MetadataBytes/2) // the other half is for the layout
	l1, err := bounded.NewTable(cache, "L1 table", int64(head.l1Offset), head.tables(size), entrySize)
	if err != nil {
		return nil, err
	}
	f := &clusterFinder{
		header: head, src: src, cache: cache, l1: l1, size: size,
		page:   min(head.table(), maxPage),
		layout: bounded.NewLayout(src.Size, head.cluster(), head.cluster(), limits.MetadataBytes/2),
	}
	f.pages = bounded.NewVerdicts(head.tables(size) * (head.table() / f.page))
	if m := f.layout.Reserve("the header", 0, head.head()); m != nil {
		return nil, head.fault(m.Class, "header size", 12, uint64(head.headClusters), "%s", m.Reason)
	}
	if m := f.layout.Reserve("the L1 table", int64(head.l1Offset), l1.Count()*entrySize); m != nil {
		return nil, head.fault(m.Class, "L1 offset", 40, head.l1Offset, "%s", m.Reason)
	}
	return f, f.checkL1()
}

func (f *clusterFinder) checkL1() error {
	for i := int64(0); i < f.l1.Count(); {
		page, err := f.l1.From(i)
		if err != nil {
			return err
		}
		for ; len(page) > 0; page, i = page[entrySize:], i+1 {
			at := binary.LittleEndian.Uint64(page)
			if at == 0 {
				continue
			}
			if err := f.checkL1Entry(i, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkL1Entry gives an L2 table its clusters.
func (f *clusterFinder) checkL1Entry(i int64, at uint64) error {
	for off := int64(0); off < f.table(); off += f.cluster() {
		if m := f.layout.Take(place(at)+off, f.cluster()); m != nil {
			field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: at}
			return f.src.NewPart("L1 table", f.l1.Offset(0), nil).FieldFault(m.Class, field, "%s", m.Reason)
		}
	}
	return nil
}

// place returns the offset that an entry names, or one beyond all objects if no
// object can reach it.
func place(entry uint64) int64 { return int64(min(entry, 1<<62)) }

// Find implements blockmap.Finder.
func (f *clusterFinder) Find(off, end int64) (diskimage.Run, error) {
	t := off / f.span()
	l1, err := f.l1.From(t)
	if err != nil {
		return diskimage.Run{}, err
	}
	at := int64(binary.LittleEndian.Uint64(l1))
	if at == 0 {
		n := stretch(l1, 0, (end+f.span()-1)/f.span()-t)
		return diskimage.Run{Off: t * f.span(), Len: min(n*f.span(), f.size-t*f.span())}, nil
	}
	i := off % f.span() / f.cluster()
	entries, err := f.load(t, at, i)
	if err != nil {
		return diskimage.Run{}, err
	}
	run := diskimage.Run{Off: t*f.span() + i*f.cluster()}
	entry, step := binary.LittleEndian.Uint64(entries), uint64(0)
	switch entry {
	case 0:
	case 1:
		run.Kind = diskimage.Zero
	default:
		run.Kind, run.Src, run.SrcOff, step = diskimage.Data, f.src.R, int64(entry), uint64(f.cluster())
	}
	n := stretch(entries, step, (end-run.Off+f.cluster()-1)/f.cluster())
	run.Len = min(n*f.cluster(), f.size-run.Off)
	if run.Kind == diskimage.Data {
		run.SrcLen = run.Len
	}
	return run, nil
}

// load returns the entries of L2 table t, at an offset, from i to the end of a
// page, which is checked when it is seen first.
func (f *clusterFinder) load(t, at, i int64) ([]byte, error) {
	number := i * entrySize / f.page // of the page, in the table
	page, err := f.cache.Get("L2 table", at+number*f.page, f.page)
	if err != nil {
		return nil, err
	}
	if k := t*(f.table()/f.page) + number; !f.pages.Passed(k) {
		first := number * f.page / entrySize
		if err := f.pages.Check(k, func() error { return f.checkPage(page, t, at, first) }); err != nil {
			return nil, err
		}
	}
	return page[i*entrySize-number*f.page:], nil
}

// checkPage checks the entries of a page of L2 table t, at an offset, of which the
// first has a number. No writer stores part of a cluster.
func (f *clusterFinder) checkPage(entries []byte, t, at, first int64) error {
	left := (f.size - t*f.span() + f.cluster() - 1) / f.cluster() // entries of the table that the disk has
	for i := first; len(entries) > 0 && i < left; entries, i = entries[entrySize:], i+1 {
		entry := binary.LittleEndian.Uint64(entries)
		if entry <= 1 {
			continue
		}
		if m := f.layout.Take(place(entry), f.cluster()); m != nil {
			field := bounded.Field{Name: fmt.Sprintf("entry %d", i), At: i * entrySize, Value: entry}
			return f.src.NewPart(l2Name(t), at, nil).FieldFault(m.Class, field, "%s", m.Reason)
		}
	}
	return nil
}

func l2Name(t int64) string { return fmt.Sprintf("L2 table %d", t) }

// stretch counts the entries at the start of page, up to limit, of which each is
// the one before plus step.
func stretch(page []byte, step uint64, limit int64) int64 {
	limit = min(limit, int64(len(page))/entrySize)
	want := binary.LittleEndian.Uint64(page)
	n := int64(1)
	for ; n < limit; n++ {
		if want += step; binary.LittleEndian.Uint64(page[n*entrySize:]) != want {
			break
		}
	}
	return n
}
