package faulttest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// stopped is work that a node begins and is stopped in, as by SIGSTOP, for longer than its
// lease. Meanwhile another node does that work, or whatever else there is to do; then the
// first one goes on as if nothing had happened.
type stopped struct {
	stage   work.Kind
	prepare func(w *world)
	begin   func(w *world)           // what the node does, in which it is stopped
	others  func(w *world, o *world) // what another does meanwhile
	judge   func(w *world)           // what must be so when all is over
}

// doneBy has a node do the units of kinds until there are none.
func doneBy(o *world, kinds ...work.Kind) {
	o.t.Helper()
	for did := true; did; {
		var err error
		did, err = o.runner.Step(o.t.Context(), kinds...)
		o.check(err)
	}
}

// aUnitBy has a node do one unit of kinds, and no more than that.
func aUnitBy(o *world, kinds ...work.Kind) {
	o.t.Helper()
	_, err := o.runner.Step(o.t.Context(), kinds...)
	o.check(err)
}

// cleanedBy has a node collect garbage, which takes what lost leases left.
func cleanedBy(o *world) {
	o.t.Helper()
	for range 2 {
		_, err := o.gc.Run(o.t.Context())
		o.check(err)
	}
}

// imports is an import in which a node is stopped.
func imports(stage work.Kind) stopped {
	return stopped{
		stage:   stage,
		prepare: func(w *world) { w.accept() },
		begin: func(w *world) {
			for w.fired == 0 {
				did, _ := w.runner.Step(w.t.Context(), stages...)
				if !did {
					return
				}
			}
		},
		others: func(_, o *world) { doneBy(o, stages...); cleanedBy(o) },
		judge:  func(w *world) { w.judge(w.run(), "") },
	}
}

// drafts is the settling of a draft that make makes, or a part of that.
func drafts(stage work.Kind, make func(w *world) string) stopped {
	var id string
	kinds := []work.Kind{work.Complete, work.Copy, work.LetGo}
	return stopped{
		stage:   stage,
		prepare: func(w *world) { id = make(w) },
		begin: func(w *world) {
			for w.fired == 0 {
				did, _ := w.runner.Step(w.t.Context(), kinds...)
				if !did {
					return
				}
			}
		},
		others: func(_, o *world) { doneBy(o, kinds...); cleanedBy(o) },
		judge:  func(w *world) { w.judgeSnapshot(fault{}, w.settled(id)) },
	}
}

// writing is a client's write in which the node that takes it is stopped. The client gives
// up, and writes the same through another node.
func writing() stopped {
	const appending work.Kind = "append"
	var id string
	data := make([]byte, block.Size)
	copy(data, "written by a client")
	put := func(w *world) error {
		return w.drafts.Put(w.t.Context(), home, id, snapshot.WrittenBlock{Index: 3, Data: data, Digest: block.Sum(data)})
	}
	return stopped{
		stage: appending,
		prepare: func(w *world) {
			rec, err := w.drafts.Start(w.t.Context(), snapshot.StartRequest{Home: home, Caller: root, VolumeSize: 1, Timeout: time.Hour, Encrypt: &snapshot.Encryption{Key: keyARN}})
			w.check(err)
			id = rec.ID
		},
		begin: func(w *world) {
			w.enter(appending)
			_ = put(w) // nobody waits for its answer
			w.enter("")
		},
		others: func(_, o *world) {
			o.check(put(o))
			cleanedBy(o)
			_, err := o.drafts.Complete(o.t.Context(), home, id, snapshot.Expected{Blocks: 1})
			o.check(err)
			doneBy(o, work.Complete)
		},
		judge: func(w *world) {
			w.arm(nil, "")
			rec := w.settled(id)
			w.source.filled, w.source.holes, w.written = nil, []int64{0, 1, 2, 3, 4}, data
			if err := w.same(id); err != nil || rec.State != snapshot.Completed {
				w.t.Errorf("the snapshot is %s (%s): %v", rec.State, rec.Message, err)
			}
			w.collected(true)
		},
	}
}

// rewriting is the rewriting of packs in which a node is stopped, or their collection.
func rewriting(stage work.Kind, run func(w *world) error) stopped {
	var id, more string
	return stopped{
		stage: stage,
		prepare: func(w *world) {
			id = w.halfDead()
			if stage == compacting {
				_, err := w.gc.Run(w.t.Context())
				w.check(err)
			}
		},
		begin: func(w *world) {
			w.enter(stage)
			_ = run(w) // it may find out
			w.enter("")
		},
		others: func(w, o *world) {
			if err := run(o); !errors.Is(err, compact.ErrBusy) {
				o.check(err)
			}
			more = o.derived(id) // finds blocks that are there, and may be about to go
			doneBy(o, work.Complete, work.Copy, work.LetGo)
			cleanedBy(o)
			w.written = o.written
		},
		judge: func(w *world) {
			w.arm(nil, "")
			time.Sleep(time.Hour)
			w.check(errors.Join(w.same(id), w.same(more)))
			w.collected(true)
			w.check(errors.Join(w.same(id), w.same(more)))
		},
	}
}

func effort(w *world) error {
	_, err := w.compact.Run(w.t.Context(), compact.Effort{DeadPercent: 1, Small: 1}, func(compact.Progress) {})
	return err
}

func collection(w *world) error {
	_, err := w.gc.Run(w.t.Context())
	return err
}

// happens reports whether the node was stopped before the operation of that number, and
// checks that it did no harm.
func (s stopped) happens(t *testing.T, op operation, number int) (happened bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rawImage())
		o := w.beside()
		s.prepare(w)
		w.arm(&fault{op: op, skip: number, times: 1, stop: func() {
			goesOn := make(chan struct{})
			w.mu.Lock()
			w.goesOn = goesOn
			w.mu.Unlock()
			time.Sleep(work.LeaseFor + time.Second)
			s.others(w, o)
			w.mu.Lock()
			w.goesOn = nil
			w.mu.Unlock()
			close(goesOn)
		}}, s.stage)
		s.begin(w)
		if happened = w.fired > 0; happened {
			for line := range strings.Lines(w.log.String()) {
				if strings.Contains(line, "error=\"metadb: ") && !strings.Contains(line, snapshot.ErrNotPending.Error()) {
					t.Errorf("something else than the lease kept its effect out: %s", line)
				}
			}
			s.judge(w)
		}
	})
	return happened
}

// TestANodeThatIsStopped for longer than its lease does no harm when it goes on, wherever
// it was: before a file of the store is made, written, closed or removed, and before each of
// its transactions.
func TestANodeThatIsStopped(t *testing.T) {
	imagetest.Volume(t)
	copied := func(w *world) string {
		rec, err := w.drafts.Copy(w.t.Context(), snapshot.CopyRequest{Home: home, Caller: root, Source: w.imported(), SourceRegion: region, Encrypt: &snapshot.Encryption{Key: otherKey}})
		w.check(err)
		return rec.ID
	}
	for name, s := range map[string]func() stopped{
		"a plan":        func() stopped { return imports(work.Plan) },
		"a range":       func() stopped { return imports(work.Range) },
		"a publication": func() stopped { return imports(work.Publish) },
		"a completion":  func() stopped { return drafts(work.Complete, func(w *world) string { return w.derived(w.imported()) }) },
		"a range that another does meanwhile": func() stopped {
			s := imports(work.Range)
			s.others = func(_, o *world) { aUnitBy(o, work.Range) }
			return s
		},
		"a range of a copy that another does meanwhile": func() stopped {
			s := drafts(work.Copy, copied)
			s.others = func(_, o *world) { aUnitBy(o, work.Copy) }
			return s
		},
		"a copy":               func() stopped { return drafts(work.Copy, copied) },
		"a write":              writing,
		"a rewriting of packs": func() stopped { return rewriting(compacting, effort) },
		"a collection":         func() stopped { return rewriting(collecting, collection) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			times := 0
			for _, op := range []operation{fileCreate, fileWrite, fileClose, fileRemove, dbBegin} {
				for number := 0; ; number++ {
					happened := false
					t.Run(fmt.Sprint(op, " ", number), func(t *testing.T) { happened = s().happens(t, op, number) })
					if !happened || t.Failed() {
						break
					}
					times++
				}
			}
			if times == 0 {
				t.Error("it was never stopped")
			}
			t.Logf("stopped %d times", times)
		})
	}
}
