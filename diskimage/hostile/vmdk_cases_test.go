package hostile_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"math"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// vmdk returns a disk of two tables and a part of one, with grains of 4 KiB, few of
// them stored.
func vmdk(layout imagetest.VMDKLayout) imagetest.VMDK {
	v := imagetest.VMDK{Size: (2*512+5)*4096 + 1536, Grain: 4096, Layout: layout, Grains: map[int64][]byte{}}
	for _, n := range []int64{0, 1, 3, 5, 1025, 1029} {
		v.Grains[n] = imagetest.Mixed(4096, uint64(n))
	}
	return v
}

// header returns the bytes of that disk with changes to its header and footer.
func header(layout imagetest.VMDKLayout, patches ...imagetest.Patch) []byte {
	v := vmdk(layout)
	v.Header = imagetest.Patches(patches).Apply
	return v.Build().Bytes
}

// edited returns the bytes of that disk after a change.
func edited(layout imagetest.VMDKLayout, edit func(*imagetest.VMDKImage)) []byte {
	image := vmdk(layout).Build()
	edit(image)
	return image.Bytes
}

// Offsets of fields of the header.
const (
	vmdkVersion    = 4
	vmdkFlags      = 8
	vmdkCapacity   = 12
	vmdkGrain      = 20
	vmdkDescriptor = 28
	vmdkDescSize   = 36
	vmdkEntries    = 44
	vmdkDirectory  = 56
	vmdkOverhead   = 64
	vmdkUnclean    = 72
	vmdkLineEnds   = 73
)

func TestVMDKHeaders(t *testing.T) {
	const sparse, stream = imagetest.VMDKSparse, imagetest.VMDKOvftool
	le32, le64 := imagetest.LE32, imagetest.LE64
	run(t, []hostile{
		{"16 capacity 2^63", header(sparse, le64(vmdkCapacity, 1<<63)), diskimage.Limit, "capacity"},
		{"16 capacity 2^64-1", header(sparse, le64(vmdkCapacity, math.MaxUint64)), diskimage.Limit, "capacity"},
		{"16 capacity 2^55+1", header(sparse, le64(vmdkCapacity, 1<<55+1)), diskimage.Limit, "capacity"},
		{"17 grain 0", header(sparse, le64(vmdkGrain, 0)), diskimage.Malformed, "grain size"},
		{"17 grain 1", header(sparse, le64(vmdkGrain, 1)), diskimage.Malformed, "grain size"},
		{"17 grain 3", header(sparse, le64(vmdkGrain, 3)), diskimage.Malformed, "grain size"},
		{"17 grain 2^31", header(sparse, le64(vmdkGrain, 1<<31)), diskimage.Malformed, "grain size"},
		{"17 grain 2^63", header(sparse, le64(vmdkGrain, 1<<63)), diskimage.Malformed, "grain size"},
		{"18 table of 0", header(sparse, le32(vmdkEntries, 0)), diskimage.Malformed, "grain table entries"},
		{"18 table of 1", header(sparse, le32(vmdkEntries, 1)), diskimage.Malformed, "grain table entries"},
		{"18 table of 513", header(sparse, le32(vmdkEntries, 513)), diskimage.Malformed, "grain table entries"},
		{"18 table of 2^32-1", header(sparse, le32(vmdkEntries, math.MaxUint32)), diskimage.Malformed, "grain table entries"},
		{"19 capacity that overflows to nothing", header(sparse, le64(vmdkCapacity, 1<<55)), diskimage.Limit, "capacity"},
		{"20 directory past the end", header(sparse, le64(vmdkDirectory, 1<<30)), diskimage.Truncated, "grain directory"},
		{"20 directory 0", header(sparse, le64(vmdkDirectory, 0)), diskimage.Malformed, "grain directory"},
		{"20 directory 2^64-2", header(sparse, le64(vmdkDirectory, math.MaxUint64-1)), diskimage.Truncated, "grain directory"},
		{"20 directory in the descriptor", header(sparse, le64(vmdkDirectory, 1)), diskimage.Malformed, "grain directory"},
		{"24 not closed", header(sparse, imagetest.Patch{Off: vmdkUnclean, Data: []byte{1}}), 0, "did not close"},
		{"24 version 2", header(sparse, le32(vmdkVersion, 2)), 0, ""},
		{"24 version 3", header(sparse, le32(vmdkVersion, 3)), 0, "version 3"},
		{"24 version 4", header(sparse, le32(vmdkVersion, 4)), diskimage.Unsupported, "version"},
		{"25 line ends changed", header(sparse, imagetest.Patch{Off: vmdkLineEnds, Data: []byte("\r\n\r\n")}), diskimage.Malformed, "text mode"},
		{"25 line ends shortened", header(stream, imagetest.Patch{Off: vmdkLineEnds, Data: []byte("\n \n\n")}), diskimage.Malformed, "text mode"},
		{"39 descriptor longer than the overhead", header(sparse, le64(vmdkOverhead, 20)), diskimage.Malformed, "overhead"},
		{"39 descriptor of 2^40 sectors", header(sparse, le64(vmdkDescSize, 1<<40)), diskimage.Malformed, "descriptor size"},
		{"39 descriptor at 2^62", header(sparse, le64(vmdkDescriptor, 1<<62)), diskimage.Malformed, "descriptor"},
		{"42 compressed, of a sparse type", header(sparse, le32(vmdkFlags, 0x30003), imagetest.Patch{Off: 77, Data: []byte{1}}), diskimage.Malformed, "createType"},
		{"42 a stream without its flags", header(stream, le32(vmdkFlags, 1)), diskimage.Malformed, "createType"},
	})
}

func TestVMDKTables(t *testing.T) {
	const sparse, stream = imagetest.VMDKSparse, imagetest.VMDKOvftool
	entry := func(i *imagetest.VMDKImage, at int, v uint32) { binary.LittleEndian.PutUint32(i.Bytes[at:], v) }
	size := func(i *imagetest.VMDKImage) uint32 { return uint32(len(i.Bytes) / 512) }
	zeroed := vmdk(sparse)
	zeroed.Zeroed = []int64{7}
	run(t, []hostile{
		{"21 table past the end", edited(stream, func(i *imagetest.VMDKImage) { entry(i, i.Directory, size(i)-3) }), diskimage.Truncated, "entry 0"},
		{"21 table is the directory", edited(stream, func(i *imagetest.VMDKImage) { entry(i, i.Directory, uint32(i.Directory/512)) }), diskimage.Malformed, "entry 0"},
		{"21 two entries share a table", edited(sparse, func(i *imagetest.VMDKImage) {
			entry(i, i.Directory+4, binary.LittleEndian.Uint32(i.Bytes[i.Directory:]))
		}), diskimage.Malformed, "overlaps"},
		{"22 all tables one, of one grain", amplified(true), diskimage.Malformed, "overlaps"},
		{"22 all entries one grain", amplified(false), diskimage.Malformed, "entry 1 = "},
		{"23 grain in the header", edited(sparse, func(i *imagetest.VMDKImage) { entry(i, i.Tables[0]+12, 2) }), diskimage.Malformed, "entry 3"},
		{"23 grain in the directory", edited(sparse, func(i *imagetest.VMDKImage) { entry(i, i.Tables[0]+12, uint32(i.Directory/512)) }), diskimage.Malformed, "entry 3"},
		{"23 grain one sector past the end", edited(sparse, func(i *imagetest.VMDKImage) { entry(i, i.Tables[0]+12, size(i)-7) }), diskimage.Truncated, "entry 3"},
		{"23 entry 1 without the flag", edited(sparse, func(i *imagetest.VMDKImage) { entry(i, i.Tables[0]+12, 1) }), diskimage.Malformed, "entry 3"},
		{"23 entry 1 with the flag", zeroed.Build().Bytes, 0, ""},
		{"26 a redundant table differs", edited(sparse, func(i *imagetest.VMDKImage) { entry(i, i.Copies[0]+12, 0) }), 0, "1 grain tables differ"},
		{"26 the table zeroed, the redundant one good", edited(sparse, func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Tables[0]:][:2048]) }), 0, "1 grain tables differ"},
	})
	// Whichever table is damaged, the one in the directory is read.
	intact := vmdk(sparse).Build()
	want := make([]byte, 4096)
	for name, table := range map[string]map[int64]int{"26 read with the redundant table zeroed": intact.Copies, "26 read with the table zeroed": intact.Tables} {
		t.Run(name, func(t *testing.T) {
			object := bytes.Clone(intact.Bytes)
			clear(object[table[0]:][:2048])
			got := make([]byte, 4096)
			if _, err := mustOpen(t, object).ReadAt(got, 3*4096); err != nil {
				t.Fatal(err)
			}
			clear(want)
			if table[0] == intact.Copies[0] {
				copy(want, vmdk(sparse).Grains[3])
			}
			if !bytes.Equal(got, want) {
				t.Error("the directory's table does not decide")
			}
		})
	}
}

// amplified returns a disk of 16 GiB in 1 MiB: all its entries point at one grain,
// and its tables may all be the same table.
func amplified(tables bool) []byte {
	v := imagetest.VMDK{Size: 16 << 30, Grains: map[int64][]byte{0: {1}}}
	image := v.Build()
	le := binary.LittleEndian
	for n, at := range image.Tables {
		if tables {
			le.PutUint32(image.Bytes[image.Directory+4*int(n):], uint32(image.Tables[0]/512))
		}
		for e := range 512 {
			le.PutUint32(image.Bytes[at+e*4:], uint32(image.Records[0]/512))
		}
	}
	return image.Bytes
}

func TestVMDKGrains(t *testing.T) {
	imagetest.Volume(t)
	packed := func(compress func(grain []byte) []byte) []byte {
		v := vmdk(imagetest.VMDKOvftool)
		v.Grains, v.Compress = map[int64][]byte{5: bytes.Repeat([]byte("grain"), 800)}, compress
		return v.Build().Bytes
	}
	changed := func(edit func(z []byte)) []byte {
		return packed(func(p []byte) []byte {
			z := imagetest.Zlib(p)
			edit(z)
			return z
		})
	}
	run(t, []hostile{
		{"27 a byte too long", packed(func(p []byte) []byte { return imagetest.Zlib(append(p, 1)) }), diskimage.Malformed, "invalid length"},
		{"27 ten times too long", packed(func(p []byte) []byte { return imagetest.Zlib(bytes.Repeat(p, 10)) }), diskimage.Malformed, "invalid length"},
		{"27 a bomb of 16 MiB", bomb(16 << 20), diskimage.Malformed, "invalid length"},
		{"28 a byte too short", packed(func(p []byte) []byte { return imagetest.Zlib(p[1:]) }), diskimage.Malformed, "invalid length"},
		{"28 nothing", packed(func([]byte) []byte { return imagetest.Zlib(nil) }), diskimage.Malformed, "invalid length"},
		{"29 wrong checksum", changed(func(z []byte) { z[len(z)-1]++ }), diskimage.Malformed, "checksum"},
		{"29 preset dictionary", changed(func(z []byte) { z[0], z[1] = 0x78, 0xbb }), diskimage.Malformed, "dictionary"},
		{"29 another method", changed(func(z []byte) { z[0], z[1] = 0x77, 0x85 }), diskimage.Malformed, "header"},
		{"29 stored blocks alone", packed(func(p []byte) []byte { return deflated(p, zlib.NoCompression) }), 0, ""},
	})
}

func deflated(p []byte, level int) []byte {
	var z bytes.Buffer
	w, _ := zlib.NewWriterLevel(&z, level) // the level is a valid one
	_, _ = w.Write(p)                      // a buffer takes everything
	_ = w.Close()
	return z.Bytes()
}

// bomb returns a disk of one grain of 1 MiB, whose stream expands to n bytes.
func bomb(n int) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		_, _ = w.Write(zeros) // a buffer takes everything
	}
	_ = w.Close()
	return imagetest.VMDK{
		Size: 1 << 20, Grain: 1 << 20, Layout: imagetest.VMDKQemu, Grains: map[int64][]byte{0: nil},
		Compress: func([]byte) []byte { return z.Bytes() },
	}.Build().Bytes
}

func TestVMDKMarkers(t *testing.T) {
	const stream = imagetest.VMDKOvftool
	le := binary.LittleEndian
	size := func(v uint32) func(*imagetest.VMDKImage) {
		return func(i *imagetest.VMDKImage) { le.PutUint32(i.Bytes[i.Records[5]+8:], v) }
	}
	lba := func(v uint64) func(*imagetest.VMDKImage) {
		return func(i *imagetest.VMDKImage) { le.PutUint64(i.Bytes[i.Records[5]:], v) }
	}
	// The marker of the second table, which the disk does not need.
	marker := func(kind uint32, val uint64) func(*imagetest.VMDKImage) {
		return func(i *imagetest.VMDKImage) {
			at := i.Tables[0] - 512
			le.PutUint64(i.Bytes[at:], val)
			le.PutUint32(i.Bytes[at+12:], kind)
		}
	}
	run(t, []hostile{
		{"30 size 2^32-1", edited(stream, size(math.MaxUint32)), diskimage.Malformed, "size"},
		{"30 size above what a grain may need", edited(stream, size(2*4096+65)), diskimage.Malformed, "size"},
		{"30 size past the next record", edited(stream, size(2*4096)), diskimage.Malformed, "size"},
		{"31 LBA of another grain", edited(stream, lba(8)), diskimage.Malformed, "LBA"},
		{"31 LBA not on a grain", edited(stream, lba(5*8+1)), diskimage.Malformed, "LBA"},
		{"31 LBA past the disk", edited(stream, lba(1<<32)), diskimage.Malformed, "LBA"},
		{"31 one record for two grains", edited(stream, func(i *imagetest.VMDKImage) {
			copy(i.Bytes[i.Tables[0]+20:], i.Bytes[i.Tables[0]:][:4])
		}), diskimage.Malformed, "LBA"},
		{"32 LBA 2^64-1", edited(stream, lba(math.MaxUint64)), diskimage.Malformed, "LBA"},
		// Tables, not markers, say where the grains are. What a marker announces
		// beyond them is not read.
		{"33 marker of type 4", edited(stream, marker(4, 4)), 0, ""},
		{"33 marker of type 2^31-1 and 2^40 sectors", edited(stream, marker(math.MaxInt32, 1<<40)), 0, ""},
		{"35 entry dropped", edited(imagetest.VMDKQemu, func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Tables[0]+12:][:4]); clear(i.Bytes[i.Copies[0]+12:][:4]) }), 0, ""},
		{"35 entry moved to another grain", edited(imagetest.VMDKQemu, func(i *imagetest.VMDKImage) {
			copy(i.Bytes[i.Tables[0]+12:], i.Bytes[i.Tables[0]:][:4])
		}), diskimage.Malformed, "LBA"},
		{"35 entry added at a marker", edited(imagetest.VMDKTool, func(i *imagetest.VMDKImage) {
			le.PutUint32(i.Bytes[i.Tables[0]+16:], uint32(i.Tables[0]/512-1))
		}), diskimage.Malformed, "no grain"},
		{"37 empty tables without an end", manyMarkers(), 0, ""},
	})
}

// manyMarkers returns a stream with 2^14 markers of tables that nothing refers to.
func manyMarkers() []byte {
	image := imagetest.VMDK{Size: 4096, Grain: 4096, Layout: imagetest.VMDKDiskManager, Grains: map[int64][]byte{0: {1}}}.Build()
	marker := make([]byte, 512+2048)
	marker[0], marker[12] = 4, 1
	image.Bytes = append(image.Bytes, bytes.Repeat(marker, 1<<14)...)
	return append(image.Bytes, make([]byte, 512)...)
}

func TestVMDKEnds(t *testing.T) {
	const stream = imagetest.VMDKOvftool
	le := binary.LittleEndian
	footer := func(at int, v uint32) []byte {
		return edited(stream, func(i *imagetest.VMDKImage) { le.PutUint32(i.Bytes[i.Footer+at:], v) })
	}
	noEnd := vmdk(imagetest.VMDKDiskManager).Build().Bytes
	run(t, []hostile{
		{"34 no footer", edited(stream, func(i *imagetest.VMDKImage) { clear(i.Bytes[i.Footer-512:]) }), diskimage.Truncated, "no footer"},
		{"34 another capacity", footer(vmdkCapacity, 1), diskimage.Malformed, "capacity"},
		{"34 another descriptor", footer(vmdkDescriptor, 2), diskimage.Malformed, "descriptor"},
		{"34 another version", footer(vmdkVersion, 1), diskimage.Malformed, "version"},
		{"34 directory at the end again", edited(stream, func(i *imagetest.VMDKImage) {
			le.PutUint64(i.Bytes[i.Footer+vmdkDirectory:], math.MaxUint64)
		}), diskimage.Malformed, "either"},
		{"36 no end of the stream, directory in the header", noEnd[:len(noEnd)-512], 0, ""},
		{"36 no end of the stream, directory at the end", edited(stream, func(i *imagetest.VMDKImage) { i.Bytes = i.Bytes[:i.Footer+512] }), diskimage.Truncated, "end-of-stream"},
		{"38 an export cut in its grains", edited(stream, func(i *imagetest.VMDKImage) { i.Bytes = i.Bytes[:i.Records[1025]+700] }), diskimage.Truncated, "end-of-stream"},
	})
}
