package objects

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
)

// Piece is a closed file: bytes that are durable, and that no row but its own names
// yet. It is given to one Put or PutPart, or dropped.
type Piece struct {
	ID     PieceID
	Size   int64 // bytes
	MD5    [16]byte
	Digest map[Algorithm][]byte // of the algorithms that were asked for
}

// ETag returns the ETag of an object that is this piece.
func (p Piece) ETag() string { return hex.EncodeToString(p.MD5[:]) }

// Checksum returns the checksum of the piece by one of the algorithms that were asked
// for; zero if it was not.
func (p Piece) Checksum(a Algorithm) Checksum { return checksumOf(a, p.Digest[a]) }

// PieceOptions describe a piece that is to be written.
type PieceOptions struct {
	Account   string      // that will own it: the bucket's
	Size      int64       // bytes, or -1 if that is not known
	Checksums []Algorithm // to compute besides MD5
	// Encryption is that of the object or upload that the piece is for; the zero value
	// writes it as it is.
	Encryption Encryption
}

// PieceWriter writes one piece. It belongs to one goroutine. It ends with Finish or
// Abort.
type PieceWriter struct{}

var (
	_ io.Writer     = (*PieceWriter)(nil)
	_ io.ReaderFrom = (*PieceWriter)(nil)
)

// NewPiece begins a piece. It fails with ErrQuota and ErrNoSpace, as far as Size tells
// that now.
func (s *Service) NewPiece(ctx context.Context, o PieceOptions) (*PieceWriter, error) {
	return nil, errors.ErrUnsupported
}

// Write follows io.Writer. It fails with ErrNoSpace.
func (w *PieceWriter) Write(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// ReadFrom follows io.ReaderFrom; it saves a copy.
func (w *PieceWriter) ReadFrom(r io.Reader) (int64, error) { return 0, errors.ErrUnsupported }

// Size returns how many bytes were written.
func (w *PieceWriter) Size() int64 { return 0 }

// Finish makes the bytes durable and returns the piece, which the caller passes to Put
// or PutPart, or to Drop. After an error the piece is gone.
func (w *PieceWriter) Finish(ctx context.Context) (Piece, error) {
	return Piece{}, errors.ErrUnsupported
}

// Abort drops what was written. After Finish it does nothing, so it can be deferred.
func (w *PieceWriter) Abort() {}

// Drop gives up a piece that was not passed to Put or PutPart.
func (s *Service) Drop(p Piece) {}
