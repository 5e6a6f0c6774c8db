package flow

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// answer is a ResponseWriter under the least rate.
type answer struct {
	http.ResponseWriter
	x     *Exchange
	left  time.Duration // how long the client may keep us waiting
	begun bool          // the header is on its way
	// closes: the connection ends with this answer, since some of the body is unread.
	closes bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// smallRest is how much of a body that nobody wants is read to keep the connection of
// a client that has proved who it is.
const smallRest = 64 << 10

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= 200 && !a.begun {
		a.begun = true
		a.leaveBody()
	}
	a.ResponseWriter.WriteHeader(status)
}

// leaveBody decides what becomes of a body whose end has not been read. net/http would
// wait for some of it before it answers, without a deadline.
func (a *answer) leaveBody() {
	x := a.x
	if x.body.ended.Load() {
		return
	}
	length := x.request.ContentLength
	if x.class == proved && !x.body.broken.Load() && length >= 0 && length <= smallRest && !x.body.expected {
		x.readDeadline(x.control.now().Add(x.control.limits.Linger))
		return
	}
	a.closes = true
	a.Header().Set("Connection", "close")
}

// maxPiece is the most that is written under one deadline, in bytes.
const maxPiece = 64 << 10

// Write implements io.Writer. It fails with ErrSlow.
func (a *answer) Write(p []byte) (n int, err error) {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	piece := a.x.control.pace.piece(maxPiece)
	for first := true; first || len(p) > 0 && err == nil; first = false {
		var m int
		next := p[:min(len(p), piece)]
		err = a.timed(func() (int, error) {
			m, err = a.ResponseWriter.Write(next)
			return m, err
		})
		n, p = n+m, p[m:]
	}
	return n, err
}

// Of a file that net/http sends without reading it, a client that is fast gets larger
// and larger pieces: each costs a few system calls.
const (
	mostSent  = 1 << 20               // bytes
	fastPiece = 10 * time.Millisecond // a piece that takes less makes the next one larger
)

// ReadFrom implements io.ReaderFrom, so that the contents of a file need not be read
// to be sent. It fails with ErrSlow.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	to, able := a.ResponseWriter.(io.ReaderFrom)
	all, limited := src.(*io.LimitedReader)
	if !able || !limited {
		return io.Copy(struct{ io.Writer }{a}, src)
	}
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	least := int64(a.x.control.pace.piece(maxPiece))
	for piece := least; all.N > 0 && err == nil; {
		part := &io.LimitedReader{R: all.R, N: min(all.N, piece)} // as os.File's sendfile wants it
		asked := part.N
		begin := a.x.control.now()
		sent, late, sendErr := a.send(to, part, begin)
		n, all.N, err = n+sent, all.N-sent, sendErr
		switch {
		case err == nil && sent < asked && !late:
			return n, nil // the source has ended
		case late || a.x.control.now().Sub(begin) > fastPiece:
			piece = least
		case a.x.request.TLS == nil: // what is encrypted can't go on after a deadline
			piece = min(2*piece, mostSent)
		}
	}
	return n, err
}

// send sends a piece under the deadline. If the client has taken some of it by then,
// and is not too slow, the piece is late, which is no error.
func (a *answer) send(to io.ReaderFrom, part io.Reader, begin time.Time) (n int64, late bool, err error) {
	x := a.x
	if !x.writeDeadline(begin.Add(a.left)) {
		return 0, false, http.ErrHandlerTimeout
	}
	n, err = to.ReadFrom(part)
	a.left = x.control.pace.left(a.left, x.control.now().Sub(begin), int(n))
	if n > 0 && a.left > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return n, true, nil
	}
	return n, false, x.judge(err, slowAnswer)
}

// FlushError is for http.ResponseController.
func (a *answer) FlushError() error {
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	return a.timed(func() (int, error) { return 0, http.NewResponseController(a.ResponseWriter).Flush() })
}

// timed calls write under the deadline. It returns how many bytes it has written.
func (a *answer) timed(write func() (int, error)) error {
	x := a.x
	begin := x.control.now()
	if !x.writeDeadline(begin.Add(a.left)) {
		return http.ErrHandlerTimeout
	}
	n, err := write()
	a.left = x.control.pace.left(a.left, x.control.now().Sub(begin), n)
	return x.judge(err, slowAnswer)
}
