package diskimage

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Scratch makes room for data that cannot be read at random where it is, such as
// the contents of a compressed object. The caller of a decoder provides it, and
// bounds it: a write beyond its quota fails. It may be used concurrently.
type Scratch interface {
	// Create returns an empty file, which the decoder closes.
	Create() (ScratchFile, error)
}

// ScratchFile is a file of a Scratch. Ranges that were not written, before the last
// byte that was, read as zeros and should take no room. Writes begin at multiples of
// 4 KiB, and none is repeated. It may be read concurrently.
type ScratchFile interface {
	io.ReaderAt
	io.WriterAt
	// Close removes the file.
	io.Closer
}

// File is an object that the caller gives in addition to the image, for images
// whose data is in several files. Decoders read only what they are given, and open
// nothing.
type File struct {
	R    io.ReaderAt
	Size int64 // bytes
}

// MissingFileError names files that an image consists of and that the caller did
// not give. A FormatError of class External wraps it.
type MissingFileError struct {
	Names []string // printable, in the order of the disk
}

func (e *MissingFileError) Error() string {
	const most = 3
	var quoted []string
	for _, name := range e.Names[:min(len(e.Names), most)] {
		quoted = append(quoted, strconv.Quote(name))
	}
	s := strings.Join(quoted, ", ")
	if more := len(e.Names) - len(quoted); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s + " not given"
}
