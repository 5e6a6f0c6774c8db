// Package backuptest is the suite that every backup.Target passes.
package backuptest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/store/backup"
)

// TestTarget runs the suite; open returns an empty target.
func TestTarget(t *testing.T, open func(t *testing.T) backup.Target) {
	for name, fn := range map[string]func(*testing.T, backup.Target){
		"Empty":         empty,
		"PutAndGet":     putAndGet,
		"Replaced":      replaced,
		"HalfIsNothing": halfIsNothing,
		"Cancelled":     cancelled,
		"Listed":        listed,
		"Removed":       removed,
	} {
		t.Run(name, func(t *testing.T) { fn(t, open(t)) })
	}
}

// large is a body of more than one part of an upload.
func large() []byte { return bytes.Repeat([]byte("a body that is long\x00"), 17<<20/20) }

func put(t *testing.T, to backup.Target, name string, body []byte) {
	t.Helper()
	if err := to.Put(t.Context(), name, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, to backup.Target, name string) []byte {
	t.Helper()
	r, err := to.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func list(t *testing.T, to backup.Target) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	if err := to.List(t.Context(), func(e backup.Entry) error { files[e.Name] = e.Bytes; return nil }); err != nil {
		t.Fatal(err)
	}
	return files
}

func empty(t *testing.T, to backup.Target) {
	if files := list(t, to); len(files) != 0 {
		t.Errorf("it has %v", files)
	}
	if _, err := to.Get(t.Context(), "blocks/pack/00/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if err := to.Remove(t.Context(), "blocks/pack/00/none"); err != nil {
		t.Error(err)
	}
	unlock, err := to.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if files := list(t, to); len(files) != 0 {
		t.Errorf("once locked it has %v", files)
	}
}

func putAndGet(t *testing.T, to backup.Target) {
	zeros := append(make([]byte, 3<<20), "end"...)
	for name, body := range map[string][]byte{"a": {}, "b/c/d": []byte("short"), "b/large": large(), "zeros": zeros, "more zeros": zeros[:3<<20]} {
		put(t, to, name, body)
		if got := get(t, to, name); !bytes.Equal(got, body) {
			t.Errorf("%s has %d bytes, want those that were put, %d", name, len(got), len(body))
		}
	}
}

func replaced(t *testing.T, to backup.Target) {
	put(t, to, "a/b", []byte("first, and long"))
	put(t, to, "a/b", []byte("second"))
	if got := string(get(t, to, "a/b")); got != "second" {
		t.Errorf("it has %q", got)
	}
}

// halfIsNothing: a body that fails leaves what was there, or nothing, and its error is
// told.
func halfIsNothing(t *testing.T, to backup.Target) {
	put(t, to, "there", []byte("whole"))
	failed := errors.New("the source is damaged")
	for name, half := range map[string][]byte{"there": []byte("half"), "new/one": large()} {
		body := io.MultiReader(bytes.NewReader(half), iotest.ErrReader(failed))
		if err := to.Put(t.Context(), name, body, -1); !errors.Is(err, failed) {
			t.Errorf("%s: got %v, want %v", name, err, failed)
		}
	}
	if diff := cmp.Diff(map[string]int64{"there": 5}, list(t, to)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := string(get(t, to, "there")); got != "whole" {
		t.Errorf("it has %q", got)
	}
}

func cancelled(t *testing.T, to backup.Target) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := to.Put(ctx, "a", bytes.NewReader([]byte("some")), -1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if files := list(t, to); len(files) != 0 {
		t.Errorf("it has %v", files)
	}
}

func listed(t *testing.T, to backup.Target) {
	want := map[string]int64{}
	for _, name := range []string{"z", "blocks/pack/0a/000a", "blocks/root/0a/000b", "moments/m.json.gz"} {
		want[name] = int64(len(name))
		put(t, to, name, []byte(name))
	}
	if diff := cmp.Diff(want, list(t, to)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	enough := errors.New("enough")
	if err := to.List(t.Context(), func(backup.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

func removed(t *testing.T, to backup.Target) {
	put(t, to, "a/b", []byte("b"))
	put(t, to, "a/c", []byte("c"))
	for range 2 {
		if err := to.Remove(t.Context(), "a/b"); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a/c": 1}, list(t, to)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
