package vhd_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhd"
)

// Offsets of fields.
const (
	dataOffset  = 16
	currentSize = 48
	diskType    = 60

	tableOffset  = imagetest.VHDHeader + 16
	tableEntries = imagetest.VHDHeader + 28
	blockSize    = imagetest.VHDHeader + 32
	parentUUID   = imagetest.VHDHeader + 40
)

// hostile is a dynamic disk of three blocks of 4 KiB, two stored.
func hostile() []byte {
	return imagetest.VHD{Size: 3 * 4096, BlockSize: 4096, Blocks: map[int64][]byte{0: {1}, 2: {2}}}.Build()
}

// patched returns the hostile image with changes; those of the footer go into
// both copies, and checksums are right again.
func patched(changes ...imagetest.Patch) []byte {
	image := hostile()
	imagetest.Patches(changes).Apply(image)
	imagetest.SumVHD(image[:512], 64)
	copy(image[len(image)-512:], image[:512])
	imagetest.SumVHD(image[imagetest.VHDHeader:imagetest.VHDTable], 36)
	return image
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostile(t *testing.T) {
	size := int64(len(hostile()))
	be32, be64 := imagetest.BE32, imagetest.BE64
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"59 block size 0", patched(be32(blockSize, 0)), diskimage.Malformed, "block size"},
		{"59 block size 511", patched(be32(blockSize, 511)), diskimage.Malformed, "block size"},
		{"59 block size 3 MiB", patched(be32(blockSize, 3<<20)), diskimage.Malformed, "block size"},
		{"59 block size 2^31", patched(be32(blockSize, 1<<31)), diskimage.Malformed, "block size"},
		{"59 block size 2^32-512", patched(be32(blockSize, 1<<32-512)), diskimage.Malformed, "block size"},
		{"60 entries 2^32-1", patched(be32(tableEntries, math.MaxUint32)), diskimage.Limit, "table entries"},
		{"60 entries 2^30+1", patched(be32(tableEntries, 0x40000001)), diskimage.Limit, "table entries"},
		{"60 a table past the end", patched(be32(tableEntries, 1<<20), be64(currentSize, 1<<32)), diskimage.Truncated, "block allocation table"},
		{"61 size 2^64-512", patched(be64(currentSize, math.MaxUint64-511)), diskimage.Limit, "current size"},
		{"61 size 0", patched(be64(currentSize, 0)), diskimage.Malformed, "current size"},
		{"61 size 511", patched(be64(currentSize, 511)), diskimage.Malformed, "current size"},
		{"61 size above the table's", patched(be64(currentSize, 3*4096+512)), diskimage.Malformed, "table entries"},
		{"62 table past the end", patched(be64(tableOffset, 1<<40)), diskimage.Truncated, "block allocation table"},
		{"62 table at 2^64-512", patched(be64(tableOffset, math.MaxUint64-511)), diskimage.Malformed, "block allocation table"},
		{"62 table in the footer", patched(be64(tableOffset, uint64(size-512))), diskimage.Malformed, "table offset"},
		{"62 table in the header", patched(be64(tableOffset, imagetest.VHDHeader)), diskimage.Malformed, "table offset"},
		{"62 table in the footer's copy", patched(be64(tableOffset, 0)), diskimage.Malformed, "table offset"},
		{"63 entry 0", patched(be32(imagetest.VHDTable, 0)), diskimage.Malformed, "entry 0"},
		{"63 entry in the table", patched(be32(imagetest.VHDTable, 3)), diskimage.Malformed, "entry 0"},
		{"63 block over the footer", patched(be32(imagetest.VHDTable, uint32(size/512-2))), diskimage.Truncated, "entry 0"},
		{"63 entry past the end", patched(be32(imagetest.VHDTable, math.MaxUint32-1)), diskimage.Truncated, "entry 0"},
		{"63 bitmap only", patched(be32(imagetest.VHDTable+8, uint32(size/512-1))), diskimage.Truncated, "entry 2"},
		{"63 equal entries", patched(be32(imagetest.VHDTable+8, 4)), diskimage.Malformed, "overlaps"},
		{"63 overlapping entries", patched(be32(imagetest.VHDTable+8, 5)), diskimage.Malformed, "overlaps"},
		{"65 differencing", patched(be32(diskType, 4)), diskimage.External, "differencing disk of parent \"\""},
		{"65 differencing, named", patched(be32(diskType, 4), be64(imagetest.VHDHeader+64, 0x0061002e001b0076)), diskimage.External, "\"a.?v\""},
		{"65 type 0", patched(be32(diskType, 0)), diskimage.Unsupported, "disk type"},
		{"65 type 6", patched(be32(diskType, 6)), diskimage.Unsupported, "disk type"},
		{"66 no header", patched(be64(dataOffset, math.MaxUint64)), diskimage.Malformed, "data offset"},
		{"66 header in the footer's copy", patched(be64(dataOffset, 8)), diskimage.Malformed, "data offset"},
		{"66 header magic", patched(imagetest.BE32(imagetest.VHDHeader, 0)), diskimage.Malformed, "dynamic header"},
		{"66 header in the data", patched(be64(dataOffset, uint64(size-512-1024))), diskimage.Malformed, "dynamic header"},
		{"version of the footer", patched(be32(12, 0x20000)), diskimage.Unsupported, "version"},
		{"version of the header", patched(be32(imagetest.VHDHeader+24, 0x20000)), diskimage.Unsupported, "version"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.image, c.class, c.text) })
	}
}

func refused(t *testing.T, image []byte, class diskimage.Class, text string) {
	t.Helper()
	_, err := open(image)
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) || fault.Class != class || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, class, text)
	}
}

// A footer may be missing, but not be wrong.
func TestFooters(t *testing.T) {
	image := hostile()
	end := len(image) - 512
	flip := func(at ...int) []byte {
		p := bytes.Clone(image)
		for _, i := range at {
			p[i] ^= 1
		}
		return p
	}
	resummed := flip(end + 24) // the time stamp
	imagetest.SumVHD(resummed[end:], 64)
	noHead := bytes.Clone(image)
	clear(noHead[:512])
	fixed := imagetest.VHD{Size: 4096, Blocks: map[int64][]byte{0: {1}}}.Build()
	fixed[4096+24] ^= 1
	for _, c := range []struct {
		name  string
		image []byte
		class diskimage.Class
		text  string
	}{
		{"head wrong", flip(24), diskimage.Malformed, "footer copy at offset 0x40: checksum"},
		{"tail wrong", flip(end + 24), diskimage.Malformed, "checksum"},
		{"both wrong", flip(24, end+24), diskimage.Malformed, "checksum"},
		{"header wrong", flip(imagetest.VHDHeader + 50), diskimage.Malformed, "dynamic header at offset 0x224: checksum"},
		{"differ", resummed, diskimage.Malformed, "footers not identical"},
		{"head missing", noHead, diskimage.Malformed, "footers not identical"},
		{"fixed wrong", fixed, diskimage.Malformed, "checksum"},
		{"none", image[512:end], diskimage.NotFormat, ""},
	} {
		t.Run("64 "+c.name, func(t *testing.T) { refused(t, c.image, c.class, c.text) })
	}
	for _, name := range []string{"differ", "head missing"} {
		bad := map[string][]byte{"differ": resummed, "head missing": noHead}[name]
		if _, err := open(bad); !errors.Is(err, diskimage.ErrFootersDiffer) {
			t.Errorf("%s: got %v, want ErrFootersDiffer", name, err)
		}
	}
	d := mustOpen(t, image[:end])
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "missing") {
		t.Errorf("tail missing: warnings %q, want one", w)
	}
	for _, cut := range []int{513, 1024, 5000} {
		refused(t, image[:len(image)-cut], diskimage.Truncated, "past the end")
	}
}

// A fixed disk whose guest begins with a footer is ambiguous when that is a
// valid one, and a guest's data when it is not.
func TestGuestLooksLikeAFooter(t *testing.T) {
	guest := hostile()[:4096]
	v := imagetest.VHD{Size: 4096, Blocks: map[int64][]byte{0: guest}}
	refused(t, v.Build(), diskimage.Malformed, "footers not identical")
	guest[100] ^= 1
	imagetest.Run(t, mustOpen(t, v.Build()), bytes.NewReader(guest))
}

func TestParentOfADynamicDisk(t *testing.T) {
	d := mustOpen(t, patched(imagetest.BE32(parentUUID, 1)))
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "parent") {
		t.Errorf("warnings: got %q, want one about the parent", w)
	}
}

// Where a bitmap is clear, the disk reads as zeros whatever is stored, with a
// warning, in one block or in all.
func TestClearBitmap(t *testing.T) {
	one := make([]byte, 3*4096)
	one[2*4096] = 2
	for _, c := range []struct {
		name  string
		image []byte
		want  []byte
	}{
		{"67 one clear bitmap", patched(imagetest.BE64(2048, 0)), one},
		{"67 all bitmaps clear", patched(imagetest.BE64(2048, 0), imagetest.BE64(2048+512+4096, 0)), make([]byte, 3*4096)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := mustOpen(t, c.image)
			imagetest.Run(t, d, bytes.NewReader(c.want))
			if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "absent") {
				t.Errorf("warnings: got %q, want one about absent sectors", w)
			}
		})
	}
}

// The data and the current size of a fixed disk must agree, except for zeros at the
// end.
func TestFixedLength(t *testing.T) {
	image := imagetest.VHD{Size: 4096, Blocks: map[int64][]byte{0: bytes.Repeat([]byte{7}, 4096)}}.Build()
	with := func(size uint64) []byte {
		p := bytes.Clone(image)
		imagetest.Patches{imagetest.BE64(4096+currentSize, size)}.Apply(p)
		imagetest.SumVHD(p[4096:], 64)
		return p
	}
	t.Run("68 more data than the disk", func(t *testing.T) { refused(t, with(4096-512), diskimage.Malformed, "current size") })
	t.Run("68 less data than the disk", func(t *testing.T) { refused(t, with(4096+512), diskimage.Truncated, "current size") })
	padded := append(bytes.Clone(image[:4096]), make([]byte, 1024)...)
	d := mustOpen(t, append(padded, image[4096:]...))
	if d.Size() != 4096 {
		t.Errorf("size is %d, want 4096", d.Size())
	}
}

// A disk that stores nothing, or only zeros, is valid, however large it is.
func TestNothingStored(t *testing.T) {
	t.Run("70 an empty disk of 127 GiB", func(t *testing.T) {
		d := mustOpen(t, imagetest.VHD{Size: 127 << 30, BlockSize: 2 << 20}.Build())
		for r, err := range d.Runs(0, d.Size()) {
			if err != nil || r.Kind != diskimage.Hole {
				t.Errorf("got %+v, %v, want one hole", r, err)
			}
		}
	})
	t.Run("69 blocks of zeros", func(t *testing.T) {
		v := imagetest.VHD{Size: 4 << 20, BlockSize: 512 << 10, Blocks: map[int64][]byte{}}
		for n := range int64(8) {
			v.Blocks[n] = nil
		}
		imagetest.Run(t, mustOpen(t, v.Build()), imagetest.Zeros{})
	})
}

// An image cut anywhere is refused, or reads the same (case 4 of the catalogue).
func TestCut(t *testing.T) {
	imagetest.Volume(t)
	want, err := open(hostile())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(hostile()); n += 256 {
		d, err := open(hostile()[:n])
		if err == nil {
			err = diskimage.Compare(t.Context(), d, want)
		}
		var fault *diskimage.FormatError
		if err != nil && !errors.As(err, &fault) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// Bytes behind a dynamic image change nothing (5, 6).
func TestPadded(t *testing.T) {
	imagetest.Volume(t)
	want, err := open(hostile())
	if err != nil {
		t.Fatal(err)
	}
	for _, pad := range [][]byte{make([]byte, 1), make([]byte, 511), make([]byte, 512), make([]byte, 65536), imagetest.Mixed(3000, 1)} {
		image := append(hostile(), pad...)
		d, err := vhd.Open(bytes.NewReader(image), int64(len(image)), vhd.Options{})
		if err == nil {
			err = diskimage.Compare(t.Context(), d, want)
		}
		if err != nil {
			t.Errorf("padded with %d bytes: %v", len(pad), err)
		}
	}
}
