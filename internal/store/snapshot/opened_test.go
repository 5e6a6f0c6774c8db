package snapshot

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
)

// opened has the rig keep n blocks.
func (r *rig) opened(n int) { r.lib.Opened = NewOpened(int64(n) * frame.Size) }

// get reads a block with Read and returns what fills it.
func (r *rig) get(b *Blocks, index int64) byte {
	r.t.Helper()
	plain, digest, err := b.Read(r.t.Context(), index, make([]byte, frame.Size))
	if err != nil || len(plain) != block.Size || digest != block.Sum(plain) {
		r.t.Errorf("block %d: %d bytes, %v", index, len(plain), err)
		return 0
	}
	return plain[len(plain)-1]
}

// TestReadAgain counts the frames that are opened: a block that is asked for the third
// time is there, also for another snapshot in its domain, and only there.
func TestReadAgain(t *testing.T) {
	r := newRig(t)
	r.opened(2)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, contents{0: 1, 5: 2}))
	same := r.open(r.snapshot("snap-2", "dom-plain", 1, contents{9: 1}))
	foreign := r.open(r.snapshot("snap-3", "dom-encrypted", 1, contents{0: 1}))
	reads := r.counted()
	for i, step := range []struct {
		b     *Blocks
		index int64
		what  byte
		reads int64 // so far
	}{
		{b, 0, 1, 1}, {b, 0, 1, 2}, {b, 0, 1, 2}, {same, 9, 1, 2}, {foreign, 0, 1, 3}, {b, 5, 2, 4}, {b, 0, 1, 4}, {b, 5, 2, 5}, {b, 5, 2, 5},
	} {
		if got := r.get(step.b, step.index); got != step.what || reads.packs.Load() != step.reads {
			t.Errorf("step %d: got %d; %d reads, want %d", i, got, reads.packs.Load(), step.reads)
		}
	}
	if _, _, err := b.Read(t.Context(), 1, nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("a block that is not there: %v", err)
	}
}

// TestWhatReadsOnceKeepsNothing: neither a scan nor a client that reads every block once
// pushes out a block that is read again.
func TestWhatReadsOnceKeepsNothing(t *testing.T) {
	r := newRig(t)
	r.opened(1)
	c := row(12)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
	r.get(b, 3)
	r.get(b, 3)
	for i := range c {
		if i != 3 {
			r.get(b, i)
		}
	}
	if _, err := r.scan(b, 0, c); err != nil {
		t.Error(err)
	}
	whole := make([]byte, 12*block.Size)
	if _, err := b.Disk(t.Context()).ReadAt(whole, 0); err != nil {
		t.Error(err)
	}
	reads := r.counted()
	if r.get(b, 3) != c[3] || reads.packs.Load() != 0 {
		t.Errorf("%d reads of what was kept", reads.packs.Load())
	}
}

// TestSmallReadsOfADisk opens each block once, however small the pieces and however
// many read them, and reads neighbours at once where they are whole.
func TestSmallReadsOfADisk(t *testing.T) {
	r := newRig(t)
	r.opened(2)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, contents{0: 1, 1: 2, 4: 3, 5: 4, 6: 5}))
	reads := r.counted()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			p := make([]byte, 64<<10)
			for off := int64(0); off < 4*block.Size; off += int64(len(p)) {
				if _, err := b.Disk(t.Context()).ReadAt(p, off); err != nil {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	readers.Wait()
	if n := reads.packs.Load(); n > 3*2 || n < 2 { // a reader far behind may find its block gone
		t.Errorf("%d reads of two blocks", n)
	}
	before := reads.packs.Load()
	p, want := make([]byte, 4*block.Size), make([]byte, 4*block.Size)
	if _, err := b.Disk(t.Context()).ReadAt(p, 3*block.Size); err != nil {
		t.Error(err)
	}
	for i := range byte(3) {
		fill(want[(int(i)+1)*block.Size:][:block.Size], i+3)
	}
	if n := reads.packs.Load() - before; n > 2 || !bytes.Equal(p, want) {
		t.Errorf("%d reads of three neighbours in two packs", n)
	}
}

// TestOpenedIsLockedWithItsKey: what is kept is not served while the key can't be used.
func TestOpenedIsLockedWithItsKey(t *testing.T) {
	r := newRig(t)
	r.opened(2)
	d := r.open(r.snapshot("snap-1", "dom-encrypted", 1, contents{0: 1})).Disk(t.Context())
	p := make([]byte, 512)
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	keys := r.lib.Keys
	r.lib.Keys = func(context.Context, string) (*frame.Keys, error) { return nil, errLocked }
	if n, err := d.ReadAt(p, 0); n != 0 || !errors.Is(err, errLocked) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	r.lib.Keys = keys
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Error(err)
	}
}

// TestDamageIsNotKept: a block that can't be read is tried again.
func TestDamageIsNotKept(t *testing.T) {
	r := newRig(t)
	r.opened(2)
	c := contents{0: 1}
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, c))
	r.backend.Edit(r.backend.Names()[0], func(p []byte) []byte { p[4096+77] ^= 1; return p })
	for range 3 {
		if _, _, err := b.Read(t.Context(), 0, make([]byte, frame.Size)); !errors.Is(err, frame.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
	r.write("dom-plain", 2, c)
	if got := r.get(b, 0); got != 1 {
		t.Errorf("got %d", got)
	}
}
