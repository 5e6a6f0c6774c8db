package client

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pieces returns pieces of 4 KiB units, given as offset and length.
func pieces(units ...[2]int) (some []piece) {
	for i, u := range units {
		buf := alignedBlock()
		data := buf[:u[1]*directAlign]
		for j := range data {
			data[j] = byte(i + 1)
		}
		some = append(some, piece{int64(u[0]) * directAlign, data, buf})
	}
	return some
}

func TestNeighbouringPieces(t *testing.T) {
	for want, some := range map[int][]piece{
		1: pieces([2]int{0, 1}, [2]int{2, 1}, [2]int{3, 1}),
		2: pieces([2]int{0, 1}, [2]int{1, 3}, [2]int{5, 1}),
		3: pieces([2]int{7, 2}, [2]int{9, 1}, [2]int{10, 1}),
	} {
		if got := neighbours(some); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// TestSkip: a write that was cut short goes on where it ended, and leaves the pieces
// as they were.
func TestSkip(t *testing.T) {
	some := pieces([2]int{4, 1}, [2]int{5, 2})
	for n, want := range map[int]string{
		0: "16384:4096 20480:8192 ", 1: "16385:4095 20480:8192 ", 4096: "20480:8192 ", 4097: "20481:8191 ", 12288: "",
	} {
		got := ""
		for _, p := range skip(some, n) {
			got += fmt.Sprintf("%d:%d ", p.off, len(p.data))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("behind %d bytes (-want +got):\n%s", n, diff)
		}
	}
}

// TestDiskFile writes with and without the page cache, up to an end that is not
// aligned.
func TestDiskFile(t *testing.T) {
	some := pieces([2]int{2, 1}, [2]int{3, 2}, [2]int{5, 1})
	size := int64(5*directAlign + 7)
	want := make([]byte, size)
	for _, p := range some {
		copy(want[p.off:], p.data)
	}
	for _, direct := range []bool{true, false} {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := newDiskFile(f)
		if !direct {
			d.close()
			d.direct = nil
		}
		for _, part := range [][]piece{some[:2], some[2:]} {
			if err := d.write(part, size); err != nil {
				t.Errorf("direct %v: %v", direct, err)
			}
		}
		d.close()
		if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("direct %v: %d bytes (%v) that differ from the %d written", direct, len(got), err, size)
		}
	}
}

// TestAFileThatMoves is written wherever it goes, and what comes to its place is not.
func TestAFileThatMoves(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "elsewhere.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(path, elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("of another"), 0o600); err != nil {
		t.Fatal(err)
	}
	some := pieces([2]int{0, 1})
	d := newDiskFile(f)
	defer d.close()
	if err := d.write(some, directAlign); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "of another" {
		t.Errorf("the other file has %d bytes now, %v", len(got), err)
	}
	if got, err := os.ReadFile(elsewhere); err != nil || !bytes.Equal(got, some[0].data) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
}
