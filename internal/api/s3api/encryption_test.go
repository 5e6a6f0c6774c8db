package s3api

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/imports/objects"
)

// keyUser is account A's root as the KMS sees it.
func keyUser() kms.Caller {
	return kms.Caller{Region: region, Principal: iam.Principal{Account: accountA, ARN: "arn:aws:iam::" + accountA + ":root", Kind: iam.Root, ID: accountA}}
}

// newKey makes a KMS key of account A; an empty policy is the default one.
func newKey(t *testing.T, policy string) kms.Key {
	t.Helper()
	return must(shared.kms.CreateKey(t.Context(), keyUser(), kms.KeySpec{Policy: policy, Bypass: policy != ""}))(t)
}

// onDisk returns the files of the service that hold mark.
func onDisk(t *testing.T, mark string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(shared.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it was swept meanwhile
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(mark)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func underKey(bucket *string, key, content, kmsKey string) *s3.PutObjectInput {
	in := &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(content), ServerSideEncryption: types.ServerSideEncryptionAwsKms}
	if kmsKey != "" {
		in.SSEKMSKeyId = &kmsKey
	}
	return in
}

func TestObjectsUnderKMSKeys(t *testing.T) {
	bucket, k, c, ctx := bucketOf(t), newKey(t, ""), ownerA.client(), t.Context()
	mark := "planted in the clear for a search of the disk"
	content := strings.Repeat(mark, 10_000)
	alias := keyUser().NamedAlias("alias/objects")
	if err := shared.kms.CreateAlias(ctx, alias, k); err != nil {
		t.Fatal(err)
	}
	for _, named := range []string{k.ID, k.ARN(), "alias/objects", alias.ARN()} {
		made := must(c.PutObject(ctx, underKey(bucket, "k", content, named)))(t)
		if made.ServerSideEncryption != "aws:kms" || aws.ToString(made.SSEKMSKeyId) != k.ARN() || made.BucketKeyEnabled != nil || made.SSEKMSEncryptionContext != nil {
			t.Errorf("made %+v under %s", made, named)
		}
	}
	if found := onDisk(t, mark); len(found) != 0 {
		t.Errorf("it is in the clear in %v", found)
	}
	if get(t, bucket, "k") != content {
		t.Error("it reads other bytes")
	}
	part := must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k"), Range: aws.String("bytes=70000-70099")}))(t)
	if got := must(io.ReadAll(part.Body))(t); string(got) != content[70000:70100] || part.ServerSideEncryption != "aws:kms" {
		t.Errorf("a range of it is %q", got)
	}
	head := must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k")}))(t)
	if aws.ToString(head.SSEKMSKeyId) != k.ARN() || *head.ContentLength != int64(len(content)) {
		t.Errorf("head %+v", head)
	}
	if plain := put(t, bucket, "plain", mark+"2"); plain.ServerSideEncryption != "AES256" || len(onDisk(t, mark+"2")) == 0 {
		t.Errorf("without a key: %+v, and the search finds nothing", plain)
	}
}

func TestDisabledKeys(t *testing.T) {
	bucket, k, c, ctx := bucketOf(t), newKey(t, ""), ownerA.client(), t.Context()
	must(c.PutObject(ctx, underKey(bucket, "k", "content", k.ID)))(t)
	u := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("u"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: &k.ID}))(t)
	part := must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, PartNumber: aws.Int32(2), Body: strings.NewReader("y")}))(t)
	complete := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{
		Parts: []types.CompletedPart{{PartNumber: aws.Int32(2), ETag: part.ETag}},
	}}
	if err := shared.kms.SetEnabled(ctx, k.Ref, kms.Disable); err != nil {
		t.Fatal(err)
	}
	const disabled = "KMS.DisabledException"
	_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")})
	refused("", err)(t, disabled)
	if err == nil || !strings.Contains(err.Error(), k.ARN()+" is disabled.") {
		t.Errorf("it says %v", err)
	}
	refused(c.PutObject(ctx, underKey(bucket, "l", "content", k.ID)))(t, disabled)
	refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("m"), CopySource: aws.String(*bucket + "/k")}))(t, disabled)
	refused(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")}))(t, disabled)
	refused(c.CompleteMultipartUpload(ctx, complete))(t, disabled)
	must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k")}))(t) // needs no key, as at AWS
	if err := shared.kms.SetEnabled(ctx, k.Ref, kms.Enable); err != nil {
		t.Fatal(err)
	}
	must(c.CompleteMultipartUpload(ctx, complete))(t)
	if get(t, bucket, "k") != "content" || get(t, bucket, "u") != "y" {
		t.Error("it reads other bytes")
	}
	must(shared.kms.ScheduleDeletion(ctx, k.Ref, 7))(t)
	refused(c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")}))(t, "KMS.KMSInvalidStateException")
}

// TestWhoMayUseKeys asks policies, key policies and grants, and what these may ask about.
func TestWhoMayUseKeys(t *testing.T) {
	bucket, ctx := bucketOf(t), t.Context()
	arn := "arn:aws:s3:::" + *bucket
	k := newKey(t, "")
	s3Only := `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
	with := func(name string, statements ...string) who {
		return user(t, "sse-"+name, `{"Version":"2012-10-17","Statement":[`+strings.Join(append(statements, s3Only), ",")+`]}`)
	}
	one := `"Condition":{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"` + arn + `/one"}}`
	granted := with("granted")
	if _, err := shared.kms.CreateGrant(ctx, keyUser(), kms.Access{Key: k}, kms.Grant{
		Grantee: "arn:aws:iam::" + accountA + ":user/sse-granted", Operations: []string{"GenerateDataKey"}, Equals: kms.EncryptionContext{"aws:s3:arn": arn + "/one"},
	}); err != nil {
		t.Fatal(err)
	}
	must(ownerA.client().PutObject(ctx, underKey(bucket, "one", "content", k.ID)))(t)
	for name, tt := range map[string]struct {
		who        who
		write, get string // codes
		two        string // for writing another object
		byBucket   string // for writing with a bucket key
	}{
		"root":                  {ownerA, "", "", "", ""},
		"nothing for KMS":       {with("none"), "AccessDenied", "AccessDenied", "AccessDenied", "AccessDenied"},
		"data keys alone":       {with("writer", `{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"*"}`), "", "AccessDenied", "", ""},
		"decryption alone":      {with("reader", `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`), "AccessDenied", "", "AccessDenied", "AccessDenied"},
		"one object":            {with("one", `{"Effect":"Allow","Action":"kms:*","Resource":"*",`+one+`}`), "", "", "AccessDenied", "AccessDenied"},
		"the bucket":            {with("bucket", `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"`+arn+`"}}}`), "AccessDenied", "AccessDenied", "AccessDenied", ""},
		"through S3":            {with("s3", `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}`), "", "", "", ""},
		"through EBS":           {with("ebs", `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ec2.us-east-1.amazonaws.com"}}}`), "AccessDenied", "AccessDenied", "AccessDenied", "AccessDenied"},
		"a grant":               {granted, "", "AccessDenied", "AccessDenied", "AccessDenied"},
		"another account":       {ownerB, "AccessDenied", "AccessDenied", "AccessDenied", "AccessDenied"},
		"denied for one object": {with("denied", `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`, `{"Effect":"Deny","Action":"kms:*","Resource":"*",`+one+`}`), "AccessDenied", "AccessDenied", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.who.client()
			refused(c.PutObject(ctx, underKey(bucket, "one", "content", k.ARN())))(t, tt.write)
			refused(c.PutObject(ctx, underKey(bucket, "two", "content", k.ARN())))(t, tt.two)
			in := underKey(bucket, "three", "content", k.ARN())
			in.BucketKeyEnabled = aws.Bool(true)
			refused(c.PutObject(ctx, in))(t, tt.byBucket)
			refused(c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("one")}))(t, tt.get)
			refused(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("one"), ChecksumMode: "ENABLED"}))(t, strings.Replace(tt.get, "AccessDenied", "Forbidden", 1))
			refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: aws.String(*bucket + "/one")}))(t, tt.get)
			refused(c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: bucket, Key: aws.String("one"), ObjectAttributes: []types.ObjectAttributes{"Checksum"}}))(t, tt.get)
		})
	}
	_, err := with("text").client().PutObject(ctx, underKey(bucket, "one", "content", k.ARN()))
	want := "User: arn:aws:iam::" + accountA + ":user/sse-text is not authorized to perform: kms:GenerateDataKey on resource: " + k.ARN() + " because no identity-based policy allows the kms:GenerateDataKey action"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %v", err)
	}
}

// TestRefusalsTellNothingOfTheObject: its checksum is for those who may use its key, and a
// refusal has none, nor what else the header says of an object that is sent.
func TestRefusalsTellNothingOfTheObject(t *testing.T) {
	bucket, ctx, k := bucketOf(t), t.Context(), newKey(t, "")
	in := underKey(bucket, "k", "content", k.ID)
	in.Metadata, in.Tagging, in.ChecksumAlgorithm = map[string]string{"m": "1"}, aws.String("a=b"), types.ChecksumAlgorithmCrc32
	must(ownerA.client().PutObject(ctx, in))(t)
	keyless := user(t, "sse-keyless", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`).client()
	ask := map[string]func() error{
		"GET": func() error {
			_, err := keyless.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
			return err
		},
		"HEAD": func() error {
			_, err := keyless.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
			return err
		},
	}
	for name, ask := range ask {
		refused, ok := errors.AsType[*smithyhttp.ResponseError](ask())
		if !ok || refused.HTTPStatusCode() != http.StatusForbidden {
			t.Fatalf("%s: %v", name, refused)
		}
		for header := range refused.Response.Header {
			switch lower := strings.ToLower(header); {
			case lower == "x-amz-request-id", lower == "x-amzn-requestid", lower == "x-amz-id-2":
			case strings.HasPrefix(lower, "x-amz-"), lower == "accept-ranges", lower == "etag", lower == "last-modified":
				t.Errorf("%s is refused with %s: %s", name, header, refused.Response.Header.Get(header))
			}
		}
	}
}

// TestKeyPolicies: a key's own policy can tell objects apart, even for the account's root.
func TestKeyPolicies(t *testing.T) {
	bucket, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	k := newKey(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+accountA+`"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotLike":{"kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::*/open/*"}}}]}`)
	for key, want := range map[string]string{"open/k": "", "closed/k": "AccessDenied"} {
		must(c.PutObject(ctx, underKey(bucket, key, "content", k.ID)))(t)
		_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
		if code(err) != want || err != nil && !strings.Contains(err.Error(), "kms:Decrypt on resource: "+k.ARN()+" with an explicit deny in a resource-based policy") {
			t.Errorf("%s: %v, want %q", key, err, want)
		}
	}
}

func TestKeyThatS3Manages(t *testing.T) {
	bucket, ctx := bucketOf(t), t.Context()
	c := user(t, "sse-managed", allow(`"s3:*"`, `"*"`)).client() // and nothing for KMS
	made := must(c.PutObject(ctx, underKey(bucket, "k", "content", "")))(t)
	list := must(shared.kms.Aliases(ctx, accountA, region))(t)
	for _, a := range list {
		if a.Name == kms.S3Alias && aws.ToString(made.SSEKMSKeyId) != a.Key().ARN() {
			t.Errorf("under %s, not %s", *made.SSEKMSKeyId, a.Key().ARN())
		}
	}
	must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")}))(t)
	refused(ownerB.client().GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")}))(t, "AccessDenied")
}

func TestUploadsUnderKMSKeys(t *testing.T) {
	bucket, k, c, ctx := bucketOf(t), newKey(t, ""), ownerA.client(), t.Context()
	mark := "planted in a part for a search of the disk"
	first, third := strings.Repeat(mark, objects.MinPart/len(mark)+1), strings.Repeat("another part. ", 5000)
	must(c.PutObject(ctx, underKey(bucket, "source", third, "")))(t)
	u := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: aws.String("u"), ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String(k.ID), BucketKeyEnabled: aws.Bool(true),
	}))(t)
	if aws.ToString(u.SSEKMSKeyId) != k.ARN() || !aws.ToBool(u.BucketKeyEnabled) {
		t.Errorf("begun %+v", u)
	}
	one := must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader(first)}))(t)
	if aws.ToString(one.SSEKMSKeyId) != k.ARN() {
		t.Errorf("part %+v", one)
	}
	three := must(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, PartNumber: aws.Int32(3), CopySource: aws.String(*bucket + "/source")}))(t)
	stranger := user(t, "sse-parts", allow(`["s3:*","kms:GenerateDataKey"]`, `"*"`)).client()
	parts := &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: one.ETag}, {PartNumber: aws.Int32(3), ETag: three.CopyPartResult.ETag}}}
	complete := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, MultipartUpload: parts}
	refused(stranger.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId, PartNumber: aws.Int32(2), Body: strings.NewReader("x")}))(t, "AccessDenied")
	refused(stranger.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: aws.String("u"), UploadId: u.UploadId}))(t, "AccessDenied")
	refused(stranger.CompleteMultipartUpload(ctx, complete))(t, "AccessDenied")
	done := must(c.CompleteMultipartUpload(ctx, complete))(t)
	if aws.ToString(done.SSEKMSKeyId) != k.ARN() || !aws.ToBool(done.BucketKeyEnabled) {
		t.Errorf("done %+v", done)
	}
	if got := get(t, bucket, "u"); got != first+third {
		t.Error("it reads other bytes")
	}
	if found := onDisk(t, mark); len(found) != 0 {
		t.Errorf("it is in the clear in %v", found)
	}
}

func TestCopiesFromAndToKMSKeys(t *testing.T) {
	bucket, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	k, other := newKey(t, ""), newKey(t, "")
	content := strings.Repeat("content ", 20_000)
	must(c.PutObject(ctx, underKey(bucket, "under", content, k.ID)))(t)
	put(t, bucket, "plain", content)
	for _, tt := range []struct{ name, from, to, algorithm, key, under string }{
		{"to a key", "plain", "a", "aws:kms", k.ID, k.ARN()},
		{"to none", "under", "b", "AES256", "", ""},
		{"to none by default", "under", "c", "", "", ""},
		{"to another", "under", "d", "aws:kms", other.ID, other.ARN()},
		{"to itself under another", "a", "a", "aws:kms", other.ID, other.ARN()},
		{"to itself without one", "a", "a", "AES256", "", ""},
	} {
		in := &s3.CopyObjectInput{Bucket: bucket, Key: &tt.to, CopySource: aws.String(*bucket + "/" + tt.from), ServerSideEncryption: types.ServerSideEncryption(tt.algorithm)}
		if tt.key != "" {
			in.SSEKMSKeyId = &tt.key
		}
		out := must(c.CopyObject(ctx, in))(t)
		if aws.ToString(out.SSEKMSKeyId) != tt.under || get(t, bucket, tt.to) != content {
			t.Errorf("%s: %+v", tt.name, out)
		}
	}
	refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("plain"), CopySource: aws.String(*bucket + "/plain")}))(t, "InvalidRequest")
}

func TestBucketsThatEncryptByDefault(t *testing.T) {
	bucket, k, c, ctx := bucketOf(t), newKey(t, ""), ownerA.client(), t.Context()
	by := types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms", KMSMasterKeyID: aws.String(k.ARN())}
	set := func(rule types.ServerSideEncryptionRule) error {
		_, err := c.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{rule}}})
		return err
	}
	if err := set(types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &by, BucketKeyEnabled: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	rule := must(c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: bucket}))(t).ServerSideEncryptionConfiguration.Rules[0]
	if got := rule.ApplyServerSideEncryptionByDefault; *got.KMSMasterKeyID != k.ARN() || got.SSEAlgorithm != "aws:kms" || !*rule.BucketKeyEnabled {
		t.Errorf("it says %+v", got)
	}
	made := put(t, bucket, "k", "content")
	if aws.ToString(made.SSEKMSKeyId) != k.ARN() || !aws.ToBool(made.BucketKeyEnabled) {
		t.Errorf("by default: %+v", made)
	}
	in := &s3.PutObjectInput{Bucket: bucket, Key: aws.String("l"), Body: strings.NewReader("x"), BucketKeyEnabled: aws.Bool(false)}
	if made := must(c.PutObject(ctx, in))(t); aws.ToString(made.SSEKMSKeyId) != k.ARN() || made.BucketKeyEnabled != nil {
		t.Errorf("without the bucket key: %+v", made)
	}
	in = &s3.PutObjectInput{Bucket: bucket, Key: aws.String("m"), Body: strings.NewReader("x"), ServerSideEncryption: "AES256"}
	if made := must(c.PutObject(ctx, in))(t); made.ServerSideEncryption != "AES256" || made.SSEKMSKeyId != nil {
		t.Errorf("with another algorithm: %+v", made)
	}
	refused("", set(types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "aws:kms:dsse"}}))(t, "NotImplemented")
	must(c.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: bucket}))(t)
	if made := put(t, bucket, "n", "content"); made.ServerSideEncryption != "AES256" {
		t.Errorf("after the end of that: %+v", made)
	}
}

func TestEncryptionThatIsRefused(t *testing.T) {
	bucket, k := bucketOf(t), newKey(t, "")
	must(ownerA.client().PutObject(t.Context(), underKey(bucket, "k", "content", k.ID)))(t)
	path := "/" + *bucket + "/k"
	context := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	const sse = "x-amz-server-side-encryption"
	for name, tt := range map[string]struct {
		who    who
		method string
		header []string
		code   string
		text   string
	}{
		"two layers":                  {ownerA, "PUT", []string{sse, "aws:kms:dsse"}, "NotImplemented", "aws:kms:dsse"},
		"a key of the client":         {ownerA, "PUT", []string{sse + "-customer-algorithm", "AES256"}, "NotImplemented", "SSE-C"},
		"an unknown algorithm":        {ownerA, "PUT", []string{sse, "ROT13"}, "InvalidArgument", "The encryption method specified is not supported"},
		"a key for AES256":            {ownerA, "PUT", []string{sse, "AES256", sse + "-aws-kms-key-id", k.ID}, "InvalidArgument", "requires HTTP header"},
		"a key for nothing":           {ownerA, "PUT", []string{sse + "-aws-kms-key-id", k.ID}, "InvalidArgument", "requires HTTP header"},
		"a context for nothing":       {ownerA, "PUT", []string{sse + "-context", context("{}")}, "InvalidArgument", "requires HTTP header"},
		"no such key":                 {ownerA, "PUT", []string{sse, "aws:kms", sse + "-aws-kms-key-id", "alias/nothing"}, "KMS.NotFoundException", "Alias arn:aws:kms:us-east-1:" + accountA + ":alias/nothing is not found."},
		"no key":                      {ownerA, "PUT", []string{sse, "aws:kms", sse + "-aws-kms-key-id", "nonsense"}, "KMS.NotFoundException", "Invalid keyId 'nonsense'"},
		"no ARN":                      {ownerA, "PUT", []string{sse, "aws:kms", sse + "-aws-kms-key-id", "arn:nonsense"}, "KMS.InvalidArnException", "arn:nonsense is not a valid ARN"},
		"a key of another region":     {ownerA, "PUT", []string{sse, "aws:kms", sse + "-aws-kms-key-id", strings.Replace(k.ARN(), region, "eu-west-1", 1)}, "KMS.NotFoundException", "Invalid arn eu-west-1"},
		"no base64":                   {ownerA, "PUT", []string{sse, "aws:kms", sse + "-context", "?"}, "InvalidArgument", "Base64"},
		"no JSON of texts":            {ownerA, "PUT", []string{sse, "aws:kms", sse + "-context", context(`{"a":1}`)}, "InvalidArgument", "string-string map"},
		"a context of another object": {ownerA, "PUT", []string{sse, "aws:kms", sse + "-context", context(`{"aws:s3:arn":"arn:aws:s3:::other/k"}`)}, "InvalidArgument", "aws:s3:arn"},
		"a long context":              {ownerA, "PUT", []string{sse, "aws:kms", sse + "-context", context(`{"a":"` + strings.Repeat("b", 8192) + `"}`)}, "KMS.ValidationException", "longer than 8192 characters"},
		"no truth":                    {ownerA, "PUT", []string{sse, "aws:kms", sse + "-bucket-key-enabled", "perhaps"}, "InvalidArgument", "bucket-key-enabled"},
		"encryption of what is read":  {ownerA, "GET", []string{sse, "aws:kms"}, "InvalidArgument", "not supported for this operation"},
	} {
		t.Run(name, func(t *testing.T) {
			_, body := tt.who.ask(t, tt.method, path, "", tt.header...)
			if !strings.Contains(body, "<Code>"+tt.code+"</Code>") || !strings.Contains(strings.ReplaceAll(body, "&#39;", "'"), tt.text) {
				t.Errorf("got %s", body)
			}
		})
	}
	res, _ := ownerA.ask(t, "PUT", path, "content", sse, "aws:kms", sse+"-context", context(`{"project":"x"}`))
	if res.StatusCode != 200 || res.Header.Get(sse+"-context") != context(`{"project":"x"}`) {
		t.Errorf("with a context: %v", res.Header)
	}
	if get(t, bucket, "k") != "content" {
		t.Error("it reads other bytes")
	}
	if res, _ := ownerA.ask(t, "HEAD", path, "", sse, "AES256"); res.StatusCode != 400 {
		t.Errorf("HEAD that says how it is encrypted: %s", res.Status)
	}
}

// TestWhoCanNotSignForKMS: S3 takes no old signatures for what keys of a KMS protect.
func TestWhoCanNotSignForKMS(t *testing.T) {
	bucket := bucketOf(t)
	must(ownerA.client().PutObject(t.Context(), underKey(bucket, "k", "content", "")))(t)
	must(ownerA.client().DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: bucket}))(t)
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + *bucket + `/*"}}`
	must(ownerA.client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: &document}))(t)
	_, body := nobody.ask(t, "GET", "/"+*bucket+"/k", "")
	if !strings.Contains(body, "<Code>InvalidArgument</Code>") || !strings.Contains(body, "Signature Version 4") {
		t.Errorf("to nobody: %s", body)
	}
}

// TestADefaultThatCannotBeRead stores nothing in the clear, whatever else the request says.
func TestADefaultThatCannotBeRead(t *testing.T) {
	bucket, ctx := bucketOf(t), t.Context()
	if err := shared.objects.SetSetting(ctx, *bucket, objects.Setting{Name: encryptionSetting, Document: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	c := ownerA.client(func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	for _, bucketKey := range []*bool{nil, aws.Bool(true), aws.Bool(false)} {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("k"), Body: strings.NewReader("content"), BucketKeyEnabled: bucketKey})
		if code(err) != "InternalError" {
			t.Errorf("bucket key %v: %v", bucketKey, err)
		}
	}
}

// TestCopiesOfDamage: a copy that reads the bytes does not give damaged ones a checksum of
// their own, nor that of the whole ones.
func TestCopiesOfDamage(t *testing.T) {
	bucket, k, c, ctx := bucketOf(t), newKey(t, ""), ownerA.client(), t.Context()
	mark := "what one bit will turn over in"
	put(t, bucket, "plain", mark)
	files := onDisk(t, mark)
	if len(files) != 1 {
		t.Fatalf("it lies in %v", files)
	}
	if err := errors.Join(os.Chmod(files[0], 0o600), os.WriteFile(files[0], []byte("What"+mark[4:]), 0o600)); err != nil {
		t.Fatal(err)
	}
	source := aws.String(*bucket + "/plain")
	once := func(o *s3.Options) { o.RetryMaxAttempts = 1 }
	refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("under a key"), CopySource: source, ServerSideEncryption: "aws:kms", SSEKMSKeyId: &k.ID}, once))(t, "InternalError")
	refused(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("summed"), CopySource: source, ChecksumAlgorithm: "SHA256"}, once))(t, "InternalError")
}
