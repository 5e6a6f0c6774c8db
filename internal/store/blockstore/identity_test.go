package blockstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/blockstore/blobtest"
	"github.com/diskport/diskport/internal/work"
)

// site is a store and the database that it was written with.
type site struct {
	t    *testing.T
	s    *blobtest.Memory
	db   *blobtest.Catalog
	last blockstore.FileID
}

func newSite(t *testing.T) *site {
	return &site{t: t, s: blobtest.NewMemory(), db: blobtest.NewCatalog()}
}

// write writes n packs.
func (x *site) write(n int) *site {
	x.t.Helper()
	for range n {
		x.last++
		p := blockstore.ClosedPack{File: blockstore.File{ID: x.last, Kind: blockstore.PackFile}}
		p.Blocks = []blockstore.Placement{{ID: block.ID{byte(x.last), byte(x.last >> 8)}}}
		if err := x.db.CreateFile(x.t.Context(), work.Lease{}, p.File, blockstore.KeyUse{}); err != nil {
			x.t.Fatal(err)
		}
		x.put(p.File)
		x.db.Insert(p)
	}
	return x
}

// put makes a closed file.
func (x *site) put(f blockstore.File) {
	x.t.Helper()
	w, err := x.s.Create(x.t.Context(), f.Name(), 0)
	if err == nil {
		err = w.Close(x.t.Context(), 0)
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *site) attach() error { return blockstore.Attach(x.t.Context(), "the store", x.db, x.s) }

// attached is a site after its first start.
func attached(t *testing.T, packs int) *site {
	t.Helper()
	x := newSite(t)
	if err := x.attach(); err != nil {
		t.Fatal(err)
	}
	return x.write(packs)
}

func TestAttach(t *testing.T) {
	for _, c := range []struct {
		name string
		site func(t *testing.T) *site
		want string // of the refusal; empty: none
	}{
		{"new", newSite, ""},
		{"as before", func(t *testing.T) *site { return attached(t, 3) }, ""},
		{"made before there were identities", func(t *testing.T) *site { return newSite(t).write(30) }, ""},
		{"that, with a few rows lost", func(t *testing.T) *site {
			x := newSite(t).write(30)
			x.put(blockstore.File{ID: 1 << 40, Kind: blockstore.RootFile})
			return x
		}, ""},
		{"foreign files alone", func(t *testing.T) *site {
			x := newSite(t)
			w, err := x.s.Create(t.Context(), "lost+found/x", 0)
			if err := errors.Join(err, w.Close(t.Context(), 0)); err != nil {
				t.Fatal(err)
			}
			return x
		}, ""},
		{"a first start that was cut off", func(t *testing.T) *site {
			x := newSite(t)
			if _, err := x.db.SetStoreIdentity(t.Context(), strings.Repeat("0", 32)); err != nil {
				t.Fatal(err)
			}
			return x
		}, ""},
		{"a database that was lost", func(t *testing.T) *site {
			x := attached(t, 3)
			x.db = blobtest.NewCatalog()
			return x
		}, "the database is new or empty"},
		{"lost before there were identities", func(t *testing.T) *site {
			x := newSite(t).write(1)
			x.db = blobtest.NewCatalog()
			return x
		}, "does not know 1 of the 1 files"},
		{"an older database from before there were identities", func(t *testing.T) *site {
			x := newSite(t).write(30)
			for id := range blockstore.FileID(20) {
				x.db.LoseFile(id + 1)
			}
			old := blobtest.NewCatalog()
			for id := range blockstore.FileID(10) {
				_ = old.CreateFile(t.Context(), work.Lease{}, blockstore.File{ID: id + 1, Kind: blockstore.PackFile}, blockstore.KeyUse{})
			}
			x.db = old
			return x
		}, "does not know 20 of the 30 files"},
		{"the database of another store", func(t *testing.T) *site {
			x, y := attached(t, 3), attached(t, 0)
			y.last = 100
			x.db = y.write(3).db
			return x
		}, "Start with the database that belongs to this store"},
		{"an identity of which a bit turned over", func(t *testing.T) *site {
			x := attached(t, 3)
			theirs := blobtest.NewMemory() // the same files, under another identity
			x.s, x.last = theirs, 0
			if _, err := theirs.SetIdentity(t.Context(), strings.Repeat("1", 32)); err != nil {
				t.Fatal(err)
			}
			for id := range blockstore.FileID(3) {
				x.put(blockstore.File{ID: id + 1, Kind: blockstore.PackFile})
			}
			return x
		}, "knows 3 of the 3 files there, so if no other service uses them, the identity is damaged: remove"},
		{"a database with an identity and an old store of others", func(t *testing.T) *site {
			x := newSite(t).write(3)
			x.db = attached(t, 0).db
			return x
		}, "does not know 3 of the 3 files"},
		{"a store that is not mounted", func(t *testing.T) *site {
			x := attached(t, 3)
			x.s = blobtest.NewMemory()
			return x
		}, "knows 3 files in it. Is it mounted?"},
		{"an old one that is not mounted", func(t *testing.T) *site {
			x := newSite(t).write(3)
			x.s = blobtest.NewMemory()
			return x
		}, "knows 3 files in it. Is it mounted?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := c.site(t)
			names := len(x.s.Names())
			err := x.attach()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				ours, err1 := x.db.StoreIdentity(t.Context())
				theirs, err2 := x.s.Identity(t.Context())
				if err := errors.Join(err1, err2); err != nil || ours == "" || ours != theirs {
					t.Errorf("identities %q and %q, %v", ours, theirs, err)
				}
			} else if !errors.Is(err, blockstore.ErrNotOurs) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "the store") {
				t.Errorf("got %v, want ErrNotOurs and %q", err, c.want)
			}
			if got := len(x.s.Names()); got != names {
				t.Errorf("%d files of %d are left", got, names)
			}
			if again := x.attach(); (again == nil) != (c.want == "") {
				t.Errorf("once more: %v", again)
			}
		})
	}
}

// TestTwoServicesAtOnce: of two services with databases of their own that start on
// one new store, one is refused.
func TestTwoServicesAtOnce(t *testing.T) {
	x, y := newSite(t), newSite(t)
	late := &lateStore{Memory: x.s, before: func() {
		if err := x.attach(); err != nil {
			t.Error(err)
		}
	}}
	if err := blockstore.Attach(t.Context(), "the store", y.db, late); !errors.Is(err, blockstore.ErrNotOurs) {
		t.Errorf("got %v, want ErrNotOurs", err)
	}
	if err := x.attach(); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

// lateStore is a store on which something happens before it gets an identity.
type lateStore struct {
	*blobtest.Memory
	before func()
}

func (s *lateStore) SetIdentity(ctx context.Context, id string) (string, error) {
	s.before()
	return s.Memory.SetIdentity(ctx, id)
}

func TestPlausible(t *testing.T) {
	for _, c := range []struct {
		known, unknown int
		want           bool
	}{
		{0, 0, true}, {9, 0, true}, {0, 1, false}, {1, 1, false}, {2, 1, true}, {1000, 16, true}, {1000, 17, false}, {16, 16, false},
	} {
		if got := blockstore.Plausible(c.known, c.unknown); got != c.want {
			t.Errorf("%d known, %d unknown: %v, want %v", c.known, c.unknown, got, c.want)
		}
	}
}

// meanwhile are an owner and a store of which something happens right after each was asked for
// its identity.
type meanwhile struct {
	blockstore.Owner
	blockstore.Identified
	owner, store func()
}

func (m meanwhile) StoreIdentity(ctx context.Context) (string, error) {
	defer m.owner()
	return m.Owner.StoreIdentity(ctx)
}

func (m meanwhile) Identity(ctx context.Context) (string, error) {
	defer m.store()
	return m.Identified.Identity(ctx)
}

// TestNodesAttachTogether: a node that starts on a new database and a new store may find at any
// moment that another one has given both their identity.
func TestNodesAttachTogether(t *testing.T) {
	for _, after := range []string{"the database", "the store"} {
		t.Run(after, func(t *testing.T) {
			x := newSite(t)
			other := func() {
				if err := x.attach(); err != nil {
					t.Error(err)
				}
			}
			m := meanwhile{x.db, x.s, func() {}, other}
			if after == "the database" {
				m.owner, m.store = other, func() {}
			}
			if err := blockstore.Attach(t.Context(), "the store", m, m); err != nil {
				t.Error(err)
			}
		})
	}
}
