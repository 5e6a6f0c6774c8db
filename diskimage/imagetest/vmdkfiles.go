package imagetest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/diskport/diskport/diskimage"
)

// Files returns files in memory, for images that consist of several.
func Files(contents map[string][]byte) map[string]diskimage.File {
	all := map[string]diskimage.File{}
	for name, p := range contents {
		all[name] = diskimage.File{R: bytes.NewReader(p), Size: int64(len(p))}
	}
	return all
}

// Extent returns the image as a file of a split disk, which has no descriptor. The
// layout must be VMDKSparse.
func (v VMDK) Extent() *VMDKImage {
	change := v.Header
	v.Header = func(h []byte) {
		clear(h[28:44])
		if change != nil {
			change(h)
		}
	}
	image := v.Build()
	clear(image.Bytes[image.Descriptor : 21*512])
	return image
}

// COWD describes an extent of type VMFSSPARSE to build.
type COWD struct {
	Size   int64            // bytes
	Grain  int64            // bytes; 0 is a sector
	Grains map[int64][]byte // stored grains, by number; shorter ones are padded
	Header func(header []byte)
}

const (
	cowdHeader  = 2048
	cowdEntries = 4096
)

// Build returns the file, and the offsets of its grain tables, by number. Tables
// without grains are not stored.
func (c COWD) Build() (image []byte, tables map[int64]int) {
	if c.Grain == 0 {
		c.Grain = 512
	}
	le := binary.LittleEndian
	span := c.Grain * cowdEntries
	n := (c.Size + span - 1) / span
	b := vmdkBuilder{VMDKImage: &VMDKImage{}}
	b.reserve(cowdHeader, 512)
	directory := b.reserve(n*4, 512)
	tables = map[int64]int{}
	for _, g := range slices.Sorted(maps.Keys(c.Grains)) {
		t := g / cowdEntries
		if _, ok := tables[t]; !ok {
			tables[t] = b.reserve(cowdEntries*4, 512)
			le.PutUint32(b.Bytes[directory+int(t)*4:], uint32(tables[t]/512))
		}
		at := b.reserve(c.Grain, 512)
		copy(b.Bytes[at:at+int(c.Grain)], c.Grains[g])
		le.PutUint32(b.Bytes[tables[t]+int(g%cowdEntries)*4:], uint32(at/512))
	}
	copy(b.Bytes, "COWD")
	for at, v := range map[int]int64{
		4: 1, 8: 3, 12: c.Size / 512, 16: c.Grain / 512, 20: int64(directory / 512), 24: n, 28: int64(len(b.Bytes) / 512),
		32: max(1, c.Size/512/(255*63)), 36: 255, 40: 63,
	} {
		le.PutUint32(b.Bytes[at:], uint32(v))
	}
	if c.Header != nil {
		c.Header(b.Bytes[:cowdHeader])
	}
	return b.Bytes, tables
}
