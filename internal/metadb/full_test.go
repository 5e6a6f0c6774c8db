package metadb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// TestFullDisk fills the disk of a database, as SQLite sees it, and makes room.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	room := &growth{}
	db, err := Open(ctx, filepath.Join(t.TempDir(), "m.db"), Options{Witness: filepath.Join(t.TempDir(), "commits"), Room: room})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	room.db = db
	store := func(n int) error {
		return db.update(ctx, "store", func(q querier) error {
			for i := range n {
				if _, err := exec(ctx, q, `INSERT INTO meta (name, value) VALUES ($1, $2)`, fmt.Sprint("row ", i), strings.Repeat("x", 3000)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	room.limit(t, 0)
	before := dumpOf(t, db, "meta", "counters")

	for range 2 { // the connection is as good as before
		if err := store(100); !errors.Is(err, space.ErrFull) {
			t.Fatalf("a transaction without room: %v, want one that wraps space.ErrFull", err)
		}
		if after := dumpOf(t, db, "meta", "counters"); !cmp.Equal(after, before) {
			t.Fatalf("a transaction without room left something:\n%s", cmp.Diff(before, after))
		}
	}
	if room.asked != 2 {
		t.Errorf("room was asked for %d times, want once for each transaction", room.asked)
	}

	room.spare = 3 // pieces of 40 pages
	if err := store(100); err != nil {
		t.Errorf("a transaction for which room could be made: %v", err)
	}
	if room.spare != 0 {
		t.Errorf("%d pieces of room were not let go", room.spare)
	}
	n, err := db.count(ctx, "count", `SELECT COUNT(*) FROM meta WHERE name LIKE 'row %'`)
	if err != nil || n != 100 {
		t.Errorf("%d rows, %v; want 100, each once", n, err)
	}
}

// growth is room for a few more pages of a database.
type growth struct {
	db    *DB
	spare int // times that LetGo helps
	asked int // times that it didn't
}

// LetGo implements Room.
func (p *growth) LetGo(space.Purpose) bool {
	if p.spare == 0 {
		p.asked++
		return false
	}
	p.spare--
	return p.allow(40) == nil
}

// Spent implements Room.
func (p *growth) Spent() bool { return false }

func (p *growth) limit(t *testing.T, more int) {
	t.Helper()
	if err := p.allow(more); err != nil {
		t.Fatal(err)
	}
}

// allow lets the database grow by some pages from what it was allowed, or has.
func (p *growth) allow(more int) error {
	ctx := context.Background()
	var has, most int
	if err := p.db.write.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&has); err != nil {
		return err
	}
	if err := p.db.write.QueryRowContext(ctx, `PRAGMA max_page_count`).Scan(&most); err != nil {
		return err
	}
	if most < 1<<20 {
		has = most
	}
	_, err := p.db.write.ExecContext(ctx, fmt.Sprint(`PRAGMA max_page_count = `, has+more))
	return err
}

// spentDisk has room for what frees some, once it is asked for that, and for nothing
// else.
type spentDisk struct{ room bool }

// LetGo implements Room.
func (d *spentDisk) LetGo(p space.Purpose) bool {
	d.room = p == space.ToFree
	return d.room
}

// Spent implements Room.
func (d *spentDisk) Spent() bool { return !d.room }

// TestUnitsThatFreeAreClaimedOnAFullDisk: what imports and drafts named is freed by
// units. If nobody could claim them on a full disk, it would stay full.
func TestUnitsThatFreeAreClaimedOnAFullDisk(t *testing.T) {
	ctx := t.Context()
	for kind, frees := range map[work.Kind]bool{work.Cleanup: true, work.LetGo: true, work.GC: true, work.Expire: true, work.Retain: true, work.Range: false} {
		t.Run(string(kind), func(t *testing.T) {
			disk := &spentDisk{}
			db, err := Open(ctx, filepath.Join(t.TempDir(), "m.db"), Options{Witness: filepath.Join(t.TempDir(), "commits"), Room: disk})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			must(t, db, func(q querier) error {
				return db.addUnits(ctx, q, db.unit(work.Unit{Account: "a", Kind: kind, Task: "t"}), db.unit(work.Unit{Account: "a", Kind: work.Range, Task: "u"}))
			})
			db.wrap = func(q querier) querier {
				left := 1
				if disk.room {
					left = 0
				}
				return faulty{q, &left, func() error { return unix.ENOSPC }}
			}
			l, ok, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{work.Range, kind}}, time.Now())
			if !frees {
				if !errors.Is(err, space.ErrFull) {
					t.Errorf("claimed %v, %v; want ErrFull", ok, err)
				}
				return
			}
			if err != nil || l.Kind != kind {
				t.Fatalf("claimed %q, %v; want the unit that frees", l.Kind, err)
			}
			disk.room = false
			if l, err = db.Work().Renew(ctx, l, time.Now(), work.Progress{}); err != nil {
				t.Errorf("renew: %v", err)
			}
			disk.room = false
			if err := db.Work().Release(ctx, l, kind, time.Now()); err != nil {
				t.Errorf("release: %v", err)
			}
		})
	}
}

// TestAVolumeIsDeletedOnAFullDisk: it may be all that keeps the data of a snapshot.
func TestAVolumeIsDeletedOnAFullDisk(t *testing.T) {
	disk := &spentDisk{}
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "m.db"), Options{Witness: filepath.Join(t.TempDir(), "commits"), Room: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	v := db.named("a", "", 1)
	if _, _, err := db.Volumes().Create(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	db.wrap = func(q querier) querier {
		left := 1
		if disk.room {
			left = 0
		}
		return faulty{q, &left, func() error { return unix.ENOSPC }}
	}
	if err := db.Volumes().Delete(t.Context(), v.Home(), v.ID); err != nil {
		t.Error(err)
	}
}

// TestHoldsOnAFullDisk: what is read may be deleted there, and the reader goes on.
func TestHoldsOnAFullDisk(t *testing.T) {
	ctx, disk := t.Context(), &spentDisk{}
	db, err := Open(ctx, filepath.Join(t.TempDir(), "m.db"), Options{Witness: filepath.Join(t.TempDir(), "commits"), Room: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	id := db.ids.Snapshot()
	addRecord(t, db, snapshot.Record{ID: id, Account: "a", Region: region, State: snapshot.Completed, Root: blockstore.File{ID: 7}})
	db.wrap = func(q querier) querier {
		left := 1
		if disk.room {
			left = 0
		}
		return faulty{q, &left, func() error { return unix.ENOSPC }}
	}
	holds, until := db.Holds(), time.Now().Add(time.Minute)
	for name, take := range map[string]func() (snapshot.Hold, error){
		"of a snapshot": func() (snapshot.Hold, error) { return holds.Take(ctx, id, until, "test") },
		"of every file": func() (snapshot.Hold, error) { return holds.TakeAll(ctx, until, "test") },
	} {
		disk.room = false
		h, err := take()
		if err != nil {
			t.Errorf("a hold %s: %v", name, err)
			continue
		}
		disk.room = false
		if h, err = holds.Extend(ctx, h, until); err != nil {
			t.Errorf("extending one %s: %v", name, err)
		}
		disk.room = false
		if err := holds.Release(ctx, h); err != nil {
			t.Errorf("releasing one %s: %v", name, err)
		}
	}
}

// TestNoRoomToDelete: when the ballast is gone, it is told apart from what deletions would help.
func TestNoRoomToDelete(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "m.db"), Options{Witness: filepath.Join(t.TempDir(), "commits"), Room: &growth{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.wrap = func(q querier) querier { return faulty{q, new(1), func() error { return unix.ENOSPC }} }
	v := db.named("a", "", 1)
	if err := db.Volumes().Delete(t.Context(), v.Home(), v.ID); !errors.Is(err, space.ErrSpent) || !errors.Is(err, space.ErrFull) {
		t.Errorf("a deletion: got %v, want ErrSpent", err)
	}
	if _, _, err := db.Volumes().Create(t.Context(), v); !errors.Is(err, space.ErrFull) || errors.Is(err, space.ErrSpent) {
		t.Errorf("what takes room: got %v, want ErrFull alone", err)
	}
}
