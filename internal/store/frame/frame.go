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
	TailSize    = 4096
	Size        = block.Size + TailSize
	ScratchSize = 2 * block.Size // what Frame needs
)

// Where the fields of the tail lie in the frame; see the package comment.
const (
	tagSize   = 16
	nonceSize = 12
	offTag    = block.Size
	offNonce  = offTag + tagSize
	offMagic  = offNonce + nonceSize
	offLength = offMagic + 8
	offID     = offLength + 4
	offZeros  = offID + len(block.ID{})
	offCRC    = Size - 4
)

// magic is the magic, version and codec that a reader of version 1 expects.
var magic = [6]byte{'D', 'P', 'F', 'R', 1, 0}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt reports a frame that is not what was written. Errors that wrap it
// name the block and what is wrong.
var ErrCorrupt = errors.New("frame: corrupt frame")

// Frame turns buf, whose payload is the plaintext of block id, into a frame, in
// place. An encrypted payload is decrypted again into scratch (ScratchSize bytes,
// which concurrent calls must not share) and compared, so an error means that this
// machine computes wrongly. Without a cipher the payload stays as it was hashed,
// there is nothing to compare, and scratch may be nil.
func (k *Keys) Frame(buf []byte, id block.ID, scratch []byte) error {
	if len(buf) != Size {
		return fmt.Errorf("frame: a frame has %d bytes, not %d", Size, len(buf))
	}
	clear(buf[block.Size:])
	copy(buf[offMagic:], magic[:])
	buf[offMagic+6] = byte(k.cipher)
	binary.LittleEndian.PutUint32(buf[offLength:], block.Size)
	copy(buf[offID:], id[:])
	if k.cipher != None {
		if err := k.encrypt(buf, scratch); err != nil {
			return fmt.Errorf("framing block %s: %w", id, err)
		}
	}
	binary.LittleEndian.PutUint32(buf[offCRC:], tailCRC(buf))
	return nil
}

// encrypt takes nonce, ID and tag from their places in the tail, which also
// keeps them off the heap.
func (k *Keys) encrypt(buf, scratch []byte) error {
	if len(scratch) < ScratchSize {
		return fmt.Errorf("frame: scratch has %d bytes, not %d", len(scratch), ScratchSize)
	}
	plain, opened := scratch[:block.Size], scratch[block.Size:block.Size]
	nonce, id := buf[offNonce:offMagic], buf[offID:offZeros]
	copy(plain, buf)
	_, _ = rand.Read(nonce)
	k.aead.Seal(buf[:0], nonce, buf[:block.Size], id)
	opened, err := k.aead.Open(opened, nonce, buf[:offNonce], id)
	if err != nil || !bytes.Equal(opened, plain) {
		return fmt.Errorf("%w: what was encrypted does not decrypt", ErrCorrupt)
	}
	return nil
}

// Open opens a frame in place and returns the plaintext, which lies in buf, and its
// digest. When it returns no error, the plaintext is proven to be that of block id;
// else the error wraps ErrCorrupt, and the contents of buf are undefined.
func (k *Keys) Open(buf []byte, id block.ID) (payload []byte, digest block.Digest, err error) {
	what := k.checkTail(buf, id)
	if what == "" && k.cipher != None {
		_, err = k.aead.Open(buf[:0], buf[offNonce:offMagic], buf[:offNonce], buf[offID:offZeros])
		if err != nil {
			what = "payload does not decrypt"
		}
	}
	if what == "" {
		payload = buf[:block.Size:block.Size]
		digest = block.Sum(payload)
		if got := k.BlockID(digest); subtle.ConstantTimeCompare(got[:], id[:]) == 1 {
			return payload, digest, nil
		}
		what = "payload has another ID"
	}
	return nil, block.Digest{}, fmt.Errorf("opening block %s: %w: %s", id, ErrCorrupt, what)
}

// checkTail returns what is wrong with the tail of a frame; empty if nothing is.
func (k *Keys) checkTail(buf []byte, id block.ID) string {
	switch {
	case len(buf) != Size:
		return "wrong length"
	case !bytes.Equal(buf[offMagic:offMagic+4], magic[:4]):
		return "no magic"
	case binary.LittleEndian.Uint32(buf[offCRC:]) != tailCRC(buf):
		return "tail checksum"
	case buf[offMagic+4] != magic[4]:
		return "unknown version"
	case buf[offMagic+5] != magic[5]:
		return "unknown codec"
	case Cipher(buf[offMagic+6]) != k.cipher || buf[offMagic+7] != 0:
		return "another cipher than its domain's"
	case binary.LittleEndian.Uint32(buf[offLength:]) != block.Size:
		return "plaintext length"
	case !bytes.Equal(buf[offID:offZeros], id[:]):
		return "frame of another block"
	}
	return ""
}

func tailCRC(buf []byte) uint32 { return crc32.Checksum(buf[block.Size:offCRC], castagnoli) }
