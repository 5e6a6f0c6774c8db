package hostile_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// A source that gives fewer bytes than it has, as a ranged GET with a short body
// does, is an error wherever it begins, never zeros.
func TestShortSources(t *testing.T) {
	for _, img := range gallery(t) {
		t.Run("15 "+img.name, func(t *testing.T) {
			t.Parallel()
			size := int64(len(img.object))
			for _, from := range []int64{0, 100, 600, size / 4, size / 2, size - 700, size - 1} {
				d, err := openFrom(&imagetest.Faulty{R: bytes.NewReader(img.object), From: max(0, from)}, size, img.with)
				if err == nil {
					err = differs(d, img.want)
				}
				if wrong(err) {
					t.Errorf("short from byte %d of %d on: %v", from, size, err)
				}
			}
		})
	}
}

// What a guest wrote to its disk is never taken for an image.
func TestGuestIsNotProbed(t *testing.T) {
	guest := make([]byte, 1<<20)
	q := imagetest.Qcow2{Size: 64 << 20, Header: func(h []byte) {
		imagetest.Patches{imagetest.BE64(8, 512), imagetest.BE32(16, 11)}.Apply(h) // a backing file
	}}
	copy(guest, q.Build().Bytes)
	copy(guest[512:], "/etc/passwd")
	for name, object := range holding(guest) {
		t.Run("108 a qcow2 in a guest of "+name, func(t *testing.T) {
			format, _, _ := strings.Cut(name, ",")
			d, err := detect.Open(bytes.NewReader(object), int64(len(object)), detect.Options{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			imagetest.Run(t, d, bytes.NewReader(guest))
		})
	}
}

// holding returns an image of every format that holds a disk of 1 MiB.
func holding(guest []byte) map[string][]byte {
	blocks := func(size int) map[int64][]byte {
		all := map[int64][]byte{}
		for i := 0; i < len(guest); i += size {
			all[int64(i/size)] = guest[i : i+size]
		}
		return all
	}
	clusters := map[int64]imagetest.Qcow2Cluster{}
	for n, p := range blocks(64 << 10) {
		clusters[n] = imagetest.Qcow2Cluster{Data: p}
	}
	size := int64(len(guest))
	return map[string][]byte{
		"vhd, fixed":   imagetest.VHD{Size: size, Blocks: blocks(1 << 20)}.Build(),
		"vhd, dynamic": imagetest.VHD{Size: size, BlockSize: 64 << 10, Blocks: blocks(64 << 10)}.Build(),
		"vhdx":         imagetest.VHDX{Size: size, BlockSize: 1 << 20, Blocks: blocks(1 << 20)}.Build(),
		"vmdk":         imagetest.VMDK{Size: size, Grains: blocks(64 << 10)}.Build().Bytes,
		"qcow2":        imagetest.Qcow2{Size: size, Clusters: clusters}.Build().Bytes,
		"vdi":          imagetest.VDI{Size: size, BlockSize: 64 << 10, Blocks: blocks(64 << 10)}.Build(),
		"qed":          imagetest.QED{Size: size, Clusters: blocks(4096)}.Build().Bytes,
		"parallels":    imagetest.Parallels{Size: size, Tracks: 8, Clusters: blocks(4096)}.Build(),
	}
}

// The service runs no program, so none can probe what a guest wrote.
func TestNoProgramIsRun(t *testing.T) {
	t.Run("108 no import of os/exec", func(t *testing.T) {
		files := 0
		for _, top := range []string{"diskimage", "internal"} {
			root := filepath.Join("../..", top)
			err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
				suite := strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Dir(path), "test")
				if err != nil || suite || !strings.HasSuffix(path, ".go") {
					return err
				}
				files++
				for _, i := range parse(t, filepath.Join(root, path)).Imports {
					if i.Path.Value == `"os/exec"` {
						t.Errorf("%s/%s imports os/exec", top, path)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if files < 100 {
			t.Errorf("%d files were looked at", files)
		}
	})
}
