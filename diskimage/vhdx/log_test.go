package vhdx_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

var logGUID = [16]byte(imagetest.GUID("11111111-2222-3333-4444-555555555555"))

// logged returns an image with a log of entries, and its contents without the
// log: three blocks of 1 MiB, the second absent.
func logged(log ...[]byte) (image, want []byte) {
	want = make([]byte, 3*mib)
	copy(want, imagetest.Mixed(64<<10, 2))
	v := imagetest.VHDX{Size: 3 * mib, BlockSize: mib, Blocks: map[int64][]byte{0: want[:mib], 2: nil}}
	v.LogGUID = logGUID
	v.Log = slices.Concat(log...)
	return v.Build(), want
}

func page(b byte) []byte { return bytes.Repeat([]byte{b, ^b, 3, b}, 1024) }

const payload = imagetest.VHDXTable + mib // of block 0

func TestReplay(t *testing.T) {
	at := uint32(0)
	put := func(seq uint64, tail uint32, changes ...imagetest.VHDXChange) []byte {
		e := imagetest.VHDXEntry{GUID: logGUID, Sequence: seq, Tail: tail, Changes: changes}.Build()
		at += uint32(len(e))
		return e
	}
	stale := put(3, 0, imagetest.VHDXChange{Off: payload, Page: page(0xee)})
	tail := at
	first := put(7, tail,
		imagetest.VHDXChange{Off: payload + 4096, Page: page(1)},
		imagetest.VHDXChange{Off: payload + 8192, Page: page(2)},
		imagetest.VHDXChange{Off: payload + 5*4096, Zeros: 4 * 4096})
	second := put(8, tail,
		imagetest.VHDXChange{Off: payload + 4096, Page: page(3)}, // over the first's
		imagetest.VHDXChange{Off: payload + 6*4096, Page: page(4)},
		imagetest.VHDXChange{Off: payload + 8192, Zeros: 4096})
	image, want := logged(stale, first, second)
	copy(want[4096:], page(3))
	clear(want[8192:12288])
	clear(want[5*4096 : 9*4096])
	copy(want[6*4096:], page(4))
	d := mustOpen(t, image)
	imagetest.Run(t, d, bytes.NewReader(want))
	if w := d.Describe().Warnings; len(w) != 1 {
		t.Errorf("warnings: got %q, want one", w)
	}
}

// The log moves block 1 to a new place behind the object's end, and a page of
// it is in the log too.
func TestReplayOfTables(t *testing.T) {
	image, want := logged()
	end := uint64(len(image))
	table := bytes.Clone(image[imagetest.VHDXTable : imagetest.VHDXTable+4096])
	copy(table[8:], []byte{6, 0, byte(end >> 16), byte(end >> 24), 0, 0, 0, 0})
	entry := imagetest.VHDXEntry{GUID: logGUID, Sequence: 1, Flushed: end, Last: end + mib, Changes: []imagetest.VHDXChange{
		{Off: imagetest.VHDXTable, Page: table},
		{Off: end + 8192, Page: page(9)},
	}}
	copy(image[imagetest.VHDXLog:], entry.Build())
	copy(want[mib+8192:], page(9))
	imagetest.Run(t, mustOpen(t, image), bytes.NewReader(want))
}

func TestRingWraps(t *testing.T) {
	changes := func(b byte) []imagetest.VHDXChange {
		return []imagetest.VHDXChange{{Off: payload + 4096*uint64(b), Page: page(b)}, {Off: payload + 4096*uint64(b+1), Page: page(b + 1)}}
	}
	tail := uint32(mib - 2*4096)
	first := imagetest.VHDXEntry{GUID: logGUID, Sequence: 1 << 40, Tail: tail, Changes: changes(1)}.Build()    // 3 sectors
	second := imagetest.VHDXEntry{GUID: logGUID, Sequence: 1<<40 + 1, Tail: tail, Changes: changes(5)}.Build() // at sector 1
	log := make([]byte, mib)
	copy(log[tail:], first)
	copy(log, first[2*4096:])
	copy(log[4096:], second)
	image, want := logged(log)
	for _, b := range []byte{1, 2, 5, 6} {
		copy(want[4096*int(b):], page(b))
	}
	imagetest.Run(t, mustOpen(t, image), bytes.NewReader(want))
}
