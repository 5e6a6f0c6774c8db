package kms_test

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
)

// peopled is a bench whose principals come from a real IAM.
func peopled(t *testing.T) (*bench, *iam.Service) {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	check(t, "master key", err)
	who := iam.New(iam.Options{Store: &iamtest.Memory{}, Wrapper: master, Tokens: master})
	b := open(t)
	b.Service = kms.New(kms.Options{Store: &kmstest.Memory{}, Wrapper: master, Principals: who})
	return b, who
}

// newUser makes a user without permissions, and returns it as a caller.
func newUser(t *testing.T, s *iam.Service, name string) kms.Caller {
	t.Helper()
	_, err := s.CreateUser(t.Context(), account, iam.UserSpec{Name: name})
	check(t, "user "+name, err)
	k, _, err := s.CreateAccessKey(t.Context(), account, name)
	check(t, "key of "+name, err)
	p, _, err := s.Lookup(t.Context(), k.ID, "")
	check(t, "look-up of "+name, err)
	return kms.Caller{Region: region, Principal: p}
}

func dropUser(t *testing.T, s *iam.Service, name string) {
	t.Helper()
	keys, err := s.ListAccessKeys(t.Context(), account, name)
	check(t, "keys of "+name, err)
	for _, k := range keys {
		check(t, "delete a key of "+name, s.DeleteAccessKey(t.Context(), account, name, k.ID))
	}
	check(t, "delete "+name, s.DeleteUser(t.Context(), account, name))
}

// TestNamesAreNotInherited: what key policies and grants gave to a user is not
// given to another user who takes the name after a deletion or a rename. A renamed
// user keeps it.
func TestNamesAreNotInherited(t *testing.T) {
	b, s := peopled(t)
	ctx := t.Context()
	ann := newUser(t, s, "ann")
	const arn, toNew = "arn:aws:iam::111111111111:user/ann", "arn:aws:iam::111111111111:user/anna"
	text := `{"Version":"2012-10-17","Statement":[` + toRoot + "," + toAnn + `]}`
	named := b.key(t, kms.KeySpec{Policy: text})
	granted := b.key(t, kms.KeySpec{})
	g, err := b.CreateGrant(ctx, root(account), kms.Access{Key: granted}, kms.Grant{Grantee: arn, Retiring: arn, Operations: []string{"Decrypt"}})
	check(t, "grant", err)
	opens := func(who kms.Caller, allowed bool, what string) {
		t.Helper()
		for _, k := range []kms.Key{named, granted} {
			_, err := b.Open(ctx, who, kms.Ask{Action: "kms:Decrypt", Key: k.ID})
			if allowed {
				check(t, what, err)
			} else {
				refused(t, what, err, kms.ErrDenied)
			}
		}
		if _, err := b.Retirable(ctx, who, granted.Ref, g.ID); (err == nil) != allowed {
			t.Errorf("%s: retiring the grant: %v", what, err)
		}
	}
	told := func(name, what string) {
		t.Helper()
		shown, err := b.PolicyOf(ctx, named)
		check(t, what, err)
		if shown != strings.ReplaceAll(text, arn, name) {
			t.Errorf("%s: the policy is shown as %s", what, shown)
		}
		other, err := b.Shown(ctx, g)
		if check(t, what, err); other.Grantee != name || other.Retiring != name {
			t.Errorf("%s: the grant is shown as %+v", what, other)
		}
	}
	opens(ann, true, "the user that is named")
	told(arn, "the name that was given")

	check(t, "rename", s.UpdateUser(ctx, account, "ann", "anna", ""))
	second := newUser(t, s, "ann")
	opens(ann, true, "the user that was renamed")
	opens(second, false, "another who got the name")
	told(toNew, "the name of the user that was renamed")

	dropUser(t, s, "anna")
	newUser(t, s, "anna")
	third := newUser(t, s, "anna2")
	opens(third, false, "somebody else")
	told(ann.Principal.ID, "the id of who is gone")

	refused(t, "a policy with the id of who is gone", b.SetPolicy(ctx, root(account), named, kms.KeyPolicy{Document: strings.ReplaceAll(text, arn, ann.Principal.ID)}), kms.ErrMalformedPolicy)
	refused(t, "a policy with a name that nobody has", b.SetPolicy(ctx, root(account), named, kms.KeyPolicy{Document: strings.ReplaceAll(text, arn, arn+"x")}), kms.ErrMalformedPolicy)
	_, err = b.CreateGrant(ctx, root(account), kms.Access{Key: granted}, kms.Grant{Grantee: arn + "x", Operations: []string{"Decrypt"}})
	refused(t, "a grant to nobody", err, kms.ErrInvalidARN)
}

// TestSessionPoliciesBindKeyPoliciesAndGrants: a right that a session policy leaves
// out is not given back by a key policy that names the session's role, nor by a
// grant to it.
func TestSessionPoliciesBindKeyPoliciesAndGrants(t *testing.T) {
	b, s := peopled(t)
	ctx := t.Context()
	c := root(account)
	c.Principal = session(t, s, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`)
	const toRole = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/r"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`
	named := b.key(t, kms.KeySpec{Policy: `{"Version":"2012-10-17","Statement":[` + toRoot + "," + toRole + `]}`})
	granted := b.key(t, kms.KeySpec{})
	_, err := b.CreateGrant(ctx, root(account), kms.Access{Key: granted}, kms.Grant{
		Grantee: "arn:aws:iam::111111111111:role/r", Operations: []string{"Encrypt", "Decrypt"},
	})
	check(t, "grant", err)
	for _, k := range []kms.Key{named, granted} {
		_, err := b.Open(ctx, c, kms.Ask{Action: "kms:Encrypt", Key: k.ID})
		check(t, "what the session kept", err)
		_, err = b.Open(ctx, c, kms.Ask{Action: "kms:Decrypt", Key: k.ID})
		if refused(t, "what it gave up", err, kms.ErrDenied); err != nil && !strings.Contains(err.Error(), "no session policy allows") {
			t.Errorf("told as %v", err)
		}
	}
}

// session returns a session of role r, which has no policies, with a session
// policy.
func session(t *testing.T, s *iam.Service, document string) iam.Principal {
	t.Helper()
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}}`
	_, err := s.CreateRole(t.Context(), account, iam.RoleSpec{Name: "r", Trust: trust})
	check(t, "role", err)
	caller := user(t, account, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`).Principal
	got, err := s.AssumeRole(t.Context(), iam.RoleCall{Caller: caller, RoleARN: s.RoleARN(account, "r"), SessionName: "s1", Policy: document})
	check(t, "assume", err)
	p, _, err := s.Lookup(t.Context(), got.AccessKeyID, got.SessionToken)
	check(t, "look up", err)
	return p
}
