package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/api/flow"
)

// Clients bounds how much of the service clients may hold. The zero value of a field
// means its default.
type Clients struct {
	Connections   int           // open at once; 4096
	HeaderBytes   int           // of a request's line and header; 32 KiB
	HeaderTimeout time.Duration // for a header, or a TLS handshake, to come; 10 s
	IdleTimeout   time.Duration // between two requests; 2 min
	Flow          flow.Limits   // of bodies and answers
}

// withDefaults fills in defaults.
func (c Clients) withDefaults() Clients {
	if c.Connections == 0 {
		c.Connections = 4096
	}
	if c.HeaderBytes == 0 {
		c.HeaderBytes = 32 << 10 // a session token takes up to 24 KiB
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = 10 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 2 * time.Minute
	}
	return c
}

// unsentBytes is how much of an answer the kernel keeps for a client that does not read.
// By default that is up to 4 MiB of a connection, which no budget of ours sees. Data on
// its way does not count, so distant clients are as fast as ever.
const unsentBytes = 128 << 10

// unackedFor is how long the kernel offers what it keeps to a client that takes none of
// it, also when we have closed the connection. By default that is many minutes.
const unackedFor = 30 * time.Second

// listen is net.Listen with bounds on what the kernel holds for a connection.
func listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { // connections inherit the options
			set = errors.Join(
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedFor.Milliseconds())))
		})
		return errors.Join(err, set)
	}}
	config.SetMultipathTCP(false) // its connections would not inherit them
	return config.Listen(ctx, "tcp", address)
}

// newHTTP returns the server of the listener, for the connections in t.
func newHTTP(c Clients, t *flow.Connections, h http.Handler, tls *tls.Config, log *slog.Logger) *http.Server {
	// AWS's endpoints speak HTTP/1.1. With it a connection has one request at a time,
	// so that what bounds a connection bounds a request.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		ReadHeaderTimeout: c.HeaderTimeout,
		WriteTimeout:      c.HeaderTimeout, // for what net/http says about a bad header; package flow has its own for answers
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.HeaderBytes,
		TLSConfig:         tls,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       t.Context,
		ConnState:         t.State,
	}
}
