package metadb

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
)

// under returns how many frames of the store, dead ones too, are under each data key. It
// checks each with the keys in the header of its pack, as one does who has nothing else.
func (r *packRig) under() map[uint32]int {
	r.t.Helper()
	ctx, n := r.t.Context(), map[uint32]int{}
	for _, name := range r.backend.Names() {
		at := packFile{ctx, r, name}
		index, err := blockstore.ReadPackIndex(at, at.size())
		if err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		k, err := r.ring.Unwrap(ctx, index.Domain)
		if err != nil {
			r.t.Fatalf("%s: %v", name, err)
		}
		for _, b := range index.Blocks {
			f := make([]byte, int(b.Len)*blockstore.Align)
			if _, err := at.ReadAt(f, int64(b.Off)*blockstore.Align); err != nil {
				r.t.Fatal(err)
			}
			info, err := frame.Inspect(f)
			if err == nil {
				_, _, err = k.Open(f, make([]byte, block.Size), b.ID)
			}
			if err != nil {
				r.t.Errorf("%s: %v", name, err)
			}
			n[info.Key]++
		}
	}
	return n
}

type packFile struct {
	ctx  context.Context
	r    *packRig
	name string
}

func (f packFile) ReadAt(p []byte, off int64) (int, error) {
	return f.r.backend.ReadAt(f.ctx, f.name, p, off)
}

func (f packFile) size() (n int64) {
	f.r.t.Helper()
	err := f.r.backend.List(f.ctx, func(e blockstore.Entry) error {
		if e.Name == f.name {
			n = e.Bytes
		}
		return nil
	})
	if err != nil {
		f.r.t.Fatal(err)
	}
	return n
}

// stored returns the rig's domain as it is stored.
func (r *packRig) stored() blockstore.Domain {
	r.t.Helper()
	d, err := r.db.Catalog().Domain(r.t.Context(), r.domain.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// onlyKey checks that all is under one data key, which is the only one of the domain, and
// that everything reads as it did: with the keys of the beginning, and for one who comes new.
func (r *packRig) onlyKey(key uint32, frames int) {
	r.t.Helper()
	if d := r.stored(); d.Oldest != key || d.Newest != key || d.Retiring() {
		r.t.Errorf("the domain has data keys %d to %d, want %d", d.Oldest, d.Newest, key)
	}
	if under := r.under(); len(under) != 1 || under[key] != frames {
		r.t.Errorf("frames are under data keys %v, want %d under %d", under, frames, key)
	}
	r.check()
	other := &keyring.Ring{Domains: r.ring.Domains, Wrapper: r.ring.Wrapper, KMS: r.ring.KMS}
	fresh, err := other.Keys(r.t.Context(), r.domain.ID)
	if err != nil || fresh.Oldest() != key || fresh.Newest() != key {
		r.t.Errorf("a new process: %v", err)
	}
}

// encrypted runs a test on each engine, in an encrypted domain.
func encrypted(t *testing.T, fn func(*testing.T, *packRig)) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) { fn(t, newPackRig(t, fresh(t), frame.AES256GCM)) })
}

func (r *packRig) rotate() compact.Rotated {
	r.t.Helper()
	done, err := r.compact.Rotate(r.t.Context(), r.domain.ID, 0, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

// TestRotation: every frame is under the new key, those that were compressed and those that
// don't shrink, and the old one is gone.
func TestRotation(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		r.add(0, 10, packFrames)
		r.run(compact.Thorough(0)) // compressed, but for every fifth
		r.add(10, 20, 3)
		r.drop(func(n int) bool { return n%4 == 1 })
		done := r.rotate()
		if done.Encrypted != 15 || done.Blocks != 15 || done.Domain.Retiring() || !slices.Equal(done.Dropped, []string{r.domain.ID}) {
			t.Errorf("got %+v", done)
		}
		r.onlyKey(1, 15)
		r.add(20, 22, 1)
		if under := r.under(); under[1] != 17 {
			t.Errorf("what came later is under %v", under)
		}
		if again := r.run(compact.Thorough(0)); again.Encrypted != 0 {
			t.Errorf("a compaction after it did %+v", again)
		}
		if again := r.rotate(); again.Encrypted != 17 {
			t.Errorf("a second rotation did %+v", again)
		}
		r.onlyKey(2, 17)
	})
}

// TestRotationCutOffAnywhere fails every step once: everything can be read, and the next
// run ends what was begun.
func TestRotationCutOffAnywhere(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		broken := errors.New("broken")
		for k := 0; ; k++ {
			r.add(2*k, 2*k+2, 1)
			r.drop(func(n int) bool { return n < 2*k-3 })
			before, steps := r.stored().Newest, 0
			r.journal.Before = func(blobtest.Step) error {
				if steps++; steps == k+1 {
					return broken
				}
				return nil
			}
			_, err := r.compact.Rotate(t.Context(), r.domain.ID, 0, nil)
			r.journal.Before = nil
			r.check()
			r.under()
			if err == nil && steps <= k {
				break
			}
			if d := r.stored(); d.Retiring() {
				r.rotate()
			}
			if d := r.stored(); d.Newest != before+1 {
				t.Errorf("broken at step %d: data key %d became %d", k, before, d.Newest)
			}
			r.onlyKey(before+1, len(r.want))
		}
	})
}

// TestTheDutyEndsARotation: what was begun is gone on with by the periodic duty, once the
// KMS key can be used again; until then nothing is lost, and dead frames go.
func TestTheDutyEndsARotation(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		r.add(0, 16, packFrames)
		if _, err := r.ring.Rotate(t.Context(), r.domain.ID); err != nil {
			t.Fatal(err)
		}
		r.drop(func(n int) bool { return n < 6 })
		r.disable(true)
		if _, err := r.compact.Rotate(t.Context(), r.domain.ID, 0, nil); err == nil || !strings.Contains(err.Error(), "disabled") {
			t.Errorf("rotated under a disabled key: %v", err)
		}
		got := r.run(compact.Gentle(0))
		if len(got.Locked) != 1 || got.Encrypted != 0 || got.Packs != 1 || len(got.Damaged) != 0 {
			t.Errorf("under a disabled key: %+v", got)
		}
		if d := r.stored(); d.Oldest != 0 || d.Newest != 1 {
			t.Errorf("under a disabled key, it has data keys %d to %d", d.Oldest, d.Newest)
		}
		r.disable(false)
		if got := r.run(compact.Gentle(0)); got.Encrypted != 10 || len(got.Dropped) != 0 {
			t.Errorf("with the key: %+v", got)
		}
		r.check()
		if _, err := r.gc.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.run(compact.Gentle(0)); len(got.Dropped) != 1 {
			t.Errorf("once the old packs are gone: %+v", got)
		}
		r.onlyKey(1, 10)
	})
}

// TestADamagedFrameKeepsItsKey: the frame may be mended from a backup of its pack, so its
// key stays until nothing needs it.
func TestADamagedFrameKeepsItsKey(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		r.add(0, 8, packFrames)
		var bad block.ID
		for id, n := range r.want {
			if n == 3 {
				bad = id
			}
		}
		at, err := r.store.Catalog.Locate(t.Context(), []block.ID{bad})
		if err != nil {
			t.Fatal(err)
		}
		flip := func(p []byte) []byte { p[int(at[bad].Off)*4096+1000] ^= 1; return p }
		r.backend.Edit(at[bad].File.Name(), flip)
		done := r.rotate()
		if done.Encrypted != 7 || len(done.Damaged) != 1 || !done.Domain.Retiring() {
			t.Errorf("got %+v", done)
		}
		r.backend.Edit(at[bad].File.Name(), flip)
		r.check()
		r.drop(func(n int) bool { return n == 3 })
		if done := r.rotate(); done.Domain.Retiring() || done.Domain.Newest != 1 {
			t.Errorf("without it: %+v", done)
		}
		r.onlyKey(1, 7)
	})
}

// TestRotationAmongWriters rotates again and again while blocks are written under keys that
// are soon used up, and read, and packs are rewritten.
func TestRotationAmongWriters(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		o := blockstore.Options{Group: 2, PackBytes: packFrames*frame.Size + 8192, KeyBlocks: 2 * packFrames}
		store := blockstore.NewStore(r.store.Catalog, r.store.Backend, r.store.Slots, o)
		store.Keys = &keyring.Ring{Domains: r.ring.Domains, Wrapper: r.ring.Wrapper, KMS: r.ring.KMS} // of another node
		r.store = store
		r.add(0, 4, 2)
		first := make([]block.ID, 0, len(r.want))
		for id := range r.want {
			first = append(first, id)
		}
		var ended atomic.Bool // after which each ends what it is at: a pack that is cut off can't be read
		var others sync.WaitGroup
		for _, do := range []func() error{
			func() error { _, err := r.compact.Rotate(t.Context(), r.domain.ID, 0, nil); return err },
			func() error { _, err := r.compact.Run(t.Context(), compact.Thorough(0), nil); return err },
			func() error { _, err := r.read(first[0], make([]byte, frame.Size)); return err },
		} {
			others.Go(func() {
				for !ended.Load() {
					if err := do(); err != nil && !errors.Is(err, frame.ErrManyKeys) {
						t.Error(err)
						return
					}
				}
			})
		}
		for n := 4; n < 28; n += 4 {
			r.add(n, n+4, 2)
		}
		ended.Store(true)
		others.Wait()
		r.check()
		r.under()
		if r.stored().Retiring() {
			r.rotate()
		}
		r.rotate()
		r.onlyKey(r.stored().Newest, 28)
	})
}

// TestADroppedKeyIsStillInItsPack: a data key was dropped because the row of a pack was
// wrong. The pack's own header is the last place that has the key, so its frames stay in it:
// a compaction that only copies frames does not take them to a pack without the key.
func TestADroppedKeyIsStillInItsPack(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		ctx := t.Context()
		r.add(0, 8, packFrames)
		r.run(compact.Thorough(0)) // compressed, so that the next run has nothing to encrypt
		if _, err := r.ring.Rotate(ctx, r.domain.ID); err != nil {
			t.Fatal(err)
		}
		must(t, r.db, func(q querier) error {
			_, err := exec(ctx, q, `UPDATE files SET oldest_key = 1 WHERE kind = 'pack'`)
			return err
		})
		if d, err := r.ring.Drop(ctx, r.domain.ID); err != nil || d.Oldest != 1 {
			t.Fatalf("the wrong row did not matter: %+v, %v", d, err)
		}
		var err error
		if r.keys, err = r.ring.Keys(ctx, r.domain.ID); err != nil { // as a new process has them
			t.Fatal(err)
		}
		r.check()
		r.drop(func(n int) bool { return n%2 == 0 })
		for _, locked := range []bool{true, false} {
			r.locked.Store(locked)
			if got := r.run(compact.Thorough(0)); got.Blocks != 0 || len(got.Damaged) != 4 {
				t.Errorf("locked %v: %+v", locked, got)
			}
			r.check()
			if hits, err := r.store.Catalog.Claim(ctx, slices.Collect(maps.Keys(r.want))); err != nil || len(hits) != 4 {
				t.Errorf("locked %v: %d blocks are sound, %v", locked, len(hits), err)
			}
		}
	})
}

// TestARowThatWantsAllDataKeysToGo is not believed: no data key would be left to encrypt
// the blocks anew under, which each run would do once more.
func TestARowThatWantsAllDataKeysToGo(t *testing.T) {
	encrypted(t, func(t *testing.T, r *packRig) {
		r.add(0, 8, packFrames)
		r.run(compact.Thorough(0)) // compressed
		must(t, r.db, func(q querier) error {
			_, err := exec(t.Context(), q, `UPDATE domains SET retire = 5`)
			return err
		})
		if got := r.run(compact.Gentle(0)); got.Blocks != 0 || got.Encrypted != 0 || len(got.Locked) != 0 {
			t.Errorf("got %+v", got)
		}
		r.check()
	})
}
