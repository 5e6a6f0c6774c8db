package metadb

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/work"
)

// verifyRig is a store with snapshots.
type verifyRig struct {
	*packRig
	lib      *snapshot.Library
	shelf    *snapshot.Shelf
	verifier *verify.Verifier
	records  []snapshot.Record
	disks    map[string]map[int64]int // by snapshot: index of a block to what it holds
}

func newVerifyRig(t *testing.T, db *DB, c frame.Cipher) *verifyRig {
	t.Helper()
	key, err := snapshot.NewPageKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	r := &verifyRig{packRig: newPackRig(t, db, c), disks: map[string]map[int64]int{}}
	r.lib = &snapshot.Library{Store: r.store, Index: db.Snapshots(), PageKey: key, Keys: r.ring.Keys}
	r.shelf = &snapshot.Shelf{Library: r.lib, Holds: db.Holds(), Now: db.now}
	r.gc.Pages, r.gc.Blocks = r.lib.RootPages, r.lib.PageBlocks
	r.compact.Mender = db.Packs()
	r.verifier = &verify.Verifier{Store: db.Inventory(), Fixes: db.Inventory(), Mender: r.compact, Entries: db.Inventory(), Region: region, Shelf: r.shelf, Keys: r.ring, Now: db.now, Workers: 1}
	return r
}

// little makes the contents of block n, which shrink to one unit.
func little(p []byte, n int) {
	clear(p)
	binary.LittleEndian.PutUint64(p, uint64(n)+1)
}

// unit returns the lease of a unit.
func (r *verifyRig) unit() work.Lease {
	r.t.Helper()
	l := r.db.leased(work.Lease{Owner: "node"}, work.Range, int(r.db.ids.Int63()))
	must(r.t, r.db, func(q querier) error { return r.db.addUnits(r.t.Context(), q, l) })
	return l
}

// write writes the pages and blocks of a pending snapshot, as a range does.
func (r *verifyRig) write(rec snapshot.Record, disk map[int64]int) []snapshot.PagePlace {
	r.t.Helper()
	ctx, l := r.t.Context(), r.unit()
	w := r.lib.NewRangeWriter(ctx, l, snapshot.Range{Pages: rec.VolumeSize * block.PerGiB / snapshot.PageBlocks, Domain: r.domain, Keys: r.keys})
	defer w.Abort()
	for index, n := range disk {
		s, err := w.Slot(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		little(s.Payload(), n)
		if err := w.Put(ctx, index, s); err != nil {
			r.t.Fatal(err)
		}
	}
	out, err := w.Finish(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	must(r.t, r.db, func(q querier) error {
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		if err := store(ctx, q, l, importtask.RangeResult{Packs: out.Packs, PagesFile: out.PagesFile, PagesBytes: out.PagesBytes, Pages: out.Pages}); err != nil {
			return err
		}
		return addRangePages(ctx, q, rec.ID, out.Pages)
	})
	return out.Pages
}

// snapshot makes a completed snapshot, through the events that make one.
func (r *verifyRig) snapshot(id string, gib int64, disk map[int64]int) snapshot.Record {
	r.t.Helper()
	ctx := r.t.Context()
	rec := snapshot.Record{ID: id, Account: r.domain.Account, Region: region, Domain: r.domain.ID, State: snapshot.Pending, VolumeSize: gib, VirtualSize: gib<<30 - 512}
	addRecord(r.t, r.db, rec)
	pages := r.write(rec, disk)
	l := r.unit()
	root, err := r.lib.WriteRoot(ctx, l, rec, pages)
	if err != nil {
		r.t.Fatal(err)
	}
	must(r.t, r.db, func(q querier) error {
		if _, err := exec(ctx, q, `UPDATE snapshots SET state = 'completed', root = $1, blocks = $2 WHERE id = $3`, root.File.ID, root.Blocks, id); err != nil {
			return err
		}
		if err := closeRoot(ctx, q, l, root.File.ID, root.Bytes); err != nil {
			return err
		}
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		return r.db.letGo(ctx, q, "", id)
	})
	rec.State, rec.Root, rec.Blocks = snapshot.Completed, root.File, root.Blocks
	r.records, r.disks[id] = append(r.records, rec), disk
	return rec
}

// fill makes two snapshots, and a pending one.
func (r *verifyRig) fill() {
	r.t.Helper()
	r.complete()
	r.pend()
}

// complete makes two snapshots that share a page and blocks; of the first, packs are
// compressed and have dead frames.
func (r *verifyRig) complete() {
	r.t.Helper()
	r.snapshot("snap-0000000000000000a", 2, map[int64]int{0: 1, 5: 2, 1023: 3, 1024: 4, 4000: 5})
	r.snapshot("snap-0000000000000000b", 2, map[int64]int{0: 1, 5: 2, 1023: 3, 1030: 6, 2048: 1})
	r.add(50, 52, 2) // which nothing names
	r.run(compact.Thorough(0))
	clear(r.want)
}

// pend makes a pending snapshot.
func (r *verifyRig) pend() {
	r.t.Helper()
	pending := snapshot.Record{ID: "snap-0000000000000000c", Account: r.domain.Account, Region: region, Domain: r.domain.ID, VolumeSize: 1}
	addRecord(r.t, r.db, pending)
	must(r.t, r.db, func(q querier) error {
		_, err := exec(r.t.Context(), q, `UPDATE snapshots SET state = 'pending' WHERE id = $1`, pending.ID)
		return err
	})
	r.write(pending, map[int64]int{7: 8})
}

// verify verifies everything.
func (r *verifyRig) verify() (found []verify.Finding, s verify.Summary) {
	r.t.Helper()
	s, err := r.verifier.Run(r.t.Context(), verify.Effort{}, verify.Observer{Found: func(f verify.Finding) error {
		found = append(found, f)
		return nil
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return found, s
}

// readAll reads every snapshot and returns what could not be read. What can is compared.
func (r *verifyRig) readAll() (failed []error) {
	r.t.Helper()
	buf, want := make([]byte, frame.Size), make([]byte, block.Size)
	for _, was := range r.records {
		rec, err := r.db.Snapshots().Get(r.t.Context(), region, was.ID)
		var b *snapshot.Blocks
		if err == nil {
			b, err = r.lib.Open(r.t.Context(), rec)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if b.Volume() != was.VolumeSize*block.PerGiB || b.Record().VirtualSize != was.VirtualSize {
			r.t.Errorf("%s is opened as %+v", was.ID, b.Record())
		}
		for index, n := range r.disks[was.ID] {
			got, _, err := b.Get(r.t.Context(), index, buf)
			if err != nil {
				failed = append(failed, err)
			} else if little(want, n); !bytes.Equal(got, want) {
				r.t.Errorf("block %d of %s is another", index, was.ID)
			}
		}
	}
	return failed
}

// flip is a bit that is turned over.
type flip struct {
	what string
	do   func() error
	undo func() error
	// reads: it is in a frame, page or root of a snapshot, so a read must fail.
	reads bool
}

// deciding are the columns that decide which bytes a block reads as, and the key of their
// table.
var deciding = []struct{ table, column, key, where string }{
	{"blocks", "id", "id", ""}, {"blocks", "file", "id", ""}, {"blocks", "off", "id", ""}, {"blocks", "len", "id", ""},
	{"pages", "id", "id", ""}, {"pages", "file", "id", ""}, {"pages", "off", "id", ""}, {"pages", "len", "id", ""}, {"pages", "blocks", "id", ""},
	{"files", "id", "id", ""}, {"files", "kind", "id", ""}, {"files", "domain", "id", ""}, {"files", "state", "id", ""},
	{"files", "bytes", "id", ""}, {"files", "entries", "id", ""}, {"files", "dead", "id", ""},
	{"snapshots", "id", "id", completed}, {"snapshots", "account", "id", completed}, {"snapshots", "domain", "id", completed}, {"snapshots", "state", "id", ""},
	{"snapshots", "volume_gib", "id", completed}, {"snapshots", "virtual_bytes", "id", completed}, {"snapshots", "blocks", "id", completed}, {"snapshots", "root", "id", ""},
	{"domains", "id", "id", ""}, {"domains", "account", "id", ""}, {"domains", "kms_key", "id", ""}, {"domains", "wrapped", "id", ""},
	{"domains", "oldest_key", "id", ""}, {"domains", "newest_key", "id", ""},
}

const completed = " WHERE state = 'completed'"

// rowFlips returns a flip for every bit of every deciding column of every row.
func (r *verifyRig) rowFlips() (flips []flip) {
	r.t.Helper()
	for _, c := range deciding {
		scan := func(s scanner) (pair [2]any, err error) {
			err = s.Scan(&pair[0], &pair[1])
			return pair, err
		}
		rows, err := all(r.t.Context(), r.db.read, scan, `SELECT `+c.key+`, `+c.column+` FROM `+c.table+c.where+` ORDER BY `+c.key)
		if err != nil || len(rows) == 0 {
			r.t.Fatal(c, rows, err)
		}
		for _, row := range rows {
			for bit := range bits(row[1]) {
				turned, ok := turn(row[1], bit)
				if !ok {
					continue
				}
				set := func(value, key any) error {
					return r.db.update(context.Background(), "turn a bit over", func(q querier) error {
						n, err := exec(context.Background(), q, `UPDATE `+c.table+` SET `+c.column+` = $1 WHERE `+c.key+` = $2`, value, key)
						if err == nil && n != 1 {
							err = fmt.Errorf("%d rows were changed", n)
						}
						return err
					})
				}
				now := row[0]
				if c.column == c.key {
					now = turned
				}
				flips = append(flips, flip{
					what: fmt.Sprintf("bit %d of %s.%s of %.8x", bit, c.table, c.column, row[0]),
					do:   func() error { return set(turned, row[0]) },
					undo: func() error { return set(row[1], now) },
				})
			}
		}
	}
	return flips
}

// bits returns how many bits of a value can be turned over.
func bits(v any) int {
	switch v := v.(type) {
	case int64:
		return 64
	case []byte:
		return 8 * len(v)
	case string:
		return 8 * len(v)
	}
	return 0
}

// turn turns a bit of a value over; ok is false if a database takes no such text.
func turn(v any, bit int) (turned any, ok bool) {
	switch v := v.(type) {
	case int64:
		return v ^ 1<<bit, true
	case []byte:
		b := bytes.Clone(v)
		b[bit/8] ^= 1 << (bit % 8)
		return b, true
	case string:
		b := []byte(v)
		b[bit/8] ^= 1 << (bit % 8)
		return string(b), b[bit/8] > 0 && b[bit/8] < 0x80
	}
	return nil, false
}

// fileFlips returns flips for every bit of every file, leaving out all but a few of
// payloads and of zeros.
func (r *verifyRig) fileFlips() (flips []flip) {
	r.t.Helper()
	live := map[string]bool{}
	for _, rec := range r.records {
		b, err := r.lib.Open(r.t.Context(), rec)
		if err != nil {
			r.t.Fatal(err)
		}
		for index := range r.disks[rec.ID] {
			id, err := b.ID(r.t.Context(), index)
			if err != nil {
				r.t.Fatal(err)
			}
			at, err := r.store.Catalog.Locate(r.t.Context(), []block.ID{id})
			if err != nil {
				r.t.Fatal(err)
			}
			live[fmt.Sprint(at[id].File.ID, at[id].Off)] = true
		}
	}
	for _, name := range r.backend.Names() {
		f, _ := blockstore.ParseName(name)
		size := r.sizeOf(name)
		add := func(what string, from, to, step int64, reads bool) {
			for bit := from * 8; bit < to*8; bit += step {
				edit := func() error {
					r.backend.Edit(name, func(p []byte) []byte { p[bit/8] ^= 1 << (bit % 8); return p })
					return nil
				}
				flips = append(flips, flip{what: fmt.Sprintf("%s, %s, bit %d of byte %d", name, what, bit%8, bit/8), do: edit, undo: edit, reads: reads})
			}
		}
		switch f.Kind {
		case blockstore.RootFile:
			add("root", 0, size, 1, true)
			continue
		case blockstore.PagesFile:
			for _, p := range r.livePages(f.ID) { // of others nobody knows what they were
				add(fmt.Sprint("page at ", p.Off), p.Off, p.Off+p.Len, 1, false)
			}
			continue
		case blockstore.PackFile:
		}
		x, err := blockstore.ReadPackIndex(r.store.Reader(r.t.Context(), f), size)
		if err != nil {
			r.t.Fatal(err)
		}
		add("header", 0, 512, 1, false)
		add("header, zeros", 512, 4092, 997, false)
		add("header, checksum", 4092, 4096, 1, false)
		end := int64(4096)
		for _, fr := range x.Blocks {
			begin := int64(fr.Off) * 4096
			end = begin + int64(fr.Len)*4096
			reads := live[fmt.Sprint(f.ID, fr.Off)]
			add("payload", begin, begin+16, 1, reads)
			add("payload or zeros", begin+16, end-frame.TailSize, (end-begin)*8/64+1, reads)
			add("tail", end-frame.TailSize, end, 1, reads)
		}
		add("trailer", end, end+40*int64(len(x.Blocks)), 1, false)
		add("trailer, zeros", end+40*int64(len(x.Blocks)), size-24, 997, false)
		add("trailer, foot", size-24, size, 1, false)
	}
	return flips
}

// livePages returns the pages that lie in a file.
func (r *verifyRig) livePages(id blockstore.FileID) []snapshot.PagePlace {
	r.t.Helper()
	c, err := r.db.Inventory().Contents(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Pages
}

func (r *verifyRig) sizeOf(name string) (size int64) {
	r.t.Helper()
	if err := r.backend.List(r.t.Context(), func(e blockstore.Entry) error {
		if e.Name == name {
			size = e.Bytes
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return size
}

// checkFlips turns bits over, one after the other, and counts those that are not found. Now and
// then it looks whether the store is intact again when a bit has been turned back.
func (r *verifyRig) checkFlips(flips []flip) {
	r.t.Helper()
	if found, s := r.verify(); len(found) != 0 || s.Snapshots != 2 || s.Blocks == 0 {
		r.t.Fatalf("an intact store: %v, %+v", found, s)
	}
	missed, alarms := 0, 0
	for i, f := range flips {
		if err := f.do(); err != nil {
			r.t.Fatalf("%s: %v", f.what, err)
		}
		if failed := r.readAll(); f.reads && len(failed) == 0 {
			missed++
			r.t.Errorf("%s: every read succeeds", f.what)
		}
		found, s := r.verify()
		if len(found) == 0 || s.Findings == 0 && f.reads {
			missed++
			r.t.Errorf("%s: not found", f.what)
		}
		for _, x := range found {
			placeless := x.Page >= 0 && x.File == "" && !strings.Contains(x.Problem, "not in the catalog")
			if x.Advice() == "" || x.Problem == "" || strings.HasPrefix(x.String(), ": ") || strings.Contains(x.String(), "\n") || placeless {
				r.t.Errorf("%s: %+v says too little", f.what, x)
			}
		}
		if err := f.undo(); err != nil {
			r.t.Fatalf("%s: %v", f.what, err)
		}
		if i%16 != 0 && i != len(flips)-1 {
			continue
		}
		if found, _ := r.verify(); len(found) != 0 {
			alarms++
			r.t.Errorf("%s: after it was turned back: %v", f.what, found)
		}
		if missed+alarms > 20 {
			r.t.Fatal("and so on")
		}
	}
	if damaged := r.usage().Damaged; damaged != 0 {
		r.t.Errorf("%d blocks are still marked", damaged)
	}
	r.t.Logf("%d flips, %d missed, %d false alarms", len(flips), missed, alarms)
}

// sample returns n flips of each part of each file, and of each column; 0: all.
func sample(flips []flip, n int) []flip {
	if n == 0 {
		return flips
	}
	src := rand.New(rand.NewPCG(1, 2))
	src.Shuffle(len(flips), func(i, j int) { flips[i], flips[j] = flips[j], flips[i] })
	groups := map[string]int{}
	var some []flip
	for _, f := range flips {
		words := strings.Fields(f.what)
		group := strings.Join(words[:min(4, len(words))], " ")
		if strings.HasPrefix(f.what, "bit") {
			group = words[3]
		}
		if groups[group]++; groups[group] <= n {
			some = append(some, f)
		}
	}
	return some
}

// perPart is how many bits are turned over of each part of each file, and of each column: all
// of them, which takes an hour, with DISKPORT_FLIPS=0.
func perPart(t *testing.T) int {
	text := os.Getenv("DISKPORT_FLIPS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnyFlippedBitIsFound turns bits of everything over that decides what a block reads
// as, by reads, and by what verifies the store.
func TestAnyFlippedBitIsFound(t *testing.T) {
	imagetest.Volume(t)
	n := perPart(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
			t.Run(name, func(t *testing.T) {
				postgres := strings.Contains(t.Name(), "postgres")
				if postgres && c != frame.None {
					return // rows are alike
				}
				r := newVerifyRig(t, fresh(t), c)
				r.fill()
				flips := sample(r.rowFlips(), n)
				if !postgres { // files are the same
					flips = append(flips, sample(r.fileFlips(), n)...)
				}
				r.checkFlips(flips)
			})
		}
	})
}

// repair repairs the store, has gc free what is dead then, and checks that all is well.
func (r *verifyRig) repair(what string) verify.Repaired {
	r.t.Helper()
	done, err := r.verifier.Repair(r.t.Context(), verify.Effort{}, verify.Observer{})
	if err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	for range 2 { // what is dead may have been a root, whose pages go next
		if _, err := r.gc.Run(r.t.Context()); err != nil {
			r.t.Fatalf("%s: %v", what, err)
		}
	}
	if failed := r.readAll(); len(failed) != 0 {
		r.t.Errorf("%s: after the repair, %+v: %v", what, done, failed)
	}
	found, s := r.verify()
	for _, f := range found {
		if !f.Harmless {
			r.t.Errorf("%s: after the repair, %+v, %+v: %v", what, done, s, f)
		}
	}
	if len(found) > 0 && s.Findings > 0 {
		r.t.FailNow()
	}
	return done
}

// TestRepair: rows, and headers and trailers of packs, are mended from what the store holds.
func TestRepair(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
			t.Run(name, func(t *testing.T) {
				r := newVerifyRig(t, fresh(t), c)
				r.complete()
				src := rand.New(rand.NewPCG(3, 4))
				pick := func(prefix string, flips []flip) {
					some := slices.DeleteFunc(flips, func(f flip) bool { return !strings.Contains(f.what, prefix) })
					if len(some) == 0 {
						t.Fatalf("no %s to turn over", prefix)
					}
					f := some[src.IntN(len(some))]
					if err := f.do(); err != nil {
						t.Fatal(err)
					}
					r.forget()
					r.repair(f.what)
				}
				for _, part := range []string{", header,", ", trailer,", "foot"} {
					pick(part, r.fileFlips())
				}
				for _, c := range deciding {
					if c.table == "files" && c.column == "id" || c.column == "kms_key" && r.domain.KMSKey == "" {
						continue
					}
					pick(c.table+"."+c.column+" ", r.rowFlips())
				}
			})
		}
	})
}

// TestRepairFromAnotherCopy: a frame is copied from wherever it is whole, also from a pack
// that the database does not know. Where there is none, that is said.
func TestRepairFromAnotherCopy(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.None)
		rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2})
		b, err := r.lib.Open(t.Context(), rec)
		if err != nil {
			t.Fatal(err)
		}
		id, err := b.ID(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		where := func() blockstore.Location {
			at, err := r.store.Catalog.Locate(t.Context(), []block.ID{id})
			if err != nil {
				t.Fatal(err)
			}
			return at[id]
		}
		rot := func(at blockstore.Location) {
			r.backend.Edit(at.File.Name(), func(p []byte) []byte { p[int(at.Off)*4096+3] ^= 4; return p })
		}
		first := where()
		if err := r.store.Catalog.MarkDamaged(t.Context(), id, first); err != nil {
			t.Fatal(err)
		}
		r.snapshot("snap-0000000000000000b", 1, map[int64]int{0: 1}) // which stores it anew
		second := where()
		if first == second {
			t.Fatal("there is no second copy")
		}
		must(t, r.db, func(q querier) error { // as if the pack with the first were not known
			_, err := exec(t.Context(), q, `UPDATE blocks SET damaged = 1 WHERE file = $1`, first.File.ID)
			return err
		})
		rot(second)
		if done := r.repair("a copy"); done.Mended != 1 || done.Left != 0 || where() == second || where() == first {
			t.Errorf("%+v; it lies at %+v", done, where())
		}
		for _, at := range []blockstore.Location{first, where()} {
			rot(at)
		}
		r.backend.Edit(where().File.Name(), func(p []byte) []byte { return p })
		done, err := r.verifier.Repair(t.Context(), verify.Effort{}, verify.Observer{})
		if err != nil || done.Mended != 0 || done.Left != 2 {
			t.Errorf("without a copy: %+v, %v", done, err)
		}
		if failed := r.readAll(); len(failed) != 2 { // the other block can be read
			t.Errorf("without a copy: %v", failed)
		}
	})
}

// TestOneMendsAtATime: a second repair or rebuild is refused while there is one, at once and
// not when that has ended; what only reads is not.
func TestOneMendsAtATime(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.None)
		r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1})
		ctx := t.Context()
		refused := func(during string) {
			if _, err := r.verifier.Repair(ctx, verify.Effort{}, verify.Observer{}); !errors.Is(err, verify.ErrMending) {
				t.Errorf("a repair during a %s: %v", during, err)
			}
			if _, err := r.verifier.Rebuild(ctx, r.backend, verify.Observer{}); !errors.Is(err, verify.ErrMending) {
				t.Errorf("a rebuild during a %s: %v", during, err)
			}
			if _, err := r.verifier.Run(ctx, verify.Effort{}, verify.Observer{}); err != nil {
				t.Errorf("a verification during a %s: %v", during, err)
			}
		}
		asked := 0
		ask := func(int64, int64) {
			if asked++; asked == 1 {
				refused("repair")
			}
		}
		if _, err := r.verifier.Repair(ctx, verify.Effort{}, verify.Observer{Progress: ask}); err != nil || asked == 0 {
			t.Errorf("a repair: %v; asked %d times meanwhile", err, asked)
		}
		r.verifier.Between = func(_ context.Context, fn func() error) error { // waits for gc
			refused("rebuild")
			return fn()
		}
		if _, err := r.verifier.Rebuild(ctx, r.backend, verify.Observer{}); err != nil {
			t.Errorf("a rebuild after a repair: %v", err)
		}
	})
}

// brokenEntries fail at one of their calls.
type brokenEntries struct {
	verify.Entries
	left int // calls before the one that fails
}

var errBroken = errors.New("broken")

func (b *brokenEntries) fails() error {
	if b.left--; b.left == -1 {
		return errBroken
	}
	return nil
}

func (b *brokenEntries) EnterDomain(ctx context.Context, d blockstore.Domain) (bool, error) {
	if err := b.fails(); err != nil {
		return false, err
	}
	return b.Entries.EnterDomain(ctx, d)
}

func (b *brokenEntries) EnterFile(ctx context.Context, f blockstore.File, bytes int64, blocks []blockstore.Placement, pages []snapshot.PagePlace) error {
	return cmp.Or(b.fails(), b.Entries.EnterFile(ctx, f, bytes, blocks, pages))
}

func (b *brokenEntries) EnterSnapshot(ctx context.Context, rec snapshot.Record, bytes int64) (bool, error) {
	if err := b.fails(); err != nil {
		return false, err
	}
	return b.Entries.EnterSnapshot(ctx, rec, bytes)
}

// TestRebuild: without the rows of the catalog, snapshots come back from packs, pages and
// roots alone, wherever it is cut off, and with gc running in between.
func TestRebuild(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
			t.Run(name, func(t *testing.T) {
				r := newVerifyRig(t, fresh(t), c)
				r.fill()
				ring := &keyring.Ring{Domains: r.db.Catalog(), Wrapper: r.ring.Wrapper, KMS: r.ring.KMS} // which remembers nothing
				r.store.Keys, r.lib.Keys, r.verifier.Keys = ring, ring.Keys, ring
				must(t, r.db, func(q querier) error {
					for _, table := range []string{"files", "blocks", "pages", "snapshots", "domains", "range_pages", "block_candidates", "page_candidates", "file_candidates"} {
						if _, err := exec(t.Context(), q, `DELETE FROM `+table); err != nil {
							return err
						}
					}
					return nil
				})
				for _, name := range r.backend.Names()[:2] {
					if err := r.backend.SetAside(t.Context(), name, r.db.now()); err != nil {
						t.Fatal(err)
					}
				}
				entries := &brokenEntries{Entries: r.db.Inventory()}
				r.verifier.Entries = entries
				var all verify.Rebuilt
				for k := 0; ; k++ {
					entries.left = k % 4
					done, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{})
					if err != nil && !errors.Is(err, errBroken) {
						t.Fatal(err)
					}
					all.BroughtBack, all.Domains, all.Packs, all.Snapshots = all.BroughtBack+done.BroughtBack, all.Domains+done.Domains, all.Packs+done.Packs, all.Snapshots+done.Snapshots
					if _, gerr := r.gc.Run(t.Context()); gerr != nil {
						t.Fatal(gerr)
					}
					if err == nil {
						break
					}
					if k > 50 {
						t.Fatalf("it gets no further: %+v", done)
					}
				}
				if all.BroughtBack < 2 || all.Domains != 1 || all.Packs == 0 || all.Snapshots != 2 {
					t.Errorf("rebuilt %+v", all)
				}
				if failed := r.readAll(); len(failed) != 0 {
					t.Errorf("after it: %v", failed)
				}
				if found, s := r.verify(); s.Findings != 0 || s.Snapshots != 2 {
					t.Errorf("after it: %+v, %v", s, found)
				}
				if again, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{}); err != nil || again != (verify.Rebuilt{}) {
					t.Errorf("again: %+v, %v", again, err)
				}
			})
		}
	})
}

// TestRebuildFreesWhatNothingNeeds: what a rebuild enters and no snapshot names goes with
// the next cycle of gc; of one that was cut off, once another comes to its end.
func TestRebuildFreesWhatNothingNeeds(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("cut off %v", cut), func(t *testing.T) {
				r := newVerifyRig(t, fresh(t), frame.None)
				r.fill()
				count := func(table string) (n int) {
					must(t, r.db, func(q querier) (err error) {
						n, _, err = one(t.Context(), q, column[int], `SELECT COUNT(*) FROM `+table)
						return err
					})
					return n
				}
				must(t, r.db, func(q querier) error {
					for _, table := range []string{"files", "blocks", "pages", "snapshots", "range_pages", "block_candidates", "page_candidates", "file_candidates"} {
						if _, err := exec(t.Context(), q, `DELETE FROM `+table); err != nil {
							return err
						}
					}
					return nil
				})
				for _, rec := range r.records { // no root is left: nothing needs anything
					if err := r.backend.Remove(t.Context(), rec.Root.Name()); err != nil {
						t.Fatal(err)
					}
				}
				if cut {
					r.verifier.Entries = &brokenEntries{Entries: r.db.Inventory(), left: 2}
					if _, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{}); !errors.Is(err, errBroken) {
						t.Fatalf("got %v", err)
					}
					if _, s := r.verify(); len(s.Notes) == 0 || !strings.Contains(strings.Join(s.Notes, "\n"), "verify --rebuild") {
						t.Errorf("verify notes %q", s.Notes)
					}
					r.verifier.Entries = r.db.Inventory()
				}
				if _, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{}); err != nil {
					t.Fatal(err)
				}
				if count("blocks") == 0 || count("pages") == 0 {
					t.Fatal("nothing was entered")
				}
				if _, err := r.gc.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, table := range []string{"blocks", "pages", "files"} {
					if n := count(table); n != 0 {
						t.Errorf("%d %s stay", n, table)
					}
				}
				if names := r.backend.Names(); len(names) != 0 {
					t.Errorf("the files %q stay", names)
				}
			})
		}
	})
}

// TestRebuildKeepsMarks: a frame that can't be read takes no mark from its block, and the
// others of its pack are counted as ever.
func TestRebuildKeepsMarks(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.None)
		r.fill()
		inv := r.db.Inventory()
		files, err := inv.Files(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f verify.FileRow) bool { return f.Kind != blockstore.PackFile || f.Entries-f.Dead < 2 })
		pack, err := inv.Contents(t.Context(), files[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		rotten := pack.Blocks[0]
		r.backend.Edit(pack.Row.Name(), func(p []byte) []byte { p[int64(rotten.Off)*blockstore.Align+100] ^= 1; return p })
		must(t, r.db, func(q querier) error {
			if _, err := exec(t.Context(), q, `UPDATE blocks SET damaged = 5 WHERE file = $1`, pack.Row.ID); err != nil {
				return err
			}
			_, err := exec(t.Context(), q, `DELETE FROM files WHERE id = $1`, pack.Row.ID)
			return err
		})
		if _, err := r.verifier.Rebuild(t.Context(), r.backend, verify.Observer{}); err != nil {
			t.Fatal(err)
		}
		after, err := inv.Contents(t.Context(), pack.Row.ID)
		if err != nil || !after.HasRow || after.Row.Entries-after.Row.Dead != int64(len(pack.Blocks)) {
			t.Errorf("the pack has %+v, %v; %d blocks lie in it", after.Row, err, len(pack.Blocks))
		}
		for _, b := range after.Blocks {
			if b.Damaged != (b.ID == rotten.ID) {
				t.Errorf("block %s is marked: %v", b.ID, b.Damaged)
			}
		}
	})
}

// TestScrub: a round begins when it is due, goes on where it was cut off, and marks what it
// finds.
func TestScrub(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newVerifyRig(t, fresh(t), frame.None)
		r.fill()
		now := time.Unix(1e9, 0)
		r.verifier.Now = func() time.Time { return now }
		var told verify.Round
		reads := &countedReads{Backend: r.store.Backend}
		r.store.Backend = reads
		s := &verify.Scrub{Verifier: r.verifier, Rounds: r.db.Inventory(), Every: 24 * time.Hour, Tell: func(round verify.Round) { told = round }}
		var log bytes.Buffer
		step := func(ctx context.Context) error {
			_, _, err := s.Handlers()[work.Scrub].Do(ctx, &work.Held{Lease: r.unit(), Log: slog.New(slog.NewTextHandler(&log, nil))})
			return err
		}
		for _, c := range []struct {
			after time.Duration
			reads bool
		}{{0, false}, {23 * time.Hour, false}, {24 * time.Hour, true}, {25 * time.Hour, false}, {49 * time.Hour, true}} {
			now = time.Unix(1e9, 0).Add(c.after)
			reads.n.Store(0)
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if (reads.n.Load() > 0) != c.reads || told.Ended.IsZero() || told.Done.Findings != 0 || (told.Done.Snapshots == 0) != (c.after < 24*time.Hour) {
				t.Errorf("after %v: %d reads, %+v", c.after, reads.n.Load(), told)
			}
		}
		whole := told.Done
		x, err := r.lib.Open(t.Context(), r.records[0])
		if err != nil {
			t.Fatal(err)
		}
		id, err := x.ID(t.Context(), 5)
		if err != nil {
			t.Fatal(err)
		}
		at, err := r.store.Catalog.Locate(t.Context(), []block.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		r.backend.Edit(at[id].File.Name(), func(p []byte) []byte { p[int(at[id].Off)*4096] ^= 1; return p })
		now = now.Add(100 * time.Hour)
		begun := now
		for k := int64(1); ; k++ { // it is cut off at the k-th dozen of reads
			ctx, stop := context.WithCancel(t.Context())
			reads.n.Store(0)
			reads.stop, reads.at = stop, 12*k
			err := step(ctx)
			stop()
			now = now.Add(time.Minute)
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) || k > 100 {
				t.Fatal(k, err)
			}
		}
		if !told.Begun.Equal(begun) || told.Ended.IsZero() || told.Done.Findings != 3 || told.Done.Snapshots != whole.Snapshots || r.usage().Damaged != 1 {
			t.Errorf("the round ended as %+v; %d blocks are marked", told, r.usage().Damaged)
		}
		if !strings.Contains(log.String(), "block 5, "+at[id].File.Name()) {
			t.Errorf("the log says %s", &log)
		}
	})
}

// countedReads counts reads, and stops at one of them.
type countedReads struct {
	blockstore.Backend
	n    atomic.Int64
	at   int64
	stop func()
}

func (c *countedReads) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if n := c.n.Add(1); c.stop != nil && n == c.at {
		c.stop()
	}
	return c.Backend.ReadAt(ctx, name, p, off)
}

// TestTheEngineIsChecked: damage to structures of its own is told, in whatever way it comes.
func TestTheEngineIsChecked(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "metadata.db")
		if err := os.WriteFile(path, migrated, 0o600); err != nil {
			t.Fatal(err)
		}
		db := open(t, path)
		r := newPackRig(t, db, frame.None)
		r.add(0, 4, 2)
		db.checkpoint(t.Context())
		if report, err := db.Inventory().CheckEngine(t.Context()); err != nil || len(report.Problems) != 0 {
			t.Fatalf("intact: %+v, %v", report, err)
		}
		root, _, err := one(t.Context(), db.read, column[int64], `SELECT rootpage FROM sqlite_master WHERE name = 'blocks_by_file'`)
		if err != nil {
			t.Fatal(err)
		}
		size, _, err := one(t.Context(), db.read, column[int64], `PRAGMA page_size`)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := make([]byte, size)
		if _, err := f.ReadAt(p, (root-1)*size); err != nil {
			t.Fatal(err)
		}
		p[len(p)-1] ^= 1 // in the first key of the index
		if _, err := f.WriteAt(p, (root-1)*size); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		if report, err := again.Inventory().CheckEngine(t.Context()); err != nil || len(report.Problems) == 0 {
			t.Errorf("damaged: %+v, %v", report, err)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		db := open(t, postgres.New(t))
		amcheck := func(r verify.EngineReport) bool { return strings.Contains(strings.Join(r.Notes, "\n"), "amcheck") }
		if report, err := db.Inventory().CheckEngine(t.Context()); err != nil || len(report.Problems) != 0 || !amcheck(report) {
			t.Errorf("without amcheck: %+v, %v", report, err)
		}
		must(t, db, func(q querier) error {
			_, err := exec(t.Context(), q, `CREATE EXTENSION amcheck`)
			return err
		})
		if report, err := db.Inventory().CheckEngine(t.Context()); err != nil || len(report.Problems) != 0 || amcheck(report) {
			t.Errorf("with amcheck: %+v, %v", report, err)
		}
	})
}

// TestAPackThatGoesWhileItIsVerified is no damage: compaction and gc may remove it between any
// two reads.
func TestAPackThatGoesWhileItIsVerified(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		last := 0
		for read := 1; last == 0; read++ { // from the header to the frames
			r := newVerifyRig(t, fresh(t), frame.None)
			rec := r.snapshot("snap-0000000000000000a", 1, map[int64]int{0: 1, 1: 2})
			reads := 0
			r.store.Backend = reading{r.store.Backend, func(name string, n int) {
				if !strings.HasPrefix(name, "pack/") || n == 1 { // it looks how long the file is
					return
				}
				if reads++; reads != read {
					return
				}
				if err := r.db.Snapshots().Delete(t.Context(), rec.Home(), rec.ID); err != nil {
					t.Error(err)
				}
				if got, err := r.gc.Run(t.Context()); err != nil || got.Files != 3 {
					t.Errorf("gc: %+v, %v", got, err)
				}
			}}
			sum, err := r.verifier.Run(t.Context(), verify.Effort{}, verify.Observer{Found: func(f verify.Finding) error {
				t.Errorf("at read %d of a pack: found %s", read, f)
				return nil
			}})
			if err != nil {
				t.Errorf("%+v, %v", sum, err)
			}
			if reads < read {
				last = read
			}
		}
		if last < 4 {
			t.Errorf("a pack is read %d times", last-1)
		}
	})
}

// reading is a back end that calls before each read of so many bytes.
type reading struct {
	blockstore.Backend
	before func(name string, n int)
}

func (b reading) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	b.before(name, len(p))
	return b.Backend.ReadAt(ctx, name, p, off)
}
