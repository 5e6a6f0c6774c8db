package vdi_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// Offsets of fields.
const (
	versionField = 68
	typeField    = 76
	mapOffset    = 340
	dataOffset   = 344
	sectorSize   = 360
	diskSize     = 368
	blockSize    = 376
	extraBytes   = 380
	blockCount   = 384
	allocated    = 388
	linkUUID     = 424
	parentUUID   = 440
)

// patched returns a disk of three blocks of 4 KiB, two stored, with changes.
func patched(changes ...imagetest.Patch) []byte {
	image := imagetest.VDI{Size: 3 * 4096, BlockSize: 4096, Blocks: map[int64][]byte{0: {1}, 2: {2}}}.Build()
	imagetest.Patches(changes).Apply(image)
	return image
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostile(t *testing.T) {
	le32, le64 := imagetest.LE32, imagetest.LE64
	entry := func(i int64, v uint32) imagetest.Patch { return le32(imagetest.VDIMap+4*i, v) }
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"1 empty", nil, diskimage.NotFormat, "empty object"},
		{"3 not even a magic", make([]byte, 67), diskimage.NotFormat, "header"},
		{"3 magic alone", patched()[:68], diskimage.Truncated, "header"},
		{"not VDI", make([]byte, 1000), diskimage.NotFormat, "header"},
		{"97 blocks 2^32-1", patched(le32(blockCount, math.MaxUint32)), diskimage.Limit, "blocks"},
		{"97 blocks 2", patched(le32(blockCount, 2)), diskimage.Malformed, "blocks"},
		{"97 a map past the end", patched(le32(blockCount, 1<<20), le64(diskSize, 1<<32), le32(dataOffset, 8<<20)), diskimage.Truncated, "block map"},
		{"97 block size 0", patched(le32(blockSize, 0)), diskimage.Malformed, "block size"},
		{"97 block size 1", patched(le32(blockSize, 1)), diskimage.Malformed, "block size"},
		{"97 block size 3 MiB", patched(le32(blockSize, 3<<20)), diskimage.Malformed, "block size"},
		{"97 block size 2^31", patched(le32(blockSize, 1<<31)), diskimage.Malformed, "block size"},
		{"97 disk larger than its blocks", patched(le64(diskSize, 3*4096+1)), diskimage.Malformed, "blocks"},
		{"97 disk of 2^64-1", patched(le64(diskSize, math.MaxUint64)), diskimage.Limit, "disk size"},
		{"97 disk of nothing", patched(le64(diskSize, 0)), diskimage.Malformed, "disk size"},
		{"97 map past the end", patched(le32(mapOffset, 1<<30), le32(dataOffset, 1<<31)), diskimage.Truncated, "block map"},
		{"97 map in the header", patched(le32(mapOffset, 64)), diskimage.Malformed, "map offset"},
		{"97 data in the map", patched(le32(dataOffset, imagetest.VDIMap+8)), diskimage.Malformed, "data offset"},
		{"97 data past the end", patched(le32(dataOffset, math.MaxUint32)), diskimage.Truncated, "entry 0"},
		{"97 duplicate index", patched(entry(1, 0)), diskimage.Malformed, "block map at offset 0x204: entry 1 = 0x0: overlaps"},
		{"97 index = blocks stored", patched(entry(1, 2)), diskimage.Malformed, "entry 1"},
		{"97 index past the end", patched(le32(allocated, 3), entry(1, 2)), diskimage.Truncated, "entry 1"},
		{"97 more stored than there are", patched(le32(allocated, 4)), diskimage.Malformed, "blocks stored"},
		{"97 extra 2^31", patched(le32(extraBytes, 1<<31)), diskimage.Malformed, "extra"},
		{"97 type 3", patched(le32(typeField, 3)), diskimage.External, "undo"},
		{"97 type 4", patched(le32(typeField, 4)), diskimage.External, "differencing"},
		{"97 type 0", patched(le32(typeField, 0)), diskimage.Unsupported, "type"},
		{"97 type 5", patched(le32(typeField, 5)), diskimage.Unsupported, "type"},
		{"97 link", patched(le32(linkUUID, 1)), diskimage.External, "parent"},
		{"97 parent", patched(le32(parentUUID+12, 1)), diskimage.External, "parent"},
		{"version 0.1", patched(le32(versionField, 1)), diskimage.Unsupported, "version"},
		{"sectors of 4096", patched(le32(sectorSize, 4096)), diskimage.Unsupported, "sector size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := opener.Image(c.image)
			imagetest.WantFault(t, err, c.class, c.text)
		})
	}
}

// 4, 5, 6: an image that is cut, or has something behind it.
func TestCutAnywhere(t *testing.T) {
	imagetest.Volume(t)
	want := make([]byte, 3*4096)
	want[0], want[2*4096] = 1, 2
	opener.Cut(t, patched(), want, 128)
}

// The text in front may be anything, and is only used in the description.
func TestText(t *testing.T) {
	image := patched()
	copy(image, bytes.Repeat([]byte{0x1b}, 64))
	got := opener.Must(t, image).(diskimage.Describer).Describe()
	if got.Creator != "????????????????????????????????????????????????????????????????" {
		t.Errorf("creator is %q", got.Creator)
	}
}
