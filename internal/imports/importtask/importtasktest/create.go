package importtasktest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

func createStoresTheTask(t *testing.T, b Bench) {
	want := newTask(1)
	want.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	got := b.create(t, want)
	want.State, want.Phase = importtask.Active, importtask.Waiting
	want.Ranges, want.Warnings = []importtask.Range{}, []string{}
	same(t, "created", want, got)
	same(t, "read", want, b.get(t, want.ID))
	l := b.claim(t, work.Plan)
	if l.Task != want.ID || l.Account != account || l.Attempt != 1 {
		t.Errorf("its unit is %+v", l)
	}
	_, err := b.Tasks.Get(t.Context(), "other", want.ID)
	wantError(t, "another account", err, importtask.ErrNotFound)
	_, err = b.Tasks.Get(t.Context(), account, taskID(2))
	wantError(t, "another id", err, importtask.ErrNotFound)
	if err := b.Tasks.SetPhase(t.Context(), l, importtask.Validating, "RAW"); err != nil {
		t.Fatal(err)
	}
	if err := b.Tasks.SetPhase(t.Context(), l, importtask.Validated, ""); err != nil {
		t.Fatal(err)
	}
	want.Phase, want.Format = importtask.Validated, "RAW"
	same(t, "in its phase", want, b.get(t, want.ID))
}

func listInOrderOfCreation(t *testing.T, b Bench) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, n := range []int{3, 1, 2, 0} {
		task := newTask(n)
		task.CreatedAt = at.Add(time.Duration(i/2) * time.Second) // the last two at once
		b.create(t, task)
	}
	foreign := newTask(9)
	foreign.Account = "other"
	b.create(t, foreign)
	list, err := b.Tasks.List(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range list {
		got = append(got, task.ID)
		same(t, "tags", tag.Set{{Key: "k", Value: "v"}}, task.Tags)
	}
	same(t, "ids", []string{taskID(1), taskID(3), taskID(0), taskID(2)}, got)
}

func aTokenMakesOneTask(t *testing.T, b Bench) {
	first := newTask(1)
	first.Token = "token"
	want := b.create(t, first)
	again := newTask(2)
	again.Token, again.RequestDigest = "token", "another"
	got, created, err := b.Tasks.Create(t.Context(), again, 1) // a replay is no matter of limits
	if err != nil || created {
		t.Fatalf("replay: created %v, %v", created, err)
	}
	same(t, "replayed", want, got)
	got, err = b.Tasks.ByToken(t.Context(), account, "token")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "by token", want, got)
	for _, token := range []string{"", "Token"} {
		_, err = b.Tasks.ByToken(t.Context(), account, token)
		wantError(t, "token "+token, err, importtask.ErrNotFound)
	}
	foreign := newTask(3)
	foreign.Account, foreign.Token = "other", "token"
	b.create(t, foreign)
	b.create(t, newTask(4)) // without a token any number
	b.create(t, newTask(5))
}

func concurrentTokensMakeOneTask(t *testing.T, b Bench) {
	const callers = 8
	var created atomic.Int32
	ids := make([]string, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			task := newTask(i)
			task.Token = "token"
			stored, is, err := b.Tasks.Create(t.Context(), task, 100)
			if err != nil {
				t.Error(err)
			}
			if is {
				created.Add(1)
			}
			ids[i] = stored.ID
		})
	}
	wg.Wait()
	list, err := b.Tasks.List(t.Context(), account)
	if err != nil || len(list) != 1 || created.Load() != 1 {
		t.Fatalf("%d tasks, %d created, %v, want one", len(list), created.Load(), err)
	}
	for _, id := range ids {
		if id != list[0].ID {
			t.Errorf("a caller was told %s, the task is %s", id, list[0].ID)
		}
	}
}

func runningTasksAreLimited(t *testing.T, b Bench) {
	b.create(t, newTask(1))
	b.create(t, newTask(2))
	_, _, err := b.Tasks.Create(t.Context(), newTask(3), 2)
	wantError(t, "a third", err, importtask.ErrTooMany)
	_, err = b.Tasks.Get(t.Context(), account, taskID(3))
	wantError(t, "the refused one", err, importtask.ErrNotFound)
	foreign := newTask(4)
	foreign.Account = "other"
	if _, created, err := b.Tasks.Create(t.Context(), foreign, 1); err != nil || !created {
		t.Errorf("another account: %v, %v", created, err)
	}
	if _, err := b.Tasks.Cancel(t.Context(), account, taskID(1), importtask.Failure{}); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Tasks.Active(t.Context(), account); err != nil || n != 1 {
		t.Errorf("%d active, %v, want one", n, err)
	}
	if _, created, err := b.Tasks.Create(t.Context(), newTask(3), 2); err != nil || !created {
		t.Errorf("after one was cancelled: %v, %v", created, err)
	}
}

func concurrentCreatesKeepTheQuota(t *testing.T, b Bench) {
	const callers, limit = 8, 3
	var created atomic.Int32
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			_, is, err := b.Tasks.Create(t.Context(), newTask(i), limit)
			if err != nil && !errors.Is(err, importtask.ErrTooMany) {
				t.Error(err)
			}
			if is {
				created.Add(1)
			}
		})
	}
	wg.Wait()
	if created.Load() != limit {
		t.Errorf("%d created, want %d", created.Load(), limit)
	}
}
