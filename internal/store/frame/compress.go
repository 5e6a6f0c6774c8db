package frame

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/diskport/diskport/internal/block"
)

// codec says how a plaintext is compressed. The numbers are in frames.
type codec byte

const (
	uncompressed codec = 0
	compressed   codec = 1
)

// maxCompressed is the most bytes that a block may be compressed to. One that does
// not shrink by an eighth is not worth decompressing at every read.
const maxCompressed = block.Size - block.Size/8

// Compressor makes frames of compressed blocks. It may be used concurrently, by as
// many goroutines as it was made for; others wait.
type Compressor struct{ enc *zstd.Encoder }

// NewCompressor returns a compressor for a number of goroutines at a time.
func NewCompressor(goroutines int) (*Compressor, error) {
	// The ID proves the plaintext, so the checksum of zstd would be a third one. Higher
	// levels take 1.7 and 5 times as long for 1 and 3 % less.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(goroutines), zstd.WithEncoderCRC(false), zstd.WithWindowSize(block.Size), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, fmt.Errorf("frame: making a compressor: %w", err)
	}
	return &Compressor{enc}, nil
}

// Frame makes in buf, which has Size bytes, a compressed frame of the plaintext of
// block id, under the keys. It returns the frame, which is the beginning of buf, or
// nil if the block does not shrink by an eighth. The frame is opened again in
// scratch (ScratchSize bytes, which concurrent calls must not share) and proven, so
// an error means that this machine computes wrongly.
func (c *Compressor) Frame(k *Keys, buf, plain []byte, id block.ID, scratch []byte) ([]byte, error) {
	if len(buf) != Size || len(plain) != block.Size || len(scratch) < ScratchSize {
		return nil, fmt.Errorf("frame: compressing %d bytes into %d with a scratch of %d", len(plain), len(buf), len(scratch))
	}
	packed := c.enc.EncodeAll(plain, buf[:0])
	if len(packed) > maxCompressed {
		return nil, nil
	}
	n := copy(buf, packed) // it lies there already
	size := n
	if k.cipher != None {
		size += tagSize
	}
	framed := buf[:sizeOf(size)]
	if err := k.frame(framed, n, compressed, id, Sums{}, scratch); err != nil {
		return nil, fmt.Errorf("compressing block %s: %w", id, err)
	}
	again := scratch[block.Size : block.Size+len(framed)]
	copy(again, framed)
	if _, _, err := k.Open(again, scratch[:block.Size], id); err != nil {
		return nil, fmt.Errorf("compressing block %s: what was compressed does not open: %w", id, err)
	}
	return framed, nil
}

// decompress returns the plaintext of a compressed payload, in plain. It never writes
// more than the block.
func (k *Keys) decompress(plain, packed []byte) ([]byte, error) {
	if len(plain) < block.Size {
		return nil, fmt.Errorf("frame: a compressed block needs %d bytes, not %d", block.Size, len(plain))
	}
	out, err := k.zstd.DecodeAll(packed, plain[:0:block.Size])
	if err != nil {
		return nil, corrupt("payload does not decompress: " + err.Error())
	}
	if len(out) != block.Size {
		return nil, corrupt("payload of another length")
	}
	return out, nil
}

// newDecoder returns a decoder that takes no more memory than a block needs.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(block.Size), zstd.WithDecoderMaxMemory(block.Size))
}
