package metadb

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// tellsDamage returns a rig whose reads and verifications tell of damage, and what returns
// the files and snapshots that were told of since it was called last.
func tellsDamage(t *testing.T, db *DB) (r *verifyRig, told func() []string) {
	t.Helper()
	r = newVerifyRig(t, db, frame.None)
	r.verifier.Conditions = db.Outbox()
	r.lib.Damaged = func(ctx context.Context, rec snapshot.Record, err error) {
		c := outbox.Condition{Topic: outbox.Damage, Place: rec.ID, Seen: db.now()}
		if met, err := outbox.Met(ctx, db.Outbox(), c); met || err != nil {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if err := db.Outbox().Begin(ctx, c, outbox.Event{Kind: outbox.DamageFound, Account: rec.Account, Region: rec.Region, Resource: rec.ID}); err != nil {
			t.Error(err)
		}
	}
	return r, func() (about []string) {
		t.Helper()
		events, err := db.Outbox().Pending(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind != outbox.DamageFound || e.Account != r.domain.Account && e.Detail.Part == "frame" {
				t.Errorf("told %+v", e)
			}
			about = append(about, e.Resource)
			if err := db.Outbox().Told(t.Context(), e.ID); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(about)
		return about
	}
}

// TestReadingDamageAgainWritesNothing: a client may do so all day.
func TestReadingDamageAgainWritesNothing(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		r, told := tellsDamage(t, db)
		rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2})
		for _, name := range r.backend.Names() {
			if f, _ := blockstore.ParseName(name); f.Kind == blockstore.PackFile {
				r.backend.Edit(name, func(p []byte) []byte {
					for i := range p {
						p[i] ^= 1
					}
					return p
				})
			}
		}
		read := func() (failed int) {
			b, err := r.lib.Open(t.Context(), rec)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, frame.Size)
			for index := range int64(2) {
				if _, _, err := b.Get(t.Context(), index, buf); snapshot.IsDamage(err) {
					failed++
				}
			}
			return failed
		}
		if n := read(); n != 2 || len(told()) == 0 {
			t.Fatalf("%d reads of damaged blocks fail, want 2, and an event", n)
		}
		written := 0
		db.wrap = func(q querier) querier { return writing{q, &written} }
		defer func() { db.wrap = nil }()
		if n := read(); n != 2 || written != 0 {
			t.Errorf("%d reads of damaged blocks fail, want 2; %d statements were to write, want none", n, written)
		}
	})
}

// writing counts the statements that are to write.
type writing struct {
	querier
	n *int
}

func (w writing) ExecContext(ctx context.Context, stmt string, values ...any) (sql.Result, error) {
	*w.n++
	return w.querier.ExecContext(ctx, stmt, values...)
}

// TestDamageIsToldOnce: of each damaged file and snapshot one event tells, whoever meets the
// damage how often, and again only after it was mended.
func TestDamageIsToldOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r, told := tellsDamage(t, fresh(t))
		rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2, 5: 3})
		b, err := r.lib.Open(t.Context(), rec)
		if err != nil {
			t.Fatal(err)
		}
		var ids []block.ID
		for x, err := range b.From(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.ID)
		}
		at, err := r.store.Catalog.Locate(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		pack := at[ids[0]].File.Name()
		flip := func(some ...block.ID) {
			r.backend.Edit(pack, func(p []byte) []byte {
				for _, id := range some {
					p[int(at[id].Off)*blockstore.Align] ^= 1
				}
				return p
			})
		}
		var pages string
		for _, name := range r.backend.Names() {
			if f, _ := blockstore.ParseName(name); f.Kind == blockstore.PagesFile {
				pages = name
			}
		}
		flipPage := func() {
			f, _ := blockstore.ParseName(pages)
			r.backend.Edit(pages, func(p []byte) []byte { p[r.livePages(f.ID)[0].Off+40] ^= 1; return p })
		}
		read := func() { r.readAll() }
		verified := func() { r.verify() }
		for i, step := range []struct {
			name string
			do   func()
			want []string
		}{
			{"intact", verified, nil},
			{"a block is damaged", func() { flip(ids[0]) }, nil},
			{"it is read", read, []string{pack, rec.ID}},
			{"and read again", read, nil},
			{"and verified", verified, nil},
			{"another block of the pack, too", func() { flip(ids[1]); read(); verified() }, nil},
			{"both are mended, and seen to be", func() { flip(ids[:2]...); verified() }, nil},
			{"a block is damaged again, and verified", func() { flip(ids[2]); verified() }, []string{pack, rec.ID}},
			{"mended", func() { flip(ids[2]); verified() }, nil},
			{"a page is damaged, and verified", func() { flipPage(); verified() }, []string{pages, rec.ID}},
			{"and read and verified", func() { read(); verified() }, nil},
			{"mended once more", func() { flipPage(); verified() }, nil},
			{"and read when it is damaged", func() { flipPage(); read() }, []string{rec.ID}},
		} {
			step.do()
			slices.Sort(step.want)
			if got := told(); !slices.Equal(got, step.want) {
				t.Errorf("%d, %s: told of %q, want %q", i, step.name, got, step.want)
			}
		}
	})
}

// TestDamageOfOneFileAtOnce: of blocks that are marked at the same time one event tells.
func TestDamageOfOneFileAtOnce(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r, told := tellsDamage(t, fresh(t))
		disk := map[int64]int{}
		for i := range int64(16) {
			disk[i] = int(i) + 1
		}
		rec := r.snapshot("snap-0000000000000000a", 1, disk)
		b, err := r.lib.Open(t.Context(), rec)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		files := map[string]bool{}
		for i := range disk {
			id, err := b.ID(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			at, err := r.store.Catalog.Locate(t.Context(), []block.ID{id})
			if err != nil {
				t.Fatal(err)
			}
			files[at[id].File.Name()] = true
			go func() { done <- r.store.Catalog.MarkDamaged(t.Context(), id, at[id]) }()
		}
		for range disk {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got, want := told(), slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) || len(want) > 8 {
			t.Errorf("told of %q, the blocks lie in %q", got, want)
		}
	})
}

// TestPlacesOfPendingSnapshots: a bit that is turned over in a row which says what lies at a place
// of a snapshot that is being made puts it nowhere else: the row can't be read, or is missed by its count.
func TestPlacesOfPendingSnapshots(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		r := newVerifyRig(t, db, frame.None)
		r.snapshot("snap-0000000000000000a", 2, map[int64]int{0: 1, snapshot.PageBlocks: 2})
		pending := db.ids.Snapshot()
		addRecord(t, db, snapshot.Record{ID: pending, Account: "a", Region: region, State: snapshot.Pending})
		pages, err := all(ctx, db.read, scanPage, `SELECT id, file, off, len, blocks FROM pages`)
		if err != nil || len(pages) != 2 {
			t.Fatal(pages, err)
		}
		var blocks []snapshot.DraftBlock
		for i := range pages {
			pages[i].Page = int64(3 * i)
			blocks = append(blocks, snapshot.DraftBlock{Index: pages[i].Page, ID: block.ID{byte(i)}})
		}
		must(t, db, func(q querier) error {
			if err := addRangePages(ctx, q, pending, pages); err != nil {
				return err
			}
			return addDraftBlocks(ctx, q, pending, blocks)
		})
		for _, c := range []struct {
			table, column string
			read          func() (rows int, err error)
		}{
			{"range_pages", "page", func() (int, error) {
				got, err := db.Tasks().RangePages(ctx, pending)
				return len(got), err
			}},
			{"draft_blocks", "block", func() (int, error) {
				got, err := db.Snapshots().DraftBlocks(ctx, pending, -1, 9)
				return len(got), err
			}},
		} {
			if n, err := c.read(); n != len(pages) || err != nil {
				t.Fatalf("%d rows of %s, %v", n, c.table, err)
			}
			for bit := range 64 {
				set := func(from, to int64) {
					must(t, db, func(q querier) error {
						_, err := exec(ctx, q, `UPDATE `+c.table+` SET `+c.column+` = $1 WHERE snapshot = $2 AND `+c.column+` = $3`, to, pending, from)
						return err
					})
				}
				turned := 3 ^ int64(1)<<bit
				set(3, turned)
				if n, err := c.read(); n == len(pages) && err == nil {
					t.Errorf("bit %d of %s.%s turned over: nothing is wrong", bit, c.table, c.column)
				}
				set(turned, 3)
			}
		}
	})
}

// TestDamageThatAClockAheadHasSeen stands no longer than other damage once the clock was set back.
func TestDamageThatAClockAheadHasSeen(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		begin := func(place string, seen time.Time) {
			t.Helper()
			if err := db.Outbox().Begin(ctx, outbox.Condition{Topic: outbox.Damage, Place: place, Seen: seen}, outbox.Event{Kind: outbox.DamageFound, Resource: place}); err != nil {
				t.Fatal(err)
			}
		}
		now := db.now()
		for _, place := range []string{"mended", "found again"} {
			begin(place, now.AddDate(1, 0, 0))
		}
		begin("found again", now.Add(time.Second))
		if err := db.Outbox().EndUnseen(ctx, outbox.Damage, now); err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{"mended", "found again"} {
			begin(place, now.Add(2*time.Second))
		}
		events, err := db.Outbox().Pending(ctx, 0, 9)
		told := map[string]int{}
		for _, e := range events {
			told[e.Resource]++
		}
		if err != nil || told["mended"] != 2 || told["found again"] != 1 {
			t.Errorf("told %v, %v", told, err)
		}
	})
}

// TestPagesThatAreLeftOut: a task is not published whose plan, or how far a range of it is, is not
// as it was written, since some of its disk was left out then.
func TestPagesThatAreLeftOut(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for name, c := range map[string]struct {
			flip string
			says string // of an embedded database
		}{
			"nothing is wrong":  {`UPDATE units SET done = done`, ""},
			"a range is longer": {`UPDATE tasks SET ranges = REPLACE(ranges, '"pages":12', '"pages":92')`, "its plan is not as it was made"},
			"it is further":     {`UPDATE units SET done = 9 WHERE kind = 'range'`, "1 pages of its ranges were not dealt with"},
		} {
			db, ctx := fresh(t), t.Context()
			if _, _, err := db.Tasks().Create(ctx, importtask.Task{ID: db.ids.Task(), Account: "a", Region: region}, 9); err != nil {
				t.Fatal(err)
			}
			claim := func(k work.Kind) work.Lease {
				t.Helper()
				l, ok, err := db.Work().Claim(ctx, work.Claimer{Owner: "n", Kinds: []work.Kind{k}}, db.now())
				if err != nil || !ok {
					t.Fatalf("%s: %s: %v, %v", name, k, ok, err)
				}
				return l
			}
			l := claim(work.Plan)
			rec := snapshot.Record{ID: db.ids.Snapshot(), Account: "a", Region: region, State: snapshot.Pending, VolumeSize: 9}
			l, ok, err := db.Tasks().Planned(ctx, l, importtask.Plan{Snapshot: rec, Ranges: []importtask.Range{{Pages: 12, Bytes: 1}}})
			if err == nil && ok {
				err = db.Tasks().FinishSlice(ctx, l, importtask.RangeResult{}, 8)
			}
			if err != nil || !ok {
				t.Fatal(name, ok, err)
			}
			must(t, db, func(q querier) error {
				_, err := exec(ctx, q, c.flip)
				return err
			})
			l = claim(work.Range)
			if l, ok, err = db.Tasks().FinishRange(ctx, l, importtask.RangeResult{}); err != nil || !ok {
				t.Fatal(name, ok, err)
			}
			err = db.Tasks().Publish(ctx, l, importtask.Published{Roots: []importtask.Root{{Task: l.Task}}})
			says := c.says
			if says == "" || db.engine.shared && strings.Contains(says, "pages") {
				says = "is not an open file" // there is no root
			}
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: published: %v; want %q", name, err, says)
			}
		}
	})
}
