package imagetest

import "io"

// Faulty is a source that fails as configured. It may be used concurrently if
// Before may.
type Faulty struct {
	R io.ReaderAt

	// Reads that reach From fail with Err. If Err is nil they return fewer bytes and
	// io.EOF, as if the object ended there.
	From int64
	Err  error

	// Before, if set, runs before each read. It can count reads, or delay them until
	// a test lets them continue.
	Before func(off int64, n int)
}

// ReadAt reads from R, or fails as configured.
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
