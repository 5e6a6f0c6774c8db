package blobs3

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// buffers is the memory for parts, outside of Go's heap. A buffer takes as much memory as
// was written to it. It may be used concurrently.
type buffers struct {
	room int
	size int // bytes of each

	mu      sync.Mutex // guards what follows
	free    [][]byte
	used    int           // buffers that somebody has
	sending int           // of them: those that come back without anything being written
	changed chan struct{} // closed when used or sending falls
}

func newBuffers(room, size int) *buffers {
	return &buffers{room: room, size: size, changed: make(chan struct{})}
}

// get returns a buffer, waiting while there is none and one will come back.
func (p *buffers) get(ctx context.Context) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		buf, wait, err := p.take()
		if wait == nil {
			return buf, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns a buffer, or what to wait for.
func (p *buffers) take() (buf []byte, wait <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used >= p.room && p.sending > 0 {
		return nil, p.changed, nil
	}
	if n := len(p.free); n > 0 {
		buf, p.free = p.free[n-1], p.free[:n-1]
	} else if buf, err = unix.Mmap(-1, 0, p.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return nil, nil, fmt.Errorf("blobs3: memory for a part: %w", err)
	}
	p.used++
	return buf, nil, nil
}

// send says that a buffer will come back without anything being written.
func (p *buffers) send() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sending++
}

// sent gives back a buffer that was to be sent.
func (p *buffers) sent(buf []byte) { p.giveBack(buf, 1) }

// put gives back a buffer.
func (p *buffers) put(buf []byte) { p.giveBack(buf, 0) }

func (p *buffers) giveBack(buf []byte, sent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.sending -= sent
	if p.used+len(p.free) < p.room {
		p.free = append(p.free, buf)
	} else {
		_ = unix.Munmap(buf) // of our own mapping it can't fail
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *buffers) count() (room, used int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.room, p.used
}

// trim gives back the memory that is free.
func (p *buffers) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, buf := range p.free {
		_ = unix.Munmap(buf) // as in put
	}
	p.free = nil
}
