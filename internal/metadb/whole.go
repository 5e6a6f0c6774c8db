package metadb

import (
	"context"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/work"
)

// whole is what ends together, with its rows locked: a task that imports a snapshot, or
// the task of an image with those of its disks.
type whole struct {
	id    string
	image bool
	home  awsid.Home
	state importtask.State
	parts []taskRow // the task itself, or those of the disks in order of their ids
}

// lockWhole returns what ends together with a task, and keeps other transactions from
// changing it until this one ends.
func lockWhole(ctx context.Context, q querier, id string) (w whole, ok bool, err error) {
	id = importtask.WholeOf(id)
	if !awsid.IsImageTask(id) {
		t, ok, err := lockTask(ctx, q, id)
		return whole{id: id, home: t.home, state: t.state, parts: []taskRow{t}}, ok, err
	}
	if w, ok, err = lockImageTask(ctx, q, id); err != nil || !ok {
		return w, ok, err
	}
	w.parts, err = all(ctx, q, scanTaskRow, lockTasks+` WHERE image_task = $1 AND image_task <> ''`+lockedTasks, id)
	slices.SortFunc(w.parts, func(a, b taskRow) int { return strings.Compare(a.id, b.id) })
	return w, true, err
}

// lockImageTask is lockTask for the task of an image, without its disks.
func lockImageTask(ctx context.Context, q querier, id string) (whole, bool, error) {
	scan := func(s scanner) (w whole, err error) {
		w.image = true
		err = s.Scan(&w.id, &w.home.Account, &w.home.Region, &w.state)
		return w, err
	}
	return one(ctx, q, scan, `UPDATE image_tasks SET state = state WHERE id = $1 RETURNING id, account, region, state`, id)
}

// table returns the table of the task that clients know.
func (w whole) table() string {
	if w.image {
		return `image_tasks`
	}
	return `tasks`
}

// ids returns the ids of all tasks.
func (w whole) ids() []string {
	ids := []string{w.id}
	for _, t := range w.parts {
		if t.id != w.id {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// move changes columns that all tasks have, those of images and others.
func (w whole) move(ctx context.Context, q querier, set string, args ...any) error {
	args = append(args, w.id)
	_, err := exec(ctx, q, listed(`UPDATE `+w.table()+` SET `+set+` WHERE id IN (?)`, len(args)-1, 1), args...)
	if err == nil && w.image {
		_, err = exec(ctx, q, listed(`UPDATE tasks SET `+set+` WHERE image_task <> '' AND image_task IN (?)`, len(args)-1, 1), args...)
	}
	return err
}

// end gives what ends together its last state. Pins are released and drafts are gone, those
// of an image's disks by units of their own: there may be too many rows for a transaction.
func (db *DB) end(ctx context.Context, q querier, w whole, s importtask.State, now int64) error {
	if err := dropUnits(ctx, q, w.ids()...); err != nil {
		return err
	}
	for _, t := range w.parts {
		var err error
		switch {
		case t.snapshot == "":
		case w.image:
			err = db.addUnits(ctx, q, db.unit(work.Unit{Account: w.home.Account, Kind: work.LetGo, Task: t.snapshot}))
		default:
			err = db.letGo(ctx, q, w.home.Account, t.snapshot)
		}
		if err != nil {
			return err
		}
	}
	if err := w.move(ctx, q, `state = $1, ended = $2`, s, now); err != nil {
		return err
	}
	_, err := execIn(ctx, q, args(w.ids()), `UPDATE tasks SET pin = '' WHERE id IN (?)`)
	return err
}
