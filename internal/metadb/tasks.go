package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/work"
)

// Tasks is the importtask.Store of a DB.
type Tasks struct{ db *DB }

var (
	_ importtask.Store      = Tasks{}
	_ importtask.RangePages = Tasks{}
)

// Tasks returns the store of import tasks.
func (db *DB) Tasks() Tasks { return Tasks{db} }

// Create implements importtask.Tasks. A task without CreatedAt is created now.
func (t Tasks) Create(ctx context.Context, task importtask.Task, limit int) (stored importtask.Task, created bool, err error) {
	err = t.db.update(ctx, "create task "+task.ID, func(q querier) error {
		if err := lockAccount(ctx, q, task.Account); err != nil {
			return err
		}
		if stored, created, err = byToken(ctx, q, task.Home(), task.Token); err != nil || created {
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
		stored, err = t.db.addTask(ctx, q, task)
		return err
	})
	return stored, created && err == nil, err
}

func (db *DB) addTask(ctx context.Context, q querier, task importtask.Task) (stored importtask.Task, err error) {
	if err := db.startTask(ctx, q, task, cmp.Or(task.CreatedAt, db.now())); err != nil {
		return stored, err
	}
	if err := putTags(ctx, q, task.Home(), task.ID, task.Tags); err != nil {
		return stored, err
	}
	return getTask(ctx, q, task.Home(), task.ID)
}

// startTask stores a task with its Plan unit.
func (db *DB) startTask(ctx context.Context, q querier, t importtask.Task, created time.Time) error {
	if err := insertTask(ctx, q, t, created); err != nil {
		return err
	}
	return db.addUnits(ctx, q, db.unit(work.Unit{Account: t.Account, Kind: work.Plan, Task: t.ID}))
}

func insertTask(ctx context.Context, q querier, t importtask.Task, created time.Time) error {
	tags, err := taskSnapshotTags.text(t.SnapshotTags)
	if err != nil {
		return err
	}
	machine, err := taskMachine.text(t.Machine)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `
		INSERT INTO tasks (id, account, token, digest, description, disk_description, format, role_name,
			bucket, object_key, wrapped_url, pin, source_bytes, state, phase, failure,
			snapshot, ranges, ranges_left, counts, virtual_bytes, warnings, created, started, ended, snapshot_tags, region, encrypted, kms_key,
			image_task, container, disk, device, member, machine, source_name)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, '{}',
			'', '[]', 0, '{}', 0, '[]', $16, 0, 0, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)`,
		t.ID, t.Account, sql.NullString{String: t.Token, Valid: t.Token != ""}, t.RequestDigest, t.Description, t.DiskDescription, t.Format, t.RoleName,
		t.Bucket, t.Key, t.WrappedURL, t.Pin, t.SourceBytes, importtask.Active, cmp.Or(t.Phase, importtask.Waiting), micros(created), tags,
		t.Region, flag(t.Encrypted), t.KMSKey, t.ImageTask, t.Place.Container, t.Place.Disk, t.Device, t.Member, machine, t.SourceName)
	return err
}

// Active implements importtask.Tasks.
func (t Tasks) Active(ctx context.Context, home awsid.Home) (n int, err error) {
	err = t.db.view(ctx, "count the tasks of account "+home.Account, func(q querier) error {
		n, err = activeTasks(ctx, q, home)
		return err
	})
	return n, err
}

func activeTasks(ctx context.Context, q querier, home awsid.Home) (int, error) {
	n, _, err := one(ctx, q, column[int], `
		SELECT (SELECT COUNT(*) FROM tasks WHERE account = $1 AND region = $2 AND state = $3 AND image_task = '')
			+ (SELECT COUNT(*) FROM image_tasks WHERE account = $1 AND region = $2 AND state = $3)`, home.Account, home.Region, importtask.Active)
	return n, err
}

// ByToken implements importtask.Tasks.
func (t Tasks) ByToken(ctx context.Context, home awsid.Home, token string) (task importtask.Task, err error) {
	err = t.db.view(ctx, "get a task of account "+home.Account+" by token", func(q querier) error {
		var ok bool
		if task, ok, err = byToken(ctx, q, home, token); err == nil && !ok {
			err = importtask.ErrNotFound
		}
		return err
	})
	return task, err
}

func byToken(ctx context.Context, q querier, home awsid.Home, token string) (task importtask.Task, ok bool, err error) {
	return rowByToken(ctx, q, `SELECT id FROM tasks WHERE account = $1 AND region = $2 AND token = $3`, home, token, getTask)
}

// rowByToken gets what a statement finds by its client's token; an empty one finds nothing.
func rowByToken[T any](ctx context.Context, q querier, stmt string, home awsid.Home, token string,
	get func(context.Context, querier, awsid.Home, string) (T, error)) (row T, ok bool, err error) {
	if token == "" {
		return row, false, nil
	}
	id, ok, err := one(ctx, q, column[string], stmt, home.Account, home.Region, token)
	if err != nil || !ok {
		return row, false, err
	}
	row, err = get(ctx, q, home, id)
	return row, true, err
}

// Get implements importtask.Tasks.
func (t Tasks) Get(ctx context.Context, home awsid.Home, id string) (task importtask.Task, err error) {
	err = t.db.view(ctx, "get task "+id, func(q querier) error {
		task, err = getTask(ctx, q, home, id)
		return err
	})
	return task, err
}

// OfUnit implements importtask.Tasks.
func (t Tasks) OfUnit(ctx context.Context, u work.Unit) (task importtask.Task, err error) {
	err = t.db.view(ctx, "get task "+u.Task, func(q querier) error {
		task, err = readTask(ctx, q, selectTask+` WHERE id = $1 AND account = $2`, u.Task, u.Account)
		return err
	})
	return task, err
}

func getTask(ctx context.Context, q querier, home awsid.Home, id string) (importtask.Task, error) {
	return readTask(ctx, q, selectTask+` WHERE id = $1 AND account = $2 AND region = $3 AND image_task = ''`, id, home.Account, home.Region)
}

// readTask returns the only task that a statement selects, complete.
func readTask(ctx context.Context, q querier, stmt string, args ...any) (task importtask.Task, err error) {
	task, ok, err := one(ctx, q, scanTask, stmt, args...)
	if err != nil {
		return task, err
	}
	if !ok {
		return task, importtask.ErrNotFound
	}
	if err := watched(ctx, q, &task); err != nil {
		return task, err
	}
	tags, err := tagsOf(ctx, q, task.ID)
	task.Tags = tags[task.ID]
	return task, err
}

// watched adds to active tasks what their units say: live counts, and what goes wrong.
func watched(ctx context.Context, q querier, tasks ...*importtask.Task) error {
	var ids []string
	for _, t := range tasks {
		if t.State == importtask.Active {
			ids = append(ids, t.ID)
		}
	}
	seen, err := watch(ctx, q, ids...)
	for _, t := range tasks {
		t.Counts.Add(seen[t.ID].counts)
		t.Retry, t.Waiting = seen[t.ID].retry, seen[t.ID].wait
	}
	return err
}

// sight is what the units of a task say.
type sight struct {
	counts importtask.Counts // live
	retry  importtask.Retry  // what has been failing for longest
	wait   importtask.Wait   // what has been waited for for longest
}

// unitSight is what one unit says.
type unitSight struct {
	sight
	task string
	idle bool // no lease holds it
}

// watch returns what units say, by task.
func watch(ctx context.Context, q querier, tasks ...string) (map[string]sight, error) {
	units, err := allIn(ctx, q, scanSight, args(tasks), `
		SELECT task, owner, CASE WHEN kind IN ($1, $2) AND progress IS NOT NULL THEN progress ELSE '' END,
			last_error, failures, failing_since, CASE WHEN waits > 0 THEN waits_for ELSE '' END, waiting_since, not_before
		FROM units WHERE (kind IN ($1, $2) AND progress IS NOT NULL OR failures > 0 OR waits > 0) AND task IN (?) ORDER BY id`, work.Range, work.Unpack)
	seen := map[string]sight{}
	for _, u := range units {
		t := seen[u.task]
		t.counts.Add(u.counts)
		if u.retry.Failures > 0 && (t.retry.Failures == 0 || u.retry.Since.Before(t.retry.Since)) {
			t.retry = u.retry
		}
		if u.wait.For != "" && u.idle && (t.wait.For == "" || u.wait.Since.Before(t.wait.Since)) {
			t.wait = u.wait
		}
		seen[u.task] = t
	}
	return seen, err
}

func scanSight(s scanner) (u unitSight, err error) {
	var owner, progress string
	var failing, waiting, next int64
	err = s.Scan(&u.task, &owner, &progress, &u.retry.Cause, &u.retry.Failures, &failing, &u.wait.For, &waiting, &next)
	if err == nil && progress != "" {
		err = unitProgress.read(progress, &u.counts)
	}
	u.idle = owner == ""
	if u.retry.Since = fromMicros(failing); u.idle {
		u.retry.Next = fromMicros(next)
	}
	u.wait.Since = fromMicros(waiting)
	return u, err
}

// List implements importtask.Lists.
func (t Tasks) List(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) (tasks []importtask.Task, err error) {
	err = t.db.view(ctx, "list tasks of account "+home.Account, func(q querier) error {
		tasks, err = listTasks(ctx, q, home, f, after, limit)
		if err != nil {
			return err
		}
		var ids []string
		var each []*importtask.Task
		for i := range tasks {
			ids, each = append(ids, tasks[i].ID), append(each, &tasks[i])
		}
		if err := watched(ctx, q, each...); err != nil {
			return err
		}
		tags, err := tagsOf(ctx, q, ids...)
		for i := range tasks {
			tasks[i].Tags = tags[tasks[i].ID]
		}
		return err
	})
	return tasks, err
}

func listTasks(ctx context.Context, q querier, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error) {
	own := query{from: selectTask, order: `created, id`}.and(`account = ?`, home.Account).and(`region = ?`, home.Region).and(`image_task = ''`)
	return filteredTasks(ctx, q, scanTask, own, placeOfTask, f, after, limit)
}

// filteredTasks reads the tasks, of either kind, among those of own that match f.
func filteredTasks[T any](ctx context.Context, q querier, scan func(scanner) (T, error), own query, at func(T) listing.Place,
	f importtask.Filter, after listing.Place, limit int) ([]T, error) {
	if f.IDs != nil {
		return byID(ctx, q, scan, in(own, `state`, f.States), `id`, f.IDs, at, after, limit)
	}
	ways := []query{own}
	if f.States != nil { // one index has the tasks of each state in order
		ways = nil
		for _, state := range f.States {
			ways = append(ways, own.and(`state = ?`, state))
		}
	}
	return pages(ctx, q, scan, ways, at, after, limit)
}

func placeOfTask(t importtask.Task) listing.Place { return listing.At(t.CreatedAt, t.ID) }

// Unfinished implements importtask.Lists.
func (t Tasks) Unfinished(ctx context.Context, after string, limit int) (ids []string, err error) {
	err = t.db.ask(ctx, "list unfinished tasks", func(q querier) error {
		ids, err = all(ctx, q, column[string], `SELECT id FROM tasks WHERE ended = 0 AND id > $1 ORDER BY id LIMIT $2`, after, limit)
		return err
	})
	return ids, err
}

// Owned implements importtask.Lists.
func (t Tasks) Owned(ctx context.Context, account string) (int, error) {
	return t.db.count(ctx, "count unfinished tasks of account "+account,
		`SELECT (SELECT COUNT(*) FROM tasks WHERE account = $1 AND state IN ($2, $3) AND image_task = '')
			+ (SELECT COUNT(*) FROM image_tasks WHERE account = $1 AND state IN ($2, $3))`, account, importtask.Active, importtask.Deleting)
}

const selectTask = `
	SELECT id, account, COALESCE(token, ''), digest, description, disk_description, format, role_name,
		bucket, object_key, wrapped_url, pin, source_bytes, state, phase, failure,
		snapshot, ranges, ranges_left, counts, virtual_bytes, warnings, created, started, ended, snapshot_tags, region, encrypted, kms_key,
		image_task, container, disk, device, member, machine, source_name
	FROM tasks`

func scanTask(s scanner) (t importtask.Task, err error) {
	var failure, ranges, counts, warnings, tags, machine string
	var created, started, ended int64
	if err = s.Scan(&t.ID, &t.Account, &t.Token, &t.RequestDigest, &t.Description, &t.DiskDescription, &t.Format, &t.RoleName,
		&t.Bucket, &t.Key, &t.WrappedURL, &t.Pin, &t.SourceBytes, &t.State, &t.Phase, &failure,
		&t.SnapshotID, &ranges, &t.RangesLeft, &counts, &t.Virtual, &warnings, &created, &started, &ended, &tags, &t.Region, &t.Encrypted, &t.KMSKey,
		&t.ImageTask, &t.Place.Container, &t.Place.Disk, &t.Device, &t.Member, &machine, &t.SourceName); err != nil {
		return t, err
	}
	t.CreatedAt, t.StartedAt, t.EndedAt = fromMicros(created), fromMicros(started), fromMicros(ended)
	return t, cmp.Or(taskFailure.read(failure, &t.Failure), taskRanges.read(ranges, &t.Ranges), taskCounts.read(counts, &t.Counts),
		taskWarnings.read(warnings, &t.Warnings), taskSnapshotTags.read(tags, &t.SnapshotTags), taskMachine.read(machine, &t.Machine))
}

// liveCounts returns, by task, what workers have reported about slices of ranges that are
// not finished: the most that any of them got done, so what is shown does not fall when
// another begins anew.
func liveCounts(ctx context.Context, q querier, tasks ...string) (map[string]importtask.Counts, error) {
	live := map[string]importtask.Counts{}
	scan := func(s scanner) (_ struct{}, err error) {
		var task, progress string
		var c importtask.Counts
		if err = s.Scan(&task, &progress); err == nil {
			err = unitProgress.read(progress, &c)
		}
		c.Add(live[task])
		live[task] = c
		return struct{}{}, err
	}
	_, err := allIn(ctx, q, scan, args(tasks), `
		SELECT task, progress FROM units WHERE kind IN ($1, $2) AND progress IS NOT NULL AND task IN (?)`, work.Range, work.Unpack)
	return live, err
}

// lockAccount serialises transactions that check limits of an account or add something to it. It
// fails with iam.ErrRemoved if the account was removed: a request may have been authenticated before
// that, and what it made nobody could name. That is a statement after the lock, since a
// part of the same one would not see what was committed while it waited.
func lockAccount(ctx context.Context, q querier, account string) error {
	if err := queueForAccount(ctx, q, account); err != nil {
		return err
	}
	return neverRemoved(ctx, q, account)
}

// queueForAccount is lockAccount for an account in any state.
func queueForAccount(ctx context.Context, q querier, account string) error {
	_, err := exec(ctx, q, `
		INSERT INTO account_locks (account) VALUES ($1) ON CONFLICT (account) DO UPDATE SET account = excluded.account`, account)
	return err
}
