package blockstore_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// holder has the keys of the rig's domain.
type holder struct {
	r      *rig
	master *secret.MasterKey

	mu      sync.Mutex // guards what follows
	domain  blockstore.Domain
	keys    *frame.Keys
	renewed int   // calls
	err     error // of Renew
}

// holds makes the rig's domain one whose keys change.
func holds(t *testing.T, r *rig) *holder {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	h := &holder{r: r, master: master, domain: r.domain, keys: r.keys}
	r.catalog.SetDomain(r.domain)
	r.store.Keys = h
	return h
}

// set stores other keys.
func (h *holder) set(k *frame.Keys) {
	h.keys = k
	h.domain.Oldest, h.domain.Newest, h.domain.WrappedKeys = k.Oldest(), k.Newest(), k.Wrap(h.master, h.domain.ID)
	h.r.catalog.SetDomain(h.domain)
}

func (h *holder) Renew(_ context.Context, domain string, stale uint32) (blockstore.Domain, *frame.Keys, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed++
	if domain != h.domain.ID {
		h.r.t.Errorf("renewing domain %s", domain)
	}
	if h.err != nil {
		return h.domain, nil, h.err
	}
	if h.keys.Newest() == stale {
		k, err := h.keys.WithNewKey()
		if err != nil {
			return h.domain, nil, err
		}
		h.set(k)
	}
	return h.domain, h.keys, nil
}

func (h *holder) KeysWith(context.Context, string, uint32) (*frame.Keys, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys, nil
}

func (h *holder) Unwrap(_ context.Context, header blockstore.Domain) (*frame.Keys, error) {
	return frame.Unwrap(h.master, header.WrappedKeys, header.ID)
}

// finish ends a writer, and makes its blocks exist.
func (r *rig) finish(w *blockstore.PackWriter) []blockstore.ClosedPack {
	r.t.Helper()
	packs, _, err := w.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.catalog.Insert(packs...)
	return packs
}

// readWith reads every block of packs with keys.
func (r *rig) readWith(k *frame.Keys, packs []blockstore.ClosedPack) {
	r.t.Helper()
	buf, room := make([]byte, frame.Size), blockstore.AlignedBytes(9*frame.Size)
	for _, p := range packs {
		for _, b := range p.Blocks {
			if _, _, err := r.store.Get(r.t.Context(), k, b.ID, blockstore.Location{File: p.File, Span: b.Span}, buf); err != nil {
				r.t.Errorf("%s: %v", p.File.Name(), err)
			}
		}
		near := make([]blockstore.Neighbour, len(p.Blocks))
		for i, b := range p.Blocks {
			near[i].Placement = b
		}
		if err := r.store.GetNear(r.t.Context(), k, p.File, near, room, room); err != nil {
			r.t.Errorf("%s: neighbours: %v", p.File.Name(), err)
		}
		for _, n := range near {
			if n.Err != nil {
				r.t.Errorf("%s: a neighbour: %v", p.File.Name(), n.Err)
			}
		}
	}
}

// keyOf returns the data key that all frames of a pack are under, after it has opened them
// with the keys in the pack's own header.
func (h *holder) keyOf(p blockstore.ClosedPack) (number uint32) {
	h.r.t.Helper()
	ctx, t := h.r.t.Context(), h.r.t
	index, err := blockstore.ReadPackIndex(readerAt{ctx, h.r, p.File}, p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	k, err := h.Unwrap(ctx, index.Domain)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range p.Blocks {
		f := make([]byte, int(b.Len)*blockstore.Align)
		if err := h.r.store.ReadAt(ctx, p.File, f, int64(b.Off)*blockstore.Align); err != nil {
			t.Fatal(err)
		}
		info, err := frame.Inspect(f)
		if err != nil || i > 0 && info.Key != number {
			t.Errorf("%s: frame %d is under key %d, %v; the one before under %d", p.File.Name(), i, info.Key, err, number)
		}
		number = info.Key
		if _, _, err := k.Open(f, nil, b.ID); err != nil {
			t.Errorf("%s: its header does not open frame %d: %v", p.File.Name(), i, err)
		}
	}
	return number
}

type readerAt struct {
	ctx context.Context
	r   *rig
	f   blockstore.File
}

func (a readerAt) ReadAt(p []byte, off int64) (int, error) {
	return a.r.backend.ReadAt(a.ctx, a.f.Name(), p, off)
}

// encrypting is a rig whose data keys encrypt so many blocks.
func encrypting(t *testing.T, blocks int64) (*rig, *holder) {
	o := small
	o.KeyBlocks = blocks
	r := newRig(t, frame.AES256GCM, 16)
	r.store = blockstore.NewStore(r.journal.Catalog(r.catalog), r.journal.Backend(r.backend), r.store.Slots, o)
	return r, holds(t, r)
}

// TestADataKeyIsUsedUp: a writer goes on under a new key, from one pack to the next. Those
// who have older keys read what it wrote.
func TestADataKeyIsUsedUp(t *testing.T) {
	r, h := encrypting(t, 16) // packs of 8
	w := r.writer()
	if err := r.add(w, 0, 30, 3); err != nil {
		t.Fatal(err)
	}
	packs := r.finish(w)
	var under []uint32
	for _, p := range packs {
		under = append(under, h.keyOf(p))
	}
	if want := []uint32{0, 0, 1, 1}; !slices.Equal(under, want) {
		t.Errorf("packs are under keys %v, want %v", under, want)
	}
	r.readWith(r.keys, packs)
	if h.renewed != 1 {
		t.Errorf("keys were renewed %d times", h.renewed)
	}
	next := r.store.NewSmallPackWriter(t.Context(), r.lease, r.domain, r.keys, 1) // with the keys of the beginning
	if err := r.add(next, 30, 31, 1); err != nil {
		t.Fatal(err)
	}
	if p := r.finish(next); h.keyOf(p[0]) != 2 {
		t.Errorf("the next pack is under key %d, want 2: key 1 has encrypted 16", h.keyOf(p[0]))
	}
}

// TestACrashCountsTheBlocks: what was to be encrypted is counted before it is, whatever
// becomes of it.
func TestACrashCountsTheBlocks(t *testing.T) {
	r, h := encrypting(t, 16)
	for range 2 {
		w := r.writer()
		if err := r.add(w, 0, 4, 1); err != nil {
			t.Fatal(err)
		}
		w.Abort()
	}
	w := r.writer()
	if err := r.add(w, 0, 4, 1); err != nil {
		t.Fatal(err)
	}
	if p := r.finish(w); h.keyOf(p[0]) != 1 {
		t.Errorf("after two packs that came to nothing, one is under key %d, want 1", h.keyOf(p[0]))
	}
}

// TestNoNewDataKey: a writer that gets none fails with the reason, and leaves nothing.
func TestNoNewDataKey(t *testing.T) {
	r, h := encrypting(t, 8)
	h.err = errors.New("the KMS key is disabled")
	w := r.writer()
	err := r.add(w, 0, 12, 1)
	if err == nil {
		_, _, err = w.Finish(t.Context())
	}
	if !errors.Is(err, h.err) {
		t.Errorf("got %v", err)
	}
	w.Abort()
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("left are %v", names)
	}
	r.store.Keys = nil // nobody to ask
	if w := r.writer(); true {
		defer w.Abort()
		err := r.add(w, 0, 8, 1)
		if err == nil {
			_, _, err = w.Finish(t.Context())
		}
		if !errors.Is(err, blockstore.ErrStaleKey) {
			t.Errorf("without anybody to ask: %v", err)
		}
	}
}

// TestADroppedDataKey: a frame under a key that is not stored any more, which a wrong row
// might leave behind, is read with the keys in the header of its pack.
func TestADroppedDataKey(t *testing.T) {
	r, h := encrypting(t, 1000)
	w := r.writer()
	if err := r.add(w, 0, 4, 1); err != nil {
		t.Fatal(err)
	}
	packs := r.finish(w)
	two, err := r.keys.WithNewKey()
	if err != nil {
		t.Fatal(err)
	}
	one, err := two.Without(1)
	if err != nil {
		t.Fatal(err)
	}
	h.set(one)
	r.readWith(one, packs)
	name := packs[0].File.Name()
	r.backend.Edit(name, func(p []byte) []byte { p[100]++; return p })
	b := packs[0].Blocks[0]
	if _, _, err := r.store.Get(t.Context(), one, b.ID, blockstore.Location{File: packs[0].File, Span: b.Span}, make([]byte, frame.Size)); !errors.Is(err, blockstore.ErrBadPack) {
		t.Errorf("with a damaged header: %v", err)
	}
}

// TestRewriterTakesNewerKeys: a rewriting that encrypts does so under the newest key, which
// its pack's header has, and one that copies needs no key.
func TestRewriterTakesNewerKeys(t *testing.T) {
	r, h := encrypting(t, 1000)
	two, err := r.keys.WithNewKey()
	if err != nil {
		t.Fatal(err)
	}
	h.set(two)
	w, err := r.store.NewRewriter(t.Context(), r.lease, r.domain, r.keys, 1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	if w.Keys() != two || h.renewed != 1 {
		t.Errorf("it has data key %d, after %d renewals", w.Keys().Newest(), h.renewed)
	}
	w.Abort(t.Context())
	if w, err = r.store.NewRewriter(t.Context(), r.lease, h.domain, nil, 1<<20, 0); err != nil || w.Keys() != nil || h.renewed != 1 {
		t.Fatalf("copying: %v, after %d renewals", err, h.renewed)
	}
	w.Abort(t.Context())
}
