package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"

	"github.com/diskport/diskport/internal/block"
)

// PageBlocks is the number of block indexes that one page covers: 512 MiB of
// volume. A full page is 33 KiB.
const PageBlocks = 1024

// The layout of a page; see the package comment.
const (
	pageMagic   = "DPPG"
	pageVersion = 1
	offBitmap   = 8
	offIDs      = offBitmap + PageBlocks/8
	idSize      = len(block.ID{})
)

// ErrCorrupt reports a manifest that is not what was written. Errors that wrap
// it name what is wrong.
var ErrCorrupt = errors.New("snapshot: corrupt manifest")

// page is a page in memory.
type page struct {
	bitmap [PageBlocks / 64]uint64
	ids    []block.ID // of the set bits
}

// pageSize returns the bytes of a page that names n blocks.
func pageSize(n int) int { return offIDs + n*idSize }

// appendPage appends the page of entries, which are ascending, at least one,
// and all on the page that begins with block first.
func appendPage(p []byte, first int64, entries []Block) []byte {
	at := len(p)
	p = append(p, pageMagic...)
	p = binary.LittleEndian.AppendUint16(p, pageVersion)
	p = binary.LittleEndian.AppendUint16(p, uint16(len(entries)))
	p = append(p, make([]byte, PageBlocks/8)...)
	for _, e := range entries {
		i := e.Index - first
		p[at+offBitmap+int(i/8)] |= 1 << (i % 8)
		p = append(p, e.ID[:]...)
	}
	return p
}

// parsePage parses all of b as a page. Whether it has the right ID is for the
// caller to check.
func parsePage(b []byte) (*page, error) {
	if len(b) < offIDs || string(b[:4]) != pageMagic {
		return nil, fmt.Errorf("%w: no page", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != pageVersion {
		return nil, fmt.Errorf("%w: page of unknown version %d", ErrCorrupt, v)
	}
	p, set := &page{}, 0
	for i := range p.bitmap {
		p.bitmap[i] = binary.LittleEndian.Uint64(b[offBitmap+8*i:])
		set += bits.OnesCount64(p.bitmap[i])
	}
	if n := int(binary.LittleEndian.Uint16(b[6:])); n != set || n == 0 || len(b) != pageSize(n) {
		return nil, fmt.Errorf("%w: page of %d bytes for %d blocks, %d in its bitmap", ErrCorrupt, len(b), n, set)
	}
	p.ids = make([]block.ID, set)
	for i := range p.ids {
		copy(p.ids[i][:], b[offIDs+i*idSize:])
	}
	return p, nil
}

// find returns which of ids is block i of the page.
func (p *page) find(i int) (rank int, ok bool) {
	word, bit := i/64, i%64
	if p.bitmap[word]>>bit&1 == 0 {
		return 0, false
	}
	for _, w := range p.bitmap[:word] {
		rank += bits.OnesCount64(w)
	}
	return rank + bits.OnesCount64(p.bitmap[word]&(1<<bit-1)), true
}

// from returns the blocks of the page from i on: which ones, and which of ids.
func (p *page) from(i int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		rank := 0
		for w, word := range p.bitmap {
			for ; word != 0; word &= word - 1 {
				if at := w*64 + bits.TrailingZeros64(word); at >= i && !yield(at, rank) {
					return
				}
				rank++
			}
		}
	}
}

// last returns the last block of the page.
func (p *page) last() int {
	for w := len(p.bitmap) - 1; w >= 0; w-- {
		if p.bitmap[w] != 0 {
			return w*64 + bits.Len64(p.bitmap[w]) - 1
		}
	}
	return -1
}
