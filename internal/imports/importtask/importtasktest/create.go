package importtasktest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
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
	_, err := b.Tasks.Get(t.Context(), awsid.Home{Account: "other", Region: home.Region}, want.ID)
	wantError(t, "another account", err, importtask.ErrNotFound)
	_, err = b.Tasks.Get(t.Context(), home, taskID(2))
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
	want := []string{taskID(1), taskID(3), taskID(0), taskID(2)}
	for _, task := range b.list(t) {
		same(t, "tags", tag.Set{{Key: "k", Value: "v"}}, task.Tags)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		same(t, fmt.Sprintf("ids in pages of %d", limit), want, b.ids(t, importtask.Filter{}, limit))
	}
}

// list returns the account's tasks.
func (b Bench) list(t *testing.T) []importtask.Task {
	t.Helper()
	list, err := b.Tasks.List(t.Context(), home, importtask.Filter{}, listing.Place{}, listing.Page)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// ids returns the ids of the tasks that match a filter, read in pages.
func (b Bench) ids(t *testing.T, f importtask.Filter, limit int) (ids []string) {
	t.Helper()
	for after := (listing.Place{}); ; {
		list, err := b.Tasks.List(t.Context(), home, f, after, limit)
		if err != nil || len(list) > limit {
			t.Fatalf("%d tasks on a page of %d, %v", len(list), limit, err)
		}
		for _, task := range list {
			ids = append(ids, task.ID)
			after = listing.At(task.CreatedAt, task.ID)
		}
		if len(list) < limit {
			return ids
		}
	}
}

func filters(t *testing.T, b Bench) {
	b.planned(t, 1, 1) // active
	b.published(t, 2)
	b.planned(t, 3, 1)
	if _, err := b.Tasks.Cancel(t.Context(), home, taskID(3), importtask.Failure{}); err != nil {
		t.Fatal(err)
	}
	foreign := newTask(9)
	foreign.Account = "other"
	b.create(t, foreign)
	tests := []struct {
		name string
		f    importtask.Filter
		want []string
	}{
		{"none", importtask.Filter{}, []string{taskID(1), taskID(2), taskID(3)}},
		{"a state", importtask.Filter{States: []importtask.State{importtask.Active}}, []string{taskID(1)}},
		{"two states", importtask.Filter{States: []importtask.State{importtask.Deleting, importtask.Active}}, []string{taskID(1), taskID(3)}},
		{"a state that none has", importtask.Filter{States: []importtask.State{importtask.Deleted}}, nil},
		{"no state", importtask.Filter{States: []importtask.State{}}, nil},
		{"ids", importtask.Filter{IDs: []string{taskID(3), taskID(9), taskID(2), taskID(7), taskID(3)}}, []string{taskID(2), taskID(3)}},
		{"no ids", importtask.Filter{IDs: []string{}}, nil},
		{"ids and a state", importtask.Filter{IDs: []string{taskID(3), taskID(2)}, States: []importtask.State{importtask.Completed}}, []string{taskID(2)}},
	}
	for _, tt := range tests {
		for _, limit := range []int{1, 2, listing.Page} {
			same(t, tt.name, tt.want, b.ids(t, tt.f, limit))
		}
	}
}

func unfinished(t *testing.T, b Bench) {
	b.published(t, 1)
	b.planned(t, 3, 1)
	b.create(t, newTask(2))
	foreign := newTask(0)
	foreign.Account = "other"
	b.create(t, foreign)
	if _, err := b.Tasks.Cancel(t.Context(), home, taskID(3), importtask.Failure{}); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 9} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			ids, err := b.Tasks.Unfinished(t.Context(), after, limit)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids...)
			if len(ids) < limit {
				break
			}
		}
		same(t, fmt.Sprintf("in pages of %d", limit), []string{taskID(0), taskID(2), taskID(3)}, got)
	}
	stages, err := b.Stages.Stages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := map[importtask.State]int64{}
	for _, s := range stages {
		total[s.State] += s.Tasks
	}
	same(t, "by state", map[importtask.State]int64{importtask.Active: 2, importtask.Deleting: 1}, total)
	for account, want := range map[string]int{account: 2, "other": 1, "nobody": 0} {
		if n, err := b.Tasks.Owned(t.Context(), account); err != nil || n != want {
			t.Errorf("account %s owns %d, %v, want %d", account, n, err, want)
		}
	}
}

// regions: a task is seen in its own region, with its snapshot and tags; tokens and
// limits are those of a region.
func regions(t *testing.T, b Bench) {
	here := newTask(1)
	here.Token = "token"
	b.create(t, here)
	there := newTask(2)
	there.Token, there.Region, there.RequestDigest = "token", elsewhere.Region, "another"
	if _, created, err := b.Tasks.Create(t.Context(), there, 1); err != nil || !created {
		t.Fatalf("the same token, and one more than the limit: %v, %v", created, err)
	}
	for _, place := range []struct {
		home      awsid.Home
		own, them int
	}{{home, 1, 2}, {elsewhere, 2, 1}} {
		got, err := b.Tasks.Get(t.Context(), place.home, taskID(place.own))
		if err != nil || got.Home() != place.home {
			t.Errorf("got %+v, %v", got, err)
		}
		_, err = b.Tasks.Get(t.Context(), place.home, taskID(place.them))
		wantError(t, "one of the other region", err, importtask.ErrNotFound)
		if got, err := b.Tasks.ByToken(t.Context(), place.home, "token"); err != nil || got.ID != taskID(place.own) {
			t.Errorf("by token: got %+v, %v", got, err)
		}
		for name, f := range map[string]importtask.Filter{"all": {}, "by id": {IDs: []string{taskID(1), taskID(2)}}, "by state": {States: []importtask.State{importtask.Active}}} {
			list, err := b.Tasks.List(t.Context(), place.home, f, listing.Place{}, 9)
			if err != nil || len(list) != 1 || list[0].ID != taskID(place.own) {
				t.Errorf("%s: got %+v, %v", name, list, err)
			}
		}
		if n, err := b.Tasks.Active(t.Context(), place.home); err != nil || n != 1 {
			t.Errorf("%d are active, %v", n, err)
		}
	}
	if n, err := b.Tasks.Owned(t.Context(), account); err != nil || n != 2 {
		t.Errorf("owns %d, %v", n, err)
	}
	for range 2 {
		l := b.claim(t, work.Plan)
		task, err := b.Tasks.OfUnit(t.Context(), l.Unit)
		if err != nil || task.ID != l.Task {
			t.Fatalf("the task of a unit: got %+v, %v", task, err)
		}
		n := map[string]int{taskID(1): 1, taskID(2): 2}[l.Task]
		p := plan(n, 1)
		p.Snapshot.Region = "made up" // the task's counts
		if _, _, err := b.Tasks.Planned(t.Context(), l, p); err != nil {
			t.Fatal(err)
		}
		if r, err := b.Snapshots.Get(t.Context(), task.Region, snapshotID(n)); err != nil || r.Home() != task.Home() {
			t.Errorf("its snapshot: got %+v, %v", r, err)
		}
		tags, err := b.Tags.List(t.Context(), task.Home(), tag.Filter{}, tag.Place{}, 9)
		if err != nil || len(tags) != 2 || tags[0].Resource.ID != task.ID || tags[1].Resource.ID != snapshotID(n) {
			t.Errorf("tags: got %+v, %v", tags, err)
		}
	}
	_, err := b.Tasks.OfUnit(t.Context(), work.Unit{Account: "other", Task: taskID(1)})
	wantError(t, "of a unit of another account", err, importtask.ErrNotFound)
}

func aTokenMakesOneTask(t *testing.T, b Bench) {
	first := newTask(1)
	first.Token = "token"
	want := b.create(t, first)
	again := newTask(2)
	again.Token, again.RequestDigest = "token", "another"
	got, created, err := b.Tasks.Create(t.Context(), again, 1) // the limit does not concern a replay
	if err != nil || created {
		t.Fatalf("replay: created %v, %v", created, err)
	}
	same(t, "replayed", want, got)
	got, err = b.Tasks.ByToken(t.Context(), home, "token")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "by token", want, got)
	for _, token := range []string{"", "Token"} {
		_, err = b.Tasks.ByToken(t.Context(), home, token)
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
	list := b.list(t)
	if len(list) != 1 || created.Load() != 1 {
		t.Fatalf("%d tasks, %d created, want one", len(list), created.Load())
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
	_, err = b.Tasks.Get(t.Context(), home, taskID(3))
	wantError(t, "the refused one", err, importtask.ErrNotFound)
	foreign := newTask(4)
	foreign.Account = "other"
	if _, created, err := b.Tasks.Create(t.Context(), foreign, 1); err != nil || !created {
		t.Errorf("another account: %v, %v", created, err)
	}
	if _, err := b.Tasks.Cancel(t.Context(), home, taskID(1), importtask.Failure{}); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Tasks.Active(t.Context(), home); err != nil || n != 1 {
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
