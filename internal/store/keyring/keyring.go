package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// DomainStore keeps the rows of dedupe domains.
type DomainStore interface {
	// EnsureDomain is that of blockstore.Catalog.
	EnsureDomain(ctx context.Context, d blockstore.Domain) (blockstore.Domain, error)
	// Domain returns a domain by its id. ErrNoDomain.
	Domain(ctx context.Context, id string) (blockstore.Domain, error)
	// Domains returns all domains, by their ids.
	Domains(ctx context.Context) ([]Holding, error)
	// ReplaceKeys stores the keys of d unless the row has other data keys than was has, or
	// d lacks one under which a frame of some pack may be. It returns the row that is
	// stored afterwards. The count of a new data key begins at 0.
	ReplaceKeys(ctx context.Context, was, d blockstore.Domain) (blockstore.Domain, error)
}

// Holding is a domain and what hangs on its data keys.
type Holding struct {
	blockstore.Domain
	Encrypted int64 // blocks under the newest data key, at most
	Packs     int64
	Outdated  int64 // of Packs: may have frames under data keys that are to go
}

// ErrNoDomain reports a domain that there is not.
var ErrNoDomain = errors.New("keyring: no such domain")

// Ring opens domains. It may be used concurrently; the exported fields are set
// before. It keeps the keys of domains in memory. Those of an encrypted domain it
// gives out only while the state of their KMS key allows, which it asks for at each
// use; those of an unencrypted one can't be disabled.
type Ring struct {
	Domains DomainStore
	Wrapper secret.Wrapper // of the keys of unencrypted domains
	KMS     KMS            // of the others; nil: there are none
	IDs     awsid.Source

	mu    sync.Mutex                   // guards what follows
	open  map[string]*frame.Keys       // those of rows
	rows  map[string]blockstore.Domain // by id, as they were when they were read last
	named map[owner]string             // ids by owner
}

// owner is what a domain belongs to; key is empty for unencrypted ones.
type owner struct{ account, key string }

// Plain returns the account's domain of unencrypted blocks, and makes it when there
// is none yet.
func (r *Ring) Plain(ctx context.Context, account string) (blockstore.Domain, *frame.Keys, error) {
	return r.ensure(ctx, owner{account, ""}, func(id string) ([]byte, error) {
		keys, err := frame.NewKeys(frame.None)
		if err != nil {
			return nil, err
		}
		return keys.Wrap(r.Wrapper, id), nil
	})
}

// Encrypted returns the account's domain of blocks under a KMS key, given by its
// ARN, and makes it when there is none yet. It fails with an *Error if the key is
// not usable now; permissions are checked by SnapshotKey.
func (r *Ring) Encrypted(ctx context.Context, account, keyARN string) (blockstore.Domain, *frame.Keys, error) {
	if err := r.check(ctx, keyARN); err != nil {
		return blockstore.Domain{}, nil, err
	}
	return r.ensure(ctx, owner{account, keyARN}, func(id string) ([]byte, error) { return r.wrapNew(ctx, keyARN, id) })
}

// ensure returns the domain of an owner; fresh makes the keys of a new one. When
// two calls make it at the same time, the store keeps one, and both return that.
func (r *Ring) ensure(ctx context.Context, o owner, fresh func(id string) ([]byte, error)) (blockstore.Domain, *frame.Keys, error) {
	row, ok := r.known(o)
	if !ok {
		id := r.IDs.Domain()
		wrapped, err := fresh(id)
		if err != nil {
			return row, nil, fmt.Errorf("keyring: making a domain of account %s: %w", o.account, err)
		}
		row, err = r.Domains.EnsureDomain(ctx, blockstore.Domain{ID: id, Account: o.account, KMSKey: o.key, WrappedKeys: wrapped})
		if err != nil {
			return row, nil, err
		}
		r.remember(row)
	}
	keys, err := r.unwrap(ctx, row)
	return row, keys, err
}

// Keys returns the keys of a domain, for reading its blocks. It fails with an
// *Error if the domain's KMS key is not usable now, so readers ask at each
// request and keep nothing.
func (r *Ring) Keys(ctx context.Context, id string) (*frame.Keys, error) {
	_, keys, err := r.Open(ctx, id)
	return keys, err
}

// Open is Keys with the domain, for writing to it.
func (r *Ring) Open(ctx context.Context, id string) (blockstore.Domain, *frame.Keys, error) {
	row, err := r.row(ctx, id)
	if err != nil {
		return row, nil, err
	}
	if err := r.usable(ctx, row); err != nil {
		return row, nil, err
	}
	keys, err := r.unwrap(ctx, row)
	return row, keys, err
}

func (r *Ring) row(ctx context.Context, id string) (blockstore.Domain, error) {
	r.mu.Lock()
	row, ok := r.rows[id]
	r.mu.Unlock()
	if ok {
		return row, nil
	}
	row, err := r.Domains.Domain(ctx, id)
	if err == nil {
		r.remember(row)
	}
	return row, err
}

func (r *Ring) known(o owner) (blockstore.Domain, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row, ok := r.rows[r.named[o]]
	return row, ok
}

func (r *Ring) remember(row blockstore.Domain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows == nil {
		r.rows, r.named, r.open = map[string]blockstore.Domain{}, map[owner]string{}, map[string]*frame.Keys{}
	}
	if have, ok := r.rows[row.ID]; ok && (have.Newest > row.Newest || have.Oldest > row.Oldest) {
		return // it was read before another call has changed it
	}
	if keys, ok := r.open[row.ID]; ok && !fits(row, keys) {
		delete(r.open, row.ID)
	}
	r.rows[row.ID] = row
	r.named[owner{row.Account, row.KMSKey}] = row.ID
}

// fits reports whether keys are those of a row.
func fits(row blockstore.Domain, keys *frame.Keys) bool {
	return row.Oldest == keys.Oldest() && row.Newest == keys.Newest()
}

// Forget has the row of a domain read anew the next time, whatever it says: it was put right.
func (r *Ring) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
	delete(r.rows, id)
}

func (r *Ring) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// check asks for the state of a KMS key.
func (r *Ring) check(ctx context.Context, keyARN string) error {
	if r.KMS == nil {
		return errNoKMS
	}
	k, err := r.KMS.State(ctx, keyARN)
	if err != nil {
		return err
	}
	return k.usable()
}

// unwrap returns the keys of a row. Two calls that open them at the same time return the
// same.
func (r *Ring) unwrap(ctx context.Context, row blockstore.Domain) (*frame.Keys, error) {
	r.mu.Lock()
	keys, ok := r.open[row.ID]
	r.mu.Unlock()
	if ok && fits(row, keys) {
		return keys, nil
	}
	keys, err := r.unwrapRow(ctx, row)
	if err == nil && !fits(row, keys) {
		err = fmt.Errorf("%w: the row says data keys %d to %d, they are %d to %d", secret.ErrWrapped, row.Oldest, row.Newest, keys.Oldest(), keys.Newest())
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: keys of domain %s: %w", row.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if won, ok := r.open[row.ID]; ok && fits(row, won) {
		return won, nil
	}
	if fits(r.rows[row.ID], keys) { // else another call has read a later row
		r.open[row.ID] = keys
	}
	return keys, nil
}

// unwrapRow opens the keys in a row, or in the header of a pack.
func (r *Ring) unwrapRow(ctx context.Context, row blockstore.Domain) (*frame.Keys, error) {
	if row.KMSKey == "" {
		return frame.Unwrap(r.Wrapper, row.WrappedKeys, row.ID)
	}
	return r.openEnvelope(ctx, row)
}
