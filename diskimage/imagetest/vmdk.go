package imagetest

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// VMDKLayout says where a producer puts the tables of a VMDK.
type VMDKLayout int

// The layouts: one of monolithicSparse, with redundant tables, and the five of
// streamOptimized.
const (
	VMDKSparse      VMDKLayout = iota
	VMDKOvftool                // directory at the end, footer
	VMDKDiskManager            // tables before the grains
	VMDKTool                   // header points at a late directory; a table for every 512 grains; footer
	VMDKQemu                   // tables before the grains, redundant ones; no end of stream
	VMDKPadded                 // like ovftool's, followed by 300 KiB of zeros
)

// VMDK describes a VMDK to build. Zero fields get what a usual writer writes.
type VMDK struct {
	Size    int64            // bytes of the disk
	Grain   int64            // bytes; 0 is 64 KiB
	Grains  map[int64][]byte // stored grains, by number; shorter ones are padded
	Zeroed  []int64          // grains marked as zeros (sparse only)
	Layout  VMDKLayout
	Reverse bool // store the grains last to first
	Cut     bool // store only the part of the last grain before the disk's end

	Descriptor string                    // replaces the usual one
	Compress   func(grain []byte) []byte // replaces zlib
	Header     func(header []byte)       // changes the header and the footer
}

// VMDKImage is an image, with the offsets that tests patch.
type VMDKImage struct {
	Bytes      []byte
	Descriptor int
	Directory  int
	Redundant  int           // redundant directory; 0 without one
	Tables     map[int64]int // by number
	Copies     map[int64]int // redundant tables, by number
	Records    map[int64]int // grains, by number; in a stream, with their markers
	Footer     int           // 0 without one
}

// Build returns the image.
func (v VMDK) Build() *VMDKImage {
	if v.Grain == 0 {
		v.Grain = 64 << 10
	}
	b := vmdkBuilder{VMDK: v, zlib: zlib.NewWriter(nil), entries: map[int64]uint32{}, VMDKImage: &VMDKImage{
		Descriptor: 512, Tables: map[int64]int{}, Copies: map[int64]int{}, Records: map[int64]int{},
	}}
	b.tables = (v.Size + v.Grain*512 - 1) / (v.Grain * 512)
	b.Bytes = make([]byte, 21*512)
	if b.early() {
		if b.redundant() {
			b.Redundant = b.reserve(b.tables*4, 512)
			for t := range b.tables {
				b.Copies[t] = b.reserve(2048, 512)
			}
		}
		b.Directory = b.reserve(b.tables*4, 512)
		for t := range b.tables {
			b.Tables[t] = b.reserve(2048, 512)
		}
	}
	b.reserve(0, 64<<10)
	overhead := len(b.Bytes)
	b.grains()
	b.directory()
	b.finish(overhead)
	return b.VMDKImage
}

type vmdkBuilder struct {
	VMDK
	*VMDKImage
	zlib    *zlib.Writer
	tables  int64
	entries map[int64]uint32 // of all tables, by grain
}

func (b *vmdkBuilder) stream() bool    { return b.Layout != VMDKSparse }
func (b *vmdkBuilder) redundant() bool { return b.Layout == VMDKSparse || b.Layout == VMDKQemu }
func (b *vmdkBuilder) early() bool     { return b.redundant() || b.Layout == VMDKDiskManager }
func (b *vmdkBuilder) footer() bool    { return !b.early() }

// reserve appends n zeros and pads, and returns where the zeros begin.
func (b *vmdkBuilder) reserve(n int64, align int) int {
	at := len(b.Bytes)
	b.Bytes = append(b.Bytes, make([]byte, n)...)
	b.Bytes = append(b.Bytes, make([]byte, (align-len(b.Bytes)%align)%align)...)
	return at
}

// marker appends a sector that announces n bytes.
func (b *vmdkBuilder) marker(kind uint32, n int) {
	at := b.reserve(512, 512)
	binary.LittleEndian.PutUint64(b.Bytes[at:], uint64((n+511)/512))
	binary.LittleEndian.PutUint32(b.Bytes[at+12:], kind)
}

// grains appends the grains and, if the layout has it there, each table behind its
// last grain.
func (b *vmdkBuilder) grains() {
	numbers := slices.Sorted(maps.Keys(b.Grains))
	if b.Reverse {
		slices.Reverse(numbers)
	}
	for _, n := range b.Zeroed {
		b.entries[n] = 1
	}
	for i, n := range numbers {
		b.grain(n)
		if t := n / 512; b.footer() && (i == len(numbers)-1 || numbers[i+1]/512 != t) {
			b.lateTable(t)
		}
	}
	for t := range b.tables {
		if _, done := b.Tables[t]; !done && b.Layout == VMDKTool {
			b.lateTable(t)
		}
	}
}

func (b *vmdkBuilder) grain(n int64) {
	data := make([]byte, b.Grain)
	copy(data, b.Grains[n])
	if b.Cut {
		data = data[:min(b.Grain, b.Size-n*b.Grain)]
	}
	if b.stream() {
		z := b.compress(data)
		data = binary.LittleEndian.AppendUint64(nil, uint64(n*b.Grain/512))
		data = append(binary.LittleEndian.AppendUint32(data, uint32(len(z))), z...)
	}
	at := b.reserve(int64(len(data)), 512)
	copy(b.Bytes[at:], data)
	b.Records[n], b.entries[n] = at, uint32(at/512)
}

// compress returns a grain as a zlib stream. A zlib writer is large, so all grains
// share one.
func (b *vmdkBuilder) compress(p []byte) []byte {
	if b.Compress != nil {
		return b.Compress(p)
	}
	var z bytes.Buffer
	b.zlib.Reset(&z)
	_, _ = b.zlib.Write(p) // a buffer takes everything
	_ = b.zlib.Close()
	return z.Bytes()
}

// Zlib returns p as a zlib stream.
func Zlib(p []byte) []byte {
	b := vmdkBuilder{zlib: zlib.NewWriter(nil)}
	return b.compress(p)
}

func (b *vmdkBuilder) lateTable(t int64) {
	b.marker(1, 2048)
	b.Tables[t] = b.reserve(2048, 512)
}

// directory fills in the tables and the directories. It appends the directories
// unless the layout has reserved room for them.
func (b *vmdkBuilder) directory() {
	if b.footer() {
		b.marker(2, int(b.tables*4))
		b.Directory = b.reserve(b.tables*4, 512)
	}
	le := binary.LittleEndian
	for t, at := range b.Tables {
		le.PutUint32(b.Bytes[b.Directory+int(t)*4:], uint32(at/512))
	}
	for t, at := range b.Copies {
		le.PutUint32(b.Bytes[b.Redundant+int(t)*4:], uint32(at/512))
	}
	for n, e := range b.entries {
		for _, tables := range []map[int64]int{b.Tables, b.Copies} {
			if at, ok := tables[n/512]; ok {
				le.PutUint32(b.Bytes[at+int(n%512)*4:], e)
			}
		}
	}
}

// finish writes the header and the descriptor, and the end of the layout.
func (b *vmdkBuilder) finish(overhead int) {
	head := b.header(overhead)
	if b.footer() {
		b.marker(3, 512)
		b.Footer = b.reserve(512, 512)
		copy(b.Bytes[b.Footer:], head)
		if b.Header != nil {
			b.Header(b.Bytes[b.Footer:][:512])
		}
	}
	switch b.Layout {
	case VMDKQemu:
		b.reserve(0, 64<<10)
	case VMDKPadded:
		b.marker(0, 0)
		b.reserve(300<<10, 512)
	case VMDKSparse:
	default:
		b.marker(0, 0)
	}
	if b.footer() && b.Layout != VMDKTool {
		binary.LittleEndian.PutUint64(head[56:], 1<<64-1)
	}
	if b.Header != nil {
		b.Header(head)
	}
	copy(b.Bytes, head)
	text := b.VMDK.Descriptor
	if text == "" {
		text = VMDKDescriptor(b.createType(), fmt.Sprintf("RW %d SPARSE \"before-renaming.vmdk\"", b.Size/512))
	}
	copy(b.Bytes[512:21*512], text)
}

func (b *vmdkBuilder) createType() string {
	if b.stream() {
		return "streamOptimized"
	}
	return "monolithicSparse"
}

// VMDKDescriptor returns the text of a descriptor with the given extent lines.
func VMDKDescriptor(createType string, extents ...string) string {
	text := "# Disk DescriptorFile\nversion=1 \nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"" + createType + "\"\n\n# Extent description\n"
	for _, e := range extents {
		text += e + "\n"
	}
	return text + "\nddb.virtualHWVersion = \"7\"\n"
}

// header returns the header, or for a layout with a footer, the footer's copy.
func (b *vmdkBuilder) header(overhead int) []byte {
	le := binary.LittleEndian
	p := make([]byte, 512)
	copy(p, "KDMV")
	version, flags := uint32(1), uint32(1)
	if b.redundant() {
		flags |= 2
	}
	if len(b.Zeroed) > 0 {
		version, flags = 2, flags|4
	}
	if b.stream() {
		version, flags, p[77] = 3, flags|0x30000, 1
	}
	le.PutUint32(p[4:], version)
	le.PutUint32(p[8:], flags)
	for at, v := range map[int]uint64{
		12: uint64(b.Size / 512), 20: uint64(b.Grain / 512), 28: 1, 36: 20,
		48: uint64(b.VMDKImage.Redundant / 512), 56: uint64(b.Directory / 512), 64: uint64(overhead / 512),
	} {
		le.PutUint64(p[at:], v)
	}
	le.PutUint32(p[44:], 512)
	copy(p[73:], "\n \r\n")
	return p
}
