package simulate

import (
	"context"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// ended is within what time all that was accepted ends once nothing goes wrong any more: a unit may
// have failed so often that it is tried once a minute, and there are several, one after the other.
const ended = 15 * time.Minute

// quiet is how long nothing happens before all duties must have been done, and leases of appends and
// holds of readers have lapsed.
func (s schedule) quiet() time.Duration {
	if s.skewed() { // a clock that was ahead has put duties off
		return 9 * time.Minute
	}
	return max(dutyEvery, freeEvery) + time.Minute
}

// settle waits until all that was begun has ended, and compares what is left with the model.
func (w *world) settle() {
	limit := ended
	if w.skewed() {
		limit += 10 * time.Minute
	}
	began := time.Now()
	for w.unfinished() {
		if time.Since(began) > limit {
			units, _ := w.texts(`SELECT kind || ' of ' || task || ', owner ' || owner || ', failures ' || failures || ', waits ' || waits || ', claims ' || claims || ': ' || last_error FROM units`)
			w.failf("%v after all is well again there are tasks that have not ended; units: %q", limit, units)
			return
		}
		time.Sleep(5 * time.Second)
	}
	w.note(nil, "all tasks have ended")
	quiet := time.Now()
	time.Sleep(w.quiet())
	w.note(nil, "it was quiet for %v", w.quiet())
	w.checkDuties(quiet)
	w.stop()
	n, ctx := w.newNode(0), context.Background() // one that claims nothing: a duty would leave something again
	defer n.close()
	if err := n.start(); err != nil {
		w.failf("starting a node at the end: %v", err)
		return
	}
	w.clear(ctx, n)
	w.checkTasks(ctx, n)
	w.checkSnapshots(ctx, n)
	w.checkLeft()
	if w.empty && len(w.failed) == 0 {
		w.checkEmpty(ctx, n)
	}
}

// checkDuties: every duty has been done since a time.
func (w *world) checkDuties(since time.Time) {
	late, err := w.texts(`SELECT kind FROM units WHERE task = '' AND kind IN ('gc', 'compact', 'expire', 'retain') AND claimed < $1`, since.UnixMicro())
	if err != nil || len(late) > 0 {
		w.failf("not done in %v are %q, %v", w.quiet(), late, err)
	}
}

// clear has a node do the duties until all is gone that nobody needs: pins that had no task in one round go in
// the next, and a block that a page of another cycle of gc let go of goes in a later one.
func (w *world) clear(ctx context.Context, n *node) {
	for range 2 {
		time.Sleep(listEvery)
		for _, kind := range []work.Kind{work.Expire, work.Retain, work.GC, work.GC} {
			if err := n.perform(ctx, kind); err != nil {
				w.failf("%s at the end: %v", kind, err)
			}
		}
	}
}

// unfinished reports whether there are tasks that have not ended, or drafts to settle.
func (w *world) unfinished() bool {
	left, err := w.texts(`SELECT id FROM tasks WHERE state NOT IN ('completed', 'deleted') UNION ALL SELECT task FROM units WHERE kind IN ('complete', 'copy', 'let go')`)
	if err != nil {
		w.failf("%v", err)
	}
	return len(left) > 0
}

// checkTasks: every accepted task has ended, and as it should.
func (w *world) checkTasks(ctx context.Context, n *node) {
	for number, m := range w.model.tasks {
		if !m.accepted {
			continue
		}
		t, err := n.db.Tasks().Get(ctx, home(w.model.snapshots[number].account), m.id)
		switch {
		case err != nil:
			w.failf("task of op %d: %v", number, err)
		case t.State == importtask.Completed:
			w.model.snapshots[number].due = true
			w.count("imports completed", 1)
		case t.State != importtask.Deleted:
			w.failf("task of op %d is %s: %+v", number, t.State, t.Retry)
		case !m.cancelled:
			w.failf("task of op %d failed: %+v", number, t.Failure)
		}
	}
}

// records returns all snapshots.
func (w *world) records(ctx context.Context, n *node) (records []snapshot.Record) {
	for i := range accounts {
		h := home(i)
		some, err := n.db.Snapshots().List(ctx, h, snapshot.Filter{Owners: []string{h.Account}}, listing.Place{}, 1000)
		if err != nil {
			w.failf("listing snapshots: %v", err)
		}
		records = append(records, some...)
	}
	return records
}

// checkSnapshots: every snapshot that must be there is, and holds what its clients wrote.
func (w *world) checkSnapshots(ctx context.Context, n *node) {
	there := map[int]snapshot.State{}
	for _, rec := range w.records(ctx, n) {
		made := opOf(rec.Description)
		if there[made] != "" {
			w.failf("there are two snapshots of op %d", made)
		}
		there[made] = rec.State
		switch rec.State {
		case snapshot.Completed:
			b, err := n.lib.Open(ctx, rec)
			if err == nil {
				err = w.compare(ctx, b, made)
			}
			w.count("snapshots completed and kept", 1)
			if err != nil {
				w.failf("snapshot of op %d, %s: %v", made, rec.ID, err)
			}
		case snapshot.Pending:
			w.failf("snapshot of op %d, %s, is pending for ever", made, rec.ID)
		case snapshot.Failed:
		}
	}
	for made, m := range w.model.snapshots {
		switch state := there[made]; {
		case m.deleted && state != "":
			w.failf("the snapshot of op %d was deleted, and is %s", made, state)
		case m.failing && state == snapshot.Completed:
			w.failf("the snapshot of op %d is completed, although not all was written", made)
		case m.due && !m.deletes && state != snapshot.Completed:
			w.failf("the snapshot of op %d is %q", made, state)
		}
	}
}

// checkLeft: rows and files agree, and nothing is left that nobody needs.
func (w *world) checkLeft() {
	for _, r := range remains {
		left, err := w.texts(r.stmt)
		if err != nil {
			w.failf("%v", err)
		}
		if len(left) > 0 {
			w.failf("left are %s: %q", r.what, left)
		}
	}
	rows, err := w.ask(`SELECT id, kind FROM files`)
	if err != nil {
		w.failf("%v", err)
	}
	var named []string
	for _, row := range rows {
		named = append(named, nameOf(row))
	}
	slices.Sort(named)
	if there := w.files.Names(); !slices.Equal(named, there) {
		w.failf("rows name the files %q, there are %q", named, there)
	}
	if aside := w.files.AsideNames(); len(aside) > 0 {
		w.failf("set aside are %q", aside)
	}
	w.pins.mu.Lock()
	defer w.pins.mu.Unlock()
	for id := range w.pins.held {
		w.failf("the pin of %s is left", id)
	}
}

// checkEmpty: once all snapshots are deleted, nothing is left.
func (w *world) checkEmpty(ctx context.Context, n *node) {
	for _, rec := range w.records(ctx, n) {
		if err := n.db.Snapshots().Delete(ctx, rec.Home(), rec.ID); err != nil {
			w.failf("deleting %s at the end: %v", rec.ID, err)
		}
	}
	w.clear(ctx, n)
	w.checkLeft()
	for _, table := range []string{"files", "blocks", "pages", "snapshots"} {
		left, err := w.texts(`SELECT COUNT(*) FROM ` + table)
		if err != nil || !slices.Equal(left, []string{"0"}) {
			w.failf("after everything was deleted, %s: %q, %v", table, left, err)
		}
	}
	w.count("worlds emptied", 1)
}
