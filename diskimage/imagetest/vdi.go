package imagetest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// VDI describes a VDI image to build. Zero fields get what qemu-img writes.
type VDI struct {
	Size      int64            // bytes of the disk
	BlockSize int64            // 0 is 1 MiB
	Blocks    map[int64][]byte // stored blocks, by number; shorter ones are padded
	Discarded []int64          // blocks
	Extra     int64            // bytes in front of each block
	Map       int64            // offset of the map; 0 is 512
	Fixed     bool             // the image's type; Blocks should have every block
	Reverse   bool             // store the blocks last to first
}

// VDIMap is the default offset of the map.
const VDIMap = 512

// Build returns the image.
func (v VDI) Build() []byte {
	if v.BlockSize == 0 {
		v.BlockSize = 1 << 20
	}
	if v.Map == 0 {
		v.Map = VDIMap
	}
	count := (v.Size + v.BlockSize - 1) / v.BlockSize
	data := (v.Map + count*4 + 511) / 512 * 512
	image := make([]byte, data)
	v.header(image, count, data)
	copy(image[v.Map:], bytes.Repeat([]byte{0xff}, int(count*4)))
	le := binary.LittleEndian
	for _, n := range v.Discarded {
		le.PutUint32(image[v.Map+4*n:], 0xfffffffe)
	}
	numbers := slices.Sorted(maps.Keys(v.Blocks))
	if v.Reverse {
		slices.Reverse(numbers)
	}
	for i, n := range numbers {
		le.PutUint32(image[v.Map+4*n:], uint32(i))
		block := make([]byte, v.Extra+v.BlockSize)
		copy(block, bytes.Repeat([]byte{0xee}, int(v.Extra)))
		copy(block[v.Extra:], v.Blocks[n])
		image = append(image, block...)
	}
	return image
}

func (v VDI) header(p []byte, count, data int64) {
	le := binary.LittleEndian
	copy(p, "<<< a fixture of Diskport >>>\n")
	le.PutUint32(p[64:], 0xbeda107f)
	le.PutUint32(p[68:], 0x00010001)
	le.PutUint32(p[72:], 384)
	le.PutUint32(p[76:], 1)
	if v.Fixed {
		le.PutUint32(p[76:], 2)
	}
	le.PutUint32(p[340:], uint32(v.Map))
	le.PutUint32(p[344:], uint32(data))
	le.PutUint32(p[360:], 512)
	le.PutUint64(p[368:], uint64(v.Size))
	le.PutUint32(p[376:], uint32(v.BlockSize))
	le.PutUint32(p[380:], uint32(v.Extra))
	le.PutUint32(p[384:], uint32(count))
	le.PutUint32(p[388:], uint32(len(v.Blocks)))
	copy(p[392:], "the image's UUID")
}
