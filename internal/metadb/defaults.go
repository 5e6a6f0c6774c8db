package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/store/snapshot"
)

var _ snapshot.DefaultsStore = Snapshots{}

// Defaults implements snapshot.DefaultsStore.
func (s Snapshots) Defaults(ctx context.Context, home awsid.Home) (d snapshot.Defaults, err error) {
	scan := func(s scanner) (d snapshot.Defaults, err error) {
		err = s.Scan(&d.Encrypt, &d.KMSKey)
		return d, err
	}
	err = s.db.ask(ctx, "read defaults of account "+home.Account, func(q querier) error {
		d, _, err = one(ctx, q, scan, `SELECT encrypt, kms_key FROM snapshot_defaults WHERE account = $1 AND region = $2`, home.Account, home.Region)
		return err
	})
	return d, err
}

// EnableEncryption implements snapshot.DefaultsStore.
func (s Snapshots) EnableEncryption(ctx context.Context, home awsid.Home) error {
	return s.setEncrypt(ctx, home, true)
}

// DisableEncryption implements snapshot.DefaultsStore.
func (s Snapshots) DisableEncryption(ctx context.Context, home awsid.Home) error {
	return s.setEncrypt(ctx, home, false)
}

func (s Snapshots) setEncrypt(ctx context.Context, home awsid.Home, on bool) error {
	return s.db.set(ctx, "set a default of account "+home.Account, func(q querier) error {
		_, err := exec(ctx, q, `
			INSERT INTO snapshot_defaults (account, region, encrypt, kms_key) VALUES ($1, $2, $3, '')
			ON CONFLICT (account, region) DO UPDATE SET encrypt = excluded.encrypt`, home.Account, home.Region, flag(on))
		return err
	})
}

// SetDefaultKey implements snapshot.DefaultsStore.
func (s Snapshots) SetDefaultKey(ctx context.Context, home awsid.Home, arn string) error {
	return s.db.set(ctx, "set the default key of account "+home.Account, func(q querier) error {
		_, err := exec(ctx, q, `
			INSERT INTO snapshot_defaults (account, region, encrypt, kms_key) VALUES ($1, $2, 0, $3)
			ON CONFLICT (account, region) DO UPDATE SET kms_key = excluded.kms_key`, home.Account, home.Region, arn)
		return err
	})
}
