package vmdk_test

import (
	"bytes"
	"fmt"
	"strings"
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
	flats := map[string][]byte{"x": imagetest.Mixed(8192, 1), "y": []byte("second file")}
	seeds = append(seeds, []byte(imagetest.VMDKDescriptor("monolithicFlat", "RW 8 FLAT \"x\" 8", "RW 2 ZERO", "RW 8 FLAT \"x\" 0")))
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return orNil(vmdk.Open(bytes.NewReader(image), int64(len(image)), vmdk.Options{Limits: limits, With: imagetest.Files(flats)}))
	}, seeds...)
}

// FuzzFile opens a disk of two files, one of which may be anything.
func FuzzFile(f *testing.F) {
	const size = 9*4096 + 512
	grains := map[int64][]byte{0: []byte("first"), 4: imagetest.Mixed(4096, 3), 9: []byte("last")}
	cowd, _ := imagetest.COWD{Size: size, Grain: 4096, Grains: grains}.Build()
	seeds := [][]byte{imagetest.VMDK{Size: size, Grain: 4096, Grains: grains}.Extent().Bytes, cowd}
	imagetest.Fuzz(f, func(file []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		kind, extent := "twoGbMaxExtentSparse", "SPARSE"
		if bytes.HasPrefix(file, []byte("COWD")) {
			kind, extent = "vmfsSparse", "VMFSSPARSE"
		}
		text := imagetest.VMDKDescriptor(kind, "RW 7 ZERO", fmt.Sprintf("RW %d %s \"x\"", size/512, extent))
		return orNil(vmdk.Open(strings.NewReader(text), int64(len(text)), vmdk.Options{
			Limits: limits, With: imagetest.Files(map[string][]byte{"x": file}),
		}))
	}, seeds...)
}

// orNil keeps a nil *Image from becoming a Disk that is not nil.
func orNil(d *vmdk.Image, err error) (diskimage.Disk, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}
