package s3api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/diskport/diskport/internal/imports/bucketpolicy"
)

func setPolicy(t *testing.T, bucket *string, statements ...string) error {
	t.Helper()
	text := `{"Version":"2012-10-17","Statement":[` + strings.ReplaceAll(strings.Join(statements, ","), "BUCKET", "arn:aws:s3:::"+*bucket) + `]}`
	_, err := ownerA.client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: &text})
	return err
}

func openBucket(t *testing.T, bucket *string) {
	t.Helper()
	must(ownerA.client().DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: bucket}))(t)
}

// list asks for what takes ListBucket, the simplest permission there is.
func list1(t *testing.T, w who, bucket *string) string {
	t.Helper()
	_, err := w.client().HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: bucket})
	return code(err)
}

func TestWhoMayUseABucket(t *testing.T) {
	b := bucketOf(t)
	none := user(t, "may-nothing", "")
	may := user(t, "may-list", allow(`"s3:ListBucket"`, `"*"`))
	const (
		list   = `"Action":"s3:ListBucket","Resource":"BUCKET"`
		forAny = `"Principal":"*"`
	)
	named := `"Principal":{"AWS":"arn:aws:iam::` + accountA + `:user/may-nothing"}`
	account := func(id string) string { return `"Principal":{"AWS":"` + id + `"}` }
	for _, c := range []struct {
		name, statement                  string
		owner, none, may, other, anybody bool
	}{
		{"no policy", "", true, false, true, false, false},
		{"a user", `{"Effect":"Allow",` + named + `,` + list + `}`, true, true, true, false, false},
		{"the own account", `{"Effect":"Allow",` + account(accountA) + `,` + list + `}`, true, false, true, false, false},
		{"another account", `{"Effect":"Allow",` + account(accountB) + `,` + list + `}`, true, false, true, true, false},
		{"everybody", `{"Effect":"Allow",` + forAny + `,` + list + `}`, true, true, true, true, true},
		{"everybody, something else", `{"Effect":"Allow",` + forAny + `,"Action":"s3:GetObject","Resource":"BUCKET/*"}`, true, false, true, false, false},
		{"nobody", `{"Effect":"Deny",` + forAny + `,` + list + `}`, false, false, false, false, false},
		{"nobody from elsewhere", `{"Effect":"Deny",` + forAny + `,` + list + `,"Condition":{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}`, true, false, true, false, false},
		{"nobody without TLS", `{"Effect":"Deny",` + forAny + `,` + list + `,"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, true, false, true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			openBucket(t, b)
			if c.statement == "" {
				must(ownerA.client().DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: b}))(t)
			} else if err := setPolicy(t, b, c.statement); err != nil {
				t.Fatal(err)
			}
			for name, w := range map[string]struct {
				who
				allowed bool
			}{"owner": {ownerA, c.owner}, "user": {none, c.none}, "allowed user": {may, c.may}, "other account": {ownerB, c.other}, "anybody": {nobody, c.anybody}} {
				if got := list1(t, w.who, b); (got == "") != w.allowed {
					t.Errorf("%s: %q, want allowed %t", name, got, w.allowed)
				}
			}
		})
	}
}

// TestPoliciesAreForTheOwnersAccount: who else may do everything may not say who may, nor
// read who may.
func TestPoliciesAreForTheOwnersAccount(t *testing.T) {
	b, ctx := bucketOf(t), t.Context()
	openBucket(t, b)
	admin := user(t, "policy-admin", "")
	open := `{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["BUCKET","BUCKET/*"]}`
	for name, c := range map[string]struct {
		who
		want string
	}{"the owner's user": {admin, ""}, "another account": {ownerB, "MethodNotAllowed"}, "nobody": {nobody, "MethodNotAllowed"}} {
		if err := setPolicy(t, b, open); err != nil {
			t.Fatal(err)
		}
		client, text := c.client(), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::`+*b+`/*"}}`
		_, get := client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: b})
		_, remove := client.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: b})
		if c.want == "" && remove == nil {
			if err := setPolicy(t, b, open); err != nil {
				t.Fatal(err)
			}
		}
		_, put := client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: b, Policy: &text})
		for action, err := range map[string]error{"get": get, "put": put, "delete": remove} {
			if code(err) != c.want {
				t.Errorf("%s: to %s the policy: %v, want %q", name, action, err, c.want)
			}
		}
	}
	if err := setPolicy(t, b, strings.Replace(open, "Allow", "Deny", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ownerB.client().GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: b}); code(err) != "AccessDenied" {
		t.Errorf("refused anyway: %v", err)
	}
}

// TestCopiesShowNoTagsThatMayNotBeRead: a policy may depend on the tags themselves, and on the
// version.
func TestCopiesShowNoTagsThatMayNotBeRead(t *testing.T) {
	b, ctx := bucketOf(t), t.Context()
	must(ownerA.client().PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))(t)
	secret := must(ownerA.client().PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("secret"), Tagging: aws.String("secret=yes")}))(t)
	open := must(ownerA.client().PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("open"), Tagging: aws.String("secret=no")}))(t)
	c := user(t, "copies-tags", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},`+
		`{"Effect":"Deny","Action":["s3:GetObjectTagging","s3:GetObjectVersionTagging"],"Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}},`+
		`{"Effect":"Deny","Action":"s3:GetObjectVersionTagging","Resource":"*","Condition":{"StringEquals":{"s3:VersionId":"`+*open.VersionId+`"}}}]}`).client()
	for source, want := range map[string]string{
		"secret": "AccessDenied", "secret?versionId=" + *secret.VersionId: "AccessDenied", "open": "", "open?versionId=" + *open.VersionId: "AccessDenied",
	} {
		_, err := c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String(*b + "/" + source)})
		if code(err) != want {
			t.Errorf("a copy of %s: %v, want %q", source, err, want)
		}
	}
}

// TestTheOwnersRootCanMendAPolicy that denies everything to everybody.
func TestTheOwnersRootCanMendAPolicy(t *testing.T) {
	b := bucketOf(t)
	if err := setPolicy(t, b, `{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["BUCKET","BUCKET/*"]}`); err != nil {
		t.Fatal(err)
	}
	if got := list1(t, ownerA, b); got != "Forbidden" {
		t.Errorf("it may list: %q", got)
	}
	must(ownerA.client().GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: b}))(t)
	must(ownerA.client().DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: b}))(t)
	if got := list1(t, ownerA, b); got != "" {
		t.Errorf("afterwards: %q", got)
	}
}

func TestPublicPolicies(t *testing.T) {
	b := bucketOf(t)
	const public = `{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"BUCKET"}`
	if err := setPolicy(t, b, public); code(err) != "AccessDenied" || !strings.Contains(err.Error(), "BlockPublicPolicy") {
		t.Errorf("on a new bucket: %v", err)
	}
	openBucket(t, b)
	if err := setPolicy(t, b, public); err != nil {
		t.Fatal(err)
	}
	status := func() bool {
		return *must(ownerA.client().GetBucketPolicyStatus(t.Context(), &s3.GetBucketPolicyStatusInput{Bucket: b}))(t).PolicyStatus.IsPublic
	}
	if !status() || list1(t, nobody, b) != "" {
		t.Error("everybody is let in, and may not list")
	}
	must(ownerA.client().PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{RestrictPublicBuckets: aws.Bool(true)}}))(t)
	if list1(t, nobody, b) == "" || list1(t, ownerB, b) == "" || list1(t, ownerA, b) != "" {
		t.Error("a restricted bucket is for its account")
	}
	if err := setPolicy(t, b, `{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"BUCKET","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}`); err != nil {
		t.Fatal(err)
	}
	if status() || list1(t, nobody, b) != "" {
		t.Error("a policy for a network is not public")
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	b := bucketOf(t)
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":              {`nonsense`, "first byte must be '{'"},
		"another bucket":       {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::another"}}`, "Policy has invalid resource"},
		"a longer bucket":      {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `x/*"}}`, "Policy has invalid resource"},
		"another service":      {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"ec2:*","Resource":"arn:aws:s3:::` + *b + `"}}`, "Policy has invalid action"},
		"no such action":       {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetThings","Resource":"arn:aws:s3:::` + *b + `/*"}}`, "MalformedPolicy: Policy has invalid action"},
		"no use of it":         {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + *b + `"}}`, "MalformedPolicy: Action does not apply to any resource(s) in statement"},
		"no such key":          {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + *b + `/*","Condition":{"Bool":{"aws:SecureTransports":"false"}}}}`, "MalformedPolicy: Policy has an invalid condition key"},
		"no such service":      {`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"nobody.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + *b + `/*"}}`, "MalformedPolicy: Invalid principal in policy"},
		"nobody of that name":  {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + accountA + `:user/ghost"},"Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `"}}`, "MalformedPolicy: Invalid principal in policy"},
		"no principal":         {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `"}}`, "Missing required field Principal"},
		"no action":            {`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Resource":"arn:aws:s3:::` + *b + `"}]}`, "Missing required field Action"},
		"no statement":         {`{"Version":"2012-10-17"}`, "Missing required field Statement"},
		"no statements":        {`{"Version":"2012-10-17","Statement":[]}`, "Statement is empty!"},
		"an unknown element":   {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Actions":"s3:*","Resource":"arn:aws:s3:::` + *b + `"}}`, "Unknown field Actions"},
		"an unknown version":   {`{"Version":"2013-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `"}}`, "The policy must contain a valid version string"},
		"longer than AWS lets": {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `"` + strings.Repeat(" ", maxPolicy) + `}}`, "maximum allowed document size"},
	} {
		_, err := ownerA.client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: b, Policy: &c.text})
		if code(err) != "MalformedPolicy" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestPoliciesNameThoseWhoAreThere: a policy is shown with the present names of those
// that it was stored for.
func TestPoliciesNameThoseWhoAreThere(t *testing.T) {
	b := bucketOf(t)
	user(t, "before", "")
	if err := setPolicy(t, b, fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:user/before"},"Action":"s3:ListBucket","Resource":"BUCKET"}`, accountA)); err != nil {
		t.Fatal(err)
	}
	if err := shared.iam.UpdateUser(t.Context(), accountA, "before", "after", ""); err != nil {
		t.Fatal(err)
	}
	if got := *must(ownerA.client().GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: b}))(t).Policy; !strings.Contains(got, ":user/after") {
		t.Errorf("got %s", got)
	}
}

// TestRefusalsSayWhy to those of the same account.
func TestRefusalsSayWhy(t *testing.T) {
	b := bucketOf(t)
	none := user(t, "told-why", "")
	_, body := none.ask(t, "GET", "/"+*b, "")
	if want := "is not authorized to perform: s3:ListBucket on resource: &#34;arn:aws:s3:::" + *b + "&#34; because no identity-based policy allows the s3:ListBucket action"; !strings.Contains(body, want) {
		t.Errorf("got %s", body)
	}
	if err := setPolicy(t, b, `{"Effect":"Deny","Principal":"*","Action":"s3:ListBucket","Resource":"BUCKET"}`); err != nil {
		t.Fatal(err)
	}
	if _, body := ownerA.ask(t, "GET", "/"+*b, ""); !strings.Contains(body, "with an explicit deny in a resource-based policy") {
		t.Errorf("got %s", body)
	}
	if _, body := none.ask(t, "GET", "/no-such-bucket-there", ""); !strings.Contains(body, "AccessDenied") {
		t.Errorf("who may not list is told that there is no bucket: %s", body)
	}
	if res, body := ownerA.ask(t, "GET", "/"+*b+"?location", "", "X-Amz-Expected-Bucket-Owner", accountB); res.StatusCode != 403 {
		t.Errorf("another owner is expected: %d %s", res.StatusCode, body)
	}
}

// TestWhoIsToldThatAnObjectIsMissing: who may list the keys that begin like its own.
func TestWhoIsToldThatAnObjectIsMissing(t *testing.T) {
	b := bucketOf(t)
	reader := user(t, "told-of-missing", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"},
		{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{"StringLike":{"s3:prefix":"open/*"}}}]}`)
	for key, want := range map[string]int{"open/none": 404, "closed/none": 403} {
		if res, body := reader.ask(t, "GET", "/"+*b+"/"+key, ""); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", key, body, want)
		}
	}
}

// TestPoliciesMayNameWhatIsAskedFor: no action that is asked for here is unknown to policies.
func TestPoliciesMayNameWhatIsAskedFor(t *testing.T) {
	const arn = "arn:aws:s3:::b"
	for _, o := range operations {
		for _, action := range []string{o.action, o.ofVersion} {
			on := arn
			if o.on == object || o.name == "DeleteObjects" {
				on = arn + "/*"
			}
			if action == "" || o.on == service {
				continue
			}
			if text := bucketpolicy.Complaint([]byte(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:`+action+`","Resource":"`+on+`"}}`), arn); text != "" {
				t.Errorf("%s of %s: %s", action, o.name, text)
			}
		}
	}
}
