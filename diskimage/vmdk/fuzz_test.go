package vmdk_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

func FuzzOpen(f *testing.F) {
	var seeds [][]byte
	for _, layout := range layouts {
		v := imagetest.VMDK{Size: 9*4096 + 512, Grain: 4096, Layout: layout, Grains: map[int64][]byte{
			0: []byte("first"), 1: []byte("second"), 4: imagetest.Mixed(4096, 3), 9: []byte("last"),
		}}
		seeds = append(seeds, v.Build().Bytes)
	}
	seeds = append(seeds, []byte(imagetest.VMDKDescriptor("monolithicFlat", "RW 2048 FLAT \"x\" 0")))
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		d, err := vmdk.Open(bytes.NewReader(image), int64(len(image)), vmdk.Options{Limits: limits})
		if err != nil {
			return nil, err
		}
		return d, nil
	}, seeds...)
}
