package metadb

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// packRig is a store in memory on a database, with what compacts and collects it.
type packRig struct {
	t       *testing.T
	db      *DB
	backend *blobtest.Memory
	journal *blobtest.Journal
	store   *blockstore.Store
	domain  blockstore.Domain
	keys    *frame.Keys // as they were at first
	ring    *keyring.Ring
	disable func(bool)  // the KMS key
	locked  atomic.Bool // the key can't be used
	compact *compact.Compactor
	gc      *gc.Collector
	want    map[block.ID]int // what was stored
}

// packFrames is how many frames a full pack of the rig has.
const packFrames = 8

func newPackRig(t *testing.T, db *DB, c frame.Cipher) *packRig {
	t.Helper()
	slots, err := blockstore.NewSlots(6 * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	r := &packRig{t: t, db: db, backend: blobtest.NewMemory(), journal: &blobtest.Journal{}, want: map[block.ID]int{}}
	t.Cleanup(func() {
		if err := slots.Close(); err != nil {
			t.Error(err)
		}
	})
	r.openDomain(c)
	r.store = blockstore.NewStore(r.journal.Catalog(db.Catalog()), r.journal.Backend(r.backend), slots,
		blockstore.Options{Group: 2, PackBytes: packFrames*frame.Size + 8192})
	r.store.Keys = r.ring
	r.gc = &gc.Collector{Store: db.Garbage(), Backend: r.journal.Backend(r.backend), Aside: r.backend, Now: db.now}
	r.compact = &compact.Compactor{
		Store: db.Packs(), Leases: db.Work(), Blocks: r.store, Domain: db.Catalog().Domain, Owner: "node", Now: db.now,
		Keys: lockedRing{r.ring, &r.locked},
		Collect: func(ctx context.Context) (int64, error) {
			freed, err := r.gc.Run(ctx)
			return freed.Bytes, err
		},
		PackBytes: packFrames * frame.Size,
	}
	return r
}

// lockedRing refuses to open keys while it is locked.
type lockedRing struct {
	*keyring.Ring
	locked *atomic.Bool
}

func (r lockedRing) Open(ctx context.Context, id string) (blockstore.Domain, *frame.Keys, error) {
	if r.locked.Load() {
		return blockstore.Domain{}, nil, errors.New("the key is disabled")
	}
	return r.Ring.Open(ctx, id)
}

// openDomain makes the domain of the rig; if it is to be encrypted, under a key of the
// embedded KMS.
func (r *packRig) openDomain(c frame.Cipher) {
	r.t.Helper()
	ctx := r.t.Context()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		r.t.Fatal(err)
	}
	const account = "111111111111"
	service := kms.New(kms.Options{Store: r.db.KMS(), Wrapper: master, Principals: kmstest.Names{}})
	r.ring = &keyring.Ring{Domains: r.db.Catalog(), Wrapper: master, KMS: keyring.Embedded{Service: service}}
	if c == frame.None {
		r.domain, r.keys, err = r.ring.Plain(ctx, account)
	} else {
		caller := kms.Caller{Region: "us-east-1", Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}}
		var k kms.Key
		if k, err = service.CreateKey(ctx, caller, kms.KeySpec{}); err == nil {
			r.domain, r.keys, err = r.ring.Encrypted(ctx, account, k.ARN())
		}
		r.disable = func(yes bool) {
			if err := service.SetEnabled(ctx, k.Ref, map[bool]kms.Event{true: kms.Disable, false: kms.Enable}[yes]); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// contents makes the contents of block n: noise for every fifth block, else something
// that shrinks to a third or so.
func contents(p []byte, n int) {
	src := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	if n%5 == 4 {
		_, _ = src.Read(p)
		return
	}
	clear(p)
	binary.LittleEndian.PutUint64(p, uint64(n)+1)
	_, _ = src.Read(p[8 : len(p)/3])
}

// add stores blocks [from, to) as a unit would, in packs of at most n blocks.
func (r *packRig) add(from, to, n int) {
	r.t.Helper()
	ctx := r.t.Context()
	l := r.db.leased(work.Lease{Owner: "node"}, work.Range, int(r.db.ids.Int63()))
	must(r.t, r.db, func(q querier) error { return r.db.addUnits(ctx, q, l) })
	w := r.store.NewSmallPackWriter(ctx, l, r.domain, r.keys, n)
	defer w.Abort()
	for i := from; i < to; i++ {
		s, err := r.store.Slots.Get(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		contents(s.Payload(), i)
		id, err := w.Add(ctx, s)
		if err != nil {
			r.t.Fatal(err)
		}
		r.want[id] = i
	}
	packs, _, err := w.Finish(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	must(r.t, r.db, func(q querier) error {
		if err := finishUnit(ctx, q, l); err != nil {
			return err
		}
		return store(ctx, q, l, importtask.RangeResult{Packs: packs})
	})
}

// drop deletes the rows of the blocks that fn names by their numbers, as gc does.
func (r *packRig) drop(fn func(n int) bool) {
	r.t.Helper()
	g := r.db.Garbage()
	var gone []block.ID
	for id, n := range r.want {
		if fn(n) {
			gone = append(gone, id)
			delete(r.want, id)
		}
	}
	pass, err := g.NextPass(r.t.Context())
	if err == nil {
		err = g.Condemn(r.t.Context(), pass, nil, gone, gc.Doubt{})
	}
	if err == nil {
		_, err = g.DeleteCondemned(r.t.Context(), pass, nil, gone, gc.Doubt{})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// read reads a block as readers do: a file that is gone means that it was moved.
func (r *packRig) read(id block.ID, buf []byte) ([]byte, error) {
	for tries := 0; ; tries++ {
		at, err := r.store.Catalog.Locate(r.t.Context(), []block.ID{id})
		if err != nil {
			return nil, err
		}
		p, _, err := r.store.Get(r.t.Context(), r.keys, id, at[id], buf)
		if err == nil || tries == 3 || !errors.Is(err, blockstore.ErrNotExist) {
			return p, err
		}
	}
}

// check reads every block that is to be there.
func (r *packRig) check() {
	r.t.Helper()
	buf, plain := make([]byte, frame.Size), make([]byte, block.Size)
	for id, n := range r.want {
		p, err := r.read(id, buf)
		if contents(plain, n); err != nil || !slices.Equal(p, plain) {
			r.t.Fatalf("block %d: %v", n, err)
		}
	}
}

// run runs a compaction.
func (r *packRig) run(e compact.Effort) compact.Report {
	r.t.Helper()
	report, err := r.compact.Run(r.t.Context(), e, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// files returns how many packs there are and how long they are together.
func (r *packRig) files() (n int, bytes int64) {
	r.t.Helper()
	if err := r.backend.List(r.t.Context(), func(e blockstore.Entry) error {
		n, bytes = n+1, bytes+e.Bytes
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return n, bytes
}

// usage returns what the store holds.
func (r *packRig) usage() snapshot.Usage {
	r.t.Helper()
	u, err := r.db.Snapshots().Usage(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// TestUsageOfSnapshots: only what is completed counts.
func TestUsageOfSnapshots(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		if u, err := db.Snapshots().Usage(t.Context()); err != nil || u != (snapshot.Usage{}) {
			t.Errorf("an empty store holds %+v, %v", u, err)
		}
		addRecord(t, db, snapshot.Record{ID: "1", State: snapshot.Completed, VolumeSize: 2, VirtualSize: 1000, Blocks: 3})
		addRecord(t, db, snapshot.Record{ID: "2", State: snapshot.Completed, VolumeSize: 2, Blocks: 4})
		addRecord(t, db, snapshot.Record{ID: "3", State: snapshot.Pending, VolumeSize: 2, Blocks: 5})
		want := snapshot.Usage{Snapshots: 2, Virtual: 2<<30 + 1000, Data: 7 * block.Size}
		if u, err := db.Snapshots().Usage(t.Context()); err != nil || u != want {
			t.Errorf("it holds %+v, %v, want %+v", u, err, want)
		}
	})
}

// onCiphers runs a test on each engine and with each cipher.
func onCiphers(t *testing.T, fn func(*testing.T, *packRig)) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
			t.Run(name, func(t *testing.T) { fn(t, newPackRig(t, fresh(t), c)) })
		}
	})
}

// TestSpaceComesBack: of packs that two snapshots share, half of whose blocks are let
// go, no dead one stays, and the rest is compressed.
func TestSpaceComesBack(t *testing.T) {
	onCiphers(t, func(t *testing.T, r *packRig) {
		r.add(0, 20, packFrames)
		r.add(20, 25, 1) // direct writes
		r.drop(func(n int) bool { return n%2 == 1 })
		n, before := r.files()
		plan, err := r.compact.Plan(t.Context(), compact.Thorough(0))
		if err != nil || plan.Packs == 0 || plan.Dead < 10*block.Size || plan.Uncompressed == 0 || plan.Bytes > before {
			t.Errorf("the plan is %+v, %v", plan, err)
		}
		used := r.usage()
		if used.Blocks != 13 || used.Compressed != 0 || used.PackBytes != before || used.Dead != 12*frame.Size || used.Frames != 13*frame.Size {
			t.Errorf("before it, the store holds %+v", used)
		}
		var told []compact.Progress
		report, err := r.compact.Run(t.Context(), compact.Thorough(0), func(p compact.Progress) { told = append(told, p) })
		if err != nil {
			t.Fatal(err)
		}
		after, bytes := r.files()
		if report.Freed != before-bytes || report.Packs != plan.Packs || report.Blocks != 13 || report.Compressed != 10 || len(report.Damaged)+len(report.Locked) != 0 {
			t.Errorf("%d packs of %d bytes became %d of %d: %+v", n, before, after, bytes, report)
		}
		if after != 1 || bytes > 10*block.Size*2/5+3*frame.Size+8192 {
			t.Errorf("%d packs of %d bytes are left", after, bytes)
		}
		if last := told[len(told)-1]; last.Done != last.Total || last.Total != plan.Bytes {
			t.Errorf("told %+v at the end, of %d bytes", last, plan.Bytes)
		}
		used = r.usage()
		if used.Blocks != 13 || used.Compressed != 10 || used.PackBytes != bytes || used.Dead != 0 || used.Packs != 1 {
			t.Errorf("after it, the store holds %+v", used)
		}
		r.check()
		steps := len(r.journal.Steps())
		if again := r.run(compact.Thorough(0)); again.Packs != 0 || len(r.journal.Steps()) != steps {
			t.Errorf("a second run did %+v", again)
		}
	})
}

// TestALockedDomainIsCopied: without its key, dead frames go and nothing is compressed;
// with it, it is the next time.
func TestALockedDomainIsCopied(t *testing.T) {
	onCiphers(t, func(t *testing.T, r *packRig) {
		r.add(0, 8, packFrames)
		r.add(8, 16, packFrames)
		r.drop(func(n int) bool { return n < 8 && n%2 == 0 })
		r.locked.Store(true)
		_, before := r.files()
		got := r.run(compact.Thorough(0))
		_, after := r.files()
		if got.Packs != 1 || got.Blocks != 4 || got.Compressed != 0 || len(got.Locked) != 1 || before-after != 4*frame.Size {
			t.Errorf("from %d to %d bytes: %+v", before, after, got)
		}
		r.check()
		if again := r.run(compact.Thorough(0)); again.Packs != 0 {
			t.Errorf("a second run did %+v", again)
		}
		r.locked.Store(false)
		if got := r.run(compact.Thorough(0)); got.Packs != 2 || got.Blocks != 12 || got.Compressed != 10 || len(got.Locked) != 0 {
			t.Errorf("with the key: %+v", got)
		}
		r.check()
	})
}

// TestADamagedFrameIsLeftBehind: everything else moves, with the key and without.
func TestADamagedFrameIsLeftBehind(t *testing.T) {
	onCiphers(t, func(t *testing.T, r *packRig) {
		for _, locked := range []bool{true, false} {
			r.locked.Store(locked)
			from := 0
			if !locked {
				from = 100
			}
			r.add(from, from+8, packFrames)
			r.drop(func(n int) bool { return n < from || n == from }) // the damaged block of before stays named
			var bad block.ID
			for id, n := range r.want {
				if n == from+3 {
					bad = id
				}
			}
			at, err := r.store.Catalog.Locate(t.Context(), []block.ID{bad})
			if err != nil {
				t.Fatal(err)
			}
			r.backend.Edit(at[bad].File.Name(), func(p []byte) []byte { p[int(at[bad].Off)*4096+1000] ^= 1; return p })
			got := r.run(compact.Thorough(0))
			if got.Packs < 1 || got.Blocks != 6 || len(got.Damaged) != 1 || !strings.Contains(got.Damaged[0], bad.String()) {
				t.Errorf("locked %v: %+v", locked, got)
			}
			if hit, err := r.store.Catalog.Claim(t.Context(), []block.ID{bad}); err != nil || len(hit) != 0 {
				t.Errorf("locked %v: the damaged block is a dedupe hit: %v, %v", locked, hit, err)
			}
			if now, err := r.store.Catalog.Locate(t.Context(), []block.ID{bad}); err != nil || now[bad] != at[bad] {
				t.Errorf("locked %v: the damaged block lies at %+v, %v, want %+v", locked, now[bad], err, at[bad])
			}
			if again := r.run(compact.Thorough(0)); again.Packs != 0 {
				t.Errorf("locked %v: a second run did %+v", locked, again)
			}
			n := r.want[bad]
			delete(r.want, bad)
			r.check()
			r.add(n, n+1, 1) // it heals
			r.check()
			r.run(compact.Thorough(0))
		}
	})
}

// TestCutOffAnywhere fails every step once: nothing is lost, and the next run and gc
// leave no more than an undisturbed one.
func TestCutOffAnywhere(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		broken := errors.New("broken")
		for k := 0; ; k++ {
			r.journal.Before = nil
			r.add(2*k, 2*k+2, 1)
			r.drop(func(n int) bool { return n < 2*k-3 })
			var steps int
			r.journal.Before = func(blobtest.Step) error {
				if steps++; steps == k+1 {
					return broken
				}
				return nil
			}
			_, err := r.compact.Run(t.Context(), compact.Thorough(0), nil)
			r.journal.Before = nil
			r.check()
			if err == nil && steps <= k {
				break
			}
			r.run(compact.Thorough(0))
			r.check()
			if n, _ := r.files(); n != 1 {
				t.Errorf("broken at step %d: %d packs are left", k, n)
			}
		}
	})
}

// TestGentle: the periodic duty leaves what is hardly worth it.
func TestGentle(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		r.compact.Collect = func(context.Context) (int64, error) { t.Error("it collects garbage"); return 0, nil }
		r.add(0, 16, packFrames)
		gentle := compact.Gentle(1 << 40)
		if got := r.run(gentle); got.Compressed == 0 {
			t.Errorf("nothing was compressed: %+v", got)
		}
		r.add(100, 108, 1) // groups of two
		if got := r.run(gentle); got.Packs != 4 {
			t.Errorf("new packs were not compressed: %+v", got)
		}
		for i := range 3 { // small packs that are compressed
			r.add(200+i, 201+i, 1)
			r.run(gentle)
		}
		if got := r.run(gentle); got.Packs != 0 {
			t.Errorf("a few small packs were merged: %+v", got)
		}
		r.drop(func(n int) bool { return n == 0 })
		if got := r.run(gentle); got.Packs != 0 {
			t.Errorf("a pack was rewritten for one block: %+v", got)
		}
		r.drop(func(n int) bool { return n < 8 })
		if got := r.run(gentle); got.Packs == 0 {
			t.Error("a half-dead pack was left")
		}
		r.check()
	})
}

// TestReadersMeanwhile reads while packs are rewritten and removed, and runs
// two compactions at once.
func TestReadersMeanwhile(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		r.add(0, 24, 3)
		ids := make([]block.ID, 0, len(r.want))
		for id := range r.want {
			ids = append(ids, id)
		}
		stop := make(chan struct{})
		var readers, writers sync.WaitGroup
		for g := range 2 {
			readers.Go(func() {
				buf := make([]byte, frame.Size)
				for i := g; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := r.read(ids[i%len(ids)], buf); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 2 {
			writers.Go(func() {
				for range 3 {
					if _, err := r.compact.Run(context.WithoutCancel(t.Context()), compact.Thorough(0), nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
		r.check()
		if n, _ := r.files(); n > 3 {
			t.Errorf("%d packs are left", n)
		}
	})
}

// TestNoRoom: a run stops before it fills the disk.
func TestNoRoom(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		r.add(0, 4, 2)
		r.compact.Free = func() (int64, error) { return frame.Size, nil }
		if got := r.run(compact.Thorough(0)); got.Packs != 0 || got.Stopped == "" {
			t.Errorf("got %+v", got)
		}
		r.compact.Free = func() (int64, error) { return 1 << 40, nil }
		r.journal.Before = func(s blobtest.Step) error {
			if s.Op == "write" {
				return blockstore.ErrFull
			}
			return nil
		}
		if got := r.run(compact.Thorough(0)); got.NewPacks != 0 || got.Stopped == "" {
			t.Errorf("on a full disk: %+v", got)
		}
		r.journal.Before = nil
		if got := r.run(compact.Thorough(0)); got.Packs != 2 || got.Stopped != "" {
			t.Errorf("with room: %+v", got)
		}
		r.check()
	})
}

// TestTightRoom: on a full disk a run takes what fits, the packs with least left first, and
// frees the old ones before it goes on.
func TestTightRoom(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		for i := range 6 {
			r.add(8*i, 8*i+8, 8)
		}
		dead := []int{1, 2, 3, 4, 6, 7} // of 8 in each pack
		r.drop(func(n int) bool { return n%8 < dead[n/8] })
		before, _ := r.files()
		r.compact.Free = func() (int64, error) { return 0, nil }
		var steps []int64
		r.compact.Tight = func() int64 {
			steps = append(steps, int64(len(steps)))
			return 6 * frame.Size
		}
		got := r.run(compact.Thorough(0))
		if got.Packs < 4 || got.Stopped == "" || len(steps) < 2 {
			t.Errorf("%+v in %d steps, want most packs rewritten, and that some had no room", got, len(steps))
		}
		if after, _ := r.files(); after >= before {
			t.Errorf("%d packs are left of %d", after, before)
		}
		r.check()
		r.compact.Tight = func() int64 { return 0 }
		if got := r.run(compact.Thorough(0)); got.Packs != 0 || got.Stopped == "" {
			t.Errorf("with no room at all: %+v", got)
		}
		r.compact.Free = func() (int64, error) { return 1 << 40, nil }
		if got := r.run(compact.Thorough(0)); got.Stopped != "" {
			t.Errorf("with room: %+v", got)
		}
		r.check()
	})
}

// TestALostLeaseEndsTheStep takes the lease away while a step writes.
func TestALostLeaseEndsTheStep(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		r := newPackRig(t, fresh(t), frame.None)
		r.add(0, 4, 2)
		var once sync.Once
		r.journal.Before = func(s blobtest.Step) error {
			if s.Op == "close" {
				once.Do(func() {
					must(t, r.db, func(q querier) error {
						_, err := exec(t.Context(), q, `UPDATE units SET owner = '', lease_until = 0 WHERE kind = 'rewrite'`)
						return err
					})
				})
			}
			return nil
		}
		if got := r.run(compact.Gentle(0)); got.NewPacks != 0 {
			t.Errorf("a step without a lease moved blocks: %+v", got)
		}
		r.check()
		if got := r.run(compact.Thorough(0)); got.NewPacks != 1 {
			t.Errorf("the next run: %+v", got)
		}
		r.check()
		if n, _ := r.files(); n != 1 {
			t.Errorf("%d packs are left", n)
		}
	})
}
