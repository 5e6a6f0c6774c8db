package policy

import (
	"errors"
	"strings"
	"testing"
)

// TestTextsOfRefusals compares what clients are told with what IAM says.
func TestTextsOfRefusals(t *testing.T) {
	with := func(element string) string {
		return document(allow("s3:ListBucket", "arn:aws:s3:::b") + "," + element)
	}
	on := func(resource string) string { return document(allow("s3:ListBucket", resource)) }
	of := func(action string) string { return document(allow(action, "*")) }
	trust := func(from, to string) string { return document(strings.Replace(vmie, from, to, 1)) }
	old := `{"Version":"2008-10-17","Statement":{` + allow("s3:ListBucket", "*") + `}}`
	bare := `{"Statement":{` + allow("s3:ListBucket", "*") + `}}`
	for _, c := range []struct {
		name, text string
		kind       Kind
		want       string
	}{
		{"no JSON", "x", Identity, textSyntax},
		{"no statement", `{"Version":"2012-10-17"}`, Identity, textSyntax},
		{"no statements", `{"Version":"2012-10-17","Statement":[]}`, Identity, textSyntax},
		{"unknown version", strings.Replace(old, "2008", "2013", 1), Identity, textSyntax},
		{"unknown element", with(`"Extra":"x"`), Identity, textSyntax},
		{"unknown operator", with(`"Condition":{"x":{"a":"1"}}`), Identity, textSyntax},
		{"older version", old, Identity, textVersion},
		{"no version", bare, Identity, textVersion},
		{"no version and more", `{"Statement":{"Effect":"denY","Action":"x"}}`, Identity, textVersion},
		{"effect in another case", document(`"Effect":"denY","Action":"s3:ListBucket","Resource":"*"`), Identity, textLegacy},
		{"date", with(`"Condition":{"DateGreaterThan":{"a":"sdfdsf"}}`), Identity, textLegacy},
		{"five fields", on("arn:aws:s3::b"), Identity, textLegacy},
		{"no service", on("arn:aws::::b"), Identity, textLegacy},
		{"Sids", document(`{"Sid":"a",` + allow("s3:Get*", "*") + `},{"Sid":"a",` + allow("s3:Get*", "*") + `}`), Identity, textSids},
		{"no actions", document(`"Effect":"Allow","Resource":"*"`), Identity, textActions},
		{"empty actions", document(`"Effect":"Allow","Action":[],"Resource":"*"`), Identity, textActions},
		{"no ARN", on("invalid resource"), Identity, `Resource invalid resource must be in ARN format or "*".`},
		{"empty resource", on(""), Identity, `Resource  must be in ARN format or "*".`},
		{"partition", on("arn:error:s3:::b"), Identity, `Partition "error" is not valid for resource "arn:error:s3:::b".`},
		{"prefix forgotten", on("aws:s3:::b"), Identity, `Partition "s3" is not valid for resource "arn:s3:::b:*".`},
		{"ARN of nothing", on("arn:aws"), Identity, textARNVendor},
		{"any service", on("arn:aws:*:us-east-1:*:*"), Identity, textARNVendor},
		{"services by a star", on("arn:aws:s3*"), Identity, textARNVendor},
		{"region of IAM", on("arn:aws:iam:us-east-1::user/x"), Identity, "IAM resource arn:aws:iam:us-east-1::user/x cannot contain region information."},
		{"region of S3", on("arn:aws:s3:us-east-1::b"), Identity, "Resource arn:aws:s3:us-east-1::b can not contain region information."},
		{"path of IAM", on("arn:aws:iam:::b"), Identity, textIAMResource},
		{"action without a service", of("invalid"), Identity, textVendor},
		{"action with colons", of("s3:List:Bucket"), Identity, textColons},
		{"service with a space", of("a a:ListBucket"), Identity, "Vendor a a is not valid"},
		{"no resources", document(`"Effect":"Allow","Action":"invalid","Resource":[]`), Identity, textVendor},
		{"no resource", document(`"Effect":"Allow","Action":"s3:ListBucket"`), Identity, textResources},
		{"a principal", with(`"Principal":"*"`), Identity, textPrincipal},
		{"session: a principal", with(`"Principal":"*"`), Session, textPrincipal},

		{"trust: no JSON", "{", Trust, textJSON},
		{"trust: no statements", `{"Version":"2012-10-17","Statement":[]}`, Trust, textNoStatement},
		{"trust: no principal", trust(`"Principal":{"Service":"vmie.amazonaws.com"},`, ""), Trust, "Missing required field Principal"},
		{"trust: empty principal", trust(`{"Service":"vmie.amazonaws.com"}`, "{}"), Trust, "Missing required field Principal cannot be empty!"},
		{"trust: a resource", trust(`"Effect"`, `"Resource":"*","Effect"`), Trust, textTrustResource},
		{"trust: but a resource", trust(`"Effect"`, `"NotResource":"*","Effect"`), Trust, textTrustNoResource},
		{"trust: everybody but", trust("Principal", "NotPrincipal"), Trust, textNotPrincipal},
		{"trust: action of another service", trust("sts:AssumeRole", "s3:GetObject"), Trust, textTrustActions},
		{"trust: every action", trust("sts:AssumeRole", "*"), Trust, textTrustActions},
		{"trust: odd principal", trust(`{"Service":"vmie.amazonaws.com"}`, `{"AWS":"ann"}`), Trust, `Invalid principal in policy: "AWS":"ann"`},
		{"trust: odd service", trust("vmie.amazonaws.com", "vmie"), Trust, `Invalid principal in policy: "SERVICE":"vmie"`},
		{"trust: a service that there is not", trust("vmie.amazonaws.com", "vmies.amazonaws.com"), Trust, `Invalid principal in policy: "SERVICE":"vmies.amazonaws.com"`},
		{"trust: in a region", trust("vmie.amazonaws.com", "vmies.us-east-1.amazonaws.com"), Trust, `Invalid principal in policy: "SERVICE":"vmies.us-east-1.amazonaws.com"`},
		{"trust: a service elsewhere", trust("vmie.amazonaws.com", "vmie.example.com"), Trust, `Invalid principal in policy: "SERVICE":"vmie.example.com"`},
		{"resource: a service that there is not", document(`"Effect":"Allow","Principal":{"Service":["s3.amazonaws.com","nobody.amazonaws.com"]},"Action":"s3:*","Resource":"*"`), Resource, `Invalid principal in policy: "SERVICE":"nobody.amazonaws.com"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Accept(c.text, c.kind)
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok || e.Text != c.want || e.Reason == "" {
				t.Errorf("%s\ngot  %#v\nwant %s", c.text, err, c.want)
			}
		})
	}
}

func TestAcceptsWhatIAMAccepts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		kind       Kind
	}{
		{"older trust", `{"Version":"2008-10-17","Statement":{` + vmie + `}}`, Trust},
		{"trust without version", `{"Statement":{` + vmie + `}}`, Trust},
		{"older resource policy", `{"Version":"2008-10-17","Statement":{"Principal":"*",` + allow("s3:*", "*") + `}}`, Resource},
		{"older session policy", `{"Version":"2008-10-17","Statement":{` + allow("s3:*", "*") + `}}`, Session},
		{"resources", document(`"Effect":"Allow","Action":"s3:ListBucket","Resource":["*","arn:aws:s3:::b","arn:aws:s3:::b/${aws:username}/*","arn:aws-cn:s3:::b",` +
			`"arn:*:s3:::b","arn:aws:iam::123456789012:*","arn:aws:iam::*:role/*","arn:aws:ec2:*::snapshot/*","arn:aws:ec2:us-east-1:123456789012:*","arn:aws:s3:*",` +
			`"arn:aws:s3:us-east-1:123456789012:accesspoint/a"]`), Identity},
		{"conditions", document(allowIf(`{"StringEquals":{"plain":"x"},"DateLessThan":{"aws:CurrentTime":"2017-12-31T23:59:59Z"}}`)), Identity},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := Accept(c.text, c.kind); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzAccept checks that what is accepted parses again, and that refusals have texts.
func FuzzAccept(f *testing.F) {
	f.Add(document(allow("s3:*", "arn:aws:s3:::b")), uint8(Identity))
	f.Add(document(vmie), uint8(Trust))
	f.Add(`{"Statement":[{"Effect":"denY","Resource":["a:b",1],"Condition":{"DateEquals":{"a":["x"]}}}]}`, uint8(Identity))
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		_, canonical, err := Accept(text, Kind(kind%4))
		if err != nil {
			if e, ok := errors.AsType[*SyntaxError](err); !ok || e.Text == "" {
				t.Fatalf("%q: refused with %#v", text, err)
			}
			return
		}
		if _, err := Parse(canonical, Kind(kind%4)); err != nil {
			t.Fatalf("%q became %q: %v", text, canonical, err)
		}
	})
}

func TestServicesThatAWSHas(t *testing.T) {
	for _, principal := range []string{
		"vmie.amazonaws.com", "ec2.amazonaws.com.cn", "ec2.us-east-1.amazonaws.com", "codedeploy.us-gov-west-1.amazonaws.com", "delivery.logs.amazonaws.com", "logs.eu-west-1.amazonaws.com",
		"ecs-tasks.amazonaws.com", "edgelambda.amazonaws.com", "member.org.stacksets.cloudformation.amazonaws.com", "imagebuilder.amazonaws.com", "transfer.amazonaws.com",
		"eks.amazonaws.com", "pods.eks.amazonaws.com", "alexa-appkit.amazon.com", "export.rds.amazonaws.com", "malware-protection-plan.guardduty.amazonaws.com",
	} {
		if _, _, err := Accept(document(strings.Replace(vmie, "vmie.amazonaws.com", principal, 1)), Trust); err != nil {
			t.Errorf("%s: %v", principal, err)
		}
	}
}
