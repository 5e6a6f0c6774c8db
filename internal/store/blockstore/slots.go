package blockstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"

	"golang.org/x/sys/unix"
)

// Slot is memory for one frame, aligned to Align. What an earlier user left is
// still in it, or zeros.
type Slot struct {
	frame []byte
	inUse atomic.Bool
	taken bool // it takes memory; guarded by Slots.mu
}

// Payload is where a block's plaintext goes: block.Size bytes.
func (s *Slot) Payload() []byte { return s.frame[:block.Size:block.Size] }

// Frame is all of the slot: frame.Size bytes.
func (s *Slot) Frame() []byte { return s.frame }

// Slots is the node's budget of block memory. It may be used concurrently.
//
// A goroutine must not wait for a slot while it holds one. Blocks that wait in a
// PackWriter for their group do not count: when a goroutine waits for a slot, the
// writers write what they have. Groups of eight are written whole as long as there
// are about nine slots for each goroutine that adds blocks, and eight more for each
// unit of work.
type Slots struct {
	memory  []byte
	tokens  chan struct{} // one for each free slot
	waiting atomic.Int32  // goroutines that wait in Get
	lost    atomic.Bool   // a slot was

	mu      sync.Mutex // guards what follows
	free    []*Slot    // the last one put is the next one got: it is still in the cache
	least   int        // how many there were at least since the last Trim
	holders map[chan<- struct{}]struct{}
}

// NewSlots returns as many slots as fit into budget bytes, at least one. The memory
// is outside of Go's heap, so that it does not delay garbage collection, and takes
// no memory before it is touched.
func NewSlots(budget int64) (*Slots, error) {
	n := int(budget / frame.Size)
	if n < 1 {
		return nil, fmt.Errorf("blockstore: a slot takes %d bytes, the budget is %d", frame.Size, budget)
	}
	memory, err := unix.Mmap(-1, 0, n*frame.Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d bytes for slots: %w", budget, err)
	}
	// A request to the disk takes a limited number of segments (254 on virtio): with
	// pages of 4 KiB that is 1 MiB, with huge pages a whole group. Measured: 1.5
	// times the throughput. Where there are no huge pages, only that gain is lost.
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	p := &Slots{memory: memory, tokens: make(chan struct{}, n), holders: map[chan<- struct{}]struct{}{}}
	for i := range n {
		p.free = append(p.free, &Slot{frame: memory[i*frame.Size : (i+1)*frame.Size : (i+1)*frame.Size]})
		p.tokens <- struct{}{}
	}
	return p, nil
}

// Len returns how many slots there are.
func (p *Slots) Len() int { return cap(p.tokens) }

// InUse returns how many of them are in use now.
func (p *Slots) InUse() int { return cap(p.tokens) - len(p.tokens) }

// Get returns a slot, waiting for one while all are in use.
func (p *Slots) Get(ctx context.Context) (*Slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.tokens:
		return p.pop(), nil
	default:
	}
	// Holders of slots see waiting, or are told: see PackWriter.join.
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	p.tell()
	select {
	case <-p.tokens:
		return p.pop(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Put gives a slot back.
func (p *Slots) Put(s *Slot) {
	if !s.inUse.CompareAndSwap(true, false) {
		panic("blockstore: slot put twice")
	}
	p.mu.Lock()
	p.free = append(p.free, s)
	p.mu.Unlock()
	p.tokens <- struct{}{}
}

// Lose gives up a slot that somebody may write to for ever: another one takes its place.
func (p *Slots) Lose(s *Slot) {
	if !s.inUse.Load() {
		panic("blockstore: losing a slot that nobody has")
	}
	p.lost.Store(true)
	fresh := &Slot{frame: AlignedBytes(frame.Size)}
	fresh.inUse.Store(true)
	p.Put(fresh)
}

// Close releases the memory, unless a slot was lost. None may be in use or be asked for any
// more.
func (p *Slots) Close() error {
	if p.lost.Load() {
		return nil // somebody may still write there
	}
	if err := unix.Munmap(p.memory); err != nil {
		return fmt.Errorf("releasing the memory of slots: %w", err)
	}
	return nil
}

// pop needs a token.
func (p *Slots) pop() *Slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	s := p.free[last]
	p.free = p.free[:last]
	p.least = min(p.least, last)
	s.inUse.Store(true)
	s.taken = true
	return s
}

// Trim gives the memory of those slots back to the system that nobody has used since the
// last call.
func (p *Slots) Trim() {
	p.mu.Lock()
	unused := p.least
	p.least = len(p.free)
	p.mu.Unlock()
	for i := 0; i < unused && p.trim(i); i++ {
	}
}

// trim gives the memory of a free slot back. It returns false if so few are free that it
// is in use.
func (p *Slots) trim(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= len(p.free) {
		return false
	}
	if s := p.free[i]; s.taken {
		_ = unix.Madvise(s.frame, unix.MADV_DONTNEED) // if it fails, the slot keeps its memory
		s.taken = false
	}
	return true
}

// hold adds c, of capacity 1, to the channels that tell sends to.
func (p *Slots) hold(c chan<- struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders[c] = struct{}{}
}

func (p *Slots) unhold(c chan<- struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.holders, c)
}

// tell asks every holder to give back what it can.
func (p *Slots) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.holders {
		select {
		case c <- struct{}{}:
		default: // it has been asked already
		}
	}
}
