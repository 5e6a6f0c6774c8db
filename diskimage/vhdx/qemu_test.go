package vhdx_test

import (
	"io"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
	"github.com/diskport/diskport/diskimage/vhdx"
)

var opener imagetest.Opener = func(r io.ReaderAt, size int64, limits diskimage.Limits) (diskimage.RunDisk, error) {
	d, err := vhdx.Open(r, size, vhdx.Options{Limits: limits})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// qemu-img's images of every option that it has for what it writes hold what was
// put in: 64 MiB of data, and holes, of an odd size.
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
		"", "-S 0", "-o block_size=1M", "-o block_size=2M", "-o block_size=32M", "-o block_size=256M",
		"-o log_size=8M", "-o log_size=64M", "-o subformat=fixed", "-o subformat=fixed,block_size=1M",
		"-o subformat=fixed,block_state_zero=off", "-o subformat=fixed,preallocation=falloc",
		"-o subformat=fixed,preallocation=full",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			source.Same(t, opener, "vhdx", options, want)
		})
	}
}

// Any size will do: less than a block, a sector more, an odd number of sectors.
func TestQemuSizes(t *testing.T) {
	sandboxtest.Outside(t)
	for _, size := range []int{512, 4096 - 512, 1<<20 + 512, 33<<20 - 512} {
		want := imagetest.Mixed(size, uint64(size))
		imagetest.NewQemuSource(t, want).Same(t, opener, "vhdx", "-o block_size=1M", want)
	}
}
