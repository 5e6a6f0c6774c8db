package iam

import (
	"testing"

	"github.com/diskport/diskport/internal/identity/policy"
)

func TestDecideTellsBothSides(t *testing.T) {
	parse := func(text string, kind policy.Kind) policy.Document {
		t.Helper()
		d, err := policy.Parse(text, kind)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const key = "arn:aws:kms:us-east-1:222222222222:key/k"
	attached := parse(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:Decrypt","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"AROAR"},"Action":"kms:Encrypt","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}}]}`, policy.Resource)
	allowed := parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"`+key+`"}}`, policy.Identity)
	role := Principal{Account: "111111111111", ARN: "arn:aws:sts::111111111111:assumed-role/r/s", ID: "AROAR:s", Kind: RoleSession, source: "arn:aws:iam::111111111111:role/r"}
	root := Principal{Account: "111111111111", ARN: "arn:aws:iam::111111111111:root", Kind: Root}
	for _, c := range []struct {
		name          string
		p             Principal
		action        string
		own, resource policy.Decision
	}{
		{"both", role.WithPolicies(allowed), "kms:Decrypt", policy.Allow, policy.AllowAccount},
		{"the resource's, by role", role, "kms:Encrypt", policy.NoMatch, policy.Allow},
		{"neither", role, "kms:DescribeKey", policy.NoMatch, policy.NoMatch},
		{"denied by a key that tells of the principal", role, "kms:Sign", policy.NoMatch, policy.Deny},
		{"root is named by its account", root, "kms:Decrypt", policy.Allow, policy.Allow},
		{"nobody", Principal{}, "kms:Decrypt", policy.NoMatch, policy.NoMatch},
	} {
		v, err := Decide(t.Context(), c.p, Access{Action: c.action, Resource: key, Policy: attached})
		if err != nil || v.Own != c.own || v.Resource != c.resource {
			t.Errorf("%s: got %+v, %v; want %v, %v", c.name, v, err, c.own, c.resource)
		}
	}
}

func TestSessionPoliciesBindResourcesToo(t *testing.T) {
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	free := Principal{Account: "1", ARN: "arn:aws:sts::1:assumed-role/r/s", Kind: RoleSession}
	bound := free
	bound.limited, bound.limits = true, []policy.Document{d}
	for _, c := range []struct {
		p      Principal
		action string
		want   PolicyType
	}{{free, "kms:Decrypt", ""}, {bound, "kms:Encrypt", ""}, {bound, "kms:Decrypt", SessionPolicy}} {
		v, err := Decide(t.Context(), c.p, Access{Action: c.action, Resource: "*"})
		if err != nil || v.Beyond != c.want {
			t.Errorf("%s, limited %v: got %v, %v, want %v", c.action, c.p.limited, v.Beyond, err, c.want)
		}
	}
}

func TestNamed(t *testing.T) {
	role := Principal{Account: "1", ARN: "arn:aws:sts::1:assumed-role/r/s", ID: "AROAR:s", Kind: RoleSession, source: "arn:aws:iam::1:role/r"}
	user := Principal{Account: "1", ARN: "arn:aws:iam::1:user/u", ID: "AIDAU", Kind: User}
	root := Principal{Account: "1", ARN: "arn:aws:iam::1:root", ID: "1", Kind: Root}
	for _, c := range []struct {
		p    Principal
		id   string
		want bool
	}{
		{role, "AROAR:s", true}, {role, "AROAR", true}, {role, "AROAR:t", false}, {role, "AROAQ", false}, {role, "", false},
		{role, role.ARN, false}, {role, role.source, false}, {role, "arn:aws:iam::1:root", false},
		{user, "AIDAU", true}, {user, user.ARN, false}, {root, root.ARN, true}, {root, "1", false},
	} {
		if got := c.p.Named(c.id); got != c.want {
			t.Errorf("%s: Named(%q) = %v, want %v", c.p.ARN, c.id, got, c.want)
		}
	}
	if (Principal{}).Named("") {
		t.Error("nobody is named by nothing")
	}
}
