package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
)

// neighbour makes another account and returns it, and the service with clients that
// use its root key.
func (s *service) neighbour(t *testing.T) (client.Account, *service) {
	t.Helper()
	account, err := s.AddAccount(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	other := &service{endpoint: s.endpoint, data: s.data, http: s.http, log: s.log}
	other.creds = credentials.NewStaticCredentialsProvider(account.AccessKeyID, account.SecretAccessKey, "")
	other.connect()
	return account, other
}

// kms returns a client of the service's KMS.
func (s *service) kms() *kms.Client {
	return kms.NewFromConfig(aws.Config{Region: region, Credentials: s.creds, BaseEndpoint: &s.endpoint, HTTPClient: s.http})
}

func TestAccountsAreIsolated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	ours := start(t, filepath.Join(dir, "data"))
	account, theirs := ours.neighbour(t)
	ctx := t.Context()
	ours.putImage(t, raw, "disk.raw")
	in := &ec2.ImportSnapshotInput{
		ClientToken:   aws.String("one token, two accounts"),
		DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://images/disk.raw")},
	}
	out, err := ours.EC2.ImportSnapshot(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	task, err := ours.Watch(ctx, aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("the import: %v, %+v", err, task)
	}
	key, err := ours.kms().CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}

	refused := map[string]struct {
		ask  func() error
		code string
	}{
		"task": {func() error {
			_, err := theirs.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: []string{task.ID}})
			return err
		}, "InvalidConversionTaskId.Malformed"},
		"cancelled task": {func() error { return theirs.Cancel(ctx, task.ID) }, "InvalidConversionTaskId.Malformed"},
		"snapshot": {func() error {
			_, err := theirs.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{task.SnapshotID}})
			return err
		}, "InvalidSnapshot.NotFound"},
		"deleted snapshot": {func() error { return theirs.Delete(ctx, task.SnapshotID) }, "InvalidSnapshot.NotFound"},
		"blocks": {func() error {
			_, err := theirs.EBS.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &task.SnapshotID})
			return err
		}, "ResourceNotFoundException"},
		"object": {func() error {
			_, err := theirs.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("images"), Key: aws.String("disk.raw")})
			return err
		}, "AccessDenied"},
		"put object": {func() error {
			_, err := theirs.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("images"), Key: aws.String("x"), Body: strings.NewReader("x")})
			return err
		}, "AccessDenied"},
		"role": {func() error {
			_, err := theirs.IAM.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("vmimport")})
			return err
		}, "NoSuchEntity"},
		"key": {func() error {
			_, err := theirs.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyMetadata.Arn})
			return err
		}, "AccessDeniedException"},
		"import without a role": {func() error { _, err := theirs.EC2.ImportSnapshot(ctx, in); return err }, "InvalidParameter"},
	}
	for name, tt := range refused {
		t.Run(name, func(t *testing.T) {
			if err := tt.ask(); errorCode(err) != tt.code {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
	t.Run("import of another's object", func(t *testing.T) {
		if err := theirs.EnsureRole(ctx, "vmimport"); err != nil {
			t.Fatal(err)
		}
		_, err := theirs.EC2.ImportSnapshot(ctx, in)
		if err == nil || !strings.Contains(err.Error(), "User does not have access to the S3 object (images/disk.raw).") {
			t.Errorf("%v, want no access to the object", err)
		}
	})
	t.Run("nothing listed", func(t *testing.T) { theirs.ownNothing(t) })
	t.Run("let into the bucket", func(t *testing.T) {
		document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account.ID + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::images/*"}}`
		if _, err := ours.S3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: aws.String("images"), Policy: &document}); err != nil {
			t.Fatal(err)
		}
		out, err := theirs.EC2.ImportSnapshot(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		made, err := theirs.Watch(ctx, aws.ToString(out.ImportTaskId), func(client.Task) {})
		if err != nil || made.Status != "completed" {
			t.Fatalf("%v, %+v", err, made)
		}
		if err := theirs.Delete(ctx, made.SnapshotID); err != nil {
			t.Error(err)
		}
	})
	t.Run("shared", func(t *testing.T) { shareWith(t, ours, theirs, account.ID, task.SnapshotID) })
}

// ownNothing checks that lists of everything are empty.
func (s *service) ownNothing(t *testing.T) {
	ctx := t.Context()
	if tasks, err := s.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{}); err != nil || len(tasks.ImportSnapshotTasks) != 0 {
		t.Errorf("tasks: %v, %+v", err, tasks)
	}
	if snapshots, err := s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{}); err != nil || len(snapshots.Snapshots) != 0 {
		t.Errorf("snapshots: %v, %+v", err, snapshots)
	}
	if buckets, err := s.S3.ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil || len(buckets.Buckets) != 0 {
		t.Errorf("buckets: %v, %+v", err, buckets)
	}
	if keys, err := s.kms().ListKeys(ctx, &kms.ListKeysInput{}); err != nil || len(keys.Keys) != 0 {
		t.Errorf("keys: %v, %+v", err, keys)
	}
	if users, err := s.IAM.ListUsers(ctx, &iam.ListUsersInput{}); err != nil || len(users.Users) != 0 {
		t.Errorf("users: %v, %+v", err, users)
	}
	if _, err := s.Accounts(ctx); err == nil {
		t.Error("the list of accounts is open to all of them")
	}
}

// shareWith checks what the other account can do with a snapshot that is shared
// with it, and that the account can't be removed before what it made from it.
func shareWith(t *testing.T, ours, theirs *service, account, snapshot string) {
	ctx := t.Context()
	_, err := ours.EC2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: &snapshot, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		OperationType: types.OperationTypeAdd, UserIds: []string{account},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.EBS.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &snapshot}); err != nil {
		t.Errorf("listing blocks of a shared snapshot: %v", err)
	}
	if err := theirs.Delete(ctx, snapshot); errorCode(err) == "" {
		t.Errorf("deleting a shared snapshot: %v, want a refusal", err)
	}
	copied, err := theirs.EC2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String(region), SourceSnapshotId: &snapshot})
	if err != nil {
		t.Fatalf("copying a shared snapshot: %v", err)
	}
	if _, err := theirs.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if err := ours.RemoveAccount(ctx, account); err == nil || !strings.Contains(err.Error(), "still owns 1 snapshot, 1 bucket") {
		t.Errorf("removing the account: %v, want what it owns", err)
	}
	waiter := ec2.NewSnapshotCompletedWaiter(theirs.EC2, quickly)
	if err := waiter.Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{aws.ToString(copied.SnapshotId)}}, patience); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Delete(ctx, aws.ToString(copied.SnapshotId)); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if err := ours.RemoveAccount(ctx, account); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{}); errorCode(err) != "AuthFailure" {
		t.Errorf("a request of the removed account: %v, want AuthFailure", err)
	}
}

const patience = 10 * time.Minute

// quickly makes a waiter ask more often than it does by default.
func quickly(o *ec2.SnapshotCompletedWaiterOptions) {
	o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
}
