package imagetest

import "io"

// Faulty is a source that misbehaves as told. It may be used concurrently when
// Before may.
type Faulty struct {
	R io.ReaderAt

	// Reads that reach From fail: with Err, or, when Err is nil, short, with
	// io.EOF, as if the object ended there.
	From int64
	Err  error

	// Before, if set, runs before each read: it counts reads, or holds them
	// back until a test lets them go.
	Before func(off int64, n int)
}

// ReadAt reads from R, or fails.
func (f *Faulty) ReadAt(p []byte, off int64) (int, error) {
	if f.Before != nil {
		f.Before(off, len(p))
	}
	if off+int64(len(p)) <= f.From {
		return f.R.ReadAt(p, off)
	}
	if f.Err != nil {
		return 0, f.Err
	}
	n, err := f.R.ReadAt(p[:max(0, f.From-off)], off)
	if err == nil {
		err = io.EOF
	}
	return n, err
}
