package qcow2_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

func FuzzOpen(f *testing.F) {
	plain, _ := spec(9, 512)
	compressed, _ := spec(10, 0)
	compressed.Zstd = true
	extended, _ := spec(14, 512)
	extended.Extended = true
	for n := range extended.Clusters {
		if n > 3 && n != 8 {
			delete(extended.Clusters, n)
		}
	}
	extended.Clusters[0] = imagetest.Qcow2Cluster{Data: []byte{1}, Bitmap: 0xf0f0f0f0_0f0f0f0f}
	old := imagetest.Qcow2{Size: 4096, Version: 2, ClusterBits: 9, Clusters: map[int64]imagetest.Qcow2Cluster{3: {Data: []byte{1}}}}
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return opener(bytes.NewReader(image), int64(len(image)), limits)
	}, plain.Build().Bytes, compressed.Build().Bytes, extended.Build().Bytes, old.Build().Bytes)
}
