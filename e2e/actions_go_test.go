package e2e

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestEveryActionInGo calls every action of the service with the unmodified AWS SDK
// for Go, and checks the answers. Like TestEveryAction, it then reads which actions
// were called.
func TestEveryActionInGo(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk.raw")
	makeMarked(t, disk, []byte("an action in Go"))
	// Imports of objects that are uploaded here end; those of images/disk.raw,
	// elsewhere, don't.
	s := startStuck(t, dir, disk)
	t.Run("s3", s.askS3)
	t.Run("roles", s.askRoles)
	t.Run("instance profiles", s.askProfiles)
	t.Run("policies", s.askPolicies)
	t.Run("users", s.askUsers)
	t.Run("kms", s.askKMS)
	t.Run("grants", s.askGrants)
	t.Run("ebs", s.askDirect)
	t.Run("imports", func(t *testing.T) { s.askImports(t, disk) })
	s.leftClean(t)
	served := map[string]bool{}
	s.served(t, served)
	for service, names := range built() {
		for _, name := range names {
			if !served[service+":"+name] && !slices.Contains(nobodys, name) {
				t.Errorf("no call was for %s %s", service, name)
			}
		}
	}
}

// must returns the answer of a call; a call that fails ends the test.
func must[O any](out O, err error) func(*testing.T) O {
	return func(t *testing.T) O {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused checks the error code of a call.
func refused[O any](_ O, err error) func(t *testing.T, code string) {
	return func(t *testing.T, code string) {
		t.Helper()
		if errorCode(err) != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
}

// says compares fields of an answer with a text of them. A field may be a pointer.
func says(t *testing.T, want string, fields ...any) {
	t.Helper()
	for i, field := range fields {
		if v := reflect.ValueOf(field); v.Kind() == reflect.Pointer && !v.IsNil() {
			fields[i] = v.Elem()
		}
	}
	if got := strings.TrimSuffix(fmt.Sprintln(fields...), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// each returns a field of all in a list.
func each[E any](list []E, field func(E) *string) []string {
	var all []string
	for _, e := range list {
		all = append(all, aws.ToString(field(e)))
	}
	return all
}

func (s *service) askS3(t *testing.T) {
	ctx, bucket, block := t.Context(), aws.String("walked"), blockOf(1)
	sum := md5.Sum(block)
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	tagging := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	says(t, "/walked", must(s.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))(t).Location)
	says(t, "[walked]", each(must(s.S3.ListBuckets(ctx, &s3.ListBucketsInput{}))(t).Buckets, func(b types.Bucket) *string { return b.Name }))
	says(t, region, must(s.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket}))(t).BucketRegion)
	says(t, "", must(s.S3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket}))(t).LocationConstraint)
	says(t, "", must(s.S3.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bucket}))(t).Status)
	if acl := must(s.S3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: bucket}))(t); len(acl.Grants) != 1 || acl.Grants[0].Permission != types.PermissionFullControl {
		t.Errorf("grants %+v", acl.Grants)
	}
	must(s.S3.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: bucket, Tagging: tagging}))(t)
	says(t, "[a]", each(must(s.S3.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: bucket}))(t).TagSet, func(tag types.Tag) *string { return tag.Key }))

	one, two := aws.String("one"), aws.String("folder/a two")
	says(t, etag, must(s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: one, Body: bytes.NewReader(block)}))(t).ETag)
	head := must(s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: one}))(t)
	says(t, "524288 "+etag, head.ContentLength, head.ETag)
	says(t, etag, must(s.S3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: two, CopySource: aws.String("walked/one")}))(t).CopyObjectResult.ETag)
	part := must(s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: two, Range: aws.String("bytes=10-109")}))(t)
	if body := must(io.ReadAll(part.Body))(t); !bytes.Equal(body, block[10:110]) {
		t.Errorf("a range of %d bytes: %q", len(body), body)
	}
	says(t, "524288", must(s.S3.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{
		Bucket: bucket, Key: two, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectSize},
	}))(t).ObjectSize)
	must(s.S3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bucket, Key: two, Tagging: tagging}))(t)
	says(t, "[b]", each(must(s.S3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: two}))(t).TagSet, func(tag types.Tag) *string { return tag.Value }))
	list := must(s.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Delimiter: aws.String("/")}))(t)
	must(s.S3.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: bucket, Key: two}))(t)
	says(t, "[one]", each(must(s.S3.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket, Prefix: aws.String("o")}))(t).Contents, func(o types.Object) *string { return o.Key }))
	says(t, "[one] [folder/]", each(list.Contents, func(o types.Object) *string { return o.Key }), each(list.CommonPrefixes, func(p types.CommonPrefix) *string { return p.Prefix }))

	s.askParts(t, block, etag)
	s.askSettings(t, bucket)
	refused(s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}))(t, "BucketNotEmpty")
	gone := must(s.S3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: one}, {Key: two}}}}))(t)
	says(t, "[one folder/a two] []", each(gone.Deleted, func(d types.DeletedObject) *string { return d.Key }), gone.Errors)
	must(s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("parts")}))(t)
	refused(s.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: one}))(t, "NotFound")
	must(s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}))(t)
	refused(s.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket}))(t, "NotFound")
}

// askSettings makes, reads and removes every setting of a bucket.
func (s *service) askSettings(t *testing.T, b *string) {
	ctx, one := t.Context(), aws.String("one")
	must(s.S3.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{
		Bucket: b, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerPreferred}}},
	}))(t)
	says(t, "1", len(must(s.S3.GetBucketOwnershipControls(ctx, &s3.GetBucketOwnershipControlsInput{Bucket: b}))(t).OwnershipControls.Rules))
	must(s.S3.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: b, ACL: types.BucketCannedACLPrivate}))(t)
	must(s.S3.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: b, Key: one, ACL: types.ObjectCannedACLPrivate}))(t)
	says(t, "1", len(must(s.S3.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: b, Key: one}))(t).Grants))
	must(s.S3.DeleteBucketOwnershipControls(ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: b}))(t)
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"arn:aws:s3:::` + *b + `"}}`
	must(s.S3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: b, Policy: &policy}))(t)
	says(t, policy, must(s.S3.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: b}))(t).Policy)
	says(t, "false", must(s.S3.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: b}))(t).PolicyStatus.IsPublic)
	must(s.S3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: b}))(t)
	must(s.S3.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: b}))(t)
	must(s.S3.PutBucketCors(ctx, &s3.PutBucketCorsInput{Bucket: b, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"*"}}}}}))(t)
	says(t, "1", len(must(s.S3.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b}))(t).CORSRules))
	must(s.S3.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: b}))(t)
	must(s.S3.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: b, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
		ID: aws.String("r"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")},
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(3)},
	}}}}))(t)
	says(t, "r", must(s.S3.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b}))(t).Rules[0].ID)
	must(s.S3.DeleteBucketLifecycle(ctx, &s3.DeleteBucketLifecycleInput{Bucket: b}))(t)
	must(s.S3.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: b, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}}},
	}}))(t)
	says(t, "1", len(must(s.S3.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: b}))(t).ServerSideEncryptionConfiguration.Rules))
	must(s.S3.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: b}))(t)
	must(s.S3.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicPolicy: aws.Bool(true)}}))(t)
	says(t, "false", must(s.S3.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b}))(t).PublicAccessBlockConfiguration.BlockPublicAcls)
	must(s.S3.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: b}))(t)
	must(s.S3.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: &types.NotificationConfiguration{}}))(t)
	must(s.S3.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: b}))(t)
	must(s.S3.PutBucketLogging(ctx, &s3.PutBucketLoggingInput{Bucket: b, BucketLoggingStatus: &types.BucketLoggingStatus{}}))(t)
	must(s.S3.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: b}))(t)
	must(s.S3.GetBucketAccelerateConfiguration(ctx, &s3.GetBucketAccelerateConfigurationInput{Bucket: b}))(t)
	must(s.S3.PutBucketRequestPayment(ctx, &s3.PutBucketRequestPaymentInput{Bucket: b, RequestPaymentConfiguration: &types.RequestPaymentConfiguration{Payer: types.PayerBucketOwner}}))(t)
	says(t, "BucketOwner", must(s.S3.GetBucketRequestPayment(ctx, &s3.GetBucketRequestPaymentInput{Bucket: b}))(t).Payer)
	must(s.S3.DeleteBucketWebsite(ctx, &s3.DeleteBucketWebsiteInput{Bucket: b}))(t)
	must(s.S3.DeleteBucketReplication(ctx, &s3.DeleteBucketReplicationInput{Bucket: b}))(t)
	versioned := aws.String(*b + "-versions")
	must(s.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: versioned}))(t)
	must(s.S3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: versioned, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))(t)
	says(t, "0", len(must(s.S3.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: versioned}))(t).Versions))
	must(s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: versioned}))(t)
}

// askParts uploads walked/parts in parts, twice, and completes one of the uploads.
func (s *service) askParts(t *testing.T, block []byte, etag string) {
	ctx, bucket, key := t.Context(), aws.String("walked"), aws.String("parts")
	var ids []*string
	for range 2 {
		id := must(s.S3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key}))(t).UploadId
		says(t, etag, must(s.S3.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: bytes.NewReader(block)}))(t).ETag)
		ids = append(ids, id)
	}
	copied := must(s.S3.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: ids[1], PartNumber: aws.Int32(1), CopySource: aws.String("walked/one")}))(t)
	says(t, etag, copied.CopyPartResult.ETag)
	parts := must(s.S3.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: ids[0]}))(t).Parts
	if len(parts) != 1 {
		t.Fatalf("parts %+v", parts)
	}
	says(t, "1 524288 "+etag, parts[0].PartNumber, parts[0].Size, parts[0].ETag)
	uploads := must(s.S3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket}))(t).Uploads
	says(t, "[parts parts]", each(uploads, func(u types.MultipartUpload) *string { return u.Key }))
	must(s.S3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: ids[0]}))(t)
	refused(s.S3.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: ids[0]}))(t, "NoSuchUpload")
	done := must(s.S3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: ids[1], MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: &etag}}},
	}))(t)
	if !strings.HasSuffix(aws.ToString(done.ETag), `-1"`) {
		t.Errorf("an object of one part: %q", aws.ToString(done.ETag))
	}
}
