package iamtest

import (
	"errors"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
)

// testGenerations: every change that Lookup may depend on makes another generation, at once;
// noting a key's use and what fails do not have to.
func testGenerations(t *testing.T, s iam.Store) {
	ctx := t.Context()
	generation := func() int64 {
		t.Helper()
		n, err := s.Generation(ctx)
		check(t, "generation", err)
		return n
	}
	last := generation()
	seen := map[int64]bool{last: true}
	r, u := iam.RoleOwner(account, "r"), iam.UserOwner(account, "u")
	toggle := func(id string) error {
		return s.ChangeKey(ctx, account, id, func(k *iam.AccessKey) error { k.Inactive = !k.Inactive; return nil })
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"set the root key", func() error { return s.SetRootKey(ctx, key("AKIAROOT", "")) }},
		{"replace the root key", func() error { return s.SetRootKey(ctx, key("AKIAROOT2", "")) }},
		{"set the same root key", func() error { return s.SetRootKey(ctx, key("AKIAROOT2", "")) }},
		{"create a user", func() error { return s.CreateUser(ctx, user("u"), plenty) }},
		{"add a key", func() error { return s.AddKey(ctx, key("AKIAU", "u"), plenty) }},
		{"deactivate a key", func() error { return toggle("AKIAU") }},
		{"activate a key", func() error { return toggle("AKIAU") }},
		{"change a user", func() error {
			return s.ChangeUser(ctx, account, "u", func(u *iam.UserInfo) error { u.Path = "/b/"; return nil })
		}},
		{"create a role", func() error { return s.CreateRole(ctx, role("r"), plenty) }},
		{"change a role", func() error {
			return s.ChangeRole(ctx, account, "r", func(r *iam.Role) error { r.Trust = "new"; return nil })
		}},
		{"put a policy", func() error { return s.PutInline(ctx, u, iam.Policy{Name: "p", Document: "1"}, fitting) }},
		{"put another in its place", func() error { return s.PutInline(ctx, u, iam.Policy{Name: "p", Document: "2"}, fitting) }},
		{"delete a policy", func() error { return s.DeleteInline(ctx, u, "p") }},
		{"create a managed policy", func() error { return s.CreatePolicy(ctx, managed("m"), plenty) }},
		{"attach it", func() error { return s.Attach(ctx, r, "arn:m", "m", plenty) }},
		{"change it", func() error {
			return s.ChangePolicy(ctx, account, "m", func(m *iam.Managed) error { m.Default++; return nil })
		}},
		{"detach it", func() error { return s.Detach(ctx, r, "arn:m") }},
		{"delete it", func() error { return s.DeletePolicy(ctx, account, "m") }},
		{"delete a key", func() error { return s.DeleteKey(ctx, account, "u", "AKIAU") }},
		{"delete a user", func() error { return s.DeleteUser(ctx, account, "u") }},
		{"delete a role", func() error { return s.DeleteRole(ctx, account, "r") }},
		{"remove an account", func() error { return s.RemoveAccount(ctx, account) }},
		{"add an account", func() error {
			k := key("AKIASTRANGER", "")
			k.Account = stranger
			return s.AddAccount(ctx, k)
		}},
	} {
		check(t, step.what, step.do())
		n := generation()
		if n == 0 || seen[n] {
			t.Errorf("%s: generation %d again", step.what, n)
		}
		if again := generation(); again != n {
			t.Errorf("%s: generation %d became %d by itself", step.what, n, again)
		}
		seen[n] = true
	}
}

// testUseIsNoChange: noting that a key was used, which a request may do, leaves everything
// that is kept of a generation as good as it was.
func testUseIsNoChange(t *testing.T, s iam.Store) {
	ctx := t.Context()
	check(t, "root key", s.SetRootKey(ctx, key("AKIAROOT", "")))
	before, err := s.Generation(ctx)
	check(t, "generation", err)
	check(t, "note its use", s.ChangeKey(ctx, account, "AKIAROOT", func(k *iam.AccessKey) error {
		k.Used = iam.KeyUse{Time: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Service: "ec2", Region: "us-east-1"}
		return nil
	}))
	boom := errors.New("boom")
	refused(t, "change that fails", s.ChangeKey(ctx, account, "AKIAROOT", func(k *iam.AccessKey) error { k.Inactive = true; return boom }), boom)
	if after, err := s.Generation(ctx); err != nil || after != before {
		t.Errorf("generation %d became %d, %v", before, after, err)
	}
}
