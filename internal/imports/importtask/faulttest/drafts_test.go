package faulttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// reading are faults of stages that read what was stored.
var reading = []fault{
	{name: "an I/O error", op: fileRead, err: errIO, times: 1},
	{name: "I/O errors for ever", op: fileRead, err: errIO, want: "error"},
	{name: "a short read", op: fileRead, short: true, err: io.EOF, times: 1},
	{name: "a flipped bit", op: fileRead, flip: true, times: 1},
	{name: "slow", op: fileRead, delay: time.Minute, times: 2},
	{name: "an I/O error", op: fileRemove, err: errIO, times: 1},
	{name: "an I/O error although the file is gone", op: fileRemove, err: errIO, after: true, times: 1},
	{name: "an I/O error", op: fileList, err: errIO, times: 1},
}

const (
	collecting work.Kind = "gc"      // is not done by the runner here
	compacting work.Kind = "compact" // likewise
	otherKey             = "arn:aws:kms:us-east-1:123456789012:key/87654321-1234-1234-1234-123456789012"
)

var root = kms.Caller{Principal: iam.Principal{Account: account, Kind: iam.Root, ARN: "arn:aws:iam::" + account + ":root"}, Region: region}

// imported makes a snapshot of the image, without a fault.
func (w *world) imported() string {
	w.t.Helper()
	w.accept()
	task := w.run()
	if task.state != importtask.Completed {
		w.t.Fatalf("the task is %s, %+v", task.state, task.failure)
	}
	return task.snapshots[0]
}

// derived begins a snapshot as another one, and writes one of its blocks.
func (w *world) derived(parent string) string {
	w.t.Helper()
	rec, err := w.drafts.Start(w.t.Context(), snapshot.StartRequest{Home: home, Caller: root, VolumeSize: 1, Parent: parent, Timeout: time.Hour})
	w.check(err)
	w.written = bytes.Repeat([]byte{7}, block.Size)
	w.check(w.drafts.Put(w.t.Context(), home, rec.ID, snapshot.WrittenBlock{Index: 3, Data: w.written, Digest: block.Sum(w.written)}))
	_, err = w.drafts.Complete(w.t.Context(), home, rec.ID, snapshot.Expected{Blocks: 1})
	w.check(err)
	return rec.ID
}

// settled does units until a snapshot is not pending any more, and returns its record.
func (w *world) settled(id string) (rec snapshot.Record) {
	w.t.Helper()
	for began := time.Now(); ; {
		did, _ := w.runner.Step(w.t.Context(), work.Complete, work.Copy, work.LetGo) // an error is a fault
		got, err := w.db.Snapshots().Get(w.t.Context(), region, id)
		if err == nil && got.State != snapshot.Pending && !did {
			return got
		}
		if time.Since(began) > patience {
			w.t.Fatalf("after %v the snapshot is %s\n%s", patience, got.State, w.log.String())
		}
		if !did {
			time.Sleep(5 * time.Second)
		}
	}
}

// same reports how a snapshot is not the image with the block that was written.
func (w *world) same(id string) error {
	rec, err := w.db.Snapshots().Get(w.t.Context(), region, id)
	if err != nil {
		return err
	}
	blocks, err := w.library.Open(w.t.Context(), rec)
	if err != nil {
		return err
	}
	buf, want := make([]byte, frame.Size), make([]byte, block.Size)
	for _, at := range slices.Concat(w.source.filled, w.source.holes) {
		got, _, err := blocks.Get(w.t.Context(), at, buf)
		if errors.Is(err, snapshot.ErrAbsent) {
			got, err = make([]byte, block.Size), nil
		}
		if w.source.fill(want, at*block.Size); at == 3 && w.written != nil {
			copy(want, w.written)
		}
		if err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("block %d is another: %w", at, err)
		}
	}
	return nil
}

// TestEveryFaultOfASnapshot: while a snapshot is settled or copied, while gc collects and while
// packs are rewritten, an interface fails. What is stored stays right, and nothing else stays.
func TestEveryFaultOfASnapshot(t *testing.T) {
	imagetest.Volume(t)
	var count tally
	all := slices.Concat(reading, slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return strings.HasPrefix(string(f.op), "source") || strings.HasPrefix(string(f.op), "scratch") || f.op == roleAsked || f.op == kmsMake || f.op == kmsOpen || f.panic
	}))
	stages := map[work.Kind]func(*world, fault) bool{
		work.Complete: settleSuffers, work.Copy: copySuffers, collecting: gcSuffers, compacting: compactionSuffers,
	}
	t.Run("all", func(t *testing.T) {
		for stage, suffers := range stages {
			for _, f := range all {
				t.Run(fmt.Sprintf("%s/%s/%s", stage, f.op, f.name), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						if suffers(newWorld(t, rawImage()), f) {
							count.ran(string(stage), f, 1)
						}
					})
				})
			}
		}
	})
	count.report(t, all)
}

// judgeSnapshot checks how a draft ended.
func (w *world) judgeSnapshot(f fault, rec snapshot.Record) (happened bool) {
	w.t.Helper()
	fired := w.fired
	w.arm(nil, "")
	want := snapshot.Completed
	if fired > 0 && f.want != "" {
		want = snapshot.Failed
	}
	if rec.State != want {
		w.t.Fatalf("the snapshot is %s (%s), want it %s\n%s", rec.State, rec.Message, want, w.log.String())
	}
	if want == snapshot.Completed {
		w.check(w.same(rec.ID))
	}
	w.collected(true)
	return fired > 0
}

func settleSuffers(w *world, f fault) bool {
	id := w.derived(w.imported())
	w.arm(&f, work.Complete)
	return w.judgeSnapshot(f, w.settled(id))
}

func copySuffers(w *world, f fault) bool {
	rec, err := w.drafts.Copy(w.t.Context(), snapshot.CopyRequest{Home: home, Caller: root, Source: w.imported(), SourceRegion: region, Encrypt: &snapshot.Encryption{Key: otherKey}})
	w.check(err)
	w.arm(&f, work.Copy)
	return w.judgeSnapshot(f, w.settled(rec.ID))
}

// halfDead makes a snapshot whose blocks lie in packs of another one that is deleted.
func (w *world) halfDead() string {
	w.t.Helper()
	first := w.imported()
	id := w.derived(first)
	w.settled(id)
	w.check(w.db.Snapshots().Delete(w.t.Context(), home, first))
	return id
}

func gcSuffers(w *world, f fault) bool {
	id := w.halfDead()
	w.enter(collecting)
	w.arm(&f, collecting)
	_, _ = w.gc.Run(w.t.Context()) // it may fail
	fired := w.fired
	w.arm(nil, "")
	time.Sleep(time.Hour)
	w.check(w.same(id))
	w.collected(true)
	return fired > 0
}

func compactionSuffers(w *world, f fault) bool {
	id := w.halfDead()
	_, err := w.gc.Run(w.t.Context())
	w.check(err)
	effort := compact.Effort{DeadPercent: 1, Small: 1}
	w.enter(compacting)
	w.arm(&f, compacting)
	_, _ = w.compact.Run(w.t.Context(), effort, func(compact.Progress) {}) // it may fail
	fired := w.fired
	w.arm(nil, "")
	w.check(w.same(id))
	time.Sleep(time.Hour)
	_, err = w.compact.Run(w.t.Context(), effort, func(compact.Progress) {})
	w.check(err)
	w.check(w.same(id))
	w.collected(true)
	return fired > 0
}
