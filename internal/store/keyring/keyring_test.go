package keyring_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

type rows struct {
	mu    sync.Mutex // guards what follows
	m     map[string]blockstore.Domain
	packs uint32 // the lowest number of a data key that a pack has
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
	for _, d := range r.m {
		list = append(list, keyring.Holding{Domain: d})
	}
	return list, nil
}

func (r *rows) ReplaceKeys(_ context.Context, was, d blockstore.Domain) (blockstore.Domain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.m[d.ID]; have.Oldest == was.Oldest && have.Newest == was.Newest && (d.Oldest == was.Oldest || d.Oldest <= r.packs) {
		r.m[d.ID] = d
	}
	return r.m[d.ID], nil
}

func (r *rows) Domain(_ context.Context, id string) (blockstore.Domain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.m[id]
	if !ok {
		return d, fmt.Errorf("no domain %s", id)
	}
	return d, nil
}

func TestOneDomainAnAccount(t *testing.T) {
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	store := &rows{m: map[string]blockstore.Domain{}}
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
