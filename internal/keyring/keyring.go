// Package keyring turns what an account asks for (no KMS key, so far) into the
// dedupe domain and its keys. It stands between the imports that fill a domain,
// the readers of snapshots, and the sealer that keeps the keys of domains.
package keyring

import (
	"context"
	"fmt"
	"sync"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/blockstore"
	"github.com/diskport/diskport/internal/seal"
)

// Domains keeps the rows of dedupe domains.
type Domains interface {
	// EnsureDomain is blockstore.Catalog's.
	EnsureDomain(ctx context.Context, d blockstore.Domain) (blockstore.Domain, error)
	// Domain returns a domain by its id.
	Domain(ctx context.Context, id string) (blockstore.Domain, error)
}

// Ring opens domains. It may be used concurrently; the exported fields are set
// before. It keeps the keys of unencrypted domains, which nobody can disable.
type Ring struct {
	Domains Domains
	Sealer  seal.Sealer // of the keys of unencrypted domains
	IDs     awsid.Source

	mu   sync.Mutex // guards open
	open map[string]*seal.Keys
}

// Plain returns the account's domain of unencrypted blocks, which it makes at
// first.
func (r *Ring) Plain(ctx context.Context, account string) (blockstore.Domain, *seal.Keys, error) {
	keys, err := seal.NewKeys(seal.None)
	if err != nil {
		return blockstore.Domain{}, nil, err
	}
	id := r.IDs.Domain()
	row, err := r.Domains.EnsureDomain(ctx, blockstore.Domain{ID: id, Account: account, WrappedKeys: keys.Wrap(r.Sealer, id)})
	if err != nil {
		return row, nil, err
	}
	keys, err = r.unwrap(row)
	return row, keys, err
}

// Keys returns the keys of a domain, for reading its blocks.
func (r *Ring) Keys(ctx context.Context, id string) (*seal.Keys, error) {
	r.mu.Lock()
	keys, ok := r.open[id]
	r.mu.Unlock()
	if ok {
		return keys, nil
	}
	row, err := r.Domains.Domain(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.unwrap(row)
}

func (r *Ring) unwrap(row blockstore.Domain) (*seal.Keys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if keys, ok := r.open[row.ID]; ok {
		return keys, nil
	}
	keys, err := seal.Unwrap(r.Sealer, row.WrappedKeys, row.ID)
	if err != nil {
		return nil, fmt.Errorf("keyring: keys of domain %s: %w", row.ID, err)
	}
	if r.open == nil {
		r.open = map[string]*seal.Keys{}
	}
	r.open[row.ID] = keys
	return keys, nil
}
