package vmdk

import (
	"fmt"
	"sort"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// pieceFinder finds data on a disk of several extents.
type pieceFinder []piece

// Find implements blockmap.Finder.
func (all pieceFinder) Find(off, end int64) (diskimage.Run, error) {
	p := all[sort.Search(len(all), func(i int) bool { return all[i].off+all[i].size > off })]
	run, err := p.finder.Find(off-p.off, min(end-p.off, p.size))
	run.Off += p.off
	return run, err
}

// zeros is an extent of zeros; the number is its size in bytes.
type zeros int64

// Find implements blockmap.Finder.
func (z zeros) Find(_, _ int64) (diskimage.Run, error) {
	return diskimage.Run{Len: int64(z), Kind: diskimage.Zero}, nil
}

// flat is an extent whose bytes are in a file as they are.
type flat struct {
	src    bounded.Source
	sparse diskimage.SparseReaderAt // nil when the file does not know its holes
	start  int64                    // in the file
	size   int64
}

func newFlat(src bounded.Source, start, size int64) flat {
	f := flat{src: src, start: start, size: size}
	f.sparse, _ = src.R.(diskimage.SparseReaderAt)
	return f
}

// Find implements blockmap.Finder.
func (f flat) Find(off, _ int64) (diskimage.Run, error) {
	at, end := f.start+off, f.start+f.size
	data, stop := at, end
	if f.sparse != nil {
		var err error
		if data, stop, err = f.sparse.NextData(at); err != nil {
			return diskimage.Run{}, fmt.Errorf("vmdk: looking for data in %q from offset %#x: %w", f.src.Name, at, err)
		}
	}
	if data > at {
		return diskimage.Run{Off: off, Len: min(data, end) - at}, nil
	}
	n := min(stop, end) - at
	return diskimage.Run{Off: off, Len: n, Kind: diskimage.Data, Src: f.src.R, SrcOff: at, SrcLen: n}, nil
}
