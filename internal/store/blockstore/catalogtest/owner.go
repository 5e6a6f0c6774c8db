package catalogtest

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
)

// damage: a block that was found damaged is not a dedupe hit. It is located all the
// same, since its snapshots name it.
func damage(t *testing.T, f Fixture) {
	b := ids(3)
	p := stored(t, f, 81, b...)
	at := func(n int) blockstore.Location { return blockstore.Location{File: p.File, Span: span(n)} }
	for _, m := range []struct {
		id block.ID
		at blockstore.Location
	}{
		{b[0], at(0)}, {b[0], at(0)},
		{b[1], at(7)}, {b[1], blockstore.Location{File: blockstore.File{ID: 82, Kind: blockstore.PackFile}, Span: span(1)}}, // not there any more
		{block.ID{9}, at(0)}, // unknown
	} {
		if err := f.Catalog.MarkDamaged(t.Context(), m.id, m.at); err != nil {
			t.Errorf("marking %s at %+v: %v", m.id, m.at, err)
		}
	}
	for _, condemned := range []bool{false, true} { // a claim writes only then
		if condemned {
			f.Condemn(t, b[:2])
		}
		for i, want := range []bool{false, true, true} {
			got, err := f.Catalog.Claim(t.Context(), b[i:i+1])
			if err != nil || (len(got) == 1) != want {
				t.Errorf("claiming block %d, condemned %v: %v, %v, want a hit: %v", i, condemned, got, err, want)
			}
		}
	}
	got, err := f.Catalog.Locate(t.Context(), b[:1])
	if want := map[block.ID]blockstore.Location{b[0]: at(0)}; err != nil || !maps.Equal(got, want) {
		t.Errorf("located at %v, %v, want %v", got, err, want)
	}
}

// damageHeals: a damaged block moves to where it was stored again, and only that.
func damageHeals(t *testing.T, f Fixture) {
	b := ids(3)
	first := stored(t, f, 91, b[0], b[1])
	if err := f.Catalog.MarkDamaged(t.Context(), b[1], blockstore.Location{File: first.File, Span: span(1)}); err != nil {
		t.Fatal(err)
	}
	second := stored(t, f, 92, b[2], b[1], b[0])
	third := stored(t, f, 93, b[1])
	got, err := f.Catalog.Locate(t.Context(), b)
	want := map[block.ID]blockstore.Location{
		b[0]: {File: first.File, Span: span(0)}, b[1]: {File: second.File, Span: span(1)}, b[2]: {File: second.File, Span: span(0)},
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v; nothing moves to %v", got, err, want, third.File)
	}
	if got, err := f.Catalog.Claim(t.Context(), b[1:2]); err != nil || len(got) != 1 {
		t.Errorf("claiming the healed block: %v, %v", got, err)
	}
}

func identity(t *testing.T, f Fixture) {
	if got, err := f.Owner.StoreIdentity(t.Context()); err != nil || got != "" {
		t.Errorf("a new database knows store %q, %v", got, err)
	}
	for _, id := range []string{"first", "second"} {
		if got, err := f.Owner.SetStoreIdentity(t.Context(), id); err != nil || got != "first" {
			t.Errorf("setting %s gave %q, %v, want the first", id, got, err)
		}
		if got, err := f.Owner.StoreIdentity(t.Context()); err != nil || got != "first" {
			t.Errorf("the store is %q, %v, want the first", got, err)
		}
	}
}

func identityRace(t *testing.T, f Fixture) {
	const callers = 6
	got, errs := make([]string, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { got[i], errs[i] = f.Owner.SetStoreIdentity(t.Context(), fmt.Sprint(i)) })
	}
	wg.Wait()
	for i := range callers {
		if errs[i] != nil || got[i] != got[0] {
			t.Errorf("caller %d: %q, %v, caller 0 got %q", i, got[i], errs[i], got[0])
		}
	}
}

// knownFiles: a row of a block is enough to know the file.
func knownFiles(t *testing.T, f Fixture) {
	b := ids(3)
	stored(t, f, 101, b[0])
	stored(t, f, 102, b[1])
	pack(t, f, f.Lease(t), 103, b[2])
	f.LoseFile(t, 102)
	got, err := f.Owner.KnownFiles(t.Context(), []blockstore.FileID{101, 102, 103, 104})
	if want := map[blockstore.FileID]bool{101: true, 102: true, 103: true}; err != nil || !maps.Equal(got, want) {
		t.Errorf("known are %v, %v, want %v", got, err, want)
	}
	if got, err := f.Owner.KnownFiles(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("of no files %v, %v are known", got, err)
	}
	if n, err := f.Owner.ClosedFiles(t.Context()); err != nil || n != 1 {
		t.Errorf("%d closed files, %v, want the one that has a row and is closed", n, err)
	}
}
