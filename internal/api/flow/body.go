package flow

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// body is a request's body under the least rate.
type body struct {
	src      io.ReadCloser
	x        *Exchange
	left     time.Duration // how long the client may keep us waiting
	expected bool          // the client may be waiting for 100 Continue

	begun  atomic.Bool // somebody has read
	ended  atomic.Bool // it has come to its end
	broken atomic.Bool // it never will
}

// Read implements io.Reader. It fails with ErrSlow.
func (b *body) Read(p []byte) (int, error) {
	x := b.x
	begin := x.control.now()
	if b.expected && !b.begun.Load() {
		// net/http writes 100 Continue before it reads.
		x.writeDeadline(begin.Add(b.left))
	}
	b.begun.Store(true)
	if !b.ended.Load() && !x.readDeadline(begin.Add(b.left)) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.src.Read(p)
	b.left = x.control.pace.left(b.left, x.control.now().Sub(begin), n)
	switch {
	case errors.Is(err, io.EOF):
		// From here on net/http reads to see whether the client leaves.
		if !b.ended.Swap(true) {
			x.readDeadline(time.Time{})
		}
	case err != nil:
		b.broken.Store(true)
		return n, x.judge(err, slowBody)
	}
	return n, err
}

// Close implements io.Closer. It leaves the rest of the body where it is: End reads it.
func (b *body) Close() error { return nil }
