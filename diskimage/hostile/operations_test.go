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
	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// If a source returns fewer bytes than it has, as a ranged GET with a short body
// does, that is an error wherever it happens, and is never read as zeros.
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

// Data that a guest wrote to its disk is never taken for an image.
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
			if err := differs(d, guest); err != nil {
				t.Error(err)
			}
		})
	}
}

// holding returns images of every format, each of which contains a disk of whole
// MiB.
func holding(guest []byte) map[string][]byte {
	blocks := func(size int) map[int64][]byte {
		all := map[int64][]byte{}
		for i := 0; i < len(guest); i += size {
			all[int64(i/size)] = guest[i:min(i+size, len(guest))]
		}
		return all
	}
	plain, packed := map[int64]imagetest.Qcow2Cluster{}, map[int64]imagetest.Qcow2Cluster{}
	for n, p := range blocks(64 * kib) {
		plain[n], packed[n] = imagetest.Qcow2Cluster{Data: p}, imagetest.Qcow2Cluster{Data: p, Compress: true}
	}
	size := int64(len(guest))
	return map[string][]byte{
		"vhd, fixed":              imagetest.VHD{Size: size, Blocks: blocks(len(guest))}.Build(),
		"vhd, dynamic":            imagetest.VHD{Size: size, BlockSize: 2 * mib, Blocks: blocks(2 * mib)}.Build(),
		"dmg":                     imagetest.DMG{Size: size, Chunks: blocks(256 * kib)}.Build(),
		"vhdx":                    imagetest.VHDX{Size: size, BlockSize: mib, Blocks: blocks(mib)}.Build(),
		"vmdk, sparse":            imagetest.VMDK{Size: size, Grains: blocks(64 * kib)}.Build().Bytes,
		"vmdk, stream":            imagetest.VMDK{Size: size, Layout: imagetest.VMDKOvftool, Grains: blocks(64 * kib)}.Build().Bytes,
		"vmdk, stream by table":   imagetest.VMDK{Size: size, Layout: imagetest.VMDKTool, Grains: blocks(64 * kib)}.Build().Bytes,
		"vmdk, stream of qemu":    imagetest.VMDK{Size: size, Layout: imagetest.VMDKQemu, Grains: blocks(64 * kib)}.Build().Bytes,
		"qcow2":                   imagetest.Qcow2{Size: size, Clusters: plain}.Build().Bytes,
		"qcow2, zlib":             imagetest.Qcow2{Size: size, Clusters: packed}.Build().Bytes,
		"qcow2, zstd":             imagetest.Qcow2{Size: size, Zstd: true, Clusters: packed}.Build().Bytes,
		"qcow2, extended":         imagetest.Qcow2{Size: size, Extended: true, Clusters: plain}.Build().Bytes,
		"vdi":                     imagetest.VDI{Size: size, Blocks: blocks(mib)}.Build(),
		"qed":                     imagetest.QED{Size: size, Cluster: 64 * kib, Table: 4, Clusters: blocks(64 * kib)}.Build().Bytes,
		"parallels":               imagetest.Parallels{Size: size, Tracks: 2048, Clusters: blocks(mib)}.Build(),
		"parallels, the old form": imagetest.Parallels{Size: size, Tracks: 2048, Old: true, Clusters: blocks(mib)}.Build(),
	}
}

// The service runs no program, so no program can probe what a guest wrote.
func TestNoProgramIsRun(t *testing.T) {
	sandboxtest.Outside(t)
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
