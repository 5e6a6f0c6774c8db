package metadb

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/kms"
)

func TestIAM(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		iamtest.TestStore(t, func(t *testing.T) iam.Store { return fresh(t).IAM() })
	})
}

// TestIAMIsUpgraded migrates a database with the first schema of IAM to the present
// one.
func TestIAMIsUpgraded(t *testing.T) {
	imagetest.Volume(t)
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

// TestPrincipalsAreBoundByAnUpgrade: policies and grants that name users and roles come
// to hold their unique ids, and an id that no principal has in place of those that are
// gone.
func TestPrincipalsAreBoundByAnUpgrade(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) { upgradePrincipals(t, fresh(t)) })
}

func upgradePrincipals(t *testing.T, db *DB) {
	ctx := t.Context()
	p, err := db.provider()
	if err != nil {
		t.Fatal(err)
	}
	const account = "111111111111"
	document := func(names ...string) string {
		return `{"Statement": {"Principal": {"AWS":["` + strings.Join(names, `","`) + `"]}}}`
	}
	names := []string{
		"*", account, "arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:user/a/ann", "arn:aws:iam::111111111111:user/ann",
		"arn:aws:iam::111111111111:role/r", "arn:aws:sts::111111111111:assumed-role/r/s", "arn:aws:sts::111111111111:assumed-role/none/s",
	}
	ids := []string{"*", account, names[2], "AIDAANN", gonePrincipal, "AROAR", "AROAR:s", gonePrincipal}
	role := iam.Role{Account: account, Name: "r", Path: "/", ID: "AROAR", Trust: document(names...)}
	key := kms.Key{Ref: kms.Ref{Account: account, Region: "us-east-1", ID: "k"}, Policy: document(names...)}
	damaged := kms.Key{Ref: kms.Ref{Account: account, Region: "us-east-1", ID: "l"}, Policy: "{"}
	for _, err := range []error{
		db.IAM().CreateUser(ctx, iam.UserInfo{Account: account, Name: "ann", Path: "/a/", ID: "AIDAANN"}, 10),
		db.IAM().CreateRole(ctx, role, 10), db.KMS().CreateKey(ctx, key, kms.Alias{}), db.KMS().CreateKey(ctx, damaged, kms.Alias{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.KMS().AddGrant(ctx, kms.Grant{Key: key.Ref, ID: "g", Grantee: names[3], Retiring: names[4], Issuer: names[2]}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(ctx, 18); err != nil { // which leaves names as they are
		t.Fatal(err)
	}
	for _, way := range []struct {
		migrate       func() error
		policy        string
		grantee, left string
	}{
		{func() error { _, err := p.Up(ctx); return err }, document(ids...), "AIDAANN", gonePrincipal},
		{func() error { _, err := p.DownTo(ctx, 18); return err }, document(names[0], names[1], names[2], names[3], gonePrincipal, names[5], ids[6], gonePrincipal), names[3], gonePrincipal},
	} {
		if err := way.migrate(); err != nil {
			t.Fatal(err)
		}
		var trusts, policies []string
		var stored []kms.Grant
		if err := db.view(ctx, "look", func(q querier) error {
			var errs [3]error
			trusts, errs[0] = all(ctx, q, column[string], `SELECT trust FROM iam_roles`)
			policies, errs[1] = all(ctx, q, column[string], `SELECT policy FROM kms_keys ORDER BY id`)
			stored, errs[2] = all(ctx, q, scanGrant, `SELECT content FROM kms_grants`)
			return errors.Join(errs[:]...)
		}); err != nil {
			t.Fatal(err)
		}
		if len(trusts) != 1 || trusts[0] != way.policy {
			t.Errorf("roles %q, want %s", trusts, way.policy)
		}
		if len(policies) != 2 || policies[0] != way.policy || policies[1] != "{" {
			t.Errorf("keys %q, want %s", policies, way.policy)
		}
		if len(stored) != 1 || stored[0].Grantee != way.grantee || stored[0].Retiring != way.left || stored[0].Issuer != names[2] {
			t.Errorf("grants %+v", stored)
		}
	}
}
