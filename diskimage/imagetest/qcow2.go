package imagetest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Qcow2 describes a qcow2 image to build. Zero fields get what a usual writer
// writes.
type Qcow2 struct {
	Size        int64 // bytes of the disk
	ClusterBits int   // 0 is 16
	Version     int   // 0 is 3
	Extended    bool  // extended L2 entries
	Zstd        bool
	Clusters    map[int64]Qcow2Cluster // by number
	Reverse     bool                   // store the clusters last to first
	Extensions  []byte                 // bytes behind the header
	Header      func(header []byte)    // changes the header
}

// Qcow2Cluster describes a cluster of an image.
type Qcow2Cluster struct {
	Data     []byte // stored, padded; nil stores nothing
	Compress bool   // if that makes it shorter
	Stream   []byte // compressed data, stored as it is in place of Data
	Zero     bool   // marked as zeros, even if something is stored
	Bitmap   uint64 // bitmap of an extended entry; if there is Data, 0 means that all of it is stored
}

// Qcow2Image is an image, with the offsets that tests patch.
type Qcow2Image struct {
	Bytes   []byte
	L1      int64
	L2      map[int64]int64 // offsets of the tables, by number
	Entries map[int64]int64 // offsets of L2 entries, by cluster
	Stored  map[int64]int64 // offsets of stored data, by cluster
}

// Build returns the image.
func (q Qcow2) Build() *Qcow2Image {
	if q.ClusterBits == 0 {
		q.ClusterBits = 16
	}
	if q.Version == 0 {
		q.Version = 3
	}
	b := &qcow2Builder{Qcow2: q, entry: 8, Qcow2Image: &Qcow2Image{
		L2: map[int64]int64{}, Entries: map[int64]int64{}, Stored: map[int64]int64{},
	}}
	if q.Extended {
		b.entry = 16
	}
	b.cluster = 1 << q.ClusterBits
	b.append(b.header())
	tables := (q.Size + b.span() - 1) / b.span()
	b.L1 = b.append(make([]byte, tables*8))
	refcounts := b.append(make([]byte, b.cluster)) // empty: only writers need them
	binary.BigEndian.PutUint64(b.Bytes[48:], uint64(refcounts))
	binary.BigEndian.PutUint32(b.Bytes[56:], 1)
	numbers := slices.Sorted(maps.Keys(q.Clusters))
	for _, n := range numbers {
		b.place(n)
	}
	if q.Reverse {
		slices.Reverse(numbers)
	}
	for _, n := range numbers {
		b.store(n, q.Clusters[n])
	}
	return b.Qcow2Image
}

type qcow2Builder struct {
	Qcow2
	*Qcow2Image
	cluster, entry int64
	compressor     Compressor
}

func (b *qcow2Builder) span() int64 { return b.cluster / b.entry * b.cluster }

// append adds p in new clusters.
func (b *qcow2Builder) append(p []byte) int64 {
	b.pad()
	at := int64(len(b.Bytes))
	b.Bytes = append(b.Bytes, p...)
	b.pad()
	return at
}

func (b *qcow2Builder) pad() {
	b.Bytes = append(b.Bytes, make([]byte, -int64(len(b.Bytes))&(b.cluster-1))...)
}

func (b *qcow2Builder) header() []byte {
	be, p := binary.BigEndian, make([]byte, 112)
	copy(p, "QFI\xfb")
	be.PutUint32(p[4:], uint32(b.Version))
	be.PutUint32(p[20:], uint32(b.ClusterBits))
	be.PutUint64(p[24:], uint64(b.Size))
	be.PutUint32(p[36:], uint32((b.Size+b.span()-1)/b.span()))
	be.PutUint64(p[40:], uint64(b.cluster))
	if b.Version == 2 {
		p = p[:72]
	} else {
		be.PutUint32(p[96:], 4)
		be.PutUint32(p[100:], uint32(len(p)))
		if b.Zstd {
			p[79] |= 8
			p[104] = 1
		}
		if b.Extended {
			p[79] |= 16
		}
	}
	if b.Header != nil {
		b.Header(p)
	}
	return append(p, b.Extensions...)
}

// place makes the L2 table of cluster n unless it exists.
func (b *qcow2Builder) place(n int64) {
	per := b.cluster / b.entry
	if b.L2[n/per] == 0 {
		b.L2[n/per] = b.append(make([]byte, b.cluster))
		binary.BigEndian.PutUint64(b.Bytes[b.L1+n/per*8:], 1<<63|uint64(b.L2[n/per]))
	}
	b.Entries[n] = b.L2[n/per] + n%per*b.entry
}

func (b *qcow2Builder) store(n int64, c Qcow2Cluster) {
	entry, bitmap := uint64(0), c.Bitmap
	if c.Compress {
		c.Stream = b.compress(c.Data)
	}
	switch {
	case c.Stream != nil && len(c.Stream) < int(b.cluster):
		at := int64(len(b.Bytes))
		b.Bytes = append(b.Bytes, c.Stream...)
		b.Stored[n] = at
		last := at + int64(len(c.Stream)) - 1
		entry = 1<<62 | uint64(last/512-at/512)<<(70-b.ClusterBits) | uint64(at)
	case c.Data != nil:
		b.Stored[n] = b.append(c.Data)
		entry = 1<<63 | uint64(b.Stored[n])
		if bitmap == 0 {
			bitmap = 1<<32 - 1
		}
	}
	if c.Zero {
		entry |= 1
	}
	binary.BigEndian.PutUint64(b.Bytes[b.Entries[n]:], entry)
	if b.Extended {
		binary.BigEndian.PutUint64(b.Bytes[b.Entries[n]+8:], bitmap)
	}
}

func (b *qcow2Builder) compress(data []byte) []byte {
	whole := make([]byte, b.cluster)
	copy(whole, data)
	if b.Zstd {
		return b.compressor.Zstd(whole)
	}
	return b.compressor.Deflate(whole)
}

// Compressor makes compressed streams for images. The zero value is ready to use.
// Reuse it, because making a compressor takes longer than using it. It expects no
// errors, since it writes to memory.
type Compressor struct {
	deflate *flate.Writer
	zstd    *zstd.Encoder
}

// Deflate returns p as a raw DEFLATE stream.
func (c *Compressor) Deflate(p []byte) []byte {
	var out bytes.Buffer
	if c.deflate == nil {
		var err error
		if c.deflate, err = flate.NewWriter(nil, flate.DefaultCompression); err != nil {
			panic(err)
		}
	}
	c.deflate.Reset(&out)
	c.deflate.Write(p)
	c.deflate.Close()
	return out.Bytes()
}

// Zstd returns p as a zstd frame with a checksum.
func (c *Compressor) Zstd(p []byte) []byte {
	if c.zstd == nil {
		var err error
		if c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
			panic(err)
		}
	}
	return c.zstd.EncodeAll(p, nil)
}
