package wrap

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/internal/xz"
)

// unpacker returns a reader of what an object holds. It reads the object to its
// end, and gives io.EOF only when everything was well.
type unpacker func(in *input) (io.Reader, error)

var unpackers = map[string]unpacker{
	"gzip":  func(in *input) (io.Reader, error) { return newMembers(in) },
	"bzip2": func(in *input) (io.Reader, error) { return bzip2.NewReader(in.buf), nil },
	"xz":    func(in *input) (io.Reader, error) { return xz.NewReader(in.buf), nil },
	"zstd":  newZstd,
}

func newZstd(in *input) (io.Reader, error) {
	d, err := zstd.NewReader(in.buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(xz.MaxDictionary))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// errGarbage is what members gives for bytes behind the last one.
var errGarbage = errors.New("behind the last member is something else than zeros")

// members reads the members of a gzip object one by one, so that the zeros behind
// the last are told from garbage.
type members struct {
	in   *bufio.Reader
	gzip *gzip.Reader
}

func newMembers(in *input) (*members, error) {
	g, err := gzip.NewReader(in.buf)
	if err != nil {
		return nil, err
	}
	g.Multistream(false)
	return &members{in.buf, g}, nil
}

func (m *members) Read(p []byte) (int, error) {
	n, err := m.gzip.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, m.next()
}

// next begins the next member, or returns io.EOF.
func (m *members) next() error {
	first, err := m.in.Peek(1)
	if err != nil {
		return err
	}
	if first[0] == 0 {
		return m.zeros()
	}
	err = m.gzip.Reset(m.in)
	m.gzip.Multistream(false)
	if errors.Is(err, gzip.ErrHeader) {
		return errGarbage
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// zeros reads to the end.
func (m *members) zeros() error {
	for {
		b, err := m.in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errGarbage
		}
	}
}

// input is a compressed object being read forwards.
type input struct {
	src bounded.Source
	buf *bufio.Reader
	at  int64 // offset that was read up to
	err error // of the source, not of the object
}

func newInput(src bounded.Source) *input {
	in := &input{src: src}
	in.buf = bufio.NewReaderSize(in, int(min(src.Size, unit)))
	return in
}

// Read reads the source for buf.
func (in *input) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), in.src.Size-in.at)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	if in.err = in.src.ReadFull("compressed data", p, in.at); in.err != nil {
		return 0, in.err
	}
	in.at += int64(len(p))
	return len(p), nil
}

// part is the place up to which the object was unpacked.
func (in *input) part() bounded.Part {
	return in.src.NewPart("compressed data", in.at-int64(in.buf.Buffered()), nil)
}

// fault turns what an unpacker says into a fault of the object, unless it was the
// source that failed.
func (in *input) fault(err error) error {
	if in.err != nil {
		return in.err
	}
	class, reason := diskimage.Malformed, "unpacking it"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		class, reason, err = diskimage.Truncated, "the object ends in it", nil
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, xz.ErrLimit):
		class, reason = diskimage.Limit, "its window is more than 128 MiB, or of no proportion"
	case errors.Is(err, xz.ErrUnsupported), errors.Is(err, zstd.ErrUnknownDictionary):
		class = diskimage.Unsupported
	}
	f := in.part().Fault(class, "%s", reason)
	f.Err = err
	return f
}
