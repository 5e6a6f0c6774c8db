package metadb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/importtask/importtasktest"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/outbox/outboxtest"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/catalogtest"
	"github.com/diskport/diskport/internal/store/compact/compacttest"
	"github.com/diskport/diskport/internal/store/footprint/footprinttest"
	"github.com/diskport/diskport/internal/store/gc/gctest"
	"github.com/diskport/diskport/internal/store/keyring/domaintest"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/snapshot/snapshottest"
	"github.com/diskport/diskport/internal/store/verify/verifytest"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/tag/tagtest"
	"github.com/diskport/diskport/internal/work"
	"github.com/diskport/diskport/internal/work/worktest"
)

// must runs an event that must succeed.
func must(t testing.TB, db *DB, fn func(querier) error) {
	t.Helper()
	if err := db.update(t.Context(), "set up a test", fn); err != nil {
		t.Fatal(err)
	}
}

func TestWork(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		worktest.Test(t, func(t *testing.T) worktest.Bench {
			db := fresh(t)
			at := time.Unix(1e9, 0)
			db.now = func() time.Time { at = at.Add(time.Second); return at }
			return worktest.Bench{Store: db.Work(), Starter: db.Work(), Queues: db.Work(), Resumer: db.Work(), Agenda: db.Work(), Affine: db.Work(), Add: func(t *testing.T, units ...work.Unit) {
				for _, u := range units {
					must(t, db, func(q querier) error { return db.addUnits(t.Context(), q, work.Lease{Unit: u}) })
				}
			}}
		})
	})
}

func TestOutbox(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		outboxtest.Test(t, func(t *testing.T) outboxtest.Bench {
			db := fresh(t)
			return outboxtest.Bench{Store: db.Outbox(), Backlog: db.Outbox(), Conditions: db.Outbox(), Tell: func(t *testing.T, e outbox.Event, fail error) error {
				return db.update(t.Context(), "tell", func(q querier) error { return cmp.Or(db.tell(t.Context(), q, e), fail) })
			}}
		})
	})
}

// TestEventsOfSnapshotsAreTold: the transaction of each event adds it to the
// outbox.
func TestEventsOfSnapshotsAreTold(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		addRecord(t, db, snapshot.Record{ID: "snap-1", Account: "a", Region: region, State: snapshot.Completed})
		s := db.Snapshots()
		if err := cmp.Or(s.Share(ctx, of("a"), "snap-1", []string{"b"}, nil), s.Unshare(ctx, of("a"), "snap-1"), s.Delete(ctx, of("a"), "snap-1")); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, of("a"), "snap-1"); err == nil {
			t.Fatal("deleted twice")
		}
		refused := snapshot.Draft{Record: snapshot.Record{ID: "snap-2", Account: "a", Region: region, Parent: "snap-1"}, Refused: "no key", Want: &snapshot.Expected{}}
		copied := snapshot.Draft{Record: snapshot.Record{ID: "snap-3", Account: "a", Region: region}, CopyOf: "snap-1", CopyRegion: "eu-west-1", Refused: "no key", Want: &snapshot.Expected{}}
		ofVolume := snapshot.Draft{Record: snapshot.Record{ID: "snap-4", Account: "a", Region: region, Volume: "vol-1"}, Refused: "no key", Want: &snapshot.Expected{}}
		for _, d := range []snapshot.Draft{refused, copied, ofVolume} {
			if _, _, err := s.Start(ctx, d, "", 1); err != nil {
				t.Fatal(err)
			}
		}
		events, err := db.Outbox().Pending(ctx, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, e := range events {
			told = append(told, fmt.Sprint(e.Kind, " ", e.Account, " ", e.Region, " ", e.Resource, " ", e.Detail.CopyOf, e.Detail.CopyRegion, e.Detail.Volume, " ", e.Detail.Message, " ", e.Detail.Added, e.Detail.Removed))
		}
		want := []string{
			"snapshot.shared a us-east-1 snap-1   [b] []", "snapshot.unshared a us-east-1 snap-1   [] [b]", "snapshot.deleted a us-east-1 snap-1   [] []",
			"snapshot.failed a us-east-1 snap-2  no key [] []", "snapshot.failed a us-east-1 snap-3 snap-1eu-west-1 no key [] []", "snapshot.failed a us-east-1 snap-4 vol-1 no key [] []",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestCatalog(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		catalogtest.Run(t, func(t *testing.T) catalogtest.Fixture { return catalogFixture(t, fresh(t)) })
	})
}

func TestDomains(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		domaintest.Test(t, func(t *testing.T) domaintest.Bench {
			db := fresh(t)
			c := catalogFixture(t, db)
			return domaintest.Bench{
				Store: db.Catalog(),
				AddPack: func(t *testing.T, id blockstore.FileID, domain string, oldest uint32) {
					f := blockstore.File{ID: id, Kind: blockstore.PackFile, Domain: domain}
					if err := c.Catalog.CreateFile(t.Context(), c.Lease(t), f, blockstore.KeyUse{Oldest: oldest}); err != nil {
						t.Fatal(err)
					}
				},
				RemovePack: func(t *testing.T, id blockstore.FileID) { c.LoseFile(t, id) },
				Encrypt: func(t *testing.T, domain string, key uint32, blocks, limit int64) error {
					return db.update(t.Context(), "encrypt", func(q querier) error {
						return encrypt(t.Context(), q, domain, blockstore.KeyUse{Newest: key, Blocks: blocks, Limit: limit})
					})
				},
			}
		})
	})
}

func TestPacks(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		compacttest.Test(t, func(t *testing.T) compacttest.Bench {
			db := fresh(t)
			return compacttest.Bench{Fixture: catalogFixture(t, db), Store: db.Packs(), Mender: db.Packs(), Keys: db.Catalog(), Files: db.Garbage(), Now: db.now}
		})
	})
}

func TestInventory(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		verifytest.Test(t, func(t *testing.T) verifytest.Bench { return inventoryBench(t, fresh(t)) })
	})
}

func inventoryBench(t *testing.T, db *DB) verifytest.Bench {
	b := verifytest.Bench{Fixture: catalogFixture(t, db), Store: db.Inventory(), Fixes: db.Inventory(), Entries: db.Inventory(), Rounds: db.Inventory(), GC: db.Garbage()}
	b.AddPages = func(t *testing.T, file blockstore.FileID, bytes int64, pages []snapshot.PagePlace) {
		l := b.Lease(t)
		f := blockstore.File{ID: file, Kind: blockstore.PagesFile}
		if err := db.Catalog().CreateFile(t.Context(), l, f, blockstore.KeyUse{}); err != nil {
			t.Fatal(err)
		}
		must(t, db, func(q querier) error {
			return store(t.Context(), q, l, importtask.RangeResult{PagesFile: f, PagesBytes: bytes, Pages: pages})
		})
	}
	b.AddSnapshot = func(t *testing.T, rec snapshot.Record) {
		rec.State = cmp.Or(rec.State, snapshot.Completed)
		addRecord(t, db, rec)
	}
	b.LoseSnapshot = func(t *testing.T, id string) {
		must(t, db, func(q querier) error {
			_, err := exec(t.Context(), q, `DELETE FROM snapshots WHERE id = $1`, id)
			return err
		})
	}
	b.DeleteSnapshot = func(t *testing.T, id string) {
		if err := db.Snapshots().Delete(t.Context(), awsid.Home{Account: "a", Region: "us-east-1"}, id); err != nil {
			t.Fatal(err)
		}
	}
	b.SetSpan = func(t *testing.T, id block.ID, off, length int64) {
		must(t, db, func(q querier) error {
			_, err := exec(t.Context(), q, `UPDATE blocks SET off = $1, len = $2, damaged = 0 WHERE id = $3`, off, length, id[:])
			return err
		})
	}
	return b
}

func catalogFixture(t *testing.T, db *DB) catalogtest.Fixture {
	return catalogtest.Fixture{
		Catalog: db.Catalog(), Owner: db.Catalog(),
		Lease: func(t testing.TB) work.Lease {
			l := db.leased(work.Lease{Owner: "node"}, work.Range, int(db.ids.Int63()))
			must(t, db, func(q querier) error { return db.addUnits(t.Context(), q, l) })
			return l
		},
		Lose: func(t testing.TB, l work.Lease) {
			must(t, db, func(q querier) error { return finishUnit(t.Context(), q, l) })
		},
		Insert: func(t testing.TB, l work.Lease, packs []blockstore.ClosedPack) {
			must(t, db, func(q querier) error {
				if err := finishUnit(t.Context(), q, l); err != nil {
					return err
				}
				return store(t.Context(), q, l, importtask.RangeResult{Packs: packs})
			})
		},
		Condemn: func(t testing.TB, ids []block.ID) {
			must(t, db, func(q querier) error {
				_, err := execIn(t.Context(), q, hashes(ids), `UPDATE blocks SET condemned = 1 WHERE id IN (?)`)
				return err
			})
		},
		LoseFile: func(t testing.TB, id blockstore.FileID) {
			must(t, db, func(q querier) error {
				_, err := exec(t.Context(), q, `DELETE FROM files WHERE id = $1`, id)
				return err
			})
		},
		Sweep: func(t testing.TB) {
			must(t, db, func(q querier) error {
				_, err := exec(t.Context(), q, `DELETE FROM blocks WHERE condemned <> 0`)
				return err
			})
		},
	}
}

func TestImportTasks(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		importtasktest.Test(t, func(t *testing.T) importtasktest.Bench { return importBench(fresh(t)) })
	})
}

func importBench(db *DB) importtasktest.Bench {
	return importtasktest.Bench{
		Tasks: db.Tasks(), Drafts: db.Tasks(), Stages: db.Tasks(), Work: db.Work(), Starter: db.Work(),
		Catalog: db.Catalog(), Snapshots: db.Snapshots(), Tags: db.Tags(), Images: db.Images(), Leavings: db.Snapshots(),
	}
}

func TestGarbage(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		gctest.Test(t, func(t *testing.T) gctest.Bench { return garbageBench(fresh(t)) })
	})
}

func TestFootprints(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		footprinttest.Test(t, func(t *testing.T) footprinttest.Bench {
			db := fresh(t)
			return footprinttest.Bench{Bench: garbageBench(db), Footprints: db.Footprints(), Volume: func(t *testing.T, id string) {
				v := db.named("a", "", 1)
				v.Region, v.Snapshot = "", id // where the bench makes snapshots
				if _, _, err := db.Volumes().Create(t.Context(), v); err != nil {
					t.Fatal(err)
				}
			}}
		})
	})
}

func garbageBench(db *DB) gctest.Bench {
	ctx := context.Background()
	return gctest.Bench{
		Store: db.Garbage(), Catalog: db.Catalog(),
		Begin: func(t *testing.T) work.Lease {
			l := db.leased(work.Lease{Owner: "node"}, work.Range, int(db.ids.Int63()))
			l.Until = l.Until.Add(time.Hour)
			must(t, db, func(q querier) error { return db.addUnits(ctx, q, l) })
			return l
		},
		Draft: func(t *testing.T, id, domain string) {
			addRecord(t, db, snapshot.Record{ID: id, State: snapshot.Pending, Domain: domain})
		},
		Finish: func(l work.Lease, draft string, packs []blockstore.ClosedPack, pages []snapshot.PagePlace) error {
			r := importtask.RangeResult{Packs: packs, Pages: pages, PagesBytes: 100}
			r.PagesFile.ID = pages[0].File
			return db.update(ctx, "finish a range", func(q querier) error {
				return cmp.Or(finishUnit(ctx, q, l), store(ctx, q, l, r), addRangePages(ctx, q, draft, pages))
			})
		},
		Append: func(l work.Lease, draft string, packs []blockstore.ClosedPack, blocks []snapshot.DraftBlock) error {
			return db.update(ctx, "append", func(q querier) error {
				return cmp.Or(finishUnit(ctx, q, l), store(ctx, q, l, importtask.RangeResult{Packs: packs}), addDraftBlocks(ctx, q, draft, blocks))
			})
		},
		Holds: db.Holds(),
		Break: breaks(db),
		Begins: func(t *testing.T, id, base string) {
			_, _, err := db.Snapshots().Start(ctx, snapshot.Draft{Record: snapshot.Record{ID: id, State: snapshot.Pending}}, base, 100)
			if err != nil {
				t.Error(err)
			}
		},
		Publish: func(l work.Lease, draft string, root blockstore.File) error {
			return db.update(ctx, "publish", func(q querier) error {
				_, err := exec(ctx, q, `UPDATE snapshots SET state = 'completed', root = $1 WHERE id = $2`, root.ID, draft)
				return cmp.Or(err, closeRoot(ctx, q, l, root.ID, 10), finishUnit(ctx, q, l), db.letGo(ctx, q, "", draft))
			})
		},
		Drop: func(t *testing.T, id string) {
			must(t, db, func(q querier) error {
				root, _, err := one(ctx, q, column[blockstore.FileID], `DELETE FROM snapshots WHERE id = $1 RETURNING root`, id)
				return cmp.Or(err, letGoRoot(ctx, q, root), db.forgetDraft(ctx, q, "", id))
			})
		},
		Slices: func(n int64) { db.letGoRows = n },
		LetGo: func(t *testing.T, id string) (left bool) {
			must(t, db, func(q querier) (err error) {
				left, err = db.letGoSome(ctx, q, id)
				return err
			})
			return left
		},
	}
}

func breaks(db *DB) gctest.Breaks {
	run := func(t *testing.T, stmt string, args ...any) {
		t.Helper()
		must(t, db, func(q querier) error {
			n, err := exec(t.Context(), q, stmt, args...)
			if err == nil && n != 1 {
				t.Errorf("%s changed %d rows", stmt, n)
			}
			return err
		})
	}
	return gctest.Breaks{
		LoseFile:  func(t *testing.T, id blockstore.FileID) { run(t, `DELETE FROM files WHERE id = $1`, id) },
		OpenFile:  func(t *testing.T, id blockstore.FileID) { run(t, `UPDATE files SET state = 'open' WHERE id = $1`, id) },
		Renumber:  func(t *testing.T, id, to blockstore.FileID) { run(t, `UPDATE files SET id = $1 WHERE id = $2`, to, id) },
		LoseBlock: func(t *testing.T, id block.ID) { run(t, `DELETE FROM blocks WHERE id = $1`, id[:]) },
		LosePage:  func(t *testing.T, id snapshot.PageID) { run(t, `DELETE FROM pages WHERE id = $1`, id[:]) },
		SetRoot: func(t *testing.T, id string, root blockstore.FileID) {
			run(t, `UPDATE snapshots SET root = $1 WHERE id = $2`, root, id)
		},
	}
}

func TestSnapshots(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		snapshottest.Test(t, func(t *testing.T) snapshottest.Bench {
			db := fresh(t)
			var ahead time.Duration
			db.now = func() time.Time { return time.Now().Add(ahead) }
			return snapshottest.Bench{
				Store: db.Snapshots(), Drafts: db.Snapshots(), Holds: db.Holds(), Catalog: db.Catalog(), Work: db.Work(),
				Later: func(d time.Duration) { ahead += d }, Now: func() time.Time { return db.now() },
				Add: func(t *testing.T, r snapshot.Record) { addRecord(t, db, r) },
				AddPages: func(t *testing.T, pages []snapshot.PagePlace) {
					must(t, db, func(q querier) error { return addPages(t.Context(), q, 0, pages) })
				},
			}
		})
	})
}

// addRecord stores a snapshot that has gone through its life already.
func addRecord(t testing.TB, db *DB, r snapshot.Record) {
	must(t, db, func(q querier) error {
		if err := db.addSnapshot(t.Context(), q, taskRow{id: r.Task, home: r.Home()}, r); err != nil {
			return err
		}
		_, err := exec(t.Context(), q, `
			UPDATE snapshots SET state = $1, root = $2, blocks = $3, stored = $4, completed = $5, progress = $6 WHERE id = $7`,
			r.State, r.Root.ID, r.Blocks, r.Added, micros(r.CompletedAt), r.Progress, r.ID)
		return err
	})
}

func TestTags(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		tagtest.Test(t, func(t *testing.T) tagtest.Bench {
			db := fresh(t)
			b := tagtest.Bench{Store: db.Tags(), Task: db.ids.Task(), Snapshot: db.ids.Snapshot(), Foreign: db.ids.Task()}
			b.Elsewhere = db.ids.Task()
			for _, task := range []importtask.Task{
				{ID: b.Task, Account: "a", Region: "eu-north-1"}, {ID: b.Foreign, Account: "b", Region: "eu-north-1"}, {ID: b.Elsewhere, Account: "a", Region: "us-east-1"},
			} {
				if _, _, err := db.Tasks().Create(t.Context(), task, 1); err != nil {
					t.Fatal(err)
				}
			}
			addRecord(t, db, snapshot.Record{ID: b.Snapshot, Account: "a", Region: "eu-north-1", State: snapshot.Completed, Tags: tag.Set{}})
			return b
		})
	})
}
