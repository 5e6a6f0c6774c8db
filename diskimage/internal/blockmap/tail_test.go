package blockmap_test

import (
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/blockmap"
)

// A run of four units of 8 bytes, at 100 in an object, which ends at any byte.
func TestTail(t *testing.T) {
	whole := diskimage.Run{Off: 64, Len: 32, Kind: diskimage.Data, SrcOff: 100}
	for size := int64(90); size <= 140; size++ {
		for off := whole.Off; off < whole.Off+whole.Len; off++ {
			tail := &blockmap.Tail{Size: size, Unit: 8}
			run, ok := tail.Cut(whole, off, 92)
			at := 100 + off - 64 // of off, in the object
			if want := at-(at-92)%8 < size; ok != want {
				t.Errorf("size %d, offset %d: stored %v, want %v", size, off, ok, want)
				continue
			}
			if !ok {
				continue
			}
			stored := at < size
			if (run.Kind == diskimage.Data) != stored || run.Off > off || run.Off+run.Len <= off || run.Off+run.Len > 96 {
				t.Errorf("size %d, offset %d: got %+v, want data %v", size, off, run, stored)
			}
			if stored && (run.SrcOff+run.SrcLen > size || run.SrcLen != run.Len) {
				t.Errorf("size %d, offset %d: %+v ends past the end", size, off, run)
			}
			if !stored && (run.Off != max(64, 64+size-100) || len(tail.Warn(nil)) != 1) {
				t.Errorf("size %d, offset %d: hole %+v, want one from the end on, and a warning", size, off, run)
			}
		}
	}
}
