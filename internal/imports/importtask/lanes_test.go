package importtask_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/work"
)

// restart does what a restart does to an engine: what it had open and unpacked is gone,
// and so are its leases.
func (e *engine) restart() {
	e.t.Helper()
	if err := errors.Join(e.Close(), e.db.Work().ExpireAll(e.t.Context())); err != nil {
		e.t.Fatal(err)
	}
}

// counted counts the images that are being unpacked.
type counted struct {
	scratch.Dir
	n *int
}

func (c counted) Create() (diskimage.ScratchFile, error) { *c.n++; return c.Dir.Create() }

// full returns a raw disk whose plan goes on with no range: 68 MiB without a hole.
func full() []byte {
	d := make([]byte, 136*block.Size)
	for i := range 136 {
		copy(d[i*block.Size:], bytes.Repeat([]byte{byte(i + 1)}, block.Size))
	}
	copy(d[510:], "\x55\xAA")
	return d
}

// TestARangeDoesNotUnpack: after a restart the image is unpacked by a unit of its own
// once more, once for all its ranges, while the lanes of ranges do others.
func TestARangeDoesNotUnpack(t *testing.T) {
	image := full()
	e := newEngine(t, packed(t, image))
	unpacked := 0
	e.Images.Scratch = counted{e.Images.Scratch.(scratch.Dir), &unpacked}
	e.accept()
	e.step(work.Plan)
	e.step(work.Unpack)
	if task := e.task(); len(task.Ranges) != 1 || unpacked != 1 {
		t.Fatalf("%d ranges, unpacked %d times", len(task.Ranges), unpacked)
	}
	e.restart()
	if !e.step(work.Range) || unpacked != 1 {
		t.Errorf("the lane of ranges unpacked the image")
	}
	if e.step(work.Range) {
		t.Error("the lane of ranges did not wait for the image")
	}
	if task := e.task(); task.Retry != (importtask.Retry{}) || task.Counts != (importtask.Counts{}) {
		t.Errorf("that counts: %+v, %+v", task.Retry, task.Counts)
	}
	if !e.step(work.Unpack) || unpacked != 2 {
		t.Fatalf("unpacked %d times, want once more", unpacked)
	}
	if c := e.task().Counts; c != (importtask.Counts{}) {
		t.Errorf("the lane of unpacking did a range: %+v", c)
	}
	e.step(work.Range)
	if e.completed(image); unpacked != 2 {
		t.Errorf("unpacked %d times", unpacked)
	}
}

// TestARangeThatKillsItsProcess is poison also when its image has to be unpacked each
// time before.
func TestARangeThatKillsItsProcess(t *testing.T) {
	e := newEngine(t, packed(t, full()))
	e.accept()
	e.step(work.Plan)
	e.step(work.Unpack)
	die := func() {
		t.Helper()
		if l, ok, err := e.db.Work().Claim(t.Context(), work.Claimer{Owner: "dies", Kinds: []work.Kind{work.Range}}, time.Now()); err != nil || !ok {
			t.Fatalf("claimed %+v, %v, %v", l, ok, err)
		}
		e.restart()
	}
	const unpackings = 2
	for range work.MaxClaims - unpackings {
		die()
	}
	for range unpackings {
		e.step(work.Range) // finds out that the image is gone
		e.step(work.Unpack)
		die()
	}
	e.step(work.Range)
	e.failed("poison")
}

// farAway is a source that does not answer until it is told to, or its reader leaves.
type farAway struct {
	importtask.Opener
	slow  map[string]bool // ids of pins
	asked func()
}

func (s farAway) Open(ctx context.Context, p source.Pin) (source.Object, error) {
	if !s.slow[p.ID] {
		return s.Opener.Open(ctx, p)
	}
	s.asked()
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowPlansGiveWay to those of others, and are made in lanes of their own.
func TestSlowPlansGiveWay(t *testing.T) {
	image := disk(8)
	e := newEngine(t, image)
	slow := []string{"import-snap-00000000000000001", "import-snap-00000000000000002"}
	far := farAway{Opener: e.Images.Sources, slow: map[string]bool{slow[0]: true, slow[1]: true}}
	var limits []time.Duration
	ends := make(chan func(), 1)
	e.SetLimit(func(d time.Duration, end func()) {
		limits = append(limits, d)
		select {
		case <-ends:
		default:
		}
		ends <- end
	})
	far.asked = func() { (<-ends)() } // its time is over once it is waited for
	e.Images.Sources = far
	for _, id := range slow {
		e.acceptAs(id)
	}
	e.accept()
	for range slow {
		if !e.step(work.Plan) {
			t.Fatal("nothing to plan")
		}
	}
	e.step(work.Plan) // the third one, in the same lane
	e.completed(image)
	for _, id := range slow {
		task, err := e.Store.Get(t.Context(), home, id)
		if err != nil || task.State != importtask.Active || task.Retry != (importtask.Retry{}) {
			t.Errorf("%s: %+v, %v", id, task, err)
		}
	}
	if e.step(work.Plan, work.Publish, work.Cleanup) {
		t.Error("a slow plan is still in the lane of the others")
	}
	far.slow[slow[0]] = false // it answers now
	e.step(work.Survey)
	if task, err := e.Store.Get(t.Context(), home, slow[0]); err != nil || task.State != importtask.Completed {
		t.Errorf("%s: %+v, %v", slow[0], task, err)
	}
	for range work.MaxFailures { // the other one never does
		e.step(work.Survey)
		later := e.runner.Now().Add(time.Hour)
		e.runner.Now = func() time.Time { return later }
	}
	if task, err := e.Store.Get(t.Context(), home, slow[1]); err != nil || task.Failure.Reason != "source-slow" {
		t.Errorf("%s: %+v, %v", slow[1], task, err)
	}
	if limits[0] > time.Minute || limits[len(limits)-1] < time.Minute {
		t.Errorf("the lanes wait for %v", limits)
	}
}

// TestUnpackingWaitsForScratch: room that other images take comes back, and so does that of
// a disk that has become full. An image that is larger than all the room there may be fails
// by name.
func TestUnpackingWaitsForScratch(t *testing.T) {
	image := disk(8)
	for name, c := range map[string]struct {
		quota, others int64
		full          bool // the disk
		waits, hint   string
	}{
		"others unpack":                  {8 << 20, 8<<20 - 1, false, "space to unpack: unpacked images may take 8 MiB (--quota-scratch), of which other images take 7 MiB", ""},
		"the disk fills":                 {0, 0, true, "space: 5 MiB needed, 3 MiB free in /data", ""},
		"more than the quota":            {4096, 0, false, "", "raise --quota-scratch"},
		"more than the disk may give it": {0, 0, false, "", "free space in the data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, packed(t, image))
			e.accept()
			e.step(work.Plan)
			room := &scratch.Room{Quota: c.quota}
			e.Images.Scratch = scratch.Dir{Path: e.dir, Room: room, Free: func() (int64, error) {
				if c.full { // since the plan began
					e.room.full = &space.FullError{Dir: "/data", Need: 64 << 20, Free: 3 << 20}
				}
				if c.quota == 0 {
					return 0, nil
				}
				return 1 << 41, nil
			}}
			other := occupy(t, room, c.others)
			e.step(work.Unpack)
			task := e.task()
			if task.Waiting.For != c.waits || (c.waits == "") != (task.State != importtask.Active) || !strings.Contains(task.Failure.Hint, c.hint) {
				t.Fatalf("it is %s, %+v, and waits for %q; want %q, %q", task.State, task.Failure, task.Waiting.For, c.waits, c.hint)
			}
			if c.waits == "" {
				return
			}
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			e.room.full = nil
			e.Images.Scratch = scratch.Dir{Path: e.dir, Room: room}
			at := e.runner.Now().Add(time.Minute)
			e.runner.Now = func() time.Time { return at }
			e.step(everything...)
			e.completed(image)
			if e.Close(); room.Used() != 0 {
				t.Errorf("%d bytes count as taken at the end", room.Used())
			}
		})
	}
}

// occupy takes n bytes of the room for a file.
func occupy(t *testing.T, room *scratch.Room, n int64) diskimage.ScratchFile {
	t.Helper()
	f, err := scratch.Dir{Path: t.TempDir(), Room: room}.Create()
	if err == nil && n > 0 {
		_, err = f.WriteAt(make([]byte, n), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestUnpackingOnceMoreWaitsForSpace: the import had room for its image before, so a
// disk that is full by now is no reason to end it.
func TestUnpackingOnceMoreWaitsForSpace(t *testing.T) {
	image := full()
	for name, fill := range map[string]func(e *engine, full bool){
		"full before": func(e *engine, full bool) {
			if e.room.full = nil; full {
				e.room.full = &space.FullError{Dir: "/data", Need: 64 << 20, Free: 3 << 20}
			}
		},
		"full meanwhile": func(e *engine, full bool) {
			e.Images.Scratch = scratch.Dir{Path: e.dir, Free: func() (int64, error) {
				if full {
					return 0, nil
				}
				return 1 << 40, nil
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, packed(t, image))
			e.accept()
			e.step(work.Plan)
			e.step(work.Unpack)
			e.restart()
			e.step(work.Range) // finds out that what was unpacked is gone
			fill(e, true)
			e.step(work.Unpack)
			if task := e.task(); task.State != importtask.Active || task.Waiting.For == "" {
				t.Fatalf("it is %s, %+v, and waits for %q", task.State, task.Failure, task.Waiting.For)
			}
			fill(e, false)
			at := e.runner.Now().Add(time.Minute)
			e.runner.Now = func() time.Time { return at }
			e.step(work.Unpack)
			e.step(work.Range)
			e.completed(image)
		})
	}
}
