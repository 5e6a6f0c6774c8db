package imagetest

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Parallels describes a Parallels disk to build. Zero fields get what a usual
// writer writes.
type Parallels struct {
	Size     int64            // bytes of the disk, whole sectors
	Tracks   int64            // sectors of a cluster
	Clusters map[int64][]byte // stored clusters, by number; shorter ones are padded
	Old      bool             // the older format, whose entries are in sectors
	Reverse  bool             // store the clusters last to first
}

// ParallelsTable is the offset of the block allocation table in Build's images.
const ParallelsTable = 64

// Build returns the image.
func (p Parallels) Build() []byte {
	le := binary.LittleEndian
	cluster := p.Tracks * 512
	count := (p.Size + cluster - 1) / cluster
	data := (ParallelsTable + count*4 + 511) / 512 * 512
	unit := int64(512)
	if !p.Old {
		data = (data + cluster - 1) / cluster * cluster
		unit = cluster
	}
	image := make([]byte, data)
	copy(image, "WithouFreSpacExt")
	if p.Old {
		copy(image, "WithoutFreeSpace")
	}
	le.PutUint32(image[16:], 2)
	le.PutUint32(image[20:], 16)
	le.PutUint32(image[24:], uint32((p.Size/512+511)/512))
	le.PutUint32(image[28:], uint32(p.Tracks))
	le.PutUint32(image[32:], uint32(count))
	le.PutUint64(image[36:], uint64(p.Size/512))
	le.PutUint32(image[48:], uint32(data/512))
	numbers := slices.Sorted(maps.Keys(p.Clusters))
	if p.Reverse {
		slices.Reverse(numbers)
	}
	for _, n := range numbers {
		le.PutUint32(image[ParallelsTable+4*n:], uint32(int64(len(image))/unit))
		part := make([]byte, cluster)
		copy(part, p.Clusters[n])
		image = append(image, part...)
	}
	return image
}
