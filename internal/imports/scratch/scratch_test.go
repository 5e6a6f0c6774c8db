package scratch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestFilesHaveNoNameAndTheirOwnContents(t *testing.T) {
	d := Dir{Path: filepath.Join(t.TempDir(), "scratch")}
	a, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(d.Path); err != nil || len(names) != 0 {
		t.Errorf("the folder holds %v, %v", names, err)
	}
	if _, err := a.WriteAt([]byte("x"), 4096); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4097)
	if _, err := a.ReadAt(got, 0); err != nil || !bytes.Equal(got, append(make([]byte, 4096), 'x')) {
		t.Errorf("read %q, %v", bytes.Trim(got, "\x00"), err)
	}
	if n, err := b.ReadAt(got[:1], 0); n != 0 || err == nil {
		t.Error("the other file is not empty")
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// TestClear removes what a process left that died between making a file and taking its
// name away.
func TestClear(t *testing.T) {
	d := Dir{Path: filepath.Join(t.TempDir(), "scratch[1]")}
	if err := d.Clear(); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	if err := os.Mkdir(d.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"image-123", "mine"} {
		if err := os.WriteFile(filepath.Join(d.Path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Clear(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(d.Path); err != nil || len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestFull(t *testing.T) {
	free := int64(10)
	d := Dir{Path: t.TempDir(), Free: func() (int64, error) { return free, nil }}
	f, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 10), 0); err != nil {
		t.Error(err)
	}
	free = 9
	var full *FullError
	if _, err := f.WriteAt(make([]byte, 10), page); !errors.As(err, &full) {
		t.Errorf("got %v, want a *FullError", err)
	}
}

// TestQuota: files share the room, and give back what they took when they are closed.
func TestQuota(t *testing.T) {
	room := &Room{Quota: 3 * page}
	d := Dir{Path: t.TempDir(), Room: room}
	a, err1 := d.Create()
	b, err2 := d.Create()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	_, err1 = a.WriteAt(make([]byte, 2*page), 0)
	_, err2 = b.WriteAt(make([]byte, page), page)
	if err := errors.Join(err1, err2); err != nil || room.Used() != 3*page {
		t.Errorf("%v; %d bytes are taken", err, room.Used())
	}
	_, err := b.WriteAt([]byte{1}, 2*page)
	full, ok := errors.AsType[*FullError](err)
	if !ok || full.Quota != 3*page || full.Others != 2*page {
		t.Errorf("beyond the quota: %v", err)
	}
	if err := a.Close(); err != nil || room.Used() != page {
		t.Errorf("%v; %d bytes are taken by the other file", err, room.Used())
	}
	if _, err := b.WriteAt([]byte{1}, 2*page); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := b.Close(); err != nil || room.Used() != 0 {
		t.Errorf("%v; %d bytes are taken by nothing", err, room.Used())
	}
}

// TestNothingLiesInTheClear writes and reads at random, beside a plain copy.
func TestNothingLiesInTheClear(t *testing.T) {
	f, err := Dir{Path: t.TempDir()}.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mark := []byte("planted in the clear")
	want := make([]byte, 200*page+5)
	for _, span := range [][2]int{{0, 1}, {3, 70}, {71, 72}, {150, 200}} { // in pages; the others stay as they are
		part := want[span[0]*page : span[1]*page]
		copy(part, bytes.Repeat(mark, len(part)/len(mark)))
		if _, err := f.WriteAt(part, int64(span[0]*page)); err != nil {
			t.Fatal(err)
		}
	}
	copy(want[200*page:], "end")
	if _, err := f.WriteAt(want[200*page:], 200*page); err != nil {
		t.Fatal(err)
	}
	stored := make([]byte, len(want))
	if _, err := f.(*file).File.ReadAt(stored, 0); err != nil || bytes.Contains(stored, mark) || !bytes.Equal(stored[page:3*page], make([]byte, 2*page)) {
		t.Errorf("on disk it is in the clear, or its holes are filled: %v", err)
	}
	for _, span := range [][2]int{{0, len(want)}, {1, 2}, {page - 1, page + 1}, {3*page - 7, 3*page + 9}, {69 * page, 72 * page}, {5, 140 * page}, {200*page + 1, 200*page + 5}} {
		got := make([]byte, span[1]-span[0])
		if n, err := f.ReadAt(got, int64(span[0])); n != len(got) || err != nil || !bytes.Equal(got, want[span[0]:span[1]]) {
			t.Errorf("%v: %d bytes, %v", span, n, err)
		}
	}
	if n, err := f.ReadAt(make([]byte, 10), 200*page+1); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("across the end: %d bytes, %v", n, err)
	}
	if _, err := f.WriteAt(mark, 16); err == nil {
		t.Error("a write within a page was taken")
	}
}
