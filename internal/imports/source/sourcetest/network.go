// Package sourcetest is a network in memory, for tests of an S3 elsewhere: its connections
// have no buffers, and deadlines that work with testing/synctest.
package sourcetest

import (
	"context"
	"net"
	"sync"
)

// Network is a net.Listener that is dialled with Dial.
type Network struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// NewNetwork returns a network. In a bubble, it must be called in the bubble.
func NewNetwork() *Network {
	return &Network{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial opens a connection, whatever the address; it is a source.ForeignOptions.Dial.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case n.conns <- far:
		return near, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (n *Network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called again.
func (n *Network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr implements net.Listener.
func (n *Network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9000} }
