package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

var _ blockstore.DomainKeys = (*Ring)(nil)

// Renew implements blockstore.DomainKeys.
func (r *Ring) Renew(ctx context.Context, domain string, stale uint32) (blockstore.Domain, *frame.Keys, error) {
	row, err := r.reload(ctx, domain)
	if err == nil && row.Newest == stale {
		if err = room(row); err == nil {
			row, err = r.addKey(ctx, row, row.Retire)
		}
	}
	if err != nil {
		return row, nil, err
	}
	keys, err := r.unwrap(ctx, row)
	return row, keys, err
}

// spareKeys are how many of frame.MaxDataKeys are left to a rotation, which is what makes
// room when there are that many: the new key, and those that follow it before all is moved.
const spareKeys = 4

// room returns nil if a domain may have one more data key because its newest is used up.
func room(row blockstore.Domain) error {
	if !row.Retiring() && row.Newest-row.Oldest+1 >= frame.MaxDataKeys-spareKeys {
		return manyKeys(row, frame.ErrManyKeys)
	}
	return nil
}

// manyKeys says what to do about too many data keys.
func manyKeys(row blockstore.Domain, err error) error {
	return fmt.Errorf("%w: have those that are full moved to a new one: diskport rotate-key --domain %s", err, row.ID)
}

// KeysWith implements blockstore.DomainKeys.
func (r *Ring) KeysWith(ctx context.Context, domain string, number uint32) (*frame.Keys, error) {
	r.mu.Lock()
	keys, ok := r.open[domain]
	r.mu.Unlock()
	if ok && number >= keys.Oldest() && number <= keys.Newest() {
		return keys, nil
	}
	row, err := r.reload(ctx, domain)
	if err != nil {
		return nil, err
	}
	return r.unwrap(ctx, row)
}

// Unwrap implements blockstore.DomainKeys.
func (r *Ring) Unwrap(ctx context.Context, header blockstore.Domain) (*frame.Keys, error) {
	if err := r.usable(ctx, header); err != nil {
		return nil, err
	}
	keys, err := r.unwrapRow(ctx, header)
	if err != nil {
		return nil, fmt.Errorf("keyring: keys of domain %s in a pack: %w", header.ID, err)
	}
	return keys, nil
}

// Rotate makes a new data key for a domain, and says of all older ones that they are to go;
// if some are to go already, nothing changes. It returns the domain.
func (r *Ring) Rotate(ctx context.Context, domain string) (blockstore.Domain, error) {
	row, err := r.reload(ctx, domain)
	if err != nil || row.Retiring() {
		return row, err
	}
	return r.addKey(ctx, row, row.Newest+1)
}

// Merge enters into the row of a domain the data keys that a pack's header has besides, and
// makes a new one: how much those have encrypted is not known. It returns the domain, which is
// as it was if the header has none that follow its own.
func (r *Ring) Merge(ctx context.Context, header blockstore.Domain) (blockstore.Domain, error) {
	row, err := r.reload(ctx, header.ID)
	if err != nil {
		return row, err
	}
	later, err := r.Unwrap(ctx, header)
	if err != nil || later.Newest() <= row.Newest {
		return row, err
	}
	merged, err := r.replace(ctx, row, func(d *blockstore.Domain, keys *frame.Keys) (*frame.Keys, error) {
		all, err := keys.Extended(later)
		if err == nil {
			all, err = all.WithNewKey()
		}
		if err == nil {
			d.Newest = all.Newest()
		}
		return all, err
	})
	if errors.Is(err, frame.ErrOtherKeys) || errors.Is(err, frame.ErrManyKeys) {
		return row, nil // its frames are opened with the header (blockstore.Store.Open)
	}
	return merged, err
}

// Holdings returns all domains.
func (r *Ring) Holdings(ctx context.Context) ([]Holding, error) { return r.Domains.Domains(ctx) }

// Retiring returns the domains that have data keys that are to go.
func (r *Ring) Retiring(ctx context.Context) (ids []string, err error) {
	all, err := r.Domains.Domains(ctx)
	for _, h := range all {
		if h.Retiring() {
			ids = append(ids, h.ID)
		}
	}
	return ids, err
}

// Drop drops those data keys of a domain that are to go, unless a frame of some pack may
// still be under one of them. It returns the domain, which is Retiring if they are still
// there.
func (r *Ring) Drop(ctx context.Context, domain string) (blockstore.Domain, error) {
	row, err := r.reload(ctx, domain)
	if err != nil || !row.Retiring() {
		return row, err
	}
	return r.replace(ctx, row, func(d *blockstore.Domain, keys *frame.Keys) (*frame.Keys, error) {
		d.Oldest = d.Retire
		return keys.Without(d.Retire)
	})
}

// Rewrap wraps the keys of a domain anew, under the material that its KMS key has now. The
// headers of packs stay as they are.
func (r *Ring) Rewrap(ctx context.Context, domain string) (blockstore.Domain, error) {
	row, err := r.reload(ctx, domain)
	if err != nil {
		return row, err
	}
	return r.replace(ctx, row, func(_ *blockstore.Domain, keys *frame.Keys) (*frame.Keys, error) { return keys, nil })
}

// addKey makes a data key, unless somebody else has changed the row.
func (r *Ring) addKey(ctx context.Context, row blockstore.Domain, retire uint32) (blockstore.Domain, error) {
	stored, err := r.replace(ctx, row, func(d *blockstore.Domain, keys *frame.Keys) (*frame.Keys, error) {
		d.Newest, d.Retire = d.Newest+1, retire
		return keys.WithNewKey()
	})
	if errors.Is(err, frame.ErrManyKeys) {
		err = manyKeys(row, err)
	}
	return stored, err
}

// replace changes the keys of a row, and returns the row that is stored then: that of
// another call if that was first.
func (r *Ring) replace(ctx context.Context, row blockstore.Domain, change func(*blockstore.Domain, *frame.Keys) (*frame.Keys, error)) (blockstore.Domain, error) {
	keys, err := r.unwrap(ctx, row)
	if err != nil {
		return row, err
	}
	d := row
	if keys, err = change(&d, keys); err == nil {
		d.WrappedKeys, err = r.wrap(ctx, d, keys)
	}
	if err != nil {
		return row, fmt.Errorf("keyring: changing the keys of domain %s: %w", row.ID, err)
	}
	stored, err := r.Domains.ReplaceKeys(ctx, row, d)
	if err != nil {
		return row, err
	}
	r.remember(stored)
	return stored, nil
}

func (r *Ring) wrap(ctx context.Context, d blockstore.Domain, keys *frame.Keys) ([]byte, error) {
	if d.KMSKey == "" {
		return keys.Wrap(r.Wrapper, d.ID), nil
	}
	return r.envelope(ctx, d.KMSKey, d.ID, keys)
}

// reload reads a row anew, whose KMS key can be used.
func (r *Ring) reload(ctx context.Context, id string) (blockstore.Domain, error) {
	row, err := r.Domains.Domain(ctx, id)
	if err != nil {
		return row, err
	}
	r.remember(row)
	return row, r.usable(ctx, row)
}

// usable returns nil if the keys of a domain can be used now. It forgets those that can't.
func (r *Ring) usable(ctx context.Context, row blockstore.Domain) error {
	if row.KMSKey == "" {
		return nil
	}
	err := r.check(ctx, row.KMSKey)
	if err != nil {
		r.forget(row.ID)
	}
	return err
}
