package vhd_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vhd"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := vhd.Open(r, size, vhd.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// qemu-img's images of every option that it has for what it writes hold what was
// put in: 64 MiB of data, and holes, of an odd size. Without force_size the disk
// is rounded up to what geometry can express.
func TestQemuImg(t *testing.T) {
	sandboxtest.Outside(t)
	imagetest.Volume(t)
	want := imagetest.Mixed(116<<20+3*512, 6)
	clear(want[10<<20 : 17<<20])
	if n := imagetest.DataBytes(want); n < 64<<20 {
		t.Fatalf("%d bytes of data, want 64 MiB", n)
	}
	source := imagetest.NewQemuSource(t, want)
	for _, options := range []string{
		"-o force_size=on", "-S 0 -o force_size=on", "-o subformat=fixed,force_size=on",
		"-o subformat=fixed,force_size=on,preallocation=falloc", "-o subformat=fixed,force_size=on,preallocation=full",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			source.Same(t, opener, "vpc", options, want)
		})
	}
	for _, options := range []string{"", "-S 0", "-o subformat=fixed"} {
		t.Run("rounded "+options, func(t *testing.T) {
			t.Parallel()
			rounded(t, source.Convert(t, "vpc", options), want)
		})
	}
}

// rounded fails t unless the image at path is a disk that begins with want, and is
// only a little larger.
func rounded(t *testing.T, path string, want []byte) {
	t.Helper()
	f, size := imagetest.Open(t, path)
	d, err := opener(f, size, diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Size() < int64(len(want)) || d.Size() > int64(len(want))+1<<20 {
		t.Errorf("size is %d, want %d or a little more", d.Size(), len(want))
	}
	imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(want), int64(len(want))))
	if !strings.Contains(d.(diskimage.Describer).Describe().Creator, "qem") {
		t.Errorf("creator is %q", d.(diskimage.Describer).Describe().Creator)
	}
}

// Any size will do: less than a block, a sector more, an odd number of sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 2<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		source := imagetest.NewQemuSource(t, want)
		source.Same(t, opener, "vpc", "-o force_size=on", want)
		source.Same(t, opener, "vpc", "-o force_size=on,subformat=fixed", want)
	}
}
