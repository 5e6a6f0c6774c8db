package iam_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
)

// spaced returns a document with n bytes of white space, which quotas do not count,
// before its Statement element.
func spaced(document string, n int) string {
	return strings.Replace(document, `"Statement"`, strings.Repeat(" ", n/2)+strings.Repeat("\n", n/2)+`"Statement"`, 1)
}

// TestDocumentsAreStoredWithoutWhiteSpace: white space between tokens, which quotas
// do not count, takes no room in the store.
func TestDocumentsAreStoredWithoutWhiteSpace(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	makeUser(t, s, account, "ann")
	ann := iam.UserOwner(account, "ann")
	if err := s.PutInline(ctx, ann, iam.Policy{Name: "p", Document: spaced(reader, 100_000)}); err != nil {
		t.Fatal(err)
	}
	inline, err := s.GetInline(ctx, ann, "p")
	if err != nil || inline.Document != reader {
		t.Errorf("inline: %s, %v", inline.Document, err)
	}
	m, err := s.CreatePolicy(ctx, account, iam.PolicySpec{Name: "p", Document: spaced(reader, 100_000)})
	if err != nil || m.Versions[0].Document != reader {
		t.Errorf("managed: %+v, %v", m.Versions, err)
	}
	v, err := s.CreatePolicyVersion(ctx, account, s.ARNOfPolicy(m), iam.VersionSpec{Document: spaced(denier, 100_000)})
	if err != nil || v.Document != denier {
		t.Errorf("version: %+v, %v", v, err)
	}
	r, err := s.CreateRole(ctx, account, iam.RoleSpec{Name: "r", Trust: spaced(trust, 100_000)})
	if err != nil || r.Trust != trust {
		t.Errorf("role: %s, %v", r.Trust, err)
	}
	if err := s.UpdateAssumeRolePolicy(ctx, account, "r", spaced(trust, 1000)); err != nil {
		t.Error(err)
	}
	if r, err = s.GetRole(ctx, account, "r"); err != nil || r.Trust != trust {
		t.Errorf("role's new policy: %s, %v", r.Trust, err)
	}
}

// TestWhiteSpaceInsideStringsIsBounded: white space inside strings is part of a
// pattern and has to be kept, though quotas do not count it.
func TestWhiteSpaceInsideStringsIsBounded(t *testing.T) {
	s, _ := service(t)
	ctx := t.Context()
	makeUser(t, s, account, "ann")
	long := func(document string, n int) string {
		return strings.Replace(document, "images/", "images/"+strings.Repeat(" ", n), 1)
	}
	var limit *iam.LimitError
	for name, err := range map[string]error{
		"inline":  s.PutInline(ctx, iam.UserOwner(account, "ann"), iam.Policy{Name: "p", Document: long(reader, 4096)}),
		"managed": second(s.CreatePolicy, account, iam.PolicySpec{Name: "p", Document: long(reader, 13000)})(ctx),
		"trust":   second(s.CreateRole, account, iam.RoleSpec{Name: "r", Trust: strings.Replace(trust, "vmimport", strings.Repeat(" ", 4096), 1)})(ctx),
	} {
		if !errors.As(err, &limit) {
			t.Errorf("%s: got %v, want a LimitError", name, err)
		}
	}
	if err := s.PutInline(ctx, iam.UserOwner(account, "ann"), iam.Policy{Name: "p", Document: long(reader, 100)}); err != nil {
		t.Errorf("some white space: %v", err)
	}
}

// TestResourceAccount: the account in an ARN counts for that resource alone.
func TestResourceAccount(t *testing.T) {
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::*","Condition":{"Null":{"aws:ResourceAccount":"false"}}},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:iam:*","Condition":{"StringNotEquals":{"aws:ResourceAccount":"111111111111"}}}]}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	p := iam.Principal{Account: account, ARN: "arn:aws:iam::111111111111:user/ann", Kind: iam.User}.WithPolicies(d)
	if err := iam.Authorize(t.Context(), p, "iam:GetUser", nil, "arn:aws:iam::111111111111:user/ann", "arn:aws:s3:::b"); err != nil {
		t.Error(err)
	}
}

// TestAuthorizeIsBounded: policies made to take long are refused, whatever number
// of resources share the request. If the client has left, the request is not judged
// at all.
func TestAuthorizeIsBounded(t *testing.T) {
	patterns := make([]string, 200)
	for i := range patterns {
		patterns[i] = fmt.Sprintf(`"arn:aws:s3:::*a?*b?*%03d*"`, i)
	}
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::mine/x",`+strings.Join(patterns, ",")+`]}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	p := iam.Principal{Account: account, ARN: "arn:aws:iam::111111111111:user/ann", Kind: iam.User}.WithPolicies(d)
	one := "arn:aws:s3:::" + strings.Repeat("ab", 500)
	var many []string
	for range 1000 {
		many = append(many, "arn:aws:s3:::mine/x", one+"199")
	}
	if err := iam.Authorize(t.Context(), p, "s3:DeleteObject", nil, many[:4]...); err != nil {
		t.Fatalf("a few: %v", err)
	}
	var denied *iam.DeniedError
	costly := p.WithPolicies(d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d, d)
	if err := iam.Authorize(t.Context(), costly, "s3:DeleteObject", nil, many...); !errors.As(err, &denied) || !denied.Costly || !strings.Contains(err.Error(), "too long") {
		t.Errorf("many: %v", err)
	}
	v, err := iam.Decide(t.Context(), p, iam.Access{Action: "s3:GetObject", Resource: one + "199"})
	if err != nil || v.Own != policy.Allow {
		t.Errorf("decided %+v, %v", v, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := iam.Authorize(ctx, p, "s3:DeleteObject", nil, "arn:aws:s3:::mine/x"); !errors.Is(err, context.Canceled) || errors.As(err, new(*iam.DeniedError)) {
		t.Errorf("after the client left: %v", err)
	}
	if _, err := iam.Decide(ctx, p, iam.Access{Action: "s3:GetObject", Resource: one}); !errors.Is(err, context.Canceled) {
		t.Errorf("decided after the client left: %v", err)
	}
}
