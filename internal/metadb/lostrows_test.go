package metadb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/verify"
)

// forget has the rig open keys as a service that has just started.
func (r *verifyRig) forget() {
	ring := &keyring.Ring{Domains: r.db.Catalog(), Wrapper: r.ring.Wrapper, KMS: r.ring.KMS}
	r.store.Keys, r.lib.Keys, r.verifier.Keys = ring, ring.Keys, ring
}

// TestLostRows: a snapshot or domain whose row alone is gone, while the rows of its files are
// there, is found, and a rebuild enters it again, as the finding says; so it does the row of a
// root that snapshots name.
func TestLostRows(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for table, stmt := range map[string]string{
			"snapshots": `DELETE FROM snapshots WHERE id = 'snap-0000000000000000b'`,
			"domains":   `DELETE FROM domains`,
			"roots":     `DELETE FROM files WHERE kind = 'root'`,
		} {
			t.Run(table, func(t *testing.T) {
				r := newVerifyRig(t, fresh(t), frame.AES256GCM)
				r.complete()
				must(t, r.db, func(q querier) error {
					_, err := exec(t.Context(), q, stmt)
					return err
				})
				r.forget()
				found, _ := r.verify()
				if len(found) == 0 {
					t.Fatal("nothing was found")
				}
				for _, f := range found {
					if f.Part == verify.Row && !strings.Contains(f.Advice(), "--rebuild enters the "+strings.TrimSuffix(table, "s")+" again") {
						t.Errorf("%v: %s", f, f.Advice())
					}
				}
				for range 2 { // meanwhile nothing is let go
					if _, err := r.gc.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				done, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{})
				if want := map[string]int64{"snapshots": 1, "domains": 1}[table]; err != nil || done.Findings != 0 || done.Domains+done.Snapshots != want {
					t.Errorf("rebuilt %+v, %v", done, err)
				}
				if failed := r.readAll(); len(failed) != 0 {
					t.Errorf("after it: %v", failed)
				}
				if found, s := r.verify(); len(found) != 0 || s.Snapshots != 2 {
					t.Errorf("after it: %+v, %v", s, found)
				}
				if again, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{}); err != nil || again != (verify.Rebuilt{}) {
					t.Errorf("again: %+v, %v", again, err)
				}
			})
		}
	})
}

// TestPacksInEachOthersPlace: a pack that lies in the place of another is the file's fault, not
// a row's, and its blocks are found where they lie.
func TestPacksInEachOthersPlace(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.AES256GCM)
		r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2})
		r.snapshot("snap-0000000000000000b", 1, map[int64]int{0: 3, 1: 4})
		packs := map[string][]byte{}
		var names []string
		for _, name := range r.backend.Names() {
			if f, _ := blockstore.ParseName(name); f.Kind == blockstore.PackFile {
				names = append(names, name)
				r.backend.Edit(name, func(p []byte) []byte { packs[name] = bytes.Clone(p); return p })
			}
		}
		if len(names) != 2 {
			t.Fatalf("the packs are %q", names)
		}
		for i, name := range names {
			r.backend.Edit(name, func([]byte) []byte { return packs[names[1-i]] })
		}
		found, _ := r.verify()
		headers := 0
		for _, f := range found {
			if f.Part == verify.Row {
				t.Errorf("%v", f)
			}
			if f.Part == verify.Header && strings.Contains(f.Advice(), "another file lies in its place") {
				headers++
			}
		}
		if headers != 2 {
			t.Errorf("found %v", found)
		}
		if done := r.repair("packs in each other's place"); done.Mended != 4 || done.Left != 0 {
			t.Errorf("%+v", done)
		}
	})
}

// TestADamagedPageThatWasWrittenAnewIsHarmless: verify does not ask for the image again once the
// page lies elsewhere, although gc has not removed the file yet.
func TestADamagedPageThatWasWrittenAnewIsHarmless(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.None)
		disk := map[int64]int{0: 1, 5: 2}
		r.snapshot("snap-0000000000000000a", 1, disk)
		for _, name := range r.backend.Names() {
			if f, _ := blockstore.ParseName(name); f.Kind == blockstore.PagesFile {
				r.backend.Edit(name, func(p []byte) []byte { p[8] ^= 1 << 4; return p }) // its bitmap has one more block
			}
		}
		if found, s := r.verify(); s.Findings == 0 {
			t.Fatalf("found %v", found)
		}
		r.snapshot("snap-0000000000000000b", 1, disk)
		found, s := r.verify()
		if s.Findings != 0 || s.Harmless != 1 || len(found) != 1 || found[0].Part != verify.Page || !strings.HasPrefix(found[0].Advice(), "nothing:") {
			t.Errorf("found %v, %+v", found, s)
		}
	})
}

// silentKMS is a ring whose KMS does not answer.
type silentKMS struct{}

func (silentKMS) err() error { return fmt.Errorf("opening keys: %w", keyring.ErrUnavailable) }

func (s silentKMS) Keys(context.Context, string) (*frame.Keys, error) { return nil, s.err() }

func (s silentKMS) Unwrap(context.Context, blockstore.Domain) (*frame.Keys, error) {
	return nil, s.err()
}

func (silentKMS) Forget(string) {}

func (s silentKMS) Merge(context.Context, blockstore.Domain) (blockstore.Domain, error) {
	return blockstore.Domain{}, s.err()
}

// TestAKMSThatDoesNotAnswerIsNoDamage, as a key that is disabled is none.
func TestAKMSThatDoesNotAnswerIsNoDamage(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.AES256GCM)
		r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1})
		r.verifier.Keys = silentKMS{}
		if found, s := r.verify(); len(found) != 0 || len(s.Locked) != 1 || s.Snapshots != 1 || s.Blocks != 1 {
			t.Errorf("found %v, %+v", found, s)
		}
	})
}

// TestBrokenKeysAreDamage to a snapshot that is read by itself, too, and no import mends it.
func TestBrokenKeysAreDamage(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.AES256GCM)
		rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1})
		r.lib.Keys = func(context.Context, string) (*frame.Keys, error) { return nil, secret.ErrWrapped }
		var found []verify.Finding
		done, err := r.verifier.Snapshot(t.Context(), rec, verify.Observer{Found: func(f verify.Finding) error {
			found = append(found, f)
			return nil
		}})
		if err != nil || done.Findings != 1 || len(found) != 1 || !strings.Contains(found[0].Advice(), "bring back the database") {
			t.Errorf("%+v, %v: %v", done, err, found)
		}
	})
}

// TestADatabaseThatIsNoneSaysWhatToDo: one that can't be opened at all is damage as well, and
// what the store holds is not lost with it.
func TestADatabaseThatIsNoneSaysWhatToDo(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"half of it":   func(p []byte) []byte { return p[:len(p)/2/4096*4096] },
		"another head": func(p []byte) []byte { p[2] ^= 4; return p },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metadata.db")
			if err := os.WriteFile(path, damage(bytes.Clone(migrated)), 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), path, Options{})
			if err == nil {
				_ = db.Close()
			}
			if err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "diskport verify --rebuild") {
				t.Errorf("it is opened with %v", err)
			}
		})
	}
}

// TestLostRowsOfAVolume: a repair enters rows that are lost again, although what they named is left
// to a volume alone, whose snapshot was deleted, and gc frees what the volume does not need.
func TestLostRowsOfAVolume(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for _, table := range []string{"pages", "blocks"} {
			r := newVerifyRig(t, fresh(t), frame.None)
			rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2})
			v := r.db.named(rec.Account, "", 1)
			v.Snapshot, v.Region = rec.ID, rec.Region
			if _, _, err := r.db.Volumes().Create(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if err := r.db.Snapshots().Delete(t.Context(), rec.Home(), rec.ID); err != nil {
				t.Fatal(err)
			}
			must(t, r.db, func(q querier) error {
				_, err := exec(t.Context(), q, `DELETE FROM `+table)
				return err
			})
			repair := func() verify.Repaired {
				t.Helper()
				done, err := r.verifier.Repair(t.Context(), verify.Effort{}, verify.Observer{})
				for range 2 {
					if err == nil {
						_, err = r.gc.Run(t.Context())
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				return done
			}
			if done := repair(); done.Mended+done.Pages != map[string]int64{"pages": 1, "blocks": 2}[table] {
				t.Errorf("without %s: repaired %+v", table, done)
			}
			b, err := r.lib.Open(t.Context(), rec)
			if err != nil {
				t.Fatal(err)
			}
			got, want := make([]byte, frame.Size), make([]byte, block.Size)
			for index, n := range r.disks[rec.ID] {
				if got, _, err := b.Get(t.Context(), index, got); err != nil {
					t.Errorf("without %s: block %d of the volume: %v", table, index, err)
				} else if little(want, n); !bytes.Equal(got, want) {
					t.Errorf("without %s: block %d of the volume is another", table, index)
				}
			}
			if done := repair(); done.Mended+done.Pages != 0 {
				t.Errorf("without %s: repaired again: %+v", table, done)
			}
			if err := r.db.Volumes().Delete(t.Context(), v.Home(), v.ID); err != nil {
				t.Fatal(err)
			}
			for range 2 { // what is dead may have been a root, whose pages go next
				repair()
			}
			if left := r.backend.Names(); len(left) != 0 {
				t.Errorf("without %s, and then the volume: %q are left", table, left)
			}
		}
	})
}

// damageTable turns a bit of the page over at which a table of the database at path begins.
func damageTable(t *testing.T, path, table string) {
	t.Helper()
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	page, _, err := one(t.Context(), db.read, column[int64], `SELECT rootpage FROM sqlite_master WHERE name = $1`, table)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[(page-1)*4096] ^= 4
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedTableSaysWhatToDo, also where the damage is not what stops a start but what is
// made of it, and where the database is open by then.
func TestADamagedTableSaysWhatToDo(t *testing.T) {
	for table, use := range map[string]func(*DB) error{
		"goose_db_version": func(*DB) error { return nil },
		"meta": func(db *DB) error {
			_, err := db.Secret(t.Context(), "page key", func() ([]byte, error) { return nil, nil })
			return err
		},
		"units": func(db *DB) error { return db.Work().ExpireAll(t.Context()) },
	} {
		t.Run(table, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metadata.db")
			if err := os.WriteFile(path, migrated, 0o600); err != nil {
				t.Fatal(err)
			}
			damageTable(t, path, table)
			db, err := Open(t.Context(), path, Options{})
			if err == nil {
				err = errors.Join(use(db), db.Close())
			}
			err = Advised(path, err)
			if err == nil || strings.Count(err.Error(), path+" is damaged") != 1 || !strings.Contains(err.Error(), "diskport verify --rebuild") {
				t.Errorf("it is used with %v", err)
			}
		})
	}
	if err := errors.New("something else"); Advised("metadata.db", err) != err {
		t.Error("another error is told as damage")
	}
}
