package imagetest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// VHD describes a VHD to build. Zero fields get what a usual writer writes.
type VHD struct {
	Size      int64            // bytes of the disk
	BlockSize int              // bytes; 0 makes a fixed disk of Blocks[0]
	Blocks    map[int64][]byte // stored blocks, by number; shorter ones are padded
	Bitmaps   map[int64][]byte // first bytes of the bitmaps, by block; all ones if missing
	Reverse   bool             // store the blocks last to first
	Creator   string           // 4 characters
}

// Offsets that tests patch in a dynamic image built by Build.
const (
	VHDHeader = 512  // dynamic header
	VHDTable  = 1536 // block allocation table
)

// Build returns the image.
func (v VHD) Build() []byte {
	if v.Creator == "" {
		v.Creator = "test"
	}
	if v.BlockSize == 0 {
		data := make([]byte, v.Size)
		copy(data, v.Blocks[0])
		return append(data, v.footer(2)...)
	}
	count := int((v.Size + int64(v.BlockSize) - 1) / int64(v.BlockSize))
	table := bytes.Repeat([]byte{0xff}, (count*4+511)/512*512)
	image := slices.Concat(v.footer(3), v.header(count), table)
	numbers := slices.Sorted(maps.Keys(v.Blocks))
	if v.Reverse {
		slices.Reverse(numbers)
	}
	for _, n := range numbers {
		binary.BigEndian.PutUint32(image[VHDTable+4*n:], uint32(len(image)/512))
		used := (v.BlockSize/512 + 7) / 8
		bitmap := make([]byte, (used+511)/512*512)
		copy(bitmap, bytes.Repeat([]byte{0xff}, used))
		copy(bitmap, v.Bitmaps[n])
		block := make([]byte, v.BlockSize)
		copy(block, v.Blocks[n])
		image = append(append(image, bitmap...), block...)
	}
	return append(image, v.footer(3)...)
}

func (v VHD) footer(kind uint32) []byte {
	be := binary.BigEndian
	p := make([]byte, 512)
	copy(p, "conectix")
	be.PutUint32(p[8:], 2)
	be.PutUint32(p[12:], 0x10000)
	be.PutUint64(p[16:], 512)
	if kind == 2 {
		be.PutUint64(p[16:], 1<<64-1)
	}
	copy(p[28:32], v.Creator)
	be.PutUint64(p[40:], uint64(v.Size))
	be.PutUint64(p[48:], uint64(v.Size))
	be.PutUint32(p[60:], kind)
	SumVHD(p, 64)
	return p
}

func (v VHD) header(count int) []byte {
	be := binary.BigEndian
	p := make([]byte, 1024)
	copy(p, "cxsparse")
	be.PutUint64(p[8:], 1<<64-1)
	be.PutUint64(p[16:], VHDTable)
	be.PutUint32(p[24:], 0x10000)
	be.PutUint32(p[28:], uint32(count))
	be.PutUint32(p[32:], uint32(v.BlockSize))
	SumVHD(p, 36)
	return p
}

// SumVHD writes the checksum of p, a footer or a dynamic header, to the offset.
func SumVHD(p []byte, at int) {
	binary.BigEndian.PutUint32(p[at:], 0)
	var sum uint32
	for _, b := range p {
		sum += uint32(b)
	}
	binary.BigEndian.PutUint32(p[at:], ^sum)
}
