package vmdk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// qemu-img's images of an odd size hold what was put in.
func TestQemuImg(t *testing.T) {
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

// qemu-img reads what WriteStream writes.
func TestQemuImgReadsStream(t *testing.T) {
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
