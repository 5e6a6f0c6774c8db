package objects

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Piece is a closed file: bytes that are durable, and that no row but its own names
// yet. It is given to one Put or PutPart, or dropped.
type Piece struct {
	ID     PieceID              // 0: no bytes, and no file
	Size   int64                // bytes
	MD5    [16]byte             // zero if it is encrypted, unless it was asked for
	Digest map[Algorithm][]byte // of the algorithms that were asked for

	dataKey []byte   // wrapped, that it is encrypted with
	mark    [16]byte // stands for MD5 in the ETag if it is encrypted
}

// ETag returns the ETag of an object that is this piece: its MD5, but if it is encrypted
// an arbitrary one, as at AWS, since an MD5 tells which objects are equal.
func (p Piece) ETag() string {
	if len(p.dataKey) > 0 {
		return hex.EncodeToString(p.mark[:])
	}
	return hex.EncodeToString(p.MD5[:])
}

// Checksum returns the checksum of the piece by one of the algorithms that were asked
// for; zero if it was not.
func (p Piece) Checksum(a Algorithm) Checksum { return checksumOf(a, p.Digest[a]) }

// PieceOptions describe a piece that is to be written.
type PieceOptions struct {
	Account   string      // that will own it: the bucket's
	Size      int64       // bytes, or -1 if that is not known
	Checksums []Algorithm // to compute
	MD5       bool        // to compute although no ETag is made of it, the piece being encrypted
	// Encryption is that of the object or upload that the piece is for; the zero value
	// writes it as it is.
	Encryption Encryption
}

// PieceWriter writes one piece. It belongs to one goroutine. It ends with Finish or
// Abort.
type PieceWriter struct {
	s       *Service
	ctx     context.Context // of the upload: writing has none of its own
	id      PieceID
	hint    int64 // about how long the file will be, in bytes; negative: unknown
	sums    sums
	file    blockstore.Writer // nil until the first bytes are written
	key     []byte            // wrapped
	aead    cipher.AEAD       // nil: not encrypted
	buf     []byte            // aligned; if it is encrypted, a number of chunks
	used    int               // bytes of buf
	hashed  int               // of these
	size    int64             // bytes that were taken
	written int64             // bytes of the file, without those in buf
	err     error             // of an earlier call
	done    bool
}

var (
	_ io.Writer     = (*PieceWriter)(nil)
	_ io.ReaderFrom = (*PieceWriter)(nil)
)

// NewPiece begins a piece; ctx is that of all that is written. It fails with ErrQuota,
// ErrAllQuota and ErrNoSpace, as far as can be told now, and with ErrKeyNeeded.
func (s *Service) NewPiece(ctx context.Context, o PieceOptions) (*PieceWriter, error) {
	if err := s.admit(ctx, o); err != nil {
		return nil, err
	}
	id, err := s.pieceID(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning a piece: %w", err)
	}
	w := &PieceWriter{s: s, ctx: ctx, id: id, hint: o.Size}
	buffer := o.Size
	if o.Encryption.Encrypted() {
		if w.aead, err = s.cipherOf(ctx, o.Account, o.Encryption); err != nil {
			s.drop(id)
			return nil, err
		}
		w.key = o.Encryption.DataKey
		if o.Size >= 0 {
			w.hint, buffer = encryptedSize(o.Size), max(o.Size, smallBuffer)
		}
	}
	w.sums = newSums(o.Checksums)
	if w.aead == nil || o.MD5 {
		w.sums = w.sums.withMD5(&s.md5, o.Size)
	}
	w.buf = s.buffers.get(buffer)
	return w, nil
}

// admit refuses a piece that there is no room for.
func (s *Service) admit(ctx context.Context, o PieceOptions) error {
	if err := s.room(max(o.Size, 0)); err != nil {
		return err
	}
	// Of what it replaces, the transaction that stores it knows.
	for _, q := range []struct {
		account string
		quota   int64
		over    error
	}{{o.Account, s.opts.Quota, ErrQuota}, {"", s.opts.All, ErrAllQuota}} {
		if q.quota == 0 {
			continue
		}
		stored, err := s.store.Usage(ctx, q.account)
		if err == nil && stored > q.quota {
			err = fmt.Errorf("%d of %d bytes are stored: %w", stored, q.quota, q.over)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// room fails with ErrNoSpace unless n more bytes may be written.
func (s *Service) room(n int64) error {
	if s.opts.Free == nil {
		return nil
	}
	free, err := s.opts.Free()
	if err == nil && n > free {
		err = fmt.Errorf("%d bytes are free beyond the reserve, and %d are needed: %w", max(free, 0), n, ErrNoSpace)
	}
	return err
}

// Write follows io.Writer. It fails with ErrNoSpace.
func (w *PieceWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.err != nil {
			return n, w.err
		}
		c := copy(w.next(), p)
		w.filled(c)
		n, p = n+c, p[c:]
	}
	return n, w.err
}

// ReadFrom follows io.ReaderFrom; it saves a copy.
func (w *PieceWriter) ReadFrom(r io.Reader) (n int64, err error) {
	for idle := 0; w.err == nil; {
		next := w.next()
		c, err := r.Read(next)
		if c < 0 || c > len(next) {
			return n, errors.New("objects: a reader returned an impossible count")
		}
		n += int64(c)
		w.filled(c)
		if errors.Is(err, io.EOF) {
			return n, w.err
		}
		if err != nil {
			return n, err
		}
		if idle++; c > 0 {
			idle = 0
		} else if idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, w.err
}

// next returns the room in the buffer that is filled next.
func (w *PieceWriter) next() []byte {
	if w.aead == nil {
		return w.buf[w.used:]
	}
	return w.buf[w.used : w.used/chunkSize*chunkSize+chunkData]
}

// filled takes c more bytes that lie in the buffer, and writes it when it is full.
func (w *PieceWriter) filled(c int) {
	w.used, w.size = w.used+c, w.size+int64(c)
	w.hash((w.used - w.hashed) / hashUnit * hashUnit)
	if w.aead != nil && w.used%chunkSize == chunkData {
		w.err = w.encryptChunk()
	}
	if w.err == nil && w.used == len(w.buf) {
		w.err = w.flush()
	}
}

// hash hashes the next n bytes of the buffer.
func (w *PieceWriter) hash(n int) {
	_, _ = w.sums.Write(w.buf[w.hashed : w.hashed+n])
	w.hashed += n
}

// Size returns how many bytes were written.
func (w *PieceWriter) Size() int64 { return w.size }

// flush writes the buffer. All but the last one are full.
func (w *PieceWriter) flush() error {
	if w.done {
		return os.ErrClosed
	}
	if err := w.s.room(int64(w.used)); err != nil {
		return err
	}
	w.hash(w.used - w.hashed)
	if w.file == nil {
		file, err := w.s.opts.Files.Create(w.ctx, fileName(w.id), w.hint)
		if err != nil {
			return err
		}
		w.file = file
	}
	if w.aead == nil && zero(w.buf[:w.used]) {
		w.written, w.used, w.hashed = w.written+int64(w.used), 0, 0 // a hole
		return nil
	}
	end := (w.used + blockstore.Align - 1) / blockstore.Align * blockstore.Align
	clear(w.buf[w.used:end])
	if err := w.file.WriteAt(w.ctx, [][]byte{w.buf[:end]}, w.written); err != nil {
		return err
	}
	w.written, w.used, w.hashed = w.written+int64(w.used), 0, 0
	return nil
}

// zero reports whether all bytes are zero. Images of disks are long stretches of that.
func zero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// Finish makes the bytes durable and returns the piece, which the caller passes to Put
// or PutPart, or to Drop. After an error the piece is gone.
func (w *PieceWriter) Finish(ctx context.Context) (Piece, error) {
	p, err := w.finish(ctx)
	if err != nil {
		w.Abort()
		return Piece{}, fmt.Errorf("finishing a piece: %w", err)
	}
	return p, nil
}

func (w *PieceWriter) finish(ctx context.Context) (Piece, error) {
	if w.done {
		return Piece{}, os.ErrClosed
	}
	if w.err == nil && w.aead != nil && w.used%chunkSize > 0 {
		w.err = w.encryptChunk()
	}
	if w.err == nil && w.used > 0 {
		w.err = w.flush()
	}
	if w.err != nil {
		return Piece{}, w.err
	}
	p := Piece{Size: w.size, dataKey: w.key}
	w.sums.into(&p)
	if w.aead != nil {
		_, _ = rand.Read(p.mark[:]) // never fails: it ends the process instead
	}
	if w.file == nil { // nothing was written
		w.s.drop(w.id)
		w.release()
		return p, nil
	}
	p.ID = w.id
	if err := w.file.Close(ctx, w.written); err != nil {
		return Piece{}, err
	}
	w.release()
	return p, nil
}

// Abort drops what was written. After Finish it does nothing, so it can be deferred.
func (w *PieceWriter) Abort() {
	if w.done {
		return
	}
	if w.file != nil {
		_ = w.file.Abort() // what is left of it goes with its row
	}
	w.s.drop(w.id)
	w.release()
}

// release gives back what the writer has borrowed.
func (w *PieceWriter) release() {
	w.done = true
	w.sums.close()
	w.s.buffers.put(w.buf)
	w.buf, w.used = nil, 0
}

// Drop gives up a piece that was not passed to Put or PutPart.
func (s *Service) Drop(p Piece) { s.drop(p.ID) }

// File returns the name of a piece's file.
func (id PieceID) File() string { return fileName(id) }

// fileName returns the name of a piece's file: its number, in one of 256 folders.
func fileName(id PieceID) string { return fmt.Sprintf("%02x/%016x", uint64(id)&0xff, uint64(id)) }
