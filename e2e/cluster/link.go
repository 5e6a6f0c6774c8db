package cluster

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Link is a cable: it takes connections at an address of its own and passes their bytes on
// to another one, until it is cut or stalled. It may be used concurrently.
type Link struct {
	listener net.Listener
	network  string // of what is at its end
	address  string

	mu      sync.Mutex // guards what follows
	cut     bool
	stalled chan struct{} // closed when bytes go on; nil: they do
	conns   map[net.Conn]struct{}
	ended   sync.WaitGroup

	back atomic.Int64 // bytes that came from the far end
}

// newLink returns a link to an address.
func newLink(network, address string) (*Link, error) {
	l := &Link{network: network, address: address, conns: map[net.Conn]struct{}{}}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	l.ended.Go(l.accept)
	return l, nil
}

// Addr is where it takes connections.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut breaks all connections, and every new one, until Mend.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	l.flow()
	for c := range l.conns {
		_ = c.Close()
	}
}

// Stall keeps connections, and takes new ones, but lets no byte through until Mend: what is
// at either end does not learn that the other one is out of reach.
func (l *Link) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled == nil {
		l.stalled = make(chan struct{})
	}
}

// Mend lets connections and bytes through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
	l.flow()
}

// flow ends a stall. The link is locked.
func (l *Link) flow() {
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
}

// Received returns how many bytes came from the far end.
func (l *Link) Received() int64 { return l.back.Load() }

func (l *Link) close() error {
	l.Cut()
	err := l.listener.Close()
	l.ended.Wait()
	return err
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if !l.keep(near) {
			_ = near.Close()
			continue
		}
		l.ended.Go(func() { l.pass(near) })
	}
}

// keep remembers a connection, unless the link is cut.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// pass passes the bytes of one connection on, both ways, until either side ends.
func (l *Link) pass(near net.Conn) {
	defer l.drop(near)
	far, err := net.Dial(l.network, l.address)
	if err != nil {
		return
	}
	if !l.keep(far) {
		_ = far.Close()
		return
	}
	defer l.drop(far)
	var back sync.WaitGroup
	back.Go(func() {
		l.carry(near, far, &l.back)
		_ = near.Close()
	})
	l.carry(far, near, new(atomic.Int64))
	_ = far.Close()
	back.Wait()
}

// carry passes bytes on one way, and counts them.
func (l *Link) carry(to, from net.Conn, carried *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		stalled := l.stalled
		l.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		carried.Add(int64(n))
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
