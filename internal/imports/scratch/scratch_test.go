package scratch

import (
	"bytes"
	"errors"
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
	if _, err := f.WriteAt(make([]byte, 10), 10); !errors.As(err, &full) {
		t.Errorf("got %v, want a *FullError", err)
	}
}
