package metadb

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/identity/kms"
)

// KMS is the kms.Store of a DB.
type KMS struct{ db *DB }

var _ kms.Store = KMS{}

// KMS returns the store of keys, aliases and grants.
func (db *DB) KMS() KMS { return KMS{db} }

// CreateKey implements kms.KeyStore.
func (s KMS) CreateKey(ctx context.Context, k kms.Key, a kms.Alias) error {
	tags, rotations, err := keyText(k)
	if err != nil {
		return err
	}
	return s.db.update(ctx, "create key "+k.ID, func(q querier) error {
		if err := lockAccount(ctx, q, k.Account); err != nil {
			return err
		}
		if a.Name != "" {
			if err := addAlias(ctx, q, a); err != nil {
				return err
			}
		}
		_, err := exec(ctx, q, `
			INSERT INTO kms_keys (account, region, id, spec, key_usage, origin, manager, state, multi_region,
				description, policy, created, deletion, window_days, tags, wrapped, rotation_period, next_rotation, rotations)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
			k.Account, k.Region, k.ID, k.Spec, k.Usage, k.Origin, k.Manager, k.State, flag(k.MultiRegion),
			k.Description, k.Policy, micros(k.Created), micros(k.Deletion), k.Window, tags, k.Wrapped,
			k.RotationPeriod, micros(k.NextRotation), rotations)
		return err
	})
}

const selectKeys = `SELECT account, region, id, spec, key_usage, origin, manager, state, multi_region,
	description, policy, created, deletion, window_days, tags, wrapped, rotation_period, next_rotation, rotations FROM kms_keys WHERE account = $1 AND region = $2`

func scanKMSKey(s scanner) (k kms.Key, err error) {
	var created, deletion, next int64
	var tags, rotations string
	if err := s.Scan(&k.Account, &k.Region, &k.ID, &k.Spec, &k.Usage, &k.Origin, &k.Manager, &k.State, &k.MultiRegion,
		&k.Description, &k.Policy, &created, &deletion, &k.Window, &tags, &k.Wrapped,
		&k.RotationPeriod, &next, &rotations); err != nil {
		return k, err
	}
	k.Created, k.Deletion, k.NextRotation = fromMicros(created), fromMicros(deletion), fromMicros(next)
	return k, cmp.Or(keyTags.read(tags, &k.Tags), keyRotations.read(rotations, &k.Rotations))
}

// keyText returns the columns of a key that are JSON.
func keyText(k kms.Key) (tags, rotations string, err error) {
	tags, errTags := keyTags.text(k.Tags)
	rotations, errRotations := keyRotations.text(k.Rotations)
	return tags, rotations, cmp.Or(errTags, errRotations)
}

// Key implements kms.KeyStore.
func (s KMS) Key(ctx context.Context, r kms.Ref) (k kms.Key, err error) {
	err = s.db.ask(ctx, "get key "+r.ID, func(q querier) error {
		k, err = kmsKey(ctx, q, r)
		return err
	})
	return k, err
}

func kmsKey(ctx context.Context, q querier, r kms.Ref) (kms.Key, error) {
	k, ok, err := one(ctx, q, scanKMSKey, selectKeys+` AND id = $3`, r.Account, r.Region, r.ID)
	if err == nil && !ok {
		err = kms.NoKey(r)
	}
	return k, err
}

// Keys implements kms.KeyStore.
func (s KMS) Keys(ctx context.Context, account, region string) (list []kms.Key, err error) {
	err = s.db.ask(ctx, "get keys of account "+account, func(q querier) error {
		list, err = all(ctx, q, scanKMSKey, selectKeys, account, region)
		return err
	})
	slices.SortFunc(list, func(a, b kms.Key) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

// Owned implements kms.KeyStore.
func (s KMS) Owned(ctx context.Context, account string, now time.Time) (int, error) {
	return s.db.count(ctx, "count keys of account "+account,
		`SELECT COUNT(*) FROM kms_keys WHERE `+customersKey, account, kms.Customer, kms.PendingDeletion, micros(now))
}

// customersKey is the condition of a key that is its account's own: $1 is the
// account, $2 kms.Customer, $3 kms.PendingDeletion, $4 the time.
const customersKey = `account = $1 AND manager = $2 AND NOT (state = $3 AND deletion <= $4)`

// lockKey keeps other transactions from changing a key, its aliases or its grants.
func lockKey(ctx context.Context, q querier, r kms.Ref) error {
	n, err := exec(ctx, q, `UPDATE kms_keys SET id = id WHERE account = $1 AND region = $2 AND id = $3`, r.Account, r.Region, r.ID)
	if err == nil && n == 0 {
		err = kms.NoKey(r)
	}
	return err
}

// ChangeKey implements kms.KeyStore.
func (s KMS) ChangeKey(ctx context.Context, r kms.Ref, change func(*kms.Key) error) error {
	return s.db.update(ctx, "change key "+r.ID, func(q querier) error {
		if err := lockKey(ctx, q, r); err != nil {
			return err
		}
		k, err := kmsKey(ctx, q, r)
		if err != nil {
			return err
		}
		if err := change(&k); err != nil {
			return err
		}
		tags, rotations, err := keyText(k)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, `
			UPDATE kms_keys SET state = $1, description = $2, policy = $3, deletion = $4, window_days = $5, tags = $6, wrapped = $7,
				rotation_period = $8, next_rotation = $9, rotations = $10
			WHERE account = $11 AND region = $12 AND id = $13`,
			k.State, k.Description, k.Policy, micros(k.Deletion), k.Window, tags, k.Wrapped,
			k.RotationPeriod, micros(k.NextRotation), rotations, r.Account, r.Region, r.ID)
		return err
	})
}

// Overdue implements kms.RotationStore.
func (s KMS) Overdue(ctx context.Context, now time.Time, limit int) (list []kms.Ref, err error) {
	err = s.db.ask(ctx, "look for keys to rotate", func(q querier) error {
		list, err = all(ctx, q, scanKMSRef, `
			SELECT account, region, id FROM kms_keys WHERE next_rotation <> 0 AND next_rotation <= $1 AND state = $2
			ORDER BY next_rotation LIMIT $3`, micros(now), kms.Enabled, limit)
		return err
	})
	return list, err
}

// Purge implements kms.Purger.
func (s KMS) Purge(ctx context.Context, now time.Time) (n int, err error) {
	var due []kms.Ref
	err = s.db.ask(ctx, "look for keys to purge", func(q querier) error {
		due, err = all(ctx, q, scanKMSRef, `
			SELECT account, region, id FROM kms_keys WHERE state = $1 AND deletion <> 0 AND deletion <= $2`,
			kms.PendingDeletion, micros(now))
		return err
	})
	for _, r := range due {
		var gone bool
		if err == nil {
			gone, err = s.purge(ctx, r, now)
		}
		if err != nil {
			return n, err
		}
		if gone {
			n++
		}
	}
	return n, err
}

// purge deletes a key, after its grants, of which there may be many. gone is false if
// it is not due any more.
func (s KMS) purge(ctx context.Context, r kms.Ref, now time.Time) (gone bool, err error) {
	const some = 1024
	_, err = s.db.inSlices(ctx, "purge key "+r.ID, some, func(q querier) (int, error) {
		gone = false
		due, err := exec(ctx, q, `UPDATE kms_keys SET id = id WHERE `+dueKey, r.Account, r.Region, r.ID, kms.PendingDeletion, micros(now))
		if err != nil || due == 0 {
			return 0, err
		}
		grants, err := exec(ctx, q, `
			DELETE FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3 AND id IN (
				SELECT id FROM kms_grants WHERE account = $1 AND region = $2 AND key_id = $3 ORDER BY id LIMIT $4)`, r.Account, r.Region, r.ID, some)
		if err != nil || grants == some {
			return int(grants), err
		}
		gone = true
		return 0, purgeKey(ctx, q, r, now)
	})
	return gone && err == nil, err
}

// dueKey is the condition that a key is still past its date.
const dueKey = `account = $1 AND region = $2 AND id = $3 AND state = $4 AND deletion <= $5`

func scanKMSRef(s scanner) (r kms.Ref, err error) {
	err = s.Scan(&r.Account, &r.Region, &r.ID)
	return r, err
}

// purgeKey deletes a key that is past its date, with its aliases.
func purgeKey(ctx context.Context, q querier, r kms.Ref, now time.Time) error {
	if _, err := exec(ctx, q, `DELETE FROM kms_keys WHERE `+dueKey, r.Account, r.Region, r.ID, kms.PendingDeletion, micros(now)); err != nil {
		return err
	}
	_, err := exec(ctx, q, `DELETE FROM kms_aliases WHERE account = $1 AND region = $2 AND target = $3`, r.Account, r.Region, r.ID)
	return err
}
