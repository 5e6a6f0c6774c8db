package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFolders(t *testing.T) {
	root := t.TempDir()
	made := 0
	f := Folders{Made: func() { made++ }}
	deep := filepath.Join(root, "a", "b", "c")
	for range 2 {
		if err := f.Ensure(deep + "/"); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(deep); err != nil || !st.IsDir() || made != 3 {
		t.Errorf("%v, %v; %d folders were made, want 3", st, err, made)
	}
	if err := os.RemoveAll(filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	f.Forget(filepath.Join(root, "a"))
	if err := f.Ensure(deep); err != nil || made != 6 {
		t.Errorf("%v; %d folders were made, want 6", err, made)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Ensure(filepath.Join(file, "below")); err == nil {
		t.Error("a folder was made below a file")
	}
	if err := SyncFolder(filepath.Join(root, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("syncing what is not there: %v", err)
	}
}
