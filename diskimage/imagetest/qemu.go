package imagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// QemuImg runs qemu-img with args. The test fails if qemu-img is missing or fails:
// comparing with it proves what fixtures of our own can't.
func QemuImg(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %q: %v (Debian and Ubuntu: qemu-utils)\n%s", args, err, out)
	}
}

// Convert writes raw to a file, makes an image from it with the format and options
// (qemu-img's -o; may be empty), and returns the image, opened.
func Convert(t testing.TB, raw []byte, format, options string) *os.File {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.raw"), filepath.Join(dir, "out."+format)
	if err := os.WriteFile(in, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"convert", "-f", "raw", "-O", format}
	if options != "" {
		args = append(args, "-o", options)
	}
	QemuImg(t, append(args, in, out)...)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Size returns the length of f in bytes.
func Size(t testing.TB, f *os.File) int64 {
	t.Helper()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}
