package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

var errFault = errors.New("injected fault")

// faulty counts the statements of an event and, before one of them, calls fail.
type faulty struct {
	querier
	left *int
	fail func() error
}

func (f faulty) trip() error {
	if *f.left--; *f.left == 0 {
		return f.fail()
	}
	return nil
}

func (f faulty) ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error) {
	if err := f.trip(); err != nil {
		return nil, err
	}
	return f.querier.ExecContext(ctx, stmt, args...)
}

func (f faulty) QueryContext(ctx context.Context, stmt string, args ...any) (*sql.Rows, error) {
	if err := f.trip(); err != nil {
		return nil, err
	}
	return f.querier.QueryContext(ctx, stmt, args...)
}

// TestEventsAreAllOrNothing fails every event of an import's life at every one of
// its statements, and once by a cancelled context, and compares the whole database
// with what it was before.
func TestEventsAreAllOrNothing(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		for _, e := range slices.Concat(life(db), imageLife(db), draftLife(db), objectLife(db)) {
			statements, before := 0, dump(t, db)
			for at := 1; ; at++ {
				if failAt(t, db, e, at) {
					break
				}
				statements = at
				if d := cmp.Diff(before, dump(t, db)); d != "" {
					t.Fatalf("%s stopped at statement %d left (-before +after):\n%s", e.name, at, d)
				}
			}
			if statements == 0 {
				t.Errorf("%s: no statement was made to fail", e.name)
			}
		}
	})
}

// failAt runs an event that fails at a statement. It reports true when the event
// has fewer, so that it succeeded.
func failAt(t *testing.T, db *DB, e lifeEvent, at int) (succeeded bool) {
	t.Helper()
	defer func() { db.wrap = nil }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left, want := at, errFault
	fail := func() error { return errFault }
	if at == 2 { // by then there is something to roll back
		want = context.Canceled
		fail = func() error { cancel(); return nil }
	}
	db.wrap = func(q querier) querier { return faulty{q, &left, fail} }
	err := e.do(ctx)
	if err != nil && !errors.Is(err, want) {
		t.Fatalf("%s at statement %d: got %v, want %v", e.name, at, err, want)
	}
	return err == nil
}

// lifeEvent is one event; it may be tried until it succeeds.
type lifeEvent struct {
	name string
	do   func(context.Context) error
}

// life returns the events of two tasks, one that is published and one that fails.
func life(db *DB) []lifeEvent {
	const account = "a"
	tasks, tags := db.Tasks(), []tag.Tag{{Key: "k", Value: "v"}}
	good, bad := db.ids.Task(), db.ids.Task()
	goodSnap, badSnap := db.ids.Snapshot(), db.ids.Snapshot()
	pack, pages, root := blockstore.File{ID: 1, Kind: blockstore.PackFile}, blockstore.File{ID: 2, Kind: blockstore.PagesFile}, blockstore.File{ID: 3, Kind: blockstore.RootFile}
	var l, cleanup work.Lease
	claim := func(ctx context.Context) (err error) {
		got, _, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{work.Plan}}, time.Now())
		if err == nil {
			l = got
		}
		return err
	}
	create := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := tasks.Create(ctx, importtask.Task{ID: id, Account: account, Region: region, Token: id, Tags: tags}, 5)
			return err
		}
	}
	planned := func(id string, ranges int) func(context.Context) error {
		return func(ctx context.Context) error {
			next, _, err := tasks.Planned(ctx, l, importtask.Plan{
				Ranges: make([]importtask.Range, ranges), Snapshot: snapshot.Record{ID: id, Tags: tags},
			})
			if err == nil {
				l = next
			}
			return err
		}
	}
	file := func(f blockstore.File) func(context.Context) error {
		return func(ctx context.Context) error { return db.Catalog().CreateFile(ctx, l, f, blockstore.KeyUse{}) }
	}
	return []lifeEvent{
		{"EnsureDomain", func(ctx context.Context) error {
			_, err := db.Catalog().EnsureDomain(ctx, blockstore.Domain{ID: "d", Account: account, WrappedKeys: []byte{1}})
			return err
		}},
		{"Create", create(good)},
		{"Claim", claim},
		{"SetPhase", func(ctx context.Context) error { return tasks.SetPhase(ctx, l, importtask.Validating, "RAW") }},
		{"Planned", planned(goodSnap, 1)},
		{"FinishSlice", func(ctx context.Context) error {
			r := importtask.RangeResult{Pages: []snapshot.PagePlace{{Page: 1, ID: snapshot.PageID{2}, Blocks: 1}}, Counts: importtask.Counts{Data: 1}}
			return tasks.FinishSlice(ctx, l, r, 1)
		}},
		{"Claim", func(ctx context.Context) (err error) {
			got, _, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{work.Range}}, time.Now())
			if err == nil {
				l = got
			}
			return err
		}},
		{"CreateFile", file(pack)},
		{"CreateFile", file(pages)},
		{"FinishRange", func(ctx context.Context) error {
			r := importtask.RangeResult{Packs: []blockstore.ClosedPack{{File: pack}}, PagesFile: pages, Counts: importtask.Counts{Data: 300}}
			for i := range 300 { // two chunks
				r.Packs[0].Blocks = append(r.Packs[0].Blocks, blockstore.Placement{ID: block.ID(block.Sum(fmt.Append(nil, i))), Span: blockstore.Span{Off: uint32(i) + 1, Len: 1}})
			}
			r.Pages = []snapshot.PagePlace{{ID: snapshot.PageID{1}, File: pages.ID, Blocks: 300}}
			next, _, err := tasks.FinishRange(ctx, l, r)
			if err == nil {
				l = next
			}
			return err
		}},
		{"CreateFile", file(root)},
		{"Publish", func(ctx context.Context) error {
			return tasks.Publish(ctx, l, importtask.Published{Roots: []importtask.Root{{Task: l.Task, File: root, Blocks: 301}}})
		}},
		{"Create", create(bad)},
		{"Claim", claim},
		{"Planned", planned(badSnap, 3)},
		{"Cancel", func(ctx context.Context) error {
			_, err := tasks.Cancel(ctx, of(account), bad, importtask.Failure{Message: "m"})
			return err
		}},
		{"Claim", func(ctx context.Context) error {
			got, _, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{work.Cleanup}}, time.Now())
			cleanup = got
			return err
		}},
		{"Fail", func(ctx context.Context) error {
			next, err := tasks.Fail(ctx, cleanup, importtask.Failure{})
			if err == nil {
				cleanup = next
			}
			return err
		}},
		{"CleanedUp", func(ctx context.Context) error { return tasks.CleanedUp(ctx, cleanup) }},
		{"Tags.Add", func(ctx context.Context) error {
			return db.Tags().Add(ctx, of(account), []string{goodSnap, good}, []tag.Tag{{Key: "l"}, {Key: "m"}})
		}},
		{"Tags.Remove", func(ctx context.Context) error {
			return db.Tags().Remove(ctx, of(account), []string{goodSnap, good}, []tag.Deletion{{Key: "k"}})
		}},
		{"Forget", func(ctx context.Context) error {
			_, err := tasks.Forget(ctx, time.Now().Add(time.Hour))
			return err
		}},
		{"Delete", func(ctx context.Context) error { return db.Snapshots().Delete(ctx, of(account), goodSnap) }},
	}
}

// dump returns every row of every table that events touch.
func dump(t *testing.T, db *DB) map[string][]string {
	t.Helper()
	return dumpOf(t, db, "tasks", "image_tasks", "images", "image_snapshots", "units", "domains", "files", "blocks", "pages", "range_pages", "snapshots", "tags", "account_locks", "drafts", "draft_blocks", "snapshot_shares",
		"page_candidates", "block_candidates", "file_candidates", "holds",
		"s3_buckets", "s3_settings", "s3_objects", "s3_contents", "s3_extents", "s3_content_parts", "s3_pieces", "s3_uploads", "s3_parts", "s3_completions",
		"s3_pins", "s3_usage")
}

// dumpOf returns every row of some tables.
func dumpOf(t *testing.T, db *DB, tables ...string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range tables {
		rows, err := db.read.QueryContext(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		out[table] = texts(t, rows)
	}
	return out
}

func texts(t *testing.T, rows *sql.Rows) (lines []string) {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(values...))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}
