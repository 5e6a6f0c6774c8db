package snapshot

import (
	"errors"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/work"
)

// TestRangeWriter: pages without blocks are left out, equal pages are written
// once, equal blocks are stored once.
func TestRangeWriter(t *testing.T) {
	r := newRig(t)
	w := r.lib.NewRangeWriter(t.Context(), r.lease, r.rng("dom-plain", 2, 5))
	c := contents{2048: 1, 2049: 2, 3071: 3, 4096: 7, 4100: 1, 5120: 7, 5124: 1}
	if err := r.put(w, c); err != nil {
		t.Fatal(err)
	}
	got, err := w.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	size := func(n int) int64 { return int64(pageSize(n)) }
	want := []PagePlace{
		{Page: 2, Len: size(3), Blocks: 3},
		{Page: 4, Off: size(3), Len: size(2), Blocks: 2},
		{Page: 5, Off: size(3), Len: size(2), Blocks: 2},
	}
	for i := range got.Pages {
		if i < len(want) {
			want[i].ID, want[i].File = got.Pages[i].ID, got.PagesFile.ID
		}
	}
	if !slices.Equal(got.Pages, want) || got.Pages[1].ID != got.Pages[2].ID || got.Pages[0].ID == got.Pages[1].ID {
		t.Errorf("pages are %+v, want %+v", got.Pages, want)
	}
	if got.PagesBytes != size(3)+size(2) || got.PagesFile.Kind != blockstore.PagesFile {
		t.Errorf("pages file is %+v, %d bytes", got.PagesFile, got.PagesBytes)
	}
	if s := got.Stats; s.Blocks != 7 || s.Deduplicated != 3 || len(got.Packs) != 1 || s.Stored != got.Packs[0].Bytes {
		t.Errorf("stats are %+v, %d packs", s, len(got.Packs))
	}
}

func TestRangeWithoutBlocks(t *testing.T) {
	r := newRig(t)
	got, err := r.lib.NewRangeWriter(t.Context(), r.lease, r.rng("dom-plain", 0, 1)).Finish(t.Context())
	if err != nil || got.Packs != nil || got.Pages != nil || got.PagesFile != (blockstore.File{}) || len(r.journal.Steps()) != 0 {
		t.Errorf("got %+v, %v, steps %v", got, err, r.journal.Steps())
	}
}

// TestRules is rules 1, 2 and 3 of the ordering invariant for what a range and a
// root leave behind: a row comes before the first byte, and everything is durable
// before it is returned to the caller, whose transaction names it.
func TestRules(t *testing.T) {
	r := newRig(t)
	r.snapshot("snap-1", "dom-plain", 1, contents{0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 2000: 6})
	r.journal.Note("returned", "")
	seen := map[string][]string{}
	for _, s := range r.journal.Steps() {
		if last := seen[s.Name]; s.Name != "" && s.Op != "abort" && (len(last) == 0 || last[len(last)-1] != s.Op) {
			seen[s.Name] = append(last, s.Op)
		}
	}
	if len(seen) != 4 { // two packs, pages, root
		t.Errorf("%d files, want 4", len(seen))
	}
	for name, ops := range seen {
		if want := []string{"row", "create", "write", "close"}; !slices.Equal(ops, want) {
			t.Errorf("%s: %q, want %q", name, ops, want)
		}
	}
	if s := r.journal.Steps(); s[len(s)-1].Op != "returned" {
		t.Errorf("%v after the return", s[len(s)-1])
	}
}

// TestRangeIsClosedAtFinish is the same inside a snapshot: pages and packs are
// durable when Finish returns, before the root is begun.
func TestRangeIsClosedAtFinish(t *testing.T) {
	r := newRig(t)
	out := r.write("dom-plain", 2, contents{0: 1, 1500: 2})
	closed := map[string]bool{}
	for _, s := range r.journal.Steps() {
		closed[s.Name] = closed[s.Name] || s.Op == "close"
	}
	for _, f := range []blockstore.File{out.Packs[0].File, out.PagesFile} {
		if !closed[f.Name()] {
			t.Errorf("%s is not closed", f.Name())
		}
	}
}

func TestPutRefuses(t *testing.T) {
	r := newRig(t)
	w := r.lib.NewRangeWriter(t.Context(), r.lease, r.rng("dom-plain", 1, 2))
	for _, i := range []int64{-1, 0, 1023, 3072, 1 << 60} {
		if err := r.put(w, contents{i: 1}); err == nil {
			t.Errorf("block %d was taken into pages 1 and 2", i)
		}
	}
	for range 2 {
		if err := r.put(w, contents{1024: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context()); err == nil {
		t.Error("a block was put twice")
	}
	if names := r.backend.Names(); len(names) != 0 {
		t.Errorf("files %q stay", names)
	}
	s, err := w.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Return(s)
}

// TestFinishFails breaks each file that Finish writes.
func TestFinishFails(t *testing.T) {
	broken := errors.New("broken")
	for _, fail := range []blobtest.Step{
		{Op: "row", Name: "pages"}, {Op: "create", Name: "pages"}, {Op: "write", Name: "pages"}, {Op: "close", Name: "pages"},
		{Op: "row", Name: "pack"}, {Op: "write", Name: "pack"}, {Op: "close", Name: "pack"},
	} {
		r := newRig(t)
		r.journal.Before = func(s blobtest.Step) error {
			if s.Op == fail.Op && len(s.Name) > len(fail.Name) && s.Name[:len(fail.Name)] == fail.Name {
				return broken
			}
			return nil
		}
		w := r.lib.NewRangeWriter(t.Context(), r.lease, r.rng("dom-plain", 0, 2))
		if err := r.put(w, contents{1: 1}); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Finish(t.Context()); !errors.Is(err, broken) || got.Packs != nil || got.Pages != nil {
			t.Errorf("%v fails: got %+v, %v", fail, got, err)
		}
		if names := r.backend.Names(); len(names) != 0 {
			t.Errorf("%v fails: files %q stay", fail, names)
		}
	}
}

func TestWriteRootRefuses(t *testing.T) {
	r := newRig(t)
	rec := Record{ID: "snap-1", Domain: "dom-plain", VolumeSize: 1}
	for name, pages := range map[string][]PagePlace{
		"out of order": {{Page: 1, Blocks: 1}, {Page: 0, Blocks: 1}},
		"twice":        {{Page: 1, Blocks: 1}, {Page: 1, Blocks: 1}},
		"negative":     {{Page: -1, Blocks: 1}},
		"past the end": {{Page: 2, Blocks: 1}},
		"empty page":   {{Page: 1}},
		"too full":     {{Page: 1, Blocks: 1025}},
	} {
		if _, err := r.lib.WriteRoot(t.Context(), r.lease, rec, pages); err == nil {
			t.Errorf("%s: was written", name)
		}
	}
	r.catalog.Lose(r.lease)
	if _, err := r.lib.WriteRoot(t.Context(), r.lease, rec, nil); !errors.Is(err, work.ErrLost) {
		t.Errorf("lost lease: got %v, want ErrLost", err)
	}
	if len(r.journal.Steps()) != 0 {
		t.Errorf("steps %v", r.journal.Steps())
	}
}
