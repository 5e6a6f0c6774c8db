package sigv4

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"strings"
)

// Bounds of an aws-chunked body.
const (
	chunkBuffer    = 8 << 10 // bytes; a larger read goes past the buffer
	maxChunkHead   = 1 << 10 // bytes of the line before a chunk
	maxTrailer     = 8 << 10 // bytes of all trailer lines
	trailerSigName = "x-amz-trailer-signature"
)

// ChunkReader reads the contents of an aws-chunked body:
//
//	hex-size[;chunk-signature=hex] CRLF  data CRLF       any number of times
//	0[;chunk-signature=hex] CRLF                         the last chunk
//	[name:value CRLF …]                                  the trailer
//	[x-amz-trailer-signature:hex CRLF]
//	CRLF
//
// It verifies the signatures as they come. Contents are returned before the
// signature of their chunk has been verified: only after Read has returned io.EOF
// are they those that were signed.
type ChunkReader struct {
	in      *bufio.Reader
	p       Payload
	left    int64 // bytes of contents that the declared length still allows
	chunk   int64 // bytes left of the chunk
	sum     hash.Hash
	sig     string // of the chunk, as given
	names   []string
	trailer map[string]string
	err     error // sticky; io.EOF at the end
}

// NewChunkReader returns a reader of the contents of body. length is the declared
// length of the contents in bytes, names those of the trailer that the request
// announces, in lower case. p must be Chunked and Known.
func NewChunkReader(body io.Reader, p Payload, length int64, names []string) *ChunkReader {
	r := &ChunkReader{in: bufio.NewReaderSize(body, chunkBuffer), p: p, left: length, names: names, trailer: map[string]string{}}
	if r.signed() {
		r.sum = sha256.New()
	}
	return r
}

func (r *ChunkReader) signed() bool { return r.p.Declared != UnsignedChunksTrailer }

// Trailer returns the value of a trailer line by its name in lower case, or "". It
// is complete once Read has returned io.EOF.
func (r *ChunkReader) Trailer(name string) string { return r.trailer[name] }

// Read implements io.Reader. The error is ErrPayload, ErrLength, ErrTrailer or
// ErrMismatch, wrapped, or that of the body.
func (r *ChunkReader) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, r.err
	}
	for r.err == nil && r.chunk == 0 {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err = r.in.Read(b[:min(int64(len(b)), r.chunk)])
	r.chunk -= int64(n)
	if r.sum != nil {
		r.sum.Write(b[:n])
	}
	if err == nil && r.chunk == 0 {
		err = r.end()
	}
	r.err = unexpected(err)
	return n, r.err
}

// unexpected turns the end of the body into an error: the framing says where the
// contents end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrLength, io.ErrUnexpectedEOF)
	}
	return err
}

// next reads the head of the next chunk. It returns io.EOF after the last one.
func (r *ChunkReader) next() error {
	line, err := r.line(maxChunkHead)
	if err != nil {
		return unexpected(err)
	}
	size, extension, signed := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 63)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%w: size %.32q of a chunk", ErrPayload, size)
	}
	if int64(n) > r.left {
		return fmt.Errorf("%w: a chunk goes beyond it", ErrLength)
	}
	r.sig = ""
	if r.signed() {
		value, ok := strings.CutPrefix(string(bytes.TrimSpace(extension)), "chunk-signature=")
		if !signed || !ok {
			return fmt.Errorf("%w: a chunk without a signature", ErrPayload)
		}
		r.sig = value
	}
	r.left -= int64(n)
	r.chunk = int64(n)
	if n > 0 {
		return nil
	}
	return r.last()
}

// end reads what follows the data of a chunk and verifies it.
func (r *ChunkReader) end() error {
	var crlf [2]byte
	if _, err := io.ReadFull(r.in, crlf[:]); err != nil {
		return err
	}
	if crlf != [2]byte{'\r', '\n'} {
		return fmt.Errorf("%w: a chunk is longer than its size", ErrPayload)
	}
	return r.verify()
}

func (r *ChunkReader) verify() error {
	if !r.signed() {
		return nil
	}
	text := "AWS4-HMAC-SHA256-PAYLOAD\n" + r.p.context + "\n" + r.p.seed + "\n" + emptyHash + "\n" + hex.EncodeToString(r.sum.Sum(nil))
	r.sum.Reset()
	return r.follow(text, r.sig)
}

// follow verifies the next signature of the chain.
func (r *ChunkReader) follow(text, signature string) error {
	want := hex.EncodeToString(mac(r.p.key, text))
	if !hmac.Equal([]byte(want), []byte(signature)) {
		return fmt.Errorf("verifying a chunk: %w", ErrMismatch)
	}
	r.p.seed = want
	return nil
}

// last handles everything from the last chunk's head on, and returns io.EOF.
func (r *ChunkReader) last() error {
	if err := r.verify(); err != nil {
		return err
	}
	if r.left != 0 {
		return fmt.Errorf("%w: %d bytes are missing", ErrLength, r.left)
	}
	if err := r.readTrailer(); err != nil {
		return err
	}
	for _, name := range r.names {
		if _, ok := r.trailer[name]; !ok {
			return fmt.Errorf("%w: %.64q is missing", ErrTrailer, name)
		}
	}
	// What some clients send after the end is ignored. Reading it tells the
	// connection that the body has ended.
	_, _ = io.CopyN(io.Discard, r.in, chunkBuffer)
	return io.EOF
}

// readTrailer reads the lines after the last chunk. Some clients leave out the
// empty line at the end, and some end the lines of a signed trailer twice.
func (r *ChunkReader) readTrailer() error {
	var canonical strings.Builder
	signature, size := "", 0
	for {
		line, err := r.line(maxTrailer - size)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		size += len(line)
		if len(line) == 0 {
			if r.p.Declared == SignedChunksTrailer && signature == "" {
				if size++; size >= maxTrailer {
					return fmt.Errorf("%w: too long", ErrTrailer)
				}
				continue
			}
			break
		}
		if signature != "" {
			return fmt.Errorf("%w: it goes on after its signature", ErrTrailer)
		}
		name, value, ok := strings.Cut(string(line), ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case name == trailerSigName && r.p.Declared == SignedChunksTrailer:
			signature = value
			continue
		case !ok || !r.announced(name):
			return fmt.Errorf("%w: %.64q", ErrTrailer, line)
		}
		r.trailer[name] = value
		canonical.WriteString(name + ":" + value + "\n")
	}
	if r.p.Declared != SignedChunksTrailer {
		return nil
	}
	text := "AWS4-HMAC-SHA256-TRAILER\n" + r.p.context + "\n" + r.p.seed + "\n" + HashBody([]byte(canonical.String()))
	return r.follow(text, signature)
}

// announced reports whether a trailer line of that name may come now.
func (r *ChunkReader) announced(name string) bool {
	if _, twice := r.trailer[name]; twice || r.p.Declared == SignedChunks {
		return false
	}
	for _, n := range r.names {
		if n == name {
			return true
		}
	}
	return false
}

// line reads a line of at most limit bytes, without its end. At the end of the body
// it returns what there is and io.EOF.
func (r *ChunkReader) line(limit int) ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > limit {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrPayload, max(limit, 0))
	}
	return bytes.TrimRight(line, "\r\n"), err
}
