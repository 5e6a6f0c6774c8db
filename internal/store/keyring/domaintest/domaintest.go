// Package domaintest is the conformance suite of keyring.DomainStore. What is not part of
// the interface, the rows of packs, the implementation under test brings along.
package domaintest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Bench is an empty store of domains, and what stands around it.
type Bench struct {
	Store keyring.DomainStore
	// AddPack makes the row of a pack, open or closed, whose frames are under data keys
	// with this number or higher ones. RemovePack removes it again.
	AddPack    func(t *testing.T, id blockstore.FileID, domain string, oldest uint32)
	RemovePack func(t *testing.T, id blockstore.FileID)
	// Encrypt counts blocks under a data key, with a limit.
	Encrypt func(t *testing.T, domain string, key uint32, blocks, limit int64) error
}

// Test tests the stores that fresh makes, one for each subtest.
func Test(t *testing.T, fresh func(t *testing.T) Bench) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Bench)
	}{
		{"NoDomain", noDomain},
		{"NewKeys", newKeys},
		{"TheFirstChangeStays", theFirstChangeStays},
		{"OneOfManyChanges", oneOfManyChanges},
		{"NothingUnderADroppedKey", nothingUnderADroppedKey},
		{"Domains", domains},
		{"Count", count},
		{"CountOfMany", countOfMany},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, fresh(t)) })
	}
}

const (
	first  = "dom-00000000000000001"
	second = "dom-00000000000000002"
)

// domain makes a domain.
func (b Bench) domain(t *testing.T, id string) blockstore.Domain {
	t.Helper()
	d, err := b.Store.EnsureDomain(t.Context(), blockstore.Domain{ID: id, Account: "000000000001", KMSKey: "arn:aws:kms:us-east-1:000000000001:key/" + id, WrappedKeys: []byte("keys")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// with returns a domain with other keys.
func with(d blockstore.Domain, oldest, newest, retire uint32) blockstore.Domain {
	d.Oldest, d.Newest, d.Retire, d.WrappedKeys = oldest, newest, retire, fmt.Appendf(nil, "keys %d to %d", oldest, newest)
	return d
}

// replace replaces the keys of a domain, after which it is as wanted.
func (b Bench) replace(t *testing.T, was, d, want blockstore.Domain) {
	t.Helper()
	got, err := b.Store.ReplaceKeys(t.Context(), was, d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("replacing %d to %d by %d to %d (-want +got):\n%s", was.Oldest, was.Newest, d.Oldest, d.Newest, diff)
	}
	if stored, err := b.Store.Domain(t.Context(), d.ID); err != nil || !cmp.Equal(stored, want) {
		t.Errorf("stored is %+v, %v, want %+v", stored, err, want)
	}
}

func noDomain(t *testing.T, b Bench) {
	d := blockstore.Domain{ID: first}
	if _, err := b.Store.Domain(t.Context(), first); !errors.Is(err, keyring.ErrNoDomain) {
		t.Errorf("reading it: %v, want ErrNoDomain", err)
	}
	if _, err := b.Store.ReplaceKeys(t.Context(), d, with(d, 0, 1, 1)); !errors.Is(err, keyring.ErrNoDomain) {
		t.Errorf("replacing its keys: %v, want ErrNoDomain", err)
	}
}

func newKeys(t *testing.T, b Bench) {
	d, other := b.domain(t, first), b.domain(t, second)
	if d.Oldest != 0 || d.Newest != 0 || d.Retire != 0 {
		t.Errorf("a new domain is %+v", d)
	}
	one := with(d, 0, 1, 0)
	b.replace(t, d, one, one)
	two := with(one, 0, 2, 2)
	b.replace(t, one, two, two)
	rewrapped := two
	rewrapped.WrappedKeys = []byte("the same keys")
	b.replace(t, two, rewrapped, rewrapped)
	if again := b.domain(t, first); !cmp.Equal(again, rewrapped) {
		t.Errorf("ensured, it is %+v, want %+v", again, rewrapped)
	}
	if got, err := b.Store.Domain(t.Context(), second); err != nil || !cmp.Equal(got, other) {
		t.Errorf("another domain became %+v, %v", got, err)
	}
}

func theFirstChangeStays(t *testing.T, b Bench) {
	d := b.domain(t, first)
	one := with(d, 0, 1, 1)
	b.replace(t, d, one, one)
	late := with(d, 0, 1, 0)
	late.WrappedKeys = []byte("of another")
	b.replace(t, d, late, one)
	dropped := with(one, 1, 1, 1)
	b.replace(t, one, dropped, dropped)
	b.replace(t, one, with(one, 0, 2, 1), dropped)
}

// oneOfManyChanges: of many who make a new key at once, all get that of one.
func oneOfManyChanges(t *testing.T, b Bench) {
	const callers = 8
	d := b.domain(t, first)
	got, errs := make([]blockstore.Domain, callers), make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			mine := with(d, 0, 1, 0)
			mine.WrappedKeys = []byte{byte(i)}
			got[i], errs[i] = b.Store.ReplaceKeys(t.Context(), d, mine)
		})
	}
	wg.Wait()
	for i := range callers {
		if errs[i] != nil || !cmp.Equal(got[i], got[0]) || got[i].Newest != 1 {
			t.Errorf("caller %d: %+v, %v; caller 0 got %+v", i, got[i], errs[i], got[0])
		}
	}
}

// nothingUnderADroppedKey: the row of any pack, of whatever state, keeps the keys of its
// frames; those of other domains don't.
func nothingUnderADroppedKey(t *testing.T, b Bench) {
	d := b.domain(t, first)
	b.domain(t, second)
	b.AddPack(t, 11, first, 0)
	b.AddPack(t, 12, first, 1)
	b.AddPack(t, 13, first, 3)
	b.AddPack(t, 14, second, 0)
	three := with(d, 0, 3, 3)
	b.replace(t, d, three, three)
	b.replace(t, three, with(three, 3, 3, 3), three)
	b.RemovePack(t, 11)
	b.replace(t, three, with(three, 3, 3, 3), three)
	some := with(three, 1, 3, 3)
	b.replace(t, three, some, some)
	b.RemovePack(t, 12)
	last := with(some, 3, 3, 3)
	b.replace(t, some, last, last)
}

func domains(t *testing.T, b Bench) {
	if got, err := b.Store.Domains(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("an empty store has %+v, %v", got, err)
	}
	d, other := b.domain(t, second), b.domain(t, first)
	changed := with(d, 0, 2, 2)
	b.replace(t, d, changed, changed)
	for i, oldest := range []uint32{0, 1, 2} {
		b.AddPack(t, blockstore.FileID(21+i), second, oldest)
	}
	if err := b.Encrypt(t, second, 2, 5, 100); err != nil {
		t.Fatal(err)
	}
	want := []keyring.Holding{{Domain: other}, {Domain: changed, Encrypted: 5, Packs: 3, Outdated: 2}}
	got, err := b.Store.Domains(t.Context())
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// count: a data key encrypts no more than it may, only while it is the newest, and a new
// one begins at 0.
func count(t *testing.T, b Bench) {
	d := b.domain(t, first)
	const limit = 10
	step := func(key uint32, blocks int64, want error) {
		t.Helper()
		if err := b.Encrypt(t, first, key, blocks, limit); !errors.Is(err, want) {
			t.Errorf("%d blocks under key %d: %v, want %v", blocks, key, err, want)
		}
	}
	stale := blockstore.ErrStaleKey
	step(1, 1, stale)
	step(0, 4, nil)
	step(0, 11, stale)
	step(0, 7, stale)
	step(0, 6, nil)
	step(0, 1, stale)
	one := with(d, 0, 1, 0)
	b.replace(t, d, one, one)
	step(0, 1, stale)
	step(1, 10, nil)
	rewrapped := one
	rewrapped.WrappedKeys = []byte("the same keys")
	b.replace(t, one, rewrapped, rewrapped)
	step(1, 1, stale) // wrapping them anew makes them no fresher
}

// countOfMany: of many at once, no more than fit are let through.
func countOfMany(t *testing.T, b Bench) {
	b.domain(t, first)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = b.Encrypt(t, first, 0, 2, 10) })
	}
	wg.Wait()
	through := len(slices.DeleteFunc(errs, func(err error) bool { return err != nil }))
	if through != 5 {
		t.Errorf("%d writers of 2 blocks each were let through, of a key that encrypts 10", through)
	}
}
