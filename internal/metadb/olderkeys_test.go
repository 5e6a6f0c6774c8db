package metadb

import (
	"fmt"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/verify"
)

// past is what a database knew at a time.
type past struct {
	domain    blockstore.Domain
	files     map[blockstore.FileID]bool
	snapshots int
}

// now returns what the database knows now.
func (r *verifyRig) now() past {
	r.t.Helper()
	files, err := r.db.Inventory().Files(r.t.Context(), 0, 10_000)
	if err != nil {
		r.t.Fatal(err)
	}
	p := past{r.stored(), map[blockstore.FileID]bool{}, len(r.records)}
	for _, f := range files {
		p.files[f.ID] = true
	}
	return p
}

// backTo makes the database know no more than it did, in a process that has just begun, as
// when it is restored from a backup.
func (r *verifyRig) backTo(p past) {
	r.t.Helper()
	later := r.now()
	must(r.t, r.db, func(q querier) error {
		ctx := r.t.Context()
		for id := range later.files {
			if p.files[id] {
				continue
			}
			for _, stmt := range []string{`DELETE FROM blocks WHERE file = $1`, `DELETE FROM pages WHERE file = $1`, `DELETE FROM files WHERE id = $1`} {
				if _, err := exec(ctx, q, stmt, id); err != nil {
					return err
				}
			}
		}
		for _, rec := range r.records[p.snapshots:] {
			if _, err := exec(ctx, q, `DELETE FROM snapshots WHERE id = $1`, rec.ID); err != nil {
				return err
			}
		}
		_, err := exec(ctx, q, `UPDATE domains SET wrapped = $1, oldest_key = $2, newest_key = $3, retire = $4 WHERE id = $5`,
			p.domain.WrappedKeys, p.domain.Oldest, p.domain.Newest, p.domain.Retire, p.domain.ID)
		return err
	})
	r.begin()
}

// begin has a process begin, whose ring has seen nothing.
func (r *verifyRig) begin() {
	r.ring = &keyring.Ring{Domains: r.ring.Domains, Wrapper: r.ring.Wrapper, KMS: r.ring.KMS}
	r.store.Keys, r.lib.Keys, r.verifier.Keys, r.compact.Keys = r.ring, r.ring.Keys, r.ring, lockedRing{r.ring, &r.locked}
}

// newKey makes a data key, as happens when the newest has encrypted enough.
func (r *verifyRig) newKey() {
	r.t.Helper()
	if _, _, err := r.ring.Renew(r.t.Context(), r.domain.ID, r.stored().Newest); err != nil {
		r.t.Fatal(err)
	}
}

// sound checks that everything reads as it was written, and that nothing is found.
func (r *verifyRig) sound(when string) {
	r.t.Helper()
	if failed := r.readAll(); len(failed) != 0 {
		r.t.Errorf("%s: %v", when, failed)
	}
	if found, s := r.verify(); s.Findings != 0 {
		r.t.Errorf("%s: verify finds %+v, %v", when, s, found)
	}
}

// rebuild enters what the store has besides.
func (r *verifyRig) rebuild(when string) {
	r.t.Helper()
	var found []verify.Finding
	if _, err := r.verifier.Rebuild(r.t.Context(), r.backend, verify.Observer{Found: func(f verify.Finding) error {
		found = append(found, f)
		return nil
	}}); err != nil || len(found) != 0 {
		r.t.Errorf("%s: rebuild: %v, %v", when, err, found)
	}
}

// TestAnOlderDatabaseMakesItsOwnKeys: a database that was restored from a backup makes data
// keys with numbers that packs have already which it does not know. When those are entered,
// everything reads as it was written, and still does after its packs were rewritten.
func TestAnOlderDatabaseMakesItsOwnKeys(t *testing.T) {
	for _, c := range []struct {
		name         string
		lost, made   int  // data keys made before and after the database is restored
		rebuildFirst bool // before the newer ones are made
	}{
		{"more were lost", 2, 1, false},
		{"more are made", 1, 2, false},
		{"the lost ones are entered first", 2, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			encrypted(t, func(t *testing.T, p *packRig) { olderKeys(t, p.db, c.lost, c.made, c.rebuildFirst) })
		})
	}
}

func olderKeys(t *testing.T, db *DB, lost, made int, rebuildFirst bool) {
	r := newVerifyRig(t, db, frame.AES256GCM)
	n := 0
	snapshot := func() { // with blocks of its own, and one that all have
		t.Helper()
		n++
		r.snapshot(fmt.Sprintf("snap-%017x", n), 1, map[int64]int{0: 1, 7: 100 * n, 1500: 100*n + 1})
	}
	snapshot()
	before := r.now()
	for range lost {
		r.newKey()
		snapshot()
	}
	r.backTo(before)
	if rebuildFirst {
		r.rebuild("before newer keys are made")
		r.sound("before newer keys are made")
		if d := r.stored(); d.Newest != before.domain.Newest+uint32(lost)+1 {
			t.Errorf("the domain has data keys up to %d after %d were entered", d.Newest, lost)
		}
	}
	for range made {
		r.newKey()
		snapshot()
	}
	if !rebuildFirst {
		r.rebuild("after newer keys were made")
	}
	r.sound("as it was entered")
	r.disable(true)
	r.run(compact.Thorough(0))
	r.collect()
	r.disable(false)
	r.sound("compacted while the KMS key could not be used")
	r.run(compact.Thorough(0))
	r.collect()
	r.sound("compacted")
	r.rotate()
	r.collect()
	r.rotate()
	r.sound("rotated")
	if d := r.stored(); d.Oldest != d.Newest {
		t.Errorf("rotated, it has data keys %d to %d", d.Oldest, d.Newest)
	}
}

// collect runs two cycles of gc.
func (r *verifyRig) collect() {
	r.t.Helper()
	for range 2 {
		if _, err := r.gc.Run(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestMendingTakesNoFrameUnderForeignKeys: the only whole copy of a block lies in a pack that
// no row knows, under a data key whose number is that of another one by now.
func TestMendingTakesNoFrameUnderForeignKeys(t *testing.T) {
	encrypted(t, func(t *testing.T, p *packRig) {
		r := newVerifyRig(t, p.db, frame.AES256GCM)
		r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1})
		before := r.now()
		r.newKey()
		r.snapshot("snap-0000000000000000b", 1, map[int64]int{1: 2})
		r.backTo(before)
		r.records = r.records[:1]
		r.newKey()
		r.snapshot("snap-0000000000000000c", 1, map[int64]int{1: 2})
		known := r.now()
		for id := range known.files {
			if before.files[id] {
				continue
			}
			c, err := r.db.Inventory().Contents(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range c.Blocks {
				r.backend.Edit(c.Row.Name(), func(p []byte) []byte { p[int64(b.Off)*blockstore.Align+9] ^= 1; return p })
			}
		}
		if done := r.repair("under a foreign key"); done.Mended != 1 {
			t.Errorf("mended %+v", done)
		}
		r.begin()
		r.sound("mended")
		for _, name := range r.backend.Names() { // so that only what was written anew has the block
			if f, ok := blockstore.ParseName(name); ok && !r.now().files[f.ID] {
				if err := r.backend.Remove(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.sound("mended, and without what it was mended from")
	})
}
