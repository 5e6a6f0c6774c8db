package frame

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/diskport/diskport/internal/block"
)

// Sizes of a frame in bytes.
const (
	Unit        = 4096                // every frame is a multiple of it
	TailSize    = 68                  // the fields of the tail
	Size        = block.Size + Unit   // the longest frame: that of a block that is not compressed
	ScratchSize = 2*block.Size + Unit // what Frame needs
)

const tagSize = 16

// Where the fields are in the tail; see the package comment.
const (
	offVersion = 4
	offCodec   = 5
	offCipher  = 6
	offZero    = 7
	offLength  = 8
	offKey     = 12
	offNonce   = 16
	offID      = 28
	offSum     = 60
	offCRC     = 64
)

const (
	magic   = "DPFR"
	version = 2
)

// offMagicV1 is where frames of version 1 have the magic. They were never released.
const offMagicV1 = block.Size + 28

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt reports a frame that is not what was written. Errors that wrap it
// name the block and what is wrong.
var ErrCorrupt = errors.New("frame: corrupt frame")

// ErrUnknown reports a frame that is whole, but of a version, codec, cipher or data key
// that is not known here. Errors that wrap it say which.
var ErrUnknown = errors.New("frame: written by another version of the program")

// NoKeyError reports a frame under a data key that is not among the keys: it was made
// after they were unwrapped, or dropped before. Unwrapping what is stored now tells. The
// frame is as it was.
type NoKeyError struct{ Key uint32 }

func (e *NoKeyError) Error() string { return fmt.Sprintf("frame: there is no data key %d", e.Key) }

// Is reports that the frame is whole, but can't be opened by these keys.
func (e *NoKeyError) Is(target error) bool { return target == ErrUnknown }

// Frame turns buf, whose payload is the plaintext of block id, into a frame that is
// not compressed, in place. An encrypted payload is decrypted again into scratch
// (ScratchSize bytes, which concurrent calls must not share) and compared, so an
// error means that this machine computes wrongly. Without a cipher the payload stays
// as it was hashed, there is nothing to compare, and scratch may be nil.
func (k *Keys) Frame(buf []byte, id block.ID, scratch []byte) error {
	return k.FrameSummed(buf, id, Sums{}, scratch)
}

// FrameSummed is Frame for a payload whose Sums are those given, or none.
func (k *Keys) FrameSummed(buf []byte, id block.ID, s Sums, scratch []byte) error {
	if len(buf) != Size {
		return fmt.Errorf("frame: a frame has %d bytes, not %d", Size, len(buf))
	}
	if err := k.frame(buf, block.Size, uncompressed, id, s, scratch); err != nil {
		return fmt.Errorf("framing block %s: %w", id, err)
	}
	return nil
}

// frame completes a frame whose first n bytes are what is to be stored, before it is
// encrypted.
func (k *Keys) frame(buf []byte, n int, c codec, id block.ID, s Sums, scratch []byte) error {
	clear(buf[n:])
	t := tail(buf)
	copy(t, magic)
	t[offVersion], t[offCodec], t[offCipher] = version, byte(c), byte(k.cipher)
	copy(t[offID:offSum], id[:])
	if k.cipher != None {
		binary.LittleEndian.PutUint32(t[offKey:], k.Newest())
		if err := k.encrypt(buf, n, scratch); err != nil {
			return err
		}
		n += tagSize
	}
	crc := s.crc
	if !s.stored || k.cipher != None {
		crc = crc32.Checksum(buf[:n], castagnoli)
	}
	binary.LittleEndian.PutUint32(t[offLength:], uint32(n))
	binary.LittleEndian.PutUint32(t[offSum:], crc)
	binary.LittleEndian.PutUint32(t[offCRC:], tailCRC(buf, n))
	return nil
}

// encrypt encrypts the first n bytes of a frame in place. It takes nonce and ID from
// their places in the tail, which also keeps them off the heap.
func (k *Keys) encrypt(buf []byte, n int, scratch []byte) error {
	if len(scratch) < ScratchSize {
		return fmt.Errorf("frame: scratch has %d bytes, not %d", len(scratch), ScratchSize)
	}
	plain, opened := scratch[:n], scratch[n:n]
	t := tail(buf)
	nonce, id, aead := t[offNonce:offID], t[offID:offSum], k.aead(k.Newest())
	copy(plain, buf)
	_, _ = rand.Read(nonce)
	aead.Seal(buf[:0], nonce, buf[:n], id)
	opened, err := aead.Open(opened, nonce, buf[:n+tagSize], id)
	if err != nil || !bytes.Equal(opened, plain) {
		return fmt.Errorf("%w: what was encrypted does not decrypt", ErrCorrupt)
	}
	return nil
}

// Open opens a frame in place and returns the plaintext, which lies in buf, or in
// plain if it was compressed, and its digest. plain has block.Size bytes and does not
// overlap buf; it may be nil for a frame of Size bytes, which is not compressed.
//
// When Open returns no error, the plaintext is proven to be that of block id; else the
// error wraps ErrCorrupt or ErrUnknown, and the contents of buf are undefined, except after
// a *NoKeyError.
func (k *Keys) Open(buf, plain []byte, id block.ID) (payload []byte, digest block.Digest, err error) {
	payload, digest, _, err = k.open(buf, plain, id)
	return payload, digest, err
}

// open is Open, which also returns what is stored: the plaintext, or what it was
// compressed to. That lies in buf.
func (k *Keys) open(buf, plain []byte, id block.ID) (payload []byte, digest block.Digest, stored []byte, err error) {
	if stored, err = k.decrypt(buf, id); err == nil {
		payload, err = k.payload(buf, plain, stored)
	}
	if err == nil {
		digest = block.Sum(payload)
		if got := k.BlockID(digest); subtle.ConstantTimeCompare(got[:], id[:]) == 1 {
			return payload, digest, stored, nil
		}
		err = corrupt("payload has another ID")
	}
	return nil, block.Digest{}, nil, fmt.Errorf("opening block %s: %w", id, err)
}

// decrypt returns what is stored in a frame, which is not proven yet. It changes nothing
// in the frame before it has found the data key.
func (k *Keys) decrypt(buf []byte, id block.ID) ([]byte, error) {
	h, err := parseTail(buf)
	switch {
	case err != nil:
		return nil, err
	case h.cipher != k.cipher:
		return nil, corrupt("another cipher than its domain's")
	case h.id != id:
		return nil, corrupt("frame of another block")
	case h.codec == compressed && k.cipher == None && !sumFits(buf, h.payload):
		// Some bits of compressed data change nothing of what it becomes, so the ID would not tell.
		return nil, corrupt("payload checksum")
	case k.cipher == None:
		return buf[:h.payload], nil
	}
	aead := k.aead(h.key)
	if aead == nil {
		return nil, &NoKeyError{h.key}
	}
	t := tail(buf)
	stored, err := aead.Open(buf[:0], t[offNonce:offID], buf[:h.payload], t[offID:offSum])
	if err != nil {
		return nil, corrupt("payload does not decrypt")
	}
	return stored, nil
}

// payload returns the plaintext of what is stored in a frame.
func (k *Keys) payload(buf, plain, stored []byte) ([]byte, error) {
	if codec(tail(buf)[offCodec]) == compressed {
		return k.decompress(plain, stored)
	}
	return stored[:block.Size:block.Size], nil // parseTail has checked the length
}

// Reencrypt makes in out, which is as long as buf and does not overlap it, a frame of the
// same block under the newest data key, compressed or not as it was. It opens the frame
// in buf as from.Open does, and fails with its errors. scratch is that of Frame.
func (k *Keys) Reencrypt(from *Keys, buf, plain, out []byte, id block.ID, scratch []byte) error {
	if len(out) != len(buf) {
		return fmt.Errorf("frame: encrypting a frame of %d bytes anew into %d", len(buf), len(out))
	}
	_, _, stored, err := from.open(buf, plain, id)
	if err != nil {
		return err
	}
	if err := k.frame(out, copy(out, stored), codec(tail(buf)[offCodec]), id, Sums{}, scratch); err != nil {
		return fmt.Errorf("encrypting block %s anew: %w", id, err)
	}
	return nil
}

// sumFits reports whether the n bytes of the payload have the checksum in the tail.
func sumFits(buf []byte, n int) bool {
	return binary.LittleEndian.Uint32(tail(buf)[offSum:]) == crc32.Checksum(buf[:n], castagnoli)
}

// Info is what a frame says about itself.
type Info struct {
	ID         block.ID
	Compressed bool
	Key        uint32 // the number of the data key
}

// Inspect checks a frame as far as that is possible without a key: that it is what
// was written, not that it is the block that it says. The error wraps ErrCorrupt or
// ErrUnknown.
func Inspect(buf []byte) (Info, error) {
	h, err := parseTail(buf)
	if err == nil && !sumFits(buf, h.payload) {
		err = corrupt("payload checksum")
	}
	if err != nil {
		return Info{}, err
	}
	return Info{ID: h.id, Compressed: h.codec == compressed, Key: h.key}, nil
}

// head is a tail that was parsed.
type head struct {
	codec   codec
	cipher  Cipher
	payload int // bytes
	key     uint32
	id      block.ID
}

// parseTail checks all that can be checked of a frame without looking at its payload.
func parseTail(buf []byte) (h head, err error) {
	if len(buf) < Unit || len(buf) > Size || len(buf)%Unit != 0 {
		return h, corrupt("wrong length")
	}
	t := tail(buf)
	if string(t[:offVersion]) != magic {
		if len(buf) == Size && string(buf[offMagicV1:offMagicV1+len(magic)]) == magic {
			return h, fmt.Errorf("%w: frame version 1, which was never released", ErrUnknown)
		}
		return h, corrupt("no magic")
	}
	n := int64(binary.LittleEndian.Uint32(t[offLength:]))
	if n > int64(len(buf)-TailSize) || binary.LittleEndian.Uint32(t[offCRC:]) != tailCRC(buf, int(n)) {
		return h, corrupt("tail checksum")
	}
	h = head{codec(t[offCodec]), Cipher(t[offCipher]), int(n), binary.LittleEndian.Uint32(t[offKey:]), block.ID(t[offID:offSum])}
	switch {
	case t[offVersion] != version:
		return h, fmt.Errorf("%w: frame version %d", ErrUnknown, t[offVersion])
	case h.codec > compressed:
		return h, fmt.Errorf("%w: codec %d", ErrUnknown, h.codec)
	case h.cipher > AES256GCM:
		return h, fmt.Errorf("%w: cipher %d", ErrUnknown, h.cipher)
	}
	return h, h.check(len(buf), t[offZero])
}

// check checks that the fields of a frame of size bytes fit together.
func (h head) check(size int, zero byte) error {
	stored := h.payload
	if h.cipher != None {
		stored -= tagSize
	}
	switch {
	case zero != 0, h.cipher == None && h.key != 0:
		return corrupt("a field that is not zero")
	case h.codec == uncompressed && stored != block.Size, h.codec == compressed && (stored < 1 || stored > maxCompressed):
		return corrupt("payload length")
	case size != sizeOf(h.payload):
		return corrupt("longer than its payload needs")
	}
	return nil
}

// sizeOf returns the bytes of a frame with a payload of n bytes.
func sizeOf(n int) int { return (n + TailSize + Unit - 1) / Unit * Unit }

func tail(buf []byte) []byte { return buf[len(buf)-TailSize:] }

// tailCRC returns the checksum of what is behind the n bytes of the payload.
func tailCRC(buf []byte, n int) uint32 {
	return crc32.Checksum(buf[n:len(buf)-TailSize+offCRC], castagnoli)
}

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }
