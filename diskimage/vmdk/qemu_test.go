package vmdk_test

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// qemu-img's images of an odd size hold what was put in.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	all := imagetest.Mixed(64<<20+3*512, 7)
	clear(all[10<<20 : 23<<20])
	for options, want := range map[string][]byte{
		"subformat=monolithicSparse": all, "subformat=streamOptimized": all,
		"subformat=monolithicSparse,zeroed_grain=on": all[:12<<20+512],
	} {
		t.Run(options, func(t *testing.T) {
			f := imagetest.Convert(t, want, "vmdk", options)
			d, err := vmdk.Open(f, imagetest.Size(t, f), vmdk.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() != int64(len(want)) {
				t.Errorf("size is %d, want %d", d.Size(), len(want))
			}
			if w := d.Describe().Warnings; len(w) > 0 {
				t.Errorf("warnings: %q", w)
			}
			imagetest.Run(t, d, bytes.NewReader(want))
		})
	}
}

// qemu-img's images of several files, over 2 GiB so that there are several, hold
// what was put in, where qemu-img says that data are.
func TestQemuImgFiles(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	in := filepath.Join(t.TempDir(), "in.raw")
	raw, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	const border = 2 << 30
	for i, off := range []int64{0, border - 20<<20 - 512, border + 300<<20} {
		if _, err := raw.WriteAt(imagetest.Mixed(40<<20, uint64(i)), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Truncate(border + 400<<20 + 3*512); err != nil {
		t.Fatal(err)
	}
	for subformat, files := range map[string]int{"monolithicFlat": 1, "twoGbMaxExtentFlat": 2, "twoGbMaxExtentSparse": 2, "twoGbMaxExtentSparse,zeroed_grain=on": 2} {
		t.Run(subformat, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.vmdk")
			imagetest.QemuImg(t, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat="+subformat, in, path)
			d := openSet(t, path, func(f *os.File) io.ReaderAt { return imagetest.SparseFile{File: f} })
			if n := len(d.Files()); n != files {
				t.Errorf("%d files, want %d", n, files)
			}
			if w := d.Describe().Warnings; len(w) > 0 {
				t.Errorf("warnings: %q", w)
			}
			imagetest.Run(t, d, raw)
			// qemu-img does not look for the holes of flat files.
			imagetest.SameMap(t, openSet(t, path, func(f *os.File) io.ReaderAt { return f }), path)
		})
	}
}

// qemu-img reads what tests of disks of several files are made of, without zeros and
// RDONLY: it passes over such lines, as if the disk were shorter. All files but the last are
// whole grains: it reads others beyond their ends.
func TestQemuImgReadsFiles(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	const zeros = "RW 128 ZERO\n"
	const first, gap = 300 << 10, 128 * 512
	all, want := disksOf(first)
	want = slices.Concat(want[:first], want[first+gap:])
	for kind, s := range all {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			if !strings.Contains(s.text, zeros) {
				t.Fatal("no line of zeros")
			}
			s.files = maps.Clone(s.files)
			s.files["disk.vmdk"] = []byte(strings.NewReplacer(zeros, "", "RDONLY", "RW").Replace(s.text))
			for name, p := range s.files {
				if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(dir, "out.raw")
			imagetest.QemuImg(t, "convert", "-f", "vmdk", "-O", "raw", filepath.Join(dir, "disk.vmdk"), out)
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
				t.Errorf("qemu-img reads another disk, %v", err)
			}
		})
	}
}

// openSet opens a descriptor with all the files beside it.
func openSet(t *testing.T, path string, reader func(*os.File) io.ReaderAt) *vmdk.Image {
	t.Helper()
	with := map[string]diskimage.File{}
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range beside {
		f, size := imagetest.Open(t, p)
		with[filepath.Base(p)] = diskimage.File{R: reader(f), Size: size}
	}
	f, size := imagetest.Open(t, path)
	d, err := vmdk.Open(f, size, vmdk.Options{With: with})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// qemu-img reads what WriteStream writes.
func TestQemuImgReadsStream(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(40<<20+5*512, 8)
	clear(want[3<<20 : 36<<20]) // the table of the second 32 MiB is the only other one
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.vmdk"), filepath.Join(dir, "out.raw")
	if err := os.WriteFile(in, stream(t, want), 0o600); err != nil {
		t.Fatal(err)
	}
	imagetest.QemuImg(t, "convert", "-f", "vmdk", "-O", "raw", in, out)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("qemu-img reads another disk")
	}
}

// disk returns p as a disk that knows its holes.
func disk(t testing.TB, p []byte) diskimage.Disk {
	t.Helper()
	d, err := raw.Open(imagetest.Sparse{Bytes: p, Unit: 4096}, int64(len(p)), raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stream returns the stream that WriteStream makes of p.
func stream(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := vmdk.WriteStream(t.Context(), &b, disk(t, p), vmdk.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
