package metadb

import (
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
)

func TestKMS(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		kmstest.TestStore(t, func(t *testing.T) kms.Store { return fresh(t).KMS() })
	})
}

// TestRotationsComeByAnUpgrade: keys that AWS manages come to be rotated, grants are
// found by who may retire them, and there is no way back once a key was rotated.
func TestRotationsComeByAnUpgrade(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		p, err := db.provider()
		if err != nil {
			t.Fatal(err)
		}
		made := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
		managed := kms.Key{Ref: kms.Ref{Account: "111111111111", Region: "us-east-1", ID: "a"}, Manager: kms.AWS, State: kms.Enabled, Created: made}
		own := managed
		own.ID, own.Manager = "b", kms.Customer
		for _, k := range []kms.Key{managed, own} {
			if err := db.KMS().CreateKey(ctx, k, kms.Alias{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.KMS().AddGrant(ctx, kms.Grant{Key: own.Ref, ID: "g", Retiring: "AROAr"}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(ctx, 43); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Up(ctx); err != nil {
			t.Fatal(err)
		}
		year := made.AddDate(0, 0, 365)
		if k, err := db.KMS().Key(ctx, managed.Ref); err != nil || k.RotationPeriod != 365 || !k.NextRotation.Equal(year) {
			t.Errorf("AWS's key is rotated every %d days, next %v, %v", k.RotationPeriod, k.NextRotation, err)
		}
		if due, err := db.KMS().Overdue(ctx, year, 9); err != nil || len(due) != 1 || due[0] != managed.Ref {
			t.Errorf("overdue %v, %v", due, err)
		}
		found, err := db.KMS().Retirable(ctx, kms.RetirableQuery{Account: own.Account, Region: own.Region, Retiring: "AROAr", Limit: 9})
		if err != nil || len(found) != 1 {
			t.Errorf("grants %v, %v", found, err)
		}
		if err := db.KMS().ChangeKey(ctx, own.Ref, func(k *kms.Key) error { k.Rotations = []kms.Rotation{{At: made}}; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(ctx, 43); err == nil {
			t.Error("the material of a rotated key was given up")
		}
	})
}
