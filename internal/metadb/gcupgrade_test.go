package metadb

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage/imagetest"
)

// TestGarbageIsUpgraded migrates a database in which marks were columns to the
// present schema: what had been let go before is found, and the files are counted.
func TestGarbageIsUpgraded(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) { upgradeGarbage(t, fresh(t)) })
}

// TestDataKeysAreUpgraded: what was encrypted before anything was counted counts as all that
// a key may encrypt.
func TestDataKeysAreUpgraded(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		p, err := db.provider()
		if err == nil {
			_, err = p.DownTo(ctx, 36)
		}
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, func(q querier) error {
			_, err := exec(ctx, q, `INSERT INTO domains (id, account, kms_key, wrapped) VALUES ('dom-1', 'a', '', 'x'), ('dom-2', 'a', 'key', 'x')`)
			return err
		})
		if _, err := p.Up(ctx); err != nil {
			t.Fatal(err)
		}
		all, err := db.Catalog().Domains(ctx)
		if err != nil || len(all) != 2 || all[0].Encrypted != 0 || all[1].Encrypted != 1<<30 || all[1].Newest != 0 || all[1].Retiring() {
			t.Errorf("got %+v, %v", all, err)
		}
	})
}

func upgradeGarbage(t *testing.T, db *DB) {
	ctx := t.Context()
	p, err := db.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(ctx, 9); err != nil {
		t.Fatal(err)
	}
	must(t, db, func(q querier) error {
		for _, stmt := range []string{
			`INSERT INTO files (id, kind, domain, state, unit, attempt, bytes, created) VALUES
				(1, 'pack', 'd', 'closed', 1, 1, 9, 1), (2, 'pages', '', 'closed', 1, 1, 9, 1), (3, 'root', '', 'closed', 1, 1, 9, 1),
				(4, 'root', '', 'closed', 1, 1, 9, 1), (5, 'pack', 'd', 'open', 1, 1, 0, 1), (6, 'root', '', 'closed', 1, 1, 9, 1)`,
			`INSERT INTO snapshots (id, account, domain, task, description, state, volume_gib, virtual_bytes, progress, started, completed, root, blocks, stored)
				VALUES ('s', 'a', 'd', '', '', 'completed', 1, 1, 100, 1, 1, 3, 1, 1)`,
			`INSERT INTO drafts (snapshot, base, timeout, touched, complete, want_blocks) VALUES ('t', 6, 0, 1, 0, -1)`,
		} {
			if _, err := exec(ctx, q, stmt); err != nil {
				return err
			}
		}
		for i := range byte(3) {
			if _, err := exec(ctx, q, `INSERT INTO blocks (id, file, slot, mark) VALUES ($1, 1, $2, 7)`, make32(i), i); err != nil {
				return err
			}
		}
		_, err := exec(ctx, q, `INSERT INTO pages (id, file, off, len, blocks, mark) VALUES ($1, 2, 0, 9, 3, 7)`, make32(9))
		return err
	})
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	got := dump(t, db)
	for table, want := range map[string][]string{
		"files": { // id, kind, domain, state; unit, attempt, bytes, created, entries, dead, compressed
			"1packdclosed1 1 9 1 3 0 0 0", "2pagesclosed1 1 9 1 1 0 0 0", "3rootclosed1 1 9 1 1 0 0 0",
			"4rootclosed1 1 9 1 1 1 0 0", "5packdopen1 1 0 1 0 0 0 0", "6rootclosed1 1 9 1 1 1 0 0",
		},
		"blocks": { // id, file, condemned, damaged, off, len
			fmt.Sprintf("%v 1 0 0 1 129", make32(0)), fmt.Sprintf("%v 1 0 0 130 129", make32(1)), fmt.Sprintf("%v 1 0 0 259 129", make32(2)),
		},
		"file_candidates": {"1 0 0", "2 0 0", "3 0 0", "4 0 0", "6 0 0"},
	} {
		if d := cmp.Diff(want, got[table]); d != "" {
			t.Errorf("%s (-want +got):\n%s", table, d)
		}
	}
	if blocks, pages := len(got["block_candidates"]), len(got["page_candidates"]); blocks != 3 || pages != 1 {
		t.Errorf("%d blocks and %d pages are candidates, want 3 and 1", blocks, pages)
	}
}

func make32(b byte) []byte { return append(make([]byte, 31), b) }
