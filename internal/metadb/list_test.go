package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// fill adds n tasks that completed and n snapshots to an account, a microsecond apart,
// each with two tags; the last hundred tasks of it run, and make the last snapshots.
func fill(t testing.TB, db *DB, account string, n int) {
	t.Helper()
	ranges, err := taskRanges.text([]importtask.Range{{Pages: 1, Bytes: 1 << 30}, {First: 1, Pages: 1, Bytes: 1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	const batch = 5000 // rows of one transaction
	for from := 0; from < n; from += batch {
		var tasks, snapshots, tags [][]any
		for i := from; i < min(n, from+batch); i++ {
			task, snap := fmt.Sprintf("import-snap-%s%011d", account[:6], i), fmt.Sprintf("snap-0%s%010d", account[:6], i)
			state, snapState, ended, progress := importtask.Completed, snapshot.Completed, i+1, 100
			if i >= n-100 {
				state, snapState, ended, progress = importtask.Active, snapshot.Pending, 0, 0
			}
			tasks = append(tasks, []any{
				task, account, region, "digest", "", "", "RAW", "vmimport", "bucket", fmt.Sprint("disks/", i), "", 1 << 30, state, importtask.Converting, "{}",
				snap, ranges, 0, `{"done":1073741824}`, 1 << 31, "[]", i + 1, i + 1, ended, "[]", 0, "",
			})
			snapshots = append(snapshots, []any{snap, account, region, "dom-1", task, fmt.Sprint("disk ", i), snapState, 2, 1 << 31, progress, i + 1, ended, 1, 4096, 1 << 30})
			for _, id := range []string{task, snap} {
				tags = append(tags, []any{id, "Name", fmt.Sprint("disk-", i), account, region}, []any{id, "team", "storage", account, region})
			}
		}
		must(t, db, func(q querier) error {
			return errors.Join(
				insert(t.Context(), q, tasks, `INSERT INTO tasks (id, account, region, digest, description, disk_description, format, role_name, bucket, object_key, pin,
					source_bytes, state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings, created, started, ended, snapshot_tags, encrypted, kms_key) VALUES (?)`),
				insert(t.Context(), q, snapshots, `INSERT INTO snapshots (id, account, region, domain, task, description, state, volume_gib, virtual_bytes, progress,
					started, completed, root, blocks, stored) VALUES (?)`),
				insert(t.Context(), q, tags, `INSERT INTO tags (resource, name, value, account, region) VALUES (?)`),
			)
		})
	}
}

const owner, neighbour = "111122223333", "444455556666"

// counting counts statements.
type counting struct {
	querier
	statements *int
}

func (c counting) ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error) {
	*c.statements++
	return c.querier.ExecContext(ctx, stmt, args...)
}

func (c counting) QueryContext(ctx context.Context, stmt string, args ...any) (*sql.Rows, error) {
	*c.statements++
	return c.querier.QueryContext(ctx, stmt, args...)
}

// TestStatementsOfAPage: the number of statements for a page depends on the page
// alone, and readiness takes one.
func TestStatementsOfAPage(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		counts := map[int]map[string]int{}
		for _, n := range []int{200, 1200} {
			db, statements := fresh(t), 0
			fill(t, db, owner, n)
			fill(t, db, neighbour, 200)
			for i := range 150 {
				id := fmt.Sprintf("snap-0%s%010d", neighbour[:6], i)
				if err := db.Snapshots().Share(t.Context(), of(neighbour), id, []string{owner, snapshot.Everybody, "777788889999"}, nil); err != nil {
					t.Fatal(err)
				}
			}
			counts[n] = map[string]int{}
			db.wrap = func(q querier) querier { return counting{q, &statements} }
			for name, read := range reads(t.Context(), db, listing.Place{}) {
				statements = 0
				if got, err := read(); err != nil || got != 100 && name != "ready" {
					t.Errorf("%s: %d entries, %v, want 100", name, got, err)
				}
				counts[n][name] = statements
			}
			db.wrap = nil
		}
		// 100 ids are asked for by four statements (64, 16, 16 and 4), 50 by five. Half
		// of the snapshots belong to the neighbour, who shares them in two ways.
		want := map[string]int{
			"ready": 1, "tags": 1, "tagged": 1,
			"tasks": 1 + 4, "active tasks": 1 + 4 + 4, // their tags; live counts
			"snapshots": 3 + 5, "pending snapshots": 3 + 5 + 4 + 4, // tags of own ones; progress of their tasks
		}
		for n, got := range counts {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("of %d (-want +got):\n%s", n, diff)
			}
		}
	})
}

// reads are the pages of 100 behind a place, and whether the database is ready.
func reads(ctx context.Context, db *DB, after listing.Place) map[string]func() (int, error) {
	tasks := func(f importtask.Filter) func() (int, error) {
		return func() (int, error) {
			list, err := db.Tasks().List(ctx, of(owner), f, after, 100)
			return len(list), err
		}
	}
	snapshots := func(f snapshot.Filter) func() (int, error) {
		return func() (int, error) {
			list, err := db.Snapshots().List(ctx, of(owner), f, after, 100)
			return len(list), err
		}
	}
	tags := func(f tag.Filter) func() (int, error) {
		return func() (int, error) {
			list, err := db.Tags().List(ctx, of(owner), f, tag.Place{Resource: after.ID}, 100)
			return len(list), err
		}
	}
	return map[string]func() (int, error){
		"ready":             func() (int, error) { return 0, db.Ready(ctx) },
		"tasks":             tasks(importtask.Filter{}),
		"active tasks":      tasks(importtask.Filter{States: []importtask.State{importtask.Active}}),
		"snapshots":         snapshots(snapshot.Filter{}),
		"pending snapshots": snapshots(snapshot.Filter{States: []snapshot.State{snapshot.Pending}}),
		"tags":              tags(tag.Filter{}),
		"tagged":            tags(tag.Filter{Tag: &tag.Tag{Key: "team", Value: "storage"}}),
	}
}

func TestReady(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		if err := db.Ready(t.Context()); err != nil {
			t.Errorf("an empty database: %v", err)
		}
		left := 1
		db.wrap = func(q querier) querier { return faulty{q, &left, func() error { return errFault }} }
		if err := db.Ready(t.Context()); !errors.Is(err, errFault) {
			t.Errorf("a database that can't be read: got %v, want %v", err, errFault)
		}
		db.wrap = nil
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Ready(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a database that doesn't answer in time: got %v", err)
		}
		for range db.read.Stats().MaxOpenConnections {
			conn, err := db.read.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := db.Ready(ctx); err != nil {
			t.Errorf("a database whose connections are all in use: %v", err)
		}
	})
}

// TestRemovedAccountLeavesNothing: the next account with the same id gets nothing
// that the first one had.
func TestRemovedAccountLeavesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		ctx := t.Context()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		empty := dumpOf(t, db, "tasks", "tags", "snapshot_defaults", "snapshot_shares", "kms_keys", "kms_aliases", "iam_keys")
		ok(db.IAM().AddAccount(ctx, iam.AccessKey{ID: "AKIA1", Account: owner, Wrapped: []byte{1}}))
		ok(db.Snapshots().EnableEncryption(ctx, of(owner)))
		managed := kms.Key{Ref: kms.Ref{Account: owner, Region: "eu-north-1", ID: "k"}, Manager: kms.AWS}
		ok(db.KMS().CreateKey(ctx, managed, kms.Alias{Account: owner, Region: "eu-north-1", Name: "alias/aws/ebs", Target: "k"}))
		foreign := snapshot.Record{ID: db.ids.Snapshot(), Account: neighbour, Region: region, State: snapshot.Completed}
		addRecord(t, db, foreign)
		ok(db.Snapshots().Share(ctx, of(neighbour), foreign.ID, []string{owner}, nil))
		task := importtask.Task{ID: db.ids.Task(), Account: owner, Region: region, Tags: tag.Set{{Key: "k", Value: "v"}}}
		_, _, err := db.Tasks().Create(ctx, task, 1)
		ok(err)

		own := snapshot.Record{ID: db.ids.Snapshot(), Account: owner, Region: region, State: snapshot.Completed}
		img := image.Image{ID: db.ids.Image(), Account: owner, Region: region, Name: "i"}
		vol := db.named(owner, "", 1)
		customers := kms.Key{Ref: kms.Ref{Account: owner, Region: "us-east-1", ID: "c"}, Manager: kms.Customer}
		for _, owned := range []struct {
			name      string
			get, lose func()
		}{
			{"a running task", func() {}, func() {
				must(t, db, func(q querier) error {
					_, err := exec(ctx, q, `UPDATE tasks SET state = 'completed', ended = 1 WHERE account = $1`, owner)
					return errors.Join(err, dropUnits(ctx, q, task.ID))
				})
			}},
			{"a snapshot", func() { addRecord(t, db, own) }, func() { ok(db.Snapshots().Delete(ctx, of(owner), own.ID)) }},
			{"an image", func() { ok(db.Images().Register(ctx, img)) }, func() { _, err := db.Images().Deregister(ctx, of(owner), img.ID); ok(err) }},
			{"a volume", func() {
				_, _, err := db.Volumes().Create(ctx, vol)
				ok(err)
			}, func() { ok(db.Volumes().Delete(ctx, of(owner), vol.ID)) }},
			{"a bucket", func() {
				ok(db.Objects().CreateBucket(ctx, objects.Bucket{Name: "bucket", Account: owner, Region: region}))
			}, func() {
				ok(db.Objects().DeleteBucket(ctx, "bucket"))
			}},
			{"a key in another region", func() { ok(db.KMS().CreateKey(ctx, customers, kms.Alias{})) }, func() {
				ok(db.KMS().ChangeKey(ctx, kms.Ref{Account: owner, Region: "us-east-1", ID: "c"}, func(k *kms.Key) error {
					k.State, k.Deletion = kms.PendingDeletion, time.Now().Add(-time.Second)
					return nil
				}))
			}},
		} {
			owned.get()
			before := dump(t, db)
			if err := db.IAM().RemoveAccount(ctx, owner); !errors.Is(err, iam.ErrInUse) {
				t.Errorf("with %s: got %v, want %v", owned.name, err, iam.ErrInUse)
			}
			if diff := cmp.Diff(before, dump(t, db)); diff != "" {
				t.Errorf("a refused removal changed (-before +after):\n%s", diff)
			}
			owned.lose()
		}
		ok(db.IAM().RemoveAccount(ctx, owner))
		left := dumpOf(t, db, "tasks", "tags", "snapshot_defaults", "snapshot_shares", "kms_keys", "kms_aliases", "iam_keys")
		if diff := cmp.Diff(empty, left); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		if r, err := db.Snapshots().Get(ctx, region, foreign.ID); err != nil || r.UsableBy(owner) {
			t.Errorf("the next of that id may use %+v, %v", r, err)
		}
	})
}

// TestSharesOfBefore: snapshots that were shared before there were pages are listed
// in their places.
func TestSharesOfBefore(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		p, err := db.provider()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(t.Context(), 13); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 3 {
			id := db.ids.Snapshot()
			want = append(want, id)
			must(t, db, func(q querier) error {
				_, err := exec(t.Context(), q, `INSERT INTO snapshots (id, account, domain, task, description, state, volume_gib, virtual_bytes, progress,
					started, completed, root, blocks, stored) VALUES ($1, $2, '', '', '', 'completed', 1, 1, 100, $3, $3, 1, 0, 0)`, id, neighbour, i+1)
				if err == nil {
					_, err = exec(t.Context(), q, `INSERT INTO snapshot_shares (snapshot, grantee) VALUES ($1, $2)`, id, owner)
				}
				return err
			})
		}
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := db.Snapshots().List(t.Context(), of(owner), snapshot.Filter{}, listing.Place{Created: 1, ID: want[0]}, 9)
		var got []string
		for _, r := range list {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(want[1:], got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
