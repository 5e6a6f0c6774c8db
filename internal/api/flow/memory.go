package flow

import (
	"errors"
	"io"
)

// freeBytes is how much of a body costs nothing: about what net/http has for each
// connection anyway. An ordinary call is smaller, so it is answered even where a budget
// is used up.
const freeBytes = 4 << 10

// ReadBody takes a whole body of at most limit bytes into memory, where it stays until
// the exchange ends. body is that of the exchange's request. It fails with ErrTooLarge,
// ErrBusy, ErrSlow, or an error of the connection, such as io.ErrUnexpectedEOF.
func (x *Exchange) ReadBody(body io.Reader, announced, limit int64) ([]byte, error) {
	if announced > limit {
		return nil, ErrTooLarge
	}
	most := limit + 1 // one more tells a body that is too long
	if announced >= 0 {
		most = announced
	}
	buf := make([]byte, 0, min(most, freeBytes))
	for {
		if len(buf) == cap(buf) && int64(len(buf)) < most {
			grown, err := x.grow(buf, most)
			if err != nil {
				return nil, err
			}
			buf = grown
		}
		room := buf[len(buf):cap(buf)]
		if len(room) == 0 {
			room = make([]byte, 1) // only the end can follow
		}
		n, err := body.Read(room)
		if int64(len(buf)+n) > min(most, limit) {
			return nil, ErrTooLarge
		}
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// grow returns buf with twice the room, but no more than most.
func (x *Exchange) grow(buf []byte, most int64) ([]byte, error) {
	size := min(2*int64(cap(buf)), most)
	if x != nil && !x.hold(size) {
		return nil, ErrBusy
	}
	grown := append(make([]byte, 0, size), buf...)
	if x != nil && cap(buf) > freeBytes {
		x.control.budgets[x.class].give(x.holder, int64(cap(buf)))
		x.held -= int64(cap(buf))
	}
	return grown, nil
}
