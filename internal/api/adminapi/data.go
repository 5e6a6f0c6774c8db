package adminapi

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Scanner reads the blocks of snapshots. snapshot.Shelf implements it.
type Scanner interface {
	// Scan calls fn with the blocks of a completed snapshot from an index on,
	// ascending, each verified. why says to people what is reading.
	Scan(ctx context.Context, rec snapshot.Record, why string, from int64, fn func(b snapshot.Block, plain []byte, d block.Digest) error) error
}

// Keys says who may read what is encrypted. keyring.Ring implements it.
type Keys interface {
	// MayRead returns nil if the caller may read a snapshot that is encrypted under a
	// key, else a *keyring.Error.
	MayRead(ctx context.Context, who kms.Caller, keyARN, snapshot string) error
}

// Kinds of records in a stream of data; see the package comment.
const (
	recordData = "data"
	recordEnd  = "end "
	recordFail = "fail"
)

// recordHead is the bytes of a record before what it holds.
const recordHead = 20

// leastHole is how many zeros are left out of a stream: fewer would cost more, as a
// record of their own, than they are worth.
const leastHole = 32 << 10

// holeUnit is what zeros are looked for in.
const holeUnit = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// listSnapshotBlocks is what policies must allow besides the action of the route: the
// stream tells both what blocks there are and what they hold.
const listSnapshotBlocks = "ebs:ListSnapshotBlocks"

// streamData sends what a snapshot holds.
func (e *Edge) streamData(r *request) error {
	from, err := strconv.ParseInt(r.FormValue("from"), 10, 64)
	if r.FormValue("from") == "" {
		from, err = 0, nil
	}
	if err != nil || from < 0 || from%block.Size != 0 {
		return &failure{http.StatusBadRequest, "ValidationError", "from is not where a block begins"}
	}
	rec, err := e.readable(r)
	if err != nil {
		return err
	}
	if err := r.call.Reserve(snapshot.ScanBytes); err != nil {
		return err
	}
	s := &dataStream{w: r.w}
	err = e.Scanner.Scan(r.Context(), rec, "export", from/block.Size, func(b snapshot.Block, plain []byte, _ block.Digest) error {
		select {
		case <-e.Stopping:
			return errStopping
		default:
			return s.block(b.Index*block.Size, plain)
		}
	})
	if err == nil {
		s.end(rec.VolumeSize << 30)
		return nil
	}
	if r.Context().Err() != nil || s.gone || errors.Is(err, errStopping) {
		return nil // the stream has no end, so a client that is still there asks again
	}
	f, damaged := asFailure(err), snapshot.IsDamage(err)
	if !s.begun && !damaged {
		return err
	}
	e.Log.ErrorContext(r.Context(), "sending the data of a snapshot", logkey.Snapshot, rec.ID, logkey.Error, err)
	switch {
	case damaged:
		s.fail(err.Error()) // to who may read it
	case f.status < http.StatusInternalServerError: // such as that its key can't be used any more
		s.fail(f.message)
	default:
		// What is wrong may be gone when the client asks again.
	}
	return nil
}

var errStopping = errors.New("adminapi: the service stops")

// readable returns the snapshot that the request names, if the caller may read what it
// holds now.
func (e *Edge) readable(r *request) (snapshot.Record, error) {
	s, err := e.ownSnapshot(r)
	if err != nil {
		return s, err
	}
	arn, with, err := e.resource(r.Request, r.call)
	if err != nil {
		return s, err
	}
	if err := e.Authorize(r.Context(), r.call, listSnapshotBlocks, with, arn); err != nil {
		return s, &failure{http.StatusForbidden, "AccessDenied", "you are not authorized to perform " + listSnapshotBlocks}
	}
	if s.State != snapshot.Completed {
		return s, &failure{http.StatusConflict, "IncorrectState", "snapshot " + s.ID + " is " + string(s.State)}
	}
	if s.KMSKey == "" {
		return s, nil
	}
	return s, e.Keys.MayRead(r.Context(), r.call.KeyUser(), s.KMSKey, s.ID)
}

// dataStream is the answer of a request for data.
type dataStream struct {
	w     http.ResponseWriter
	head  [recordHead]byte
	begun bool
	gone  bool // the client
}

// block sends what a block at an offset holds, without its zeros.
func (s *dataStream) block(off int64, plain []byte) error {
	for at, end := nextData(plain, 0); at < len(plain); at, end = nextData(plain, end) {
		if err := s.record(recordData, off+int64(at), plain[at:end]); err != nil {
			return err
		}
	}
	return nil
}

// nextData returns the first range from at on that is sent.
func nextData(p []byte, at int) (begin, end int) {
	for at < len(p) && block.IsZero(p[at:at+holeUnit]) {
		at += holeUnit
	}
	begin, end = at, at
	for at < len(p) && at-end < leastHole {
		at += holeUnit
		if !block.IsZero(p[at-holeUnit : at]) {
			end = at
		}
	}
	return begin, end
}

// record sends one record.
func (s *dataStream) record(kind string, off int64, p []byte) error {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/octet-stream")
		s.w.Header().Set("Cache-Control", "no-store")
	}
	h := s.head[:]
	copy(h, kind)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(p)))
	binary.LittleEndian.PutUint64(h[8:], uint64(off))
	binary.LittleEndian.PutUint32(h[16:], crc32.Update(crc32.Checksum(h[:16], castagnoli), castagnoli, p))
	_, err := s.w.Write(h)
	if err == nil {
		_, err = s.w.Write(p)
	}
	s.gone = err != nil
	return err
}

// end ends a stream of all there is.
func (s *dataStream) end(size int64) { _ = s.record(recordEnd, size, nil) } // the client may be gone

// fail ends a stream that something went wrong with.
func (s *dataStream) fail(why string) { _ = s.record(recordFail, 0, []byte(why)) }
