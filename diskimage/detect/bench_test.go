package detect_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// BenchmarkRead reads images of every format that qemu-img makes from their first block to
// their last, in one goroutine; MB/s are of the disk. What an import does with several is in
// scripts/bench-formats.
//
//	go test ./diskimage/detect -run '^$' -bench Read
func BenchmarkRead(b *testing.B) {
	const size, block = 64 << 20, 512 << 10
	dir := b.TempDir()
	raw := filepath.Join(dir, "source")
	if err := os.WriteFile(raw, imagetest.Mixed(size, 1), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, format string
		args         []string
	}{
		{"raw", "raw", nil},
		{"vhd", "vpc", []string{"-o", "subformat=dynamic,force_size=on"}},
		{"vhdx", "vhdx", []string{"-o", "subformat=dynamic"}},
		{"vmdk-sparse", "vmdk", []string{"-o", "subformat=monolithicSparse"}},
		{"vmdk-stream", "vmdk", []string{"-o", "subformat=streamOptimized"}},
		{"qcow2", "qcow2", nil},
		{"qcow2-zlib", "qcow2", []string{"-c"}},
		{"qcow2-zstd", "qcow2", []string{"-c", "-o", "compression_type=zstd"}},
		{"vdi", "vdi", nil},
		{"qed", "qed", nil},
		{"parallels", "parallels", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := filepath.Join(dir, c.name)
			imagetest.QemuImg(b, append(append([]string{"convert", "-f", "raw", "-O", c.format}, c.args...), raw, path)...)
			f, n := imagetest.Open(b, path)
			d, err := detect.Open(f, n, detect.Options{})
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, block)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < size; off += block {
					if _, err := d.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
