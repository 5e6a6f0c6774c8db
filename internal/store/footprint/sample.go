package footprint

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// sample is a fair draw of blocks: those whose IDs begin with some zero bits.
type sample struct {
	limit  int
	zeros  uint // one block in 2^zeros is in
	blocks map[block.ID]entry
	// ends has a bit for each way in which the ID of a block that was taken in ends. It
	// fits into a cache, and most blocks of others need no look into blocks, which does
	// not.
	ends []uint64
}

// endBits is how much of the end of an ID ends goes by.
const endBits = 24

type entry struct {
	units  uint16 // length of the frame, in units of blockstore.Align
	shared bool
}

func newSample(limit int) *sample {
	return &sample{limit: limit, blocks: map[block.ID]entry{}, ends: make([]uint64, 1<<endBits/64)}
}

// end returns the place of an ID in ends.
func end(id block.ID) (word int, bit uint64) {
	n := binary.BigEndian.Uint32(id[len(id)-4:]) % (1 << endBits)
	return int(n / 64), 1 << (n % 64)
}

// draws reports whether a block is in the sample if it is in what is sampled.
func (s *sample) draws(id block.ID) bool { return binary.BigEndian.Uint64(id[:])>>(64-s.zeros) == 0 }

// add takes a block in, and makes the draw smaller while there are more than limit.
func (s *sample) add(id block.ID) {
	if !s.draws(id) {
		return
	}
	s.blocks[id] = entry{}
	word, bit := end(id)
	s.ends[word] |= bit
	for len(s.blocks) > s.limit && s.zeros < 63 {
		s.zeros++
		for id := range s.blocks {
			if !s.draws(id) {
				delete(s.blocks, id)
			}
		}
	}
}

// ids returns the blocks.
func (s *sample) ids() []block.ID { return slices.Collect(maps.Keys(s.blocks)) }

// measure notes how long the frame of a block is, in units of blockstore.Align.
func (s *sample) measure(id block.ID, units uint32) {
	e := s.blocks[id]
	e.units = uint16(units) // at most frame.Size/blockstore.Align
	s.blocks[id] = e
}

// share notes that something else names blocks.
func (s *sample) share(ids []block.ID) {
	for _, id := range ids {
		if word, bit := end(id); s.ends[word]&bit == 0 || !s.draws(id) {
			continue
		}
		if e, ok := s.blocks[id]; ok && !e.shared {
			e.shared = true
			s.blocks[id] = e
		}
	}
}

// sums are what the sample says about all of what is sampled.
type sums struct {
	blocks, unique int64 // numbers of blocks
	shared, own    int64 // bytes on disk
	margin         int64 // by which each of these bytes may be off
}

// sum adds up. The variance is that of a sum of which each term is drawn with the
// probability 1/scale, independently (Horvitz and Thompson).
func (s *sample) sum() (t sums) {
	scale := int64(1) << s.zeros
	var squares float64
	for _, e := range s.blocks {
		n := int64(e.units) * blockstore.Align
		squares += float64(n) * float64(n)
		t.blocks += scale
		if e.shared {
			t.shared += n * scale
		} else {
			t.own += n * scale
			t.unique += scale
		}
	}
	t.margin = int64(math.Ceil(3 * math.Sqrt(squares*float64(scale)*float64(scale-1))))
	return t
}
