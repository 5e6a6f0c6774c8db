package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/work"
)

const (
	// maxSpans is how many source bytes a window may hold in memory; a window that
	// needs more is done in halves. It is twice the window, so that data that grew
	// when it was compressed still fits.
	maxSpans = 8 << 20
	// maxUnit is the largest coded unit that is decoded: the largest qcow2 cluster
	// is 2 MiB, and all known VMDKs have grains of 64 KiB.
	maxUnit = 4 << 20
	// maxGap is the largest gap between two runs, in bytes, that is read with them
	// instead of reading twice.
	maxGap = 64 << 10
	// maxWaste bounds the sum of the gaps of a window, because hostile layouts put
	// a gap between any two runs.
	maxWaste = 2 << 20
)

// Workers are the node's budget of windows in work: each has buffers of its own,
// which grow to what windows need and stay while there is work: the runtime takes those
// that nobody has used between two of its collections. They serve any number of ranges
// at a time.
type Workers struct {
	turns  chan struct{} // a token for each that is not at work
	idle   sync.Pool     // of *worker
	strays *work.Strays  // of the process
}

// NewWorkers returns n workers, whose decoders may become strays of the process; nil: any
// number of them.
func NewWorkers(n int, strays *work.Strays) *Workers {
	ws := &Workers{strays: strays, turns: make(chan struct{}, n), idle: sync.Pool{New: func() any { return new(worker) }}}
	for range n {
		ws.turns <- struct{}{}
	}
	return ws
}

// windowFor is how long a window may take: its source may be slow, and the disk that it
// is stored on. A decoder that does not come to an end is left behind soon after.
const windowFor = 30 * time.Minute

// ErrSlow reports that a few MiB of the disk took too long.
var ErrSlow = errors.New("ingest: a few MiB of the disk took too long")

// do has a free worker ingest n blocks from index at.
func (ws *Workers) do(ctx context.Context, j job, at, n int64) error {
	select {
	case <-ws.turns:
	case <-ctx.Done():
		return ctx.Err()
	}
	w := ws.idle.Get().(*worker)
	g := &gate{sink: j.sink}
	j.sink = g
	w.job = j
	_, err := limited(ctx, ws, "decoding a part of the disk", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.window(ctx, at, n)
	})
	if stuck := (*work.StuckError)(nil); errors.As(err, &stuck) {
		g.leave() // it keeps its buffers
	} else {
		w.job = job{}
		ws.idle.Put(w)
	}
	ws.turns <- struct{}{}
	return err
}

// limited does a step that looks into the disk, which may take windowFor.
func limited[T any](ctx context.Context, ws *Workers, step string, fn func(context.Context) (T, error)) (T, error) {
	short, done := context.WithTimeoutCause(ctx, windowFor, ErrSlow)
	defer done()
	value, err := work.Within(short, ws.strays, step, func() (T, error) { return fn(short) })
	if err != nil && ctx.Err() == nil && short.Err() != nil {
		err = errors.Join(context.Cause(short), err)
	}
	return value, err
}

// job is the range that a window belongs to.
type job struct {
	disk     diskimage.Disk
	sink     Sink
	gather   bool
	progress func(Counts)
}

// worker ingests windows, one at a time.
type worker struct {
	job

	runs  []diskimage.Run // of the window, Data only, by Off
	spans spans           // source bytes of the window's coded runs, or of all
	unit  []byte          // a coded run that spans several blocks, decoded
	unitR diskimage.Run   // which one
}

// window ingests n blocks from index at.
func (w *worker) window(ctx context.Context, at, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	off := at * block.Size
	size := min(n*block.Size, w.disk.Size()-off)
	if err := w.collect(off, size); err != nil || len(w.runs) == 0 {
		return err
	}
	if need := w.spans.plan(w.runs, w.gather); need > maxSpans && n > 1 {
		if err := w.window(ctx, at, n/2); err != nil {
			return err
		}
		return w.window(ctx, at+n/2, n-n/2)
	}
	if err := w.spans.read(); err != nil {
		return err
	}
	c := Counts{Source: w.spans.bytes()}
	rest := w.runs
	for i := range n {
		lo := (at + i) * block.Size
		hi := min(lo+block.Size, off+size)
		var mine []diskimage.Run
		mine, rest = split(rest, lo, hi)
		if len(mine) == 0 {
			continue
		}
		if err := w.block(ctx, at+i, hi-lo, mine, &c); err != nil {
			return err
		}
	}
	if w.progress != nil {
		w.progress(c)
	}
	return nil
}

// collect gathers the window's Data runs.
func (w *worker) collect(off, n int64) error {
	w.runs = w.runs[:0]
	w.unitR = diskimage.Run{}
	for r, err := range runs(w.disk, off, n) {
		if err != nil {
			return err
		}
		if r.Kind != diskimage.Data {
			continue
		}
		if r.Coded && r.Len > maxUnit {
			return &diskimage.FormatError{Format: "image", Structure: "compressed unit", Offset: r.SrcOff, Class: diskimage.Limit,
				Reason: fmt.Sprintf("%d bytes, more than %d", r.Len, int64(maxUnit))}
		}
		if !r.Coded { // runs of plain data may reach far beyond the window
			lo, hi := max(r.Off, off), min(r.Off+r.Len, off+n)
			r.SrcOff += lo - r.Off
			r.Off, r.Len, r.SrcLen = lo, hi-lo, hi-lo
		}
		w.runs = append(w.runs, r)
	}
	return nil
}

// split returns the runs that touch [lo, hi), and those that the next block needs.
func split(rs []diskimage.Run, lo, hi int64) (mine, rest []diskimage.Run) {
	for len(rs) > 0 && rs[0].Off+rs[0].Len <= lo {
		rs = rs[1:]
	}
	n := 0
	for n < len(rs) && rs[n].Off < hi {
		n++
	}
	mine, rest = rs[:n], rs[n:]
	if n > 0 && mine[n-1].Off+mine[n-1].Len > hi {
		rest = rs[n-1:]
	}
	return mine, rest
}

// block assembles one block of which the disk holds n bytes, and puts it unless
// it is all zero.
func (w *worker) block(ctx context.Context, index, n int64, rs []diskimage.Run, c *Counts) error {
	slot, err := w.sink.Slot(ctx)
	if err != nil {
		return err
	}
	put := false
	defer func() { // even when a decoder panics
		if !put {
			w.sink.Return(slot)
		}
	}()
	p := slot.Payload()
	if err := w.fill(p, index*block.Size, n, rs, c); err != nil {
		return err
	}
	if block.IsZero(p) {
		c.Zero++
		return nil
	}
	put = true
	return w.sink.Put(ctx, index, slot)
}

// fill writes the block at disk offset lo into p, with zeros where no run is.
func (w *worker) fill(p []byte, lo, n int64, rs []diskimage.Run, c *Counts) error {
	at := int64(0)
	for _, r := range rs {
		from, to := max(r.Off-lo, 0), min(r.Off+r.Len-lo, n)
		clear(p[at:from])
		at = to
		c.Done += to - from
		if err := w.run(p[from:to], lo+from, r, c); err != nil {
			return err
		}
	}
	clear(p[at:])
	return nil
}

// run writes the bytes of r from disk offset off into dst.
func (w *worker) run(dst []byte, off int64, r diskimage.Run, c *Counts) error {
	if !r.Coded && w.gather {
		copy(dst, w.spans.of(r)[off-r.Off:])
		return nil
	}
	if !r.Coded {
		if err := readFull(r.Src, dst, r.SrcOff+off-r.Off); err != nil {
			return err
		}
		c.Source += int64(len(dst))
		return nil
	}
	d := w.disk.(diskimage.RunDisk)
	if int64(len(dst)) == r.Len {
		return d.Decode(r, dst, w.spans.of(r))
	}
	if w.unitR.Len == 0 || w.unitR.Off != r.Off {
		if int64(cap(w.unit)) < r.Len {
			w.unit = make([]byte, r.Len)
		}
		w.unit = w.unit[:r.Len]
		w.unitR = diskimage.Run{}
		if err := d.Decode(r, w.unit, w.spans.of(r)); err != nil {
			return err
		}
		w.unitR = r
	}
	copy(dst, w.unit[off-r.Off:])
	return nil
}

// spans are the source ranges that hold the coded runs of a window, or all of its runs,
// each read at once.
type spans struct {
	list []span
	buf  []byte
}

type span struct {
	src    io.ReaderAt
	off, n int64 // bytes in src
	at     int64 // where it lies in buf
}

// plan joins the coded runs, or all, into spans and returns the bytes they need.
func (s *spans) plan(rs []diskimage.Run, all bool) (need int64) {
	s.list = s.list[:0]
	for _, r := range rs {
		if r.Coded || all {
			s.list = append(s.list, span{src: r.Src, off: r.SrcOff, n: r.SrcLen})
		}
	}
	if len(s.list) == 0 {
		return 0
	}
	byOff := func(a, b span) int { return cmp.Compare(a.off, b.off) }
	if !slices.IsSortedFunc(s.list, byOff) {
		slices.SortFunc(s.list, byOff)
	}
	out, waste := s.list[:1], int64(0)
	for _, x := range s.list[1:] {
		last := &out[len(out)-1]
		gap := max(0, x.off-last.off-last.n)
		if x.src == last.src && gap <= maxGap && waste+gap <= maxWaste {
			waste += gap
			last.n = max(last.n, x.off+x.n-last.off)
			continue
		}
		out = append(out, x)
	}
	s.list = out
	for i := range s.list {
		s.list[i].at = need
		need += s.list[i].n
	}
	return need
}

// read fetches the spans.
func (s *spans) read() error {
	need := s.bytes()
	if int64(cap(s.buf)) < need {
		s.buf = make([]byte, need+need/4)
	}
	for _, x := range s.list {
		if err := readFull(x.src, s.buf[x.at:x.at+x.n], x.off); err != nil {
			return err
		}
	}
	return nil
}

func (s *spans) bytes() int64 {
	if len(s.list) == 0 {
		return 0
	}
	last := s.list[len(s.list)-1]
	return last.at + last.n
}

// of returns the source bytes of a coded run of the plan.
func (s *spans) of(r diskimage.Run) []byte {
	for _, x := range s.list {
		if x.src == r.Src && r.SrcOff >= x.off && r.SrcOff+r.SrcLen <= x.off+x.n {
			at := x.at + r.SrcOff - x.off
			return s.buf[:cap(s.buf)][at : at+r.SrcLen]
		}
	}
	return nil // not planned: Decode refuses it
}

// SourceError is a read of the source that failed, as opposed to a fault of the
// image.
type SourceError struct {
	Off int64 // bytes
	Len int
	Err error
}

func (e *SourceError) Error() string {
	return fmt.Sprintf("ingest: reading %d bytes of the source at %#x: %v", e.Len, e.Off, e.Err)
}

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &SourceError{off, len(p), err}
}
