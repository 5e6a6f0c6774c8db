package imagetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
)

// Mixed returns n bytes in stretches of text, zeros and random bytes, of irregular
// lengths from a few bytes to several MiB. The same seed gives the same bytes.
func Mixed(n int, seed uint64) []byte {
	p := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	rnd := rand.New(src)
	var line []byte
	for at := 0; at < n; {
		size := 1 + rnd.IntN(1<<(5+rnd.IntN(18)))
		part := p[at:min(n, at+size)]
		switch rnd.IntN(3) {
		case 0:
			src.Read(part)
		case 1:
			for i := 0; i < len(part); {
				line = append(strconv.AppendInt(line[:0], int64(i), 10), " is where this line of a text begins\n"...)
				i += copy(part[i:], line)
			}
		}
		at += len(part)
	}
	return p
}

// Zeros is an endless source of zeros.
type Zeros struct{}

// ReadAt fills p with zeros.
func (Zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// isZero compares p with itself, shifted by one byte, which runs at memory speed.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// Padded returns r, of size bytes, with endless zeros behind them.
func Padded(r io.ReaderAt, size int64) io.ReaderAt { return &padded{r, size} }

type padded struct {
	r    io.ReaderAt
	size int64
}

func (d *padded) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), d.size-off)))
	clear(p[n:])
	if n == 0 {
		return len(p), nil
	}
	if k, err := d.r.ReadAt(p[:n], off); k < n {
		return k, err
	}
	return len(p), nil
}

// Sparse is a source in memory that knows its holes: the units of Unit bytes
// that are all zeros.
type Sparse struct {
	Bytes []byte
	Unit  int64
}

// ReadAt reads from Bytes.
func (s Sparse) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.Bytes).ReadAt(p, off)
}

// NextData implements diskimage.SparseReaderAt.
func (s Sparse) NextData(off int64) (start, end int64, err error) {
	size := int64(len(s.Bytes))
	for start = min(off, size); start < size && s.hole(start); {
		start = s.unitEnd(start)
	}
	for end = start; end < size && !s.hole(end); {
		end = s.unitEnd(end)
	}
	return start, end, nil
}

func (s Sparse) unitEnd(off int64) int64 {
	return min(off/s.Unit*s.Unit+s.Unit, int64(len(s.Bytes)))
}

func (s Sparse) hole(off int64) bool {
	return isZero(s.Bytes[off/s.Unit*s.Unit : s.unitEnd(off)])
}
