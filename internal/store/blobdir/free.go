package blobdir

import "github.com/diskport/diskport/internal/space"

// Free returns the bytes that files may still take.
func (d *Dir) Free() (int64, error) { return space.Free(d.root) }
