package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

func TestGet(t *testing.T) {
	for _, domain := range []string{"dom-plain", "dom-encrypted"} {
		r := newRig(t)
		c := contents{0: 1, 5: 2, 1023: 3, 1024: 1, 2047: 4, 6000: 0}
		b := r.open(r.snapshot("snap-1", domain, 4, c))
		if b.Count() != 6 || b.Volume() != 8192 || b.Record().ID != "snap-1" {
			t.Errorf("count %d, volume %d, record %+v", b.Count(), b.Volume(), b.Record())
		}
		frame, want := make([]byte, frame.Size), make([]byte, block.Size)
		for i, what := range c {
			fill(want, what)
			payload, digest, err := b.Get(t.Context(), i, frame)
			if err != nil || !bytes.Equal(payload, want) || digest != block.Sum(want) {
				t.Errorf("%s, block %d: %v", domain, i, err)
			}
		}
		for _, i := range []int64{-1, 1, 1022, 1025, 3000, 8191, 8192, 1 << 60} {
			if _, _, err := b.Get(t.Context(), i, frame); !errors.Is(err, ErrAbsent) {
				t.Errorf("block %d: got %v, want ErrAbsent", i, err)
			}
		}
	}
}

func TestFrom(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 63: 1, 64: 2, 1023: 3, 1024: 1, 5000: 5}
	b := r.open(r.snapshot("snap-1", "dom-plain", 4, c))
	for _, from := range []int64{-5, 0, 1, 64, 65, 1023, 1024, 1025, 5000, 5001, 9000} {
		var got, want []int64
		for e, err := range b.From(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			if id, err := b.ID(t.Context(), e.Index); err != nil || id != e.ID {
				t.Errorf("block %d: ID %v and %v, %v", e.Index, e.ID, id, err)
			}
			got = append(got, e.Index)
		}
		for _, i := range slices.Sorted(maps.Keys(c)) {
			if i >= from {
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("from %d: got %v, want %v", from, got, want)
		}
	}
	for e := range b.From(t.Context(), 0) {
		if e.Index != 0 {
			t.Errorf("went on to %d", e.Index)
		}
		break
	}
}

// volume is what a disk with the contents holds.
type volume struct {
	c    contents
	size int64
}

func (v volume) ReadAt(p []byte, off int64) (int, error) {
	for n := range p {
		at := off + int64(n)
		if at >= v.size {
			return n, io.EOF
		}
		p[n] = 0
		if what, ok := v.c[at/block.Size]; ok && (at%block.Size < 8 || at%block.Size == block.Size-1) {
			p[n] = what
		}
	}
	return len(p), nil
}

func TestDisk(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 3: 3, 1023: 4, 1024: 5, 2047: 6}
	rec := r.snapshot("snap-1", "dom-plain", 1, c)
	d := r.open(rec).Disk(t.Context())
	imagetest.Run(t, d, volume{c, 1 << 30})
	if _, err := d.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("reading at -1 gave %v", err)
	}
	var got []diskimage.Extent
	for e, err := range d.Extents(100, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	const b = block.Size
	want := []diskimage.Extent{
		{Off: 100, Len: 2*b - 100, Kind: diskimage.Data}, {Off: 2 * b, Len: b}, {Off: 3 * b, Len: b, Kind: diskimage.Data},
		{Off: 4 * b, Len: 1019 * b}, {Off: 1023 * b, Len: 2 * b, Kind: diskimage.Data}, {Off: 1025 * b, Len: 1022 * b},
		{Off: 2047 * b, Len: b, Kind: diskimage.Data},
	}
	if !slices.Equal(got, want) {
		t.Errorf("extents are %v, want %v", got, want)
	}
}

// TestFullPage has a page whose extents are known without reading it.
func TestFullPage(t *testing.T) {
	r := newRig(t)
	c := contents{}
	for i := range int64(PageBlocks) {
		c[i+PageBlocks] = 9
	}
	d := r.open(r.snapshot("snap-1", "dom-plain", 1, c)).Disk(t.Context())
	asked := r.index.asked
	var n int64
	for e, err := range d.Extents(600<<20, 100<<20) {
		if err != nil || e.Off != 600<<20 {
			t.Errorf("got %+v, %v", e, err)
		}
		n += e.Len
	}
	if n != 100<<20 || r.index.asked != asked {
		t.Errorf("%d bytes, %d pages read", n, r.index.asked-asked)
	}
}

func TestEmptySnapshot(t *testing.T) {
	r := newRig(t)
	b := r.open(r.snapshot("snap-1", "dom-plain", 1, nil))
	imagetest.Run(t, b.Disk(t.Context()), imagetest.Zeros{})
	for e, err := range b.From(t.Context(), 0) {
		t.Errorf("block %v, %v", e, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newRig(t)
	rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1, 1030: 2})
	other := r.snapshot("snap-2", "dom-plain", 1, contents{3: 1})
	for name, change := range map[string]func(*Record){
		"another's root": func(rec *Record) { rec.Root = other.Root },
		"another domain": func(rec *Record) { rec.Domain = "dom-encrypted" },
		"another size":   func(rec *Record) { rec.VolumeSize = 2 },
		"another disk":   func(rec *Record) { rec.VirtualSize = 4711 },
		"another count":  func(rec *Record) { rec.Blocks++ },
	} {
		bad := rec
		change(&bad)
		if _, err := r.lib.Open(t.Context(), bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
	rec.Root.ID++
	if _, err := r.lib.Open(t.Context(), rec); !errors.Is(err, blockstore.ErrNotExist) {
		t.Errorf("no root: got %v, want ErrNotExist", err)
	}
}

// TestDamage flips a bit in every part of a manifest, in turn.
func TestDamage(t *testing.T) {
	read := func(r *rig, rec Record) error {
		b, err := r.lib.Open(t.Context(), rec)
		if err != nil {
			return err
		}
		for _, err := range b.From(t.Context(), 0) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, kind := range []blockstore.FileKind{blockstore.RootFile, blockstore.PagesFile} {
		for at := 0; ; at += 5 {
			r := newRig(t)
			rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1})
			if err := read(r, rec); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.backend.Names(), func(n string) bool { return n[:4] == string(kind[:4]) })
			name, done := r.backend.Names()[i], false
			r.backend.Edit(name, func(p []byte) []byte {
				if done = at >= len(p); !done {
					p[at] ^= 4
				}
				return p
			})
			if done {
				break
			}
			if err := read(r, rec); !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("byte %d of the %s file flipped: got %v, want ErrCorrupt", at, kind, err)
			} else if !strings.Contains(err.Error(), name) {
				t.Errorf("byte %d of %s flipped: %v does not name it", at, name, err)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	r := newRig(t)
	rec := r.snapshot("snap-1", "dom-plain", 1, contents{3: 1, 1030: 2})
	b := r.open(rec)
	id, err := b.ID(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	r.catalog.Condemn(id)
	r.catalog.Sweep()
	frame := make([]byte, frame.Size)
	if _, _, err := b.Get(t.Context(), 3, frame); !errors.Is(err, blockstore.ErrNoBlock) {
		t.Errorf("no block row: got %v, want ErrNoBlock", err)
	}
	clear(r.index.pages)
	if _, _, err := b.Get(t.Context(), 1030, frame); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no page row: got %v, want ErrCorrupt", err)
	}
}

// TestMovedBlocks rewrites a pack while a reader knows where its blocks lay.
func TestMovedBlocks(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1, 1: 2, 2: 3}
	rec := r.snapshot("snap-1", "dom-plain", 1, c)
	b := r.open(rec)
	frame := make([]byte, frame.Size)
	if _, _, err := b.Get(t.Context(), 0, frame); err != nil {
		t.Fatal(err)
	}
	for e := range b.From(t.Context(), 0) {
		r.catalog.Condemn(e.ID)
	}
	r.catalog.Sweep()
	old := r.backend.Names()[0]
	r.write("dom-plain", 2, c) // the same blocks, in a new pack
	if err := r.backend.Remove(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for i := range c {
		if _, _, err := b.Get(t.Context(), i, frame); err != nil {
			t.Errorf("block %d: %v", i, err)
		}
	}
}

func TestDiff(t *testing.T) {
	a := contents{0: 1, 5: 2, 7: 3, 1024: 4, 3000: 5, 4000: 6}
	b := contents{0: 1, 5: 9, 8: 3, 1024: 4, 3000: 5, 5000: 7, 9000: 8}
	want := map[int64]string{5: "ab", 7: "a", 8: "b", 4000: "a", 5000: "b", 9000: "b"}
	for _, domains := range [][2]string{{"dom-plain", "dom-plain"}, {"dom-plain", "dom-encrypted"}} {
		r := newRig(t)
		sa, sb := r.open(r.snapshot("snap-a", domains[0], 4, a)), r.open(r.snapshot("snap-b", domains[1], 5, b))
		for _, from := range []int64{-1, 0, 6, 4000, 4001, 9001} {
			got := map[int64]string{}
			last := int64(-1)
			for c, err := range Diff(t.Context(), sa, sb, from) {
				if err != nil || c.Index <= last || c.InA != (c.A != block.ID{}) || c.InB != (c.B != block.ID{}) {
					t.Fatalf("got %+v after %d, %v", c, last, err)
				}
				last = c.Index
				if c.InA {
					got[c.Index] += "a"
				}
				if c.InB {
					got[c.Index] += "b"
				}
			}
			wanted := maps.Clone(want)
			maps.DeleteFunc(wanted, func(i int64, _ string) bool { return i < from })
			if !maps.Equal(got, wanted) {
				t.Errorf("%v from %d: got %v, want %v", domains, from, got, wanted)
			}
		}
	}
}

// TestDiffSkipsEqualPages counts the pages that are read.
func TestDiffSkipsEqualPages(t *testing.T) {
	r := newRig(t)
	a := contents{0: 1, 1024: 2, 2048: 3, 3072: 4}
	b := maps.Clone(a)
	b[2048] = 9
	sa, sb := r.open(r.snapshot("snap-a", "dom-plain", 2, a)), r.open(r.snapshot("snap-b", "dom-plain", 2, b))
	asked := r.index.asked
	for c, err := range Diff(t.Context(), sa, sb, 0) {
		if err != nil || c.Index != 2048 {
			t.Errorf("got %+v, %v", c, err)
		}
	}
	if n := r.index.asked - asked; n != 2 {
		t.Errorf("%d pages read, want 2", n)
	}
}

// TestDamageHeals: a read that finds a block damaged says so; the same contents are
// then stored again instead of being found, and every snapshot that names the block
// has it back, even for a reader that remembers where it lay.
func TestDamageHeals(t *testing.T) {
	for name, damage := range map[string]func(p []byte) []byte{
		"flipped": func(p []byte) []byte { p[4096+77] ^= 1; return p },
		"cut":     func(p []byte) []byte { return p[:4096+100] },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := contents{0: 1, 5: 2}
			first, second := r.snapshot("snap-1", "dom-plain", 1, c), r.snapshot("snap-2", "dom-plain", 1, contents{9: 1, 10: 2})
			b, frame := r.open(first), make([]byte, frame.Size)
			for i := range c {
				if _, _, err := b.Get(t.Context(), i, frame); err != nil {
					t.Fatal(err)
				}
			}
			i := slices.IndexFunc(r.backend.Names(), func(n string) bool { return n[:4] == "pack" })
			pack := r.backend.Names()[i]
			r.backend.Edit(pack, damage)
			failed := 0
			for i := range c {
				if _, _, err := b.Get(t.Context(), i, frame); err != nil {
					failed++
				}
			}
			if failed == 0 || r.catalog.Damaged() != failed {
				t.Fatalf("%d reads failed, %d blocks are marked", failed, r.catalog.Damaged())
			}
			w := r.write("dom-plain", 2, c)
			if got := w.Stats.Deduplicated; got != int64(len(c)-failed) || r.catalog.Damaged() != 0 {
				t.Errorf("%d blocks of %d were found, %d are damaged still", got, len(c), r.catalog.Damaged())
			}
			for _, s := range []struct {
				b  *Blocks
				at []int64
			}{{b, []int64{0, 5}}, {r.open(first), []int64{0, 5}}, {r.open(second), []int64{9, 10}}} {
				for _, i := range s.at {
					if _, _, err := s.b.Get(t.Context(), i, frame); err != nil {
						t.Errorf("%s, block %d: %v", s.b.Record().ID, i, err)
					}
				}
			}
		})
	}
}

// TestMissingPackIsDamage: the blocks of a pack that is gone are damaged too.
func TestMissingPackIsDamage(t *testing.T) {
	r := newRig(t)
	c := contents{0: 1}
	b, frame := r.open(r.snapshot("snap-1", "dom-plain", 1, c)), make([]byte, frame.Size)
	i := slices.IndexFunc(r.backend.Names(), func(n string) bool { return n[:4] == "pack" })
	if err := r.backend.Remove(t.Context(), r.backend.Names()[i]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(t.Context(), 0, frame); !errors.Is(err, blockstore.ErrNotExist) || r.catalog.Damaged() != 1 {
		t.Errorf("got %v, %d blocks are marked", err, r.catalog.Damaged())
	}
	r.write("dom-plain", 2, c)
	if _, _, err := b.Get(t.Context(), 0, frame); err != nil {
		t.Error(err)
	}
}

// TestCancelledIsNoDamage: a read that is cancelled says nothing about the block.
func TestCancelledIsNoDamage(t *testing.T) {
	r := newRig(t)
	b, frame := r.open(r.snapshot("snap-1", "dom-plain", 1, contents{0: 1})), make([]byte, frame.Size)
	if _, err := b.ID(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Get(ctx, 0, frame); !errors.Is(err, context.Canceled) || r.catalog.Damaged() != 0 {
		t.Errorf("got %v, %d blocks are marked", err, r.catalog.Damaged())
	}
}
