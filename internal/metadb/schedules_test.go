package metadb

import (
	"context"
	"errors"
	flags "flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
)

var (
	schedules    = flags.Int("schedules", 160, "how many random schedules TestSchedules runs on SQLite; on PostgreSQL it is a tenth of that")
	scheduleSeed = flags.Uint64("schedule", 0, "the seed of the one schedule that TestSchedules runs; 0: all from -schedule-from on")
	scheduleFrom = flags.Uint64("schedule-from", 1, "the seed of the first of the schedules that TestSchedules runs")
)

// TestSchedules runs random schedules of imports, direct writes, copies, deletions, units
// of work, gc, compaction, holds, verification and crashes over this database and a
// directory, and compares what is left with what clients were told: no block that is
// named is lost, and nothing stays that is not.
//
// A schedule that fails is made as short as possible and printed. To run it alone:
// go test ./internal/metadb -run TestSchedules/sqlite -schedule SEED
func TestSchedules(t *testing.T) {
	imagetest.Volume(t)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		runSchedules(t, *schedules, func(t *testing.T) place {
			dir := fastDir(t)
			return place{dir: dir, dsn: filepath.Join(dir, "m.db")}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		runSchedules(t, *schedules/10, func(t *testing.T) place { return place{dir: fastDir(t), dsn: postgres.New(t)} })
	})
}

// place is where schedules run, one after the other.
type place struct {
	dir, dsn string
	slots    *blockstore.Slots
	events   map[[16]uintptr]string // by callers
}

// fastDir returns a directory that lies in memory, if there is enough of it.
func fastDir(t *testing.T) string {
	const shm, tmpfs, enough = "/dev/shm", 0x01021994, 512 << 20
	var st unix.Statfs_t
	if err := unix.Statfs(shm, &st); err != nil || st.Type != tmpfs || int64(st.Bavail)*st.Bsize < enough {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "diskport-schedule-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func runSchedules(t *testing.T, count int, fresh func(*testing.T) place) {
	seeds := make(chan uint64, count)
	for i := range count {
		seeds <- *scheduleFrom + uint64(i)
	}
	if *scheduleSeed != 0 {
		seeds = make(chan uint64, 1)
		seeds <- *scheduleSeed
	}
	close(seeds)
	var mu sync.Mutex
	var found int
	total := map[string]int64{}
	t.Run("of", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("schedules", func(t *testing.T) {
				t.Parallel()
				slots, err := blockstore.NewSlots(64 * frame.Size)
				if err != nil {
					t.Fatal(err)
				}
				defer slots.Close()
				events := map[[16]uintptr]string{}
				fresh := func(t *testing.T) place {
					p := fresh(t)
					p.slots, p.events = slots, events
					return p
				}
				for seed := range seeds {
					s := newSchedule(seed)
					ran := runSchedule(t, s, fresh)
					mu.Lock()
					for what, n := range ran.tally {
						total[what] += n
					}
					if len(ran.failed) > 0 {
						found++
					}
					mu.Unlock()
					if len(ran.failed) > 0 {
						shrink(t, s, ran, fresh)
					}
				}
			})
		}
	})
	t.Logf("%d schedules failed; all: %v", found, total)
}

// outcome is what came of a schedule.
type outcome struct {
	failed []string
	trace  []string
	tally  map[string]int64
}

// shrink leaves ops out while the schedule still fails, and reports what is left.
func shrink(t *testing.T, s schedule, first outcome, fresh func(*testing.T) place) {
	least := first
	for again := true; again; {
		again = false
		for i := len(s.todo) - 1; i >= 0; i-- {
			shorter := s
			shorter.todo = slices.Delete(slices.Clone(s.todo), i, i+1)
			if i < s.early {
				shorter.early--
			}
			if ran := runSchedule(t, shorter, fresh); len(ran.failed) > 0 {
				s, least, again = shorter, ran, true
			}
		}
	}
	t.Errorf("-schedule %d: %s\n%d ops of it do, on %d nodes:\n\t%s", s.seed, strings.Join(least.failed, "\n"), len(s.todo), s.nodes, strings.Join(least.trace, "\n\t"))
}

// runSchedule runs a schedule in a place of its own.
func runSchedule(t *testing.T, of schedule, fresh func(*testing.T) place) (out outcome) {
	t.Run(fmt.Sprint(of.seed), func(t *testing.T) {
		at := fresh(t)
		if !strings.HasPrefix(at.dsn, "postgres") {
			if err := os.WriteFile(at.dsn, migrated, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Test(t, func(t *testing.T) { out = simulate(t.Context(), of, at) })
	})
	return out
}

// simulate runs a schedule to its end and checks what is left.
func simulate(ctx context.Context, of schedule, at place) outcome {
	of.todo = slices.Clone(of.todo)
	db, err := openMigrated(ctx, at.dsn)
	if err != nil {
		return outcome{failed: []string{err.Error()}}
	}
	s := &sim{
		schedule: of, place: at, rng: rand.New(rand.NewPCG(of.seed, 2)), root: filepath.Join(at.dir, "blocks"), db: db, strays: map[string]bool{},
		model: model{map[int]*modelled{}, map[int]*task{}}, tally: map[string]int64{},
	}
	db.letGoRows = of.rows
	db.ids.Rand = s.random
	for i, account := range accounts { // with known keys, so that blocks have the same IDs each time
		keys := append([]byte{2, 0}, make([]byte, 32)...)
		keys[2] = byte(i + 1)
		if _, err := db.Catalog().EnsureDomain(ctx, blockstore.Domain{ID: fmt.Sprint("dom-", i), Account: account, WrappedKeys: keys}); err != nil {
			s.failf("making a domain: %v", err)
		}
	}
	for slot := range of.nodes {
		s.nodes = append(s.nodes, s.newNode(slot))
	}
	s.fill(ctx)
	s.run()
	if len(s.failed) == 0 {
		s.settle(ctx)
	}
	s.mu.Lock()
	s.free = true
	s.mu.Unlock()
	for _, n := range s.nodes {
		s.kill(n)
	}
	s.ops.Wait()
	if err := db.Close(); err != nil {
		s.failf("closing the database: %v", err)
	}
	s.tally["schedules"], s.tally["steps"] = 1, int64(s.steps)
	return outcome{s.failed, s.trace, s.tally}
}

// fill does the early ops.
func (s *sim) fill(ctx context.Context) {
	s.free = true
	for ; len(s.todo) > 0 && s.early > 0; s.early-- {
		s.do(s.todo[0])
		s.todo = s.todo[1:]
		s.work(ctx)
	}
	s.free = false
}

// work does all units that are due.
func (s *sim) work(ctx context.Context) {
	for did := true; did; {
		var err error
		if did, err = s.nodes[0].runner.Step(ctx, everyUnit...); err != nil {
			s.failf("settling: %v", err)
		}
	}
}

// openMigrated opens a database that has the newest schema, or gets it.
func openMigrated(ctx context.Context, dsn string) (*DB, error) {
	if strings.HasPrefix(dsn, "postgres") {
		return Open(ctx, dsn, Options{Now: time.Now}) // the bubble's, which is not the server's
	}
	db := &DB{now: time.Now, letGoRows: letGoRows, usage: new(usage)}
	return db, db.openSQLite(dsn, nil)
}

// settle has everything end that was begun, and compares what is left with the model.
func (s *sim) settle(ctx context.Context) {
	s.mu.Lock()
	s.free = true
	s.mu.Unlock()
	for slot := range s.nodes {
		if slot > 0 || s.seed%2 == 0 {
			s.kill(s.nodes[slot])
			s.nodes[slot] = s.newNode(slot)
		}
	}
	n := s.nodes[0]
	for range 10 {
		time.Sleep(5 * time.Minute)
		s.work(ctx)
		if _, err := n.db.Snapshots().ExpireDrafts(ctx, time.Now()); err != nil {
			s.failf("settling: %v", err)
		}
	}
	s.collect(ctx, 3)
	s.dropStrays(ctx)
	s.checkTasks(ctx)
	s.checkSnapshots(ctx)
	s.checkRows(ctx)
	s.checkQuarantine(ctx)
	s.checkVerified(ctx)
	s.checkFreed(ctx)
}

// collect runs cycles of gc.
func (s *sim) collect(ctx context.Context, cycles int) {
	for range cycles {
		time.Sleep(2 * time.Minute)
		if _, err := s.nodes[0].gc(ctx, 1<<18); err != nil {
			s.failf("settling: %v", err)
		}
	}
}

// dropStrays removes the files that gc has left alone because it takes the database for
// another one: where hardly anything else is in the store.
func (s *sim) dropStrays(ctx context.Context) {
	var left []string
	for name := range s.strays {
		if _, err := os.Lstat(s.nodes[0].files.path(name)); err == nil {
			left = append(left, name)
		}
	}
	if len(left) > 0 && blockstore.Plausible(s.rowsOf(ctx, "files"), len(left)) {
		s.failf("gc has not set aside %q", left)
	}
	for _, name := range left {
		if err := s.nodes[0].dir.Remove(ctx, name); err != nil {
			s.failf("%v", err)
		}
	}
	if len(left) > 0 {
		s.collect(ctx, 1) // it has left open files alone too
	}
}

// checkTasks: every accepted task has ended, and as it should.
func (s *sim) checkTasks(ctx context.Context) {
	for number, m := range s.model.tasks {
		t, err := s.db.Tasks().Get(ctx, home(s.model.snapshots[number].account), taskID(number))
		if errors.Is(err, importtask.ErrNotFound) && !m.accepted {
			continue
		}
		switch {
		case err != nil:
			s.failf("task of op %d: %v", number, err)
		case t.State == importtask.Completed:
			s.model.snapshots[number].due = true
		case t.State != importtask.Deleted:
			s.failf("task of op %d is %s: %+v", number, t.State, t.Retry)
		case !m.cancelled && s.faults == 0:
			s.failf("task of op %d failed: %+v", number, t.Failure)
		}
	}
}

// records returns all snapshots.
func (s *sim) records(ctx context.Context) (records []snapshot.Record) {
	for i := range accounts {
		h := home(i)
		some, err := s.db.Snapshots().List(ctx, h, snapshot.Filter{Owners: []string{h.Account}}, listing.Place{}, 1000)
		if err != nil {
			s.failf("listing snapshots: %v", err)
		}
		records = append(records, some...)
	}
	return records
}

// checkSnapshots: every snapshot that must be there is, and holds what its clients wrote.
func (s *sim) checkSnapshots(ctx context.Context) {
	there := map[int]snapshot.State{}
	for _, rec := range s.records(ctx) {
		made := opOf(rec.Description)
		if there[made] != "" {
			s.failf("there are two snapshots of op %d", made)
		}
		there[made] = rec.State
		switch rec.State {
		case snapshot.Completed:
			b, err := s.nodes[0].lib.Open(ctx, rec)
			if err == nil {
				err = s.compare(ctx, b, made)
			}
			s.count("snapshots completed and kept", 1)
			if err != nil {
				s.failf("snapshot of op %d, %s: %v", made, rec.ID, err)
			}
		case snapshot.Pending:
			s.failf("snapshot of op %d, %s, is pending for ever", made, rec.ID)
		case snapshot.Failed:
		}
	}
	for made, m := range s.model.snapshots {
		switch state := there[made]; {
		case m.deleted && state != "":
			s.failf("the snapshot of op %d was deleted, and is %s", made, state)
		case m.failing && state == snapshot.Completed:
			s.failf("the snapshot of op %d is completed, although not all was written", made)
		case m.due && !m.deletes && state != snapshot.Completed && (s.faults == 0 || state == ""):
			s.failf("the snapshot of op %d is %q", made, state)
		}
	}
}

// remains are queries that must find nothing once all has settled.
var remains = []struct{ what, stmt string }{
	{"files that are open", `SELECT CAST(id AS TEXT) FROM files WHERE state <> 'closed'`},
	{"files that nothing names", `SELECT kind || ' ' || CAST(id AS TEXT) FROM files WHERE id NOT IN (SELECT file FROM blocks UNION SELECT file FROM pages UNION SELECT root FROM snapshots)`},
	{"names of files without a row", `SELECT CAST(file AS TEXT) FROM (SELECT file FROM blocks UNION SELECT file FROM pages UNION SELECT root AS file FROM snapshots WHERE root <> 0) x WHERE file NOT IN (SELECT id FROM files)`},
	{"files that count wrong", `SELECT kind || ' ' || CAST(id AS TEXT) || ': ' || CAST(dead AS TEXT) || ' of ' || CAST(entries AS TEXT) FROM files f WHERE entries - dead <>
		(SELECT COUNT(*) FROM blocks b WHERE b.file = f.id) + (SELECT COUNT(*) FROM pages p WHERE p.file = f.id) + (SELECT COUNT(*) FROM snapshots s WHERE s.root = f.id)`},
	{"candidates", `SELECT CAST(file AS TEXT) FROM file_candidates UNION ALL SELECT 'a page' FROM page_candidates UNION ALL SELECT 'a block' FROM block_candidates`},
	{"condemned", `SELECT 'a page' FROM pages WHERE condemned <> 0`},
	{"units", `SELECT kind || ' of ' || task || ' ' || last_error FROM units`},
	{"drafts", `SELECT snapshot FROM drafts`},
	{"rows of drafts", `SELECT snapshot FROM draft_blocks UNION ALL SELECT snapshot FROM range_pages`},
	{"holds", `SELECT why FROM holds`},
}

// checkRows: rows and files agree, and nothing is left that nobody needs.
func (s *sim) checkRows(ctx context.Context) {
	for _, r := range remains {
		err := s.db.view(ctx, r.what, func(q querier) error {
			left, err := all(ctx, q, column[string], r.stmt)
			if len(left) > 0 {
				s.failf("left are %s: %q", r.what, left)
			}
			return err
		})
		if err != nil {
			s.failf("%v", err)
		}
	}
	s.checkCounts(ctx)
	s.checkFiles(ctx)
}

// checkCounts: there are as many blocks and pages as snapshots name.
func (s *sim) checkCounts(ctx context.Context) {
	blocks, pages := map[block.ID]bool{}, map[snapshot.PageID]bool{}
	for _, rec := range s.records(ctx) {
		if rec.State != snapshot.Completed {
			continue
		}
		_, err := s.nodes[0].lib.RootPages(ctx, rec.Root, func(ids []snapshot.PageID) error {
			for _, id := range ids {
				pages[id] = true
			}
			return nil
		})
		b, oerr := s.nodes[0].lib.Open(ctx, rec)
		if err = errors.Join(err, oerr); err == nil {
			for x, berr := range b.From(ctx, 0) {
				blocks[x.ID] = true
				err = errors.Join(err, berr)
			}
		}
		if err != nil {
			s.failf("reading %s: %v", rec.ID, err)
		}
	}
	for table, want := range map[string]int{"blocks": len(blocks), "pages": len(pages)} {
		if n := s.rowsOf(ctx, table); n != want {
			s.failf("there are %d %s, and snapshots name %d", n, table, want)
		}
	}
}

func (s *sim) rowsOf(ctx context.Context, table string) (n int) {
	err := s.db.view(ctx, "count "+table, func(q querier) (err error) {
		n, _, err = one(ctx, q, column[int], `SELECT COUNT(*) FROM `+table)
		return err
	})
	if err != nil {
		s.failf("%v", err)
	}
	return n
}

// checkFiles: the directory has the files that have rows, and no others.
func (s *sim) checkFiles(ctx context.Context) {
	var rows, found []string
	err := s.db.view(ctx, "look for files", func(q querier) error {
		files, err := all(ctx, q, func(r scanner) (f blockstore.File, err error) { return f, r.Scan(&f.ID, &f.Kind) }, `SELECT id, kind FROM files`)
		for _, f := range files {
			rows = append(rows, f.Name())
		}
		return err
	})
	if err == nil {
		err = filepath.WalkDir(s.root, func(path string, e fs.DirEntry, err error) error {
			name, rerr := filepath.Rel(s.root, path)
			if err == nil && rerr == nil && !e.IsDir() && !strings.HasPrefix(name, "quarantine") {
				found = append(found, filepath.ToSlash(name))
			}
			return errors.Join(err, rerr)
		})
	}
	if err != nil {
		s.failf("%v", err)
	}
	slices.Sort(rows)
	slices.Sort(found)
	if !slices.Equal(rows, found) {
		s.failf("rows name the files %q, there are %q", rows, found)
	}
}

// checkQuarantine: what was set aside and is named comes back, all else goes in its time.
func (s *sim) checkQuarantine(ctx context.Context) {
	named, err := s.named(ctx)
	if err != nil {
		s.failf("%v", err)
		return
	}
	for _, f := range named {
		if s.rng.IntN(4) == 0 {
			if err := s.nodes[0].dir.SetAside(ctx, f.Name(), time.Now()); err != nil {
				s.failf("%v", err)
			}
		}
	}
	time.Sleep(32 * 24 * time.Hour)
	s.collect(ctx, 1)
	s.checkFiles(ctx)
	err = s.nodes[0].dir.EachAside(ctx, func(name string) error { return errors.New(name) })
	if err != nil {
		s.failf("still set aside: %v", err)
	}
}

var (
	verifyEffort = verify.Effort{}
	quiet        = verify.Observer{}
)

// checkVerified: verify finds nothing.
func (s *sim) checkVerified(ctx context.Context) {
	sum, err := s.nodes[0].verify.Run(ctx, verifyEffort, verify.Observer{Found: func(f verify.Finding) error {
		s.failf("verify found %+v", f)
		return nil
	}})
	if err != nil || len(sum.Locked) > 0 {
		s.failf("verifying: %v, %q", err, sum.Locked)
	}
}

// checkFreed: once all snapshots are deleted, nothing is left.
func (s *sim) checkFreed(ctx context.Context) {
	for _, rec := range s.records(ctx) {
		if err := s.db.Snapshots().Delete(ctx, rec.Home(), rec.ID); err != nil {
			s.failf("deleting %s at the end: %v", rec.ID, err)
		}
	}
	s.collect(ctx, 2)
	s.checkRows(ctx)
	for _, table := range []string{"files", "blocks", "pages"} {
		if n := s.rowsOf(ctx, table); n != 0 {
			s.failf("after everything was deleted there are %d %s", n, table)
		}
	}
}
