package qcow2

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/internal/inflate"
)

// expander expands clusters; it must not be used concurrently.
type expander struct {
	inflate.Decoder
	zstd  *zstd.Decoder // nil for deflate
	err   error         // of making it
	whole []byte        // for the last cluster, which the disk's end may cut
}

// maxWindow bounds the window of a zstd frame. The window of a cluster is the
// cluster; 8 MiB is what every decoder should allow.
const maxWindow = 8 << 20

func newExpander(c compression) *expander {
	x := new(expander)
	if c == zstandard {
		// One frame at a time, into room of known size: no goroutines.
		x.zstd, x.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true))
	}
	return x
}

// expanders are those not in use: as many as were ever used at once. One for zstd
// is large and takes long to make, so a sync.Pool, which drops some, won't do.
type expanders struct {
	mu   sync.Mutex // guards free
	free []*expander
}

func (e *expanders) take(c compression) *expander {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.free); n > 0 {
		x := e.free[n-1]
		e.free = e.free[:n-1]
		return x
	}
	return newExpander(c)
}

func (e *expanders) give(x *expander) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free = append(e.free, x)
}

// Decode implements blockmap.Decoder.
func (f *clusterFinder) Decode(run diskimage.Run, dst, src []byte) error {
	if int64(len(dst)) != run.Len {
		return fmt.Errorf("qcow2: expanding disk offset %#x: %d bytes of room for %d", run.Off, len(dst), run.Len)
	}
	x := f.expanders.take(f.compression)
	defer f.expanders.give(x)
	var err error
	if run.Len == f.cluster() {
		_, err = x.expand(dst, src)
	} else {
		err = x.lastCluster(dst, src, f.cluster())
	}
	if err == nil {
		return nil
	}
	fault := f.src.NewPart("compressed cluster", run.SrcOff, nil).Fault(diskimage.Malformed, "expanding %d bytes", f.cluster())
	fault.Err = err
	switch {
	case errors.Is(err, inflate.ErrShort) || errors.Is(err, inflate.ErrLong):
		fault.Err = diskimage.ErrInflatedLength
	case errors.Is(err, inflate.ErrTruncated) && run.SrcOff+run.SrcLen == f.src.Size:
		fault.Class = diskimage.Truncated
	}
	return fault
}

// expand fills dst from the stream at the start of src, and returns how much of it
// was filled, which may be less than all.
func (x *expander) expand(dst, src []byte) (int, error) {
	if x.err != nil {
		return 0, x.err
	}
	if x.zstd == nil {
		n, _, err := x.Inflate(dst, src)
		return n, err
	}
	end, err := frameLength(src)
	if err != nil {
		return 0, err
	}
	out, err := x.zstd.DecodeAll(src[:end], dst[:0:len(dst)])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return 0, inflate.ErrLong
	case err == nil && len(out) < len(dst):
		return len(out), inflate.ErrShort
	}
	return len(out), err
}

// lastCluster expands a cluster that the disk's end cuts to len(dst). It is
// whole in most images, and may be anything from dst's length on.
func (x *expander) lastCluster(dst, src []byte, cluster int64) error {
	if int64(len(x.whole)) != cluster {
		x.whole = make([]byte, cluster)
	}
	n, err := x.expand(x.whole, src)
	if errors.Is(err, inflate.ErrShort) && n >= len(dst) {
		err = nil
	}
	copy(dst, x.whole)
	return err
}

// Faults of a zstd frame.
var (
	errSkippable  = errors.New("zstd: a skippable frame in place of data")
	errDictionary = errors.New("zstd: a dictionary is needed")
	errWindow     = errors.New("zstd: the window is too large")
)

// frameLength returns how many bytes the zstd frame at the start of src takes: what
// follows it in its last sector belongs to another cluster.
func frameLength(src []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return 0, truncated(err)
	}
	switch {
	case h.Skippable:
		return 0, errSkippable
	case h.DictionaryID != 0:
		return 0, errDictionary
	case h.WindowSize > maxWindow:
		return 0, errWindow
	}
	const header, rle, trailer = 3, 1, 4 // bytes of a block's header, of a run, of the checksum
	for at := h.HeaderSize; at+header <= len(src); {
		block := uint(src[at]) | uint(src[at+1])<<8 | uint(src[at+2])<<16
		n := int(block >> 3)
		if block>>1&3 == rle {
			n = 1
		}
		at += header + n
		if block&1 == 0 {
			continue
		}
		if h.HasCheckSum {
			at += trailer
		}
		if at > len(src) {
			break
		}
		return at, nil
	}
	return 0, inflate.ErrTruncated
}

// truncated turns all errors for a stream that ends early into one.
func truncated(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return inflate.ErrTruncated
	}
	return err
}
