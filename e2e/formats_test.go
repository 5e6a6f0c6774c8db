package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEveryFormat(t *testing.T) {
	dir := t.TempDir()
	raw := mixedRaw(t, dir)
	s := start(t, filepath.Join(dir, "data"))
	for _, f := range []struct{ name, how, format, detected string }{
		{"disk.img", "-O raw", "RAW", "RAW"},
		{"stream.vmdk", "-O vmdk -o subformat=streamOptimized", "vmdk", "VMDK"},
		{"sparse.vmdk", "-O vmdk -o subformat=monolithicSparse", "", "VMDK"},
		{"dynamic.vhd", "-O vpc -o subformat=dynamic,force_size=on", "VHD", "VHD"},
		{"fixed.vhd", "-O vpc -o subformat=fixed,force_size=on", "", "VHD"},
		{"dynamic.vhdx", "-O vhdx -o subformat=dynamic", "VHDX", "VHDX"},
		{"fixed.vhdx", "-O vhdx -o subformat=fixed", "", "VHDX"},
	} {
		t.Run(f.name, func(t *testing.T) {
			image := convert(t, raw, f.name, f.how)
			task := s.imported(t, image, f.format)
			if task.Format != f.detected {
				t.Errorf("format is %q, want %q", task.Format, f.detected)
			}
			if task.Progress.Blocks.Data < 128 {
				t.Errorf("%d blocks hold data; the disk has 64 MiB of it and more", task.Progress.Blocks.Data)
			}
			s.sameDisk(t, task.SnapshotID, raw)
			if err := os.Remove(image); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("stored once", func(t *testing.T) {
		task := s.imported(t, raw, "")
		if b := task.Progress.Blocks; b.Deduplicated != b.Data || b.Data == 0 {
			t.Errorf("imported again, %d of %d blocks were there already, want all", b.Deduplicated, b.Data)
		}
	})
}
