package blobdir

import "github.com/diskport/diskport/internal/store/blockstore"

// SetDirect pretends that O_DIRECT works or not.
func SetDirect(d *Dir, direct bool) { d.direct = direct }

// SetPwritev replaces the system call that writes.
func SetPwritev(d *Dir, fn func(fd int, bufs [][]byte, off int64) (int, error)) { d.pwritev = fn }

// Fd returns the descriptor of a file that is being written.
func Fd(w blockstore.Writer) uintptr { return w.(*file).f.Fd() }

// Keep changes how many files stay open for reading.
func Keep(d *Dir, files int) { d.readers = newReaders(files) }
