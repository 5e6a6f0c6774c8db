package detect_test

import (
	"bytes"
	"errors"
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

// FuzzContents: whatever an archive says, its disks have names of their own, or it is
// refused.
func FuzzContents(f *testing.F) {
	f.Add(tarOf("a.ovf"))
	for _, said := range []string{"", `<VirtualSystem><Machine OSType="Debian_arm64"/></VirtualSystem>`} {
		ovf := bytes.Replace(imagetest.OVF("a", "b"), []byte("</Envelope>"), []byte(said+"</Envelope>"), 1)
		f.Add(imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: ovf}, imagetest.Member{Name: "a", Data: []byte("a")}))
	}
	f.Add(imagetest.Tar(imagetest.Member{Name: "a.raw", Data: []byte("a")}, imagetest.Member{Name: "b.raw", Data: []byte("b")}))
	f.Fuzz(func(t *testing.T, object []byte) {
		c, ok, err := detect.Contents(bytes.NewReader(object), int64(len(object)))
		var fault *diskimage.FormatError
		if err != nil && !errors.As(err, &fault) {
			t.Error(err)
		}
		names := map[string]bool{}
		for _, name := range c.Disks {
			names[name] = true
		}
		if ok != (len(c.Disks) > 0) || len(names) != len(c.Disks) {
			t.Errorf("%v, %q", ok, c.Disks)
		}
	})
}
