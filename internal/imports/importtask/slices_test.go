package importtask_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
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

// sliced returns an engine that imports an image of three pages, with two blocks in
// each, as one range of slices with up to three blocks.
func sliced(t *testing.T) (*engine, *registering, []byte) {
	t.Helper()
	image := make([]byte, 3*snapshot.PageBlocks*block.Size)
	var filled []int64
	for page := range 3 {
		for i := range 2 {
			at := (page*snapshot.PageBlocks + 7*i) * block.Size
			image[at], image[at+1] = byte(page+1), byte(i)
			filled = append(filled, int64(at))
		}
	}
	copy(image[510:], "\x55\xAA")
	e := newEngine(t, image)
	e.object.filled = filled
	e.Slice.Blocks = 3
	r := &registering{Store: e.Store}
	e.Store = r
	e.accept()
	e.step(work.Plan)
	return e, r, image
}

func TestALargeRangeIsDoneInSlices(t *testing.T) {
	e, r, image := sliced(t)
	for e.step(work.Range, work.Publish) {
	}
	task := e.completed(image)
	if c := task.Counts; len(task.Ranges) != 1 || c.Data != 6 || c.Done != task.Ranges[0].Bytes || c.Deduplicated != 0 {
		t.Errorf("%d ranges, counts %+v", len(task.Ranges), c)
	}
	for _, n := range r.blocks {
		if n > 3 {
			t.Errorf("the transactions registered %d blocks, want 3 at most", r.blocks)
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
			e, r, image := sliced(t)
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
			if n := e.completed(image).Counts; n.Data != 6 || n.Done != e.task().Ranges[0].Bytes || n.Deduplicated != 0 {
				t.Errorf("counts %+v", n)
			}
			if len(r.blocks) != c.want {
				t.Errorf("%d slices were begun, want %d", len(r.blocks), c.want)
			}
		})
	}
}
