package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/diskport/diskport/internal/cache"
)

const (
	// attempts is how often a range is requested without progress.
	attempts = 6
	// maxBackoff bounds the wait between two of them.
	maxBackoff = 5 * time.Second
	// stall is how long an answer may take for the next trickle bytes, or its last ones.
	stall   = 30 * time.Second
	trickle = 16 << 10
	// progress is how many bytes an attempt must bring for the attempts to be
	// counted anew.
	progress = 64 << 10

	// chunkBytes is the size of the chunks that small reads are served from: the
	// tables of an image lie close together, and every request costs a round trip.
	chunkBytes = 1 << 20
	// maxChunks bounds the chunks that are kept for one open object.
	maxChunks = 8
	// smallRead is the longest read that goes through a chunk.
	smallRead = 128 << 10
)

// remote is a pinned object elsewhere, as an Object.
type remote struct {
	ctx     context.Context
	get     getter
	pin     Pin
	backoff time.Duration

	chunks *cache.Cache[int64, []byte] // by their offsets
}

var _ Object = (*remote)(nil)

// Size implements Object.
func (r *remote) Size() int64 { return r.pin.Size }

// Close implements Object.
func (r *remote) Close() error { return nil }

// Check implements Object: every read was conditional.
func (r *remote) Check() error { return nil }

// ReadAt implements io.ReaderAt.
func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading s3://%s/%s at %d: before its start", r.pin.Bucket, r.pin.Key, off)
	}
	if off >= r.pin.Size {
		return 0, io.EOF
	}
	short := int64(len(p)) > r.pin.Size-off
	if short {
		p = p[:r.pin.Size-off]
	}
	n, err := r.read(p, off)
	if err != nil {
		return n, fmt.Errorf("reading %d bytes of s3://%s/%s at %d: %w", len(p), r.pin.Bucket, r.pin.Key, off, err)
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (r *remote) read(p []byte, off int64) (int, error) {
	at := off % chunkBytes
	if len(p) > smallRead || at+int64(len(p)) > chunkBytes {
		return r.fetch(p, off)
	}
	data, err := r.chunk(off - at)
	if err != nil {
		return 0, err
	}
	return copy(p, data[at:]), nil
}

// chunk returns the chunk that begins at off; the first caller reads it.
func (r *remote) chunk(off int64) ([]byte, error) {
	return r.chunks.Get(off, func() ([]byte, error) {
		data := make([]byte, min(chunkBytes, r.pin.Size-off))
		_, err := r.fetch(data, off)
		return data, err
	})
}

// fetch reads all of p; after a failure that may go away it requests what is
// missing.
func (r *remote) fetch(p []byte, off int64) (done int, err error) {
	err = repeat(r.ctx, r.backoff, func() (more bool, err error) {
		n, err := r.attempt(p[done:], off+int64(done))
		done += n
		return n >= progress, err
	})
	return done, err
}

// repeat calls do until it succeeds or fails for good, or the attempts are used up;
// when one gets ahead, they are counted anew.
func repeat(ctx context.Context, backoff time.Duration, do func() (ahead bool, err error)) error {
	wait, failed := backoff, 0
	for {
		ahead, err := do()
		if stop := ctx.Err(); err != nil && stop != nil {
			return stop
		}
		passing, ok := errors.AsType[*transient](err)
		if !ok {
			return err
		}
		if ahead {
			wait, failed = backoff, 0
		}
		if failed++; failed == attempts {
			return &UnavailableError{passing.what, err}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
}

// attempt reads p with one request. It returns how much it has when that fails.
func (r *remote) attempt(p []byte, off int64) (int, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	silence := time.AfterFunc(stall, cancel)
	defer silence.Stop()
	body, found, err := r.get.get(ctx, off, off+int64(len(p)), r.pin.ETag)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if found.etag != r.pin.ETag || found.size != r.pin.Size {
		return 0, ErrChanged // the S3 ignores conditions
	}
	n, last := 0, 0
	for n < len(p) {
		m, err := body.Read(p[n:])
		if n += m; n-last >= trickle {
			silence.Reset(stall)
			last = n
		}
		if err != nil && n < len(p) {
			return n, &transient{brokeOff, fmt.Errorf("the answer broke off: %w", err)}
		}
	}
	return n, nil
}
