package importtasktest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

var failure = importtask.Failure{Message: "ClientError: x", Reason: "r", Detail: "bad \x00 \xff bytes", Offset: 512, Hint: "h"}

func aFailureIsCleanedUp(t *testing.T, b Bench) {
	leases := b.planned(t, 1, 3)
	b.finish(t, leases[0], b.result(t, leases[0], "x"))
	cleanup, err := b.Tasks.Fail(t.Context(), leases[1], failure)
	if err != nil {
		t.Fatal(err)
	}
	if cleanup.Kind != work.Cleanup || cleanup.Task != taskID(1) {
		t.Errorf("got %+v, want the Cleanup unit", cleanup)
	}
	_, err = b.Work.Renew(t.Context(), leases[2], time.Now(), work.Progress{})
	wantError(t, "another range's worker", err, work.ErrLost)
	v := b.see(t, 1)
	want := failure
	want.Detail = "bad \x00 \ufffd bytes"
	same(t, "failure", want, v.Task.Failure)
	if v.Task.State != importtask.Deleting || v.Task.Pin == "" || v.Snap.State != snapshot.Pending || len(v.Draft) != 1 {
		t.Errorf("deleting: %+v", v)
	}

	cleanup, err = b.Tasks.Fail(t.Context(), cleanup, importtask.Failure{Message: "cleaning up failed too"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the first failure stays", want, b.get(t, taskID(1)).Failure)

	if err := b.Tasks.CleanedUp(t.Context(), cleanup); err != nil {
		t.Fatal(err)
	}
	v = b.see(t, 1)
	if v.Task.State != importtask.Deleted || v.Task.EndedAt.IsZero() || v.Task.Pin != "" {
		t.Errorf("deleted: %+v", v.Task)
	}
	same(t, "snapshot", snapshot.Record{}, v.Snap)
	same(t, "draft", []snapshot.PagePlace(nil), v.Draft)
	tags, err := b.Tags.List(t.Context(), home, tag.Filter{}, tag.Place{}, listing.Page)
	if err != nil || len(tags) != 1 || tags[0].Resource.ID != taskID(1) {
		t.Errorf("tags: %v, %v, want the task's only", tags, err)
	}
	b.noUnits(t)
}

func cancel(t *testing.T, b Bench) {
	check := func(what string, home awsid.Home, id string, want importtask.State, wantErr error) {
		t.Helper()
		got, err := b.Tasks.Cancel(t.Context(), home, id, failure)
		if !errors.Is(err, wantErr) || err == nil && got != want {
			t.Errorf("%s: got %v, %v, want %v, %v", what, got, err, want, wantErr)
		}
	}
	l := b.planned(t, 1, 1)[0]
	check("unknown", home, taskID(7), "", importtask.ErrNotFound)
	check("another's", awsid.Home{Account: "other", Region: home.Region}, taskID(1), "", importtask.ErrNotFound)
	check("in another region", elsewhere, taskID(1), "", importtask.ErrNotFound)
	check("active", home, taskID(1), importtask.Active, nil)
	_, err := b.Work.Renew(t.Context(), l, time.Now(), work.Progress{})
	wantError(t, "the worker of a cancelled task", err, work.ErrLost)
	check("deleting", home, taskID(1), importtask.Deleting, nil)
	cleanup := b.claim(t, work.Cleanup)
	check("while it is cleaned up", home, taskID(1), importtask.Deleting, nil)
	if err := b.Tasks.CleanedUp(t.Context(), cleanup); err != nil {
		t.Fatal(err)
	}
	b.published(t, 2, "x")
	for n, state := range map[int]importtask.State{1: importtask.Deleted, 2: importtask.Completed} {
		before := b.see(t, n)
		_, err := b.Tasks.Cancel(t.Context(), home, taskID(n), failure)
		if no, ok := errors.AsType[*importtask.TransitionError](err); !ok || no.State != state {
			t.Errorf("cancel one that is %s: got %v", state, err)
		}
		same(t, "after a refused cancellation", before, b.see(t, n))
	}
}

func cancelOrPublish(t *testing.T, b Bench) {
	const rounds = 8
	for n := range rounds {
		l := b.leaseOf(t, n, work.Publish)
		publish := b.events(t, n, l)["Publish"]
		var cancelled, published error
		var wg sync.WaitGroup
		wg.Go(func() { _, cancelled = b.Tasks.Cancel(t.Context(), home, taskID(n), failure) })
		wg.Go(func() { published = publish() })
		wg.Wait()
		v := b.see(t, n)
		_, refused := errors.AsType[*importtask.TransitionError](cancelled)
		switch {
		case cancelled == nil && errors.Is(published, work.ErrLost):
			if v.Task.State != importtask.Deleting || v.Snap.State != snapshot.Pending {
				t.Errorf("cancelled, but %+v", v)
			}
		case published == nil && refused:
			if v.Task.State != importtask.Completed || v.Snap.State != snapshot.Completed {
				t.Errorf("published, but %+v", v)
			}
		default:
			t.Errorf("cancel: %v; publish: %v; want one to win", cancelled, published)
		}
	}
}

func forget(t *testing.T, b Bench) {
	withToken := newTask(1)
	withToken.Token = "token"
	b.create(t, withToken)
	cleanup, err := b.Tasks.Fail(t.Context(), b.claim(t, work.Plan), failure)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.CleanedUp(t.Context(), cleanup); err != nil {
		t.Fatal(err)
	}
	b.published(t, 2, "x")
	b.planned(t, 3, 1) // runs
	count := func(before time.Time, want int) {
		t.Helper()
		if n, err := b.Tasks.Forget(t.Context(), before); err != nil || n != want {
			t.Errorf("forgot %d, %v, want %d", n, err, want)
		}
	}
	ended := b.get(t, taskID(2)).EndedAt
	if _, created, err := b.Tasks.Create(t.Context(), withToken, 100); err != nil || created {
		t.Errorf("a token of a task that ended: created %v, %v", created, err)
	}
	count(b.get(t, taskID(1)).EndedAt, 0)
	count(ended, 1)
	_, err = b.Tasks.Get(t.Context(), home, taskID(1))
	wantError(t, "forgotten", err, importtask.ErrNotFound)
	count(ended.Add(time.Hour), 1)
	count(ended.Add(time.Hour), 0)
	tags, err := b.Tags.List(t.Context(), home, tag.Filter{}, tag.Place{}, listing.Page)
	if err != nil || len(tags) != 3 { // of snapshots 2 and 3, and of task 3
		t.Errorf("tags: %v, %v, want 3", tags, err)
	}
	if snap, err := b.Snapshots.Get(t.Context(), home.Region, snapshotID(2)); err != nil || snap.State != snapshot.Completed {
		t.Errorf("its snapshot: %+v, %v", snap, err)
	}
	b.create(t, withToken)
}
