package vmdk

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/bounded"
)

// What WriteStream writes.
const (
	streamGrain    = 64 << 10
	streamSpan     = streamGrain * tableCount
	streamOverhead = 128 // sectors, as in all known images
)

// StreamOptions are the options of WriteStream. The zero value is useful.
type StreamOptions struct {
	// Level is a level of compress/zlib; 0 means zlib.BestSpeed.
	Level int
	// Progress, if set, is called with the disk offset up to which all is
	// written, about every 32 MiB and at the end.
	Progress func(off int64)
}

// WriteStream writes d as a streamOptimized image in one pass, laid out as
// ovftool does. Grains that are all zeros are left out. A disk whose size is not
// a multiple of 512 is extended to one with zeros.
func WriteStream(ctx context.Context, w io.Writer, d diskimage.Disk, opts StreamOptions) error {
	if opts.Level == 0 {
		opts.Level = zlib.BestSpeed
	}
	if opts.Progress == nil {
		opts.Progress = func(int64) {}
	}
	s := streamWriter{w: w, disk: d}
	var err error
	if s.zlib, err = zlib.NewWriterLevel(&s.stream, opts.Level); err != nil {
		return fmt.Errorf("writing VMDK: %w", err)
	}
	s.start()
	for off := int64(0); off < d.Size() && s.err == nil; off += streamSpan {
		if s.span(ctx, off); s.err == nil {
			opts.Progress(min(off+streamSpan, d.Size()))
		}
	}
	s.end()
	if s.err != nil {
		return fmt.Errorf("writing VMDK: %w", s.err)
	}
	return nil
}

// streamWriter holds the state of WriteStream. After an error it does nothing.
type streamWriter struct {
	w    io.Writer
	disk diskimage.Disk
	at   uint64 // sectors written
	err  error

	head      []byte
	directory []byte
	zlib      *zlib.Writer
	stream    bytes.Buffer // what zlib writes to
	grain     [streamGrain]byte
}

// start writes the header and the descriptor.
func (s *streamWriter) start() {
	capacity := (s.disk.Size() + sector - 1) / sector
	le := binary.LittleEndian
	p := make([]byte, streamOverhead*sector)
	copy(p, magic)
	le.PutUint32(p[4:], maxVersion)
	le.PutUint32(p[8:], flagLineEnds|flagCompressed|flagMarkers)
	le.PutUint64(p[12:], uint64(capacity))
	le.PutUint64(p[20:], streamGrain/sector)
	le.PutUint64(p[28:], 1)
	le.PutUint64(p[36:], 1)
	le.PutUint32(p[44:], tableCount)
	le.PutUint64(p[56:], atEnd)
	le.PutUint64(p[64:], streamOverhead)
	copy(p[73:], lineEnds)
	p[77] = deflate
	cylinders := min(max(capacity/(255*63), 1), 65535)
	copy(p[sector:2*sector], fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=%q\n\n"+
		"RDONLY %d SPARSE \"stream.vmdk\"\n\nddb.virtualHWVersion = \"7\"\nddb.adapterType = \"lsilogic\"\n"+
		"ddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n", streamType, capacity, cylinders))
	s.head = p[:sector:sector]
	s.write(p)
}

// span writes the grains of one table and then the table, if it is not empty.
func (s *streamWriter) span(ctx context.Context, off int64) {
	table := make([]byte, tableCount*entrySize)
	used := false
	next := off // no grain before it is left to write
	for e, err := range s.disk.Extents(off, streamSpan) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			s.err = err
			return
		}
		if e.Kind != diskimage.Data {
			continue
		}
		for g := max(next, e.Off/streamGrain*streamGrain); g < e.Off+e.Len && s.err == nil; g += streamGrain {
			if at := s.writeGrain(g); at != 0 {
				binary.LittleEndian.PutUint32(table[(g-off)/streamGrain*entrySize:], at)
				used = true
			}
			next = g + streamGrain
		}
	}
	var at uint32
	if used {
		at = s.writeMarked(markerTable, table)
	}
	s.directory = binary.LittleEndian.AppendUint32(s.directory, at)
}

// writeGrain writes the grain at a disk offset and returns its sector, or 0 if
// it is all zeros.
func (s *streamWriter) writeGrain(off int64) uint32 {
	n := min(streamGrain, s.disk.Size()-off)
	clear(s.grain[n:])
	if err := bounded.ReadFull(s.disk, s.grain[:n], off); err != nil {
		s.err = fmt.Errorf("reading the disk at offset %#x: %w", off, err)
		return 0
	}
	if lastNonZero(s.grain[:n]) < 0 {
		return 0
	}
	s.stream.Reset()
	s.stream.Write(make([]byte, markerData))
	s.zlib.Reset(&s.stream)
	if _, err := s.zlib.Write(s.grain[:]); err != nil {
		s.err = err
	}
	if err := s.zlib.Close(); err != nil {
		s.err = err
	}
	p := s.stream.Bytes()
	binary.LittleEndian.PutUint64(p, uint64(off/sector))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(p)-markerData))
	return s.write(p)
}

// end writes the directory, the footer and the end of the stream.
func (s *streamWriter) end() {
	at := s.writeMarked(markerDirectory, s.directory)
	binary.LittleEndian.PutUint64(s.head[56:], uint64(at))
	s.writeMarked(markerFooter, s.head)
	s.write(make([]byte, sector))
}

// writeMarked writes a marker and what it announces, and returns the sector of
// the latter.
func (s *streamWriter) writeMarked(kind uint32, p []byte) uint32 {
	m := make([]byte, sector)
	binary.LittleEndian.PutUint64(m, uint64(len(p)+sector-1)/sector)
	binary.LittleEndian.PutUint32(m[12:], kind)
	s.write(m)
	return s.write(p)
}

// write pads p to sectors and returns the first one's number, which has 32 bits
// in all tables.
func (s *streamWriter) write(p []byte) uint32 {
	if s.err != nil {
		return 0
	}
	at := s.at
	if at > math.MaxUint32 {
		s.err = fmt.Errorf("the image is larger than its tables can express, %d bytes", int64(math.MaxUint32)*sector)
		return 0
	}
	s.at += uint64(len(p)+sector-1) / sector
	if _, s.err = s.w.Write(p); s.err == nil && len(p)%sector != 0 {
		_, s.err = s.w.Write(make([]byte, sector-len(p)%sector))
	}
	return uint32(at)
}
