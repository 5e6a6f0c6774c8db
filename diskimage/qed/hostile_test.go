package qed_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// Offsets of fields.
const (
	clusterSize   = 4
	tableSize     = 8
	headerSize    = 12
	features      = 16
	l1Offset      = 40
	imageSize     = 48
	backingOffset = 56
)

// hostile is a disk of two tables: three clusters, two stored, and one more.
func hostile() *imagetest.QEDImage {
	return imagetest.QED{Size: 600 * 4096, Clusters: map[int64][]byte{0: {1}, 2: {2}, 599: {3}}}.Build()
}

func patched(changes ...imagetest.Patch) []byte {
	image := hostile().Bytes
	imagetest.Patches(changes).Apply(image)
	return image
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostile(t *testing.T) {
	le32, le64 := imagetest.LE32, imagetest.LE64
	h := hostile()
	end := uint64(len(h.Bytes))
	backed := patched(le64(features, 1), le32(backingOffset, 64), le32(backingOffset+4, 12))
	copy(backed[64:], "/etc/pass\x1bwd")
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"1 empty", nil, diskimage.NotFormat, "empty object"},
		{"3 magic alone", []byte("QED\x00"), diskimage.Truncated, "header"},
		{"3 half a header", patched()[:63], diskimage.Truncated, "header"},
		{"not QED", make([]byte, 1000), diskimage.NotFormat, "header"},
		{"98 cluster size 2^32-1", patched(le32(clusterSize, math.MaxUint32)), diskimage.Malformed, "cluster size"},
		{"98 cluster size 0", patched(le32(clusterSize, 0)), diskimage.Malformed, "cluster size"},
		{"98 cluster size 2^31", patched(le32(clusterSize, 1<<31)), diskimage.Malformed, "cluster size"},
		{"98 table size 2^32-1", patched(le32(tableSize, math.MaxUint32)), diskimage.Malformed, "table size"},
		{"98 table size 0", patched(le32(tableSize, 0)), diskimage.Malformed, "table size"},
		{"98 header size 2^32-1", patched(le32(headerSize, math.MaxUint32)), diskimage.Malformed, "L1 offset"},
		{"98 header size 0", patched(le32(headerSize, 0)), diskimage.Malformed, "header size"},
		{"98 L1 offset 2^64-1", patched(le64(l1Offset, math.MaxUint64)), diskimage.Malformed, "L1 offset"},
		{"98 L1 offset 2^64-cluster", patched(le64(l1Offset, math.MaxUint64-4095)), diskimage.Malformed, "L1 offset"},
		{"98 L1 past the end", patched(le64(l1Offset, 1<<40)), diskimage.Truncated, "L1 table"},
		{"98 L1 in the header", patched(le64(l1Offset, 0)), diskimage.Malformed, "L1 offset"},
		{"98 size 2^64-1", patched(le64(imageSize, math.MaxUint64)), diskimage.Limit, "image size"},
		{"98 size 0", patched(le64(imageSize, 0)), diskimage.Malformed, "image size"},
		{"98 size 513", patched(le64(imageSize, 513)), diskimage.Malformed, "image size"},
		{"98 size above the tables'", patched(le64(imageSize, 1<<30+512)), diskimage.Malformed, "image size"},
		{"98 backing file", patched(le64(features, 1)), diskimage.External, `backing file ""`},
		{"98 backing file, named", backed, diskimage.External, `backing file "/etc/pass?wd"`},
		{"98 unknown feature", patched(le64(features, 8)), diskimage.Unsupported, "features"},
		{"98 feature 2^63", patched(le64(features, 1<<63)), diskimage.Unsupported, "features"},
		{"98 L2 loop", patched(le64(h.L1+8, uint64(h.L2[0]))), diskimage.Malformed, "overlaps"},
		{"98 L2 is the L1", patched(le64(h.L1, uint64(h.L1))), diskimage.Malformed, "entry 0"},
		{"98 L2 is the header", patched(le64(h.L1, 1)), diskimage.Malformed, "entry 0"},
		{"98 L2 unaligned", patched(le64(h.L1, uint64(h.L2[0]+512))), diskimage.Malformed, "entry 0"},
		{"98 L2 past the end", patched(le64(h.L1, end)), diskimage.Truncated, "entry 0"},
		{"98 L2 at 2^64-cluster", patched(le64(h.L1, math.MaxUint64-4095)), diskimage.Truncated, "entry 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := opener.Image(c.image)
			imagetest.WantFault(t, err, c.class, c.text)
		})
	}
	for name, c := range map[string]struct {
		value uint64
		class diskimage.Class
	}{
		"unaligned":      {2, diskimage.Malformed},
		"nothing":        {0, 0},
		"the L1 table":   {uint64(h.L1), diskimage.Malformed},
		"an L2 table":    {uint64(h.L2[1]), diskimage.Malformed},
		"past the end":   {end, diskimage.Truncated},
		"2^64-cluster":   {math.MaxUint64 - 4095, diskimage.Truncated},
		"2^63":           {1 << 63, diskimage.Truncated},
		"a zero cluster": {1, 0},
	} {
		t.Run("98 cluster at "+name, func(t *testing.T) {
			err := imagetest.Walk(opener.Must(t, patched(le64(h.Entries[2], c.value))))
			if c.class == 0 && err != nil {
				t.Error(err)
			} else if c.class != 0 {
				imagetest.WantFault(t, err, c.class, "L2 table 0 at offset 0x2010: entry 2")
			}
		})
	}
}

// Entries that all name the same cluster would turn a small object into much work.
func TestAmplification(t *testing.T) {
	h := hostile()
	table := h.Bytes[h.L2[0]:][:4096]
	for i := range 512 {
		binary.LittleEndian.PutUint64(table[8*i:], uint64(len(h.Bytes)-4096))
	}
	imagetest.WantFault(t, imagetest.Walk(opener.Must(t, h.Bytes)), diskimage.Malformed, "entry 1 = ")
}

func TestNeedsCheck(t *testing.T) {
	want := make([]byte, 600*4096)
	want[0], want[2*4096], want[599*4096] = 1, 2, 3
	d := opener.Must(t, patched(imagetest.LE64(features, 2), imagetest.LE64(24, math.MaxUint64), imagetest.LE64(32, math.MaxUint64)))
	imagetest.Run(t, d, bytes.NewReader(want))
	if w := d.(diskimage.Describer).Describe().Warnings; len(w) != 1 {
		t.Errorf("warnings %q, want one", w)
	}
}

// 4, 5, 6: an image that is cut, or has something behind it.
func TestCutAnywhere(t *testing.T) {
	imagetest.Volume(t)
	q, want := spec(4096, 0)
	opener.Cut(t, q.Build().Bytes, want, 512)
}
