package metadb

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// taskRow is what events need of a task whose row they have locked.
type taskRow struct {
	id       string
	home     awsid.Home
	state    importtask.State
	snapshot string
	counts   importtask.Counts
	left     int // ranges
}

// lockTask returns a task and keeps other transactions from changing it until this
// one ends.
func lockTask(ctx context.Context, q querier, id string) (t taskRow, ok bool, err error) {
	scan := func(s scanner) (t taskRow, err error) {
		var counts string
		if err = s.Scan(&t.id, &t.home.Account, &t.home.Region, &t.state, &t.snapshot, &counts, &t.left); err != nil {
			return t, err
		}
		return t, taskCounts.read(counts, &t.counts)
	}
	return one(ctx, q, scan, `
		UPDATE tasks SET state = state WHERE id = $1 RETURNING id, account, region, state, snapshot, counts, ranges_left`, id)
}

// event runs fn as an event of the lease's task that ends its unit.
func (db *DB) event(ctx context.Context, l work.Lease, e importtask.Event, fn func(querier, taskRow, importtask.State) error) error {
	return db.eventOf(ctx, l, e, finishUnit, fn)
}

// eventOf runs fn as an event of the lease's task: it locks the task, checks the
// lease by what becomes of its unit, and asks the state machine for the next state. The
// end of a task without a snapshot frees room.
func (db *DB) eventOf(ctx context.Context, l work.Lease, e importtask.Event, unit func(context.Context, querier, work.Lease) error,
	fn func(querier, taskRow, importtask.State) error) error {
	run := db.update
	if e == importtask.EventFailed || e == importtask.EventCleanedUp {
		run = db.free
	}
	return run(ctx, fmt.Sprintf("task %s: %s", l.Task, e), func(q querier) error {
		task, ok, err := lockTask(ctx, q, l.Task)
		if err != nil {
			return err
		}
		if !ok {
			return work.ErrLost
		}
		if err := unit(ctx, q, l); err != nil {
			return err
		}
		next, err := importtask.Next(task.state, e)
		if err != nil {
			return err
		}
		return fn(q, task, next)
	})
}

// SetPhase implements importtask.Progress.
func (t Tasks) SetPhase(ctx context.Context, l work.Lease, p importtask.Phase, format string) error {
	return t.db.update(ctx, fmt.Sprintf("set phase of task %s to %s", l.Task, p), func(q querier) error {
		n, err := exec(ctx, q, `
			UPDATE tasks SET phase = $1, format = CASE WHEN $2 = '' THEN format ELSE $2 END WHERE id = $3 AND state = $4`,
			p, format, l.Task, importtask.Active)
		if err := lostUnless(n, err); err != nil {
			return err
		}
		return holdUnit(ctx, q, l)
	})
}

// Planned implements importtask.Progress.
func (t Tasks) Planned(ctx context.Context, l work.Lease, p importtask.Plan) (next work.Lease, err error) {
	units := []work.Lease{t.db.leased(l, work.Publish, 0)}
	if len(p.Ranges) > 0 {
		units[0] = t.db.leased(l, work.Range, 0)
	}
	for i := 1; i < len(p.Ranges); i++ {
		units = append(units, t.db.unit(work.Unit{Account: l.Account, Kind: work.Range, Task: l.Task, Range: i}))
	}
	ranges, err1 := taskRanges.text(p.Ranges)
	warnings, err2 := taskWarnings.text(p.Warnings)
	if err := errors.Join(err1, err2); err != nil {
		return next, err
	}
	err = t.db.event(ctx, l, importtask.EventPlanned, func(q querier, task taskRow, _ importtask.State) error {
		if err := t.db.addSnapshot(ctx, q, task, p.Snapshot); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `
			UPDATE tasks SET format = $1, virtual_bytes = $2, ranges = $3, ranges_left = $4, warnings = $5, snapshot = $6, started = $7,
				kms_key = CASE WHEN $8 = '' THEN kms_key ELSE $8 END
			WHERE id = $9`,
			p.Format, p.Virtual, ranges, len(p.Ranges), warnings, p.Snapshot.ID, micros(t.db.now()), p.KMSKey, task.id); err != nil {
			return err
		}
		return t.db.addUnits(ctx, q, units...)
	})
	return units[0], err
}

// FinishSlice implements importtask.Progress.
func (t Tasks) FinishSlice(ctx context.Context, l work.Lease, r importtask.RangeResult, done int64) error {
	on := func(ctx context.Context, q querier, l work.Lease) error { return handOn(ctx, q, l, done) }
	return t.db.eventOf(ctx, l, importtask.EventSliceDone, on, func(q querier, task taskRow, _ importtask.State) error {
		return register(ctx, q, l, task, r)
	})
}

// register makes what a slice of a range holds exist, as part of the task's draft.
func register(ctx context.Context, q querier, l work.Lease, task taskRow, r importtask.RangeResult) error {
	var named int64
	for _, p := range r.Pages {
		named += int64(p.Blocks)
	}
	if named != r.Counts.Data {
		return fmt.Errorf("%d blocks were ingested, the pages name %d", r.Counts.Data, named)
	}
	if err := store(ctx, q, l, r); err != nil {
		return err
	}
	if err := addRangePages(ctx, q, task.snapshot, r.Pages); err != nil {
		return err
	}
	task.counts.Add(r.Counts)
	counts, err := taskCounts.text(task.counts)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `UPDATE tasks SET counts = $1 WHERE id = $2`, counts, task.id)
	return err
}

// FinishRange implements importtask.Progress.
func (t Tasks) FinishRange(ctx context.Context, l work.Lease, r importtask.RangeResult) (next work.Lease, ok bool, err error) {
	err = t.db.event(ctx, l, importtask.EventRangeDone, func(q querier, task taskRow, _ importtask.State) error {
		if err := register(ctx, q, l, task, r); err != nil {
			return err
		}
		// The task is locked, so exactly one caller sees the count fall to 0.
		left, found, err := one(ctx, q, column[int], `
			UPDATE tasks SET ranges_left = ranges_left - 1 WHERE id = $1 AND ranges_left > 0 RETURNING ranges_left`, task.id)
		if err == nil && !found {
			err = errors.New("no range is left to finish")
		}
		if ok = err == nil && left == 0; !ok {
			return err
		}
		next = t.db.leased(l, work.Publish, 0)
		return t.db.addUnits(ctx, q, next)
	})
	if err != nil || !ok {
		return work.Lease{}, false, err
	}
	return next, true, nil
}

// store closes the files of a slice of a range, and inserts the blocks and pages that they
// hold.
func store(ctx context.Context, q querier, l work.Lease, r importtask.RangeResult) error {
	for _, p := range r.Packs {
		if err := closeFile(ctx, q, l, p.File.ID, p.Bytes); err != nil {
			return err
		}
	}
	if r.PagesFile != (blockstore.File{}) {
		if err := closeFile(ctx, q, l, r.PagesFile.ID, r.PagesBytes); err != nil {
			return err
		}
	}
	if err := addBlocks(ctx, q, r.Packs); err != nil {
		return err
	}
	return addPages(ctx, q, r.PagesFile.ID, r.Pages)
}

// Publish implements importtask.Progress.
func (t Tasks) Publish(ctx context.Context, l work.Lease, p importtask.Published) error {
	return t.db.event(ctx, l, importtask.EventPublished, func(q querier, task taskRow, next importtask.State) error {
		if err := allRangesDone(ctx, q, task, p.Blocks); err != nil {
			return err
		}
		if err := closeRoot(ctx, q, l, p.Root.ID, p.RootBytes); err != nil {
			return err
		}
		now := micros(t.db.now())
		n, err := exec(ctx, q, `
			UPDATE snapshots SET state = $1, root = $2, blocks = $3, stored = $4, completed = $5, progress = 100 WHERE id = $6 AND state = $7`,
			snapshot.Completed, p.Root.ID, p.Blocks, task.counts.Stored, now, task.snapshot, snapshot.Pending)
		if err == nil && n == 0 {
			err = fmt.Errorf("publish snapshot %q: %w", task.snapshot, snapshot.ErrNotFound)
		}
		if err != nil {
			return err
		}
		if err := t.db.endTask(ctx, q, task, next, now); err != nil {
			return err
		}
		made := outbox.Detail{Snapshot: task.snapshot}
		if err := t.db.tell(ctx, q, outbox.Event{Kind: outbox.ImportCompleted, Account: task.home.Account, Region: task.home.Region, Resource: task.id, Detail: made}); err != nil {
			return err
		}
		return t.db.tell(ctx, q, outbox.Event{Kind: outbox.SnapshotCompleted, Account: task.home.Account, Region: task.home.Region, Resource: task.snapshot})
	})
}

// allRangesDone refuses to publish a task whose rows do not agree that everything was
// ingested: what is left by the counter, by the units, and by the counts of the
// finished slices, against the blocks under the root. The root is made of range_pages
// alone, so those can't be what it is compared with; each slice counted as many blocks
// as its pages name (register).
func allRangesDone(ctx context.Context, q querier, task taskRow, blocks int64) error {
	units, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM units WHERE task = $1 AND kind = $2`, task.id, work.Range)
	switch {
	case err != nil:
		return err
	case task.left != 0 || units != 0:
		return fmt.Errorf("%d ranges are not finished, and %d units of ranges are left", task.left, units)
	case task.counts.Data != blocks:
		return fmt.Errorf("its ranges ingested %d blocks, its root has %d", task.counts.Data, blocks)
	}
	return nil
}

// endTask gives a task its last state. Its pin is released and its draft is gone.
func (db *DB) endTask(ctx context.Context, q querier, task taskRow, s importtask.State, now int64) error {
	if err := db.letGo(ctx, q, task.home.Account, task.snapshot); err != nil {
		return err
	}
	if err := dropUnits(ctx, q, task.id); err != nil {
		return err
	}
	_, err := exec(ctx, q, `UPDATE tasks SET state = $1, ended = $2, pin = '' WHERE id = $3`, s, now, task.id)
	return err
}
