package parallels_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// Offsets of fields.
const (
	versionField = 16
	tracks       = 28
	entryCount   = 32
	sectorCount  = 36
	inUse        = 44
	dataOffset   = 48
	extension    = 56
)

// patched returns a disk of three clusters of 4 KiB, two stored, with changes.
func patched(old bool, changes ...imagetest.Patch) []byte {
	image := imagetest.Parallels{Size: 3 * 4096, Tracks: 8, Old: old, Clusters: map[int64][]byte{0: {1}, 2: {2}}}.Build()
	imagetest.Patches(changes).Apply(image)
	return image
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostile(t *testing.T) {
	le32, le64 := imagetest.LE32, imagetest.LE64
	entry := func(i int64, v uint32) imagetest.Patch { return le32(imagetest.ParallelsTable+4*i, v) }
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"1 empty", nil, diskimage.NotFormat, "empty object"},
		{"3 magic alone", []byte("WithouFreSpacExt"), diskimage.Truncated, "header"},
		{"3 half a header", patched(true)[:63], diskimage.Truncated, "header"},
		{"not Parallels", make([]byte, 1000), diskimage.NotFormat, "header"},
		{"version 1", patched(false, le32(versionField, 1)), diskimage.Unsupported, "version"},
		{"99 tracks 0", patched(false, le32(tracks, 0)), diskimage.Malformed, "tracks"},
		{"99 tracks 2^31", patched(false, le32(tracks, 1<<31)), diskimage.Malformed, "tracks"},
		{"99 entries 2^32-1", patched(false, le32(entryCount, math.MaxUint32)), diskimage.Limit, "entries"},
		{"99 entries 2^30+1", patched(false, le32(entryCount, 0x40000001)), diskimage.Limit, "entries"},
		{"99 entries 2", patched(false, le32(entryCount, 2)), diskimage.Malformed, "entries"},
		{"99 a table past the end", patched(false, le32(entryCount, 1<<20), le64(sectorCount, 8<<20)), diskimage.Truncated, "block allocation table"},
		{"99 sectors 2^63", patched(false, le64(sectorCount, 1<<63)), diskimage.Limit, "sectors"},
		{"99 sectors 2^55", patched(false, le64(sectorCount, 1<<55)), diskimage.Limit, "sectors"},
		{"99 no sectors", patched(false, le64(sectorCount, 0)), diskimage.Malformed, "sectors"},
		{"99 old form, no sectors", patched(true, le64(sectorCount, 1<<32)), diskimage.Malformed, "sectors"},
		{"99 data past the end", patched(false, le32(dataOffset, 1<<20)), diskimage.Truncated, "data offset"},
		{"99 duplicate cluster", patched(false, entry(1, 1)), diskimage.Malformed, "block allocation table at offset 0x44: entry 1 = 0x1: overlaps"},
		{"99 old form, duplicate cluster", patched(true, entry(1, 1)), diskimage.Malformed, "entry 1"},
		{"99 old form, overlap", patched(true, entry(1, 2)), diskimage.Malformed, "overlaps"},
		{"99 past the end", patched(false, entry(1, 3)), diskimage.Truncated, "entry 1"},
		{"99 far past the end", patched(false, entry(1, math.MaxUint32)), diskimage.Truncated, "entry 1"},
		{"99 old form, far past the end", patched(true, entry(1, math.MaxUint32)), diskimage.Truncated, "entry 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := opener.Image(c.image)
			imagetest.WantFault(t, err, c.class, c.text)
		})
	}
	limits := diskimage.Limits{MetadataBytes: 1 << 10}
	_, err := opener(bytes.NewReader(append(patched(false, le32(tracks, 1), le64(sectorCount, 3)), make([]byte, 4<<20)...)), 4<<20, limits)
	imagetest.WantFault(t, err, diskimage.Limit, "too many units of 512 bytes to keep them apart")
}

// Fields that are not needed for reading are ignored.
func TestAccepted(t *testing.T) {
	want := make([]byte, 3*4096)
	want[0], want[2*4096] = 1, 2
	for name, image := range map[string][]byte{
		"99 old form, high bits of the size": patched(true, imagetest.LE32(sectorCount+4, math.MaxUint32)),
		"99 an extension nowhere":            patched(false, imagetest.LE64(extension, math.MaxUint64)),
		"no data offset":                     patched(true, imagetest.LE32(dataOffset, 0)),
	} {
		if err := imagetest.Check(opener.Must(t, image), bytes.NewReader(want)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := opener.Must(t, patched(false, imagetest.LE32(inUse, 0x746f6e59)))
	if w := d.(diskimage.Describer).Describe().Warnings; len(w) != 1 {
		t.Errorf("in use: warnings %q, want one", w)
	}
}

// 4, 5, 6: an image that is cut, or has something behind it.
func TestCutAnywhere(t *testing.T) {
	imagetest.Volume(t)
	want := make([]byte, 3*4096)
	want[0], want[2*4096] = 1, 2
	opener.Cut(t, patched(false), want, 128)
	opener.Cut(t, patched(true), want, 128)
}
