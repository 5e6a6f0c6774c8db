package vhdx_test

import (
	"slices"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhdx"
)

// pieces are the parts of an image that a fuzzer changes; between them are only
// megabytes of zeros. sum is how many bytes from the piece's start a checksum
// covers.
var pieces = []struct{ off, n, sum int }{
	{0, 16, 0},
	{imagetest.VHDXHeader1, 80, 4096},
	{imagetest.VHDXRegions1, 112, 64 << 10},
	{imagetest.VHDXLog, 8192, 0},
	{imagetest.VHDXMetadata, 192, 0},
	{imagetest.VHDXMetadata + 64<<10, 96, 0},
	{imagetest.VHDXTable, 64, 0},
	{imagetest.VHDXTable + 1<<20, 8192, 0}, // payload
}

const piecesSize = imagetest.VHDXTable + 3<<20

// shrink returns the pieces of an image, expand an image of pieces.
func shrink(image []byte) []byte {
	var all [][]byte
	for _, p := range pieces {
		all = append(all, image[p.off:p.off+p.n])
	}
	return slices.Concat(all...)
}

func expand(blob []byte) imagetest.Patches {
	var all imagetest.Patches
	for _, p := range pieces {
		data := make([]byte, max(p.n, p.sum))
		n := copy(data[:p.n], blob)
		blob = blob[n:]
		if p.sum > 0 {
			imagetest.SumVHDX(data)
		}
		all = append(all, imagetest.Patch{Off: int64(p.off), Data: data})
	}
	// An entry at the log's start gets its checksum too.
	imagetest.SumVHDX(all[3].Data)
	return all
}

func FuzzOpen(f *testing.F) {
	v := imagetest.VHDX{Size: 1 << 20, BlockSize: 1 << 20, Blocks: map[int64][]byte{0: []byte("guest")}}
	plain := v.Build()
	v.LogGUID = logGUID
	v.Log = imagetest.VHDXEntry{GUID: logGUID, Sequence: 5, Last: 9 << 20, Changes: []imagetest.VHDXChange{
		{Off: payload, Page: page(1)}, {Off: payload + 8192, Zeros: 1 << 40},
	}}.Build()
	imagetest.Fuzz(f, func(blob []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		d, err := vhdx.Open(expand(blob), piecesSize, vhdx.Options{Limits: limits})
		if err != nil {
			return nil, err
		}
		return d, nil
	}, shrink(plain), shrink(v.Build()))
}
