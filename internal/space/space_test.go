package space

import (
	"path/filepath"
	"testing"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	if n, err := Free(dir); err != nil || n <= 0 {
		t.Errorf("Free(%s) = %d, %v", dir, n, err)
	}
	if n, err := Free(filepath.Join(dir, "missing")); err == nil {
		t.Errorf("a folder that is not there has %d bytes free", n)
	}
}
