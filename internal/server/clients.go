package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
	Connections   int           // open at once; 4096, or fewer if few files may be open
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

// How many files the service may have open. Each connection is one, and the request on it
// opens two at most, for a copy from one object to another.
const (
	filesOfOurs      = 256 // databases, packs that are being written or were read last, sources elsewhere
	filesOfAClient   = 3
	leastConnections = 64
)

// within returns c with no more connections than there may be files for: where one is
// refused, the store can't read or write either, and a probe gets no answer.
func (c Clients) within(files uint64) (Clients, error) {
	fit := (int(min(files, 1<<30)) - filesOfOurs) / filesOfAClient
	if fit < min(c.Connections, leastConnections) {
		return c, fmt.Errorf("server: at most %d files may be open at a time, and %d are needed: raise the limit (ulimit -n, or LimitNOFILE= of systemd)",
			files, filesOfOurs+filesOfAClient*leastConnections)
	}
	c.Connections = min(c.Connections, fit)
	return c, nil
}

// boundClients lowers the number of connections to what the limit on open files allows.
func (a *App) boundClients() error {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("server: asking how many files may be open: %w", err)
	}
	fit, err := a.cfg.Clients.within(files.Cur)
	if err == nil && fit.Connections < a.cfg.Clients.Connections {
		a.log.Warn("fewer connections than usual are taken, since few files may be open", "connections", fit.Connections, "files", files.Cur)
	}
	a.cfg.Clients = fit
	return err
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
