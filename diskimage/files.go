package diskimage

import "io"

// Scratch makes room for what can not be read at random where it is, such as the
// contents of a compressed object. The caller of a decoder gives it, and bounds
// it: a write over its quota fails.
type Scratch interface {
	// Create returns an empty file.
	Create() (ScratchFile, error)
}

// ScratchFile is a file of a Scratch. What was not written, before the last byte
// that was, reads as zeros and should take no room. It may be read concurrently.
type ScratchFile interface {
	io.ReaderAt
	io.WriterAt
	// Close removes the file.
	io.Closer
}

// File is an object that the caller gives besides the image, for images whose
// data are in several. Decoders use what they are given and open nothing.
type File struct {
	R    io.ReaderAt
	Size int64 // bytes
}
