package objects

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The file of an encrypted piece is a sequence of chunks. All but the last are full.
//
//	0      65,520  bytes of the object, encrypted with AES-256-GCM under its data key
//	65,520     16  tag
//
// The nonce of a chunk is the number of its piece, 8 bytes, and the index of the chunk in
// the piece, 4 bytes, both big-endian. Numbers of pieces are never used again, so no nonce
// is either, also where the parts of an upload share a data key. A chunk opens only where
// it was written: not at another place, nor in the file of another piece. How long a piece
// is the database knows; a file that ends earlier is damaged.
const (
	chunkSize = 64 << 10 // in the file, in bytes
	tagSize   = 16
	chunkData = chunkSize - tagSize // of the object, in bytes
	maxChunks = 1 << 32             // in a piece
)

// nonceOf returns the nonce of a chunk.
func nonceOf(id PieceID, index int64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(id)), uint32(index))
}

// encryptedSize returns how long the file of an encrypted piece is, in bytes.
func encryptedSize(size int64) int64 { return size + (size+chunkData-1)/chunkData*tagSize }

// encryptChunk encrypts the chunk at the end of the buffer, and puts its tag behind it.
func (w *PieceWriter) encryptChunk() error {
	start := w.used / chunkSize * chunkSize
	index := (w.written + int64(start)) / chunkSize
	if index >= maxChunks {
		return ErrTooLarge
	}
	w.hash(w.used - w.hashed)
	chunk := w.buf[start:w.used]
	w.aead.Seal(chunk[:0], nonceOf(w.id, index), chunk, nil)
	w.used += tagSize
	w.hashed = w.used
	return nil
}

// chunksAtOnce is how many chunks are read at once.
const chunksAtOnce = 4

// chunkBuffer is the memory for that.
type chunkBuffer [chunksAtOnce * chunkSize]byte

// decrypt passes n bytes of an extent from off on to fn, some at a time. fn must not
// keep them.
func (r *Reader) decrypt(e Extent, off, n int64, fn func([]byte) error) error {
	buf := r.s.chunks.Get().(*chunkBuffer)
	defer r.s.chunks.Put(buf)
	at := e.Skip + off
	for end := at + n; at < end; {
		first := at / chunkData
		count := min((end-1)/chunkData-first+1, chunksAtOnce)
		got, err := r.s.opts.Files.ReadAt(r.ctx, fileName(e.Piece), buf[:count*chunkSize], first*chunkSize)
		if err != nil && (got == 0 || !isEnd(err)) {
			return damaged(e.Piece, err)
		}
		for i := range count {
			plain, err := r.openChunk(e.Piece, first+i, buf[min(i*chunkSize, int64(got)):min((i+1)*chunkSize, int64(got))])
			if err != nil {
				return err
			}
			start := (first + i) * chunkData
			part := plain[min(at-start, int64(len(plain))):min(end-start, int64(len(plain)))]
			if len(part) == 0 {
				return damaged(e.Piece, io.ErrUnexpectedEOF)
			}
			if err := fn(part); err != nil {
				return err
			}
			at += int64(len(part))
		}
	}
	return nil
}

// openChunk decrypts a chunk in its place. Without any bytes it is missing.
func (r *Reader) openChunk(id PieceID, index int64, chunk []byte) ([]byte, error) {
	if len(chunk) == 0 {
		return nil, damaged(id, io.ErrUnexpectedEOF)
	}
	plain, err := r.aead.Open(chunk[:0], nonceOf(id, index), chunk, nil)
	if err != nil {
		return nil, fmt.Errorf("chunk %d of piece %s is not as it was written: %w", index, fileName(id), ErrDamaged)
	}
	return plain, nil
}
