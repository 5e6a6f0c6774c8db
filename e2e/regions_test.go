package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/diskport/diskport/internal/client"
)

// in returns a client of EC2 that signs for a region, with a user's keys.
func (s *service) in(region string, creds aws.CredentialsProvider) *ec2.Client {
	return ec2.NewFromConfig(aws.Config{Region: region, Credentials: creds, BaseEndpoint: &s.endpoint, HTTPClient: s.http})
}

// user makes a user with a policy of the statements.
func (s *service) user(t *testing.T, name, statements string) aws.CredentialsProvider {
	t.Helper()
	ctx, document := t.Context(), `{"Version":"2012-10-17","Statement":[`+statements+`]}`
	if _, err := s.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &name, PolicyDocument: &document}); err != nil {
		t.Fatal(err)
	}
	key, err := s.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
}

// TestNobodyChoosesARegionToEscape: to sign for another region changes neither what a
// bucket's Deny holds for nor where a snapshot is.
func TestNobodyChoosesARegionToEscape(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"))
	ctx := t.Context()
	s.putImage(t, smallRaw(t, dir, "disk.raw"), "disk.raw")
	image := &ec2types.SnapshotDiskContainer{UserBucket: &ec2types.UserBucket{S3Bucket: aws.String("images"), S3Key: aws.String("disk.raw")}}
	task, err := s.EC2.ImportSnapshot(ctx, &ec2.ImportSnapshotInput{DiskContainer: image})
	if err != nil {
		t.Fatal(err)
	}
	done, err := s.Watch(ctx, *task.ImportTaskId, func(client.Task) {})
	if err != nil || done.SnapshotID == "" {
		t.Fatalf("got %+v, %v", done, err)
	}
	snap := &done.SnapshotID
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"},`
	noBucket := s.user(t, "nobucket", all+`{"Effect":"Deny","Action":"*","Resource":["arn:aws:s3:::images","arn:aws:s3:::images/*"]}`)
	protected := s.user(t, "protected", all+`{"Effect":"Deny","Action":"ec2:DeleteSnapshot","Resource":"arn:aws:ec2:`+region+`::snapshot/`+*snap+`"}`)
	for signed, want := range map[string][2]string{ // of ImportSnapshot and of DeleteSnapshot
		region:       {"InvalidParameter", "UnauthorizedOperation"},
		"eu-north-1": {"InvalidParameter", "InvalidSnapshot.NotFound"},
		"cn-north-1": {"AuthFailure", "AuthFailure"},
		"us-east-1a": {"AuthFailure", "AuthFailure"},
	} {
		if _, err := s.in(signed, noBucket).ImportSnapshot(ctx, &ec2.ImportSnapshotInput{DiskContainer: image}); errorCode(err) != want[0] {
			t.Errorf("ImportSnapshot of what is denied, signed for %s: %v", signed, err)
		}
		if _, err := s.in(signed, protected).DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: snap}); errorCode(err) != want[1] {
			t.Errorf("DeleteSnapshot of what is protected, signed for %s: %v", signed, err)
		}
	}
	if _, err := s.in("eu-north-1", s.creds).ImportSnapshot(ctx, &ec2.ImportSnapshotInput{DiskContainer: image}); err == nil ||
		!strings.Contains(err.Error(), "not local to the region. The object must be located in eu-north-1.") {
		t.Errorf("ImportSnapshot from a bucket of another region: %v", err)
	}
	found, err := s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*snap}})
	if err != nil || len(found.Snapshots) != 1 {
		t.Errorf("the snapshot: %+v, %v", found, err)
	}
}

// TestRegions: what is made in one region is seen there, in every way to look, and
// copies go from one to another.
func TestRegions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "data"), "--region", "eu-west-1", "--regions", "eu-west-1,eu-north-1")
	ctx, north, west := t.Context(), s.in("eu-north-1", s.creds), s.in("eu-west-1", s.creds)
	blocks := func(region string) *ebs.Client {
		return ebs.New(ebs.Options{BaseEndpoint: &s.endpoint, Region: region, Credentials: s.creds, HTTPClient: s.http})
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("diskport", append(args, "--data", s.data)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	run("import", smallRaw(t, dir, "disk.raw"))
	listed, err := west.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil || len(listed.Snapshots) != 1 {
		t.Fatalf("in the service's own region: %+v, %v", listed, err)
	}
	snap := listed.Snapshots[0].SnapshotId
	copied, err := north.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceRegion: aws.String("eu-west-1"), SourceSnapshotId: snap})
	if err != nil {
		t.Fatal(err)
	}
	if err := ec2.NewSnapshotCompletedWaiter(north, quickly).Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*copied.SnapshotId}}, patience); err != nil {
		t.Fatal(err)
	}
	for region, id := range map[string]*string{"eu-west-1": snap, "eu-north-1": copied.SnapshotId} {
		if _, err := blocks(region).ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: id}); err != nil {
			t.Errorf("reading in %s: %v", region, err)
		}
		if out := run("snapshots", "--region", region); !strings.Contains(out, *id) || strings.Count(out, "\nsnap-") != 1 {
			t.Errorf("snapshots of %s: %s", region, out)
		}
	}
	if _, err := blocks("eu-north-1").ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: snap}); errorCode(err) != "ResourceNotFoundException" {
		t.Errorf("reading in another region: %v", err)
	}
	if out := run("snapshots", "--all-regions"); !strings.Contains(out, *snap) || !strings.Contains(out, *copied.SnapshotId) {
		t.Errorf("snapshots of all regions: %s", out)
	}
	if out := run("verify", "--all-regions"); strings.Count(out, ": ok") != 2 {
		t.Errorf("verify: %s", out)
	}
	if out := run("env"); !strings.Contains(out, "AWS_REGION='eu-west-1'") {
		t.Errorf("env: %s", out)
	}
	if _, err := s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{}); errorCode(err) != "AuthFailure" {
		t.Errorf("a region that the service does not play: %v", err)
	}
}

// TestACommandLeavesTheServicesRegion: a command for which no service runs starts one
// for itself, whose own region is the one of before, wherever the command looks.
func TestACommandLeavesTheServicesRegion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := smallRaw(t, dir, "disk.raw")
	for _, c := range []struct {
		args  []string
		lists int // snapshots
	}{
		{[]string{"import", raw, "--region", "eu-west-1"}, 1},
		{[]string{"snapshots", "--region", "eu-north-1"}, 0},
		{[]string{"snapshots"}, 1},
	} {
		cmd := exec.Command("diskport", append(c.args, "--data", "data")...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil || strings.Count("\n"+string(out), "\nsnap-") != c.lists {
			t.Errorf("%v: %v, want %d snapshots:\n%s", c.args, err, c.lists, out)
		}
	}
}
