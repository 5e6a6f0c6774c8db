package hostile_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// extremes returns the values that the field at an offset is set to, in the
// format's byte order.
func (s specimen) extremes(at int64) []imagetest.Patch {
	le32, le64 := imagetest.LE32, imagetest.LE64
	if strings.HasPrefix(s.name, "vhd ") || strings.HasPrefix(s.name, "qcow2") || strings.HasPrefix(s.name, "dmg") {
		le32, le64 = imagetest.BE32, imagetest.BE64
	}
	return []imagetest.Patch{
		le32(at, 0), le32(at, math.MaxUint32), le64(at, 1<<40),
	}
}

// areas returns the ranges of offsets where an image has fields.
func (s specimen) areas() [][2]int64 {
	switch {
	case bytes.HasPrefix(s.object, []byte("vhdxfile")):
		const items = imagetest.VHDXMetadata + 64<<10
		return [][2]int64{
			{imagetest.VHDXHeader1, imagetest.VHDXHeader1 + 80}, {imagetest.VHDXRegions1, imagetest.VHDXRegions1 + 80},
			{imagetest.VHDXMetadata, imagetest.VHDXMetadata + 192}, {items, items + 64}, {imagetest.VHDXTable, imagetest.VHDXTable + 32},
		}
	case len(s.object) < 1024:
		return [][2]int64{{0, int64(len(s.object)) &^ 7}}
	}
	// The start, and the end, where footers are.
	end := int64(len(s.object)) &^ 7
	return slices.DeleteFunc([][2]int64{
		{0, 128}, {320, 456}, {512, 600}, {1024, 1032}, {1536, 1552}, {4096, 4112}, {8192, 8208},
		{end - 1024, end - 928}, {end - 512, end - 400}, {end - 304, end - 272},
	}, func(a [2]int64) bool { return a[1] > end })
}

// sameFields are specimens that have the same fields as others.
var sameFields = []string{"vhd reverse", "vhdx dynamic", "vmdk diskmanager", "vmdk vmdktool", "qcow2 v2", "qcow2 zlib", "dmg raw"}

// Whatever value a field has, the image is either refused with a fault that gives
// the true place and value, or read by the laws, in the memory of a small disk.
func TestFields(t *testing.T) {
	imagetest.Volume(t)
	for _, s := range gallery(t) {
		if strings.HasPrefix(s.name, "qcow2 v3 in") || slices.Contains(sameFields, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			refused := 0
			image := bytes.Clone(s.object)
			for _, area := range s.areas() {
				for at := area[0]; at < area[1]; at += 4 {
					for _, p := range s.extremes(at) {
						if at+int64(len(p.Data)) > int64(len(image)) {
							continue
						}
						imagetest.Patches{p}.Apply(image)
						if s.mend != nil {
							s.mend(image)
						}
						if err := s.read(image); err != nil {
							refused++
							checkField(t, err, image, p)
						}
						s.restore(image)
					}
				}
			}
			if refused == 0 && s.name != "raw" {
				t.Error("nothing was refused")
			}
		})
	}
}

// restore undoes the changes that TestFields made to image.
func (s specimen) restore(image []byte) {
	const low = 512 << 10 // all metadata at fixed places
	copy(image, s.object[:min(len(s.object), low)])
	copy(image[max(0, len(image)-4096):], s.object[max(0, len(image)-4096):])
	for _, area := range s.areas() {
		copy(image[area[0]:min(area[1]+8, int64(len(image)))], s.object[area[0]:])
	}
}

// read walks an image, and reads its beginning and its end.
func (s specimen) read(image []byte) error {
	d, err := open(image, s.with)
	if err != nil {
		return err
	}
	extents := 0
	for _, err := range d.Extents(0, d.Size()) {
		if err != nil {
			return err
		}
		if extents++; extents > 1<<16 {
			return errors.New("more extents than the object has bytes")
		}
	}
	p := make([]byte, 1000)
	for _, off := range []int64{0, d.Size() / 2, max(0, d.Size()-500)} {
		if _, err := d.ReadAt(p, off); err != nil && faulty(err) {
			return err
		}
	}
	return nil
}

func checkField(t *testing.T, err error, image []byte, p imagetest.Patch) {
	t.Helper()
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) {
		t.Errorf("% x at %#x: %v", p.Data, p.Off, err)
		return
	}
	wantFault(t, err, fault.Class, "")
	if fault.HasValue && !holds(image, fault.Offset, fault.Value) {
		t.Errorf("% x at %#x: untrue: %v", p.Data, p.Off, err)
	}
}
