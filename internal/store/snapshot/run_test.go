package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// counting counts the reads of packs.
type counting struct {
	blockstore.Backend
	packs int
}

func (c *counting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if name[:4] == "pack" {
		c.packs++
	}
	return c.Backend.ReadAt(ctx, name, p, off)
}

// all returns the blocks of a snapshot.
func (r *rig) all(b *Blocks) (some []Block) {
	r.t.Helper()
	for x, err := range b.From(r.t.Context(), 0) {
		if err != nil {
			r.t.Fatal(err)
		}
		some = append(some, x)
	}
	return some
}

// read reads blocks with each, and returns what fills them.
func (r *rig) read(b *Blocks, some []Block) (got []byte, err error) {
	want := make([]byte, block.Size)
	err = b.each(r.t.Context(), some, newRunBuffer(), func(x Block, p []byte, d block.Digest) error {
		what := p[len(p)-1]
		fill(want, what)
		if !bytes.Equal(p, want) || d != block.Sum(p) {
			r.t.Errorf("block %d is another", x.Index)
		}
		got = append(got, what)
		return nil
	})
	return got, err
}

// TestNeighboursAreOneRead: packs of the rig have four frames, and put writes them
// backwards in groups of two.
func TestNeighboursAreOneRead(t *testing.T) {
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		r := newRig(t)
		c := contents{0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 9: 7}
		b := r.open(r.snapshot("snap-1", domain, 1, c))
		reads := &counting{Backend: r.lib.Store.Backend}
		r.lib.Store.Backend = reads
		some := r.all(b)
		slices.Reverse(some)
		got, err := r.read(b, some)
		if want := []byte{7, 6, 5, 4, 3, 2, 1}; err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: read %v, %v, want %v", domain, got, err, want)
		}
		if reads.packs != 2 {
			t.Errorf("%s: %d reads of two packs", domain, reads.packs)
		}
		if got, err := r.read(b, r.all(b)); err != nil || len(got) != 7 { // no neighbours
			t.Errorf("%s: read %v, %v", domain, got, err)
		}
	}
}

// TestARunWithADamagedFrame: the others are read, and it is marked.
func TestARunWithADamagedFrame(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 2: 3, 3: 4}
	rec := r.snapshot("snap-1", "dom-plain", 1, c)
	b := r.open(rec)
	some := r.all(b)
	slices.Reverse(some)
	at, err := r.catalog.Locate(t.Context(), []block.ID{some[2].ID})
	if err != nil {
		t.Fatal(err)
	}
	bad := at[some[2].ID]
	r.backend.Edit(bad.File.Name(), func(p []byte) []byte { p[int(bad.Off)*4096+5] ^= 1; return p })
	got, err := r.read(b, some)
	if !errors.Is(err, frame.ErrCorrupt) || !bytes.Equal(got, []byte{4, 3}) || r.catalog.Damaged() != 1 {
		t.Errorf("read %v, %v; %d blocks are marked", got, err, r.catalog.Damaged())
	}
	shelf := &Shelf{Library: r.lib, Holds: noHolds{}, Now: time.Now}
	if err := shelf.Verify(t.Context(), rec, func(int64, int64) {}); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	if got, err := r.read(b, append(some[:2:2], some[3])); err != nil || !bytes.Equal(got, []byte{4, 3, 1}) {
		t.Errorf("without it: %v, %v", got, err)
	}
}

// TestARunThatMoved reads neighbours whose pack has been rewritten.
func TestARunThatMoved(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 2: 3, 3: 4}
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
	some := r.all(b)
	slices.Reverse(some)
	if _, err := r.read(b, some); err != nil {
		t.Fatal(err)
	}
	for _, x := range some {
		r.catalog.Condemn(x.ID)
	}
	r.catalog.Sweep()
	old := r.backend.Names()[0]
	r.write("dom-plain", 2, c)
	if err := r.backend.Remove(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got, err := r.read(b, some); err != nil || !bytes.Equal(got, []byte{4, 3, 2, 1}) || r.catalog.Damaged() != 0 {
		t.Errorf("read %v, %v; %d blocks are marked", got, err, r.catalog.Damaged())
	}
}

// TestAnErrorOfTheCallerEndsARun: it is not taken for damage.
func TestAnErrorOfTheCallerEndsARun(t *testing.T) {
	r := newRig(t)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, contents{0: 1, 1: 2, 2: 3}))
	some := r.all(b)
	slices.Reverse(some)
	enough, calls := errors.New("enough"), 0
	err := b.each(t.Context(), some, newRunBuffer(), func(Block, []byte, block.Digest) error {
		if calls++; calls == 2 {
			return fmt.Errorf("%w: %w", enough, frame.ErrCorrupt)
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 || r.catalog.Damaged() != 0 {
		t.Errorf("got %v after %d calls; %d blocks are marked", err, calls, r.catalog.Damaged())
	}
}

// noHolds are holds that keep nothing.
type noHolds struct{}

func (noHolds) Take(context.Context, string, time.Time, string) (Hold, error) { return Hold{}, nil }
func (noHolds) Extend(_ context.Context, h Hold, _ time.Time) (Hold, error)   { return h, nil }
func (noHolds) Release(context.Context, Hold) error                           { return nil }
