package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/work"
)

// CreateImage implements importtask.ImageTasks. A task without CreatedAt is created now.
func (t Tasks) CreateImage(ctx context.Context, task importtask.ImageTask, limit int) (stored importtask.ImageTask, created bool, err error) {
	err = t.db.update(ctx, "create task "+task.ID, func(q querier) error {
		if err := lockAccount(ctx, q, task.Account); err != nil {
			return err
		}
		if stored, created, err = imageTaskByToken(ctx, q, task.Home(), task.Token); err != nil || created {
			created = false
			return err
		}
		running, err := activeTasks(ctx, q, task.Home())
		if err != nil {
			return err
		}
		if running >= limit {
			return importtask.ErrTooMany
		}
		created = true
		stored, err = t.db.addImageTask(ctx, q, task)
		return err
	})
	return stored, created && err == nil, err
}

func (db *DB) addImageTask(ctx context.Context, q querier, t importtask.ImageTask) (stored importtask.ImageTask, err error) {
	at := cmp.Or(t.CreatedAt, db.now())
	if err := insertImageTask(ctx, q, t, at); err != nil {
		return stored, err
	}
	for _, disk := range t.Disks {
		if err := db.startTask(ctx, q, disk, at); err != nil {
			return stored, err
		}
	}
	if len(t.Disks) == 0 {
		if err := db.addUnits(ctx, q, db.unit(work.Unit{Account: t.Account, Kind: work.Publish, Task: t.ID})); err != nil {
			return stored, err
		}
	}
	if err := putTags(ctx, q, t.Home(), t.ID, t.Tags); err != nil {
		return stored, err
	}
	return getImageTask(ctx, q, t.Home(), t.ID)
}

func insertImageTask(ctx context.Context, q querier, t importtask.ImageTask, created time.Time) error {
	spec, err := imageTaskSpec.text(t.Spec)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `
		INSERT INTO image_tasks (id, account, region, token, digest, spec, state, failure, image, created, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '{}', '', $8, 0)`,
		t.ID, t.Account, t.Region, sql.NullString{String: t.Token, Valid: t.Token != ""}, t.RequestDigest, spec, importtask.Active, micros(created))
	return err
}

// ImageByToken implements importtask.ImageTasks.
func (t Tasks) ImageByToken(ctx context.Context, home awsid.Home, token string) (task importtask.ImageTask, err error) {
	err = t.db.view(ctx, "get a task of account "+home.Account+" by token", func(q querier) error {
		var ok bool
		if task, ok, err = imageTaskByToken(ctx, q, home, token); err == nil && !ok {
			err = importtask.ErrNotFound
		}
		return err
	})
	return task, err
}

func imageTaskByToken(ctx context.Context, q querier, home awsid.Home, token string) (task importtask.ImageTask, ok bool, err error) {
	return rowByToken(ctx, q, `SELECT id FROM image_tasks WHERE account = $1 AND region = $2 AND token = $3`, home, token, getImageTask)
}

// GetImage implements importtask.ImageTasks.
func (t Tasks) GetImage(ctx context.Context, home awsid.Home, id string) (task importtask.ImageTask, err error) {
	err = t.db.view(ctx, "get task "+id, func(q querier) error {
		task, err = getImageTask(ctx, q, home, id)
		return err
	})
	return task, err
}

// ImageOfUnit implements importtask.Disks.
func (t Tasks) ImageOfUnit(ctx context.Context, u work.Unit) (task importtask.ImageTask, err error) {
	id := importtask.WholeOf(u.Task)
	err = t.db.view(ctx, "get task "+id, func(q querier) error {
		task, err = readImageTask(ctx, q, selectImageTask+` WHERE id = $1 AND account = $2`, id, u.Account)
		return err
	})
	return task, err
}

func getImageTask(ctx context.Context, q querier, home awsid.Home, id string) (importtask.ImageTask, error) {
	return readImageTask(ctx, q, selectImageTask+` WHERE id = $1 AND account = $2 AND region = $3`, id, home.Account, home.Region)
}

// readImageTask returns the only task of an image that a statement selects, complete.
func readImageTask(ctx context.Context, q querier, stmt string, args ...any) (task importtask.ImageTask, err error) {
	task, ok, err := one(ctx, q, scanImageTask, stmt, args...)
	if err != nil {
		return task, err
	}
	if !ok {
		return task, importtask.ErrNotFound
	}
	list := []importtask.ImageTask{task}
	if err := addDisks(ctx, q, list); err != nil {
		return task, err
	}
	if err := watchedImages(ctx, q, list); err != nil {
		return task, err
	}
	task = list[0]
	tags, err := tagsOf(ctx, q, task.ID)
	task.Tags = tags[task.ID]
	return task, err
}

// addDisks adds the disks to tasks of images.
func addDisks(ctx context.Context, q querier, tasks []importtask.ImageTask) error {
	at := map[string]int{}
	var ids []string
	for i, t := range tasks {
		at[t.ID] = i
		ids = append(ids, t.ID)
	}
	disks, err := allIn(ctx, q, scanTask, args(ids), selectTask+` WHERE image_task <> '' AND image_task IN (?) ORDER BY image_task, container, disk`)
	for _, d := range disks {
		t := &tasks[at[d.ImageTask]]
		t.Disks = append(t.Disks, d)
	}
	return err
}

// watchedImages is watched for tasks of images, with all their disks.
func watchedImages(ctx context.Context, q querier, tasks []importtask.ImageTask) error {
	var ids []string
	for _, t := range tasks {
		if t.State == importtask.Active {
			ids = append(ids, t.ID)
			for _, d := range t.Disks {
				ids = append(ids, d.ID)
			}
		}
	}
	seen, err := watch(ctx, q, ids...)
	for i := range tasks {
		t := &tasks[i]
		t.Retry, t.Waiting = seen[t.ID].retry, seen[t.ID].wait
		for n := range t.Disks {
			d := &t.Disks[n]
			d.Counts.Add(seen[d.ID].counts)
			d.Retry, d.Waiting = seen[d.ID].retry, seen[d.ID].wait
		}
	}
	return err
}

// ListImages implements importtask.ImageTasks.
func (t Tasks) ListImages(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) (tasks []importtask.ImageTask, err error) {
	own := query{from: selectImageTask, order: `created, id`}.and(`account = ?`, home.Account).and(`region = ?`, home.Region)
	err = t.db.view(ctx, "list tasks of images of account "+home.Account, func(q querier) error {
		tasks, err = filteredTasks(ctx, q, scanImageTask, own, placeOfImageTask, f, after, limit)
		if err != nil {
			return err
		}
		if err := addDisks(ctx, q, tasks); err != nil {
			return err
		}
		if err := watchedImages(ctx, q, tasks); err != nil {
			return err
		}
		var ids []string
		for _, task := range tasks {
			ids = append(ids, task.ID)
		}
		tags, err := tagsOf(ctx, q, ids...)
		for i := range tasks {
			tasks[i].Tags = tags[tasks[i].ID]
		}
		return err
	})
	return tasks, err
}

func placeOfImageTask(t importtask.ImageTask) listing.Place { return listing.At(t.CreatedAt, t.ID) }

const selectImageTask = `
	SELECT id, account, region, COALESCE(token, ''), digest, spec, state, failure, image, created, ended FROM image_tasks`

func scanImageTask(s scanner) (t importtask.ImageTask, err error) {
	var spec, failure string
	var created, ended int64
	if err = s.Scan(&t.ID, &t.Account, &t.Region, &t.Token, &t.RequestDigest, &spec, &t.State, &failure, &t.ImageID, &created, &ended); err != nil {
		return t, err
	}
	t.CreatedAt, t.EndedAt = fromMicros(created), fromMicros(ended)
	return t, cmp.Or(imageTaskSpec.read(spec, &t.Spec), imageTaskFailure.read(failure, &t.Failure))
}

// Split implements importtask.Disks.
func (t Tasks) Split(ctx context.Context, l work.Lease, m importtask.Machine, members []string) error {
	machine, err := taskMachine.text(m)
	if err != nil {
		return err
	}
	return t.db.eventOf(ctx, l, importtask.EventSplit, holdUnit, func(q querier, task taskRow) error {
		first, err := readTask(ctx, q, selectTask+` WHERE id = $1`, task.id)
		switch {
		case err != nil:
			return err
		case first.ImageTask == "" || first.Member != "" || len(members) == 0:
			return fmt.Errorf("split task %s, whose disk is %q, into %d", task.id, first.Member, len(members))
		}
		if err := roomForDisks(ctx, q, task.image, len(members)-1); err != nil {
			return err
		}
		if _, err := exec(ctx, q, `UPDATE tasks SET member = $1, machine = $2 WHERE id = $3`, members[0], machine, task.id); err != nil {
			return err
		}
		for i, member := range members[1:] {
			disk := first
			disk.Place.Disk = i + 2
			disk.ID = importtask.DiskID(disk.ImageTask, disk.Place)
			disk.Member, disk.Device, disk.Machine, disk.Phase = member, "", importtask.Machine{}, importtask.Waiting
			if err := t.db.startTask(ctx, q, disk, first.CreatedAt); err != nil {
				return err
			}
		}
		return nil
	})
}

// roomForDisks fails with *importtask.DisksError if an image, whose task is locked, can't
// have so many more disks.
func roomForDisks(ctx context.Context, q querier, id string, more int) error {
	t, err := readImageTask(ctx, q, selectImageTask+` WHERE id = $1`, id)
	if n := len(t.Disks) + len(t.Spec.Given) + more; err == nil && n > importtask.MaxDisks {
		err = &importtask.DisksError{Disks: n}
	}
	return err
}
