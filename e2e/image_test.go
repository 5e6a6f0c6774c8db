package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/client"
)

// makeRaw makes a raw disk of size bytes with data in chunks of chunk bytes, one
// every stride bytes: noise, text, and zeros that were written, in turn.
func makeRaw(t *testing.T, path string, size, chunk, stride int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	noise := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, chunk)
	for i, off := 0, int64(0); off < size; i, off = i+1, off+stride {
		switch i % 5 {
		case 3:
			clear(buf)
		case 4:
			copy(buf, bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog.\n"), int(chunk)/45+1))
		default:
			_, _ = noise.Read(buf)
		}
		if _, err := f.WriteAt(buf[:min(chunk, size-off)], off); err != nil {
			t.Fatal(err)
		}
	}
}

// mixedRaw makes the disk that formats are tested with: 64 MiB of mixed data and
// more, with a size that is not a whole number of blocks.
func mixedRaw(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "disk.raw")
	makeRaw(t, path, 256<<20+5*4096+512, 700<<10, 2<<20+512)
	return path
}

// qemuImg runs qemu-img.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// convert makes an image of a raw disk; how is "-O vmdk -o …".
func convert(t *testing.T, rawPath, name, how string) string {
	t.Helper()
	out := filepath.Join(filepath.Dir(rawPath), name)
	qemuImg(t, append(append([]string{"convert", "-f", "raw"}, strings.Fields(how)...), rawPath, out)...)
	return out
}

// sameDisk compares a snapshot, read through EBS direct, with a raw disk. An
// image format may round the disk's size up: the rest must be zeros.
func (s *service) sameDisk(t *testing.T, snapshotID, rawPath string) {
	t.Helper()
	snapshot, err := s.Snapshot(t.Context(), snapshotID)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "export.raw")
	if err := s.Export(t.Context(), snapshot, path, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	equalFiles(t, path, rawPath)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// equalFiles compares got with want; got may have zeros after the end of want.
func equalFiles(t *testing.T, got, want string) {
	t.Helper()
	a, b := open(t, got), open(t, want)
	sizeA, sizeB := fileSize(t, a), fileSize(t, b)
	if sizeA < sizeB || sizeA > sizeB+1<<20 {
		t.Errorf("%s has %d bytes, want %d or a little more", got, sizeA, sizeB)
		return
	}
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < sizeA; off += int64(len(bufA)) {
		clear(bufA)
		clear(bufB)
		for _, r := range []struct {
			f *os.File
			p []byte
		}{{a, bufA}, {b, bufB}} {
			if _, err := r.f.ReadAt(r.p, off); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(bufA, bufB) {
			t.Errorf("%s differs from %s in the MiB at %#x", got, want, off)
			return
		}
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func fileSize(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// importFile uploads a file, imports it and returns the task as it ended.
func (s *service) importFile(t *testing.T, path, format string) client.Task {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	task, err := s.Import(t.Context(), client.ImportRequest{File: f, Name: filepath.Base(path), Format: format}, client.Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// imported is importFile for an import that must succeed.
func (s *service) imported(t *testing.T, path, format string) client.Task {
	t.Helper()
	task := s.importFile(t, path, format)
	if task.Status != "completed" {
		t.Fatalf("importing %s: task is %s: %+v", filepath.Base(path), task.Status, task.Failure)
	}
	return task
}
