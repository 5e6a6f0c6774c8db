package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	statement := func(from, to string) string {
		return document(strings.Replace(allow("s3:GetObject", "*"), from, to, 1))
	}
	trust := func(from, to string) string { return document(strings.Replace(vmie, from, to, 1)) }
	condition := func(text string) string { return document(allowIf(text)) }
	for _, c := range []struct {
		name, text string
		kind       Kind
	}{
		{"nothing", "", Identity},
		{"no JSON", "{", Identity},
		{"an array", "[]", Identity},
		{"more after it", document(allow("*", "*")) + "{}", Identity},
		{"no statement", `{"Version":"2012-10-17"}`, Identity},
		{"empty statement list", `{"Statement":[]}`, Identity},
		{"statement is a string", `{"Statement":["x"]}`, Identity},
		{"wrong version", `{"Version":"2012-10-18","Statement":{` + allow("*", "*") + `}}`, Identity},
		{"unknown element", `{"Versions":"2012-10-17","Statement":{` + allow("*", "*") + `}}`, Identity},
		{"Id is no string", `{"Id":1,"Statement":{` + allow("*", "*") + `}}`, Identity},
		{"element in another case", `{"statement":{` + allow("*", "*") + `}}`, Identity},
		{"doubled element", statement(`"Effect":"Allow"`, `"Effect":"Deny","Effect":"Allow"`), Identity},
		{"doubled condition key", condition(`{"StringEquals":{"a:b":"x","a:b":"y"}}`), Identity},
		{"unknown statement element", statement("Action", "Actions"), Identity},
		{"no effect", statement(`"Effect":"Allow",`, ""), Identity},
		{"wrong effect", statement("Allow", "allow"), Identity},
		{"no action", statement(`"Action":"s3:GetObject",`, ""), Identity},
		{"both actions", statement(`"Action"`, `"NotAction":"*","Action"`), Identity},
		{"action without a service", statement("s3:GetObject", "GetObject"), Identity},
		{"action with a space", statement("s3:GetObject", "s3:Get Object"), Identity},
		{"action is a number", statement(`"s3:GetObject"`, `1`), Identity},
		{"empty action list", statement(`"s3:GetObject"`, `[]`), Identity},
		{"no resource", statement(`,"Resource":"*"`, ""), Identity},
		{"both resources", statement(`"Resource"`, `"NotResource":"*","Resource"`), Identity},
		{"resource is no ARN", statement(`"*"`, `"bucket/*"`), Identity},
		{"resource ARN is short", statement(`"*"`, `"arn:aws:s3:bucket"`), Identity},
		{"variable not closed", statement(`"*"`, `"arn:aws:s3:::${aws:username"`), Identity},
		{"Sid with a space", statement(`"Effect"`, `"Sid":"a b","Effect"`), Identity},
		{"Sid twice", document(`{"Sid":"a",` + allow("*", "*") + `},{"Sid":"a",` + allow("*", "*") + `}`), Identity},
		{"principal in an identity policy", statement(`"Effect"`, `"Principal":"*","Effect"`), Identity},
		{"condition is no object", condition(`[]`), Identity},
		{"unknown operator", condition(`{"StringEqual":{"a:b":"x"}}`), Identity},
		{"unknown relation", condition(`{"NumericAbove":{"a:b":"1"}}`), Identity},
		{"unknown quantifier", condition(`{"ForSome:StringEquals":{"a:b":"x"}}`), Identity},
		{"NullIfExists", condition(`{"NullIfExists":{"a:b":"true"}}`), Identity},
		{"operator is no object", condition(`{"StringEquals":"x"}`), Identity},
		{"key without a name", condition(`{"StringEquals":{"":"x"}}`), Identity},
		{"condition value is an object", condition(`{"StringEquals":{"a:b":{}}}`), Identity},
		{"condition value is null", condition(`{"StringEquals":{"a:b":null}}`), Identity},
		{"no condition values", condition(`{"StringEquals":{"a:b":[]}}`), Identity},
		{"variable not closed in a condition", condition(`{"StringEquals":{"a:b":"${x"}}`), Identity},
		{"bool that is none", condition(`{"Bool":{"a:b":"yes"}}`), Identity},
		{"number that is none", condition(`{"NumericEquals":{"a:b":"ten"}}`), Identity},
		{"infinite number", condition(`{"NumericEquals":{"a:b":"Inf"}}`), Identity},
		{"date that is none", condition(`{"DateEquals":{"a:b":"today"}}`), Identity},
		{"address that is none", condition(`{"IpAddress":{"a:b":"10.0.0.0/33"}}`), Identity},
		{"binary that is none", condition(`{"BinaryEquals":{"a:b":"?"}}`), Identity},
		{"deep", strings.Repeat("[", 50) + strings.Repeat("]", 50), Identity},
		{"long", document(allow("*", "*")) + strings.Repeat(" ", maxSize), Identity},
		{"trust with a resource", trust(`"Effect"`, `"Resource":"*","Effect"`), Trust},
		{"trust without principal", trust(`"Principal":{"Service":"vmie.amazonaws.com"},`, ""), Trust},
		{"trust with both principals", trust(`"Principal"`, `"NotPrincipal":"*","Principal"`), Trust},
		{"trust of another service's action", trust("sts:AssumeRole", "s3:GetObject"), Trust},
		{"trust of every action", trust("sts:AssumeRole", "*"), Trust},
		{"service with a star", trust("vmie.amazonaws.com", "*"), Trust},
		{"principal of an unknown kind", trust(`"Service"`, `"Services"`), Trust},
		{"principal with a star", trust(`{"Service":"vmie.amazonaws.com"}`, `{"AWS":"arn:aws:iam::123456789012:role/*"}`), Trust},
		{"principal without account", trust(`{"Service":"vmie.amazonaws.com"}`, `{"AWS":"arn:aws:iam:::root"}`), Trust},
		{"principal is a name", trust(`{"Service":"vmie.amazonaws.com"}`, `"ann"`), Trust},
		{"no principals", trust(`{"Service":"vmie.amazonaws.com"}`, `{}`), Trust},
		{"empty list of principals", trust(`"vmie.amazonaws.com"`, `[]`), Trust},
		{"resource policy without resource", trust("", ""), Resource},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.text, c.kind)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Reason == "" {
				t.Errorf("%s\ngot %v, want a SyntaxError", c.text, err)
			}
		})
	}
}

// TestParseAccepts parses documents from the VM Import user guide, and such as its
// readers write.
func TestParseAccepts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		kind       Kind
	}{
		{"guide: trust", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}}]}`, Trust},
		{"guide: role", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::amzn-s3-demo-bucket","arn:aws:s3:::amzn-s3-demo-bucket/*"]},{"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"}]}`, Identity},
		{"single statement", `{"Statement":{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}}`, Identity},
		{"several Sids, two empty", `{"Statement":[{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}]}`, Identity},
		{"condition key without a service", document(allowIf(`{"StringEquals":{"b":"x"}}`)), Identity},
		{"resource policy", `{"Id":"k","Version":"2012-10-17","Statement":{"Sid":"Enable IAM policies","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*","Resource":"*"}}`, Resource},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse(c.text, c.kind); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range identityCases {
		f.Add(document(c.statement), uint8(Identity), c.action, c.resource)
	}
	for _, c := range conditionCases {
		f.Add(document(allowIf(c.condition)), uint8(Identity), "ec2:X", "*")
	}
	f.Add(document(vmie), uint8(Trust), "sts:AssumeRole", "x")
	f.Fuzz(func(t *testing.T, text string, kind uint8, action, resource string) {
		d, err := Parse(text, Kind(kind%4))
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("untyped error %v", err)
		}
		r := Request{Action: action, Resource: resource, Context: contextOf("k:a=x|y;aws:username=*")}
		if got := d.Evaluate(NewWork(t.Context()), r); err != nil && got != NoMatch || got == Allow && !strings.Contains(text, "Allow") && !strings.Contains(text, `\u`) {
			t.Errorf("%q: decision %d", text, got)
		}
	})
}
