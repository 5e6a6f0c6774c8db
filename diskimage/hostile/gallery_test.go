package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/raw"
)

// specimen is a valid image and the disk in it.
type specimen struct {
	name   string // format, variant
	object []byte
	with   map[string]diskimage.File
	want   []byte
	disk   diskimage.Disk // of a real image, in place of want
	// mend, if set, corrects the checksums of a changed image.
	mend func(image []byte)
}

// gallery returns an image of every kind that can be built, in a fixed order.
func gallery(t testing.TB) []specimen {
	t.Helper()
	all, err := specimens()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var specimens = sync.OnceValues(func() ([]specimen, error) {
	all := slices.Concat(vhds(), vhdxs(), vmdks(), qcow2s(), others())
	packed, err := packedOnes(all)
	return append(all, packed...), err
})

// spread returns a disk of n units and a part of one, with data, zeros and text,
// and those of its units that are not zeros.
func spread(unit, n, extra int) (want []byte, stored map[int64][]byte) {
	want = imagetest.Mixed(unit*n+extra, uint64(unit))
	stored = map[int64][]byte{}
	for i := 0; i*unit < len(want); i++ {
		p := want[i*unit : min(len(want), (i+1)*unit)]
		if i%5 == 3 {
			clear(p)
		} else {
			stored[int64(i)] = p
		}
	}
	return want, stored
}

func vhds() []specimen {
	want, blocks := spread(4096, 9, 512)
	dynamic := imagetest.VHD{Size: int64(len(want)), BlockSize: 4096, Blocks: blocks}
	reverse := dynamic
	reverse.Reverse = true
	fixed := imagetest.VHD{Size: int64(len(want)), Blocks: map[int64][]byte{0: want}}
	mend := func(p []byte) {
		if len(p) >= 2048 {
			imagetest.SumVHD(p[:512], 64)
			imagetest.SumVHD(p[len(p)-512:], 64)
			imagetest.SumVHD(p[imagetest.VHDHeader:imagetest.VHDTable], 36)
		}
	}
	return []specimen{
		{name: "vhd dynamic", object: dynamic.Build(), want: want, mend: mend},
		{name: "vhd reverse", object: reverse.Build(), want: want, mend: mend},
		{name: "vhd fixed", object: fixed.Build(), want: want, mend: func(p []byte) { imagetest.SumVHD(p[len(p)-512:], 64) }},
	}
}

func vhdxs() []specimen {
	const mib = 1 << 20
	want := make([]byte, 3*mib)
	first, last := imagetest.Mixed(mib, 1), imagetest.Mixed(mib, 2)
	copy(want, first)
	copy(want[2*mib:], last)
	v := imagetest.VHDX{Size: 3 * mib, BlockSize: mib, Blocks: map[int64][]byte{0: first, 2: last}}
	logged := v
	logged.LogGUID = [16]byte{7}
	page := bytes.Repeat([]byte{9}, 4096)
	logged.Log = imagetest.VHDXEntry{GUID: logged.LogGUID, Sequence: 3, Changes: []imagetest.VHDXChange{{Off: 4*mib + 8192, Page: page}}}.Build()
	replayed := bytes.Clone(want)
	copy(replayed[8192:], page)
	return []specimen{
		{name: "vhdx dynamic", object: v.Build(), want: want, mend: imagetest.SumVHDXImage},
		{name: "vhdx with a log", object: logged.Build(), want: replayed, mend: imagetest.SumVHDXImage},
	}
}

func vmdks() []specimen {
	var all []specimen
	for name, layout := range map[string]imagetest.VMDKLayout{
		"sparse": imagetest.VMDKSparse, "ovftool": imagetest.VMDKOvftool, "diskmanager": imagetest.VMDKDiskManager,
		"vmdktool": imagetest.VMDKTool, "qemu": imagetest.VMDKQemu,
	} {
		want, grains := spread(4096, 9, 512)
		v := imagetest.VMDK{Size: int64(len(want)), Grain: 4096, Layout: layout, Grains: grains}
		all = append(all, specimen{name: "vmdk " + name, object: v.Build().Bytes, want: want})
	}
	slices.SortFunc(all, func(a, b specimen) int { return strings.Compare(a.name, b.name) })
	return append(all, vmdkSets()...)
}

// vmdkSets are disks of several files, each with two files of 20 KiB.
func vmdkSets() []specimen {
	const size = 20 * kib
	set := func(createType, kind, tail string, build func(grains map[int64][]byte, contents []byte) []byte) specimen {
		var want []byte
		files := map[string][]byte{}
		var lines []string
		for i := range 2 {
			contents := imagetest.Mixed(size, uint64(i))
			grains := map[int64][]byte{}
			for n := range int64(size / 4096) {
				grains[n] = contents[n*4096:][:4096]
			}
			name := fmt.Sprintf("disk-%d.vmdk", i+1)
			files[name] = build(grains, contents)
			lines = append(lines, fmt.Sprintf("RW %d %s %q%s", size/512, kind, name, tail))
			want = append(want, contents...)
		}
		return specimen{
			name: "vmdk " + createType, object: []byte(imagetest.VMDKDescriptor(createType, lines...)),
			with: imagetest.Files(files), want: want,
		}
	}
	return []specimen{
		set("twoGbMaxExtentFlat", "FLAT", " 0", func(_ map[int64][]byte, contents []byte) []byte { return contents }),
		set("twoGbMaxExtentSparse", "SPARSE", "", func(grains map[int64][]byte, _ []byte) []byte {
			return imagetest.VMDK{Size: size, Grain: 4096, Grains: grains}.Extent().Bytes
		}),
	}
}

func qcow2s() []specimen {
	var all []specimen
	for _, kind := range []string{"v2", "v3", "zlib", "zstd", "extended"} {
		bits := 12
		if kind == "extended" {
			bits = 14
		}
		want, stored := spread(1<<bits, 9, 512)
		q := imagetest.Qcow2{Size: int64(len(want)), ClusterBits: bits, Zstd: kind == "zstd", Extended: kind == "extended", Clusters: map[int64]imagetest.Qcow2Cluster{}}
		if kind == "v2" {
			q.Version = 2
		}
		for n, p := range stored {
			q.Clusters[n] = imagetest.Qcow2Cluster{Data: p, Compress: kind == "zlib" || kind == "zstd"}
		}
		all = append(all, specimen{name: "qcow2 " + kind, object: q.Build().Bytes, want: want})
	}
	return all
}

func others() []specimen {
	want, units := spread(4096, 9, 512)
	size := int64(len(want))
	return []specimen{
		{name: "vdi dynamic", object: imagetest.VDI{Size: size, BlockSize: 4096, Blocks: units}.Build(), want: want},
		{name: "qed", object: imagetest.QED{Size: size, Clusters: units}.Build().Bytes, want: want},
		{name: "parallels", object: imagetest.Parallels{Size: size, Tracks: 8, Clusters: units}.Build(), want: want},
		{name: "parallels old", object: imagetest.Parallels{Size: size, Tracks: 8, Old: true, Clusters: units}.Build(), want: want},
		{name: "dmg", object: imagetest.DMG{Size: size, Chunk: 4096, Type: 1, Chunks: units}.Build(), want: want},
		{name: "dmg zlib", object: imagetest.DMG{Size: size, Chunk: 4096, Chunks: units}.Build(), want: want},
		{name: "dmg raw", object: imagetest.DMG{Size: size, Chunk: 4096, Chunks: units, Type: 1, Pack: bytes.Clone}.Build(), want: want},
		{name: "raw", object: want, want: want},
		{name: "ova", object: ovaOf(imagetest.VMDK{Size: size, Grain: 4096, Layout: imagetest.VMDKOvftool, Grains: units}.Build().Bytes), want: want},
	}
}

func ovaOf(disk []byte) []byte {
	ovf := imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF("disk1.vmdk")}
	member := imagetest.Member{Name: "disk1.vmdk", Data: disk}
	return imagetest.Tar(ovf, imagetest.Member{Name: "vm.mf", Data: imagetest.Manifest(ovf, member)}, member)
}

// packedOnes returns a raw disk and one of the images, each packed with every tool.
func packedOnes(from []specimen) ([]specimen, error) {
	var all []specimen
	tools := map[string][]string{"gzip": {"-1"}, "xz": {"-1"}, "zstd": {"-1", "-q"}, "bzip2": {"-1"}}
	for _, tool := range slices.Sorted(maps.Keys(tools)) {
		for _, s := range from {
			if s.name != "raw" && s.name != "qcow2 v3" {
				continue
			}
			cmd := exec.Command(tool, append(tools[tool], "-c")...)
			var out bytes.Buffer
			cmd.Stdin, cmd.Stdout = bytes.NewReader(s.object), &out
			if err := cmd.Run(); err != nil {
				return nil, fmt.Errorf("packing with %s (Debian and Ubuntu: gzip, xz-utils, bzip2, zstd): %w", tool, err)
			}
			all = append(all, specimen{name: s.name + " in " + tool, object: out.Bytes(), want: s.want})
		}
	}
	return all, nil
}

// differs returns the first difference between a disk and the expected contents, or
// the error of reading the disk.
func differs(d diskimage.Disk, want []byte) error {
	w, err := raw.Open(bytes.NewReader(want), int64(len(want)), raw.Options{})
	if err != nil {
		return err
	}
	return diskimage.Compare(context.Background(), d, w)
}

// wrong reports whether an error says that a disk was read but has other contents.
func wrong(err error) bool {
	var d *diskimage.Difference
	return errors.As(err, &d) || errors.Is(err, diskimage.ErrSizesDiffer)
}

// Every specimen has the contents that it was made from.
func TestGallery(t *testing.T) {
	for _, s := range gallery(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			d, err := open(s.object, s.with)
			if err != nil {
				t.Fatal(err)
			}
			imagetest.Run(t, d, bytes.NewReader(s.want))
			if got := d.Describe(); !strings.HasPrefix(s.name, got.Format) && got.Container == "" {
				t.Errorf("opened as %s", got.Format)
			}
		})
	}
}
