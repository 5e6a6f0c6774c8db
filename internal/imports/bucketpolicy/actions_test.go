package bucketpolicy

import (
	"fmt"
	"strings"
	"testing"
)

func TestPoliciesThatS3DoesNotTake(t *testing.T) {
	const b, in = `"arn:aws:s3:::b"`, `"arn:aws:s3:::b/*"`
	of := func(action, resource string) string {
		return `{"Statement":{"Effect":"Allow","Principal":"*","Action":` + action + `,"Resource":` + resource + `}}`
	}
	when := func(key string) string {
		return strings.Replace(of(`"s3:*"`, in), `"Resource"`, `"Condition":{"StringLike":{"`+key+`":"x"}},"Resource"`, 1)
	}
	for name, c := range map[string]struct{ policy, want string }{
		"all":                    {of(`"s3:*"`, b), ""},
		"anything":               {of(`"*"`, in), ""},
		"an object's":            {of(`"s3:GetObject"`, in), ""},
		"in another case":        {of(`"S3:getobject"`, in), ""},
		"a pattern":              {of(`["s3:Get*","s3:List?ucket"]`, `[`+b+`,`+in+`]`), ""},
		"both on both":           {of(`["s3:ListBucket","s3:GetObject"]`, `[`+in+`,`+b+`]`), ""},
		"another service's":      {of(`"ec2:RunInstances"`, in), textAction},
		"unknown":                {of(`"s3:GetObjects"`, in), textAction},
		"one of two is unknown":  {of(`["s3:GetObject","s3:Foo"]`, in), textAction},
		"a pattern of none":      {of(`"s3:Gat*"`, in), textAction},
		"an object's on buckets": {of(`"s3:GetObject"`, b), textNoUse},
		"a bucket's on objects":  {of(`"s3:ListBucket"`, in), textNoUse},
		"one of two has no use":  {of(`["s3:ListBucket","s3:GetObject"]`, in), textNoUse},
		"an account's":           {of(`"s3:ListAllMyBuckets"`, b), textNoUse},
		"another bucket":         {of(`"s3:*"`, `"arn:aws:s3:::c"`), textResource},
		"not these":              {strings.Replace(of(`"s3:Foo"`, b), `"Action"`, `"NotAction"`, 1), textAction},
		"not some":               {strings.Replace(of(`"s3:GetObject"`, b), `"Action"`, `"NotAction"`, 1), ""},
		"not in":                 {strings.Replace(of(`"s3:GetObject"`, b), `"Resource"`, `"NotResource"`, 1), ""},
	} {
		if got := Complaint([]byte(c.policy), "arn:aws:s3:::b"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for key, want := range map[string]string{
		"aws:SecureTransport": "", "AWS:sourceip": "", "s3:x-amz-acl": "", "s3:ExistingObjectTag/a/b": "", "aws:PrincipalTag/team": "", "s3:prefix": "",
		"token.actions.githubusercontent.com:sub": "", "ec2:SourceInstanceARN": "",
		"s3:Prefixes": textCondition, "aws:Nonsense": textCondition, "foo:bar": textCondition, "SourceIp": textCondition, "s3:ExistingObjectTag": textCondition,
		"s3:ExistingObjectTag/": textCondition, "aws:": textCondition, "aws:SourceIp/x": textCondition,
	} {
		if got := Complaint([]byte(when(key)), "arn:aws:s3:::b"); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestActionsAreInOneList: an action that were in two would have two answers.
func TestActionsAreInOneList(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range strings.Fields(fmt.Sprint(objectActions, " ", bucketActions, " ", otherActions)) {
		if seen[a] {
			t.Errorf("%s is there twice", a)
		}
		seen[a] = true
	}
}
