package kms_test

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
)

// TestSessionPoliciesBindKeyPoliciesAndGrants: what a session gave up, neither a
// key policy that names its role nor a grant to it gives back.
func TestSessionPoliciesBindKeyPoliciesAndGrants(t *testing.T) {
	b, ctx := open(t), t.Context()
	const toRole = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/r"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`
	named := b.key(t, kms.KeySpec{Policy: `{"Version":"2012-10-17","Statement":[` + toRoot + "," + toRole + `]}`})
	granted := b.key(t, kms.KeySpec{})
	_, err := b.CreateGrant(ctx, root(account), kms.Access{Key: granted}, kms.Grant{
		Grantee: "arn:aws:iam::111111111111:role/r", Operations: []string{"Encrypt", "Decrypt"},
	})
	check(t, "grant", err)
	c := root(account)
	c.Principal = session(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`)
	for _, k := range []kms.Key{named, granted} {
		_, err := b.Open(ctx, c, kms.Ask{Action: "kms:Encrypt", Key: k.ID})
		check(t, "what the session kept", err)
		_, err = b.Open(ctx, c, kms.Ask{Action: "kms:Decrypt", Key: k.ID})
		if refused(t, "what it gave up", err, kms.ErrDenied); err != nil && !strings.Contains(err.Error(), "no session policy allows") {
			t.Errorf("told as %v", err)
		}
	}
}

// session is somebody in role r, which has no policies, with a session policy.
func session(t *testing.T, document string) iam.Principal {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	check(t, "master key", err)
	s := iam.New(iam.Options{Store: &iamtest.Memory{}, Wrapper: master, Tokens: master})
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}}`
	_, err = s.CreateRole(t.Context(), account, iam.RoleSpec{Name: "r", Trust: trust})
	check(t, "role", err)
	caller := user(t, account, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`).Principal
	got, err := s.AssumeRole(t.Context(), iam.RoleCall{Caller: caller, RoleARN: s.RoleARN(account, "r"), SessionName: "s1", Policy: document})
	check(t, "assume", err)
	p, _, err := s.Lookup(t.Context(), got.AccessKeyID, got.SessionToken)
	check(t, "look up", err)
	return p
}
