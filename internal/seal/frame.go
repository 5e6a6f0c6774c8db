package seal

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
	FrameSize   = block.Size + TailSize
	ScratchSize = 2 * block.Size // what SealFrame needs
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
	offCRC    = FrameSize - 4
)

// magic is the magic, version and codec: what a reader of version 1 wants to see.
var magic = [6]byte{'D', 'P', 'F', 'R', 1, 0}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt reports a frame that is not what was sealed. Errors that wrap it
// name the block and what is wrong.
var ErrCorrupt = errors.New("seal: corrupt frame")

// SealFrame turns a frame whose payload is the plaintext of block id into a
// sealed one, in place. A sealed payload is opened again into scratch
// (ScratchSize bytes, its own for every concurrent call) and compared, so an
// error means that this machine computes wrongly. Without a cipher the payload
// stays as it was hashed, there is nothing to compare, and scratch may be nil.
func (k *Keys) SealFrame(frame []byte, id block.ID, scratch []byte) error {
	if len(frame) != FrameSize {
		return fmt.Errorf("seal: a frame has %d bytes, not %d", FrameSize, len(frame))
	}
	clear(frame[block.Size:])
	copy(frame[offMagic:], magic[:])
	frame[offMagic+6] = byte(k.cipher)
	binary.LittleEndian.PutUint32(frame[offLength:], block.Size)
	copy(frame[offID:], id[:])
	if k.cipher != None {
		if err := k.encrypt(frame, scratch); err != nil {
			return fmt.Errorf("sealing block %s: %w", id, err)
		}
	}
	binary.LittleEndian.PutUint32(frame[offCRC:], tailCRC(frame))
	return nil
}

// encrypt takes nonce, ID and tag from their places in the tail, which also
// keeps them off the heap.
func (k *Keys) encrypt(frame, scratch []byte) error {
	if len(scratch) < ScratchSize {
		return fmt.Errorf("seal: scratch has %d bytes, not %d", len(scratch), ScratchSize)
	}
	plain, opened := scratch[:block.Size], scratch[block.Size:block.Size]
	nonce, id := frame[offNonce:offMagic], frame[offID:offZeros]
	copy(plain, frame)
	_, _ = rand.Read(nonce)
	k.aead.Seal(frame[:0], nonce, frame[:block.Size], id)
	opened, err := k.aead.Open(opened, nonce, frame[:offNonce], id)
	if err != nil || !bytes.Equal(opened, plain) {
		return fmt.Errorf("%w: what was sealed does not open again", ErrCorrupt)
	}
	return nil
}

// OpenFrame opens a sealed frame in place and returns the plaintext, which lies
// in frame, and its digest. It proves that the plaintext is that of block id;
// an error wraps ErrCorrupt, and the frame is then of no use.
func (k *Keys) OpenFrame(frame []byte, id block.ID) (payload []byte, digest block.Digest, err error) {
	what := k.checkTail(frame, id)
	if what == "" && k.cipher != None {
		_, err = k.aead.Open(frame[:0], frame[offNonce:offMagic], frame[:offNonce], frame[offID:offZeros])
		if err != nil {
			what = "payload does not decrypt"
		}
	}
	if what == "" {
		payload = frame[:block.Size:block.Size]
		digest = block.Sum(payload)
		if got := k.BlockID(digest); subtle.ConstantTimeCompare(got[:], id[:]) == 1 {
			return payload, digest, nil
		}
		what = "payload has another ID"
	}
	return nil, block.Digest{}, fmt.Errorf("opening block %s: %w: %s", id, ErrCorrupt, what)
}

// checkTail returns what is wrong with the tail of a frame, or nothing.
func (k *Keys) checkTail(frame []byte, id block.ID) string {
	switch {
	case len(frame) != FrameSize:
		return "wrong length"
	case !bytes.Equal(frame[offMagic:offMagic+4], magic[:4]):
		return "no magic"
	case binary.LittleEndian.Uint32(frame[offCRC:]) != tailCRC(frame):
		return "tail checksum"
	case frame[offMagic+4] != magic[4]:
		return "unknown version"
	case frame[offMagic+5] != magic[5]:
		return "unknown codec"
	case Cipher(frame[offMagic+6]) != k.cipher || frame[offMagic+7] != 0:
		return "another cipher than its domain's"
	case binary.LittleEndian.Uint32(frame[offLength:]) != block.Size:
		return "plaintext length"
	case !bytes.Equal(frame[offID:offZeros], id[:]):
		return "frame of another block"
	}
	return ""
}

func tailCRC(frame []byte) uint32 { return crc32.Checksum(frame[block.Size:offCRC], castagnoli) }
