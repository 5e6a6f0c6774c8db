package vhd_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/vhd"
)

// qemu-img's images of 64 MiB and an odd size hold what was put in. Without
// force_size the disk is rounded up to what geometry can express.
func TestQemuImg(t *testing.T) {
	raw := imagetest.Mixed(64<<20+3*512, 6)
	clear(raw[10<<20 : 23<<20])
	for _, options := range []string{
		"subformat=dynamic", "subformat=dynamic,force_size=on", "subformat=fixed", "subformat=fixed,force_size=on",
	} {
		t.Run(options, func(t *testing.T) {
			f := imagetest.Convert(t, raw, "vpc", options)
			d, err := vhd.Open(f, imagetest.Size(t, f), vhd.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() < int64(len(raw)) || d.Size() > int64(len(raw))+1<<20 {
				t.Errorf("size is %d, want %d or a little more", d.Size(), len(raw))
			}
			imagetest.Run(t, d, imagetest.Padded(bytes.NewReader(raw), int64(len(raw))))
		})
	}
}
