package s3api

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestANewBucketIsAsAWSMakesIt asks for everything that Terraform and Ansible read.
func TestANewBucketIsAsAWSMakesIt(t *testing.T) {
	b := bucketOf(t)
	const open = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`
	for sub, want := range map[string]string{
		"acl":        "<Permission>FULL_CONTROL</Permission>",
		"encryption": "<SSEAlgorithm>AES256</SSEAlgorithm>",
		"publicAccessBlock": "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>" +
			"<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>",
		"ownershipControls": "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>",
		"versioning":        "<VersioningConfiguration" + open + "</VersioningConfiguration>",
		"notification":      "<NotificationConfiguration" + open + "</NotificationConfiguration>",
		"logging":           "<BucketLoggingStatus" + open + "</BucketLoggingStatus>",
		"accelerate":        "<AccelerateConfiguration" + open + "</AccelerateConfiguration>",
		"requestPayment":    "<Payer>BucketOwner</Payer>",
		"location":          "<LocationConstraint" + open + "</LocationConstraint>",
		"policy":            "<Code>NoSuchBucketPolicy</Code>",
		"policyStatus":      "<Code>NoSuchBucketPolicy</Code>",
		"cors":              "<Code>NoSuchCORSConfiguration</Code>",
		"lifecycle":         "<Code>NoSuchLifecycleConfiguration</Code>",
		"website":           "<Code>NoSuchWebsiteConfiguration</Code>",
		"replication":       "<Code>ReplicationConfigurationNotFoundError</Code>",
		"object-lock":       "<Code>ObjectLockConfigurationNotFoundError</Code>",
		"tagging":           "<Code>NoSuchTagSet</Code>",
	} {
		res, body := ownerA.ask(t, "GET", "/"+*b+"?"+sub, "")
		if !strings.Contains(body, want) || strings.Contains(want, "<Code>") != (res.StatusCode == 404) {
			t.Errorf("%s: %d %s, want %s", sub, res.StatusCode, body, want)
		}
		if res, body := ownerB.ask(t, "GET", "/"+*b+"?"+sub, ""); res.StatusCode != 403 || !strings.Contains(body, "<Message>Access Denied</Message>") {
			t.Errorf("%s to another account: %d %s", sub, res.StatusCode, body)
		}
	}
}

func TestBucketTagging(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	set := func(tags ...string) error {
		in := &types.Tagging{TagSet: []types.Tag{}}
		for i := 0; i+1 < len(tags); i += 2 {
			in.TagSet = append(in.TagSet, types.Tag{Key: &tags[i], Value: &tags[i+1]})
		}
		_, err := c.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: b, Tagging: in})
		return err
	}
	if err := set("a", "1", "Ключ /=+-@:_.", ""); err != nil {
		t.Fatal(err)
	}
	got := must(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: b}))(t).TagSet
	want := []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("Ключ /=+-@:_."), Value: aws.String("")}}
	if !cmp.Equal(got, want, cmpopts.IgnoreUnexported(types.Tag{})) {
		t.Errorf("got %v", got)
	}
	for name, tags := range map[string][]string{
		"aws's own": {"aws:x", "1"}, "twice": {"a", "1", "a", "2"}, "long": {strings.Repeat("k", 129), ""}, "long value": {"k", strings.Repeat("v", 257)},
		"odd": {"a<b", ""}, "none": {"", "x"},
	} {
		if err := set(tags...); code(err) != "InvalidTag" {
			t.Errorf("%s: %v", name, err)
		}
	}
	var many []string
	for i := range 51 {
		many = append(many, strings.Repeat("k", i+1), "")
	}
	if err := set(many...); code(err) != "BadRequest" {
		t.Errorf("51 tags: %v", err)
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	refused(c.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: b}))(t, "NoSuchTagSet")
	must(c.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: b}))(t)
	if _, body := ownerA.ask(t, "PUT", "/"+*b+"?tagging", "<Tagging/>"); !strings.Contains(body, "MalformedXML") {
		t.Errorf("no TagSet: %s", body)
	}
}

func TestPublicAccessBlock(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	must(c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicPolicy: aws.Bool(true)}}))(t)
	got := must(c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b}))(t).PublicAccessBlockConfiguration
	if !*got.BlockPublicPolicy || *got.BlockPublicAcls || *got.IgnorePublicAcls || *got.RestrictPublicBuckets {
		t.Errorf("got %+v", got)
	}
	must(c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: b}))(t)
	refused(c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b}))(t, "NoSuchPublicAccessBlockConfiguration")
}

func TestOwnershipAndACLs(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	acl := func(name types.BucketCannedACL) error {
		_, err := c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: b, ACL: name})
		return err
	}
	if err := acl("private"); code(err) != "AccessControlListNotSupported" {
		t.Errorf("an ACL where they are off: %v", err)
	}
	own := func(o types.ObjectOwnership) {
		t.Helper()
		must(c.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
			Bucket: b, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: o}}},
		}))(t)
		if got := must(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: b}))(t).OwnershipControls.Rules; len(got) != 1 || got[0].ObjectOwnership != o {
			t.Errorf("got %+v", got)
		}
	}
	own(types.ObjectOwnershipBucketOwnerPreferred)
	for name, want := range map[types.BucketCannedACL]string{"private": "", "public-read": "AccessDenied", "authenticated-read": "NotImplemented", "what": "InvalidArgument"} {
		if err := acl(name); code(err) != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	shown := must(c.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: b}))(t)
	if len(*shown.Owner.ID) != 64 || len(shown.Grants) != 1 || *shown.Grants[0].Grantee.ID != *shown.Owner.ID || shown.Grants[0].Grantee.Type != types.TypeCanonicalUser {
		t.Errorf("got %+v", shown)
	}
	must(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: b, AccessControlPolicy: &types.AccessControlPolicy{Owner: shown.Owner, Grants: shown.Grants}}))(t)
	shown.Grants[0].Grantee.ID = aws.String(strings.Repeat("0", 64))
	refused(c.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: b, AccessControlPolicy: &types.AccessControlPolicy{Owner: shown.Owner, Grants: shown.Grants}}))(t, "NotImplemented")
	must(c.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: b}))(t)
	refused(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: b}))(t, "OwnershipControlsNotFoundError")
	if _, body := ownerA.ask(t, "PUT", "/"+*b+"?ownershipControls", "<OwnershipControls><Rule><ObjectOwnership>Mine</ObjectOwnership></Rule></OwnershipControls>"); !strings.Contains(body, "MalformedXML") {
		t.Errorf("an ownership of our own making: %s", body)
	}
	for name, want := range map[types.BucketCannedACL]string{"public-read": "InvalidBucketAclWithObjectOwnership", "what": "InvalidArgument"} {
		refused(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(*b + "-3"), ACL: name}))(t, want)
	}
	refused(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(*b + "-3"), GrantRead: aws.String("id=x")}))(t, "InvalidBucketAclWithObjectOwnership")
	refused(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(*b + "-3"), ObjectOwnership: types.ObjectOwnershipObjectWriter, ACL: "public-read"}))(t, "AccessControlListNotSupported")
	with := &s3.CreateBucketInput{Bucket: aws.String(*b + "-2"), ObjectOwnership: types.ObjectOwnershipObjectWriter, ACL: "private"}
	must(c.CreateBucket(ctx, with))(t)
	if got := must(c.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: with.Bucket}))(t).OwnershipControls.Rules; got[0].ObjectOwnership != with.ObjectOwnership {
		t.Errorf("made with %s, got %+v", with.ObjectOwnership, got)
	}
}

func TestVersioningIsASetting(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	for _, status := range []types.BucketVersioningStatus{"Enabled", "Suspended"} {
		must(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: status}}))(t)
		if got := must(c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: b}))(t).Status; got != status {
			t.Errorf("got %q, want %q", got, status)
		}
	}
	refused(c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{}}))(t, "IllegalVersioningConfigurationException")
}

func TestBucketEncryption(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	set := func(algorithm types.ServerSideEncryption) error {
		_, err := c.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: b, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
			Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: algorithm}, BucketKeyEnabled: aws.Bool(true)}},
		}})
		return err
	}
	for algorithm, want := range map[types.ServerSideEncryption]string{"AES256": "", "aws:kms:dsse": "NotImplemented", "DES": "MalformedXML"} {
		if err := set(algorithm); code(err) != want {
			t.Errorf("%s: %v, want %q", algorithm, err, want)
		}
	}
	rules := must(c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: b}))(t).ServerSideEncryptionConfiguration.Rules
	if len(rules) != 1 || rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm != "AES256" || !*rules[0].BucketKeyEnabled {
		t.Errorf("got %+v", rules)
	}
	must(c.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: b}))(t)
}

func TestSettingsThatSayNothing(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	must(c.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: &types.NotificationConfiguration{}}))(t)
	refused(c.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: &types.NotificationConfiguration{
		EventBridgeConfiguration: &types.EventBridgeConfiguration{},
	}}))(t, "NotImplemented")
	must(c.PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: b, BucketLoggingStatus: &types.BucketLoggingStatus{}}))(t)
	must(c.PutBucketRequestPayment(ctx, &s3.PutBucketRequestPaymentInput{Bucket: b, RequestPaymentConfiguration: &types.RequestPaymentConfiguration{Payer: "BucketOwner"}}))(t)
	refused(c.PutBucketRequestPayment(ctx, &s3.PutBucketRequestPaymentInput{Bucket: b, RequestPaymentConfiguration: &types.RequestPaymentConfiguration{Payer: "Requester"}}))(t, "NotImplemented")
	must(c.DeleteBucketWebsite(ctx, &s3.DeleteBucketWebsiteInput{Bucket: b}))(t)
	must(c.DeleteBucketReplication(ctx, &s3.DeleteBucketReplicationInput{Bucket: b}))(t)
}

func TestLifecycleOfUnfinishedUploads(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	rule := types.LifecycleRule{
		ID: aws.String("r"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: aws.String("tmp/")},
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)},
	}
	set := func(r types.LifecycleRule) error {
		_, err := c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: b, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{r}}})
		return err
	}
	if err := set(rule); err != nil {
		t.Fatal(err)
	}
	got := must(c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b}))(t).Rules
	if !cmp.Equal(got, []types.LifecycleRule{rule}, cmpopts.IgnoreUnexported(types.LifecycleRule{}, types.LifecycleRuleFilter{}, types.AbortIncompleteMultipartUpload{})) {
		t.Errorf("got %+v", got)
	}
	rule.Expiration = &types.LifecycleExpiration{Days: aws.Int32(1)}
	if err := set(rule); code(err) != "NotImplemented" {
		t.Errorf("expiration of objects: %v", err)
	}
	rule.Expiration, rule.Filter = nil, &types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("a"), Value: aws.String("b")}}
	if err := set(rule); code(err) != "NotImplemented" {
		t.Errorf("a filter of tags: %v", err)
	}
	must(c.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: b}))(t)
	refused(c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b}))(t, "NoSuchLifecycleConfiguration")
}

func TestCORS(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	ask := func(method, origin, asked, headers string) (int, map[string][]string, string) {
		var header []string
		for name, value := range map[string]string{"Origin": origin, "Access-Control-Request-Method": asked, "Access-Control-Request-Headers": headers} {
			if value != "" {
				header = append(header, name, value)
			}
		}
		res, body := nobody.ask(t, method, "/"+*b+"/k", "", header...)
		return res.StatusCode, res.Header, body
	}
	if status, _, body := ask("OPTIONS", "http://a", "GET", ""); status != 403 || !strings.Contains(body, "CORS is not enabled for this bucket.") {
		t.Errorf("without rules: %d %s", status, body)
	}
	rules := []types.CORSRule{
		{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"http://*.page"}, AllowedHeaders: []string{"X-Amz-*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: aws.Int32(5)},
		{AllowedMethods: []string{"PUT"}, AllowedOrigins: []string{"*"}},
	}
	must(c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: b, CORSConfiguration: &types.CORSConfiguration{CORSRules: rules}}))(t)
	if got := must(c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b}))(t).CORSRules; !cmp.Equal(got, rules, cmpopts.IgnoreUnexported(types.CORSRule{}), cmpopts.EquateEmpty()) {
		t.Errorf("got %+v", got)
	}
	for _, c := range []struct {
		origin, method, headers string
		status                  int
		allowed                 string
	}{
		{"http://a.page", "GET", "x-amz-date, X-AMZ-Meta-A", 200, "http://a.page"},
		{"http://a.page", "GET", "authorization", 403, ""},
		{"http://a.other", "GET", "", 403, ""},
		{"http://a.other", "PUT", "", 200, "*"},
		{"http://a.page", "DELETE", "", 403, ""},
		{"http://a.page", "", "", 400, ""},
		{"", "GET", "", 400, ""},
	} {
		status, header, body := ask("OPTIONS", c.origin, c.method, c.headers)
		if got := strings.Join(header["Access-Control-Allow-Origin"], ","); status != c.status || got != c.allowed {
			t.Errorf("%+v: %d %q %s", c, status, got, body)
		}
	}
	// A page that was given a presigned URL asks with its signature.
	url := must(s3.NewPresignClient(c).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("k")}))(t).URL
	for _, path := range []string{strings.TrimPrefix(url, shared.http.URL), "/" + *b + "/k?AWSAccessKeyId=x&Signature=y&Expires=1"} {
		for origin, want := range map[string]int{"http://a.other": 200, "": 400} {
			if res, body := nobody.ask(t, "OPTIONS", path, "", "Origin", origin, "Access-Control-Request-Method", "PUT"); res.StatusCode != want {
				t.Errorf("%q asks about a presigned URL: %d %s", origin, res.StatusCode, body)
			}
		}
	}
	// Answers carry the headers too, refusals included.
	if status, header, _ := ask("GET", "http://a.page", "", ""); status != 403 || header["Access-Control-Expose-Headers"][0] != "ETag" || header["Access-Control-Allow-Origin"][0] != "http://a.page" {
		t.Errorf("an answer to a page: %d %v", status, header)
	}
	refused(c.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: b, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{AllowedMethods: []string{"PATCH"}, AllowedOrigins: []string{"*"}}}}}))(t, "InvalidRequest")
	must(c.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: b}))(t)
	refused(c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b}))(t, "NoSuchCORSConfiguration")
}
