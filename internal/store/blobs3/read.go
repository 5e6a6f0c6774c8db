package blobs3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// progress is how many bytes an attempt must bring for the attempts to be counted anew.
const progress = 64 << 10

// errRemoved reports a mark in the place of a file.
var errRemoved = fmt.Errorf("%w: it was removed", blockstore.ErrNotExist)

// ReadAt implements blockstore.Backend. It is one request, and one more for each answer
// that breaks off, which asks for what is missing.
func (b *Bucket) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	key, err := b.key(name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, b.at(key, fmt.Errorf("reading at %d", off))
	}
	if err := ctx.Err(); err != nil || len(p) == 0 {
		return 0, err
	}
	done, size := 0, int64(-1)
	err = b.repeatAhead(ctx, func() (ahead bool, err error) {
		n, all, err := b.get(ctx, key, p[done:], off+int64(done))
		done += n
		if err == nil {
			size = all
		}
		return n >= progress, err
	})
	switch {
	case err == nil && off+int64(len(p)) > size:
		return done, io.EOF
	case err == nil:
		return done, nil
	case isMissing(err):
		return 0, b.at(key, fmt.Errorf("%w: %w", blockstore.ErrNotExist, err))
	}
	return done, b.at(key, fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err))
}

// get reads p with one request, as far as the file goes, and returns the size of that. With
// an error it returns how much it has.
func (b *Bucket) get(ctx context.Context, key string, p []byte, off int64) (n int, size int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.o.Bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	})
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		size, err = b.endOf(ctx, key, off)
		return 0, size, err
	}
	if isMissing(err) && codeOf(err) != "NoSuchKey" {
		// A proxy that does not know yet where the store is says 404 too. A block would be taken
		// for damaged.
		err = fmt.Errorf("%w: %v", errBadAnswer, err) //nolint:errorlint // it says nothing of an object
	}
	if err != nil {
		return 0, 0, err
	}
	defer out.Body.Close()
	if isMarkMeta(out.Metadata) {
		return 0, 0, errRemoved
	}
	if size, err = rangeOf(out, off, len(p)); err != nil {
		return 0, 0, err
	}
	p = p[:min(int64(len(p)), size-off)]
	if n, err = io.ReadFull(out.Body, p); err != nil {
		return n, 0, fmt.Errorf("%w after %d bytes of %d: %w", errCutOff, n, len(p), err)
	}
	return n, size, nil
}

// endOf returns the size of a file that ends before off.
func (b *Bucket) endOf(ctx context.Context, key string, off int64) (int64, error) {
	found, err := b.head(ctx, key)
	switch {
	case err != nil:
		return 0, err
	case !found.there:
		return 0, fmt.Errorf("%w: it is gone", blockstore.ErrNotExist)
	case found.removed:
		return 0, errRemoved
	case found.size > off:
		return 0, fmt.Errorf("%w: no bytes at %d of %d", errBadAnswer, off, found.size)
	}
	return found.size, nil
}

// rangeOf checks that an answer has n bytes at off, or what there is of them, and returns the
// size of the file.
func rangeOf(out *s3.GetObjectOutput, off int64, n int) (size int64, err error) {
	length := aws.ToInt64(out.ContentLength)
	if out.ContentRange == nil {
		if off == 0 && out.ContentLength != nil && length >= 0 && length <= int64(n) {
			return length, nil // a server may answer so when that is all there is
		}
		return 0, fmt.Errorf("%w: the store ignores ranges", errBadAnswer)
	}
	first, last, size, err := parseRange(*out.ContentRange)
	if err != nil || first != off || last != min(off+int64(n), size)-1 || out.ContentLength != nil && length != last-first+1 {
		return 0, fmt.Errorf("%w: %d bytes at %d are answered with %d bytes, %q", errBadAnswer, n, off, length, *out.ContentRange)
	}
	return size, nil
}

// parseRange reads a Content-Range, such as "bytes 0-9/100".
func parseRange(text string) (first, last, size int64, err error) {
	text, ok := strings.CutPrefix(text, "bytes ")
	span, all, ok2 := strings.Cut(text, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, errBadAnswer
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := strconv.ParseInt(all, 10, 64)
	return first, last, size, errors.Join(err1, err2, err3)
}
