package ingest

import (
	"iter"

	"github.com/diskport/diskport/diskimage"
)

// runs iterates over d's runs in [off, off+n). A disk that is not a
// diskimage.RunDisk is its own source: its Data extents are plain runs of itself.
func runs(d diskimage.Disk, off, n int64) iter.Seq2[diskimage.Run, error] {
	if rd, ok := d.(diskimage.RunDisk); ok {
		return rd.Runs(off, n)
	}
	return func(yield func(diskimage.Run, error) bool) {
		for e, err := range d.Extents(off, n) {
			r := diskimage.Run{Off: e.Off, Len: e.Len, Kind: e.Kind}
			if e.Kind == diskimage.Data {
				r.Src, r.SrcOff, r.SrcLen = d, e.Off, e.Len
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
