package imagetest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// DMG describes a DMG to build. Zero fields get what hdiutil writes.
type DMG struct {
	Size   int64            // bytes of the disk
	Chunk  int64            // bytes; 0 is 256 KiB
	Chunks map[int64][]byte // stored chunks, by number; shorter ones are padded
	Zeroed []int64          // chunks of type 0; all others that are not stored are of type 2
	Type   uint32           // of the stored chunks; 0 is zlib
	Pack   func(chunk []byte) []byte
	Tables int // tables that share the chunks; 0 is 1
	Before int // bytes in front of the data fork

	Change  func(t *DMGTable)          // changes a table before it is written
	List    func(text string) string   // changes the property list
	Trailer func(p []byte, list int64) // changes the trailer; list is the offset of the property list
}

// DMGTable is a table of chunks.
type DMGTable struct {
	Number       int
	First, Count uint64 // sectors
	Base         uint64
	Chunks       []DMGChunk
}

// DMGChunk is an entry of a table.
type DMGChunk struct {
	Type          uint32
	At, Count     uint64 // sectors
	Offset, Bytes uint64
}

// Build returns the image.
func (d DMG) Build() []byte {
	if d.Chunk == 0 {
		d.Chunk = 256 << 10
	}
	if d.Type == 0 {
		d.Type, d.Pack = 0x80000005, Zlib
	}
	image := make([]byte, d.Before)
	n := (d.Size + d.Chunk - 1) / d.Chunk
	tables := int64(max(1, d.Tables))
	per := (n + tables - 1) / tables
	var list strings.Builder
	for t := range tables {
		table := DMGTable{Number: int(t), First: uint64(t * per * d.Chunk / 512)}
		for i := t * per; i < min(n, (t+1)*per); i++ {
			image = d.chunk(&table, image, i)
		}
		if d.Change != nil {
			d.Change(&table)
		}
		fmt.Fprintf(&list, "<dict><key>Attributes</key><string>0x0050</string><key>Data</key>\n<data>\n%s\n</data>\n<key>ID</key><string>%d</string></dict>\n", lines(table.bytes()), t)
	}
	text := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n" +
		"<plist version=\"1.0\">\n<dict>\n<key>resource-fork</key>\n<dict>\n<key>blkx</key>\n<array>\n" + list.String() +
		"</array>\n<key>plst</key><array><dict><key>Data</key><data>AAAA</data></dict></array>\n</dict>\n</dict>\n</plist>\n"
	if d.List != nil {
		text = d.List(text)
	}
	return append(append(image, text...), d.trailer(int64(len(image)), int64(len(text)))...)
}

// chunk appends chunk i to the image and to a table.
func (d DMG) chunk(t *DMGTable, image []byte, i int64) []byte {
	size := min(d.Chunk, d.Size-i*d.Chunk)
	c := DMGChunk{Type: 2, At: uint64(i*d.Chunk/512) - t.First, Count: uint64(size / 512), Offset: uint64(len(image) - d.Before)}
	if slices.Contains(d.Zeroed, i) {
		c.Type = 0
	}
	if p, ok := d.Chunks[i]; ok {
		whole := make([]byte, size)
		copy(whole, p)
		if d.Pack != nil {
			whole = d.Pack(whole)
		}
		c.Type, c.Bytes = d.Type, uint64(len(whole))
		image = append(image, whole...)
	}
	t.Chunks = append(t.Chunks, c)
	t.Count += c.Count
	return image
}

// lines returns p in base64, broken into lines as in property lists.
func lines(p []byte) string {
	text := base64.StdEncoding.EncodeToString(p)
	var b strings.Builder
	for len(text) > 52 {
		b.WriteString("\t\t\t\t" + text[:52] + "\n")
		text = text[52:]
	}
	return b.String() + "\t\t\t\t" + text
}

func (t DMGTable) bytes() []byte {
	be := binary.BigEndian
	p := make([]byte, 204)
	copy(p, "mish")
	be.PutUint32(p[4:], 1)
	be.PutUint64(p[8:], t.First)
	be.PutUint64(p[16:], t.Count)
	be.PutUint64(p[24:], t.Base)
	chunks := append(slices.Clone(t.Chunks), DMGChunk{Type: 0x7ffffffe, At: t.Count}, DMGChunk{Type: 0xffffffff, At: t.Count})
	be.PutUint32(p[200:], uint32(len(chunks)))
	for _, c := range chunks {
		p = be.AppendUint32(be.AppendUint32(p, c.Type), 0)
		for _, v := range []uint64{c.At, c.Count, c.Offset, c.Bytes} {
			p = be.AppendUint64(p, v)
		}
	}
	return p
}

// trailer returns the trailer of an image whose property list of n bytes begins
// at an offset.
func (d DMG) trailer(list, n int64) []byte {
	be := binary.BigEndian
	p := make([]byte, 512)
	copy(p, "koly")
	for at, v := range map[int]uint32{4: 4, 8: 512, 12: 1, 56: 1, 60: 1, 488: 1} {
		be.PutUint32(p[at:], v)
	}
	for at, v := range map[int]int64{24: int64(d.Before), 32: list - int64(d.Before), 216: list, 224: n, 492: d.Size / 512} {
		be.PutUint64(p[at:], uint64(v))
	}
	if d.Trailer != nil {
		d.Trailer(p, list)
	}
	return p
}
