package imagetest

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/diskport/diskport/diskimage"
)

// CoversMap fails t unless a disk has data wherever qemu-img map reports data in
// the image at path, whose format has qemu's name. The disk may have more: qemu
// also looks for holes of the file inside what the image stores.
func CoversMap(t testing.TB, d diskimage.Disk, format, path string) {
	t.Helper()
	out, err := exec.Command("qemu-img", "map", "-f", format, "--output=json", path).Output()
	if err != nil {
		t.Fatalf("qemu-img map %s: %v (Debian and Ubuntu: qemu-utils)", path, err)
	}
	var theirs []struct {
		Start, Length int64
		Data          bool
	}
	if err := json.Unmarshal(out, &theirs); err != nil {
		t.Fatal(err)
	}
	if len(theirs) == 1 && theirs[0].Data {
		return // qemu's drivers that do not report it call everything data
	}
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		for len(theirs) > 0 && theirs[0].Start+theirs[0].Length <= e.Off {
			theirs = theirs[1:]
		}
		if e.Kind == diskimage.Data {
			continue
		}
		for _, q := range theirs {
			if q.Start >= e.Off+e.Len {
				break
			}
			if q.Data {
				t.Fatalf("a %v from %#x to %#x, where qemu-img has data from %#x to %#x", e.Kind, e.Off, e.Off+e.Len, q.Start, q.Start+q.Length)
			}
		}
	}
}
