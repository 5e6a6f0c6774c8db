package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/client"
)

// putImage makes the bucket, the role and the object of an import.
func (s *service) putImage(t *testing.T, path, key string) {
	t.Helper()
	if err := errors.Join(s.EnsureBucket(t.Context(), "images"), s.EnsureRole(t.Context(), "vmimport")); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if err := s.Upload(t.Context(), "images", key, f, fileSize(t, f), func(int64) {}); err != nil {
		t.Fatal(err)
	}
}

func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestTheSourceIsPinnedByTheCall(t *testing.T) {
	dir := t.TempDir()
	raw := mixedRaw(t, dir)
	s := start(t, filepath.Join(dir, "data"))
	s.putImage(t, raw, "disk.raw")
	out, err := s.EC2.ImportSnapshot(t.Context(), &ec2.ImportSnapshotInput{
		DiskContainer: &types.SnapshotDiskContainer{UserBucket: &types.UserBucket{S3Bucket: aws.String("images"), S3Key: aws.String("disk.raw")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := out.SnapshotTaskDetail; aws.ToString(d.Status) != "active" || aws.ToString(d.StatusMessage) != "pending" {
		t.Errorf("the answer says %s, %s", aws.ToString(d.Status), aws.ToString(d.StatusMessage))
	}
	if err := s.RemoveObject(t.Context(), "images", "disk.raw"); err != nil {
		t.Fatal(err)
	}
	task, err := s.Watch(t.Context(), aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		t.Fatalf("task %+v, %v", task, err)
	}
	s.sameDisk(t, task.SnapshotID, raw)
}

// TestCancel cancels an import in its middle, where the source stops answering.
func TestCancel(t *testing.T) {
	dir := t.TempDir()
	third := startThirdParty(t, smallRaw(t, dir, "disk.raw"))
	elsewhere(t, "SOURCE", "THIRD", "third secret")
	s := start(t, filepath.Join(dir, "data"), "--source-endpoint", third.URL, "--source-sts", "none")
	if err := s.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	held := third.hold(theMiddle)
	out, err := s.EC2.ImportSnapshot(t.Context(), importOf("s3://images/disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	id := aws.ToString(out.ImportTaskId)
	s.awaitHeld(t, id, held)
	cancelled, err := s.EC2.CancelImportTask(t.Context(), &ec2.CancelImportTaskInput{ImportTaskId: out.ImportTaskId})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(cancelled.PreviousState) != "active" || aws.ToString(cancelled.State) != "deleting" {
		t.Errorf("cancelling: from %s to %s", aws.ToString(cancelled.PreviousState), aws.ToString(cancelled.State))
	}
	task, err := s.Watch(t.Context(), id, func(client.Task) {})
	if err != nil || task.Status != "deleted" || task.SnapshotID != "" {
		t.Errorf("the task ended as %+v, %v", task, err)
	}
	if snapshots, err := s.Snapshots(t.Context()); err != nil || len(snapshots) != 0 {
		t.Errorf("%d snapshots are left, %v", len(snapshots), err)
	}
	if err := s.Cancel(t.Context(), id); errorCode(err) == "" {
		t.Errorf("cancelling what has ended: %v, want a refusal", err)
	}
	if _, err := s.CollectGarbage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, s.blocks(t)); len(left) > 0 {
		t.Errorf("files are left in the store: %v", left)
	}
}

// tree lists the regular files under a folder.
func tree(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, "blocks/identity") { // the store's own
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	raw := mixedRaw(t, dir)
	cert, key := makeCertificate(t, dir)
	s := start(t, filepath.Join(dir, "data"), "--tls-cert", cert, "--tls-key", key)
	s.trust(t, cert)
	if !strings.HasPrefix(s.endpoint, "https://") {
		t.Errorf("the endpoint is %s", s.endpoint)
	}
	// 100 MiB and more in parts, whose checksums come as trailers over https.
	task := s.imported(t, raw, "")
	s.sameDisk(t, task.SnapshotID, raw)
	small := writeFile(t, dir, "small", "hello\n")
	for _, args := range [][]string{
		{"s3", "mb", "s3://over-tls"},
		{"s3", "cp", "--only-show-errors", small, "s3://over-tls/small"},
		{"s3", "cp", "--only-show-errors", raw, "s3://over-tls/large"},
		{"s3", "cp", "--only-show-errors", "s3://over-tls/large", filepath.Join(dir, "back")},
	} {
		s.aws(t, append([]string{"--ca-bundle", cert}, args...)...)
	}
	equalFiles(t, filepath.Join(dir, "back"), raw)
}
