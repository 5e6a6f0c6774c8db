package detect_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

func FuzzOpen(f *testing.F) {
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return detect.Open(bytes.NewReader(image), int64(len(image)), detect.Options{Limits: limits})
	},
		[]byte("guest"), tarOf("a.ovf"), stream(imagetest.Mixed(64<<10, 1)), []byte("# Disk DescriptorFile\nversion=1\n"),
		imagetest.DMG{Size: 8192, Chunk: 4096, Chunks: map[int64][]byte{1: {1}}}.Build(),
		[]byte(imagetest.VMDKDescriptor("vmfs", "RW 2 ZERO", "RW 2 VMFS \"x-flat.vmdk\"")),
		imagetest.VHD{Size: 8192, BlockSize: 4096, Blocks: map[int64][]byte{1: {1}}}.Build())
}
