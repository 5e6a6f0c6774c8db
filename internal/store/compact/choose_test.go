package compact

import (
	"fmt"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

func TestChoose(t *testing.T) {
	pack := func(created int, bytes, entries, dead int64, compressed bool) Pack {
		return Pack{
			File: blockstore.File{ID: blockstore.FileID(100 - created)}, Created: time.Unix(int64(created), 0),
			Bytes: bytes, Entries: entries, Dead: dead, Compressed: compressed,
		}
	}
	w := Worth{DeadPercent: 25, Small: 64}
	for _, c := range []struct {
		name   string
		packs  []Pack
		usable bool
		want   string // when the chosen were created
	}{
		{"nothing", nil, true, "[]"},
		{"full ones", []Pack{pack(1, 128, 8, 2, true), pack(2, 64, 8, 0, true)}, true, "[]"},
		{"rotten ones", []Pack{pack(2, 128, 8, 3, true), pack(1, 128, 8, 8, true)}, false, "[1 2]"},
		{"not compressed", []Pack{pack(1, 128, 8, 0, false)}, true, "[1]"},
		{"not compressed, locked", []Pack{pack(1, 128, 8, 0, false)}, false, "[]"},
		{"two small ones", []Pack{pack(1, 63, 8, 0, true), pack(2, 63, 8, 0, true)}, true, "[]"},
		{"three small ones", []Pack{pack(3, 63, 8, 0, true), pack(2, 63, 8, 0, true), pack(1, 63, 8, 0, true)}, true, "[1 2 3]"},
		{"small ones, of which one is to be compressed", []Pack{pack(3, 63, 8, 0, false), pack(2, 63, 8, 0, true), pack(1, 63, 8, 0, true)}, true, "[1 2 3]"},
		{"locked small ones", []Pack{pack(3, 63, 8, 0, false), pack(2, 63, 8, 0, false), pack(1, 63, 8, 0, true)}, false, "[1 2 3]"},
		{"one small one beside a full one", []Pack{pack(1, 63, 8, 0, true), pack(2, 640, 8, 7, true)}, true, "[2]"},
	} {
		got := []int64{}
		for _, p := range w.choose(c.packs, Effort{Small: 2}, c.usable) {
			got = append(got, p.Created.Unix())
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
