package blobs3

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// part is a part that is not stored yet. All but buf's bytes is guarded by its writer's mu.
type part struct {
	buf     []byte
	written []bool // of each unit of Align bytes, whether a write has begun for it
	copying int    // writes that have not ended
	filled  int    // units that have been written
	sent    bool
}

// begin reserves units for a write, and reports whether none of them was written before.
func (p *part) begin(first, n int) bool {
	for i := first; i < first+n; i++ {
		if p.written[i] {
			return false
		}
	}
	for i := first; i < first+n; i++ {
		p.written[i] = true
	}
	p.copying++
	return true
}

// end ends a write of n units.
func (p *part) end(n int) {
	p.copying--
	p.filled += n
}

func newPart(buf []byte) *part {
	return &part{buf: buf, written: make([]bool, len(buf)/blockstore.Align)}
}

func (p *part) full() bool { return p.filled == len(p.written) }

// cut returns the first n bytes, with zeros where nothing was written.
func (p *part) cut(n int) []byte {
	for i, written := range p.written {
		if !written && i*blockstore.Align < n {
			clear(p.buf[i*blockstore.Align : (i+1)*blockstore.Align])
		}
	}
	return p.buf[:n]
}

// body is the body of a request that has memory which is used for something else later.
// A transport may read from a body after it has returned an error; from this one it then
// gets nothing more.
type body struct {
	mu  sync.Mutex // guards what follows
	buf []byte     // nil once it was taken back
	off int64
}

var errTakenBack = errors.New("blobs3: the request is over")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil {
		return 0, errTakenBack
	}
	if b.off >= int64(len(b.buf)) {
		return 0, io.EOF
	}
	n := copy(p, b.buf[b.off:])
	b.off += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (b *body) Seek(off int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		off += b.off
	case io.SeekEnd:
		off += int64(len(b.buf))
	}
	if off < 0 {
		return 0, errors.New("blobs3: seeking before the start of a body")
	}
	b.off = off
	return off, nil
}

// takeBack makes the memory the caller's again.
func (b *body) takeBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf = nil
}

// asItIs has a body sent whose hash is not signed: that would take as long as all else.
// Its checksum is signed instead, which the store compares with what arrives; what somebody
// changes on the way so that the checksum fits all the same is found when it is read.
func asItIs(o *s3.Options) {
	s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)(o)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumOf returns the CRC-32C of a body as S3 writes it.
func checksumOf(data []byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))))
}
