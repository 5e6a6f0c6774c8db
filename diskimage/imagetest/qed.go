package imagetest

import (
	"encoding/binary"
	"maps"
	"slices"
)

// QED describes a QED image to build. Zero fields get what a usual writer
// writes.
type QED struct {
	Size     int64            // bytes of the disk, whole sectors
	Cluster  int64            // bytes; 0 is 4 KiB
	Table    int64            // clusters; 0 is 1
	Clusters map[int64][]byte // stored clusters, by number; shorter ones are padded
	Zeros    []int64          // clusters marked as zeros
	Reverse  bool             // store the clusters last to first
}

// QEDImage is an image, with the offsets that tests patch.
type QEDImage struct {
	Bytes   []byte
	L1      int64
	L2      map[int64]int64 // offsets of the tables, by number
	Entries map[int64]int64 // offsets of L2 entries, by cluster
}

// Build returns the image.
func (q QED) Build() *QEDImage {
	if q.Cluster == 0 {
		q.Cluster = 4 << 10
	}
	if q.Table == 0 {
		q.Table = 1
	}
	image := &QEDImage{L1: q.Cluster, L2: map[int64]int64{}, Entries: map[int64]int64{}}
	image.Bytes = append(q.header(), make([]byte, q.Table*q.Cluster)...)
	numbers := slices.Sorted(maps.Keys(q.Clusters))
	for _, n := range append(slices.Clone(q.Zeros), numbers...) {
		q.place(image, n)
	}
	le := binary.LittleEndian
	for _, n := range q.Zeros {
		le.PutUint64(image.Bytes[image.Entries[n]:], 1)
	}
	if q.Reverse {
		slices.Reverse(numbers)
	}
	for _, n := range numbers {
		le.PutUint64(image.Bytes[image.Entries[n]:], uint64(len(image.Bytes)))
		part := make([]byte, q.Cluster)
		copy(part, q.Clusters[n])
		image.Bytes = append(image.Bytes, part...)
	}
	return image
}

// place makes the L2 table of cluster n unless it exists.
func (q QED) place(image *QEDImage, n int64) {
	per := q.Table * q.Cluster / 8
	if image.L2[n/per] == 0 {
		image.L2[n/per] = int64(len(image.Bytes))
		binary.LittleEndian.PutUint64(image.Bytes[image.L1+n/per*8:], uint64(len(image.Bytes)))
		image.Bytes = append(image.Bytes, make([]byte, q.Table*q.Cluster)...)
	}
	image.Entries[n] = image.L2[n/per] + n%per*8
}

func (q QED) header() []byte {
	le, p := binary.LittleEndian, make([]byte, q.Cluster)
	copy(p, "QED\x00")
	le.PutUint32(p[4:], uint32(q.Cluster))
	le.PutUint32(p[8:], uint32(q.Table))
	le.PutUint32(p[12:], 1)
	le.PutUint64(p[40:], uint64(q.Cluster))
	le.PutUint64(p[48:], uint64(q.Size))
	return p
}
