package metadb

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// never is a poll that does not come while a test runs: what happens does because of a
// wake.
const never = 1000 * time.Hour

// service is the import service of a node that does no work itself.
func (n linked) service() *importtask.Service {
	return &importtask.Service{
		Store: n.db.Tasks(), Live: &importtask.Live{}, Bus: n.bus, Now: n.db.now, Log: slog.New(slog.DiscardHandler), Limit: 10, Poll: never,
	}
}

// runner is a runner of a node with a single lane.
func (n linked) runner(t *testing.T, handlers map[work.Kind]work.Handler) {
	t.Helper()
	r := &work.Runner{
		Owner: "worker", Store: n.db.Work(), Handlers: handlers, Bus: n.bus, Log: slog.New(slog.DiscardHandler), Now: n.db.now, Poll: never, Grace: never,
	}
	for kind := range handlers {
		r.Lanes = append(r.Lanes, []work.Kind{kind})
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestANodeThatDoesNoWork accepts a task that another one does, shows its progress, holds a
// poll until it has ended, and cancels one: nobody looks unasked, so each of these
// needs a wake from the other node.
func TestANodeThatDoesNoWork(t *testing.T) {
	url := postgres.New(t)
	front, worker := link(t, url), link(t, url)
	svc := front.service()
	ctx, tasks := t.Context(), worker.db.Tasks()
	begun, cancelled := make(chan work.Lease), make(chan error)
	worker.runner(t, map[work.Kind]work.Handler{
		work.Plan: {Do: func(ctx context.Context, h *work.Held) (work.Lease, bool, error) {
			begun <- h.Lease
			if h.Task == "import-snap-2" {
				<-ctx.Done()
				cancelled <- context.Cause(ctx)
			}
			return work.Lease{}, false, ctx.Err()
		}},
		work.Cleanup: {Do: func(ctx context.Context, h *work.Held) (work.Lease, bool, error) {
			err := tasks.CleanedUp(ctx, h.Lease)
			worker.bus.Wake(wake.Task(h.Task))
			return work.Lease{}, false, err
		}},
	})
	accept := func(id string) {
		t.Helper()
		if _, _, err := front.db.Tasks().Create(ctx, importtask.Task{ID: id, Account: "a", Region: region}, 10); err != nil {
			t.Fatal(err)
		}
		front.bus.Wake(work.Due(work.Plan))
		if l := <-begun; l.Task != id {
			t.Fatalf("the other node began %+v", l)
		}
	}
	accept("import-snap-2")
	held := make(chan importtask.Task)
	go func() {
		task, err := svc.Wait(context.Background(), of("a"), "import-snap-2")
		if err != nil {
			t.Error(err)
		}
		held <- task
	}()
	if _, err := svc.Cancel(ctx, of("a"), "import-snap-2", "no need"); err != nil {
		t.Fatal(err)
	}
	<-cancelled
	if task := <-held; task.State != importtask.Deleted {
		t.Errorf("the held poll ended with the task %s", task.State)
	}
}

// TestProgressThroughAnyNode: a node that does none of the work shows all that the last
// heartbeat told of, also when another one goes on after that.
func TestProgressThroughAnyNode(t *testing.T) {
	url := postgres.New(t)
	front, worker := link(t, url), link(t, url)
	svc := front.service()
	ctx, tasks := t.Context(), worker.db.Tasks()
	if _, _, err := tasks.Create(ctx, importtask.Task{ID: "import-snap-1", Account: "a", Region: region}, 10); err != nil {
		t.Fatal(err)
	}
	claim := func(owner string, at time.Time, kind work.Kind) work.Lease {
		t.Helper()
		l, ok, err := worker.db.Work().Claim(ctx, work.Claimer{Owner: owner, Kinds: []work.Kind{kind}}, at)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return l
	}
	now := worker.db.now()
	l, _, err := tasks.Planned(ctx, claim("one", now, work.Plan), importtask.Plan{Ranges: []importtask.Range{{Pages: 4, Bytes: 1000}}})
	if err != nil {
		t.Fatal(err)
	}
	shown := int64(0)
	for i, c := range []struct{ done, want int64 }{{100, 100}, {250, 250}, {-1, 250}, {10, 250}, {240, 250}, {300, 300}} {
		at := now.Add(time.Duration(i) * time.Minute)
		if c.done < 0 {
			l = claim("two", at, work.Range)
			continue
		}
		if _, err := worker.db.Work().Renew(ctx, l, at, work.Progress{Done: c.done, Data: fmt.Appendf(nil, `{"done":%d}`, c.done)}); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*importtask.Service{svc, front.service()} { // one that has shown it before, and one that has not
			task, err := s.Task(ctx, of("a"), "import-snap-1")
			if err != nil || task.Counts.Done != c.want || task.Counts.Done < shown {
				t.Errorf("after %d the node shows %d, %v, want %d", c.done, task.Counts.Done, err, c.want)
			}
			shown = task.Counts.Done
		}
	}
}
