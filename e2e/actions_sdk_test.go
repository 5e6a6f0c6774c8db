package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/diskport/diskport/internal/client"
)

// tokened is an import of bucket images with a client token.
func tokened(token, key, format string) *ec2.ImportSnapshotInput {
	in := &ec2.ImportSnapshotInput{ClientToken: &token, DiskContainer: &types.SnapshotDiskContainer{
		UserBucket: &types.UserBucket{S3Bucket: aws.String("images"), S3Key: &key},
	}}
	if format != "" {
		in.DiskContainer.Format = &format
	}
	return in
}

// TestTokensOverTheirLife: a refused request does not use up its token; of many
// requests at once, one makes the task; the token stands for the task after it has
// failed, and after a restart.
func TestTokensOverTheirLife(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	raw := smallRaw(t, dir, "disk.raw")
	data := filepath.Join(dir, "data")
	s := start(t, data)
	s.putImage(t, raw, "disk.raw")

	bare := tokened("once", "disk.raw", "")
	bare.RoleName = aws.String("powerless")
	refuse := func(want string) {
		t.Helper()
		if _, err := s.EC2.ImportSnapshot(ctx, bare); errorCode(err) != "InvalidParameter" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	refuse("The service role powerless provided does not exist or does not have sufficient permissions")
	if _, err := s.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: bare.RoleName, AssumeRolePolicyDocument: aws.String(trustPolicy)}); err != nil {
		t.Fatal(err)
	}
	refuse("User does not have access to the S3 object (images/disk.raw).")
	rights := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::images/*"}}`
	if _, err := s.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: bare.RoleName, PolicyName: aws.String("p"), PolicyDocument: &rights}); err != nil {
		t.Fatal(err)
	}
	id := s.manyAtOnce(t, bare)
	failed, err := s.EC2.ImportSnapshot(ctx, tokened("fails", "disk.raw", "VMDK"))
	if err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]string{id: "completed", *failed.ImportTaskId: "deleted"} {
		if got, err := s.Watch(ctx, task, func(client.Task) {}); err != nil || got.Status != want {
			t.Errorf("%s ended %s, %v; want %s", task, got.Status, err, want)
		}
	}
	s.stop(t)

	s = start(t, data, "--failed-status", "error")
	again, err := s.EC2.ImportSnapshot(ctx, bare)
	if err != nil || *again.ImportTaskId != id || aws.ToString(again.SnapshotTaskDetail.Status) != "completed" {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
	again, err = s.EC2.ImportSnapshot(ctx, tokened("fails", "disk.raw", "vmdk")) // the case of Format makes no difference
	if err != nil || *again.ImportTaskId != *failed.ImportTaskId || aws.ToString(again.SnapshotTaskDetail.Status) != "error" {
		t.Errorf("what failed: %+v, %v", again, err)
	}
	if _, err := s.EC2.ImportSnapshot(ctx, tokened("fails", "disk.raw", "RAW")); errorCode(err) != "IdempotentParameterMismatch" {
		t.Errorf("another request with the token: %v", err)
	}
	s.waitersAndPages(t, []string{id, *failed.ImportTaskId})
}

// manyAtOnce sends one request eight times and returns the one task.
func (s *service) manyAtOnce(t *testing.T, in *ec2.ImportSnapshotInput) string {
	t.Helper()
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			out, err := s.EC2.ImportSnapshot(t.Context(), in)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = *out.ImportTaskId
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] != ids[len(ids)-1] {
		t.Fatalf("one token made %v", ids)
	}
	return ids[0]
}

// waitersAndPages: with --failed-status error the SDK's waiter sees a failure, and its
// paginator sees each task once.
func (s *service) waitersAndPages(t *testing.T, ids []string) {
	t.Helper()
	waiter := ec2.NewSnapshotImportedWaiter(s.EC2, func(o *ec2.SnapshotImportedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second })
	err := waiter.Wait(t.Context(), &ec2.DescribeImportSnapshotTasksInput{ImportTaskIds: ids}, patience)
	if err == nil || !strings.Contains(err.Error(), "Failure") {
		t.Errorf("the waiter says %v, want a failure", err)
	}
	var seen []string
	pages := ec2.NewDescribeImportSnapshotTasksPaginator(s.EC2, &ec2.DescribeImportSnapshotTasksInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range out.ImportSnapshotTasks {
			seen = append(seen, *task.ImportTaskId)
		}
	}
	slices.Sort(ids)
	if slices.Sort(seen); !slices.Equal(seen, ids) {
		t.Errorf("pages hold %v, want %v", seen, ids)
	}
}

// TestDryRunOfSomebodyElse: a dry run also checks permissions, and does nothing.
func TestDryRunOfSomebodyElse(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := start(t, filepath.Join(dir, "data"))
	ann := aws.String("ann")
	if _, err := s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: ann}); err != nil {
		t.Fatal(err)
	}
	key, err := s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: ann})
	if err != nil {
		t.Fatal(err)
	}
	theirs := ec2.New(s.EC2.Options(), func(o *ec2.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	})
	in := tokened("dry", "none.raw", "")
	in.DryRun = aws.Bool(true)
	if _, err := theirs.ImportSnapshot(ctx, in); errorCode(err) != "UnauthorizedOperation" {
		t.Errorf("without a permission: %v", err)
	}
	rights := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:ImportSnapshot","Resource":"*"}}`
	if _, err := s.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: ann, PolicyName: aws.String("p"), PolicyDocument: &rights}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.ImportSnapshot(ctx, in); errorCode(err) != "DryRunOperation" {
		t.Errorf("with it: %v", err)
	}
	in.ClientToken = aws.String(strings.Repeat("x", 65))
	if _, err := theirs.ImportSnapshot(ctx, in); errorCode(err) != "InvalidParameterValue" {
		t.Errorf("with a bad parameter: %v", err)
	}
	if out, err := s.EC2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{}); err != nil || len(out.ImportSnapshotTasks) != 0 {
		t.Errorf("%d tasks, %v", len(out.ImportSnapshotTasks), err)
	}
}
