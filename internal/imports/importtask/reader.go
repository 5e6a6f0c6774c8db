package importtask

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/work"
)

// readError reports a source that could not be read where it has bytes. It is no fault of
// the image, whatever a decoder makes of it: it has the causes of its cause, except that
// it is never the end of the source, which decoders take for an image that was cut off.
type readError struct {
	off, n int64 // what was to be read
	err    error
}

func (e *readError) Error() string {
	return fmt.Sprintf("reading %d bytes of the image at %#x: %v", e.n, e.off, e.err)
}

// Is implements errors.Is.
func (e *readError) Is(target error) bool {
	return target != io.EOF && target != io.ErrUnexpectedEOF && errors.Is(e.err, target)
}

// As implements errors.As.
func (e *readError) As(target any) bool { return errors.As(e.err, target) }

var errShort = errors.New("fewer bytes came than there are")

// reader is a source as its decoder reads it. Reads end with ctx, so a decoder that does
// not look at its context ends at its next read.
type reader struct {
	source.Object
	ctx, opening context.Context // the second one until the image is open
	idle         *idle
	reads        atomic.Int64 // that are under way
}

// newReader returns an object as a decoder reads it; it knows its holes if the object does.
func newReader(ctx, opening context.Context, object source.Object, busy *idle) source.Object {
	r := &reader{Object: object, ctx: ctx, opening: opening, idle: busy}
	if holes, ok := object.(diskimage.SparseReaderAt); ok {
		return &sparseReader{r, holes}
	}
	return r
}

// reading reports whether a read is under way: then it is the source that takes long.
func (r *reader) reading() bool { return r.reads.Load() > 0 }

// notStuck returns err, or if a decoder did not return because a read of its source
// does not, errSlow: those that a context does not end are of files.
func notStuck(object source.Object, err error) error {
	stuck := (*work.StuckError)(nil)
	if r, ok := object.(interface{ reading() bool }); ok && errors.As(err, &stuck) && r.reading() {
		return fmt.Errorf("%w: %s", errSlow, err.Error()) // which is no StuckError
	}
	return err
}

// stopped says why nothing may be read any more.
func (r *reader) stopped() error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if r.idle.waits() && r.opening.Err() != nil {
		return context.Cause(r.opening)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.stopped(); err != nil {
		return 0, err
	}
	r.reads.Add(1)
	n, err := r.Object.ReadAt(p, off)
	r.reads.Add(-1)
	r.idle.busy()
	if there := min(int64(len(p)), max(0, r.Object.Size()-off)); int64(n) >= there {
		return n, err
	}
	if err == nil {
		err = errShort
	}
	return n, &readError{off, int64(len(p)), err}
}

// sparseReader is a reader of an object that knows its holes.
type sparseReader struct {
	*reader
	holes diskimage.SparseReaderAt
}

// NextData implements diskimage.SparseReaderAt.
func (r *sparseReader) NextData(off int64) (start, end int64, err error) {
	if err := r.stopped(); err != nil {
		return 0, 0, err
	}
	r.reads.Add(1)
	start, end, err = r.holes.NextData(off)
	r.reads.Add(-1)
	r.idle.busy()
	if err != nil {
		err = &readError{off, 0, err}
	}
	return start, end, err
}

// idleFor is how long a decoder that opens an image may neither read nor write anything.
// Unpacking may take hours, and never stops for long.
const idleFor = 15 * time.Minute

// errIdle ends the context of a decoder that is told to stop.
var errIdle = errors.New("importtask: the decoder did nothing for too long")

// idle ends a context when a decoder has done nothing for too long, until the image is
// open. Its methods may be called concurrently.
type idle struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards timer
	timer *time.Timer
}

// newIdle returns a context that ends with ctx, or when the decoder is idle. The caller
// calls end.
func newIdle(ctx context.Context) (context.Context, *idle) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &idle{ctx: ctx, cancel: cancel, timer: time.AfterFunc(idleFor, func() { cancel(errIdle) })}
}

// busy notes that the decoder does something.
func (i *idle) busy() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer.Reset(idleFor)
	}
}

// waits reports whether the image is not open yet.
func (i *idle) waits() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.timer != nil
}

// end is called when the image is open, or was not opened for the reason err; it returns
// the reason, which is errIdle if the decoder was told to stop for that.
func (i *idle) end(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer.Stop()
	i.timer = nil
	if err != nil && errors.Is(context.Cause(i.ctx), errIdle) {
		err = errors.Join(errIdle, err)
	}
	i.cancel(nil)
	return err
}

// busyScratch notes when a decoder writes.
type busyScratch struct {
	diskimage.Scratch
	idle *idle
}

// Create implements diskimage.Scratch.
func (s busyScratch) Create() (diskimage.ScratchFile, error) {
	f, err := s.Scratch.Create()
	if err != nil {
		return nil, err
	}
	return &busyFile{f, s.idle}, nil
}

type busyFile struct {
	diskimage.ScratchFile
	idle *idle
}

// WriteAt implements io.WriterAt.
func (f *busyFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.ScratchFile.WriteAt(p, off)
	f.idle.busy()
	return n, err
}
