package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Link is a cable: it takes connections at an address of its own and passes their bytes on
// to another one, until it is cut. It may be used concurrently.
type Link struct {
	listener net.Listener
	network  string // of what is at its end
	address  string

	mu    sync.Mutex // guards what follows
	cut   bool
	conns map[net.Conn]struct{}
	ended sync.WaitGroup
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
	for c := range l.conns {
		_ = c.Close()
	}
}

// Mend lets connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

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
		_, _ = io.Copy(near, far)
		_ = near.Close()
	})
	_, _ = io.Copy(far, near)
	_ = far.Close()
	back.Wait()
}
