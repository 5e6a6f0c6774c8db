package metadb

import (
	"cmp"
	"context"
	"slices"

	"github.com/diskport/diskport/internal/identity/kms"
)

func addAlias(ctx context.Context, q querier, a kms.Alias) error {
	n, err := exec(ctx, q, `
		INSERT INTO kms_aliases (account, region, name, target, created, updated) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, region, name) DO NOTHING`,
		a.Account, a.Region, a.Name, a.Target, micros(a.Created), micros(a.Updated))
	if err == nil && n == 0 {
		err = kms.AliasExists(a)
	}
	return err
}

// CreateAlias implements kms.AliasStore.
func (s KMS) CreateAlias(ctx context.Context, a kms.Alias, most int) error {
	return s.db.update(ctx, "create "+a.Name, func(q querier) error {
		if err := lockKey(ctx, q, a.Key()); err != nil {
			return err
		}
		if err := addAlias(ctx, q, a); err != nil {
			return err
		}
		return fewAliases(ctx, q, a, most)
	})
}

// fewAliases fails with kms.TooManyAliases if the target of an alias, which is locked, has more
// than most.
func fewAliases(ctx context.Context, q querier, a kms.Alias, most int) error {
	n, _, err := one(ctx, q, column[int], `SELECT COUNT(*) FROM kms_aliases WHERE account = $1 AND region = $2 AND target = $3`, a.Account, a.Region, a.Target)
	if err == nil && n > most {
		err = kms.TooManyAliases(most)
	}
	return err
}

// MoveAlias implements kms.AliasStore.
func (s KMS) MoveAlias(ctx context.Context, a kms.Alias, most int) error {
	return s.db.update(ctx, "move "+a.Name, func(q querier) error {
		if err := lockKey(ctx, q, a.Key()); err != nil {
			return err
		}
		n, err := exec(ctx, q, `
			UPDATE kms_aliases SET target = $1, updated = $2 WHERE account = $3 AND region = $4 AND name = $5`,
			a.Target, micros(a.Updated), a.Account, a.Region, a.Name)
		if err == nil && n == 0 {
			err = kms.NoAlias(a)
		}
		if err != nil {
			return err
		}
		return fewAliases(ctx, q, a, most)
	})
}

// DeleteAlias implements kms.AliasStore.
func (s KMS) DeleteAlias(ctx context.Context, a kms.Alias) error {
	return s.db.set(ctx, "delete "+a.Name, func(q querier) error {
		n, err := exec(ctx, q, `DELETE FROM kms_aliases WHERE account = $1 AND region = $2 AND name = $3`, a.Account, a.Region, a.Name)
		if err == nil && n == 0 {
			err = kms.NoAlias(a)
		}
		return err
	})
}

// Aliases implements kms.AliasStore.
func (s KMS) Aliases(ctx context.Context, account, region string, names ...string) (list []kms.Alias, err error) {
	const some = `SELECT account, region, name, target, created, updated FROM kms_aliases WHERE account = $1 AND region = $2`
	err = s.db.view(ctx, "get aliases of account "+account, func(q querier) error {
		if len(names) == 0 {
			list, err = all(ctx, q, scanAlias, some, account, region)
		} else {
			list, err = allIn(ctx, q, scanAlias, args(names), some+` AND name IN (?)`, account, region)
		}
		return err
	})
	slices.SortFunc(list, func(a, b kms.Alias) int { return cmp.Compare(a.Name, b.Name) })
	return list, err
}

func scanAlias(s scanner) (a kms.Alias, err error) {
	var created, updated int64
	err = s.Scan(&a.Account, &a.Region, &a.Name, &a.Target, &created, &updated)
	a.Created, a.Updated = fromMicros(created), fromMicros(updated)
	return a, err
}

// AddGrant implements kms.GrantStore.
func (s KMS) AddGrant(ctx context.Context, g kms.Grant) (stored kms.Grant, err error) {
	content, err := grantContent.text(g)
	if err != nil {
		return stored, err
	}
	err = s.db.update(ctx, "add a grant to key "+g.Key.ID, func(q querier) error {
		if err := lockKey(ctx, q, g.Key); err != nil {
			return err
		}
		present, err := grants(ctx, q, g.Key)
		if err != nil {
			return err
		}
		for _, stored = range present {
			if g.Name != "" && stored.Same(g) {
				return nil
			}
		}
		stored = g
		_, err = exec(ctx, q, `INSERT INTO kms_grants (account, region, key_id, id, content, retiring) VALUES ($1, $2, $3, $4, $5, $6)`,
			g.Key.Account, g.Key.Region, g.Key.ID, g.ID, content, g.Retiring)
		return err
	})
	return stored, err
}

// Grants implements kms.GrantStore.
func (s KMS) Grants(ctx context.Context, r kms.Ref) (list []kms.Grant, err error) {
	err = s.db.ask(ctx, "get grants of key "+r.ID, func(q querier) error {
		list, err = grants(ctx, q, r)
		return err
	})
	slices.SortFunc(list, func(a, b kms.Grant) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

// Retirable implements kms.GrantStore.
func (s KMS) Retirable(ctx context.Context, r kms.RetirableQuery) (list []kms.Grant, err error) {
	err = s.db.ask(ctx, "get grants that "+r.Retiring+" may retire", func(q querier) error {
		list, err = all(ctx, q, scanGrant, `
			SELECT content FROM kms_grants WHERE account = $1 AND region = $2 AND retiring = $3 AND retiring <> '' AND id > $4 ORDER BY id LIMIT $5`,
			r.Account, r.Region, r.Retiring, r.After, r.Limit)
		return err
	})
	return list, err
}

func scanGrant(s scanner) (g kms.Grant, err error) {
	var content string
	if err := s.Scan(&content); err != nil {
		return g, err
	}
	return g, grantContent.read(content, &g)
}

func grants(ctx context.Context, q querier, r kms.Ref) ([]kms.Grant, error) {
	return all(ctx, q, scanGrant, `SELECT content FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3`, r.Account, r.Region, r.ID)
}

// DeleteGrant implements kms.GrantStore.
func (s KMS) DeleteGrant(ctx context.Context, r kms.Ref, id string) error {
	return s.db.set(ctx, "delete a grant of key "+r.ID, func(q querier) error {
		n, err := exec(ctx, q, `DELETE FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3 AND id = $4`, r.Account, r.Region, r.ID, id)
		if err == nil && n == 0 {
			err = kms.NoGrant(id)
		}
		return err
	})
}
