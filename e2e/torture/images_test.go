package torture

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
)

const blockBytes = 512 << 10

// content is what is in a disk: the digests of the blocks that are not zero.
type content map[int64][sha256.Size]byte

// image is an image that lies in the bucket.
type image struct {
	key, format string
	disks       []content // those of an OVA are several
	data        []byte
}

// disk describes a raw disk to make: a stretch of data now and then.
type disk struct {
	size, chunk, stride int64
}

// writeDisk makes a raw disk.
func writeDisk(t *testing.T, path string, d disk, rng *rand.ChaCha8) content {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(d.size); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, d.chunk)
	for off := int64(0); off < d.size; off += d.stride {
		_, _ = rng.Read(buf)
		if _, err := f.WriteAt(buf, off); err != nil {
			t.Fatal(err)
		}
	}
	c := content{}
	block := make([]byte, blockBytes)
	for off := int64(0); off < d.size; off += d.stride {
		for i := off / blockBytes; i*blockBytes < off+d.chunk; i++ {
			clear(block)
			if _, err := f.ReadAt(block, i*blockBytes); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			c[i] = sha256.Sum256(block)
		}
	}
	return c
}

// kind is a kind of image to make.
type kind struct {
	name, format, how string
	disk
}

// allDisks are images of several formats, the first of which is cut into several ranges of
// several slices; fewDisks are small ones.
var (
	allDisks = []kind{
		{"ranges.qcow2", "", "qcow2", disk{4 << 29, 1 << 20, 1 << 29}},
		{"small.raw", "RAW", "", disk{2 << 20, 700 << 10, 1 << 20}},
		{"stream.vmdk", "VMDK", "vmdk -o subformat=streamOptimized", disk{3 << 20, 1 << 20, 1 << 20}},
		{"dynamic.vhd", "VHD", "vpc", disk{4 << 20, 512 << 10, 2 << 20}},
		{"again.raw", "RAW", "", disk{1 << 20, 1 << 20, 1 << 20}},
		{"packed.raw.gz", "", "gzip", disk{2 << 20, 1 << 20, 2 << 20}},
	}
	// wideDisk is more than one part of an upload in one pack.
	wideDisk = kind{"wide.raw", "RAW", "", disk{17 << 20, 1 << 20, 1 << 20}}

	fewDisks = []kind{
		{"ranges.qcow2", "", "qcow2", disk{2 << 29, 64 << 10, 1 << 29}},
		{"small.raw", "RAW", "", disk{1 << 20, 700 << 10, 1 << 20}},
		{"stream.vmdk", "VMDK", "vmdk -o subformat=streamOptimized", disk{1 << 20, 64 << 10, 512 << 10}},
	}
)

// makeImages makes images of some kinds, and an OVA of the second and third.
func makeImages(t *testing.T, kinds []kind) (images []image) {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{1})
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	for _, k := range kinds {
		c := writeDisk(t, raw, k.disk, rng)
		path := raw
		switch k.how {
		case "":
		case "gzip":
			run(t, "gzip", "-kf", raw)
			path = raw + ".gz"
		default:
			path = filepath.Join(dir, k.name)
			run(t, "qemu-img", strings.Fields("convert -f raw -O "+k.how+" "+raw+" "+path)...)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image{k.name, k.format, []content{c}, data})
	}
	one, two := images[1], images[2]
	members := []imagetest.Member{
		{Name: "vm.ovf", Data: imagetest.OVF(one.key, two.key)}, {Name: one.key, Data: one.data}, {Name: two.key, Data: two.data},
	}
	return append(images, image{"vm.ova", "OVA", []content{one.disks[0], two.disks[0]}, imagetest.Tar(members...)})
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
