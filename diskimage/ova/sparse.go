package ova

import (
	"bytes"
	"io"
	"sort"
	"strconv"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// maxSegments bounds the map of a sparse member to 12 MiB.
const maxSegments = 512 << 10

// segment is a range of a sparse member that is stored.
type segment struct {
	off, n int64 // in the member
	at     int64 // in the archive
}

// sparseMap collects the segments of a member, as tar -S writes them in two forms:
// old GNU, in the header and blocks behind it (which is how images for Google's
// cloud are made), and pax 1.0, as text in front of the data.
type sparseMap struct {
	part     bounded.Part // for faults
	segments []segment
	end      int64 // of the last segment, in the member
}

func (s *sparseMap) add(off, n int64) error {
	switch {
	case off < s.end || n < 0 || off > 1<<62-n:
		return s.part.Fault(diskimage.Malformed, "the sparse file's segments are not in order")
	case len(s.segments) == maxSegments:
		return s.part.Fault(diskimage.Limit, "a sparse file of more than %d segments; unpack it first: tar x", maxSegments)
	}
	s.end = off + n
	if n > 0 {
		s.segments = append(s.segments, segment{off: off, n: n})
	}
	return nil
}

// finish places the segments, whose data begin at an offset of the archive and
// have packed bytes, and returns the member, which has size bytes.
func (s *sparseMap) finish(name string, at, packed, size int64) (member, error) {
	if size > diskimage.DefaultVirtualSize {
		return member{}, s.part.Fault(diskimage.Limit, "a sparse file of %d bytes, more than %d", size, int64(diskimage.DefaultVirtualSize))
	}
	stored := int64(0)
	for i := range s.segments {
		s.segments[i].at = at + stored
		stored += s.segments[i].n // less than 2^62: they are apart
	}
	if stored != packed || s.end > size {
		return member{}, s.part.Fault(diskimage.Malformed, "the sparse file's segments have %d bytes and end at %d, it has %d, and is %d long", stored, s.end, packed, size)
	}
	return member{name: name, off: at, size: size, sparse: s.segments, isSparse: true}, nil
}

// old reads entries of the old GNU form: offset and length of 12 characters each,
// up to the first that is empty.
func (s *sparseMap) old(p []byte) error {
	for ; len(p) >= 24 && p[0] != 0; p = p[24:] {
		off, ok1 := number(p[:12])
		n, ok2 := number(p[12:24])
		if !ok1 || !ok2 {
			return s.part.Fault(diskimage.Malformed, "the sparse file's map holds no number")
		}
		if err := s.add(off, n); err != nil {
			return err
		}
	}
	return nil
}

// oldSparse reads the map of the member whose header is p, at the end of which, at
// an offset, it may go on, and returns it with how many bytes of the archive the
// map and the data take.
func (a *archive) oldSparse(p bounded.Part, h header, name string, off int64) (member, int64, error) {
	s := &sparseMap{part: p}
	if err := s.old(p.Data[386:482]); err != nil {
		return member{}, 0, err
	}
	size, ok := number(p.Data[483:495])
	if !ok {
		return member{}, 0, p.Fault(diskimage.Malformed, "the sparse file has no size")
	}
	at := off
	for more := p.Data[482] != 0; more; at += block {
		b, err := a.block(at)
		if err != nil {
			return member{}, 0, err
		}
		if err := s.old(b.Data[:504]); err != nil {
			return member{}, 0, err
		}
		more = b.Data[504] != 0
	}
	if err := a.src.Check("member", at, h.size); err != nil {
		return member{}, 0, err
	}
	m, err := s.finish(name, at, h.size, size)
	return m, at - off + (h.size+block-1)/block*block, err
}

// paxSparse reads the map in front of the data of a member of the form 1.0: numbers
// of one line each, first how many segments there are.
func (a *archive) paxSparse(p bounded.Part, h header, next overrides, off int64) (member, error) {
	s := &sparseMap{part: p}
	r := &lines{in: io.NewSectionReader(a.src.R, off, h.size)}
	count, err := r.number()
	if err != nil || count > maxSegments {
		return member{}, p.Fault(diskimage.Malformed, "the sparse file's map does not begin with how many segments there are, up to %d", maxSegments)
	}
	for range count {
		start, err1 := r.number()
		n, err2 := r.number()
		if err1 != nil || err2 != nil {
			return member{}, p.Fault(diskimage.Malformed, "the sparse file's map ends early")
		}
		if err := s.add(start, n); err != nil {
			return member{}, err
		}
	}
	head := (r.read + block - 1) / block * block
	if head > h.size {
		return member{}, p.Fault(diskimage.Malformed, "the sparse file's map ends early")
	}
	return s.finish(next.sparseName, off+head, h.size-head, next.sparseSize)
}

// lines reads numbers of a line each.
type lines struct {
	in   io.Reader
	held []byte
	read int64 // bytes of the lines
}

func (l *lines) number() (int64, error) {
	for {
		if i := bytes.IndexByte(l.held, '\n'); i >= 0 {
			text := string(l.held[:i])
			l.held, l.read = l.held[i+1:], l.read+int64(i)+1
			n, err := strconv.ParseUint(text, 10, 62)
			return int64(n), err
		}
		if len(l.held) > 32 {
			return 0, strconv.ErrSyntax
		}
		buf := make([]byte, len(l.held), 4<<10)
		copy(buf, l.held)
		n, err := l.in.Read(buf[len(buf):cap(buf)])
		if l.held = buf[:len(buf)+n]; n == 0 {
			return 0, err
		}
	}
}

// sparseFile is the contents of a sparse member.
type sparseFile struct {
	r        io.ReaderAt // the archive
	segments []segment
	size     int64
}

var _ diskimage.SparseReaderAt = sparseFile{}

// from returns the first segment that ends behind off.
func (f sparseFile) from(off int64) int {
	return sort.Search(len(f.segments), func(i int) bool { return f.segments[i].off+f.segments[i].n > off })
}

// ReadAt implements io.ReaderAt.
func (f sparseFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= f.size {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(want), f.size-off)]
	clear(p)
	for i := f.from(off); i < len(f.segments) && f.segments[i].off < off+int64(len(p)); i++ {
		s := f.segments[i]
		start, end := max(s.off, off), min(s.off+s.n, off+int64(len(p)))
		if err := bounded.ReadFull(f.r, p[start-off:end-off], s.at+start-s.off); err != nil {
			return 0, err
		}
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return want, nil
}

// NextData implements diskimage.SparseReaderAt.
func (f sparseFile) NextData(off int64) (start, end int64, err error) {
	i := f.from(off)
	if i == len(f.segments) {
		return f.size, f.size, nil
	}
	s := f.segments[i]
	return max(off, s.off), s.off + s.n, nil
}

// section is a member of an archive that was unpacked to scratch room, which knows
// its holes.
type section struct {
	*io.SectionReader
	sparse diskimage.SparseReaderAt
	off    int64
}

// NextData implements diskimage.SparseReaderAt.
func (s section) NextData(off int64) (start, end int64, err error) {
	start, end, err = s.sparse.NextData(s.off + off)
	return min(start-s.off, s.Size()), min(end-s.off, s.Size()), err
}

// pieces are files one behind the other.
type pieces []diskimage.File

// ReadAt implements io.ReaderAt.
func (all pieces) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for _, f := range all {
		if off >= f.Size {
			off -= f.Size
			continue
		}
		n := min(int64(len(p)-done), f.Size-off)
		if err := bounded.ReadFull(f.R, p[done:done+int(n)], off); err != nil {
			return done, err
		}
		if done, off = done+int(n), 0; done == len(p) {
			return done, nil
		}
	}
	return done, io.EOF
}
