package vmdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// set is a disk of several files.
type set struct {
	text  string
	files map[string][]byte
}

func (s set) open() (*vmdk.Image, error) {
	return vmdk.Open(strings.NewReader(s.text), int64(len(s.text)), vmdk.Options{With: imagetest.Files(s.files)})
}

// with returns the set with a line of its descriptor replaced.
func (s set) with(old, line string) set {
	s.text = strings.ReplaceAll(s.text, old, line)
	return s
}

// units returns the units of p that are not zeros.
func units(p []byte, size int) map[int64][]byte {
	all := map[int64][]byte{}
	for i := 0; i*size < len(p); i++ {
		if part := p[i*size : min(len(p), (i+1)*size)]; imagetest.DataBytes(part) > 0 {
			all[int64(i)] = part
		}
	}
	return all
}

// sets returns disksOf of an odd size.
func sets() (map[string]set, []byte) { return disksOf(300<<10 + 512) }

// disksOf returns a disk of first bytes, 64 KiB of zeros and 2 MiB and a bit, as
// every type that is of several files, and its contents.
func disksOf(first int) (map[string]set, []byte) {
	const gap, second = 64 << 10, 2<<20 + 1024
	want := imagetest.Mixed(first+gap+second, 5)
	clear(want[first : first+gap])
	clear(want[1<<20 : 3<<19])
	a, b := want[:first], want[first+gap:]
	lines := func(kind string, zero int, names ...string) []string {
		return []string{
			fmt.Sprintf("RW %d %s %s", first/512, kind, names[0]), fmt.Sprintf("RW %d ZERO", zero/512),
			fmt.Sprintf("RDONLY %d %s %s", second/512, kind, names[1]),
		}
	}
	described := func(createType string, lines []string) string { return imagetest.VMDKDescriptor(createType, lines...) }
	sparse := func(p []byte) []byte {
		return imagetest.VMDK{Size: int64(len(p)), Grain: 4096, Grains: units(p, 4096)}.Extent().Bytes
	}
	cowd := func(p []byte) []byte {
		image, _ := imagetest.COWD{Size: int64(len(p)), Grains: units(p, 512)}.Build()
		return image
	}
	flats := map[string][]byte{"a-f001.vmdk": a, "a-f002.vmdk": b}
	sparses := map[string][]byte{"s 1.vmdk": sparse(a), "s 2.vmdk": sparse(b)}
	return map[string]set{
		"twoGbMaxExtentFlat": {described("twoGbMaxExtentFlat", lines("FLAT", gap, `"a-f001.vmdk" 0`, `"a-f002.vmdk" 0`)), flats},
		"vmfs":               {described("vmfs", lines("VMFS", gap, `"a-f001.vmdk"`, `"a-f002.vmdk"`)), flats},
		"monolithicFlat": {
			described("monolithicFlat", lines("FLAT", gap, fmt.Sprintf(`"all-flat.vmdk" %d`, second/512), `"all-flat.vmdk" 0`)),
			map[string][]byte{"all-flat.vmdk": slices.Concat(b, a)},
		},
		"twoGbMaxExtentSparse": {described("twoGbMaxExtentSparse", lines("SPARSE", gap, `"s 1.vmdk"`, `"s 2.vmdk"`)), sparses},
		"vmfsSparse": {
			described("vmfsSparse", lines("VMFSSPARSE", gap, `"1.vmdk"`, `"2.vmdk"`)),
			map[string][]byte{"1.vmdk": cowd(a), "2.vmdk": cowd(b)},
		},
	}, want
}

func TestFiles(t *testing.T) {
	all, want := sets()
	for kind, s := range all {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d, err := s.open()
			if err != nil {
				t.Fatal(err)
			}
			imagetest.Run(t, d, bytes.NewReader(want))
			got := d.Describe()
			if got.Variant != kind || got.VirtualSize != int64(len(want)) || len(got.Warnings) > 0 {
				t.Errorf("described as %+v", got)
			}
			if names := d.Files(); !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(s.files))) {
				t.Errorf("files are %q", names)
			}
			zero := int64(0)
			for e, err := range d.Extents(0, d.Size()) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Kind == diskimage.Zero {
					zero += e.Len
				}
			}
			if zero != 64<<10 { // later extents keep their place
				t.Errorf("%d bytes are marked as zeros", zero)
			}
		})
	}
}

// A descriptor may be the only thing in a sparse image (ESX), which is known by
// its capacity of 0.
func TestOnlyADescriptorInside(t *testing.T) {
	all, want := sets()
	s := all["vmfs"]
	v := imagetest.VMDK{Size: 1 << 20, Descriptor: s.text, Header: set64(12, 0)}
	s.text = string(v.Build().Bytes)
	d, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, bytes.NewReader(want))
}

// A flat file that knows its holes keeps them.
func TestFlatHoles(t *testing.T) {
	p := imagetest.Mixed(1<<20, 3)
	clear(p[256<<10 : 512<<10])
	text := imagetest.VMDKDescriptor("monolithicFlat", `RW 1920 FLAT "x" 128`)
	d, err := vmdk.Open(strings.NewReader(text), int64(len(text)), vmdk.Options{With: map[string]diskimage.File{
		"x": {R: imagetest.Sparse{Bytes: p, Unit: 64 << 10}, Size: int64(len(p))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, bytes.NewReader(p[64<<10:]))
	holes := int64(0)
	for e, err := range d.Extents(0, d.Size()) {
		if err == nil && e.Kind == diskimage.Hole {
			holes += e.Len
		}
	}
	if holes < 256<<10 {
		t.Errorf("%d bytes are holes", holes)
	}
}

func TestLongerFile(t *testing.T) {
	all, want := sets()
	s := all["monolithicFlat"]
	s.files = map[string][]byte{"all-flat.vmdk": append(bytes.Clone(s.files["all-flat.vmdk"]), 1)}
	d, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	imagetest.Run(t, d, bytes.NewReader(want))
	if w := d.Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "1 bytes more") {
		t.Errorf("warnings: %q", w)
	}
}

// All the files that are missing are named at once.
func TestMissingFiles(t *testing.T) {
	all, _ := sets()
	for kind, s := range all {
		s.files = nil
		_, err := s.open()
		var missing *diskimage.MissingFileError
		wantFault(t, err, diskimage.External, "not given")
		if want := len(all[kind].files); !errors.As(err, &missing) || len(missing.Names) != want {
			t.Errorf("%s: got %v, want %d files missing", kind, err, want)
		}
	}
}

// A file of a split disk is not a disk by itself.
func TestFileAlone(t *testing.T) {
	all, _ := sets()
	for kind, word := range map[string]string{"twoGbMaxExtentSparse": "descriptor", "vmfsSparse": "COWD"} {
		for name, p := range all[kind].files {
			_, err := open(p)
			t.Run(name, func(t *testing.T) { wantFault(t, err, diskimage.External, word) })
		}
	}
}
