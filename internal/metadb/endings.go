package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Fail implements importtask.Endings.
func (t Tasks) Fail(ctx context.Context, l work.Lease, f importtask.Failure) (work.Lease, error) {
	cleanup := t.db.leased(l, work.Cleanup, 0)
	err := t.db.event(ctx, l, importtask.EventFailed, func(q querier, task taskRow, next importtask.State) error {
		return t.db.startCleanup(ctx, q, task, next, f, cleanup)
	})
	return cleanup, err
}

// Cancel implements importtask.Endings.
func (t Tasks) Cancel(ctx context.Context, home awsid.Home, id string, f importtask.Failure) (previous importtask.State, err error) {
	cleanup := t.db.unit(work.Unit{Account: home.Account, Kind: work.Cleanup, Task: id})
	err = t.db.free(ctx, "cancel task "+id, func(q querier) error {
		task, ok, err := lockTask(ctx, q, id)
		if err != nil {
			return err
		}
		if !ok || task.home != home {
			return importtask.ErrNotFound
		}
		previous = task.state
		next, err := importtask.Next(task.state, importtask.EventCancelled)
		if err != nil || task.state == importtask.Deleting {
			return err // cancelling it once more changes nothing
		}
		return t.db.startCleanup(ctx, q, task, next, f, cleanup)
	})
	return previous, err
}

// startCleanup replaces a task's units by a Cleanup unit. The failure that came
// first stays the task's.
func (db *DB) startCleanup(ctx context.Context, q querier, task taskRow, next importtask.State, f importtask.Failure, cleanup work.Lease) error {
	if err := dropUnits(ctx, q, task.id); err != nil {
		return err
	}
	if err := db.addUnits(ctx, q, cleanup); err != nil {
		return err
	}
	failure, err := taskFailure.text(f)
	if err != nil || task.state == importtask.Deleting {
		return err
	}
	_, err = exec(ctx, q, `UPDATE tasks SET state = $1, failure = $2 WHERE id = $3`, next, failure, task.id)
	return err
}

// CleanedUp implements importtask.Endings.
func (t Tasks) CleanedUp(ctx context.Context, l work.Lease) error {
	return t.db.event(ctx, l, importtask.EventCleanedUp, func(q querier, task taskRow, next importtask.State) error {
		if _, err := exec(ctx, q, `DELETE FROM snapshots WHERE id = $1 AND state <> $2`, task.snapshot, snapshot.Completed); err != nil {
			return err
		}
		if err := dropTags(ctx, q, task.snapshot); err != nil {
			return err
		}
		if err := t.db.endTask(ctx, q, task, next, micros(t.db.now())); err != nil {
			return err
		}
		return t.db.tellFailure(ctx, q, task)
	})
}

// tellFailure puts into the outbox why a task ended without a snapshot.
func (db *DB) tellFailure(ctx context.Context, q querier, task taskRow) error {
	text, _, err := one(ctx, q, column[string], `SELECT failure FROM tasks WHERE id = $1`, task.id)
	if err != nil {
		return err
	}
	var f importtask.Failure
	if err := taskFailure.read(text, &f); err != nil {
		return err
	}
	e := outbox.Event{Kind: outbox.ImportFailed, Account: task.home.Account, Region: task.home.Region, Resource: task.id, Detail: outbox.Detail{Reason: f.Reason, Message: f.Message}}
	if f.Cancelled() {
		e.Kind = outbox.ImportCancelled
	}
	return db.tell(ctx, q, e)
}

// Forget implements importtask.Endings.
func (t Tasks) Forget(ctx context.Context, before time.Time) (n int, err error) {
	const some = 64 // each has up to 50 tags
	return t.db.inSlices(ctx, "forget tasks", some, func(q querier) (int, error) {
		ids, err := all(ctx, q, column[string], `
			DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE ended <> 0 AND ended < $1 ORDER BY ended, id LIMIT $2) RETURNING id`,
			micros(before), some)
		if err != nil {
			return 0, err
		}
		return len(ids), dropTags(ctx, q, ids...)
	})
}
