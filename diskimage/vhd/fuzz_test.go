package vhd_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhd"
)

func FuzzOpen(f *testing.F) {
	dynamic, _ := spec(4096, 512)
	dynamic.Bitmaps = map[int64][]byte{0: {0x5a}}
	fixed := imagetest.VHD{Size: 2048, Blocks: map[int64][]byte{0: []byte("guest")}}
	empty := imagetest.VHD{Size: 1 << 20, BlockSize: 512 << 10}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		if n := len(image); n >= 512 {
			imagetest.SumVHD(image[n-512:], 64)
			if n >= 2048 {
				imagetest.SumVHD(image[:512], 64)
				imagetest.SumVHD(image[imagetest.VHDHeader:imagetest.VHDTable], 36)
			}
		}
		d, err := vhd.Open(bytes.NewReader(image), int64(len(image)), vhd.Options{Limits: limits})
		if err != nil {
			return nil, err
		}
		return d, nil
	}, dynamic.Build(), fixed.Build(), empty.Build())
}
