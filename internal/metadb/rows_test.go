package metadb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// mostRows is the most rows that a transaction may change: SQLite has one writer, and
// while a larger one runs no heartbeat gets through.
const mostRows = 7 << 10

// manyRows is how many rows of each kind there are in the tests of this file. A
// transaction that deals with all of them at once changes more than mostRows.
const manyRows = 7_500

// changes counts the rows that the transactions of an SQLite database change.
type changes struct {
	db   *DB
	most int64 // of one transaction
	last int64 // total_changes when the last one began
}

// countChanges starts counting. There is one writing connection, so what it had
// changed when a transaction begins tells what the one before it changed.
func countChanges(t *testing.T, db *DB) *changes {
	t.Helper()
	c := &changes{db: db}
	c.reset(t)
	db.wrap = func(q querier) querier {
		if only, _, err := one(context.Background(), q, column[int], `PRAGMA query_only`); err != nil || only == 0 {
			c.see(t, q)
		}
		return q
	}
	return c
}

func (c *changes) reset(t *testing.T) {
	t.Helper()
	c.most, c.last = 0, c.total(t, nil)
}

func (c *changes) total(t *testing.T, q querier) int64 {
	t.Helper()
	if q == nil {
		conn, err := c.db.write.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		q = conn
	}
	n, _, err := one(context.Background(), q, column[int64], `SELECT total_changes()`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (c *changes) see(t *testing.T, q querier) {
	t.Helper()
	n := c.total(t, q)
	c.most, c.last = max(c.most, n-c.last), n
}

// check fails the test if a transaction since the last check was too large.
func (c *changes) check(t *testing.T, what string) {
	t.Helper()
	c.see(t, nil)
	t.Logf("%s: %d rows at most in a transaction", what, c.most)
	if c.most > mostRows {
		t.Errorf("%s: a transaction changed %d rows, want at most %d", what, c.most, mostRows)
	}
	c.reset(t)
}

// addMany inserts many rows.
func addMany(t *testing.T, db *DB, stmt string, row func(i int) []any) {
	t.Helper()
	rows := make([][]any, manyRows)
	for i := range rows {
		rows[i] = row(i)
	}
	for some := range slices.Chunk(rows, 1024) {
		must(t, db, func(q querier) error { return insert(t.Context(), q, some, stmt) })
	}
}

func idOf(kind string, i int) [32]byte { return block.Sum(fmt.Append(nil, kind, i)) }

// largeDraft makes a draft of many blocks, and a part of its manifest.
func largeDraft(t *testing.T, db *DB, id string, timeout time.Duration) {
	t.Helper()
	d := snapshot.Draft{Timeout: timeout, Record: snapshot.Record{ID: id, Account: "a", Region: region}}
	if _, _, err := db.Snapshots().Start(t.Context(), d, "", 100); err != nil {
		t.Fatal(err)
	}
	addMany(t, db, `INSERT INTO draft_blocks (snapshot, block, block_id, digest, inherited) VALUES (?)`, func(i int) []any {
		h := idOf("block", i)
		return []any{id, i, h[:], h[:], 0}
	})
	largeManifest(t, db, id)
}

func largeManifest(t *testing.T, db *DB, id string) {
	t.Helper()
	addMany(t, db, `INSERT INTO range_pages (snapshot, page, page_id, blocks) VALUES (?)`, func(i int) []any {
		h := idOf("page", i)
		return []any{id, i, h[:], 1}
	})
}

// settleAll does the LetGo units that there are, and checks that nothing names anything
// for a snapshot any more.
func settleAll(t *testing.T, db *DB) {
	t.Helper()
	for {
		l, ok, err := db.Work().Claim(t.Context(), work.Claimer{Owner: "n", Kinds: []work.Kind{work.LetGo}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		for left := true; left; {
			if left, err = db.Snapshots().LetGo(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
	}
	for table, rows := range dumpOf(t, db, "range_pages", "draft_blocks", "units") {
		if len(rows) != 0 {
			t.Errorf("%d rows are left in %s: %s", len(rows), table, rows[0])
		}
	}
}

// freshSQLite opens an empty SQLite database.
func freshSQLite(t *testing.T) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.db")
	if err := os.WriteFile(path, migrated, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// claimed claims the unit of a kind.
func claimed(t *testing.T, db *DB, kind work.Kind) work.Lease {
	t.Helper()
	l, ok, err := db.Work().Claim(t.Context(), work.Claimer{Owner: "n", Kinds: []work.Kind{kind}}, time.Now())
	if err != nil || !ok {
		t.Fatalf("claim a %s unit: %v, %v", kind, ok, err)
	}
	return l
}

// fileOf makes a file of the lease.
func fileOf(t *testing.T, db *DB, l work.Lease, kind blockstore.FileKind) blockstore.File {
	t.Helper()
	f := blockstore.File{ID: blockstore.FileID(db.ids.Int63()), Kind: kind}
	if err := db.Catalog().CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
		t.Fatal(err)
	}
	return f
}

func rootOf(t *testing.T, db *DB, l work.Lease) blockstore.File {
	return fileOf(t, db, l, blockstore.RootFile)
}

// plannedTask makes a task with a pending snapshot and returns the lease of its first
// unit.
func plannedTask(t *testing.T, db *DB, task, id string, ranges int) work.Lease {
	t.Helper()
	if _, _, err := db.Tasks().Create(t.Context(), importtask.Task{ID: task, Account: "a", Region: region}, 5); err != nil {
		t.Fatal(err)
	}
	plan := importtask.Plan{Ranges: make([]importtask.Range, ranges), Snapshot: snapshot.Record{ID: id, Account: "a", Region: region}}
	l, _, err := db.Tasks().Planned(t.Context(), claimed(t, db, work.Plan), plan)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestNoTransactionGrowsWithADisk ends drafts and imports of many rows in every way.
func TestNoTransactionGrowsWithADisk(t *testing.T) {
	imagetest.Volume(t)
	const id, task = "snap-1", "import-snap-1"
	complete := func(t *testing.T, db *DB) work.Lease {
		if err := db.Snapshots().Complete(t.Context(), of("a"), id, snapshot.Expected{Blocks: -1}); err != nil {
			t.Fatal(err)
		}
		return claimed(t, db, work.Complete)
	}
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, db *DB) error
		noted int // of the pages: how many are candidates afterwards
	}{
		{"a draft is rejected", func(t *testing.T, db *DB) error {
			largeDraft(t, db, id, time.Hour)
			return db.Snapshots().Reject(t.Context(), complete(t, db), "m")
		}, manyRows},
		{"a draft is published", func(t *testing.T, db *DB) error {
			largeDraft(t, db, id, time.Hour)
			l := complete(t, db)
			return db.Snapshots().Publish(t.Context(), l, snapshot.Manifest{Root: snapshot.Root{File: rootOf(t, db, l), Blocks: 1}})
		}, 0},
		{"a draft is deleted", func(t *testing.T, db *DB) error {
			largeDraft(t, db, id, time.Hour)
			return db.Snapshots().Delete(t.Context(), of("a"), id)
		}, manyRows},
		{"a published draft is deleted at once", func(t *testing.T, db *DB) error {
			largeDraft(t, db, id, time.Hour)
			l := complete(t, db)
			if err := db.Snapshots().Publish(t.Context(), l, snapshot.Manifest{Root: snapshot.Root{File: rootOf(t, db, l), Blocks: 1}}); err != nil {
				return err
			}
			return db.Snapshots().Delete(t.Context(), of("a"), id)
		}, manyRows - letGoRows}, // the others were let go of before
		{"drafts expire", func(t *testing.T, db *DB) error {
			largeDraft(t, db, id, time.Microsecond)
			largeDraft(t, db, "snap-2", time.Microsecond)
			if n, err := db.Snapshots().ExpireDrafts(t.Context(), time.Now()); n != 2 || err != nil {
				return fmt.Errorf("%d expired: %w", n, err)
			}
			return nil
		}, manyRows},
		{"an import is published", func(t *testing.T, db *DB) error {
			l := plannedTask(t, db, task, id, 0)
			largeManifest(t, db, id)
			return db.Tasks().Publish(t.Context(), l, importtask.Published{Roots: []importtask.Root{{Task: l.Task, File: rootOf(t, db, l)}}})
		}, 0},
		{"an import is cleaned up", func(t *testing.T, db *DB) error {
			plannedTask(t, db, task, id, 256)
			largeManifest(t, db, id)
			if _, err := db.Tasks().Cancel(t.Context(), of("a"), task, importtask.Failure{}); err != nil {
				return err
			}
			return db.Tasks().CleanedUp(t.Context(), claimed(t, db, work.Cleanup))
		}, manyRows},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := freshSQLite(t)
			largest := countChanges(t, db)
			if err := c.do(t, db); err != nil {
				t.Fatal(err)
			}
			settleAll(t, db)
			largest.check(t, c.name)
			for table, rows := range dumpOf(t, db, "page_candidates") {
				if len(rows) != c.noted {
					t.Errorf("%d rows in %s, want %d", len(rows), table, c.noted)
				}
			}
		})
	}
}

// TestASliceIsSmallEnough: the largest that an import registers (ingest.Slice), one
// that has as many blocks as it may and as many pages.
func TestASliceIsSmallEnough(t *testing.T) {
	imagetest.Volume(t)
	db := freshSQLite(t)
	l := plannedTask(t, db, "import-snap-1", "snap-1", 1)
	const blocks, pages, inPack = 4096, 1024, 255
	r := importtask.RangeResult{PagesFile: fileOf(t, db, l, blockstore.PagesFile), Counts: importtask.Counts{Data: blocks}}
	for i := 0; i < blocks; i += inPack {
		p := blockstore.ClosedPack{File: fileOf(t, db, l, blockstore.PackFile)}
		for k := i; k < min(blocks, i+inPack); k++ {
			p.Blocks = append(p.Blocks, blockstore.Placement{ID: idOf("block", k), Span: blockstore.Span{Off: uint32(k-i) + 1, Len: 1}})
		}
		r.Packs = append(r.Packs, p)
	}
	for i := range pages {
		r.Pages = append(r.Pages, snapshot.PagePlace{Page: int64(i), ID: idOf("page", i), File: r.PagesFile.ID, Blocks: blocks / pages})
	}
	largest := countChanges(t, db)
	if err := db.Tasks().FinishSlice(t.Context(), l, r, pages); err != nil {
		t.Fatal(err)
	}
	largest.check(t, "a slice is registered")
}

// TestAMoveIsSmallEnough: the largest that a rewriting of packs makes, of as many blocks
// from as many packs as there may be.
func TestAMoveIsSmallEnough(t *testing.T) {
	imagetest.Volume(t)
	db := freshSQLite(t)
	const each = compact.MaxMoved / compact.MaxSources
	f := catalogFixture(t, db)
	var m compact.Moved
	for i := range compact.MaxSources {
		l := f.Lease(t)
		p := blockstore.ClosedPack{File: fileOf(t, db, l, blockstore.PackFile)}
		for k := range each {
			b := blockstore.Placement{ID: idOf("block", i*each+k), Span: blockstore.Span{Off: uint32(k) + 1, Len: 1}}
			p.Blocks, m.From = append(p.Blocks, b), append(m.From, blockstore.Location{File: p.File, Span: b.Span})
			m.Pack.Blocks = append(m.Pack.Blocks, b)
		}
		f.Insert(t, l, []blockstore.ClosedPack{p})
	}
	l, err := db.Packs().Begin(t.Context(), "dom-1", "node", time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	m.Pack.File = fileOf(t, db, l, blockstore.PackFile)
	largest := countChanges(t, db)
	if n, err := db.Packs().Move(t.Context(), l, m); n != compact.MaxMoved || err != nil {
		t.Fatal(n, err)
	}
	largest.check(t, "blocks are moved")
}

// TestNoTransactionGrowsWithAManifest: a part of a manifest is registered, again by a
// later attempt, and again with other pages, the most that there may be.
func TestNoTransactionGrowsWithAManifest(t *testing.T) {
	imagetest.Volume(t)
	db := freshSQLite(t)
	d := snapshot.Draft{Record: snapshot.Record{ID: "snap-1", Account: "a", Region: region}, Want: &snapshot.Expected{Blocks: -1}}
	if _, _, err := db.Snapshots().Start(t.Context(), d, "", 1); err != nil {
		t.Fatal(err)
	}
	l := claimed(t, db, work.Complete)
	largest := countChanges(t, db)
	for _, kind := range []string{"page", "page", "other"} {
		p := snapshot.NewPages{File: fileOf(t, db, l, blockstore.PagesFile), Bytes: 100}
		for i := range 1024 {
			p.Pages = append(p.Pages, snapshot.PagePlace{Page: int64(i), ID: idOf(kind, i), File: p.File.ID, Blocks: 1})
		}
		if err := db.Snapshots().AddPages(t.Context(), l, p); err != nil {
			t.Fatal(err)
		}
	}
	largest.check(t, "a manifest is registered")
	got := dumpOf(t, db, "range_pages", "pages", "page_candidates")
	if len(got["range_pages"]) != 1024 || len(got["pages"]) != 2048 || len(got["page_candidates"]) != 1024 {
		t.Errorf("%d pages of the draft, %d pages, %d candidates, want 1024, 2048 and 1024",
			len(got["range_pages"]), len(got["pages"]), len(got["page_candidates"]))
	}
}

// TestNoDutyGrowsWithAnAccount: what periodic duties find may be any number of rows.
func TestNoDutyGrowsWithAnAccount(t *testing.T) {
	imagetest.Volume(t)
	past := time.Now().Add(-time.Hour)
	db := freshSQLite(t)
	addMany(t, db, `INSERT INTO tags (resource, name, value, account) VALUES (?)`, func(i int) []any {
		return []any{fmt.Sprint("t", i/50), i % 50, "v", "a"}
	})
	for i := range manyRows / 50 {
		must(t, db, func(q querier) error {
			return insertTask(t.Context(), q, importtask.Task{ID: fmt.Sprint("t", i), Account: "a"}, past)
		})
	}
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `UPDATE tasks SET ended = 1`)
		return err
	})
	addMany(t, db, `INSERT INTO outbox (id, kind, account, resource, detail, at) VALUES (?)`, func(i int) []any {
		return []any{i, "k", "a", "r", "{}", 1}
	})
	addMany(t, db, `INSERT INTO units (id, account, kind, task, range_index, owner, attempt, lease_until, created) VALUES (?)`, func(i int) []any {
		return []any{i, "a", []work.Kind{work.Append, work.Rewrite}[i%2], "d", i, "n", 1, 1, 1}
	})
	largest := countChanges(t, db)
	if n, err := db.Tasks().Forget(t.Context(), past); err != nil || n != manyRows/50 {
		t.Errorf("forgot %d tasks, %v", n, err)
	}
	largest.check(t, "tasks are forgotten")
	if n, err := db.Outbox().Forget(t.Context(), past); err != nil || n != manyRows {
		t.Errorf("forgot %d events, %v", n, err)
	}
	largest.check(t, "events are forgotten")
	if n, err := db.Snapshots().ExpireDrafts(t.Context(), time.Now()); err != nil || n != 0 {
		t.Errorf("%d drafts expired, %v", n, err)
	}
	largest.check(t, "appends and rewritings lapse")
	for table, rows := range dumpOf(t, db, "tasks", "tags", "outbox", "units") {
		if len(rows) != 0 {
			t.Errorf("%d rows are left in %s", len(rows), table)
		}
	}
}

// TestNoRemovalGrowsWithAnAccount: neither does that of a key with its grants.
func TestNoRemovalGrowsWithAnAccount(t *testing.T) {
	imagetest.Volume(t)
	db, past := freshSQLite(t), time.Now().Add(-time.Hour)
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `INSERT INTO iam_keys (id, account, user_id, wrapped, created) VALUES ('k', 'a', '', $1, 1)`, []byte{1})
		return err
	})
	addMany(t, db, `INSERT INTO tags (resource, name, value, account) VALUES (?)`, func(i int) []any {
		return []any{fmt.Sprint("t", i/50), i % 50, "v", "a"}
	})
	addMany(t, db, `INSERT INTO snapshot_shares (snapshot, grantee, started) VALUES (?)`, func(i int) []any { return []any{i, "a", 1} })
	addMany(t, db, `INSERT INTO iam_attachments (account, owner, arn, policy) VALUES (?)`, func(i int) []any { return []any{"a", i / 20, i % 20, ""} })
	grants := `INSERT INTO kms_grants (account, region, key_id, id, content) VALUES (?)`
	addMany(t, db, grants, func(i int) []any { return []any{"a", "r", "k", i, "{}"} })
	addMany(t, db, grants, func(i int) []any { return []any{"b", "r", "k", i, "{}"} })
	key := kms.Key{Ref: kms.Ref{Account: "b", Region: "r", ID: "k"}, State: kms.PendingDeletion, Deletion: past}
	if err := db.KMS().CreateKey(t.Context(), key, kms.Alias{}); err != nil {
		t.Fatal(err)
	}
	largest := countChanges(t, db)
	if n, err := db.KMS().Purge(t.Context(), past.Add(-time.Second)); err != nil || n != 0 {
		t.Errorf("purged %d keys before their time, %v", n, err)
	}
	if n := len(dumpOf(t, db, "kms_grants")["kms_grants"]); n != 2*manyRows {
		t.Errorf("%d grants are left", n)
	}
	if n, err := db.KMS().Purge(t.Context(), time.Now()); err != nil || n != 1 {
		t.Errorf("purged %d keys, %v", n, err)
	}
	largest.check(t, "a key is purged")
	if n := len(dumpOf(t, db, "kms_grants")["kms_grants"]); n != manyRows {
		t.Errorf("%d grants are left, want those of the other key", n)
	}
	if err := db.IAM().RemoveAccount(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	settleAll(t, db)
	largest.check(t, "an account is removed")
	for table, rows := range dumpOf(t, db, "tags", "snapshot_shares", "iam_attachments", "kms_grants", "kms_keys", "iam_keys") {
		if len(rows) != 0 {
			t.Errorf("%d rows are left in %s", len(rows), table)
		}
	}
}
