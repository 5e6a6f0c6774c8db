package kms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/tag"
)

const (
	toRoot    = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"}`
	toAnn     = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/ann"},"Action":"kms:Decrypt","Resource":"*"}`
	toOthers  = `{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"kms:*","Resource":"*"}`
	notAnn    = `{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111111111111:user/ann"},"Action":"kms:Decrypt","Resource":"*"}`
	mayAll    = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}`
	mayNot    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"},{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}]}`
	withBound = `{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"b","kms:CallerAccount":"111111111111","aws:ResourceTag/team":"x","kms:RequestAlias":"alias/k"},"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/k"}}}`
)

func TestWhoMayUseAKey(t *testing.T) {
	for _, c := range []struct {
		name     string
		key      string // statements of the key policy
		account  string
		identity string
		allowed  bool
		why      string // part of the refusal's text
	}{
		{"account delegated, identity allows", toRoot, account, mayAll, true, ""},
		{"account delegated, identity silent", toRoot, account, "", false, "no identity-based policy allows the kms:Decrypt"},
		{"account delegated, identity denies", toRoot, account, mayNot, false, "explicit deny in an identity-based policy"},
		{"key names the user, identity silent", toAnn, account, "", true, ""},
		{"key names the user, identity denies", toAnn, account, mayNot, false, "explicit deny in an identity-based"},
		{"key denies the user", toRoot + "," + notAnn, account, mayAll, false, "explicit deny in a resource-based policy"},
		{"key silent, identity allows", toOthers, account, mayAll, false, "no resource-based policy allows the kms:Decrypt"},
		{"other account delegated, identity allows", toOthers, stranger, mayAll, true, ""},
		{"other account delegated, identity silent", toOthers, stranger, "", false, "no identity-based"},
		{"other account, key silent", toRoot, stranger, mayAll, false, "no resource-based"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			k := b.key(t, kms.KeySpec{Policy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[%s]}`, c.key), Bypass: true})
			got, err := b.Open(t.Context(), user(t, c.account, c.identity), kms.Ask{Action: "kms:Decrypt", Key: k.ARN()})
			if c.allowed {
				check(t, "open", err)
				if got.Key.ID != k.ID || got.Grant != nil {
					t.Errorf("opened %+v", got)
				}
				return
			}
			refused(t, "open", err, kms.ErrDenied)
			if err != nil && !strings.Contains(err.Error(), c.why) {
				t.Errorf("%q lacks %q", err, c.why)
			}
		})
	}
}

func TestConditionsOfKeyPolicies(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{Policy: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[%s,%s]}`, toRoot, withBound)})
	check(t, "tag", b.Tag(ctx, k.Ref, []tag.Tag{{Key: "team", Value: "x"}}))
	check(t, "alias", b.CreateAlias(ctx, root(account).NamedAlias("alias/k"), k))
	ann := user(t, account, "")
	bound := kms.EncryptionContext{"a": "b"}
	_, err := b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: "alias/k", Context: bound})
	check(t, "all keys as they should be", err)
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: k.ID, Context: bound})
	refused(t, "not by alias", err, kms.ErrDenied)
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: "alias/k"})
	refused(t, "without the context", err, kms.ErrDenied)
	check(t, "untag", b.Untag(ctx, k.Ref, []string{"team", "none"}))
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: "alias/k", Context: bound})
	refused(t, "without the tag", err, kms.ErrDenied)
}

func TestForeignKeysAreForUseOnly(t *testing.T) {
	b := open(t)
	k := b.key(t, kms.KeySpec{Policy: `{"Version":"2012-10-17","Statement":[` + toRoot + "," + toOthers + `]}`})
	_, err := b.Open(t.Context(), root(stranger), kms.Ask{Action: "kms:DisableKey", Key: k.ARN()})
	refused(t, "disable", err, kms.ErrDenied)
	_, err = b.Open(t.Context(), root(stranger), kms.Ask{Action: "kms:DescribeKey", Key: k.ARN()})
	check(t, "describe", err)
}

// TestRefusalsTellNothingOfOtherAccounts: for another account's key, for a key that
// it does not have, and for the key behind one of its aliases, the refusal has the
// same text.
func TestRefusalsTellNothingOfOtherAccounts(t *testing.T) {
	b, ctx := open(t), t.Context()
	silent := b.key(t, kms.KeySpec{})
	const notStranger = `{"Effect":"Deny","Principal":{"AWS":"222222222222"},"Action":"kms:*","Resource":"*"}`
	denied := b.key(t, kms.KeySpec{Policy: `{"Version":"2012-10-17","Statement":[` + toRoot + "," + notStranger + `]}`})
	check(t, "alias", b.CreateAlias(ctx, root(account).NamedAlias("alias/k"), silent))
	absent := kms.Ref{Account: account, Region: silent.Region, ID: strings.Repeat("0", 8) + silent.ID[8:]}
	alias := "arn:aws:kms:" + silent.Region + ":" + account + ":alias/"
	for _, action := range []string{"kms:Decrypt", "kms:DescribeKey", "kms:DisableKey"} {
		for name, who := range map[string]kms.Caller{"root": root(stranger), "a user with rights": user(t, stranger, mayAll), "one who is denied": user(t, stranger, mayNot)} {
			for what, pair := range map[string][2]string{
				"key":         {silent.ARN(), absent.ARN()},
				"denying key": {denied.ARN(), absent.ARN()},
				"alias":       {alias + "k", alias + "none"},
			} {
				if action == "kms:DisableKey" && what == "alias" {
					continue // the action takes no alias
				}
				var texts [2]string
				for i, key := range pair {
					_, err := b.Open(ctx, who, kms.Ask{Action: action, Key: key})
					refused(t, what, err, kms.ErrDenied)
					texts[i] = strings.ReplaceAll(fmt.Sprint(err), key, "it")
				}
				if texts[0] != texts[1] || strings.Contains(texts[0], silent.ID) {
					t.Errorf("%s, %s by %s: told\n%s\n%s", action, what, name, texts[0], texts[1])
				}
			}
		}
	}
}

func TestPolicyLockout(t *testing.T) {
	b, ctx := open(t), t.Context()
	only := `{"Version":"2012-10-17","Statement":[` + toAnn + `]}`
	_, err := b.CreateKey(ctx, root(account), kms.KeySpec{Policy: only})
	refused(t, "create", err, kms.ErrMalformedPolicy)
	k := b.key(t, kms.KeySpec{})
	refused(t, "set", b.SetPolicy(ctx, root(account), k, kms.KeyPolicy{Document: only}), kms.ErrMalformedPolicy)
	refused(t, "nonsense", b.SetPolicy(ctx, root(account), k, kms.KeyPolicy{Document: "{", Bypass: true}), kms.ErrMalformedPolicy)
	refused(t, "long", b.SetPolicy(ctx, root(account), k, kms.KeyPolicy{Document: only + strings.Repeat(" ", 32768), Bypass: true}), kms.ErrMalformedPolicy)
	check(t, "bypass", b.SetPolicy(ctx, root(account), k, kms.KeyPolicy{Document: only, Bypass: true}))
	_, err = b.Open(ctx, root(account), kms.Ask{Action: "kms:DescribeKey", Key: k.ID})
	refused(t, "root without a word in the key policy", err, kms.ErrDenied)
}

func TestGrantsLetIn(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	ann := user(t, account, "")
	bound := kms.EncryptionContext{"a": "b", "c": "d"}
	admin := kms.Access{Key: k}
	g, err := b.CreateGrant(ctx, root(account), admin, kms.Grant{
		Grantee: ann.Principal.ARN, Operations: []string{"Decrypt", "CreateGrant", "DescribeKey"}, Subset: kms.EncryptionContext{"a": "b"},
	})
	check(t, "create", err)
	ask := kms.Ask{Action: "kms:Decrypt", Key: k.ID, Context: bound}
	got, err := b.Open(ctx, ann, ask)
	if err != nil || got.Grant == nil || got.Grant.ID != g.ID {
		t.Errorf("opened %+v, %v", got, err)
	}
	_, err = b.Open(ctx, user(t, account, mayNot), ask)
	refused(t, "a deny beats a grant", err, kms.ErrDenied)
	ask.Context = kms.EncryptionContext{"c": "d"}
	_, err = b.Open(ctx, ann, ask)
	refused(t, "outside the constraint", err, kms.ErrDenied)
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Encrypt", Key: k.ID, Context: bound})
	refused(t, "another operation", err, kms.ErrDenied)
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:DescribeKey", Key: k.ID})
	check(t, "an operation without a context", err)

	by, err := b.Open(ctx, ann, kms.Ask{Action: "kms:CreateGrant", Key: k.ID})
	check(t, "open for a grant", err)
	bob := "arn:aws:iam::111111111111:user/bob"
	for name, wide := range map[string]kms.Grant{
		"operation": {Operations: []string{"Encrypt"}, Subset: kms.EncryptionContext{"a": "b"}},
		"context":   {Operations: []string{"Decrypt"}},
	} {
		wide.Grantee = bob
		_, err := b.CreateGrant(ctx, ann, by, wide)
		refused(t, "a wider "+name, err, kms.ErrDenied)
	}
	_, err = b.CreateGrant(ctx, ann, by, kms.Grant{Grantee: bob, Operations: []string{"Decrypt"}, Equals: bound})
	check(t, "a narrower one", err)
	check(t, "revoke", b.RevokeGrant(ctx, k.Ref, g.ID))
	_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: k.ID, Context: bound})
	refused(t, "after it", err, kms.ErrDenied)
}

// TestEmptyConstraintsAreConstraints: an empty value or an empty context is a
// constraint like any other, and a grant that is made by its grantee may not drop
// it.
func TestEmptyConstraintsAreConstraints(t *testing.T) {
	b, ctx := open(t), t.Context()
	ann, bob := user(t, account, ""), "arn:aws:iam::111111111111:user/bob"
	type constraint struct{ equals, subset kms.EncryptionContext }
	empty, value := kms.EncryptionContext{}, kms.EncryptionContext{"a": ""}
	for _, c := range []struct {
		name          string
		parent, child constraint
		within        bool
	}{
		{"subset with an empty value, none", constraint{subset: value}, constraint{}, false},
		{"subset with an empty value, empty", constraint{subset: value}, constraint{subset: empty}, false},
		{"subset with an empty value, another key", constraint{subset: value}, constraint{subset: kms.EncryptionContext{"b": ""}}, false},
		{"subset with an empty value, another's equals", constraint{subset: value}, constraint{equals: empty}, false},
		{"subset with an empty value, the same", constraint{subset: value}, constraint{subset: value}, true},
		{"subset with an empty value, equals", constraint{subset: value}, constraint{equals: value}, true},
		{"equals nothing, none", constraint{equals: empty}, constraint{}, false},
		{"equals nothing, subset of anything", constraint{equals: empty}, constraint{subset: empty}, false},
		{"equals nothing, the same", constraint{equals: empty}, constraint{equals: empty}, true},
		{"equals an empty value, none", constraint{equals: value}, constraint{}, false},
		{"equals an empty value, the same", constraint{equals: value}, constraint{equals: value}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := b.key(t, kms.KeySpec{})
			parent := kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt", "CreateGrant"}, Equals: c.parent.equals, Subset: c.parent.subset}
			_, err := b.CreateGrant(ctx, root(account), kms.Access{Key: k}, parent)
			check(t, "create", err)
			_, err = b.Open(ctx, ann, kms.Ask{Action: "kms:Decrypt", Key: k.ID, Context: kms.EncryptionContext{"b": "c"}})
			refused(t, "another context", err, kms.ErrDenied)
			by, err := b.Open(ctx, ann, kms.Ask{Action: "kms:CreateGrant", Key: k.ID})
			check(t, "open", err)
			_, err = b.CreateGrant(ctx, ann, by, kms.Grant{Grantee: bob, Operations: []string{"Decrypt"}, Equals: c.child.equals, Subset: c.child.subset})
			if c.within {
				check(t, "child", err)
			} else {
				refused(t, "child", err, kms.ErrDenied)
			}
		})
	}
	free := kms.Grant{Grantee: bob, Name: "n", Operations: []string{"Decrypt"}}
	bound := free
	bound.Equals = empty
	if free.Same(bound) || !bound.Same(bound) {
		t.Error("a grant without a constraint passes for one that asks for an empty context")
	}
}

// TestAmbiguousEncryptionContext: two keys that differ only by case are the same
// condition key.
func TestAmbiguousEncryptionContext(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	const statement = `{"Version":"2012-10-17","Statement":[%s{"Effect":"%s","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Owner":"ann"}}}]}`
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	for _, c := range []struct {
		context     kms.EncryptionContext
		allow, deny error
	}{
		{kms.EncryptionContext{"owner": "ann"}, nil, kms.ErrDenied},
		{kms.EncryptionContext{"owner": "bob"}, kms.ErrDenied, nil},
		{kms.EncryptionContext{"owner": "bob", "Owner": "ann"}, kms.ErrDenied, kms.ErrDenied},
		{kms.EncryptionContext{"owner": "ann", "OWNER": "bob"}, kms.ErrDenied, kms.ErrDenied},
	} {
		for document, want := range map[string]error{fmt.Sprintf(statement, "", "Allow"): c.allow, fmt.Sprintf(statement, all, "Deny"): c.deny} {
			_, err := b.Open(ctx, user(t, account, document), kms.Ask{Action: "kms:Encrypt", Key: k.ID, Context: c.context})
			refused(t, fmt.Sprint(c.context), err, want)
		}
	}
}

func TestWhoMayRetireAGrant(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	ann, bob := user(t, account, ""), user(t, account, "")
	bob.Principal.ARN = "arn:aws:iam::111111111111:user/bob"
	bob.Principal.ID = bob.Principal.ARN // see kmstest.Names
	for _, c := range []struct {
		name  string
		grant kms.Grant
		by    kms.Caller
		want  error
	}{
		{"retiring principal", kms.Grant{Grantee: bob.Principal.ARN, Retiring: ann.Principal.ARN, Operations: []string{"Decrypt"}}, ann, nil},
		{"grantee for that", kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt", "RetireGrant"}}, ann, nil},
		{"grantee", kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt"}}, ann, kms.ErrDenied},
		{"somebody", kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt", "RetireGrant"}}, bob, kms.ErrDenied},
		{"root", kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt"}}, root(account), nil},
		{"root of another account", kms.Grant{Grantee: ann.Principal.ARN, Operations: []string{"Decrypt"}}, root(stranger), kms.ErrDenied},
	} {
		g, err := b.CreateGrant(ctx, root(account), kms.Access{Key: k}, c.grant)
		check(t, c.name, err)
		_, err = b.Retirable(ctx, c.by, k.Ref, g.ID)
		refused(t, c.name, err, c.want)
	}
	_, err := b.Retirable(ctx, root(account), k.Ref, strings.Repeat("0", 64))
	refused(t, "none", err, kms.ErrNotFound)
	_, err = b.Retirable(ctx, root(account), k.Ref, "x")
	refused(t, "no id", err, kms.ErrInvalidGrantID)
}

func TestGrantsThatAreRefused(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	const ann = "arn:aws:iam::111111111111:user/ann"
	for _, c := range []struct {
		name  string
		grant kms.Grant
		want  error
	}{
		{"no operation", kms.Grant{Grantee: ann}, kms.ErrValidation},
		{"grantee", kms.Grant{Grantee: "ann", Operations: []string{"Decrypt"}}, kms.ErrInvalidARN},
		{"retiring", kms.Grant{Grantee: ann, Retiring: "x", Operations: []string{"Decrypt"}}, kms.ErrInvalidARN},
		{"operation", kms.Grant{Grantee: ann, Operations: []string{"Sign"}}, kms.ErrUnsupported},
		{"name", kms.Grant{Grantee: ann, Name: "a b", Operations: []string{"Decrypt"}}, kms.ErrValidation},
		{"two constraints", kms.Grant{Grantee: ann, Operations: []string{"Decrypt"}, Equals: kms.EncryptionContext{}, Subset: kms.EncryptionContext{}}, kms.ErrValidation},
	} {
		_, err := b.CreateGrant(ctx, root(account), kms.Access{Key: k}, c.grant)
		refused(t, c.name, err, c.want)
	}
	k.State = kms.Disabled
	_, err := b.CreateGrant(ctx, root(account), kms.Access{Key: k}, kms.Grant{Grantee: ann, Operations: []string{"Decrypt"}})
	refused(t, "disabled key", err, kms.ErrDisabled)
}

func TestMayCreate(t *testing.T) {
	b, ctx := open(t), t.Context()
	_, err := b.CreateKey(ctx, user(t, account, ""), kms.KeySpec{})
	refused(t, "no policy", err, kms.ErrDenied)
	only := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*","Condition":{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}}}`
	_, err = b.CreateKey(ctx, user(t, account, only), kms.KeySpec{})
	check(t, "symmetric", err)
	_, err = b.CreateKey(ctx, user(t, account, only), kms.KeySpec{Spec: "HMAC_256", Usage: "GENERATE_VERIFY_MAC"})
	refused(t, "HMAC", err, kms.ErrDenied)
	_, err = b.CreateKey(ctx, user(t, account, only), kms.KeySpec{Tags: []tag.Tag{{Key: "a"}}})
	refused(t, "with tags", err, kms.ErrDenied)
	if got := kms.Tags([]tag.Tag{{Key: "a", Value: "b"}}); fmt.Sprint(got) != "map[aws:requesttag/a:[b] aws:tagkeys:[a]]" {
		t.Errorf("condition keys %v", got)
	}
}
