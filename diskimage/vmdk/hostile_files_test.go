package vmdk_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// Extents without a file stay in their places, and so do those that follow.
func TestZeroExtents(t *testing.T) {
	t.Run("46 zeros in the middle", func(t *testing.T) {
		a, b := imagetest.Mixed(1024, 1), imagetest.Mixed(2048, 2)
		d, err := set{
			imagetest.VMDKDescriptor("monolithicFlat", `RW 2 FLAT "x" 0`, "RW 63 ZERO", `RW 4 FLAT "y" 0`, "RW 1 ZERO"),
			map[string][]byte{"x": a, "y": b},
		}.open()
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Join([][]byte{a, make([]byte, 63*512), b, make([]byte, 512)}, nil)
		imagetest.Run(t, d, bytes.NewReader(want))
	})
}

func TestBadFiles(t *testing.T) {
	all, _ := sets()
	flat, one, sparse, cowd := all["twoGbMaxExtentFlat"], all["monolithicFlat"], all["twoGbMaxExtentSparse"], all["vmfsSparse"]
	replaced := func(s set, name string, p []byte) set {
		s.files = maps.Clone(s.files)
		s.files[name] = p
		return s
	}
	half := imagetest.VMDK{Size: 300<<10 + 512, Grain: 4096}
	whole := half.Build().Bytes
	stream := half
	stream.Layout, stream.Header = imagetest.VMDKOvftool, func(h []byte) { clear(h[28:44]) }
	cowdHead := func(at int, v uint32) []byte {
		p, _ := imagetest.COWD{Size: 300<<10 + 512, Header: set32(at, v)}.Build()
		return p
	}
	tests := []struct {
		name  string
		set   set
		class diskimage.Class
		word  string
	}{
		{"47 a flat file that is short", replaced(flat, "a-f002.vmdk", make([]byte, 2<<20+1023)), diskimage.Truncated, "a-f002.vmdk"},
		{"47 an offset past the end of the file", one.with(`vmdk" 4098`, `vmdk" 9000`), diskimage.Truncated, "all-flat.vmdk"},
		{"47 an offset that overflows", one.with(`vmdk" 0`, `vmdk" 9223372036854775807`), diskimage.Malformed, "9223372036854775807"},
		{"an offset -1", one.with(`vmdk" 0`, `vmdk" -1`), diskimage.Malformed, "-1"},
		{"no offset", one.with(`vmdk" 0`, `vmdk"`), diskimage.Malformed, "sector \"\""},
		{"49 two extents of the same bytes", one.with(`vmdk" 0`, `vmdk" 3500`), diskimage.Malformed, "same bytes"},
		{"49 two extents in one sparse file", sparse.with("s 2", "s 1"), diskimage.Malformed, "same bytes"},
		{"49 a descriptor as an extent", replaced(sparse, "s 1.vmdk", []byte(sparse.text)), diskimage.Malformed, "no sparse header"},
		{"a disk as an extent", replaced(sparse, "s 1.vmdk", whole), diskimage.Malformed, "disk by itself"},
		{"a stream as an extent", replaced(sparse, "s 1.vmdk", stream.Build().Bytes), diskimage.Unsupported, "compressed"},
		{"44 another capacity in the file", replaced(sparse, "s 1.vmdk", imagetest.VMDK{Size: 1 << 20}.Extent().Bytes), diskimage.Malformed, "capacity"},
		{"an empty file", replaced(sparse, "s 1.vmdk", nil), diskimage.Malformed, "no sparse header"},
		{"a magic alone", replaced(cowd, "1.vmdk", []byte("COWD")), diskimage.Malformed, "no COWD header"},
		{"COWD, another capacity", replaced(cowd, "1.vmdk", cowdHead(12, 7)), diskimage.Malformed, "capacity"},
		{"COWD version 2", replaced(cowd, "1.vmdk", cowdHead(4, 2)), diskimage.Unsupported, "version"},
		{"COWD of a snapshot", replaced(cowd, "1.vmdk", cowdHead(8, 2)), diskimage.External, "builds upon"},
		{"COWD grain 0", replaced(cowd, "1.vmdk", cowdHead(16, 0)), diskimage.Malformed, "grain size"},
		{"COWD grain 2^31", replaced(cowd, "1.vmdk", cowdHead(16, 1<<31)), diskimage.Malformed, "grain size"},
		{"COWD directory in the header", replaced(cowd, "1.vmdk", cowdHead(20, 3)), diskimage.Malformed, "overlaps"},
		{"COWD directory past the end", replaced(cowd, "1.vmdk", cowdHead(20, 1<<31)), diskimage.Truncated, "grain directory of \"1.vmdk\""},
		{"COWD directory short", replaced(cowd, "1.vmdk", cowdHead(24, 0)), diskimage.Malformed, "directory entries"},
		{"43 COWD and nothing said of a parent", cowd.with("parentCID=ffffffff\n", ""), diskimage.External, "parentCID"},
		{"43 a parent", flat.with("parentCID=ffffffff", "parentCID=12345678"), diskimage.External, "12345678"},
		{"not to be accessed", flat.with("RDONLY", "NOACCESS"), diskimage.Unsupported, "accessed"},
		{"48 a raw device mapping", flat.with("FLAT", "VMFSRDM"), diskimage.Unsupported, "VMFSRDM"},
		{"48 a raw device", flat.with("FLAT", "VMFSRAW"), diskimage.Unsupported, "VMFSRAW"},
		{"48 seSparse", flat.with("FLAT", "SESPARSE"), diskimage.Unsupported, "SESPARSE"},
		{"a sparse file in a flat disk", flat.with("FLAT", "SPARSE"), diskimage.Unsupported, "SPARSE"},
		{"no extents", set{text: imagetest.VMDKDescriptor("monolithicFlat")}, diskimage.Malformed, "none"},
		{"44 a sum that overflows", set{text: imagetest.VMDKDescriptor("vmfs", "RW 9223372036854775807 ZERO", "RW 9223372036854775807 ZERO")}, diskimage.Limit, "larger"},
		{"44 a sum over the limit", set{text: imagetest.VMDKDescriptor("vmfs", "RW 137438953472 ZERO", "RW 1 ZERO")}, diskimage.Limit, "larger"},
		{"a name that does not end", flat.with(`002.vmdk"`, "002.vmdk"), diskimage.Malformed, "does not end"},
		{"4 a text that was cut", set{text: strings.TrimSpace(strings.Split(flat.text, "\n\nddb")[0]), files: flat.files}, diskimage.Truncated, "ends in it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.set.open()
			wantFault(t, err, tt.class, tt.word)
		})
	}
}

// A name that is more than the plain name of a file is refused.
func TestNamesOfFiles(t *testing.T) {
	for name, extent := range map[string]string{
		"40 a host path": "/etc/passwd", "40 a parent folder": "../../x", "40 a drive": `C:\x`, "40 a share": `\\h\s`, "40 json": "json:{}",
		"40 nbd": "nbd://h", "40 a URL": "http://169.254.169.254/", "40 a device": "/dev/sda", "40 4 KiB": strings.Repeat("n", 4096),
		"50 an escape sequence": "\x1b[31mred", "40 this folder": ".", "40 the folder above": "..", "40 a stream of a file": "x:y", "40 nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			text := imagetest.VMDKDescriptor("monolithicFlat", fmt.Sprintf("RW 2048 FLAT \"%s\" 0", extent))
			_, err := set{text, map[string][]byte{extent: make([]byte, 1<<20)}}.open()
			wantFault(t, err, diskimage.External, "not the name of a file")
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "\x1b")) {
				t.Errorf("the error is not fit to print: %q", err)
			}
		})
	}
}

// Hundreds of extents share one budget for their tables.
func TestManyFiles(t *testing.T) {
	imagetest.Volume(t)
	sandboxtest.Outside(t)
	var lines []string
	files := map[string][]byte{}
	p := imagetest.VMDK{Size: 64 << 20, Grain: 4096, Grains: map[int64][]byte{0: {1}}}.Extent().Bytes
	for i := range 200 {
		name := fmt.Sprintf("s%03d", i)
		lines, files[name] = append(lines, fmt.Sprintf("RW %d SPARSE \"%s\"", 64<<11, name)), p
	}
	text := imagetest.VMDKDescriptor("twoGbMaxExtentSparse", lines...)
	before := heap()
	d, err := vmdk.Open(strings.NewReader(text), int64(len(text)), vmdk.Options{
		With: imagetest.Files(files), Limits: diskimage.Limits{MetadataBytes: 4 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == diskimage.Data {
			n++
		}
	}
	if more := heap() - before; n != 200 || more > 12<<20 {
		t.Errorf("%d extents of data, %d bytes more on the heap", n, more)
	}
}
