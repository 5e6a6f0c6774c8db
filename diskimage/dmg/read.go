package dmg

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
	"github.com/diskport/diskport/diskimage/internal/inflate"
	"github.com/diskport/diskport/diskimage/internal/xz"
)

// chunkFinder finds and expands chunks.
type chunkFinder struct {
	src    bounded.Source
	size   int64   // of the disk
	chunks []chunk // sorted, without gaps

	inflaters sync.Pool // of *inflate.Decoder
}

func newChunkFinder(src bounded.Source, size int64, chunks []chunk) *chunkFinder {
	return &chunkFinder{
		src: src, size: size, chunks: chunks,
		inflaters: sync.Pool{New: func() any { return new(inflate.Decoder) }},
	}
}

// at returns the chunk that holds off, and where it ends.
func (f *chunkFinder) at(off int64) (c chunk, end int64) {
	next := sort.Search(len(f.chunks), func(i int) bool { return f.chunks[i].off > off })
	if end = f.size; next < len(f.chunks) {
		end = f.chunks[next].off
	}
	return f.chunks[next-1], end
}

// Find implements blockmap.Finder.
func (f *chunkFinder) Find(off, _ int64) (diskimage.Run, error) {
	c, end := f.at(off)
	run := diskimage.Run{Off: c.off, Len: end - c.off}
	switch c.kind {
	case chunkUnused:
		return run, nil
	case chunkZero:
		run.Kind = diskimage.Zero
		return run, nil
	}
	run.Kind, run.Src, run.SrcOff, run.SrcLen = diskimage.Data, f.src.R, c.src, run.Len
	if c.kind != chunkRaw {
		run.Coded, run.SrcLen = true, int64(c.packed)
	}
	return run, nil
}

// Decode implements blockmap.Decoder. With bzip2 and xz it allocates: their
// readers cannot be used again.
func (f *chunkFinder) Decode(run diskimage.Run, dst, src []byte) error {
	if int64(len(dst)) != run.Len || int64(len(src)) < run.SrcLen || run.Off < 0 || run.Off >= f.size {
		return fmt.Errorf("dmg: expanding disk offset %#x: %d bytes of room for %d", run.Off, len(dst), run.Len)
	}
	c, _ := f.at(run.Off)
	err := f.expand(c.kind, dst, src[:run.SrcLen])
	if err == nil {
		return nil
	}
	fault := f.src.NewPart("chunk", run.SrcOff, nil).Fault(diskimage.Malformed, "expanding %d bytes", run.Len)
	fault.Err = err
	if errors.Is(err, xz.ErrUnsupported) {
		fault.Class = diskimage.Unsupported
	}
	return fault
}

func (f *chunkFinder) expand(kind uint32, dst, src []byte) error {
	switch kind {
	case chunkZlib:
		x := f.inflaters.Get().(*inflate.Decoder)
		defer f.inflaters.Put(x)
		_, _, err := x.InflateZlib(dst, src)
		if errors.Is(err, inflate.ErrShort) || errors.Is(err, inflate.ErrLong) {
			return diskimage.ErrInflatedLength
		}
		return err
	case chunkBzip2:
		return whole(dst, bzip2.NewReader(bytes.NewReader(src)))
	}
	return whole(dst, xz.NewReaderSize(bufio.NewReader(bytes.NewReader(src)), int64(len(dst))))
}

// whole fills dst with what r has, which must be just that much.
func whole(dst []byte, r io.Reader) error {
	var more [1]byte
	for n := 0; ; {
		rest := dst[n:]
		if len(rest) == 0 {
			rest = more[:]
		}
		k, err := r.Read(rest)
		n += k
		switch {
		case n > len(dst), n < len(dst) && errors.Is(err, io.EOF):
			return diskimage.ErrInflatedLength
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
