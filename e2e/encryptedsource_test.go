package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/diskport/diskport/internal/client"
)

// role makes a service role that may read all objects, and what else actions say.
func (s *service) role(t *testing.T, name string, actions ...string) {
	t.Helper()
	trust := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}}`
	if _, err := s.IAM.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}); err != nil {
		t.Fatal(err)
	}
	may := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*","Action":["s3:GetObject","` + strings.Join(actions, `","`) + `"]}}`
	if _, err := s.IAM.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name, PolicyDocument: &may}); err != nil {
		t.Fatal(err)
	}
}

// putUnder puts a file into bucket images, encrypted under a KMS key.
func (s *service) putUnder(t *testing.T, path, object, key string) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String("images"), Key: &object, Body: open(t, path), ServerSideEncryption: s3types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &key}
	if _, err := s.S3.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// importAs imports an object of bucket images into an encrypted snapshot.
func (s *service) importAs(t *testing.T, object, role string) (client.Task, error) {
	t.Helper()
	out, err := s.ec2().ImportSnapshot(t.Context(), &ec2.ImportSnapshotInput{
		RoleName: &role, Encrypted: aws.Bool(true), DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://images/" + object)},
	})
	if err != nil {
		return client.Task{}, err
	}
	task, err := s.Watch(t.Context(), *out.ImportTaskId, func(client.Task) {})
	if err != nil {
		t.Fatal(err)
	}
	return task, nil
}

// TestImportOfAnEncryptedObject imports what lies under a KMS key into a snapshot that
// does too: its plaintext never gets to the disk.
func TestImportOfAnEncryptedObject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	mark := []byte("planted in the clear for a search through all files")
	makeMarked(t, raw, mark)
	s := start(t, filepath.Join(dir, "data"))
	if err := s.EnsureBucket(t.Context(), "images"); err != nil {
		t.Fatal(err)
	}
	s.role(t, "reader", "kms:DescribeKey")
	s.role(t, "decrypter", "kms:DescribeKey", "kms:Decrypt", "kms:GenerateDataKey*", "kms:CreateGrant")
	k := s.key(t, nil)
	s.putUnder(t, raw, "disk.raw", *k.KeyId)
	_, err := s.importAs(t, "disk.raw", "reader")
	if errorCode(err) != "InvalidParameter" || !strings.Contains(err.Error(), "The service role reader provided does not exist or does not have sufficient permissions") {
		t.Errorf("as a role that may not decrypt it: %v", err)
	}
	task, err := s.importAs(t, "disk.raw", "decrypter")
	if err != nil || task.Status != "completed" {
		t.Fatalf("%+v, %v", task, err)
	}
	s.sameDisk(t, task.SnapshotID, raw)
	if found := search(t, s.data, mark); len(found) != 0 {
		t.Errorf("it is in the clear in %v", found)
	}
	if _, err := s.kms().DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	task, err = s.importAs(t, "disk.raw", "decrypter")
	if err != nil || task.Failure == nil || task.Failure.Reason != "source-key" ||
		task.Failure.Message != "ClientError: Disk validation failed [We do not have access to the given resource. Reason 400 Bad Request]" {
		t.Errorf("under a disabled key: %+v, %v", task, err)
	}
}
