package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/diskport/diskport/internal/client"
)

// thirdParty is an S3 that shares no code with ours, at an address of its own.
// It holds images/disk.raw. before sees each request for bytes, and may answer it.
type thirdParty struct {
	*httptest.Server
	s3     *s3.Client
	before atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func startThirdParty(t *testing.T, raw string) *thirdParty {
	t.Helper()
	third, fake := &thirdParty{}, gofakes3.New(s3mem.New()).Server()
	third.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before := third.before.Load(); before != nil && r.Method == http.MethodGet && (*before)(w, r) {
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(third.Close)
	third.s3 = s3.New(s3.Options{
		Region: region, BaseEndpoint: &third.URL, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("THIRD", "third secret", ""),
	})
	if _, err := third.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("images")}); err != nil {
		t.Fatal(err)
	}
	third.put(t, raw)
	return third
}

func (p *thirdParty) put(t *testing.T, path string) {
	t.Helper()
	if _, err := p.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw"), Body: open(t, path)}); err != nil {
		t.Error(err)
	}
}

// hold makes every request for bytes for which due returns true wait until its
// client is gone. The channel is closed when the first one waits.
func (p *thirdParty) hold(due func(r *http.Request) bool) <-chan struct{} {
	held := make(chan struct{})
	var once sync.Once
	wait := func(_ http.ResponseWriter, r *http.Request) bool {
		if !due(r) {
			return false
		}
		once.Do(func() { close(held) })
		<-r.Context().Done()
		return true
	}
	p.before.Store(&wait)
	return held
}

// theMiddle is due for bytes in the middle of a smallRaw, since detecting the
// format reads only the ends of a disk.
func theMiddle(r *http.Request) bool {
	var first, last int64
	_, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	return err == nil && first >= 8<<20 && last < 24<<20
}

// elsewhere sets the keys for another service that a service is started with.
func elsewhere(t *testing.T, prefix, id, secret string) {
	t.Helper()
	t.Setenv("DISKPORT_"+prefix+"_ACCESS_KEY_ID", id)
	t.Setenv("DISKPORT_"+prefix+"_SECRET_ACCESS_KEY", secret)
}

// smallRaw makes a raw disk that takes little time to upload.
func smallRaw(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	makeRaw(t, path, 32<<20+4096+512, 700<<10, 2<<20+512)
	return path
}

func importOf(url string) *ec2.ImportSnapshotInput {
	return &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{Url: &url}}
}

func TestImportFromAThirdPartysS3(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	third := startThirdParty(t, raw)
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	s := start(t, filepath.Join(dir, "data"), "--source-endpoint", third.URL, "--source-sts", "none")
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	storm := func(w http.ResponseWriter, _ *http.Request) bool {
		fail := requests.Add(1)%3 == 0
		if fail {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return fail
	}
	third.before.Store(&storm)
	out, err := s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	task, err := s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("with every third request refused: %v, %+v", err, task.Failure)
	}
	s.sameDisk(t, task.SnapshotID, raw)

	other := smallRaw(t, dir, "other.raw")
	f, err := os.OpenFile(other, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("another"), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var replaced atomic.Bool
	replace := func(http.ResponseWriter, *http.Request) bool {
		if replaced.CompareAndSwap(false, true) {
			third.put(t, other)
		}
		return false
	}
	third.before.Store(&replace)
	out, err = s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	task, err = s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Failure == nil || task.Failure.Reason != "source-changed" {
		t.Errorf("replaced in the middle: %v, %+v, want a failure", err, task)
	}

	// An object that is uploaded here is found here, even with a foreign S3.
	task = s.imported(t, raw, "")
	s.sameDisk(t, task.SnapshotID, raw)
}

// TestImportThroughARoleElsewhere makes one service read from another, in a role
// that the other's STS lets it assume.
func TestImportThroughARoleElsewhere(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	far := start(t, filepath.Join(dir, "far"))
	far.putImage(t, raw, "folder/disk.raw")
	id, secret := far.reader(t)
	elsewhere(t, "SOURCE", id, secret)
	near := start(t, filepath.Join(dir, "near"), "--source-endpoint", far.endpoint)
	if err := near.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	refused := func(t *testing.T, in *ec2.ImportSnapshotInput, text string) {
		t.Helper()
		_, err := near.EC2.ImportSnapshot(ctx, in)
		if errorCode(err) != "InvalidParameter" || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	const roleText = "The service role vmimport provided does not exist or does not have sufficient permissions"
	const objectText = "User does not have access to the S3 object (images/folder/disk.raw)."
	refused(t, importOf("s3://images/folder/disk.raw"), roleText) // it trusts the import service, not us
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/near"},` +
		`"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"vmimport"}}}]}`
	if _, err := far.IAM.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("vmimport"), PolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{
		"by name": "s3://images/folder/disk.raw", "by address": far.endpoint + "/images/folder/disk.raw", "presigned": far.presign(t, "folder/disk.raw"),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := near.EC2.ImportSnapshot(ctx, importOf(url))
			if err != nil {
				t.Fatal(err)
			}
			task, err := near.Watch(ctx, aws.ToString(out.ImportTaskId), func(client.Task) {})
			if err != nil || task.Status != "completed" {
				t.Fatalf("%v, %+v", err, task)
			}
			near.sameDisk(t, task.SnapshotID, raw)
		})
	}
	forged := strings.Replace(far.presign(t, "folder/disk.raw"), "X-Amz-Signature=", "X-Amz-Signature=0", 1)
	refused(t, importOf(forged), objectText)
	refused(t, importOf("http://127.0.0.1:1/images/folder/disk.raw"), "Invalid S3 source location")
	refused(t, importOf("https://images.s3.eu-west-1.amazonaws.com/folder/disk.raw"), "not local to the region")
	refused(t, importOf("s3://images/missing"), "User does not have access to the S3 object (images/missing).")
	if _, err := far.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("vmimport"), PolicyName: aws.String("vmimport")}); err != nil {
		t.Fatal(err)
	}
	refused(t, importOf("s3://images/folder/disk.raw"), objectText)
	if log := near.log.String(); strings.Contains(log, secret) || strings.Contains(log, "X-Amz-Signature") {
		t.Error("the log holds a secret")
	}
}

// reader makes a user that may assume roles, and returns its access key.
func (s *service) reader(t *testing.T) (id, secret string) {
	t.Helper()
	ctx, name := t.Context(), aws.String("near")
	if _, err := s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	if _, err := s.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
	key, err := s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(key.AccessKey.AccessKeyId), aws.ToString(key.AccessKey.SecretAccessKey)
}

// presign returns a Url of an object of bucket images.
func (s *service) presign(t *testing.T, key string) string {
	t.Helper()
	signed, err := s3.NewPresignClient(s.S3).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("images"), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return signed.URL
}

// TestKeysElsewhere makes one service encrypt under the keys of another.
func TestKeysElsewhere(t *testing.T) {
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	far := start(t, filepath.Join(dir, "far"))
	ctx := t.Context()
	elsewhere(t, "KMS", keyID, secret)
	near := start(t, filepath.Join(dir, "near"), "--kms-endpoint", far.endpoint)
	near.putImage(t, raw, "disk.raw")
	use := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	if _, err := near.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("vmimport"), PolicyName: aws.String("keys"), PolicyDocument: &use}); err != nil {
		t.Fatal(err)
	}
	if _, err := near.kms().CreateKey(ctx, &kms.CreateKeyInput{}); errorCode(err) != "UnsupportedOperationException" || !strings.Contains(err.Error(), far.endpoint) {
		t.Errorf("making a key where none live: %v, want to be told where", err)
	}
	k := far.key(t, nil)
	_, task := near.importUnder(t, "disk.raw", *k.Arn)
	if task.Status != "completed" {
		t.Fatalf("under a key elsewhere: %+v", task)
	}
	near.sameDisk(t, task.SnapshotID, raw)
	// The policy of alias/aws/ebs there admits only EBS, as at AWS, so a default
	// key has to be chosen.
	if _, task := near.importUnder(t, "disk.raw", ""); task.Failure == nil || task.Failure.Reason != "key-access-denied" {
		t.Errorf("under the default key elsewhere: %+v, want a refusal", task)
	}
	if _, err := near.EC2.ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: k.Arn}); err != nil {
		t.Fatal(err)
	}
	id := near.aws(t, "ec2", "import-snapshot", "--encrypted", "--disk-container", "Url=s3://images/disk.raw", "--query", "ImportTaskId")
	if task, err := near.Watch(ctx, id, func(client.Task) {}); err != nil || task.Status != "completed" {
		t.Errorf("under the default key: %v, %+v", err, task)
	}
	near.putUnder(t, raw, "under.raw", *k.Arn)
	if _, task := near.importUnder(t, "under.raw", *k.Arn); task.Status != "completed" {
		t.Errorf("an object under a key elsewhere: %+v", task)
	}
	if _, err := far.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := near.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("under.raw")}); errorCode(err) != "KMS.DisabledException" {
		t.Errorf("an object under a disabled key elsewhere: %v", err)
	}
	if _, task := near.importUnder(t, "disk.raw", *k.KeyId); task.Failure == nil || task.Failure.Message != inaccessible {
		t.Errorf("under a disabled key: %+v, want %s", task, inaccessible)
	}
	far.stop(t)
	quick := ec2.NewFromConfig(aws.Config{Region: region, Credentials: near.creds, BaseEndpoint: &near.endpoint, RetryMaxAttempts: 1})
	if _, err := quick.ModifyEbsDefaultKmsKeyId(ctx, &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: aws.String("alias/other")}); errorCode(err) != "Unavailable" {
		t.Errorf("with the KMS gone: %v, want Unavailable", err)
	}
}
