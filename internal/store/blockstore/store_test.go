package blockstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// rig is a store in memory and what stands around it.
type rig struct {
	t       testing.TB
	store   *blockstore.Store
	backend *blobtest.Memory
	catalog *blobtest.Catalog
	journal *blobtest.Journal
	domain  blockstore.Domain
	keys    *frame.Keys
	lease   work.Lease
}

// small makes packs of two groups of four blocks. Tests move few blocks: the
// race detector looks at every byte of them.
var small = blockstore.Options{Group: 4, PackBytes: 8*frame.Size + 8192}

func newRig(t testing.TB, c frame.Cipher, slots int) *rig {
	t.Helper()
	pool, err := blockstore.NewSlots(int64(slots) * frame.Size)
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, backend: blobtest.NewMemory(), catalog: blobtest.NewCatalog(), journal: &blobtest.Journal{}}
	if r.keys, err = frame.NewKeys(c); err != nil {
		t.Fatal(err)
	}
	r.domain = blockstore.Domain{ID: "dom-0123456789abcdef0", Account: "000000000001", WrappedKeys: r.keys.Wrap(master, "dom-0123456789abcdef0")}
	r.lease = work.Lease{Unit: work.Unit{ID: 1}, Attempt: 1}
	r.store = blockstore.NewStore(r.journal.Catalog(r.catalog), r.journal.Backend(r.backend), pool, small)
	t.Cleanup(func() {
		r.allSlotsBack()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// allSlotsBack fails the test when a slot was not given back.
func (r *rig) allSlotsBack() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var got []*blockstore.Slot
	for range r.store.Slots.Len() {
		// Get on a full pool does not wait, so cancelling cannot come too late.
		s, err := r.store.Slots.Get(ctx)
		if err != nil {
			r.t.Error(err)
			break
		}
		got = append(got, s)
	}
	cancel()
	for _, s := range got {
		r.store.Slots.Put(s)
	}
}

func (r *rig) writer() *blockstore.PackWriter {
	return r.store.NewPackWriter(r.t.Context(), r.lease, r.domain, r.keys)
}

// fill makes the contents of block number n, which differ at both ends.
func fill(p []byte, n int) {
	clear(p)
	binary.LittleEndian.PutUint64(p, uint64(n)+1)
	binary.LittleEndian.PutUint64(p[len(p)-8:], uint64(n)+1)
}

// add adds blocks [from, to) from several goroutines.
func (r *rig) add(w *blockstore.PackWriter, from, to, goroutines int) error {
	next := atomic.Int64{}
	next.Store(int64(from))
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := int(next.Add(1) - 1); n < to; n = int(next.Add(1) - 1) {
				slot, err := r.store.Slots.Get(r.t.Context())
				if err != nil {
					errs[g] = err
					return
				}
				fill(slot.Payload(), n)
				if _, err := w.Add(r.t.Context(), slot); err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stored runs a unit that adds blocks [0, n) and finishes it.
func (r *rig) stored(n int) ([]blockstore.ClosedPack, blockstore.Stats) {
	r.t.Helper()
	w := r.writer()
	defer w.Abort()
	if err := r.add(w, 0, n, 3); err != nil {
		r.t.Fatal(err)
	}
	packs, stats, err := w.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.catalog.Insert(packs...)
	return packs, stats
}

func (r *rig) check(n int) {
	r.t.Helper()
	frame := make([]byte, frame.Size)
	for i := range n {
		fill(frame[:block.Size], i)
		want := block.Sum(frame[:block.Size])
		id := r.keys.BlockID(want)
		at, err := r.store.Catalog.Locate(r.t.Context(), []block.ID{id})
		if err != nil {
			r.t.Fatal(err)
		}
		payload, digest, err := r.store.Get(r.t.Context(), r.keys, id, at[id], frame)
		if err != nil || digest != want || block.Sum(payload) != want {
			r.t.Fatalf("block %d: %v", i, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, c := range map[string]frame.Cipher{"plain": frame.None, "encrypted": frame.AES256GCM} {
		t.Run(name, func(t *testing.T) {
			const n = 19
			r := newRig(t, c, 30)
			packs, stats := r.stored(n)
			var bytes, blocks int64
			for _, p := range packs {
				bytes += p.Bytes
				blocks += int64(len(p.Blocks))
				if len(p.Blocks) > 8 || p.File.Domain != r.domain.ID {
					t.Errorf("pack of %d blocks in domain %q", len(p.Blocks), p.File.Domain)
				}
			}
			if want := (blockstore.Stats{Blocks: n, Stored: bytes}); stats != want || blocks != n {
				t.Errorf("stats are %+v, want %+v; %d blocks in packs", stats, want, blocks)
			}
			r.check(n)
		})
	}
}

func TestReadersAreShared(t *testing.T) {
	r := newRig(t, frame.None, 20)
	r.stored(20) // three packs
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { r.check(20) })
	}
	wg.Wait()
}

func TestGetRefuses(t *testing.T) {
	r := newRig(t, frame.None, 20)
	packs, _ := r.stored(3)
	file, id, buf := packs[0].File, packs[0].Blocks[1].ID, make([]byte, frame.Size)
	const long = frame.Size / blockstore.Align
	get := func(f blockstore.File, at blockstore.Span) error {
		_, _, err := r.store.Get(t.Context(), r.keys, id, blockstore.Location{File: f, Span: at}, buf)
		return err
	}
	at := packs[0].Blocks[1].Span
	if err := get(file, at); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]blockstore.Span{"another frame": packs[0].Blocks[2].Span, "half of it": {Off: at.Off, Len: long / 2}, "between": {Off: at.Off + 1, Len: long}} {
		if err := get(file, s); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
	if err := get(file, blockstore.Span{Off: at.Off + 2*long, Len: long}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("past the end: got %v, want ErrUnexpectedEOF", err)
	}
	for _, s := range []blockstore.Span{{}, {Off: 0, Len: long}, {Off: at.Off}, {Off: at.Off, Len: long + 1}, {Off: 1 << 16, Len: 1}, {Off: 1<<32 - 1, Len: 1<<32 - 1}} {
		if err := get(file, s); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v was read: %v", s, err)
		}
	}
	if _, _, err := r.store.Get(t.Context(), r.keys, id, blockstore.Location{File: file, Span: at}, buf[1:]); err == nil {
		t.Error("a block was read into less than a frame")
	}
	if err := get(blockstore.File{ID: 5, Kind: blockstore.PackFile}, at); !errors.Is(err, blockstore.ErrNotExist) {
		t.Errorf("no file: got %v, want ErrNotExist", err)
	}
	r.backend.Edit(file.Name(), func(p []byte) []byte { p[4096+frame.Size+77]++; return p })
	if err := get(file, at); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("damaged: got %v, want ErrCorrupt", err)
	}
}

// TestStream writes pieces of all lengths.
// pack writes a pack of blocks [0, n), of which those that are listed are compressed.
func (r *rig) pack(n int, compressed ...int) blockstore.ClosedPack {
	r.t.Helper()
	comp, err := frame.NewCompressor(1)
	if err != nil {
		r.t.Fatal(err)
	}
	w, err := r.store.NewRewriter(r.t.Context(), r.lease, r.domain, nil, 1<<20, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	buf, plain, scratch := make([]byte, frame.Size), make([]byte, block.Size), make([]byte, frame.ScratchSize)
	for i := range n {
		fill(plain, i)
		id, framed := r.keys.BlockID(block.Sum(plain)), buf
		if slices.Contains(compressed, i) {
			framed, err = comp.Frame(r.keys, buf, plain, id, scratch)
		} else {
			copy(buf, plain)
			err = r.keys.Frame(buf, id, scratch)
		}
		if err == nil {
			_, err = w.Add(r.t.Context(), id, framed)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	p, err := w.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// near returns some blocks of a pack.
func near(p blockstore.ClosedPack, some ...int) []blockstore.Neighbour {
	out := make([]blockstore.Neighbour, len(some))
	for i, n := range some {
		out[i].Placement = p.Blocks[n]
	}
	return out
}

func TestGetNear(t *testing.T) {
	for name, tt := range map[string]struct {
		compressed, read []int
		damaged          int // -1: none
	}{
		"one":                  {nil, []int{1}, -1},
		"dense":                {nil, []int{0, 1, 2}, -1},
		"with a gap":           {nil, []int{0, 2}, -1},
		"compressed":           {[]int{0, 1, 2, 3}, []int{0, 1, 2, 3}, -1},
		"some of them":         {[]int{1}, []int{0, 1, 2}, -1},
		"compressed, with gap": {[]int{0, 1, 3}, []int{0, 3}, -1},
		"one damaged":          {nil, []int{0, 1, 2}, 1},
		"compressed, damaged":  {[]int{0, 1, 2}, []int{0, 1, 2}, 1},
		"damage in the gap":    {nil, []int{0, 2}, 1},
	} {
		for _, cipher := range []frame.Cipher{frame.None, frame.AES256GCM} {
			r := newRig(t, cipher, 1)
			p := r.pack(4, tt.compressed...)
			if tt.damaged >= 0 {
				at := int(p.Blocks[tt.damaged].Off)*blockstore.Align + 9
				r.backend.Edit(p.File.Name(), func(p []byte) []byte { p[at] ^= 1; return p })
			}
			some, want := near(p, tt.read...), make([]byte, block.Size)
			room, stage := blockstore.AlignedBytes(len(some)*frame.Size), blockstore.AlignedBytes(5*frame.Size)
			if err := r.store.GetNear(t.Context(), r.keys, p.File, some, room, stage); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for i, n := range some {
				if tt.read[i] == tt.damaged {
					if !errors.Is(n.Err, frame.ErrCorrupt) || !strings.Contains(n.Err.Error(), p.File.Name()) {
						t.Errorf("%s, damaged block: %v", name, n.Err)
					}
					continue
				}
				fill(want, tt.read[i])
				if n.Err != nil || !bytes.Equal(n.Plain, want) || n.Digest != block.Sum(want) {
					t.Errorf("%s, cipher %d, block %d: %v", name, cipher, tt.read[i], n.Err)
				}
			}
		}
	}
}

func TestGetNearRefuses(t *testing.T) {
	r := newRig(t, frame.None, 1)
	p := r.pack(3)
	room := make([]byte, 2*frame.Size)
	bad := near(p, 0, 1)
	bad[1].Len = 0
	for name, tt := range map[string]struct {
		some  []blockstore.Neighbour
		room  []byte
		stage []byte
	}{
		"nothing":        {nil, room, room},
		"descending":     {near(p, 1, 0), room, room},
		"twice the same": {near(p, 1, 1), room, room},
		"no frame":       {bad, room, room},
		"little room":    {near(p, 0, 1), room[1:], room},
		"little stage":   {near(p, 0, 2), room, room},
	} {
		if err := r.store.GetNear(t.Context(), r.keys, p.File, tt.some, tt.room, tt.stage); err == nil || !strings.Contains(err.Error(), p.File.Name()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := r.store.GetNear(t.Context(), r.keys, blockstore.File{ID: 1, Kind: blockstore.PackFile}, near(p, 0), room, nil); !errors.Is(err, blockstore.ErrNotExist) {
		t.Errorf("no such pack: %v", err)
	}
}

func TestStream(t *testing.T) {
	r := newRig(t, frame.None, 1)
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 3<<20 + 1} {
		s, err := r.store.NewStream(t.Context(), r.lease, blockstore.PagesFile, int64(size/2))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i) ^ byte(i>>12)
		}
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(100_000))
			if err := s.Write(t.Context(), rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if n, err := s.Close(t.Context()); err != nil || n != int64(size) || s.Size() != n {
			t.Fatalf("closing %d bytes gave %d, %v; size %d", size, n, err, s.Size())
		}
		if err := s.Abort(); err != nil {
			t.Error(err)
		}
		got := make([]byte, size)
		if err := r.store.ReadAt(t.Context(), s.File(), got, 0); size > 0 && err != nil || !slices.Equal(got, want) {
			t.Errorf("reading %d bytes back: %v", size, err)
		}
		if err := r.store.ReadAt(t.Context(), s.File(), make([]byte, 1), int64(size)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading past %d bytes: %v", size, err)
		}
	}
}
