package keyring_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/keyring/domaintest"
)

// rows is a DomainStore in memory.
type rows struct {
	mu    sync.Mutex // guards what follows
	m     map[string]blockstore.Domain
	used  map[string]int64 // blocks under the newest data key
	packs map[blockstore.FileID]packRow
}

type packRow struct {
	domain string
	oldest uint32
}

func newRows() *rows {
	return &rows{m: map[string]blockstore.Domain{}, used: map[string]int64{}, packs: map[blockstore.FileID]packRow{}}
}

func (r *rows) EnsureDomain(_ context.Context, d blockstore.Domain) (blockstore.Domain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, have := range r.m {
		if have.Account == d.Account && have.KMSKey == d.KMSKey {
			return have, nil
		}
	}
	r.m[d.ID] = d
	return d, nil
}

func (r *rows) Domains(context.Context) (list []keyring.Holding, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(r.m)) {
		h := keyring.Holding{Domain: r.m[id], Encrypted: r.used[id]}
		for _, p := range r.packs {
			if p.domain != id {
				continue
			}
			if h.Packs++; p.oldest < h.Retire {
				h.Outdated++
			}
		}
		list = append(list, h)
	}
	return list, nil
}

func (r *rows) ReplaceKeys(_ context.Context, was, d blockstore.Domain) (blockstore.Domain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.m[d.ID]
	if !ok {
		return have, keyring.ErrNoDomain
	}
	if have.Oldest != was.Oldest || have.Newest != was.Newest {
		return have, nil
	}
	for _, p := range r.packs {
		if d.Oldest > was.Oldest && p.domain == d.ID && p.oldest < d.Oldest {
			return have, nil
		}
	}
	if d.Newest != have.Newest {
		r.used[d.ID] = 0
	}
	r.m[d.ID] = d
	return d, nil
}

func (r *rows) Domain(_ context.Context, id string) (blockstore.Domain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.m[id]
	if !ok {
		return d, fmt.Errorf("%w: %s", keyring.ErrNoDomain, id)
	}
	return d, nil
}

func (r *rows) encrypt(domain string, key uint32, blocks, limit int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m[domain].Newest != key || r.used[domain]+blocks > limit {
		return blockstore.ErrStaleKey
	}
	r.used[domain] += blocks
	return nil
}

func (r *rows) addPack(id blockstore.FileID, domain string, oldest uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packs[id] = packRow{domain, oldest}
}

func (r *rows) removePack(id blockstore.FileID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.packs, id)
}

func TestRows(t *testing.T) {
	domaintest.Test(t, func(*testing.T) domaintest.Bench {
		r := newRows()
		return domaintest.Bench{
			Store:      r,
			AddPack:    func(_ *testing.T, id blockstore.FileID, domain string, oldest uint32) { r.addPack(id, domain, oldest) },
			RemovePack: func(_ *testing.T, id blockstore.FileID) { r.removePack(id) },
			Encrypt: func(_ *testing.T, domain string, key uint32, blocks, limit int64) error {
				return r.encrypt(domain, key, blocks, limit)
			},
		}
	})
}

func TestOneDomainAnAccount(t *testing.T) {
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	store := newRows()
	ring := &keyring.Ring{Domains: store, Wrapper: master}
	a, keysA, err := ring.Plain(t.Context(), "111111111111")
	if err != nil {
		t.Fatal(err)
	}
	again, keysAgain, err := ring.Plain(t.Context(), "111111111111")
	if err != nil || again.ID != a.ID || keysAgain != keysA {
		t.Errorf("a second call: domain %s, %v; want %s with the same keys", again.ID, err, a.ID)
	}
	_, keysB, err := ring.Plain(t.Context(), "222222222222")
	if err != nil {
		t.Fatal(err)
	}
	digest := block.Sum([]byte("the same block"))
	if keysA.BlockID(digest) == keysB.BlockID(digest) {
		t.Error("two accounts have the same ID for a block: it links them")
	}
	// A process that has nothing in memory opens the same keys.
	fresh, err := (&keyring.Ring{Domains: store, Wrapper: master}).Keys(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.BlockID(digest) != keysA.BlockID(digest) {
		t.Error("the stored keys are not those that were used")
	}
	if _, err := ring.Keys(t.Context(), "dom-none"); err == nil {
		t.Error("Keys of an unknown domain succeeded")
	}
}
