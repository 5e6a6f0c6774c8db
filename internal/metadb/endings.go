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
	cleanup.Task = importtask.WholeOf(l.Task)
	err := t.db.ending(ctx, l, importtask.EventFailed, func(q querier, w whole, next importtask.State) error {
		return t.db.startCleanup(ctx, q, w, next, l.Task, f, cleanup)
	})
	return cleanup, err
}

// Cancel implements importtask.Endings.
func (t Tasks) Cancel(ctx context.Context, home awsid.Home, id string, f importtask.Failure) (previous importtask.State, err error) {
	cleanup := t.db.unit(work.Unit{Account: home.Account, Kind: work.Cleanup, Task: id})
	err = t.db.free(ctx, "cancel task "+id, func(q querier) error {
		if id != importtask.WholeOf(id) { // a disk alone can't be cancelled
			return importtask.ErrNotFound
		}
		w, ok, err := lockWhole(ctx, q, id)
		if err != nil {
			return err
		}
		if !ok || w.home != home {
			return importtask.ErrNotFound
		}
		previous = w.state
		next, err := importtask.Next(w.state, importtask.EventCancelled)
		if err != nil || w.state == importtask.Deleting {
			return err // cancelling it once more changes nothing
		}
		return t.db.startCleanup(ctx, q, w, next, id, f, cleanup)
	})
	return previous, err
}

// startCleanup replaces the units of what failed by a Cleanup unit. The failure that came
// first stays; it is noted of the task that failed, and of the image that it is a disk of.
func (db *DB) startCleanup(ctx context.Context, q querier, w whole, next importtask.State, failed string, f importtask.Failure, cleanup work.Lease) error {
	if err := dropUnits(ctx, q, w.ids()...); err != nil {
		return err
	}
	if err := db.addUnits(ctx, q, cleanup); err != nil {
		return err
	}
	failure, err := taskFailure.text(f)
	if err != nil || w.state == importtask.Deleting {
		return err
	}
	if err := w.move(ctx, q, `state = $1`, next); err != nil {
		return err
	}
	if w.image {
		if _, err := exec(ctx, q, `UPDATE image_tasks SET failure = $1 WHERE id = $2`, failure, w.id); err != nil {
			return err
		}
	}
	_, err = exec(ctx, q, `UPDATE tasks SET failure = $1 WHERE id = $2`, failure, failed)
	return err
}

// CleanedUp implements importtask.Endings.
func (t Tasks) CleanedUp(ctx context.Context, l work.Lease) error {
	return t.db.ending(ctx, l, importtask.EventCleanedUp, func(q querier, w whole, next importtask.State) error {
		for _, task := range w.parts {
			if _, err := exec(ctx, q, `DELETE FROM snapshots WHERE id = $1 AND state <> $2`, task.snapshot, snapshot.Completed); err != nil {
				return err
			}
			if err := dropTags(ctx, q, task.snapshot); err != nil {
				return err
			}
		}
		if err := t.db.end(ctx, q, w, next, micros(t.db.now())); err != nil {
			return err
		}
		return t.db.tellFailure(ctx, q, w)
	})
}

// tellFailure puts into the outbox why a task ended without a snapshot.
func (db *DB) tellFailure(ctx context.Context, q querier, w whole) error {
	text, _, err := one(ctx, q, column[string], `SELECT failure FROM `+w.table()+` WHERE id = $1`, w.id)
	if err != nil {
		return err
	}
	var f importtask.Failure
	if err := taskFailure.read(text, &f); err != nil {
		return err
	}
	e := outbox.Event{Kind: outbox.ImportFailed, Account: w.home.Account, Region: w.home.Region, Resource: w.id, Detail: outbox.Detail{Reason: f.Reason, Message: f.Message}}
	if f.Cancelled() {
		e.Kind = outbox.ImportCancelled
	}
	return db.tell(ctx, q, e)
}

// Forget implements importtask.Endings.
func (t Tasks) Forget(ctx context.Context, before time.Time) (n int, err error) {
	const some = 64 // each has up to 50 tags, and an image up to 26 disks
	return t.db.inSlices(ctx, "forget tasks", some, func(q querier) (int, error) {
		ids, err := forgetSome(ctx, q, `tasks`, ` AND image_task = ''`, before, some)
		if err != nil || len(ids) == some {
			return len(ids), err
		}
		images, err := forgetSome(ctx, q, `image_tasks`, ``, before, some-len(ids))
		if err != nil {
			return 0, err
		}
		_, err = execIn(ctx, q, args(images), `DELETE FROM tasks WHERE image_task <> '' AND image_task IN (?)`)
		return len(ids) + len(images), err
	})
}

// forgetSome removes some of the rows of a table that ended before a time, with their
// tags, and returns their ids.
func forgetSome(ctx context.Context, q querier, table, and string, before time.Time, limit int) ([]string, error) {
	ids, err := all(ctx, q, column[string], `
		DELETE FROM `+table+` WHERE id IN (SELECT id FROM `+table+` WHERE ended <> 0 AND ended < $1`+and+` ORDER BY ended, id LIMIT $2) RETURNING id`,
		micros(before), limit)
	if err != nil {
		return nil, err
	}
	return ids, dropTags(ctx, q, ids...)
}
