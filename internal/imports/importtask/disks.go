package importtask

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/work"
)

// keepUnpacked is how long an unpacked image stays open when no job uses it. Its
// next range may have to wait for those of other accounts, and unpacking it again
// would cost as much as the whole import.
const keepUnpacked = 10 * time.Minute

// disks are the images that this node has open, each of them once, however many of
// its ranges are in work.
type disks struct {
	mu     sync.Mutex // guards images and the fields of openDisk that say so
	images map[diskKey]*openDisk
}

// diskKey names an image. One that is being unpacked is another than the same one that
// somebody opens to see whether it has to be.
type diskKey struct {
	task     string
	unpacked bool
}

// openFunc opens the image of a task, and the object that it reads.
type openFunc func(ctx context.Context, t Task) (diskimage.Disk, source.Object, error)

// openDisk is the image of a task. disk, object and err are set when ready is closed.
type openDisk struct {
	key    diskKey
	disk   diskimage.Disk
	object source.Object
	err    error
	ready  chan struct{}
	cancel context.CancelFunc // ends opening and reading

	users int         // guarded by disks.mu
	live  int         // of them, those whose job has not ended; guarded by disks.mu
	idle  *time.Timer // guarded by disks.mu; closes it after keepUnpacked; nil: it is in use
}

// use is one job's use of an image.
type use struct {
	*openDisk
	stop func() bool // of the context.AfterFunc that calls abandon
}

// acquire returns the image of a task, which the caller releases; open opens it if
// it is not open on this node, unpacked or not. When the contexts of all its users have
// ended, reads of it end too.
func (d *disks) acquire(ctx context.Context, t Task, open openFunc) (use, error) {
	return d.get(ctx, d.find(t.ID), t, open)
}

// unpack is acquire with an open that may unpack the image, which takes long.
func (d *disks) unpack(ctx context.Context, t Task, open openFunc) (use, error) {
	return d.get(ctx, diskKey{t.ID, true}, t, open)
}

// find returns the key under which the image of a task is open or to be opened.
func (d *disks) find(task string) diskKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := diskKey{task, true}
	if d.images[key] == nil {
		key.unpacked = false
	}
	return key
}

func (d *disks) get(ctx context.Context, key diskKey, t Task, open openFunc) (use, error) {
	o := d.join(ctx, key, t, open)
	u := use{o, context.AfterFunc(ctx, func() { d.abandon(o) })}
	select {
	case <-o.ready:
	case <-ctx.Done():
		d.release(u)
		return use{}, o.left(ctx.Err())
	}
	if o.err != nil {
		d.release(u)
		return use{}, o.err
	}
	return u, nil
}

// left is the error of a user that did not wait for the image any more: err, or that the
// decoder is stuck, if the user was the last one, which waits for that.
func (o *openDisk) left(err error) error {
	select {
	case <-o.ready:
		if stuck := (*work.StuckError)(nil); errors.As(o.err, &stuck) {
			return o.err
		}
	default:
	}
	return err
}

// abandon notes that the job of a user has ended, while it may still read. If the
// user has released the image meanwhile, and it was kept for its next range,
// abandon closes it, since nothing else will.
func (d *disks) abandon(o *openDisk) {
	d.mu.Lock()
	unused := false
	if o.live--; o.live == 0 {
		if d.images[o.key] == o {
			delete(d.images, o.key)
		}
		unused = o.idle != nil && o.idle.Stop()
		o.idle = nil
		o.cancel()
	}
	d.mu.Unlock()
	if unused {
		o.close()
	}
}

// join makes the caller a user of the task's image; the first one opens it.
func (d *disks) join(ctx context.Context, key diskKey, t Task, open openFunc) *openDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.images[key]
	if !ok {
		o = &openDisk{key: key, ready: make(chan struct{})}
		ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it is not this job's alone
		if d.images == nil {
			d.images = map[diskKey]*openDisk{}
		}
		d.images[key] = o
		go func() { // the last user to leave waits for it
			defer close(o.ready)
			o.err = work.Guard(func() (err error) {
				o.disk, o.object, err = open(ctx, t)
				return err
			})
		}()
	}
	o.live++
	if o.users++; o.idle != nil {
		o.idle.Stop()
		o.idle = nil
	}
	return o
}

// release ends the caller's use of an image. The last one closes it, unless it
// was unpacked.
func (d *disks) release(u use) {
	o := u.openDisk
	going := u.stop()
	d.mu.Lock()
	if o.users--; going {
		o.live--
	}
	last := o.users == 0
	if last && d.images[o.key] == o && o.unpacked() {
		o.idle = time.AfterFunc(keepUnpacked, func() { d.lapse(o) })
		last = false
	} else if last && d.images[o.key] == o {
		delete(d.images, o.key)
	}
	d.mu.Unlock()
	if last {
		o.close()
	}
}

// lapse closes an image that was not used again in time.
func (d *disks) lapse(o *openDisk) {
	d.mu.Lock()
	unused := d.images[o.key] == o && o.users == 0
	if unused {
		delete(d.images, o.key)
	}
	d.mu.Unlock()
	if unused {
		o.close()
	}
}

// unpacked reports whether the image holds scratch room.
func (o *openDisk) unpacked() bool {
	select {
	case <-o.ready:
		_, ok := o.disk.(io.Closer)
		return ok && o.err == nil
	default:
		return false // it is not opened yet, and no user waits for it any more
	}
}

// unpackedNow returns the tasks whose images are unpacked on this node.
func (d *disks) unpackedNow() (tasks []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.images {
		if key.unpacked && o.unpacked() {
			tasks = append(tasks, key.task)
		}
	}
	slices.Sort(tasks)
	return tasks
}

// drop forgets the image of a task; it is closed at once or by its last user.
func (d *disks) drop(task string) {
	for _, key := range []diskKey{{task, false}, {task, true}} {
		d.mu.Lock()
		o, ok := d.images[key]
		delete(d.images, key)
		unused := ok && o.users == 0
		d.mu.Unlock()
		if unused {
			o.close()
		}
	}
}

// close drops the images that are not in use.
func (d *disks) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.images {
		if o.users == 0 {
			delete(d.images, key)
			o.idle.Stop()
			o.close()
		}
	}
}

// close closes an image that has no users, after waiting for it to be opened.
func (o *openDisk) close() {
	o.cancel()
	<-o.ready
	if o.err == nil {
		closeImage(o.disk, o.object)
	}
}
