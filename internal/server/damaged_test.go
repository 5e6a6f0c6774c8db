package server

import (
	"os"
	"strings"
	"testing"
)

// TestADamagedDatabaseSaysWhatToDo, also if it can be opened, and it is the start that meets
// the damage afterwards.
func TestADamagedDatabaseSaysWhatToDo(t *testing.T) {
	cfg := config(t.TempDir())
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var page int64
	path := a.data.file(databaseName)
	err = a.parts.db.Pools()["metadata-read"].QueryRowContext(t.Context(), `SELECT rootpage FROM sqlite_master WHERE name = 'units'`).Scan(&page)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[(page-1)*4096] ^= 4
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err = New(t.Context(), cfg); err == nil {
		_ = a.Close()
	}
	if err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "diskport verify --rebuild") {
		t.Errorf("it starts with %v", err)
	}
}
