package xz

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"

	"github.com/ulikunitz/xz/lzma"
)

// What errors wrap. A stream that ends early is io.ErrUnexpectedEOF.
var (
	ErrCorrupt     = errors.New("corrupt xz stream")
	ErrUnsupported = errors.New("xz stream of a kind that is not read")
	ErrLimit       = errors.New("xz stream over a limit")
	// ErrBehind reports bytes that are neither a stream nor padding, in a place
	// where a stream may begin. They aren't read, and everything before them is
	// good.
	ErrBehind = fmt.Errorf("bytes behind the last stream: %w", ErrCorrupt)
)

// MaxDictionary is the largest dictionary taken, in bytes. xz -9 uses 64 MiB.
const MaxDictionary = 128 << 20

// Each block gets a dictionary of its own, which a hostile stream makes large
// for blocks of a few bytes. Honest dictionaries are smaller than their blocks;
// of the rest this much may be allocated one after the other.
const spareDictionaries = 2 << 30

// Reader expands a file. It is for one goroutine.
type Reader struct {
	in       counter
	err      error // sticky; io.EOF at the end
	inStream bool
	streams  int
	flags    [2]byte
	tally    tally // of the blocks read
	block    *block
	most     int64 // bytes that a dictionary may have
	out      int64 // bytes given
	spent    int64 // bytes of dictionaries made
}

// NewReader returns a reader of the file that r begins with. It reads to the end of
// r: anything there that is neither a stream nor padding is an error.
func NewReader(r *bufio.Reader) *Reader { return NewReaderSize(r, MaxDictionary) }

// NewReaderSize is NewReader for a file of which the caller reads most bytes at
// most: no dictionary is made larger.
func NewReaderSize(r *bufio.Reader, most int64) *Reader {
	return &Reader{in: counter{r: r}, most: most}
}

// Read implements io.Reader. At io.EOF all checks were made.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // nothing can come out of it
	}
	for r.err == nil {
		if r.block == nil {
			r.err = r.next()
			continue
		}
		n, err := r.block.read(p)
		r.out += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			r.err = r.endBlock()
		case err != nil:
			r.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// next begins a block, or ends a stream, or begins one, or finds the end.
func (r *Reader) next() error {
	if !r.inStream {
		return r.beginStream()
	}
	size, err := r.in.ReadByte()
	if err != nil {
		return truncated(err)
	}
	if size == 0 {
		r.inStream = false
		return r.endStream()
	}
	r.block, err = r.beginBlock(size)
	return err
}

const (
	magic       = "\xfd7zXZ\x00"
	footerMagic = "YZ"
)

// beginStream reads padding and a stream's header. io.EOF means the end.
func (r *Reader) beginStream() error {
	var head [12]byte
	for r.streams > 0 {
		next, err := r.in.r.Peek(4)
		switch {
		case len(next) == 0:
			return err
		case len(next) < 4 && !strings.HasPrefix(magic, string(next)):
			return ErrBehind
		case len(next) < 4:
			return io.ErrUnexpectedEOF
		}
		if string(next) == magic[:4] {
			break
		}
		if string(next) != "\x00\x00\x00\x00" {
			return ErrBehind
		}
		if _, err := io.ReadFull(&r.in, head[:4]); err != nil {
			return truncated(err)
		}
	}
	if _, err := io.ReadFull(&r.in, head[:]); err != nil {
		return truncated(err)
	}
	if string(head[:6]) != magic || le32(head[8:]) != crc32.ChecksumIEEE(head[6:8]) {
		return fmt.Errorf("stream header: %w", ErrCorrupt)
	}
	if head[6] != 0 || newCheck(head[7]) == nil {
		return fmt.Errorf("stream flags %#02x %#02x: %w", head[6], head[7], ErrUnsupported)
	}
	r.flags, r.inStream, r.tally = [2]byte(head[6:8]), true, newTally()
	r.streams++
	return nil
}

// block is a block being read.
type block struct {
	header      blockHeader
	dataStart   int64 // in the file
	data        *lzma.Reader2
	sum         hash.Hash
	out         int64
	in          *counter
	headerBytes int64
}

func (r *Reader) beginBlock(size byte) (*block, error) {
	start := r.in.n - 1
	h, err := readBlockHeader(&r.in, size)
	if err != nil {
		return nil, err
	}
	dictionary := max(min(h.dictionary, r.most), lzma.MinDictCap)
	if r.spent += dictionary; r.spent > spareDictionaries+4*r.out {
		return nil, fmt.Errorf("%d bytes of dictionaries for %d of data: %w", r.spent, r.out, ErrLimit)
	}
	b := &block{header: h, dataStart: r.in.n, headerBytes: r.in.n - start, sum: newCheck(r.flags[1]), in: &r.in}
	if b.data, err = (lzma.Reader2Config{DictCap: int(dictionary)}).NewReader2(&r.in); err != nil {
		return nil, fmt.Errorf("block: %w: %w", ErrCorrupt, err)
	}
	return b, nil
}

func (b *block) read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	b.out += int64(n)
	b.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		if b.in.ended {
			return n, io.ErrUnexpectedEOF
		}
		return n, fmt.Errorf("block data: %w: %w", ErrCorrupt, err)
	}
	return n, err
}

// endBlock reads what follows the data, and checks it.
func (r *Reader) endBlock() error {
	b := r.block
	r.block = nil
	packed := r.in.n - b.dataStart
	if h := b.header; h.packed >= 0 && h.packed != packed || h.unpacked >= 0 && h.unpacked != b.out {
		return fmt.Errorf("sizes of a block: %w", ErrCorrupt)
	}
	pad := int(-packed & 3)
	tail := make([]byte, pad+b.sum.Size())
	if _, err := io.ReadFull(&r.in, tail); err != nil {
		return truncated(err)
	}
	if !bytes.Equal(tail[:pad], make([]byte, pad)) || !bytes.Equal(tail[pad:], b.sum.Sum(nil)) {
		return fmt.Errorf("check of a block: %w", ErrCorrupt)
	}
	r.tally.add(uint64(b.headerBytes+packed)+uint64(b.sum.Size()), uint64(b.out))
	return nil
}

// counter counts what is read, and knows when the file has ended.
type counter struct {
	r     *bufio.Reader
	n     int64
	ended bool
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	c.ended = c.ended || errors.Is(err, io.EOF)
	return b, err
}

// truncated makes an end of the file an early one.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
