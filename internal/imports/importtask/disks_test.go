package importtask

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/imports/source"
)

// fakeDisk counts how it is closed. Without scratch it is not an io.Closer.
type fakeDisk struct{ diskimage.Disk }

type unpackedDisk struct {
	fakeDisk
	closed *atomic.Int64
}

func (d unpackedDisk) Close() error { d.closed.Add(1); return nil }

type fakeObject struct {
	source.Object
	closed *atomic.Int64
}

func (o fakeObject) Close() error { o.closed.Add(1); return nil }

// opening counts what happens to the image of a test.
type opening struct {
	disks
	open                               openFunc
	opened, disksClosed, objectsClosed atomic.Int64
	unpacked                           bool
	err                                error
	gate                               chan struct{} // nil: open
}

func newOpening(unpacked bool) *opening {
	o := &opening{unpacked: unpacked}
	o.open = func(ctx context.Context, _ Task) (diskimage.Disk, source.Object, error) {
		o.opened.Add(1)
		if o.gate != nil {
			select {
			case <-o.gate:
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
		}
		var d diskimage.Disk = fakeDisk{}
		if o.unpacked {
			d = unpackedDisk{closed: &o.disksClosed}
		}
		return d, fakeObject{closed: &o.objectsClosed}, o.err
	}
	return o
}

func (o *opening) get(t *testing.T) use {
	t.Helper()
	d, err := o.acquire(t.Context(), Task{ID: "t"}, o.open)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (o *opening) want(t *testing.T, what string, opened, closed int64) {
	t.Helper()
	if o.opened.Load() != opened || o.objectsClosed.Load() != closed {
		t.Errorf("%s: opened %d times, closed %d times; want %d and %d", what, o.opened.Load(), o.objectsClosed.Load(), opened, closed)
	}
}

func TestAnImageIsOpenWhileItIsUsed(t *testing.T) {
	o := newOpening(false)
	a, b := o.get(t), o.get(t)
	o.release(a)
	o.want(t, "one of two left", 1, 0)
	o.release(b)
	o.want(t, "nobody uses it", 1, 1)
	o.release(o.get(t))
	o.want(t, "used again", 2, 2)
}

func TestAnUnpackedImageStaysForItsNextRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(true)
		o.release(o.get(t))
		time.Sleep(keepUnpacked / 2)
		o.release(o.get(t))
		time.Sleep(keepUnpacked * 3 / 4)
		o.want(t, "used meanwhile", 1, 0)
		time.Sleep(keepUnpacked)
		synctest.Wait()
		o.want(t, "left alone", 1, 1)
		o.release(o.get(t))
		o.drop("t")
		o.want(t, "its task is over", 2, 2)
		d := o.get(t)
		o.drop("t")
		o.want(t, "over while it is used", 3, 2)
		o.release(d)
		o.want(t, "its last user left", 3, 3)
		o.release(o.get(t))
		o.close()
		if o.want(t, "the service ends", 4, 4); o.disksClosed.Load() != 4 {
			t.Errorf("scratch room was given back %d times", o.disksClosed.Load())
		}
	})
}

// TestWhoComesFirstMayLeave: when the user that began opening leaves, it goes on
// for the others.
func TestWhoComesFirstMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(true)
		o.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var first error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = o.acquire(ctx, Task{ID: "t"}, o.open) })
		synctest.Wait()
		var second use
		wg.Go(func() { second = o.get(t) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(o.gate)
		wg.Wait()
		if !errors.Is(first, context.Canceled) || second.openDisk == nil {
			t.Fatalf("got %v and %v", first, second.openDisk)
		}
		o.release(second)
		o.drop("t")
		o.want(t, "in the end", 1, 1)
	})
}

// TestOpeningEndsWithItsLastUser: no user is left that waits for it.
func TestOpeningEndsWithItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(true)
		o.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		if _, err := o.acquire(ctx, Task{ID: "t"}, o.open); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		o.want(t, "given up", 1, 0)
	})
}

// TestReadsEndWithTheLastJob: a source that does not answer holds up no job that
// has ended.
func TestReadsEndWithTheLastJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(false)
		var reading context.Context
		open := o.open
		o.open = func(ctx context.Context, t Task) (diskimage.Disk, source.Object, error) {
			reading = ctx
			return open(ctx, t)
		}
		one, endOne := context.WithCancel(t.Context())
		two, endTwo := context.WithCancel(t.Context())
		a, err1 := o.acquire(one, Task{ID: "t"}, o.open)
		b, err2 := o.acquire(two, Task{ID: "t"}, o.open)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		endOne()
		synctest.Wait()
		if reading.Err() != nil {
			t.Error("the reads of a job ended with another job")
		}
		endTwo()
		synctest.Wait()
		if reading.Err() == nil {
			t.Error("reads go on when every job has ended")
		}
		o.release(o.get(t))
		o.want(t, "opened anew", 2, 1)
		o.release(a)
		o.release(b)
		o.want(t, "in the end", 2, 2)
	})
}

func TestAnImageThatCannotBeOpened(t *testing.T) {
	o := newOpening(true)
	o.err = errors.New("damaged")
	for range 2 {
		if _, err := o.acquire(t.Context(), Task{ID: "t"}, o.open); !errors.Is(err, o.err) {
			t.Errorf("got %v", err)
		}
	}
	o.want(t, "tried twice", 2, 0)
}

// TestAnUnpackedImageIsClosedWhenItsJobEndsAsItIsReleased: the end of the job is
// noticed by the release, which keeps the image, and only then by abandon.
func TestAnUnpackedImageIsClosedWhenItsJobEndsAsItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(true)
		ctx, cancel := context.WithCancel(t.Context())
		u, err := o.acquire(ctx, Task{ID: "t"}, o.open)
		if err != nil {
			t.Fatal(err)
		}
		stop := u.stop
		u.stop = func() bool { cancel(); return stop() }
		o.release(u)
		synctest.Wait()
		o.want(t, "after the end of its only job", 1, 1)
	})
}

// TestUnpackingIsNotLooking: who unpacks an image does not get the answer of somebody
// who looks whether it has to be; who looks afterwards gets what was unpacked.
func TestUnpackingIsNotLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpening(true)
		gate := make(chan struct{})
		looks := 0
		look := func(context.Context, Task) (diskimage.Disk, source.Object, error) {
			looks++
			<-gate
			return nil, nil, errPacked
		}
		var looked error
		var wg sync.WaitGroup
		wg.Go(func() { _, looked = o.acquire(t.Context(), Task{ID: "t"}, look) })
		synctest.Wait()
		unpacked, err := o.unpack(t.Context(), Task{ID: "t"}, o.open)
		if err != nil {
			t.Fatal(err)
		}
		close(gate)
		wg.Wait()
		if !errors.Is(looked, errPacked) {
			t.Errorf("got %v", looked)
		}
		again, err := o.acquire(t.Context(), Task{ID: "t"}, look)
		if err != nil || looks != 1 {
			t.Fatalf("looked %d times, %v", looks, err)
		}
		o.release(again)
		o.release(unpacked)
		o.want(t, "it stays for the next", 1, 0)
		o.drop("t")
		o.want(t, "its task is over", 1, 1)
	})
}
