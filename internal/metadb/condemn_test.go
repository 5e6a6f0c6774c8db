package metadb

import (
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// A pass of gc that is slow condemns nothing that another one has taken since: that one may
// have found it referenced, and nobody would ever take the condemnation back.
func TestAPassCondemnsOnlyItsOwn(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		ctx, db := t.Context(), fresh(t)
		page := snapshot.PageID{2}
		must(t, db, func(q querier) error {
			_, err := exec(ctx, q, `INSERT INTO pages (id, file, off, len, blocks) VALUES ($1, 4, 8, 9, 1)`, page[:])
			return err
		})
		g := db.Garbage()
		pages := []snapshot.PageID{page}
		take := func() (pass int64) {
			t.Helper()
			pass, err := g.NextPass(ctx)
			if err == nil {
				_, err = g.TakePages(ctx, pass, snapshot.PageID{}, 10)
			}
			if err != nil {
				t.Fatal(err)
			}
			return pass
		}
		condemned := func(pass int64) (n int) {
			t.Helper()
			if err := g.Condemn(ctx, pass, pages, nil, gc.Doubt{}); err != nil {
				t.Fatal(err)
			}
			n, err := db.count(ctx, "count", `SELECT COUNT(*) FROM pages WHERE condemned <> 0`)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if err := g.NotePages(ctx, pages); err != nil {
			t.Fatal(err)
		}
		slow, quick := take(), take()
		if n := condemned(slow); n != 0 {
			t.Errorf("%d pages are condemned by a pass that has lost them", n)
		}
		if err := g.Settle(ctx, quick, pages, nil); err != nil {
			t.Fatal(err)
		}
		if n := condemned(slow) + condemned(quick); n != 0 {
			t.Errorf("%d pages are condemned that were found to be referenced", n)
		}
		if err := g.NotePages(ctx, pages); err != nil {
			t.Fatal(err)
		}
		if n := condemned(take()); n != 1 {
			t.Errorf("%d pages are condemned, want 1", n)
		}
	})
}

// TestNoCandidateWithoutARow: the blocks that a pass notes may have been deleted by another one,
// and then nothing is left to be done about them.
func TestNoCandidateWithoutARow(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		ctx, db := t.Context(), fresh(t)
		there, gone := block.ID{2}, block.ID{3}
		must(t, db, func(q querier) error {
			_, err := exec(ctx, q, `INSERT INTO blocks (id, file, off, len, condemned) VALUES ($1, 4, 8, 9, 0)`, there[:])
			return err
		})
		g := db.Garbage()
		pass, err := g.NextPass(ctx)
		if err == nil {
			err = g.NoteBlocks(ctx, pass, []block.ID{there, gone})
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := db.count(ctx, "count", `SELECT COUNT(*) FROM block_candidates`)
		if err != nil || n != 1 {
			t.Errorf("%d candidates, %v", n, err)
		}
		if taken, err := g.TakeBlocks(ctx, pass, block.ID{}, 10); err != nil || !slices.Equal(taken, []block.ID{there}) {
			t.Errorf("taken are %v, %v", taken, err)
		}
	})
}
