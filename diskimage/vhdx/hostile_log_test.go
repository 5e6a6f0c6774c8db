package vhdx_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// The cases have the numbers of the catalogue of hostile images.

// A zero range of any length costs nothing, but must not touch what the log may
// not change.
func TestHugeZeroRange(t *testing.T) {
	imagetest.Volume(t)
	t.Run("79 zeros of 2^61 bytes", func(t *testing.T) {
		entry := imagetest.VHDXEntry{GUID: logGUID, Sequence: 1, Changes: []imagetest.VHDXChange{{Off: payload, Zeros: 1 << 61}}}
		image, want := logged(entry.Build())
		imagetest.Run(t, mustOpen(t, image), bytes.NewReader(make([]byte, len(want))))
	})
}

func TestLogRefused(t *testing.T) {
	one := func(c imagetest.VHDXChange) imagetest.VHDXEntry {
		return imagetest.VHDXEntry{GUID: logGUID, Sequence: 5, Changes: []imagetest.VHDXChange{c}}
	}
	good := one(imagetest.VHDXChange{Off: payload, Page: page(1)})
	torn := good.Build()
	torn[len(torn)-1]++
	flushed, last, other, forward := good, good, good, good
	flushed.Flushed, last.Last, other.GUID[0], forward.Tail = 1<<40, 1<<60, 9, 8192
	for _, c := range []struct {
		name  string
		log   []byte
		class diskimage.Class
		text  string
	}{
		{"78 all zeros", nil, diskimage.Malformed, "no whole sequence"},
		{"78 torn", torn, diskimage.Malformed, "no whole sequence"},
		{"78 another GUID", other.Build(), diskimage.Malformed, "no whole sequence"},
		{"78 tail ahead", forward.Build(), diskimage.Malformed, "no whole sequence"},
		{"78 cut object", flushed.Build(), diskimage.Truncated, "flushed file offset"},
		{"78 last offset", last.Build(), diskimage.Malformed, "last file offset"},
		{"79 into the headers", one(imagetest.VHDXChange{Off: 64 << 10, Page: page(1)}).Build(), diskimage.Malformed, "headers or the log"},
		{"79 into the log", one(imagetest.VHDXChange{Off: imagetest.VHDXLog, Page: page(1)}).Build(), diskimage.Malformed, "headers or the log"},
		{"79 zeros over all", one(imagetest.VHDXChange{Zeros: 1 << 62}).Build(), diskimage.Malformed, "headers or the log"},
		{"79 zeros over the log", one(imagetest.VHDXChange{Off: 768 << 10, Zeros: 1 << 60}).Build(), diskimage.Malformed, "headers or the log"},
		{"79 odd zeros", one(imagetest.VHDXChange{Off: payload, Zeros: 4095}).Build(), diskimage.Malformed, "whole pages"},
		{"79 odd offset", one(imagetest.VHDXChange{Off: payload + 512, Page: page(1)}).Build(), diskimage.Malformed, "whole pages"},
		{"79 offset of 2^63", one(imagetest.VHDXChange{Off: 1 << 63, Page: page(1)}).Build(), diskimage.Malformed, "past any object"},
		{"79 overflowing zeros", one(imagetest.VHDXChange{Off: 1 << 63, Zeros: 1 << 63}).Build(), diskimage.Malformed, "past any object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image, _ := logged(c.log)
			refused(t, image, c.class, c.text)
		})
	}
}

// What the log changes is checked like everything else.
func TestReplayedTablesAreChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		off   int64
		patch imagetest.Patch
		class diskimage.Class
		text  string
	}{
		{"a disk of 64 TiB", metaItems, imagetest.LE64(16, 64<<40), diskimage.Malformed, "room"},
		{"a disk of 2^63", metaItems, imagetest.LE64(16, 1<<63), diskimage.Limit, "virtual disk size"},
		{"a table over itself", imagetest.VHDXTable, imagetest.LE64(8, 6|imagetest.VHDXTable), diskimage.Malformed, "points into the"},
		{"two blocks at one place", imagetest.VHDXTable, imagetest.LE64(8, 6|4*mib), diskimage.Malformed, "overlaps"},
		{"a damaged region table", imagetest.VHDXRegions2, imagetest.LE64(8, 7), diskimage.Malformed, "neither"},
	} {
		t.Run("80 "+c.name, func(t *testing.T) {
			v, image := hostileSpec, hostile()
			page := bytes.Clone(image[c.off : c.off+4096])
			imagetest.Patches{c.patch}.Apply(page)
			changes := []imagetest.VHDXChange{{Off: uint64(c.off), Page: page}}
			if c.off == imagetest.VHDXRegions2 {
				changes = append(changes, imagetest.VHDXChange{Off: imagetest.VHDXRegions1, Zeros: 4096})
			}
			v.LogGUID = logGUID
			v.Log = imagetest.VHDXEntry{GUID: logGUID, Sequence: 1, Changes: changes}.Build()
			refused(t, v.Build(), c.class, c.text)
		})
	}
}

// An entry with an absurd field is not an entry.
func TestAbsurdEntries(t *testing.T) {
	entry := func(changes ...imagetest.Patch) []byte {
		e := imagetest.VHDXEntry{GUID: logGUID, Sequence: 5, Changes: []imagetest.VHDXChange{{Off: payload, Page: page(1)}}}.Build()
		imagetest.Patches(changes).Apply(e)
		imagetest.SumVHDX(e)
		return e
	}
	le32, le64 := imagetest.LE32, imagetest.LE64
	for name, log := range map[string][]byte{
		"length 0":             entry(le32(8, 0)),
		"length 2^32-4096":     entry(le32(8, 1<<32-4096)),
		"odd length":           entry(le32(8, 8191)),
		"2^32-1 descriptors":   entry(le32(24, math.MaxUint32)),
		"a tail inside":        entry(le32(12, 4096)),
		"an odd tail":          entry(le32(12, 100)),
		"a tail outside":       entry(le32(12, 1<<31)),
		"sequence 0":           entry(le64(16, 0)),
		"a stray descriptor":   entry(le64(64+24, 4)),
		"an unknown one":       entry(le32(64, 0x41414141)),
		"more data than there": entry(le32(24, 2), imagetest.Patch{Off: 96, Data: entry()[64:96]}),
		"2^64-1, then 0":       append(entry(le64(16, math.MaxUint64), le64(88, math.MaxUint64), le32(12, 8192)), entry(le64(16, 0))...),
	} {
		t.Run("78 "+name, func(t *testing.T) {
			image, _ := logged(log)
			refused(t, image, diskimage.Malformed, "no whole sequence")
		})
	}
}

// Of two whole sequences the one with the highest head is replayed, however long
// the other is.
func TestHighestSequenceWins(t *testing.T) {
	entry := func(seq uint64, tail uint32, b byte) []byte {
		return imagetest.VHDXEntry{GUID: logGUID, Sequence: seq, Tail: tail, Changes: []imagetest.VHDXChange{{Off: payload, Page: page(b)}}}.Build()
	}
	t.Run("81 a longer sequence before", func(t *testing.T) {
		image, want := logged(entry(1, 0, 1), entry(2, 0, 2), entry(3, 0, 3), entry(9, 3*8192, 9))
		copy(want, page(9))
		imagetest.Run(t, mustOpen(t, image), bytes.NewReader(want))
	})
}

// A log in which every sector claims to begin an entry as long as the log would
// take sums of a terabyte.
func TestOverlappingEntries(t *testing.T) {
	log := make([]byte, mib)
	for at := 0; at < len(log); at += 4096 {
		copy(log[at:], "loge")
		copy(log[at+32:], logGUID[:])
		imagetest.Patches{imagetest.LE32(int64(at)+8, mib), imagetest.LE64(int64(at)+16, 1)}.Apply(log)
	}
	image, _ := logged(log)
	refused(t, image, diskimage.Limit, "overlap too much")
}
