package metadb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// taskRow is what events need of a task whose row they have locked; of a disk of an
// image, the image's is locked too.
type taskRow struct {
	id       string
	image    string // the image's task; empty: it imports a snapshot alone
	home     awsid.Home
	state    importtask.State
	snapshot string
	counts   importtask.Counts
	left     int    // ranges
	ranges   string // as they are stored
	plan     int64  // sum over ranges; 0: an older version has planned it
	pages    int64  // of all ranges, that are left; below 0: nobody counts them
}

// lockTask returns a task and keeps other transactions from changing it until this
// one ends.
func lockTask(ctx context.Context, q querier, id string) (t taskRow, ok bool, err error) {
	if whole := importtask.WholeOf(id); whole != id { // it comes before its disks in every transaction
		if _, ok, err := lockImageTask(ctx, q, whole); err != nil || !ok {
			return t, false, err
		}
	}
	return one(ctx, q, scanTaskRow, lockTasks+` WHERE id = $1`+lockedTasks, id)
}

const (
	lockTasks   = `UPDATE tasks SET state = state`
	lockedTasks = ` RETURNING id, image_task, account, region, state, snapshot, counts, ranges_left, ranges, plan_sum, pages_left`
)

func scanTaskRow(s scanner) (t taskRow, err error) {
	var counts string
	if err = s.Scan(&t.id, &t.image, &t.home.Account, &t.home.Region, &t.state, &t.snapshot, &counts, &t.left, &t.ranges, &t.plan, &t.pages); err != nil {
		return t, err
	}
	return t, taskCounts.read(counts, &t.counts)
}

// eventOf runs fn as an event of the lease's task on its way: it locks the task, checks the
// lease by what becomes of its unit, and asks the state machine whether the task may go on.
func (db *DB) eventOf(ctx context.Context, l work.Lease, e importtask.Event, unit func(context.Context, querier, work.Lease) error,
	fn func(querier, taskRow) error) error {
	return db.update(ctx, fmt.Sprintf("task %s: %s", l.Task, e), func(q querier) error {
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
		if _, err := importtask.Next(task.state, e); err != nil {
			return err
		}
		return fn(q, task)
	})
}

// ending runs fn as an event of the lease's task, or of all disks of its image, which ends
// the unit and moves them to another state. The end without a snapshot frees room.
func (db *DB) ending(ctx context.Context, l work.Lease, e importtask.Event, fn func(querier, whole, importtask.State) error) error {
	run := db.update
	if e == importtask.EventFailed || e == importtask.EventCleanedUp {
		run = db.free
	}
	return run(ctx, fmt.Sprintf("task %s: %s", l.Task, e), func(q querier) error {
		w, ok, err := lockWhole(ctx, q, l.Task)
		if err != nil {
			return err
		}
		if !ok {
			return work.ErrLost
		}
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		next, err := importtask.Next(w.state, e)
		if err != nil {
			return err
		}
		return fn(q, w, next)
	})
}

// SetPhase implements importtask.Progress.
func (t Tasks) SetPhase(ctx context.Context, l work.Lease, p importtask.Phase, format string) error {
	return t.db.update(ctx, fmt.Sprintf("set phase of task %s to %s", l.Task, p), func(q querier) error {
		if err := setPhase(ctx, q, l.Task, p, format); err != nil {
			return err
		}
		return holdUnit(ctx, q, l)
	})
}

// setPhase sets the phase of a task, or of all disks of an image, of which there may be
// none. It fails with work.ErrLost if they are not Active.
func setPhase(ctx context.Context, q querier, task string, p importtask.Phase, format string) error {
	which := `id`
	if awsid.IsImageTask(task) {
		which = `image_task <> '' AND image_task`
		w, ok, err := lockImageTask(ctx, q, task) // before its disks
		if err != nil {
			return err
		}
		if !ok || w.state != importtask.Active {
			return work.ErrLost
		}
	}
	n, err := exec(ctx, q, `
		UPDATE tasks SET phase = $1, format = CASE WHEN $2 = '' THEN format ELSE $2 END WHERE `+which+` = $3 AND state = $4`,
		p, format, task, importtask.Active)
	if awsid.IsImageTask(task) {
		return err
	}
	return lostUnless(n, err)
}

// Planned implements importtask.Progress.
func (t Tasks) Planned(ctx context.Context, l work.Lease, p importtask.Plan) (next work.Lease, ok bool, err error) {
	var units []work.Lease
	for i := range p.Ranges {
		units = append(units, t.db.unit(work.Unit{Account: l.Account, Kind: work.Range, Task: l.Task, Range: i}))
	}
	if len(units) > 0 {
		units[0] = t.db.leased(l, work.Range, 0)
	}
	pages := int64(0)
	for _, r := range p.Ranges {
		pages += r.Pages
	}
	if t.db.engine.shared { // an older node beside this one would not count them
		pages = -1
	}
	ranges, err1 := taskRanges.text(p.Ranges)
	warnings, err2 := taskWarnings.text(p.Warnings)
	if err := errors.Join(err1, err2); err != nil {
		return next, false, err
	}
	err = t.db.eventOf(ctx, l, importtask.EventPlanned, finishUnit, func(q querier, task taskRow) error {
		if err := t.db.addSnapshot(ctx, q, task, p.Snapshot); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `
			UPDATE tasks SET format = $1, virtual_bytes = $2, ranges = $3, ranges_left = $4, warnings = $5, snapshot = $6, started = $7,
				kms_key = CASE WHEN $8 = '' THEN kms_key ELSE $8 END, plan_sum = $9, pages_left = $10
			WHERE id = $11`,
			p.Format, p.Virtual, ranges, len(p.Ranges), warnings, p.Snapshot.ID, micros(t.db.now()), p.KMSKey, planSum(task.id, ranges), pages, task.id); err != nil {
			return err
		}
		if len(units) == 0 {
			next, ok, err = t.db.publishNext(ctx, q, l, task)
			return err
		}
		next, ok = units[0], true
		return t.db.addUnits(ctx, q, units...)
	})
	if err != nil || !ok {
		return work.Lease{}, false, err
	}
	return next, true, nil
}

// publishNext makes the Publish unit of a task that has no range left, or of the image of
// which it is the last such disk, and leases it to the owner of l. The task or image is
// locked, so exactly one caller is told that it is the last.
func (db *DB) publishNext(ctx context.Context, q querier, l work.Lease, task taskRow) (next work.Lease, ok bool, err error) {
	next = db.leased(l, work.Publish, 0)
	if task.image != "" {
		left, _, err := one(ctx, q, column[int], `
			SELECT COUNT(*) FROM tasks WHERE image_task = $1 AND image_task <> '' AND (started = 0 OR ranges_left > 0)`, task.image)
		if err != nil || left > 0 {
			return work.Lease{}, false, err
		}
		next.Task = task.image
	}
	return next, true, db.addUnits(ctx, q, next)
}

// FinishSlice implements importtask.Progress.
func (t Tasks) FinishSlice(ctx context.Context, l work.Lease, r importtask.RangeResult, done int64) error {
	on := func(ctx context.Context, q querier, l work.Lease) error { return handOn(ctx, q, l, done) }
	return t.db.eventOf(ctx, l, importtask.EventSliceDone, on, func(q querier, task taskRow) error {
		return register(ctx, q, l, task, r, done)
	})
}

// register makes what a slice of a range holds exist, as part of the task's draft. done is how many
// pages of the range are done with it.
func register(ctx context.Context, q querier, l work.Lease, task taskRow, r importtask.RangeResult, done int64) error {
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
	_, err = exec(ctx, q, `
		UPDATE tasks SET counts = $1, pages_left = CASE WHEN pages_left < 0 THEN pages_left ELSE pages_left - $2 END WHERE id = $3`,
		counts, done-l.Done, task.id)
	return err
}

// pagesOf returns how many pages a range of a task has.
func (t taskRow) pagesOf(index int) (int64, error) {
	var ranges []importtask.Range
	err := taskRanges.read(t.ranges, &ranges)
	if err != nil || index >= len(ranges) {
		return 0, err
	}
	return ranges[index].Pages, nil
}

// planSum is a sum over the ranges of a task, as they are stored. It is never 0.
func planSum(task, ranges string) int64 {
	sum := sha256.Sum256([]byte(task + " " + ranges))
	return int64(binary.LittleEndian.Uint64(sum[:])>>1 | 1)
}

// FinishRange implements importtask.Progress.
func (t Tasks) FinishRange(ctx context.Context, l work.Lease, r importtask.RangeResult) (next work.Lease, ok bool, err error) {
	err = t.db.eventOf(ctx, l, importtask.EventRangeDone, finishUnit, func(q querier, task taskRow) error {
		pages, err := task.pagesOf(l.Range)
		if err == nil {
			err = register(ctx, q, l, task, r, pages)
		}
		if err != nil {
			return err
		}
		left, found, err := one(ctx, q, column[int], `
			UPDATE tasks SET ranges_left = ranges_left - 1 WHERE id = $1 AND ranges_left > 0 RETURNING ranges_left`, task.id)
		if err == nil && !found {
			err = errors.New("no range is left to finish")
		}
		if err != nil || left > 0 {
			return err
		}
		next, ok, err = t.db.publishNext(ctx, q, l, task)
		return err
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
	return t.db.ending(ctx, l, importtask.EventPublished, func(q querier, w whole, next importtask.State) error {
		now := micros(t.db.now())
		for _, task := range w.parts {
			if err := publishSnapshot(ctx, q, l, task, p.Roots, now); err != nil {
				return err
			}
		}
		made := outbox.Detail{}
		switch {
		case w.image && p.Image == nil, !w.image && p.Image != nil, len(p.Roots) != len(w.parts):
			return fmt.Errorf("publish %s with %d roots, and an image: %v", w.id, len(p.Roots), p.Image != nil)
		case w.image:
			made.Image = p.Image.ID
			if err := addImage(ctx, q, *p.Image, snapshot.Completed); err != nil {
				return err
			}
			if _, err := exec(ctx, q, `UPDATE image_tasks SET image = $1 WHERE id = $2`, made.Image, w.id); err != nil {
				return err
			}
		default:
			made.Snapshot = w.parts[0].snapshot
		}
		if err := t.db.end(ctx, q, w, next, now); err != nil {
			return err
		}
		if err := t.db.tell(ctx, q, outbox.Event{Kind: outbox.ImportCompleted, Account: w.home.Account, Region: w.home.Region, Resource: w.id, Detail: made}); err != nil {
			return err
		}
		for _, task := range w.parts {
			if err := t.db.tellSnapshot(ctx, q, outbox.SnapshotCompleted, w.home.Account, task.snapshot, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// publishSnapshot completes the snapshot of a task with its root among roots.
func publishSnapshot(ctx context.Context, q querier, l work.Lease, task taskRow, roots []importtask.Root, now int64) error {
	at := slices.IndexFunc(roots, func(r importtask.Root) bool { return r.Task == task.id })
	if at < 0 {
		return fmt.Errorf("publish snapshot %q: no root", task.snapshot)
	}
	root := roots[at]
	if err := allRangesDone(ctx, q, task, root.Blocks); err != nil {
		return err
	}
	if err := closeRoot(ctx, q, l, root.File.ID, root.Bytes); err != nil {
		return err
	}
	n, err := exec(ctx, q, `
		UPDATE snapshots SET state = $1, root = $2, blocks = $3, stored = $4, completed = $5, progress = 100, task = $6 WHERE id = $7 AND state = $8`,
		snapshot.Completed, root.File.ID, root.Blocks, task.counts.Stored, now, importtask.WholeOf(task.id), task.snapshot, snapshot.Pending)
	if err == nil && n == 0 {
		err = fmt.Errorf("publish snapshot %q: %w", task.snapshot, snapshot.ErrNotFound)
	}
	return err
}

// allRangesDone refuses to publish a task whose rows do not agree that everything was
// ingested: what is left by the counter, by the units, and by the counts of the
// finished slices, against the blocks under the root. The root is made of range_pages
// alone, so those can't be what it is compared with; each slice counted as many blocks
// as its pages name (register). A bit that is turned over in the plan, or in how far a range is, has
// pages left out, which is told by the plan's sum, and by how many pages the slices had.
func allRangesDone(ctx context.Context, q querier, task taskRow, blocks int64) error {
	units, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM units WHERE task = $1 AND kind = $2`, task.id, work.Range)
	switch {
	case err != nil:
		return err
	case task.left != 0 || units != 0:
		return fmt.Errorf("%d ranges are not finished, and %d units of ranges are left", task.left, units)
	case task.plan != 0 && task.plan != planSum(task.id, task.ranges):
		return errors.New("its plan is not as it was made")
	case task.plan != 0 && task.pages > 0:
		return fmt.Errorf("%d pages of its ranges were not dealt with", task.pages)
	case task.counts.Data != blocks:
		return fmt.Errorf("its ranges ingested %d blocks, its root has %d", task.counts.Data, blocks)
	}
	return nil
}
