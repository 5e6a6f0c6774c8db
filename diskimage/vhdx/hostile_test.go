package vhdx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhdx"
)

// Offsets of fields and of metadata items.
const (
	regionCount = imagetest.VHDXRegions1 + 8
	batEntry    = imagetest.VHDXRegions1 + 16
	metaEntry   = imagetest.VHDXRegions1 + 48
	thirdEntry  = imagetest.VHDXRegions1 + 80

	metaCount  = imagetest.VHDXMetadata + 10
	metaTable  = imagetest.VHDXMetadata + 32
	metaItems  = imagetest.VHDXMetadata + 64<<10
	blockSize  = metaItems
	paramFlags = metaItems + 4
	diskSize   = metaItems + 16
	sectorSize = metaItems + 48
)

// hostile is a disk of three blocks of 1 MiB, two present, and a log.
func hostile() []byte { return bytes.Clone(built()) }

var (
	hostileSpec = imagetest.VHDX{Size: 3 * mib, BlockSize: mib, Blocks: map[int64][]byte{0: {1}, 2: {2}}}
	built       = sync.OnceValue(hostileSpec.Build)
)

// patched returns the hostile image with changes, those of header 1 and region
// table 1 in both copies, and with checksums that are right again. The changes
// lie over one image that all cases share.
func patched(changes ...imagetest.Patch) imagetest.Patches {
	const metadata = 320 << 10 // of fixed places
	low := bytes.Clone(built()[:metadata])
	all := imagetest.Patches{{Off: 0, Data: built()}, {Off: 0, Data: low}}
	for _, c := range changes {
		if c.Off < metadata {
			imagetest.Patches{c}.Apply(low)
		} else {
			all = append(all, c)
		}
	}
	copy(low[imagetest.VHDXHeader2+16:imagetest.VHDXHeader2+4096], low[imagetest.VHDXHeader1+16:])
	copy(low[imagetest.VHDXRegions2:], low[imagetest.VHDXRegions1:imagetest.VHDXRegions2])
	imagetest.SumVHDXImage(low)
	return all
}

func guidAt(off int64, s string) imagetest.Patch {
	return imagetest.Patch{Off: off, Data: imagetest.GUID(s)}
}

// The cases have the numbers of the catalogue of hostile images.
func TestHostile(t *testing.T) {
	const unknown, bat = "00000000-1111-2222-3333-444444444444", "2dc27766-f623-4200-9d64-115e9bfd4a08"
	size := uint64(len(built()))
	le16, le32, le64 := imagetest.LE16, imagetest.LE32, imagetest.LE64
	table := func(i int64, entry uint64) imagetest.Patch { return le64(imagetest.VHDXTable+8*i, entry) }
	for _, c := range []struct {
		name  string
		image imagetest.Patches
		class diskimage.Class
		text  string
	}{
		{"71 block size 0", patched(le32(blockSize, 0)), diskimage.Malformed, "block size"},
		{"71 block size 1", patched(le32(blockSize, 1)), diskimage.Malformed, "block size"},
		{"71 block size 512 KiB", patched(le32(blockSize, 512<<10)), diskimage.Malformed, "block size"},
		{"71 block size 257 MiB", patched(le32(blockSize, 257<<20)), diskimage.Malformed, "block size"},
		{"71 block size 512 MiB", patched(le32(blockSize, 512<<20)), diskimage.Malformed, "block size"},
		{"71 block size 3 MiB", patched(le32(blockSize, 3<<20)), diskimage.Malformed, "block size"},
		{"71 sector 0", patched(le32(sectorSize, 0)), diskimage.Malformed, "logical sector size"},
		{"71 sector 513", patched(le32(sectorSize, 513)), diskimage.Malformed, "logical sector size"},
		{"71 sector 2^31", patched(le32(sectorSize, 1<<31)), diskimage.Malformed, "logical sector size"},
		{"72 version 2", patched(le16(imagetest.VHDXHeader1+66, 2)), diskimage.Unsupported, "version"},
		{"72 log version 1", patched(le16(imagetest.VHDXHeader1+64, 1)), diskimage.Unsupported, "log version"},
		{"72 log offset 0", patched(le64(imagetest.VHDXHeader1+72, 0)), diskimage.Malformed, "log offset"},
		{"72 log past the end", patched(le64(imagetest.VHDXHeader1+72, 1<<40)), diskimage.Truncated, "log"},
		{"72 log at 2^63", patched(le64(imagetest.VHDXHeader1+72, 1<<63)), diskimage.Malformed, "log"},
		{"73 2048 regions", patched(le32(regionCount, 2048)), diskimage.Limit, "entry count"},
		{"73 2^32-1 regions", patched(le32(regionCount, math.MaxUint32)), diskimage.Limit, "entry count"},
		{"73 no region", patched(le32(regionCount, 0)), diskimage.Malformed, "no region"},
		{"73 odd region length", patched(le32(batEntry+24, math.MaxUint32)), diskimage.Malformed, "whole MiB"},
		{"73 region past the end", patched(le32(batEntry+24, 0xfff00000)), diskimage.Truncated, "block allocation table"},
		{"73 region at 2^63", patched(le64(batEntry+16, 1<<63)), diskimage.Malformed, "block allocation table"},
		{"73 region in the headers", patched(le64(batEntry+16, 0)), diskimage.Malformed, "from 1 MiB on"},
		{"73 region on another", patched(le64(batEntry+16, imagetest.VHDXMetadata)), diskimage.Malformed, "overlaps"},
		{"73 region on the log", patched(le64(batEntry+16, imagetest.VHDXLog)), diskimage.Malformed, "the log at"},
		{"73 two tables", patched(guidAt(metaEntry, bat)), diskimage.Malformed, "a second block allocation table"},
		{"73 unknown and required", patched(le32(regionCount, 3), guidAt(thirdEntry, unknown), le32(thirdEntry+28, 1)), diskimage.Unsupported, unknown},
		{"74 item in the table", patched(le32(metaTable+16, 64<<10-8)), diskimage.Malformed, "leaves the region"},
		{"74 item past the region", patched(le32(metaTable+16, 1<<20-4)), diskimage.Malformed, "leaves the region"},
		{"74 item of 2^32-1 bytes", patched(le32(metaTable+20, math.MaxUint32)), diskimage.Malformed, "leaves the region"},
		{"74 item too short", patched(le32(metaTable+20, 4)), diskimage.Malformed, "want 8"},
		{"74 duplicate", patched(guidAt(metaTable+32, "caa16737-fa36-4d43-b3b6-33f0aa44e76b")), diskimage.Malformed, "a second item"},
		{"74 unknown and required", patched(guidAt(metaTable+2*32, unknown)), diskimage.Unsupported, unknown},
		{"74 missing", patched(le16(metaCount, 1)), diskimage.Malformed, "has no item"},
		{"74 2048 items", patched(le16(metaCount, 2048)), diskimage.Limit, "entry count"},
		{"74 magic", patched(le64(imagetest.VHDXMetadata, 0)), diskimage.Malformed, "metadata table"},
		{"75 size 2^64-512", patched(le64(diskSize, math.MaxUint64-511)), diskimage.Limit, "virtual disk size"},
		{"75 size 65 TiB", patched(le64(diskSize, 65<<40)), diskimage.Limit, "virtual disk size"},
		{"75 size 1", patched(le64(diskSize, 1)), diskimage.Malformed, "virtual disk size"},
		{"75 size 0", patched(le64(diskSize, 0)), diskimage.Malformed, "virtual disk size"},
		{"75 size above the table's", patched(le64(diskSize, 1<<40)), diskimage.Malformed, "room"},
		{"75 odd size for 4096-byte sectors", patched(le64(diskSize, 3*mib-512), le32(sectorSize, 4096)), diskimage.Malformed, "virtual disk size"},
		{"76 state 4", patched(table(1, 4)), diskimage.Malformed, "entry of block 1"},
		{"76 state 7", patched(table(1, 7|5*mib)), diskimage.Malformed, "without a parent"},
		{"76 present at 0", patched(table(1, 6)), diskimage.Malformed, "points into the headers"},
		{"76 past the end", patched(table(1, 6|size&^(mib-1))), diskimage.Truncated, "past the end"},
		{"76 at the end of numbers", patched(table(1, math.MaxUint64&^(mib-1)|6)), diskimage.Truncated, "past the end"},
		{"76 two at one place", patched(table(2, 6|4*mib)), diskimage.Malformed, "overlaps"},
		{"76 on the table", patched(table(1, 6|imagetest.VHDXTable)), diskimage.Malformed, "points into the"},
		{"76 on the log", patched(table(1, 6|imagetest.VHDXLog)), diskimage.Malformed, "points into the"},
		{"76 on the metadata", patched(table(1, 6|imagetest.VHDXMetadata)), diskimage.Malformed, "points into the"},
		{"82 parent without locator", patched(le32(paramFlags, 2)), diskimage.External, "no locator"},
	} {
		t.Run(c.name, func(t *testing.T) { refusedAt(t, c.image, int64(size), c.class, c.text) })
	}
}

// Of the two headers the valid one with the higher sequence counts.
func TestHeaders(t *testing.T) {
	image := hostile()
	edit := func(f func(one, two []byte)) []byte {
		p := bytes.Clone(image)
		f(p[imagetest.VHDXHeader1:imagetest.VHDXHeader1+4096], p[imagetest.VHDXHeader2:imagetest.VHDXHeader2+4096])
		return p
	}
	bad := func(p []byte) { // a version that would be refused
		p[66] = 9
		imagetest.SumVHDX(p)
	}
	for name, good := range map[string][]byte{
		"only the first":     edit(func(_, two []byte) { two[100]++ }),
		"only the second":    edit(func(one, _ []byte) { one[100]++ }),
		"the higher one":     edit(func(one, _ []byte) { bad(one) }),
		"equal, as Disk2vhd": edit(func(one, two []byte) { copy(two, one) }),
	} {
		t.Run("72 "+name, func(t *testing.T) { mustOpen(t, good) })
	}
	refused(t, edit(func(one, two []byte) { one[100]++; two[100]++ }), diskimage.Malformed, "neither has a valid checksum")
	refused(t, edit(func(_, two []byte) { bad(two) }), diskimage.Unsupported, "version")
	refused(t, edit(func(one, two []byte) { copy(two, one); two[20]++; imagetest.SumVHDX(two) }), diskimage.Malformed, "sequence")
}

func TestRegionTableCopy(t *testing.T) {
	image := hostile()
	image[imagetest.VHDXRegions1+20]++
	d := mustOpen(t, image)
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "region table 1") {
		t.Errorf("warnings: got %q, want one about the region table", w)
	}
	image[imagetest.VHDXRegions2+20]++
	refused(t, image, diskimage.Malformed, "neither it nor table 1")
}

// Unknown regions and items that are not required are ignored, and qemu before
// 2.x did not mark the known regions as required.
func TestIgnored(t *testing.T) {
	const unknown = "00000000-1111-2222-3333-444444444444"
	image := patched(imagetest.LE32(batEntry+28, 0), imagetest.LE32(metaEntry+28, 0),
		guidAt(metaTable+2*32, unknown), imagetest.LE32(metaTable+2*32+24, 2))
	if _, err := vhdx.Open(image, int64(len(built())), vhdx.Options{}); err != nil {
		t.Error(err)
	}
}

// The parent is named, sanitised, and not looked for.
func TestParentIsNamed(t *testing.T) {
	image := hostile()
	le := binary.LittleEndian
	wide := func(s string) (p []byte) {
		for _, u := range utf16.Encode([]rune(s)) {
			p = le.AppendUint16(p, u)
		}
		return p
	}
	key, value := wide("absolute_win32_path"), wide("\\\\host\\share\x1b[31m\\base.vhdx")
	locator := make([]byte, 32)
	le.PutUint16(locator[18:], 1)
	le.PutUint32(locator[20:], 32)
	le.PutUint32(locator[24:], uint32(32+len(key)))
	le.PutUint16(locator[28:], uint16(len(key)))
	le.PutUint16(locator[30:], uint16(len(value)))
	locator = slices.Concat(locator, key, value)
	copy(image[metaItems+4096:], locator)
	imagetest.Patches{
		imagetest.LE32(paramFlags, 2), imagetest.LE16(metaCount, 6),
		guidAt(metaTable+5*32, "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"),
		imagetest.LE32(metaTable+5*32+16, 64<<10+4096), imagetest.LE32(metaTable+5*32+20, uint32(len(locator))),
		imagetest.LE32(metaTable+5*32+24, 4),
	}.Apply(image)
	t.Run("82 named on a share", func(t *testing.T) {
		refused(t, image, diskimage.External, `absolute_win32_path="\\\\host\\share?[31m\\base.vhdx"`)
	})
}

// The table has an entry for the bitmap of sectors behind every few blocks,
// which means nothing without a parent; qemu before 8 wrote noise there.
func TestBitmapEntries(t *testing.T) {
	const blocks = 8 << 10 // of 1 MiB: 4096 to a bitmap
	t.Run("77 garbage in entries of bitmaps", func(t *testing.T) {
		v := imagetest.VHDX{Size: blocks * mib, BlockSize: mib, Blocks: map[int64][]byte{0: {1}, blocks - 1: {2}}}
		image := v.Build()
		for _, garbage := range []uint64{math.MaxUint64, 6, 0x123456789abcdef1} {
			imagetest.Patches{imagetest.LE64(imagetest.VHDXTable+4096*8, garbage)}.Apply(image)
			d := mustOpen(t, image)
			p := make([]byte, 1)
			for block, want := range map[int64]byte{0: 1, blocks - 1: 2} {
				if _, err := d.ReadAt(p, block*mib); err != nil || p[0] != want {
					t.Errorf("garbage %#x: block %d begins with %d, %v, want %d", garbage, block, p[0], err, want)
				}
			}
		}
	})
}

// An image cut anywhere is refused (case 4).
func TestCut(t *testing.T) {
	imagetest.Volume(t)
	image := hostile()
	want := mustOpen(t, image)
	for n := 0; n < len(image); n += 32 << 10 {
		d, err := vhdx.Open(bytes.NewReader(image[:n]), int64(n), vhdx.Options{})
		if err == nil {
			err = diskimage.Compare(t.Context(), d, want)
		}
		var fault *diskimage.FormatError
		if !errors.As(err, &fault) {
			t.Errorf("cut to %d bytes: got %v, want a fault", n, err)
		}
	}
}
