package blobs3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/diskport/diskport/internal/span"
)

// Limits on how long a store may be silent.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second // from the end of a request to the beginning of its answer
	// stall is how long an answer may take for the next trickle bytes, or its last ones, and
	// a connection for taking what is written.
	stall   = 30 * time.Second
	trickle = 16 << 10
)

var (
	// errSilent reports an answer that does not go on.
	errSilent = errors.New("the store does not go on with its answer")
	// errCutOff reports an answer that ends too soon.
	errCutOff = errors.New("the answer broke off")
)

// newHTTP returns a client that bounds silence and counts requests, and what has its
// connections.
func newHTTP(dial func(ctx context.Context, network, address string) (net.Conn, error), m *Metrics) (*http.Client, *http.Transport) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return impatientConn{c}, nil
		},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   64,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     span.Transport{Service: "store", Base: watching{base, m}},
	}, base
}

// impatientConn is a connection to somebody who has to take what is written.
type impatientConn struct{ net.Conn }

// Write implements io.Writer.
func (c impatientConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// watching counts requests, and ends answers that do not go on.
type watching struct {
	base    http.RoundTripper
	metrics *Metrics
}

// RoundTrip implements http.RoundTripper.
func (t watching) RoundTrip(r *http.Request) (*http.Response, error) {
	op := middleware.GetOperationName(r.Context())
	ctx, cancel := context.WithCancelCause(r.Context())
	began := time.Now()
	resp, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		t.metrics.request(op, "broken", time.Since(began))
		return nil, err
	}
	t.metrics.request(op, outcome(resp.StatusCode), time.Since(began))
	t.metrics.sent(max(r.ContentLength, 0))
	resp.Body = &watched{
		ReadCloser: resp.Body, ctx: ctx, cancel: cancel, metrics: t.metrics,
		silence: time.AfterFunc(stall, func() { cancel(errSilent) }),
	}
	return resp, nil
}

// outcome is a word for a status.
func outcome(status int) string {
	switch {
	case status < http.StatusMultipleChoices:
		return "done"
	case status == http.StatusNotFound:
		return "missing"
	case status == http.StatusPreconditionFailed, status == http.StatusConflict, status == http.StatusRequestedRangeNotSatisfiable:
		return "condition"
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return "unavailable"
	}
	return "refused"
}

// watched is the body of an answer.
type watched struct {
	io.ReadCloser
	ctx     context.Context // of the request
	cancel  context.CancelCauseFunc
	silence *time.Timer
	metrics *Metrics
	since   int // bytes since the timer was set
	once    sync.Once
}

// Read implements io.Reader.
func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.metrics.received(int64(n))
	if b.since += n; b.since >= trickle && err == nil {
		b.silence.Reset(stall)
		b.since = 0
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if errors.Is(context.Cause(b.ctx), errSilent) {
		return n, errSilent
	}
	return n, fmt.Errorf("%w: %w", errCutOff, err)
}

// Close implements io.Closer.
func (b *watched) Close() error {
	b.once.Do(func() { b.silence.Stop() })
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
