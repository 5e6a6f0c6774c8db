package wrap

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/internal/xz"
)

// unpacker returns a reader of what an object holds. It returns io.EOF when the
// object ends where a part does, and a behindError when something other than a part
// follows; in both cases all checks have been made.
type unpacker func(in *input) (io.Reader, error)

var unpackers = map[string]unpacker{
	"gzip": func(in *input) (io.Reader, error) { return newMembers(in) },
	"bzip2": func(in *input) (io.Reader, error) {
		return &streams{in: in, bzip2: bzip2.NewReader(&marked{in: in})}, nil
	},
	"xz":   func(in *input) (io.Reader, error) { return &xzStreams{in, xz.NewReader(in.buf)}, nil },
	"zstd": newFrames,
}

// magics begin the parts of a format, or the blocks in them. None of them may be in
// bytes that are left out.
var magics = map[string][]string{
	"gzip": {"\x1f\x8b\x08"}, "bzip2": {"BZh", "1AY&SY"}, "xz": {"\xfd7zXZ"}, "zstd": {"\x28\xb5\x2f\xfd"},
}

// behindError says that the bytes from an offset on do not belong to the compressed
// object.
type behindError struct{ at int64 }

func (e *behindError) Error() string {
	return fmt.Sprintf("bytes behind the last part at offset %#x", e.at)
}

// members reads the members of a gzip object one by one, so that what is behind
// the last one is told from a damaged one.
type members struct {
	in   *input
	gzip *gzip.Reader
}

func newMembers(in *input) (*members, error) {
	g, err := gzip.NewReader(in.buf)
	if err != nil {
		return nil, err
	}
	g.Multistream(false)
	return &members{in, g}, nil
}

func (m *members) Read(p []byte) (int, error) {
	n, err := m.gzip.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, m.next()
}

// next begins the next member, or says that there is none.
func (m *members) next() error {
	first, err := m.in.buf.Peek(2)
	switch {
	case len(first) == 0:
		return err
	case first[0] != 0x1f || len(first) == 2 && first[1] != 0x8b:
		return &behindError{m.in.offset()}
	}
	err = m.gzip.Reset(m.in.buf)
	m.gzip.Multistream(false)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// streams reads the streams of a bzip2 object.
type streams struct {
	in    *input
	bzip2 io.Reader
}

// errNoStream is what the reader of package bzip2 gives for bytes that should
// begin another stream, two of which it has read.
const errNoStream = bzip2.StructuralError("bad magic value in continuation file")

func (s *streams) Read(p []byte) (int, error) {
	n, err := s.bzip2.Read(p)
	if errors.Is(err, errNoStream) {
		return n, s.in.ended(2)
	}
	return n, s.in.cut(err)
}

// frames reads the frames of a zstd object.
type frames struct {
	in *input
	io.ReadCloser
}

func newFrames(in *input) (io.Reader, error) {
	d, err := zstd.NewReader(&marked{in: in}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(xz.MaxDictionary))
	if err != nil {
		return nil, err
	}
	return &frames{in, d.IOReadCloser()}, nil
}

func (f *frames) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if errors.Is(err, zstd.ErrMagicMismatch) {
		return n, f.in.ended(4)
	}
	return n, f.in.cut(err)
}

// xzStreams reads the streams of an xz object.
type xzStreams struct {
	in *input
	xz *xz.Reader
}

func (x *xzStreams) Read(p []byte) (int, error) {
	n, err := x.xz.Read(p)
	if errors.Is(err, xz.ErrBehind) {
		return n, &behindError{x.in.offset()}
	}
	return n, err
}

// marked is an object with a few bytes behind it that no part of any format begins
// with. A reader that meets them where a part may begin reports it; one that meets
// them anywhere else has read an object that was cut.
type marked struct{ in *input }

const markSize = 4

func (m *marked) Read(p []byte) (int, error) {
	n, err := m.in.buf.Read(p)
	if n == 0 && errors.Is(err, io.EOF) && m.in.mark < markSize && len(p) > 0 {
		for n < len(p) && m.in.mark < markSize {
			p[n] = 0xff
			n, m.in.mark = n+1, m.in.mark+1
		}
		return n, nil
	}
	return n, err
}

// ReadByte implements io.ByteReader.
func (m *marked) ReadByte() (byte, error) {
	b, err := m.in.buf.ReadByte()
	if errors.Is(err, io.EOF) && m.in.mark < markSize {
		m.in.mark++
		return 0xff, nil
	}
	return b, err
}

// input is a compressed object being read forwards.
type input struct {
	src  bounded.Source
	buf  *bufio.Reader
	at   int64 // offset that was read up to
	err  error // of the source, not of the object
	mark int   // bytes behind the object that marked gave
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

// offset is the place up to which the object was unpacked.
func (in *input) offset() int64 { return in.at - int64(in.buf.Buffered()) }

// part is that place, for faults.
func (in *input) part() bounded.Part { return in.src.NewPart("compressed data", in.offset(), nil) }

// ended is the end of the last part, behind which a reader has read some bytes to
// look for another.
func (in *input) ended(looked int) error {
	switch at := in.offset() - int64(looked-in.mark); at {
	case in.src.Size:
		return io.EOF
	case 0:
		return errNoPart
	default:
		return &behindError{at}
	}
}

// errNoPart reports an object that does not begin with a part.
var errNoPart = errors.New("not of this format")

// cut turns any error of a reader that has met the mark inside a part into that for
// an object that was cut.
func (in *input) cut(err error) error {
	if err != nil && in.mark > 0 && in.err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fault turns the error of an unpacker into a fault of the object, unless the
// source failed.
func (in *input) fault(err error) error {
	if in.err != nil {
		return in.err
	}
	class, reason := diskimage.Malformed, "unpacking it"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		class, reason, err = diskimage.Truncated, "the object ends in it", nil
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		class, reason = diskimage.Limit, "its window is larger than 128 MiB, as zstd --long=28 and more, or a frame made in one piece, has it; unpack it first: zstd -d --long=31"
	case errors.Is(err, xz.ErrLimit):
		class, reason = diskimage.Limit, "unpack it first: xz -d"
	case errors.Is(err, xz.ErrUnsupported):
		class, reason = diskimage.Unsupported, "unpack it first: xz -d"
	case errors.Is(err, zstd.ErrUnknownDictionary):
		class, reason = diskimage.Unsupported, "it needs a dictionary; unpack it first: zstd -d -D DICTIONARY"
	}
	f := in.part().Fault(class, "%s", reason)
	f.Err = err
	return f
}

// resembles reports whether p begins with a magic, except for one byte, or is a
// part of one.
func resembles(p []byte, magic string) bool {
	equal := 0
	for i := range min(len(p), len(magic)) {
		if p[i] == magic[i] {
			equal++
		}
	}
	return equal >= len(magic)-1 || equal == len(p)
}

// maxLeftOut is how many bytes behind the last part are left out: signatures and
// descriptions that builds append are smaller.
const maxLeftOut = 1 << 20

// leftOut checks the bytes from an offset on, behind the last part, and returns a
// warning when they are more than padding. If they may be a damaged part it returns
// a fault, since leaving that out would cut the disk.
func (in *input) leftOut(at int64) (warning string, err error) {
	buf := make([]byte, min(in.src.Size-at, maxLeftOut))
	n := int64(0) // up to the last byte that isn't zero
	for off := at; off < in.src.Size; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), in.src.Size-off)]
		if err := in.src.ReadFull("data behind the last part", p, off); err != nil {
			return "", err
		}
		if k := len(bytes.TrimRight(p, "\x00")); k > 0 {
			n = off - at + int64(k)
		}
		fault := in.src.NewPart("data behind the last part", at, nil)
		if n > maxLeftOut {
			return "", fault.Fault(diskimage.Malformed, "more than %d bytes that are no %s: the object is damaged there, or more was put behind it", maxLeftOut, in.src.Format)
		}
		for _, magic := range magics[in.src.Format] {
			if off == at && resembles(p, magic) {
				return "", fault.Fault(diskimage.Malformed, "they begin almost as more %s data would: the object is damaged or cut here", in.src.Format)
			}
			if i := bytes.Index(p, []byte(magic)); i >= 0 {
				return "", fault.Fault(diskimage.Malformed, "they are no %s, but more of it follows at offset %#x: the object is damaged here", in.src.Format, off+int64(i))
			}
		}
	}
	if n == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d bytes behind the %s data are left out", in.src.Size-at, in.src.Format), nil
}
