package blobs3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// writerMeta is the key of the metadata that has the token of the writer of a file.
const writerMeta = "diskport-writer"

// abortFor bounds what an Abort asks of the store.
const abortFor = 3 * time.Minute

// errLate reports a writer that is too old to close its file.
var errLate = errors.New("it was begun more than a day ago")

// writer is a file that is not closed yet.
type writer struct {
	b         *Bucket
	name, key string
	token     string // tells this file from others of its name
	since     time.Time

	ctx     context.Context // of the uploads of parts
	cancel  context.CancelFunc
	sending sync.WaitGroup // these uploads

	starting chan struct{} // has a token for the one who starts the upload
	ending   sync.Mutex    // held by Close and Abort

	mu      sync.Mutex // guards what follows
	upload  string     // id; empty: there is none
	strays  bool       // there may be uploads whose id never came
	parts   map[int64]*part
	stored  map[int64]storedPart
	last    int64 // the last part that was or is being written; -1: none
	err     error // of an upload
	closing bool  // the request that makes the file may have been sent
	ended   bool
}

// storedPart is a part that the store has.
type storedPart struct {
	etag, sum *string // sum as checksumOf returns it
	bytes     int64
}

// Create implements blockstore.Backend. It asks nothing of the store: if there is a file of
// that name there, Close fails.
func (b *Bucket) Create(ctx context.Context, name string, _ int64) (blockstore.Writer, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &writer{
		b: b, name: name, key: key, token: rand.Text(), since: b.o.Now(),
		parts: map[int64]*part{}, stored: map[int64]storedPart{}, last: -1,
		starting: make(chan struct{}, 1),
	}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it may be of one block's request
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[name] != nil {
		w.cancel()
		return nil, b.at(key, os.ErrExist)
	}
	b.open[name] = w
	return w, nil
}

// WriteAt implements blockstore.Writer.
func (w *writer) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	if !blockstore.Aligned(bufs, off) || off < 0 {
		return fmt.Errorf("blobs3: misaligned write of %s at %d", w.name, off)
	}
	size := int64(0)
	for _, p := range bufs {
		size += int64(len(p))
	}
	if err := w.reach(off + size); err != nil {
		return w.b.at(w.key, err)
	}
	for size > 0 {
		n := min(size, w.b.part-off%w.b.part)
		var err error
		if bufs, err = w.writePart(ctx, bufs, off, int(n)); err != nil {
			return w.b.at(w.key, err)
		}
		off, size = off+n, size-n
	}
	return ctx.Err()
}

// reach notes how far the file goes, and has parts sent that are not the last one any more.
func (w *writer) reach(end int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	w.last = max(w.last, (end-1)/w.b.part)
	w.sendFull()
	return nil
}

// usable returns why nothing can be written. It needs mu.
func (w *writer) usable() error {
	if w.ended {
		return os.ErrClosed
	}
	return w.err
}

// writePart writes n bytes of bufs at off, all of one part, and returns what is left of bufs.
func (w *writer) writePart(ctx context.Context, bufs [][]byte, off int64, n int) ([][]byte, error) {
	first, units := int(off%w.b.part)/blockstore.Align, n/blockstore.Align
	p, err := w.beginWrite(ctx, off/w.b.part, first, units)
	if err != nil {
		return nil, err
	}
	to := p.buf[off%w.b.part:][:n]
	for len(to) > 0 {
		k := copy(to, bufs[0])
		to = to[k:]
		if k == len(bufs[0]) {
			bufs = bufs[1:]
		} else {
			bufs = append([][]byte{bufs[0][k:]}, bufs[1:]...) // the caller's list stays as it is
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.end(units)
	if w.ended && p.copying == 0 {
		w.b.buffers.put(p.buf) // Abort has left it
		return nil, os.ErrClosed
	}
	w.sendFull()
	return bufs, nil
}

// beginWrite returns a part in which units are reserved for a write.
func (w *writer) beginWrite(ctx context.Context, index int64, first, units int) (*part, error) {
	p, err := w.part(ctx, index)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return nil, err
	}
	if p.sent || !p.begin(first, units) {
		return nil, fmt.Errorf("part %d is written to twice", index)
	}
	return p, nil
}

// part returns a part, for which it waits for memory if it is new.
func (w *writer) part(ctx context.Context, index int64) (*part, error) {
	w.mu.Lock()
	p, err := w.parts[index], w.usable()
	_, stored := w.stored[index]
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if stored {
		return nil, fmt.Errorf("part %d is written to twice", index)
	}
	if p != nil {
		return p, ctx.Err()
	}
	buf, err := w.b.buffers.get(ctx)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p = w.parts[index]; p != nil || w.ended {
		w.b.buffers.put(buf) // somebody else was faster
		return p, w.usable()
	}
	w.parts[index] = newPart(buf)
	return w.parts[index], nil
}

// sendFull has full parts sent. The last one stays: Close may still cut it. It needs mu.
func (w *writer) sendFull() {
	for index, p := range w.parts {
		if p.full() && index < w.last {
			w.send(index, p, int(w.b.part))
		}
	}
}

// send has the first n bytes of a part stored. It needs mu.
func (w *writer) send(index int64, p *part, n int) {
	if p.sent || w.ended {
		return
	}
	p.sent = true
	w.b.buffers.send()
	w.sending.Go(func() {
		stored, err := w.uploadPart(index, p.cut(n))
		w.mu.Lock()
		delete(w.parts, index)
		if err == nil {
			w.stored[index] = stored
		} else if w.err == nil {
			w.err = err
		}
		w.mu.Unlock()
		w.b.buffers.sent(p.buf)
	})
}

// uploadPart stores a part.
func (w *writer) uploadPart(index int64, data []byte) (storedPart, error) {
	id, err := w.start()
	if err != nil {
		return storedPart{}, err
	}
	number, stored := aws.Int32(int32(index)+1), storedPart{sum: checksumOf(data), bytes: int64(len(data))}
	err = w.b.repeat(w.ctx, func() error {
		from := &body{buf: data}
		defer from.takeBack()
		out, err := w.b.client.UploadPart(w.ctx, &s3.UploadPartInput{
			Bucket: &w.b.o.Bucket, Key: &w.key, UploadId: &id, PartNumber: number, Body: from, ContentLength: &stored.bytes, ChecksumCRC32C: stored.sum,
		}, asItIs)
		if err == nil {
			stored.etag = out.ETag
		}
		return err
	})
	failpoint.File(w.key, "a part stored")
	if codeOf(err) == "NoSuchUpload" {
		err = fmt.Errorf("%w: %w", errRemoved, err)
	}
	return stored, err
}

// start returns the id of the upload, which the first caller starts.
func (w *writer) start() (string, error) {
	select {
	case w.starting <- struct{}{}:
		defer func() { <-w.starting }()
	case <-w.ctx.Done():
		return "", w.ctx.Err()
	}
	w.mu.Lock()
	id, err := w.upload, w.err
	w.mu.Unlock()
	if id != "" || err != nil {
		return id, err
	}
	tries := 0
	err = w.b.repeat(w.ctx, func() error {
		tries++
		out, err := w.b.client.CreateMultipartUpload(w.ctx, &s3.CreateMultipartUploadInput{
			Bucket: &w.b.o.Bucket, Key: &w.key, Metadata: map[string]string{writerMeta: w.token}, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		})
		if err == nil {
			id = aws.ToString(out.UploadId)
		}
		return err
	})
	failpoint.File(w.key, "an upload started")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upload, w.strays = id, tries > 1 || err != nil
	return id, err
}

// Close implements blockstore.Writer.
func (w *writer) Close(ctx context.Context, size int64) error {
	w.ending.Lock()
	defer w.ending.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.close(ctx, size); err != nil {
		return w.b.at(w.key, err)
	}
	w.mu.Lock()
	w.ended = true
	strays := w.strays
	w.mu.Unlock()
	w.release()
	failpoint.File(w.key, "closed")
	if strays {
		_ = w.b.dropUploads(ctx, w.key) // what stays takes room until the file is removed
	}
	return nil
}

func (w *writer) close(ctx context.Context, size int64) error {
	if size < 0 {
		return fmt.Errorf("%d bytes", size)
	}
	if size <= w.b.part && !w.hasSent() {
		return w.closeSmall(ctx, size)
	}
	parts, err := w.sendAll(ctx, size)
	if err != nil {
		return err
	}
	failpoint.File(w.key, "all parts stored")
	return w.finish(ctx, size, func() error {
		_, err := w.b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &w.b.o.Bucket, Key: &w.key, UploadId: &w.upload, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		failpoint.File(w.key, "put together")
		return err
	})
}

// hasSent reports whether any part was sent.
func (w *writer) hasSent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parts {
		if p.sent {
			return true
		}
	}
	return len(w.stored) > 0 || w.err != nil
}

// closeSmall makes a file of up to one part, all of which is in memory.
func (w *writer) closeSmall(ctx context.Context, size int64) error {
	var data []byte
	if size > 0 {
		p, err := w.part(ctx, 0)
		if err != nil {
			return err
		}
		data = p.cut(int(size))
	}
	sum := checksumOf(data)
	return w.finish(ctx, size, func() error {
		from := &body{buf: data}
		if data == nil {
			from.buf = []byte{}
		}
		defer from.takeBack()
		_, err := w.b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &w.b.o.Bucket, Key: &w.key, IfNoneMatch: aws.String("*"), Body: from, ContentLength: &size, ChecksumCRC32C: sum,
			Metadata: map[string]string{writerMeta: w.token},
		}, asItIs)
		failpoint.File(w.key, "stored at once")
		return err
	})
}

// sendAll has all parts of a file of size bytes stored, and waits for that.
func (w *writer) sendAll(ctx context.Context, size int64) (parts []types.CompletedPart, err error) {
	count := (size + w.b.part - 1) / w.b.part
	if count == 0 {
		return nil, errors.New("it can't be cut to nothing: more is stored already")
	}
	for i := range count {
		if err := w.sendOne(ctx, i, int(min(w.b.part, size-i*w.b.part))); err != nil {
			return nil, err
		}
	}
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	for i := range count {
		p := w.stored[i]
		if p.bytes != min(w.b.part, size-i*w.b.part) {
			return nil, fmt.Errorf("it can't be cut to %d bytes: more is stored already", size)
		}
		parts = append(parts, types.CompletedPart{ETag: p.etag, ChecksumCRC32C: p.sum, PartNumber: aws.Int32(int32(i) + 1)})
	}
	return parts, nil
}

// sendOne has the first n bytes of a part stored, unless it is or was sent. Nobody is writing.
func (w *writer) sendOne(ctx context.Context, index int64, n int) error {
	w.mu.Lock()
	p, err := w.parts[index], w.usable()
	_, stored := w.stored[index]
	w.mu.Unlock()
	if err != nil || stored {
		return err
	}
	if p == nil { // nothing was written there
		if p, err = w.part(ctx, index); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send(index, p, n)
	return nil
}

// wait waits until no part is on its way.
func (w *writer) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { defer close(done); w.sending.Wait() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done(): // what is on its way ends with Abort
		return ctx.Err()
	}
}

// finish sends the request that makes the file, and finds out whether that did.
func (w *writer) finish(ctx context.Context, size int64, send func() error) error {
	w.mu.Lock()
	err := w.usable()
	w.closing = err == nil
	w.mu.Unlock()
	if err != nil {
		return err
	}
	err = w.b.repeat(ctx, func() error {
		if w.b.o.Now().Round(0).Sub(w.since.Round(0)) > writerLife || w.b.o.Now().Sub(w.since) > writerLife {
			return errLate
		}
		return send()
	})
	if err == nil || ctx.Err() != nil || errors.Is(err, errLate) {
		return err
	}
	found, herr := w.b.head(ctx, w.key)
	switch {
	case herr != nil:
		return errors.Join(err, herr)
	case found.there && found.writer == w.token && found.size == size:
		return nil // the answer was lost
	case !found.there:
		return err
	}
	// Something is in the place of the file for good, and Abort must leave it alone.
	w.mu.Lock()
	w.closing = false
	w.mu.Unlock()
	if found.removed {
		return fmt.Errorf("%w: %w", errRemoved, err)
	}
	return fmt.Errorf("%w: %w", os.ErrExist, err)
}

// Abort implements blockstore.Writer.
func (w *writer) Abort() error {
	w.ending.Lock()
	defer w.ending.Unlock()
	w.mu.Lock()
	ended := w.ended
	w.ended = true
	w.mu.Unlock()
	if ended {
		return nil
	}
	w.cancel()
	w.sending.Wait()
	w.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortFor)
	defer cancel()
	err := w.dropStored(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %v", blockstore.ErrUnavailable, err) //nolint:errorlint // whoever aborts has set no deadline
	}
	return err
}

// dropStored lets go of what the store has of a file that is not closed.
func (w *writer) dropStored(ctx context.Context) error {
	switch {
	case w.closing: // whatever comes of that
		return w.b.Remove(ctx, w.name)
	case w.strays:
		return w.b.at(w.key, w.b.dropUploads(ctx, w.key))
	case w.upload != "":
		return w.b.at(w.key, w.b.dropUpload(ctx, w.key, w.upload))
	}
	return nil
}

// release gives back what an ended writer holds. No part may be on its way.
func (w *writer) release() {
	w.cancel()
	w.b.forget(w.name, w)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parts {
		if p.copying == 0 { // else who writes to it gives it back
			w.b.buffers.put(p.buf)
		}
	}
	clear(w.parts)
}
