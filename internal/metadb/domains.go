package metadb

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

var _ keyring.DomainStore = Catalog{}

const selectDomain = `SELECT id, account, kms_key, wrapped, oldest_key, newest_key, retire FROM domains`

func scanDomain(s scanner) (d blockstore.Domain, err error) {
	err = s.Scan(&d.ID, &d.Account, &d.KMSKey, &d.WrappedKeys, (*unsigned)(&d.Oldest), (*unsigned)(&d.Newest), (*unsigned)(&d.Retire))
	return d, err
}

// EnsureDomain implements blockstore.Catalog.
func (c Catalog) EnsureDomain(ctx context.Context, d blockstore.Domain) (stored blockstore.Domain, err error) {
	err = c.db.update(ctx, "ensure a domain of account "+d.Account, func(q querier) error {
		if _, err := exec(ctx, q, `
			INSERT INTO domains (id, account, kms_key, wrapped) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account, kms_key) DO NOTHING`, d.ID, d.Account, d.KMSKey, d.WrappedKeys); err != nil {
			return err
		}
		stored, _, err = one(ctx, q, scanDomain, selectDomain+` WHERE account = $1 AND kms_key = $2`, d.Account, d.KMSKey)
		return err
	})
	return stored, err
}

// Domain implements keyring.DomainStore.
func (c Catalog) Domain(ctx context.Context, id string) (d blockstore.Domain, err error) {
	err = c.db.ask(ctx, "read domain "+id, func(q querier) error {
		d, err = domain(ctx, q, id)
		return err
	})
	return d, err
}

func domain(ctx context.Context, q querier, id string) (blockstore.Domain, error) {
	d, ok, err := one(ctx, q, scanDomain, selectDomain+` WHERE id = $1`, id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", keyring.ErrNoDomain, id)
	}
	return d, err
}

// Domains implements keyring.DomainStore.
func (c Catalog) Domains(ctx context.Context) (list []keyring.Holding, err error) {
	scan := func(s scanner) (h keyring.Holding, err error) {
		err = s.Scan(&h.ID, &h.Account, &h.KMSKey, &h.WrappedKeys, &h.Oldest, &h.Newest, &h.Retire, &h.Encrypted, &h.Packs, &h.Outdated)
		return h, err
	}
	err = c.db.ask(ctx, "list domains", func(q querier) error {
		list, err = all(ctx, q, scan, `
			SELECT d.id, d.account, d.kms_key, d.wrapped, d.oldest_key, d.newest_key, d.retire, d.encrypted,
				COUNT(f.id), COALESCE(SUM(CASE WHEN f.oldest_key < d.retire AND d.retire <= d.newest_key THEN 1 ELSE 0 END), 0)
			FROM domains d LEFT JOIN files f ON f.domain = d.id AND f.kind = 'pack'
			GROUP BY d.id, d.account, d.kms_key, d.wrapped, d.oldest_key, d.newest_key, d.retire, d.encrypted
			ORDER BY d.id`)
		return err
	})
	return list, err
}

// ReplaceKeys implements keyring.DomainStore. A pack under a key that is dropped here has
// had its row from before the key stopped being the newest (encrypt), and what it holds
// leaves it only for another pack with a row.
func (c Catalog) ReplaceKeys(ctx context.Context, was, d blockstore.Domain) (stored blockstore.Domain, err error) {
	err = c.db.update(ctx, "replace the keys of domain "+d.ID, func(q querier) error {
		if _, err := exec(ctx, q, `
			UPDATE domains SET wrapped = $1, oldest_key = $2, newest_key = $3, retire = $4,
				encrypted = CASE WHEN newest_key = $3 THEN encrypted ELSE 0 END
			WHERE id = $5 AND oldest_key = $6 AND newest_key = $7 AND (oldest_key = $2 OR NOT EXISTS (
				SELECT 1 FROM files f WHERE f.domain = domains.id AND f.kind = 'pack' AND f.oldest_key < $2))`,
			d.WrappedKeys, d.Oldest, d.Newest, d.Retire, d.ID, was.Oldest, was.Newest); err != nil {
			return err
		}
		stored, err = domain(ctx, q, d.ID)
		return err
	})
	return stored, err
}

// encrypt counts what is to be encrypted in a domain, unless the data key is not to be
// used for it.
func encrypt(ctx context.Context, q querier, domain string, u blockstore.KeyUse) error {
	if u.Blocks == 0 {
		return nil
	}
	n, err := exec(ctx, q, `UPDATE domains SET encrypted = encrypted + $1 WHERE id = $2 AND newest_key = $3 AND encrypted <= $4`,
		u.Blocks, domain, u.Newest, u.Limit-u.Blocks)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: number %d of domain %s", blockstore.ErrStaleKey, u.Newest, domain)
	}
	return err
}
