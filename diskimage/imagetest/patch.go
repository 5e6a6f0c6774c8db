package imagetest

import "encoding/binary"

// Patch is bytes at an offset.
type Patch struct {
	Off  int64
	Data []byte
}

// Patches are a source of zeros with patches on them, later ones on top of earlier
// ones: a large object of which only a little matters.
type Patches []Patch

// ReadAt fills p.
func (all Patches) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for _, patch := range all {
		start, end := max(off, patch.Off), min(off+int64(len(p)), patch.Off+int64(len(patch.Data)))
		if start < end {
			copy(p[start-off:end-off], patch.Data[start-patch.Off:])
		}
	}
	return len(p), nil
}

// The functions below make a patch of a number, for tables of hostile images.

// BE32 is big-endian.
func BE32(off int64, v uint32) Patch { return Patch{off, binary.BigEndian.AppendUint32(nil, v)} }

// BE64 is big-endian.
func BE64(off int64, v uint64) Patch { return Patch{off, binary.BigEndian.AppendUint64(nil, v)} }

// LE16 is little-endian.
func LE16(off int64, v uint16) Patch { return Patch{off, binary.LittleEndian.AppendUint16(nil, v)} }

// LE32 is little-endian.
func LE32(off int64, v uint32) Patch { return Patch{off, binary.LittleEndian.AppendUint32(nil, v)} }

// LE64 is little-endian.
func LE64(off int64, v uint64) Patch { return Patch{off, binary.LittleEndian.AppendUint64(nil, v)} }

// Apply writes the patches into image.
func (all Patches) Apply(image []byte) {
	for _, patch := range all {
		copy(image[patch.Off:], patch.Data)
	}
}
