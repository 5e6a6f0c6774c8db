package imagetest

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf16"
)

// Offsets in an image built by VHDX.Build.
const (
	VHDXHeader1   = 64 << 10
	VHDXHeader2   = 128 << 10
	VHDXRegions1  = 192 << 10
	VHDXRegions2  = 256 << 10
	VHDXLog       = 1 << 20 // 1 MiB long
	VHDXMetadata  = 2 << 20 // 1 MiB long; entries from +32, items from +64 KiB, 16 bytes each
	VHDXTable     = 3 << 20
	vhdxItemSpace = 64 << 10
)

// VHDX describes a VHDX to build. Zero fields get what a usual writer writes.
type VHDX struct {
	Size      int64
	BlockSize int64            // bytes; a multiple of 1 MiB
	Sector    uint32           // logical; 0 = 512
	Flags     uint32           // of the file parameters: 1 fixed, 2 has a parent
	Blocks    map[int64][]byte // present blocks, by number; shorter ones are padded
	States    map[int64]uint64 // entries of other blocks
	Reverse   bool             // store the blocks last to first
	LogGUID   [16]byte
	Log       []byte // the first bytes of the log
}

// Index returns the offset of block i's entry in the table.
func (v VHDX) Index(i int64) int64 {
	return i + i/((1<<23)*int64(v.sector())/v.BlockSize)
}

func (v VHDX) sector() uint32 {
	if v.Sector == 0 {
		return 512
	}
	return v.Sector
}

// Build returns the image.
func (v VHDX) Build() []byte {
	le := binary.LittleEndian
	count := (v.Size + v.BlockSize - 1) / v.BlockSize
	table := (8*(v.Index(count-1)+1) + 1<<20 - 1) >> 20 << 20
	image := make([]byte, VHDXTable+table, VHDXTable+table+int64(len(v.Blocks))*v.BlockSize)
	copy(image, "vhdxfile")
	for i, u := range utf16.Encode([]rune("imagetest")) {
		le.PutUint16(image[8+2*i:], u)
	}
	for i, at := range []int{VHDXHeader1, VHDXHeader2} {
		copy(image[at:], "head")
		le.PutUint64(image[at+8:], uint64(i+1))
		copy(image[at+48:], v.LogGUID[:])
		le.PutUint16(image[at+66:], 1)
		le.PutUint32(image[at+68:], 1<<20)
		le.PutUint64(image[at+72:], VHDXLog)
	}
	for _, at := range []int{VHDXRegions1, VHDXRegions2} {
		copy(image[at:], "regi")
		le.PutUint32(image[at+8:], 2)
		putRegion(image[at+16:], "2dc27766-f623-4200-9d64-115e9bfd4a08", VHDXTable, table)
		putRegion(image[at+48:], "8b7ca206-4790-4b9a-b8fe-575f050f886e", VHDXMetadata, 1<<20)
	}
	copy(image[VHDXLog:], v.Log)
	v.putMetadata(image[VHDXMetadata:])
	SumVHDXImage(image)
	return v.putBlocks(image, count)
}

func putRegion(p []byte, guid string, off, length int64) {
	copy(p, GUID(guid))
	binary.LittleEndian.PutUint64(p[16:], uint64(off))
	binary.LittleEndian.PutUint32(p[24:], uint32(length))
	binary.LittleEndian.PutUint32(p[28:], 1)
}

func (v VHDX) putMetadata(p []byte) {
	le := binary.LittleEndian
	copy(p, "metadata")
	items := []struct {
		guid  string
		value []byte
	}{
		{"caa16737-fa36-4d43-b3b6-33f0aa44e76b", le.AppendUint32(le.AppendUint32(nil, uint32(v.BlockSize)), v.Flags)},
		{"2fa54224-cd1b-4876-b211-5dbed83bf4b8", le.AppendUint64(nil, uint64(v.Size))},
		{"beca12ab-b2e6-4523-93ef-c309e000c746", make([]byte, 16)},
		{"8141bf1d-a96f-4709-ba47-f233a8faab5f", le.AppendUint32(nil, v.sector())},
		{"cda348c7-445d-4471-9cc9-e9885251c556", le.AppendUint32(nil, 4096)},
	}
	le.PutUint16(p[10:], uint16(len(items)))
	for i, item := range items {
		entry, at := p[32+32*i:], vhdxItemSpace+16*i
		copy(entry, GUID(item.guid))
		le.PutUint32(entry[16:], uint32(at))
		le.PutUint32(entry[20:], uint32(len(item.value)))
		le.PutUint32(entry[24:], 6)
		copy(p[at:], item.value)
	}
}

func (v VHDX) putBlocks(image []byte, count int64) []byte {
	le := binary.LittleEndian
	for k := range count {
		i := k
		if v.Reverse {
			i = count - 1 - k
		}
		entry := image[VHDXTable+8*v.Index(i):]
		data, ok := v.Blocks[i]
		if !ok {
			le.PutUint64(entry, v.States[i])
			continue
		}
		le.PutUint64(entry, uint64(len(image))|6)
		image = append(append(image, data...), make([]byte, v.BlockSize-int64(len(data)))...)
	}
	return image
}

// SumVHDX writes the checksum of p, which is a header, a region table or a log
// entry.
func SumVHDX(p []byte) {
	binary.LittleEndian.PutUint32(p[4:], 0)
	binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
}

// SumVHDXImage writes the checksums of the headers and region tables of an
// image.
func SumVHDXImage(image []byte) {
	for _, at := range []int{VHDXHeader1, VHDXHeader2} {
		SumVHDX(image[at : at+4096])
	}
	for _, at := range []int{VHDXRegions1, VHDXRegions2} {
		SumVHDX(image[at : at+64<<10])
	}
}

// GUID returns the bytes of a GUID as Microsoft's formats store it.
func GUID(s string) []byte {
	p, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		panic(err)
	}
	slices.Reverse(p[0:4])
	slices.Reverse(p[4:6])
	slices.Reverse(p[6:8])
	return p
}

// VHDXEntry describes one entry of a VHDX log.
type VHDXEntry struct {
	GUID     [16]byte
	Sequence uint64
	Tail     uint32 // offset in the log
	Flushed  uint64
	Last     uint64
	Changes  []VHDXChange
}

// VHDXChange is a descriptor: the 4096 bytes of Page are written at Off, or without
// a page, Zeros bytes of zeros.
type VHDXChange struct {
	Off   uint64
	Page  []byte
	Zeros uint64
}

// Build returns the entry's bytes.
func (e VHDXEntry) Build() []byte {
	le := binary.LittleEndian
	p := make([]byte, (64+32*len(e.Changes)+4095)/4096*4096)
	copy(p, "loge")
	le.PutUint32(p[12:], e.Tail)
	le.PutUint64(p[16:], e.Sequence)
	le.PutUint32(p[24:], uint32(len(e.Changes)))
	copy(p[32:], e.GUID[:])
	le.PutUint64(p[48:], e.Flushed)
	le.PutUint64(p[56:], e.Last)
	for i, c := range e.Changes {
		d := p[64+32*i:]
		copy(d, "zero")
		le.PutUint64(d[8:], c.Zeros)
		le.PutUint64(d[16:], c.Off)
		le.PutUint64(d[24:], e.Sequence)
		if c.Page == nil {
			continue
		}
		copy(d, "desc")
		copy(d[4:8], c.Page[4092:])
		copy(d[8:16], c.Page[:8])
		sector := make([]byte, 4096)
		copy(sector, "data")
		le.PutUint32(sector[4:], uint32(e.Sequence>>32))
		copy(sector[8:4092], c.Page[8:4092])
		le.PutUint32(sector[4092:], uint32(e.Sequence))
		p = append(p, sector...)
	}
	le.PutUint32(p[8:], uint32(len(p)))
	SumVHDX(p)
	return p
}
