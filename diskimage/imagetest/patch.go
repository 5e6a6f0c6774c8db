package imagetest

import "encoding/binary"

// Patch is a sequence of bytes at an offset.
type Patch struct {
	Off  int64
	Data []byte
}

// Patches are a source of zeros with patches on it, later ones on top of earlier
// ones. It stands for a large object of which only a little matters.
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

// The functions below make patches from numbers, for tables of hostile images.

// BE32 makes a big-endian patch of 4 bytes.
func BE32(off int64, v uint32) Patch { return Patch{off, binary.BigEndian.AppendUint32(nil, v)} }

// BE64 makes a big-endian patch of 8 bytes.
func BE64(off int64, v uint64) Patch { return Patch{off, binary.BigEndian.AppendUint64(nil, v)} }

// LE16 makes a little-endian patch of 2 bytes.
func LE16(off int64, v uint16) Patch { return Patch{off, binary.LittleEndian.AppendUint16(nil, v)} }

// LE32 makes a little-endian patch of 4 bytes.
func LE32(off int64, v uint32) Patch { return Patch{off, binary.LittleEndian.AppendUint32(nil, v)} }

// LE64 makes a little-endian patch of 8 bytes.
func LE64(off int64, v uint64) Patch { return Patch{off, binary.LittleEndian.AppendUint64(nil, v)} }

// Apply writes the patches into image.
func (all Patches) Apply(image []byte) {
	for _, patch := range all {
		copy(image[patch.Off:], patch.Data)
	}
}
