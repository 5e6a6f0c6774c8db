package imagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// QemuSource is a raw disk in a file, of which qemu-img makes images.
type QemuSource struct{ path string }

// NewQemuSource writes raw to a file that lasts as long as t.
func NewQemuSource(t testing.TB, raw []byte) QemuSource {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.raw")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return QemuSource{path}
}

// Convert makes an image of the format, with qemu-img's options for convert
// ("-c -o cluster_size=4k"), and returns its path. The file lasts as long as t.
func (s QemuSource) Convert(t testing.TB, format, options string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	args := append([]string{"convert", "-f", "raw", "-O", format}, strings.Fields(options)...)
	QemuImg(t, append(args, s.path, out)...)
	return out
}

// Open opens a file for as long as t lasts, and returns its size too.
func Open(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, Size(t, f)
}

// QemuIO runs qemu-io's commands on the image at path, whose format it probes.
func QemuIO(t testing.TB, path string, commands ...string) {
	t.Helper()
	var args []string
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := exec.Command("qemu-io", append(args, path)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") {
		t.Fatalf("qemu-io %q: %v (Debian and Ubuntu: qemu-utils)\n%s", args, err, out)
	}
}

// DataBytes counts the bytes of p in units of 4 KiB that are not all zeros.
func DataBytes(p []byte) int {
	n := 0
	for ; len(p) > 0; p = p[min(len(p), 4096):] {
		if unit := p[:min(len(p), 4096)]; !isZero(unit) {
			n += len(unit)
		}
	}
	return n
}
