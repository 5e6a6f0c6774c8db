package blockstore_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"

	"github.com/google/go-cmp/cmp"
)

// count returns how many steps there are of an operation.
func count(steps []blobtest.Step, op string) int {
	n := 0
	for _, s := range steps {
		if s.Op == op {
			n++
		}
	}
	return n
}

// TestOneWriteAGroup: four blocks that are new are looked up once and written
// once.
func TestOneWriteAGroup(t *testing.T) {
	r := newRig(t, frame.None, 40)
	r.stored(16)
	steps := r.journal.Steps()
	for op, want := range map[string]int{"row": 2, "create": 2, "close": 2, "write": 2 + 4 + 2, "locate": 4, "claim": 0} {
		if got := count(steps, op); got != want {
			t.Errorf("%d times %s, want %d", got, op, want)
		}
	}
}

// TestRule1: the row of a file comes before its first byte, and a lost lease
// writes none.
func TestRule1(t *testing.T) {
	r := newRig(t, frame.None, 20)
	r.stored(20)
	seen := map[string][]string{}
	for _, s := range r.journal.Steps() {
		if last := seen[s.Name]; s.Name != "" && (len(last) == 0 || last[len(last)-1] != s.Op) {
			seen[s.Name] = append(last, s.Op)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d files, want 3", len(seen))
	}
	for name, ops := range seen {
		if want := []string{"row", "create", "write", "close"}; !slices.Equal(ops, want) {
			t.Errorf("%s: %q, want %q", name, ops, want)
		}
	}

	r = newRig(t, frame.None, 20)
	r.catalog.Lose(r.lease)
	w := r.writer()
	if err := r.add(w, 0, 8, 1); !errors.Is(err, work.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if _, _, err := w.Finish(t.Context()); !errors.Is(err, work.ErrLost) {
		t.Errorf("Finish gave %v, want ErrLost", err)
	}
	if n := count(r.journal.Steps(), "create"); n != 0 {
		t.Errorf("%d files were created under a lost lease", n)
	}
}

// TestLeaseLostWhileAFileIsCreated: gc may have forgotten the row by then, so nothing may
// be written, and no file stays.
func TestLeaseLostWhileAFileIsCreated(t *testing.T) {
	for _, lose := range []string{"create", "check"} {
		t.Run("before "+lose, func(t *testing.T) {
			r := newRig(t, frame.None, 20)
			r.journal.Before = func(s blobtest.Step) error {
				if s.Op == lose {
					r.catalog.Lose(r.lease)
				}
				return nil
			}
			if _, err := r.store.NewStream(t.Context(), r.lease, blockstore.PagesFile, 1); !errors.Is(err, work.ErrLost) {
				t.Errorf("got %v, want %v", err, work.ErrLost)
			}
			if n := count(r.journal.Steps(), "write"); n > 0 {
				t.Errorf("%d writes", n)
			}
			if names := r.backend.Names(); len(names) > 0 {
				t.Errorf("left are %q", names)
			}
		})
	}
}

// TestRule2: every pack is closed when Finish returns, with all its frames and
// its trailer in it, and nothing is written to it afterwards.
func TestRule2(t *testing.T) {
	r := newRig(t, frame.None, 20)
	packs, _ := r.stored(20)
	r.journal.Note("returned", "")
	steps := r.journal.Steps()
	for _, p := range packs {
		last := slices.Index(steps, blobtest.Step{Op: "close", Name: p.File.Name()})
		if last < 0 || last > slices.Index(steps, blobtest.Step{Op: "returned"}) {
			t.Errorf("%s was not closed when Finish returned", p.File.Name())
		}
		if slices.Contains(steps[last:], blobtest.Step{Op: "write", Name: p.File.Name()}) {
			t.Errorf("%s was written after it was closed", p.File.Name())
		}
		r.checkIndex(p)
	}
}

// checkIndex compares what a pack says about itself with what was returned.
func (r *rig) checkIndex(p blockstore.ClosedPack) {
	r.t.Helper()
	got, err := blockstore.ReadPackIndex(file{r, p.File.Name()}, p.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	want := blockstore.PackIndex{File: p.File, Domain: r.domain, Blocks: p.Blocks}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("%s: %s", p.File.Name(), diff)
	}
}

// file reads one file of the back end.
type file struct {
	r    *rig
	name string
}

func (f file) ReadAt(p []byte, off int64) (int, error) {
	return f.r.backend.ReadAt(f.r.t.Context(), f.name, p, off)
}

// TestRule6: a hit is what Claim says; a repeat inside the unit needs no
// catalog.
func TestRule6(t *testing.T) {
	t.Run("stored", func(t *testing.T) {
		r := newRig(t, frame.None, 20)
		packs, _ := r.stored(8)
		for _, b := range packs[0].Blocks {
			r.catalog.Condemn(b.ID)
		}
		packs, stats := r.stored(8)
		if want := (blockstore.Stats{Blocks: 8, Deduplicated: 8}); stats != want || packs != nil {
			t.Errorf("got %+v, packs %v, want %+v", stats, packs, want)
		}
		if n := r.catalog.Condemned(); n != 0 {
			t.Errorf("%d hits stay condemned", n)
		}
	})
	t.Run("swept between locate and claim", func(t *testing.T) {
		r := newRig(t, frame.None, 20)
		packs, _ := r.stored(8)
		r.catalog.Condemn(packs[0].Blocks[3].ID, packs[0].Blocks[6].ID)
		r.journal.Before = func(s blobtest.Step) error {
			if s.Op == "claim" {
				r.catalog.Sweep()
			}
			return nil
		}
		packs, stats := r.stored(8)
		if stats.Deduplicated != 6 || len(packs) != 1 || len(packs[0].Blocks) != 2 {
			t.Errorf("got %+v, packs %v: what is gone was not written", stats, packs)
		}
		r.check(8)
	})
	t.Run("repeated", func(t *testing.T) {
		r := newRig(t, frame.None, 20)
		w := r.writer()
		defer w.Abort()
		for range 3 {
			if err := r.add(w, 0, 5, 2); err != nil {
				t.Fatal(err)
			}
		}
		packs, stats, err := w.Finish(t.Context())
		if err != nil || stats.Blocks != 15 || stats.Deduplicated != 10 || len(packs) != 1 || len(packs[0].Blocks) != 5 {
			t.Errorf("got %+v, %d packs, %v", stats, len(packs), err)
		}
	})
}

func TestNothingAdded(t *testing.T) {
	r := newRig(t, frame.None, 2)
	packs, stats, err := r.writer().Finish(t.Context())
	if err != nil || len(packs) != 0 || stats != (blockstore.Stats{}) || len(r.journal.Steps()) != 0 {
		t.Errorf("got %v, %+v, %v, steps %v", packs, stats, err, r.journal.Steps())
	}
}

// TestFewSlots: callers that wait for a slot while the slots wait for their
// group to become complete.
func TestFewSlots(t *testing.T) {
	for _, slots := range []int{1, 2, 5} {
		r := newRig(t, frame.None, slots)
		w := r.writer()
		if err := r.add(w, 0, 20, 4); err != nil {
			t.Fatal(err)
		}
		packs, stats, err := w.Finish(t.Context())
		if err != nil || stats.Blocks != 20 {
			t.Fatalf("%d slots: got %+v, %v", slots, stats, err)
		}
		r.catalog.Insert(packs...)
		r.check(20)
	}
}

// TestIdleWriter: a writer that is not being used gives its slots to another one.
func TestIdleWriter(t *testing.T) {
	r := newRig(t, frame.None, 2)
	idle, busy := r.writer(), r.writer()
	defer idle.Abort()
	defer busy.Abort()
	if err := r.add(idle, 0, 2, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.add(busy, 2, 12, 3); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*blockstore.PackWriter{idle, busy} {
		packs, _, err := w.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.catalog.Insert(packs...)
	}
	r.check(12)
}

// TestEveryStepFails makes each step fail in turn: the error comes out, nothing
// is returned, no slot and no file stay behind.
func TestEveryStepFails(t *testing.T) {
	broken := errors.New("broken")
	for fail := int32(0); ; fail++ {
		r := newRig(t, frame.None, 20)
		r.stored(1)
		files := r.backend.Names()
		var steps atomic.Int32
		var failed atomic.Bool
		r.journal.Before = func(s blobtest.Step) error {
			if s.Op == "abort" || s.Op == "remove" {
				return nil
			}
			if steps.Add(1)-1 == fail {
				failed.Store(true)
				return broken
			}
			return nil
		}
		w := r.store.NewPackWriter(t.Context(), r.lease, r.domain, r.keys)
		err := r.add(w, 0, 9, 1)
		packs, _, ferr := w.Finish(t.Context())
		if !failed.Load() {
			if err != nil || ferr != nil {
				t.Fatal(err, ferr)
			}
			if fail < 12 {
				t.Errorf("only %d steps", fail)
			}
			return
		}
		if !errors.Is(ferr, broken) || packs != nil {
			t.Errorf("step %d fails: Finish gave %d packs, %v", fail, len(packs), ferr)
		}
		if got := r.backend.Names(); !slices.Equal(got, files) {
			t.Errorf("step %d fails: files %q stay, want %q", fail, got, files)
		}
		w.Abort()
	}
}

func TestAbort(t *testing.T) {
	r := newRig(t, frame.None, 20)
	w := r.writer()
	if err := r.add(w, 0, 19, 2); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("files %q stay", names)
	}
	packs, _ := r.stored(9)
	if len(packs) != 2 {
		t.Errorf("%d packs, want 2", len(packs))
	}
}

func TestAbortAfterFinish(t *testing.T) {
	r := newRig(t, frame.None, 20)
	packs, _ := r.stored(5) // stored aborts the writer afterwards
	if names := r.backend.Names(); len(names) != len(packs) || len(packs) != 1 {
		t.Errorf("files %q, want %d", names, len(packs))
	}
	r.check(5)
}

func TestCancelled(t *testing.T) {
	r := newRig(t, frame.None, 20)
	ctx, cancel := context.WithCancel(t.Context())
	w := r.store.NewPackWriter(ctx, r.lease, r.domain, r.keys)
	if err := r.add(w, 0, 20, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if packs, _, err := w.Finish(ctx); !errors.Is(err, context.Canceled) || packs != nil {
		t.Errorf("got %d packs, %v, want context.Canceled", len(packs), err)
	}
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("files %q stay", names)
	}
}

func TestGetIsCancelled(t *testing.T) {
	slots, err := blockstore.NewSlots(frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	s, err := slots.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := slots.Get(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	slots.Put(s)
	defer func() {
		if recover() == nil {
			t.Error("a slot was put twice")
		}
	}()
	slots.Put(s)
}

// TestTrim: slots that nobody has used since the last time give their memory back, and no
// others.
func TestTrim(t *testing.T) {
	slots, err := blockstore.NewSlots(4 * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slots.Close() })
	use := func(n int) (used []*blockstore.Slot) {
		t.Helper()
		for range n {
			s, err := slots.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Frame()[0], s.Frame()[frame.Size-1] = 1, 1
			used = append(used, s)
		}
		return used
	}
	put := func(used []*blockstore.Slot) {
		for _, s := range used {
			slots.Put(s)
		}
	}
	var all []*blockstore.Slot
	kept := func() (n int) { // by what is left in them
		for _, s := range all {
			if s.Frame()[0] == 1 && s.Frame()[frame.Size-1] == 1 {
				n++
			}
		}
		return n
	}
	all = use(4)
	put(all)
	held := use(1)
	slots.Trim()
	if n := kept(); n != 4 {
		t.Errorf("%d slots have memory, of 4 that were used", n)
	}
	put(use(1)) // beside the one that is held
	slots.Trim()
	if n := kept(); n != 2 {
		t.Errorf("%d slots have memory, of 2 that were used", n)
	}
	put(held)
	slots.Trim()
	slots.Trim()
	if n := kept(); n != 0 {
		t.Errorf("%d slots have memory that nobody has used", n)
	}
	put(use(4))
}

func TestNewSlotsRefuses(t *testing.T) {
	if _, err := blockstore.NewSlots(frame.Size - 1); err == nil {
		t.Error("a budget below one slot was taken")
	}
}

// TestALostSlotIsReplaced: what still writes to it hurts nobody, and nobody waits for it.
func TestALostSlotIsReplaced(t *testing.T) {
	slots, err := blockstore.NewSlots(frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := slots.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slots.Lose(lost)
	s, err := slots.Get(t.Context())
	if err != nil || s == lost || slots.Len() != 1 {
		t.Fatalf("got %p after %p, %v, of %d", s, lost, err, slots.Len())
	}
	if !blockstore.Aligned([][]byte{s.Frame()}, 0) {
		t.Error("the slot is not aligned")
	}
	slots.Put(s)
	if err := slots.Close(); err != nil {
		t.Fatal(err)
	}
	lost.Payload()[0] = 1 // is still memory
}
