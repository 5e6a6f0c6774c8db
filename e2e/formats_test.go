package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/diskport/diskport/internal/client"
)

func TestEveryFormat(t *testing.T) {
	t.Parallel()
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
		{"small.qcow2", "-c -O qcow2", "qcow2", "QCOW2"},
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
	for _, f := range []struct{ name, tool, format, detected string }{
		{"disk.raw.gz", "gzip -1 -c disk.raw", "", "GZIP"},
		{"disk.raw.xz", "xz -0 -c disk.raw", "xz", "XZ"},
		{"disk.vmdk.gz", "qemu-img convert -f raw -O vmdk disk.raw disk.vmdk && gzip -1 -c disk.vmdk", "VMDK", "VMDK"},
	} {
		t.Run(f.name, func(t *testing.T) {
			packed := filepath.Join(dir, f.name)
			cmd := exec.Command("sh", "-c", f.tool+" >"+f.name)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			task := s.imported(t, packed, f.format)
			if task.Format != f.detected {
				t.Errorf("format is %q, want %q", task.Format, f.detected)
			}
			s.sameDisk(t, task.SnapshotID, raw)
		})
	}
	t.Run("stored once", func(t *testing.T) {
		task := s.imported(t, raw, "")
		if b := task.Progress.Blocks; b.Deduplicated != b.Data || b.Data == 0 {
			t.Errorf("imported again, %d of %d blocks were there already, want all", b.Deduplicated, b.Data)
		}
	})
}

// TestAsAWS: --strict-aws takes what AWS takes, and refuses the rest with AWS's
// messages.
func TestAsAWS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	makeRaw(t, raw, 8<<20, 1<<20, 4<<20)
	s := start(t, filepath.Join(dir, "data"), "--strict-aws")
	s.sameDisk(t, s.imported(t, convert(t, raw, "stream.vmdk", "-O vmdk -o subformat=streamOptimized"), "VMDK").SnapshotID, raw)
	for name, c := range map[string]struct{ how, message string }{
		"sparse.vmdk": {"-O vmdk", "ClientError: Disk validation failed [Unsupported VMDK File Format]"},
		"disk.qcow2":  {"-O qcow2", "ClientError: Disk validation failed [Unsupported specified file format]"},
	} {
		task := s.importFile(t, convert(t, raw, name, c.how), "")
		if task.Status != "deleted" || task.Failure == nil || task.Failure.Message != c.message {
			t.Errorf("%s: %s, %+v", name, task.Status, task.Failure)
		}
	}
	_, err := s.Import(t.Context(), client.ImportRequest{URL: "s3://images/x", Format: "QCOW2"}, client.Watcher{})
	if errorCode(err) != "InvalidParameter" {
		t.Errorf("Format QCOW2: %v", err)
	}
}
