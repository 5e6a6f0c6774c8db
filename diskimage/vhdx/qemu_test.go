package vhdx_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhdx"
)

// qemu-img's images of 64 MiB and an odd size hold what was put in.
func TestQemuImg(t *testing.T) {
	raw := imagetest.Mixed(64<<20+3*512, 6)
	clear(raw[10<<20 : 23<<20])
	for _, options := range []string{
		"subformat=dynamic", "subformat=dynamic,block_size=1M", "subformat=dynamic,block_size=32M", "subformat=fixed,block_size=2M",
	} {
		t.Run(options, func(t *testing.T) {
			f := imagetest.Convert(t, raw, "vhdx", options)
			d, err := vhdx.Open(f, imagetest.Size(t, f), vhdx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() != int64(len(raw)) {
				t.Errorf("size is %d, want %d", d.Size(), len(raw))
			}
			imagetest.Run(t, d, bytes.NewReader(raw))
		})
	}
}
