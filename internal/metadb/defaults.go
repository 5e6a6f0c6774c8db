package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/snapshot"
)

var _ snapshot.DefaultsStore = Snapshots{}

// Defaults implements snapshot.DefaultsStore.
func (s Snapshots) Defaults(ctx context.Context, account, region string) (d snapshot.Defaults, err error) {
	scan := func(s scanner) (d snapshot.Defaults, err error) {
		err = s.Scan(&d.Encrypt, &d.KMSKey)
		return d, err
	}
	err = s.db.view(ctx, "read defaults of account "+account, func(q querier) error {
		d, _, err = one(ctx, q, scan, `SELECT encrypt, kms_key FROM snapshot_defaults WHERE account = $1 AND region = $2`, account, region)
		return err
	})
	return d, err
}

// EnableEncryption implements snapshot.DefaultsStore.
func (s Snapshots) EnableEncryption(ctx context.Context, account, region string) error {
	return s.setEncrypt(ctx, account, region, true)
}

// DisableEncryption implements snapshot.DefaultsStore.
func (s Snapshots) DisableEncryption(ctx context.Context, account, region string) error {
	return s.setEncrypt(ctx, account, region, false)
}

func (s Snapshots) setEncrypt(ctx context.Context, account, region string, on bool) error {
	return s.db.update(ctx, "set a default of account "+account, func(q querier) error {
		_, err := exec(ctx, q, `
			INSERT INTO snapshot_defaults (account, region, encrypt, kms_key) VALUES ($1, $2, $3, '')
			ON CONFLICT (account, region) DO UPDATE SET encrypt = excluded.encrypt`, account, region, flag(on))
		return err
	})
}

// SetDefaultKey implements snapshot.DefaultsStore.
func (s Snapshots) SetDefaultKey(ctx context.Context, account, region, arn string) error {
	return s.db.update(ctx, "set the default key of account "+account, func(q querier) error {
		_, err := exec(ctx, q, `
			INSERT INTO snapshot_defaults (account, region, encrypt, kms_key) VALUES ($1, $2, 0, $3)
			ON CONFLICT (account, region) DO UPDATE SET kms_key = excluded.kms_key`, account, region, arn)
		return err
	})
}
