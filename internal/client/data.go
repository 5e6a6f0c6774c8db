package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"unsafe"

	"golang.org/x/sync/errgroup"
)

// piece is some of what a snapshot holds.
type piece struct {
	off  int64
	data []byte
	buf  []byte // that data lies in
}

// readAhead is how many pieces are in memory: some come from the service while others
// are written.
const readAhead = 16

// data reads what a snapshot holds and calls fn with pieces of it, ascending, none twice,
// each of which has come as the service has verified it; between them are zeros. fn gets
// as many as there are, and may use them until it returns. After a failure that may go
// away data goes on where it was, with the number of attempts and the pauses of the AWS
// SDK; each piece that arrives allows as many attempts again.
func (c *Client) data(ctx context.Context, sn Snapshot, fn func([]piece) error) error {
	free, full := make(chan []byte, readAhead), make(chan piece, readAhead)
	for range readAhead {
		free <- alignedBlock()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(full)
		return c.fetch(ctx, sn.ID, &dataStream{free: free, full: full, volume: sn.VolumeSize << 30})
	})
	g.Go(func() error {
		var some []piece
		for p := range full {
			some = append(some[:0], p)
			for range min(len(full), readAhead/2-1) {
				some = append(some, <-full)
			}
			if err := fn(some); err != nil {
				return err
			}
			for _, p := range some {
				free <- p.buf
			}
		}
		return nil
	})
	return g.Wait()
}

// alignedBlock returns the memory of a block, aligned for O_DIRECT.
func alignedBlock() []byte {
	b := make([]byte, BlockSize+directAlign-1)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (directAlign - 1)
	return b[at : at+BlockSize : at+BlockSize]
}

// busyAttempts is how many attempts are made while the service is busy, perhaps with
// other exports: some ten minutes.
const busyAttempts = 30

// fetch sends the pieces of a snapshot to s.full, in buffers from s.free.
func (c *Client) fetch(ctx context.Context, id string, s *dataStream) error {
	for attempt := 1; ; attempt++ {
		before := s.reached
		err := c.fetchOnce(ctx, id, s)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case s.reached > before:
			attempt = 1
		}
		if attempt >= c.attempts(err) {
			return fmt.Errorf("reading the data of %s: %w", id, err)
		}
		pause, _ := c.retry.RetryDelay(attempt, err) // never fails, see query
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// isBusy reports whether err says that the service has no room for the request now.
func isBusy(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable
}

// attempts returns how many attempts are made while they fail as this one did.
func (c *Client) attempts(err error) int {
	var refused *Error
	switch {
	case errors.Is(err, errMisfit): // to go on behind it would leave out what it jumped over
		return 1
	case isBusy(err):
		return busyAttempts
	case !errors.As(err, &refused):
	case refused.Status < http.StatusInternalServerError:
		return 1
	}
	return c.retry.MaxAttempts()
}

func (c *Client) fetchOnce(ctx context.Context, id string, s *dataStream) error {
	s.at = s.reached / BlockSize * BlockSize
	resp, err := c.do(ctx, http.MethodGet, fmt.Sprintf("snapshots/%s/data?from=%d", id, s.at))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for {
		if ended, err := s.record(ctx, resp.Body); ended || err != nil {
			return err
		}
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged reports a record that is not as it was sent.
var errDamaged = errors.New("it was damaged on the way")

// errMisfit reports a record that came as it was sent, and should not have been.
var errMisfit = errors.New("the service answers with a record that does not fit")

// dataStream is a stream of records, as package adminapi documents them.
type dataStream struct {
	free    <-chan []byte
	full    chan<- piece
	volume  int64  // bytes
	buf     []byte // nil, or one of free
	at      int64  // up to where the records of this answer have come
	reached int64  // up to where pieces have been sent
}

// check refuses a record that no stream of the volume has here. What is in no record is
// zeros, so one that is out of its order would make zeros of what comes behind it.
func (s *dataStream) check(kind string, n, off int64) error {
	switch {
	case kind == "data" && n > 0 && off >= s.at && off <= s.volume-n:
		s.at = off + n
	case kind == "end " && n == 0 && off == s.volume:
	default:
		return fmt.Errorf("%w: %q of %d bytes at %d, behind %d, on a volume of %d", errMisfit, kind, n, off, s.at, s.volume)
	}
	return nil
}

// record reads one record, and sends the piece in it.
func (s *dataStream) record(ctx context.Context, r io.Reader) (ended bool, err error) {
	if s.buf == nil {
		select {
		case s.buf = <-s.free:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	var head [20]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errInterrupted
		}
		return false, err
	}
	n, off := binary.LittleEndian.Uint32(head[4:]), int64(binary.LittleEndian.Uint64(head[8:]))
	if n > BlockSize {
		return false, errDamaged
	}
	data := s.buf[:n]
	if _, err := io.ReadFull(r, data); err != nil {
		return false, err
	}
	sum := crc32.Update(crc32.Checksum(head[:16], castagnoli), castagnoli, data)
	if sum != binary.LittleEndian.Uint32(head[16:]) {
		return false, errDamaged
	}
	switch kind := string(head[:4]); kind {
	case "fail":
		return false, &Error{http.StatusOK, "DataError", string(data)}
	case "data", "end ":
		if err := s.check(kind, int64(n), off); err != nil || kind == "end " {
			return err == nil, err
		}
		return false, s.send(ctx, piece{off, data, s.buf})
	default:
		return false, fmt.Errorf("the service answers with %q, which this program does not know", kind)
	}
}

// send sends what is new of a piece.
func (s *dataStream) send(ctx context.Context, p piece) error {
	if known := s.reached - p.off; known >= int64(len(p.data)) {
		return nil
	} else if known > 0 {
		copy(p.data, p.data[known:])
		p.off, p.data = s.reached, p.data[:int64(len(p.data))-known]
	}
	select {
	case s.full <- p:
		s.buf, s.reached = nil, p.off+int64(len(p.data))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
