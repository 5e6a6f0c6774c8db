package imagetest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// QemuSource is a raw disk in a file, from which qemu-img makes images.
type QemuSource struct{ path string }

// NewQemuSource writes raw to a file that exists until t ends.
func NewQemuSource(t testing.TB, raw []byte) QemuSource {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.raw")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return QemuSource{path}
}

// Convert makes an image of the format, with qemu-img's options for convert ("-c -o
// cluster_size=4k"), and returns its path. The file exists until t ends.
func (s QemuSource) Convert(t testing.TB, format, options string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image")
	args := append([]string{"convert", "-f", "raw", "-O", format}, strings.Fields(options)...)
	QemuImg(t, append(args, s.path, out)...)
	return out
}

// Open opens a file until t ends, and returns it with its size.
func Open(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, Size(t, f)
}

// QemuIO runs qemu-io's commands on the image at path. qemu-io probes the format.
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

// DataBytes returns the total size of those units of 4 KiB in p that are not all
// zeros.
func DataBytes(p []byte) int {
	n := 0
	for ; len(p) > 0; p = p[min(len(p), 4096):] {
		if unit := p[:min(len(p), 4096)]; !isZero(unit) {
			n += len(unit)
		}
	}
	return n
}

// Same fails t unless qemu-img's image of the format and options has the wanted
// contents, has no warning, has data where qemu-img reports it, and obeys the laws.
func (s QemuSource) Same(t testing.TB, open Opener, format, options string, want []byte) {
	t.Helper()
	path := s.Convert(t, format, options)
	SameFile(t, open, path, want)
	f, size := Open(t, path)
	if d, err := open(f, size, diskimage.Limits{}); err == nil {
		CoversMap(t, d, format, path)
	}
}

// SameFile fails t unless the image at path has the wanted contents and no warning,
// and obeys the laws.
func SameFile(t testing.TB, open Opener, path string, want []byte) {
	t.Helper()
	f, size := Open(t, path)
	d, err := open(f, size, diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Size() != int64(len(want)) {
		t.Errorf("size is %d, want %d", d.Size(), len(want))
	}
	Run(t, d, bytes.NewReader(want))
	if w := d.(diskimage.Describer).Describe().Warnings; len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

// QemuReads fails t unless qemu-img reads an image of the format as the wanted
// contents. That shows that the fixture is one that other readers accept, too.
func QemuReads(t testing.TB, format string, image, want []byte) {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(in, image, 0o600); err != nil {
		t.Fatal(err)
	}
	QemuImg(t, "convert", "-f", format, "-O", "raw", in, out)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("qemu-img reads another disk")
	}
}
