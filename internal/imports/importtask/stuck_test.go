package importtask_test

import (
	"errors"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/work"
)

// endless is a disk whose decoder does not return from some calls, whatever its context
// says, until the test is over.
type endless struct {
	diskimage.Disk
	over           <-chan struct{}
	extents, reads *atomic.Bool
}

func (d endless) Extents(off, n int64) iter.Seq2[diskimage.Extent, error] {
	if d.extents.Load() {
		<-d.over
	}
	return d.Disk.Extents(off, n)
}

func (d endless) ReadAt(p []byte, off int64) (int, error) {
	if d.reads.Load() && off >= 100*block.Size {
		<-d.over
	}
	return d.Disk.ReadAt(p, off)
}

// TestADecoderThatNeverReturnsFailsItsTask at every step that looks into an image, and
// keeps nothing that others need.
func TestADecoderThatNeverReturnsFailsItsTask(t *testing.T) {
	image := disk(136) // more than a plan goes on with by itself
	for _, c := range []struct {
		name  string
		plant func(e *engine, over <-chan struct{})
		most  time.Duration // until the task has failed
	}{
		{"detection", func(e *engine, over <-chan struct{}) {
			e.SetDetect(func(io.ReaderAt, int64, detect.Options) (diskimage.Disk, error) {
				<-over
				return nil, errors.New("over")
			})
		}, time.Minute},
		{"unpacking", func(e *engine, over <-chan struct{}) {
			e.SetDetect(func(_ io.ReaderAt, _ int64, o detect.Options) (diskimage.Disk, error) {
				if _, err := o.Scratch.Create(); err != nil { // in the lane of plans
					return nil, err
				}
				<-over
				return nil, errors.New("over")
			})
		}, time.Hour},
		{"planning", func(e *engine, over <-chan struct{}) { e.plantEndless(over, true, false) }, time.Minute},
		{"cutting a range into slices", func(e *engine, over <-chan struct{}) {
			extents := e.plantEndless(over, false, false)
			e.step(work.Plan)
			extents.Store(true)
		}, 2 * time.Hour},
		{"reading", func(e *engine, over <-chan struct{}) { e.plantEndless(over, false, true) }, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, image)
				over := make(chan struct{})
				t.Cleanup(func() { close(over); synctest.Wait() })
				e.accept()
				began := time.Now()
				c.plant(e, over)
				for e.step(everything...) {
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %v, want at most %v", took, c.most)
				}
				e.failed("decoder-stuck")

				e.SetDetect(detect.Open)
				const other = "import-snap-0123456789abcdef1"
				e.acceptAs(other)
				for e.step(everything...) {
				}
				task, err := e.Store.Get(t.Context(), home, other)
				if err != nil || task.State != importtask.Completed {
					t.Fatalf("the next import is %s, %+v, %v", task.State, task.Failure, err)
				}
				if why, ok := e.right(task.SnapshotID, image); !ok {
					t.Error(why)
				}
			})
		})
	}
}

// plantEndless makes calls of decoders endless.
func (e *engine) plantEndless(over <-chan struct{}, inExtents, inReads bool) (extents *atomic.Bool) {
	var reads atomic.Bool
	extents = new(atomic.Bool)
	extents.Store(inExtents)
	reads.Store(inReads)
	e.SetDetect(func(r io.ReaderAt, size int64, o detect.Options) (diskimage.Disk, error) {
		d, err := detect.Open(r, size, o)
		return endless{d, over, extents, &reads}, err
	})
	return extents
}

// TestASourceThatBlocksIsNotADecoderThatDoes: a file on a disk that hangs keeps its reader
// whatever the context says.
func TestASourceThatBlocksIsNotADecoderThatDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := disk(8)
		e := newEngine(t, image)
		hangs, back := make(chan struct{}, 1), make(chan struct{})
		hangs <- struct{}{}
		e.object.before = func() {
			select {
			case <-hangs: // once
				<-back
			default:
			}
		}
		time.AfterFunc(5*time.Minute, func() { close(back) })
		e.accept()
		for e.step(everything...) {
		}
		e.completed(image)
		time.Sleep(10 * time.Minute)
	})
}

// TestNoImageIsLookedIntoWhileTooManyDecodersAreLeftBehind: its units wait, say why, and go
// on once a decoder has returned after all.
func TestNoImageIsLookedIntoWhileTooManyDecodersAreLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := disk(8)
		e := newEngine(t, image)
		e.Images.Strays = work.NewStrays(1)
		over := make(chan struct{})
		e.SetDetect(func(io.ReaderAt, int64, detect.Options) (diskimage.Disk, error) {
			<-over
			return nil, errors.New("over")
		})
		e.accept()
		for e.step(everything...) {
		}
		e.failed("decoder-stuck")

		e.SetDetect(detect.Open)
		const other = "import-snap-0123456789abcdef1"
		e.acceptAs(other)
		look := func() importtask.Task {
			task, err := e.Store.Get(t.Context(), home, other)
			if err != nil {
				t.Fatal(err)
			}
			return task
		}
		e.step(work.Plan)
		if w := look().Waiting; !strings.HasPrefix(w.For, "decoders: 1 step") || look().State != importtask.Active {
			t.Fatalf("the next import waits for %q, and is %s", w.For, look().State)
		}
		close(over)
		for look().State != importtask.Completed {
			time.Sleep(time.Minute)
			if !e.step(everything...) {
				t.Fatalf("it does not go on: %+v", look())
			}
		}
		if why, ok := e.right(look().SnapshotID, image); !ok {
			t.Error(why)
		}
	})
}
