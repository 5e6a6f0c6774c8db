package imagetest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/holes"
)

// SameMap fails t unless a disk has data exactly where qemu-img map reports data in
// the image at path.
func SameMap(t testing.TB, d diskimage.Disk, path string) {
	t.Helper()
	out, err := exec.Command("qemu-img", "map", "--output=json", path).Output()
	if err != nil {
		t.Fatalf("qemu-img map %s: %v (Debian and Ubuntu: qemu-utils)", path, err)
	}
	var extents []struct {
		Start, Length int64
		Data          bool
	}
	if err := json.Unmarshal(out, &extents); err != nil {
		t.Fatal(err)
	}
	var want, got ranges
	for _, e := range extents {
		if e.Data {
			want.add(e.Start, e.Length)
		}
	}
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == diskimage.Data {
			got.add(e.Off, e.Len)
		}
	}
	if g, w := fmt.Sprintf("%x", got), fmt.Sprintf("%x", want); g != w {
		t.Errorf("data is at %.400s\nqemu-img: %.400s", g, w)
	}
}

// ranges returns offsets and lengths in bytes. Adjacent ranges are merged.
type ranges [][2]int64

func (r *ranges) add(off, n int64) {
	if k := len(*r); k > 0 && (*r)[k-1][0]+(*r)[k-1][1] == off {
		(*r)[k-1][1] += n
		return
	}
	*r = append(*r, [2]int64{off, n})
}

// SparseFile is an open file that knows its holes. NextData moves the file's
// position.
type SparseFile struct{ *os.File }

// NextData implements diskimage.SparseReaderAt.
func (f SparseFile) NextData(off int64) (start, end int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return holes.Next(f.File, info.Size(), off)
}
