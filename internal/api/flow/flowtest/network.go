// Package flowtest is a network in memory, for tests of what slow clients may do to an
// http.Server: its connections have no buffers, and deadlines that work with
// testing/synctest.
package flowtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Network is a net.Listener that is dialled with Dial.
type Network struct {
	conns  chan net.Conn
	closed chan struct{}
}

// Serve serves on a network of its own until the test ends. In a bubble, it must be
// called in the bubble.
func Serve(t *testing.T, server *http.Server, wrap func(net.Listener) net.Listener) *Network {
	t.Helper()
	n := &Network{conns: make(chan net.Conn), closed: make(chan struct{})}
	var l net.Listener = n
	if wrap != nil {
		l = wrap(n)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return n
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

// Close implements net.Listener.
func (n *Network) Close() error {
	close(n.closed)
	return nil
}

// Addr implements net.Listener.
func (n *Network) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// Client is the client's end of a connection.
type Client struct {
	net.Conn
	in *bufio.Reader
}

// Dial opens a connection, which is closed when the test ends.
func (n *Network) Dial(t *testing.T) *Client {
	t.Helper()
	near, far := net.Pipe()
	n.conns <- far
	t.Cleanup(func() { _ = near.Close() })
	return &Client{near, bufio.NewReader(near)}
}

// Send sends text, whose lines end as HTTP has it. It reports whether the server has
// taken all of it.
func (c *Client) Send(text string) bool {
	_, err := io.WriteString(c.Conn, strings.ReplaceAll(text, "\n", "\r\n"))
	return err == nil
}

// Answer reads the answer to a request with a method.
func (c *Client) Answer(method string) (*http.Response, string, error) {
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, string(body), err
}

// Closed waits until the server closes the connection. It fails if something else
// comes.
func (c *Client) Closed(t *testing.T) {
	t.Helper()
	if b, err := c.in.ReadByte(); err == nil {
		t.Errorf("got %q, want the connection to be closed", b)
	}
}
