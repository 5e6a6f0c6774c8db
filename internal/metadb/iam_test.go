package metadb

import (
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
)

func TestIAM(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		iamtest.TestStore(t, func(t *testing.T) iam.Store { return fresh(t).IAM() })
	})
}

// TestIAMIsUpgraded migrates a database with the first schema of IAM to the present
// one.
func TestIAMIsUpgraded(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) { upgradeIAM(t, fresh(t)) })
}

func upgradeIAM(t *testing.T, db *DB) {
	ctx := t.Context()
	p, err := db.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	must(t, db, func(q querier) error {
		for _, stmt := range []string{
			`INSERT INTO iam_keys (id, account, user_name, sealed, created) VALUES ('AKIA1', 'a', '', 'x', 1)`,
			`INSERT INTO iam_roles (account, name_key, name, path, id, trust, description, max_session, created, tags)
			 VALUES ('a', 'vmimport', 'VMImport', '/', 'AROA1', '{}', '', 1, 1, '[]')`,
			`INSERT INTO iam_inline_policies (account, owner, name, document) VALUES ('a', 'role/vmimport', 'p', '{}')`,
		} {
			if _, err := exec(ctx, q, stmt); err != nil {
				return err
			}
		}
		return nil
	})
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	policies, err := db.IAM().Policies(ctx, iam.RoleOwner("a", "VMImport"))
	if err != nil || len(policies.Inline) != 1 || policies.Inline[0].Name != "p" {
		t.Errorf("policies %+v, %v", policies, err)
	}
	k, err := db.IAM().AccessKey(ctx, "AKIA1")
	if err != nil || k.Inactive || k.User != "" {
		t.Errorf("key %+v, %v", k, err)
	}
}
