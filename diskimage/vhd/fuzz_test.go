package vhd_test

import (
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhd"
)

func FuzzOpen(f *testing.F) {
	dynamic, _ := spec(4096, 512)
	dynamic.Bitmaps = map[int64][]byte{0: {0x5a}}
	fixed := imagetest.VHD{Size: 2048, Blocks: map[int64][]byte{0: []byte("guest")}}
	empty := imagetest.VHD{Size: 4 << 20, BlockSize: 2 << 20}
	imagetest.Fuzz(f, func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.Disk, error) {
		d, err := vhd.Open(r, size, vhd.Options{Limits: limits})
		if err != nil {
			return nil, err
		}
		return d, nil
	}, dynamic.Build(), fixed.Build(), empty.Build())
}
