package snapshot

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/diskport/diskport/internal/block"
)

// The layout of a root; see the package comment.
const (
	rootMagic   = "DPRT"
	rootVersion = 2
	rootHead    = 40
	rootEntry   = 44
	// maxRootFixed is what a root has besides entries, at most.
	maxRootFixed = rootHead + 2*maxName + macSize
	maxName      = 64 // bytes of a snapshot or domain ID

	// maxVolume is the blocks of the largest volume, 64 TiB.
	maxVolume = 64 << 10 * block.PerGiB
)

// root is a root in memory.
type root struct {
	snapshot string
	domain   string
	volume   int64 // blocks
	virtual  int64 // bytes of the imported disk; 0: as many as the volume has
	blocks   int64
	pages    []rootPage // ascending
}

// rootPage is one page of a root.
type rootPage struct {
	index  int64
	id     PageID
	blocks int
}

// validate checks the invariants that writers keep and readers rely on.
func (r *root) validate() error {
	if r.virtual < 0 || r.virtual > r.volume*block.Size {
		return fmt.Errorf("root of a disk of %d bytes on %d blocks of volume", r.virtual, r.volume)
	}
	if r.volume < 0 || r.volume > maxVolume || len(r.snapshot) > maxName || len(r.domain) > maxName {
		return fmt.Errorf("root of snapshot %.64q in domain %.64q, %d blocks of volume", r.snapshot, r.domain, r.volume)
	}
	next, sum := int64(0), int64(0)
	for _, p := range r.pages {
		if p.index < next || p.index >= pagesOf(r.volume) {
			return fmt.Errorf("page %d of %d is out of order or bounds", p.index, pagesOf(r.volume))
		}
		if p.blocks < 1 || int64(p.blocks) > min(PageBlocks, r.volume-p.index*PageBlocks) {
			return fmt.Errorf("page %d names %d blocks", p.index, p.blocks)
		}
		next, sum = p.index+1, sum+int64(p.blocks)
	}
	if sum != r.blocks {
		return fmt.Errorf("pages name %d blocks, the root %d", sum, r.blocks)
	}
	return nil
}

// pagesOf returns how many pages a volume of volume blocks has.
func pagesOf(volume int64) int64 { return (volume + PageBlocks - 1) / PageBlocks }

// encode returns the root with its MAC.
func (r *root) encode(k *PageKey) []byte {
	b := make([]byte, 0, rootHead+len(r.snapshot)+len(r.domain)+len(r.pages)*rootEntry+macSize)
	b = append(b, rootMagic...)
	b = binary.LittleEndian.AppendUint32(b, rootVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.volume))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.virtual))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.blocks))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.pages)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.snapshot)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.domain)))
	b = append(b, r.snapshot...)
	b = append(b, r.domain...)
	for _, p := range r.pages {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.index))
		b = append(b, p.id[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(p.blocks))
	}
	mac := k.mac(b)
	return append(b, mac[:]...)
}

// rootSize returns the bytes of the whole root, given its first rootHead ones
// and how many blocks the volume is known to have.
func rootSize(head []byte, volume int64) (int, error) {
	if len(head) < rootHead || string(head[:4]) != rootMagic {
		return 0, fmt.Errorf("%w: no root", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(head[4:]); v != rootVersion {
		return 0, fmt.Errorf("%w: root of unknown version %d", ErrCorrupt, v)
	}
	pages := int64(binary.LittleEndian.Uint32(head[32:]))
	s, d := int(binary.LittleEndian.Uint16(head[36:])), int(binary.LittleEndian.Uint16(head[38:]))
	if got := binary.LittleEndian.Uint64(head[8:]); got != uint64(volume) || pages > pagesOf(volume) || s > maxName || d > maxName {
		return 0, fmt.Errorf("%w: root of %d pages of a volume of %d blocks, not %d", ErrCorrupt, pages, got, volume)
	}
	return rootHead + s + d + int(pages)*rootEntry + macSize, nil
}

// parseRoot checks and parses all of b as a root.
func parseRoot(b []byte, k *PageKey, volume int64) (*root, error) {
	size, err := rootSize(b, volume)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, fmt.Errorf("%w: root of %d bytes, want %d", ErrCorrupt, len(b), size)
	}
	end := len(b) - macSize
	if mac := k.mac(b[:end]); !hmac.Equal(mac[:], b[end:]) {
		return nil, fmt.Errorf("%w: root does not authenticate", ErrCorrupt)
	}
	s := rootHead + int(binary.LittleEndian.Uint16(b[36:]))
	d := s + int(binary.LittleEndian.Uint16(b[38:]))
	r := &root{
		snapshot: string(b[rootHead:s]),
		domain:   string(b[s:d]),
		volume:   volume,
		virtual:  int64(binary.LittleEndian.Uint64(b[16:])),
		blocks:   int64(binary.LittleEndian.Uint64(b[24:])),
		pages:    make([]rootPage, 0, (end-d)/rootEntry),
	}
	for e := range slices.Chunk(b[d:end], rootEntry) {
		r.pages = append(r.pages, rootPage{
			index:  int64(binary.LittleEndian.Uint64(e)),
			id:     PageID(e[8:40]),
			blocks: int(binary.LittleEndian.Uint32(e[40:])),
		})
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, nil
}

// page returns the page with the index; ok is false when it names no block.
func (r *root) page(index int64) (p rootPage, ok bool) {
	at, ok := slices.BinarySearchFunc(r.pages, index, func(p rootPage, i int64) int { return int(p.index - i) })
	if !ok {
		return rootPage{}, false
	}
	return r.pages[at], true
}

// from returns the pages from index on.
func (r *root) from(index int64) []rootPage {
	at, _ := slices.BinarySearchFunc(r.pages, index, func(p rootPage, i int64) int { return int(p.index - i) })
	return r.pages[at:]
}
