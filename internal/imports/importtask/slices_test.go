package importtask_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// registering is a store that says what each transaction registers.
type registering struct {
	importtask.Store
	blocks []int
	lose   func(slice int) loss
}

// loss says what of a transaction is lost.
type loss int

const (
	nothing loss = iota
	theTransaction
	theAnswer
)

var errPassing = errors.New("a passing fault")

func (r *registering) note(x importtask.RangeResult) loss {
	n := 0
	for _, p := range x.Packs {
		n += len(p.Blocks)
	}
	r.blocks = append(r.blocks, n)
	if r.lose == nil {
		return nothing
	}
	return r.lose(len(r.blocks))
}

func (r *registering) FinishSlice(ctx context.Context, l work.Lease, x importtask.RangeResult, done int64) error {
	lost := r.note(x)
	if lost == theTransaction {
		return errPassing
	}
	err := r.Store.FinishSlice(ctx, l, x, done)
	if lost == theAnswer {
		err = errors.Join(err, errPassing)
	}
	return err
}

func (r *registering) FinishRange(ctx context.Context, l work.Lease, x importtask.RangeResult) (work.Lease, bool, error) {
	_ = r.note(x)
	return r.Store.FinishRange(ctx, l, x)
}

// patchy is a disk of six pages with two blocks in each, which takes no memory.
type patchy struct{}

func (patchy) Size() int64 { return 6 * snapshot.PageBlocks * block.Size }

// blocks returns the indexes of its blocks.
func (patchy) blocks() (at []int64) {
	for page := range int64(6) {
		at = append(at, page*snapshot.PageBlocks, page*snapshot.PageBlocks+7)
	}
	return at
}

func (d patchy) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	return func(yield func(diskimage.Extent, error) bool) {
		for _, i := range d.blocks() {
			lo, hi := max(i*block.Size, off), min((i+1)*block.Size, off+n)
			if lo < hi && !yield(diskimage.Extent{Off: lo, Len: hi - lo, Kind: diskimage.Data}, nil) {
				return
			}
		}
	}
}

// ReadAt reads whole blocks, each of which begins with its index.
func (patchy) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	binary.BigEndian.PutUint64(p, uint64(off/block.Size)+1<<32)
	return len(p), nil
}

// sliced returns an engine that imports a patchy disk as one range, in slices of up to
// five blocks.
func sliced(t *testing.T) (*engine, *registering) {
	t.Helper()
	e := newEngine(t, make([]byte, 8))
	e.SetDetect(func(io.ReaderAt, int64, detect.Options) (diskimage.Disk, error) { return patchy{}, nil })
	e.Slice.Blocks = 5
	r := &registering{Store: e.Store}
	e.Store = r
	e.accept()
	e.step(work.Plan)
	return e, r
}

// isPatchy checks that the import made a snapshot of a patchy disk, and that its blocks
// were counted once.
func (e *engine) isPatchy() {
	e.t.Helper()
	task := e.task()
	if c := task.Counts; task.State != importtask.Completed || len(task.Ranges) != 1 || c.Data != 12 || c.Done != task.Ranges[0].Bytes || c.Deduplicated != 0 {
		e.t.Fatalf("%s, %d ranges, counts %+v\n%s", task.State, len(task.Ranges), c, e.logged.String())
	}
	rec, err := e.db.Snapshots().Get(e.t.Context(), home.Region, task.SnapshotID)
	if err != nil {
		e.t.Fatal(err)
	}
	blocks, err := e.library.Open(e.t.Context(), rec)
	if err != nil {
		e.t.Fatal(err)
	}
	var got []int64
	buf, want := make([]byte, frame.Size), make([]byte, block.Size)
	for b, err := range blocks.From(e.t.Context(), 0) {
		if err != nil {
			e.t.Fatal(err)
		}
		got = append(got, b.Index)
		_, _ = patchy{}.ReadAt(want, b.Index*block.Size)
		if data, _, err := blocks.Get(e.t.Context(), b.Index, buf); err != nil || !bytes.Equal(data, want) {
			e.t.Errorf("block %d is not the image's: %v", b.Index, err)
		}
	}
	if d := cmp.Diff(patchy{}.blocks(), got); d != "" {
		e.t.Errorf("blocks (-want +got):\n%s", d)
	}
}

func TestALargeRangeIsDoneInSlices(t *testing.T) {
	e, r := sliced(t)
	for e.step(work.Range, work.Publish) {
	}
	e.isPatchy()
	for _, n := range r.blocks {
		if n > 5 {
			t.Errorf("the transactions registered %d blocks, want 5 at most", r.blocks)
		}
	}
	if len(r.blocks) != 3 {
		t.Errorf("%d transactions, want 3", len(r.blocks))
	}
}

// TestAnInterruptedRangeGoesOn: what earlier slices registered is neither ingested
// nor counted again, whether the transaction of the next one was lost or its answer.
func TestAnInterruptedRangeGoesOn(t *testing.T) {
	for _, c := range []struct {
		name string
		lost loss
		want int // slices begun
	}{{"the transaction is lost", theTransaction, 4}, {"the answer is lost", theAnswer, 3}} {
		t.Run(c.name, func(t *testing.T) {
			e, r := sliced(t)
			r.lose = func(slice int) loss {
				if slice == 2 {
					return c.lost
				}
				return nothing
			}
			for e.step(work.Range, work.Publish) {
				later := e.runner.Now().Add(time.Minute)
				e.runner.Now = func() time.Time { return later }
			}
			e.isPatchy()
			if len(r.blocks) != c.want {
				t.Errorf("%d slices were begun, want %d", len(r.blocks), c.want)
			}
		})
	}
}
