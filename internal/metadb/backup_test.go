package metadb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestNeeds: a backup has what rows name and what gc has yet to look into, and nothing that
// is open or garbage. Its own hold names nothing.
func TestNeeds(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		must(t, db, func(q querier) error {
			for id, f := range map[int]struct {
				kind, state   string
				entries, dead int
			}{
				1: {"pack", "closed", 2, 0}, 2: {"pack", "closed", 2, 2}, 3: {"pack", "open", 0, 0}, 4: {"pages", "closed", 1, 1},
				5: {"root", "closed", 1, 0}, 6: {"root", "closed", 1, 1}, 7: {"root", "closed", 1, 1}, 8: {"root", "closed", 1, 1}, 9: {"pack", "closed", 2, 1},
			} {
				if _, err := exec(ctx, q, `INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created, entries, dead) VALUES ($1, $2, 'd', $3, 0, 0, $4, 0, $5, $6)`,
					id, f.kind, f.state, 100*id, f.entries, f.dead); err != nil {
					return err
				}
			}
			for _, stmt := range []string{
				`INSERT INTO file_candidates (file, taken, expanded) VALUES (7, 0, 1), (8, 0, 1)`, // 6 is yet to be looked into
				`INSERT INTO holds (id, root, until, why) VALUES (1, 8, 1, 'a reader'), (2, 0, 1, 'the backup')`,
				`INSERT INTO s3_pieces (id, writer, size, refs, condemned) VALUES (10, 0, 70, 1, 0), (11, 7, 0, 0, 0), (12, 0, 5, 0, 1)`,
				`INSERT INTO s3_extents (content, n, piece, skip, len) VALUES (1, 0, 10, 0, 30), (1, 1, 10, 0, 30)`,
			} {
				if _, err := exec(ctx, q, stmt); err != nil {
					return err
				}
			}
			id, page := block.ID{1}, snapshot.PageID{2}
			if _, err := exec(ctx, q, `INSERT INTO blocks (id, file, off, len) VALUES ($1, 1, 1, 1)`, id[:]); err != nil {
				return err
			}
			_, err := exec(ctx, q, `INSERT INTO pages (id, file, off, len, blocks) VALUES ($1, 4, 8, 9, 1)`, page[:])
			return err
		})
		var got []string
		if err := (databaseCopy{db}).Needs(ctx, func(some []backup.Need) error {
			for _, n := range some {
				got = append(got, fmt.Sprint(n.Tree, "/", n.Name, " ", n.Bytes, " ", n.Spare))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"blocks/pack/01/0000000000000001 100 false", "blocks/pages/04/0000000000000004 400 false", "blocks/root/05/0000000000000005 500 true",
			"blocks/root/06/0000000000000006 600 true", "blocks/root/08/0000000000000008 800 false", "blocks/pack/09/0000000000000009 900 true",
			"objects/0a/000000000000000a 70 false",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("needs (-want +got):\n%s", diff)
		}
		pages, err := databaseCopy{db}.Pages(ctx, 4)
		if want := []snapshot.PagePlace{{ID: snapshot.PageID{2}, File: 4, Off: 8, Len: 9, Blocks: 1}}; err != nil || !slices.Equal(pages, want) {
			t.Errorf("pages %+v, %v", pages, err)
		}
		enough := errors.New("enough")
		if err := (databaseCopy{db}).Needs(ctx, func([]backup.Need) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("got %v, want %v", err, enough)
		}
	})
}

// TestLostFiles: blocks of files that were not restored are no dedupe hits any more.
func TestLostFiles(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		ids := []block.ID{{1}, {2}}
		must(t, db, func(q querier) error {
			return insert(ctx, q, [][]any{{ids[0][:], 1, 1, 1}, {ids[1][:], 2, 1, 1}}, `INSERT INTO blocks (id, file, off, len) VALUES (?)`)
		})
		if err := db.Backup().LoseFiles(ctx, []blockstore.FileID{1}); err != nil {
			t.Fatal(err)
		}
		if hits, err := db.Catalog().Claim(ctx, ids); err != nil || len(hits) != 1 || hits[0] != ids[1] {
			t.Errorf("hits %v, %v", hits, err)
		}
		for _, r := range []snapshot.Record{
			{ID: "snap-1", Account: "a", Region: region, State: snapshot.Completed}, {ID: "snap-2", Account: "b", Region: "eu-west-1", State: snapshot.Completed},
			{ID: "snap-3", Account: "a", Region: region, State: snapshot.Pending},
		} {
			addRecord(t, db, r)
		}
		var got []string
		for after := ""; ; {
			some, err := db.Backup().Completed(ctx, after, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(some) == 0 {
				break
			}
			after = some[0].ID
			got = append(got, after)
		}
		if want := []string{"snap-1", "snap-2"}; !slices.Equal(got, want) {
			t.Errorf("completed %v, want %v", got, want)
		}
	})
}

// TestCopy: a copy is of one moment, with all that was committed before it was asked for,
// while others commit. A server of its own is not copied.
func TestCopy(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		path := filepath.Join(t.TempDir(), "a copy?#%")
		if db.read == db.write {
			if err := db.Backup().CopyTo(ctx, path); !errors.Is(err, backup.ErrByItsOwnTools) {
				t.Errorf("got %v, want %v", err, backup.ErrByItsOwnTools)
			}
			return
		}
		if _, err := db.Catalog().SetStoreIdentity(ctx, "a store"); err != nil {
			t.Fatal(err)
		}
		// Both of a pair are committed together.
		pair := func(n int) {
			must(t, db, func(q querier) error {
				_, err := exec(ctx, q, `INSERT INTO meta (name, value) VALUES ($1, $3), ($2, $3)`, fmt.Sprint("one ", n), fmt.Sprint("two ", n), []byte{1})
				return err
			})
		}
		for n := range 50 {
			pair(n)
		}
		var busy sync.WaitGroup
		stop := make(chan struct{})
		busy.Go(func() {
			for n := 50; ; n++ {
				select {
				case <-stop:
					return
				default:
					pair(n)
				}
			}
		})
		err := db.Backup().CopyTo(ctx, path)
		close(stop)
		busy.Wait()
		if err != nil {
			t.Fatal(err)
		}
		checkCopy(ctx, t, db, path)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := db.Backup().CopyTo(cancelled, path+"2"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

func checkCopy(ctx context.Context, t *testing.T, db *DB, path string) {
	t.Helper()
	c, err := db.Backup().OpenCopy(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	facts, err := c.Facts(ctx)
	if err != nil || facts.Store != "a store" || facts.Schema < baselineVersion {
		t.Errorf("facts %+v, %v", facts, err)
	}
	counts := map[string]int{}
	for _, half := range []string{"one", "two"} {
		if counts[half], err = c.(databaseCopy).db.count(ctx, "count", `SELECT COUNT(*) FROM meta WHERE name LIKE $1`, half+" %"); err != nil {
			t.Fatal(err)
		}
	}
	if counts["one"] < 50 || counts["one"] != counts["two"] {
		t.Errorf("it has %v", counts)
	}
}
