package hostile_test

import (
	"bytes"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// seeds returns the smallest images of every kind: a fuzzer gets nowhere with large
// ones.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	one := map[int64][]byte{1: []byte("guest")}
	cluster := map[int64]imagetest.Qcow2Cluster{0: {Data: []byte("guest")}, 1: {Data: make([]byte, 512), Compress: true}}
	stream := imagetest.VMDK{Size: 8192, Grain: 4096, Layout: imagetest.VMDKTool, Grains: one}.Build().Bytes
	images := [][]byte{
		imagetest.VHD{Size: 2048, BlockSize: 512, Blocks: one}.Build(),
		imagetest.VHD{Size: 1024, Blocks: map[int64][]byte{0: []byte("guest")}}.Build(),
		imagetest.VMDK{Size: 8192, Grain: 4096, Grains: one}.Build().Bytes,
		stream,
		imagetest.Qcow2{Size: 2048, ClusterBits: 9, Clusters: cluster}.Build().Bytes,
		imagetest.Qcow2{Size: 2048, ClusterBits: 9, Zstd: true, Clusters: cluster}.Build().Bytes,
		imagetest.VDI{Size: 2048, BlockSize: 512, Blocks: one}.Build(),
		imagetest.QED{Size: 8192, Clusters: one}.Build().Bytes,
		imagetest.Parallels{Size: 2048, Tracks: 1, Clusters: one}.Build(),
		imagetest.DMG{Size: 2048, Chunk: 512, Chunks: one}.Build(),
		ovaOf(stream),
		[]byte("guest"),
	}
	packed, err := packedOnes([]specimen{{name: "raw", object: []byte("guest, guest, guest")}})
	if err != nil {
		tb.Fatal(err)
	}
	for _, s := range packed {
		images = append(images, s.object)
	}
	return images
}

// FuzzDetect changes images of every kind, packed ones too, and opens them as an
// import without a declared format does.
func FuzzDetect(f *testing.F) {
	imagetest.Fuzz(f, func(image []byte, limits diskimage.Limits) (diskimage.Disk, error) {
		return detect.Open(bytes.NewReader(image), int64(len(image)), detect.Options{Limits: limits, Scratch: &imagetest.Scratch{Quota: 4 * mib}})
	}, seeds(f)...)
}
