package s3api

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/objects"
)

// errUnread: the body ended before its length.
var errUnread = errors.New("the body ended early")

// maxPut is the largest object or part of one request, in bytes.
const maxPut = 5 << 30

// content is the body of a request: its bytes, and what they must be.
type content struct {
	io.Reader                    // of the contents, without their framing
	size      int64              // bytes, as declared; -1: not known
	md5       []byte             // declared, or nil
	hash      string             // hex SHA-256, declared, or empty
	sum       objects.Checksum   // declared in a header; of a trailer, the value comes last
	trailer   string             // name of the trailer that has the checksum, or empty
	chunks    *sigv4.ChunkReader // nil: not framed
}

// contentOf reads what the header says about the body, and refuses what can't be.
// Nothing of the body is read.
func (c *call) contentOf() (*content, error) {
	b := &content{size: c.r.ContentLength}
	if err := b.readDigests(c); err != nil {
		return nil, err
	}
	body := io.Reader(&body{in: c.r.Body})
	if c.Payload.Chunked() {
		size, err := strconv.ParseInt(c.header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
		if err != nil || size < 0 {
			return nil, fail(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
		}
		names, err := trailerNames(c.header)
		if err != nil {
			return nil, err
		}
		b.size = size
		b.chunks = sigv4.NewChunkReader(body, c.Payload, size, names)
		body = b.chunks
	}
	b.Reader = body
	switch {
	case b.size < 0 && len(c.r.TransferEncoding) > 0:
		return nil, fail(http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented", element{"Header", "Transfer-Encoding"})
	case b.size < 0:
		return nil, fail(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	case b.size > maxPut:
		return nil, tooLarge(b.size, maxPut)
	}
	return b, nil
}

// readDigests reads the hashes that a body must have.
func (b *content) readDigests(c *call) (err error) {
	b.hash = c.Payload.Hash()
	if values := c.header.Values("Content-Md5"); len(values) > 0 {
		b.md5, err = base64.StdEncoding.DecodeString(values[0])
		if err != nil || len(b.md5) != md5.Size {
			return fail(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified was invalid.", element{"Content-MD5", values[0]})
		}
	}
	if c.Action == completeUpload {
		return nil // its x-amz-checksum- headers are about the object
	}
	b.sum, b.trailer, err = declaredChecksum(c.header)
	if b.trailer != "" && !c.Payload.Chunked() {
		return invalidRequest("The value specified in the x-amz-trailer header is not supported")
	}
	return err
}

// trailerNames returns the names of the trailers that a request announces.
func trailerNames(h http.Header) ([]string, error) {
	var names []string
	for _, line := range h.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) > 1 {
		return nil, invalidRequest("The value specified in the x-amz-trailer header is not supported")
	}
	return names, nil
}

// algorithm returns the algorithm of the checksum that an object gets with this body.
func (b *content) algorithm() objects.Algorithm {
	return cmp.Or(b.sum.Algorithm, objects.DefaultChecksum)
}

// algorithms returns the checksums that have to be computed to check the body. also is
// one that is wanted anyway.
func (b *content) algorithms(also objects.Algorithm) []objects.Algorithm {
	var all []objects.Algorithm
	add := func(a objects.Algorithm) {
		for _, have := range all {
			if have == a {
				return
			}
		}
		if a != "" {
			all = append(all, a)
		}
	}
	add(b.sum.Algorithm)
	add(also)
	if b.hash != "" {
		add(objects.SHA256)
	}
	return all
}

// check compares what was read with what was declared, and returns the checksum that
// the client has given, or else the one by the algorithm also.
func (b *content) check(p objects.Piece, also objects.Algorithm) (objects.Checksum, error) {
	if b.size != p.Size {
		return objects.Checksum{}, errUnread
	}
	if b.md5 != nil && !bytes.Equal(b.md5, p.MD5[:]) {
		return objects.Checksum{}, fail(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.",
			element{"ExpectedDigest", hex.EncodeToString(b.md5)}, element{"CalculatedDigest", base64.StdEncoding.EncodeToString(p.MD5[:])})
	}
	if got := hex.EncodeToString(p.Digest[objects.SHA256]); b.hash != "" && got != b.hash {
		return objects.Checksum{}, wrongHash(b.hash, got)
	}
	if b.sum.Algorithm == "" {
		return p.Checksum(also), nil
	}
	want := b.sum.Value
	if b.trailer != "" {
		want = b.chunks.Trailer(b.trailer)
		if err := checkValue(b.sum.Algorithm, want, b.trailer); err != nil {
			return objects.Checksum{}, err
		}
	}
	got := p.Checksum(b.sum.Algorithm)
	if got.Value != want {
		return objects.Checksum{}, wrongChecksum(b.sum.Algorithm)
	}
	return got, nil
}

func wrongHash(want, got string) *failure {
	return fail(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.",
		element{"ClientComputedContentSHA256", want}, element{"S3ComputedContentSHA256", got})
}

func wrongChecksum(a objects.Algorithm) *failure {
	return fail(http.StatusBadRequest, "BadDigest", fmt.Sprintf("The %s you specified did not match the calculated checksum.", a))
}

// body reads a request's body and says that it ended early, rather than how.
type body struct{ in io.Reader }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errUnread, err)
	}
	return n, err
}

// readDocument reads a small body and checks it as it would that of an object.
func (c *call) readDocument(limit int64) ([]byte, error) {
	if c.r.ContentLength == 0 && !c.Payload.Chunked() && c.header.Get("Content-Md5") == "" && c.Payload.Hash() == "" {
		return nil, nil
	}
	b, err := c.contentOf()
	if err != nil {
		return nil, err
	}
	if b.size > limit {
		return nil, fail(http.StatusBadRequest, "MaxMessageLengthExceeded", "Your request was too big.", element{"MaxMessageLengthBytes", strconv.FormatInt(limit, 10)})
	}
	kept := &keptError{in: b}
	text, err := c.ReadBody(&http.Request{Body: io.NopCloser(kept), ContentLength: b.size}, limit)
	if kept.err != nil {
		return nil, kept.err
	}
	if err != nil {
		return nil, err
	}
	_, err = b.check(pieceOf(text, b.algorithms("")), "")
	return text, err
}

// keptError remembers why a body can't be read.
type keptError struct {
	in  io.Reader
	err error
}

func (k *keptError) Read(p []byte) (int, error) {
	n, err := k.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		k.err = err
	}
	return n, err
}

// decode reads the document into v.
func (c *call) decode(v any) error { return decodeXML(c.document, v) }

// decodeXML reads a document strictly: it is one element, and nothing follows.
func decodeXML(text []byte, v any) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Entity = nil
	if err := d.Decode(v); err != nil {
		return malformedXML()
	}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if chars, ok := token.(xml.CharData); err != nil || !ok || len(bytes.TrimSpace(chars)) > 0 {
			return malformedXML()
		}
	}
}
