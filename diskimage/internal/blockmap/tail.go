package blockmap

import (
	"sync/atomic"

	"github.com/diskport/diskport/diskimage"
)

// Tail is the end of an object whose last unit (a cluster, a block) may be cut:
// writers leave it so when the rest of the unit is zeros. A unit that is missing
// whole means that the object is not all there. It may be used concurrently.
type Tail struct {
	Size int64 // of the object, bytes
	Unit int64 // bytes
	met  atomic.Bool
}

// Cut returns the part of run, a plain one of data, that holds off and is all
// stored or, in the unit in which the object ends, all missing and a hole. Units
// begin in the object at origin and each Unit from there. It reports false when
// the unit of off is missing whole.
func (t *Tail) Cut(run diskimage.Run, off, origin int64) (diskimage.Run, bool) {
	left := t.Size - run.SrcOff // bytes of the object from the run on
	run.SrcLen = run.Len
	if left >= run.Len {
		return run, true
	}
	at := run.SrcOff + off - run.Off
	unit := at - (at-origin)%t.Unit
	switch {
	case unit >= t.Size:
		return run, false
	case at < t.Size:
		run.Len, run.SrcLen = left, left
		return run, true
	}
	t.met.Store(true)
	start, end := max(left, 0), min(run.Len, unit+t.Unit-run.SrcOff)
	return diskimage.Run{Off: run.Off + start, Len: end - start, Kind: diskimage.Hole}, true
}

// Warn appends a warning when a unit that the object's end cuts was looked up.
func (t *Tail) Warn(warnings []string) []string {
	if t.met.Load() {
		warnings = append(warnings, "the object ends inside its last block; the rest of that reads as zeros")
	}
	return warnings
}
