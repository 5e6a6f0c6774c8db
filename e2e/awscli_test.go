package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const trustPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},
 "Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:Externalid":"vmimport"}}}]}`

const rolePolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject","s3:ListBucket"],
  "Resource":["arn:aws:s3:::my-import-bucket","arn:aws:s3:::my-import-bucket/*"]},
 {"Effect":"Allow","Action":["ec2:ModifySnapshotAttribute","ec2:CopySnapshot","ec2:RegisterImage","ec2:Describe*"],"Resource":"*"}]}`

// TestUserGuide follows the recipe of the AWS user guide to the letter, and undoes
// it again.
func TestUserGuide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw := mixedRaw(t, dir)
	vmdk := convert(t, raw, "my-server-vm.vmdk", "-O vmdk -o subformat=streamOptimized")
	s := start(t, filepath.Join(dir, "data"))
	s.aws(t, "s3", "mb", "s3://my-import-bucket")
	s.aws(t, "s3", "cp", "--only-show-errors", vmdk, "s3://my-import-bucket/vms/my-server-vm.vmdk")
	if ls := s.aws(t, "s3", "ls", "s3://my-import-bucket/vms/"); !strings.HasSuffix(ls, " my-server-vm.vmdk") {
		t.Errorf("aws s3 ls says %q", ls)
	}
	containers := writeFile(t, dir, "containers.json", `{"Description":"My server VMDK","Format":"VMDK",
	 "UserBucket":{"S3Bucket":"my-import-bucket","S3Key":"vms/my-server-vm.vmdk"}}`)
	importSnapshot := []string{"ec2", "import-snapshot", "--description", "My server VM", "--disk-container", "file://" + containers}

	out, err := s.tryAWS(importSnapshot...)
	if err == nil || !strings.Contains(out, "The service role vmimport provided does not exist or does not have sufficient permissions") {
		t.Errorf("without the role, aws says %q (%v)", out, err)
	}
	s.aws(t, "iam", "create-role", "--role-name", "vmimport", "--assume-role-policy-document", "file://"+writeFile(t, dir, "trust.json", trustPolicy))
	s.aws(t, "iam", "put-role-policy", "--role-name", "vmimport", "--policy-name", "vmimport",
		"--policy-document", "file://"+writeFile(t, dir, "role.json", rolePolicy))

	out, err = s.tryAWS(append(importSnapshot, "--dry-run")...)
	if err == nil || !strings.Contains(out, "DryRunOperation") {
		t.Errorf("the dry run says %q (%v)", out, err)
	}
	taskID := s.aws(t, append(importSnapshot, "--tag-specifications",
		"ResourceType=import-snapshot-task,Tags=[{Key=stage,Value=test}]", "--query", "ImportTaskId")...)
	snapshotID := s.awaitTask(t, taskID)
	s.sameDisk(t, snapshotID, raw)
	s.lookAround(t, snapshotID)
	s.undo(t, snapshotID)
}

// awaitTask polls as scripts do, and returns the snapshot.
func (s *service) awaitTask(t *testing.T, taskID string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		out := s.aws(t, "ec2", "describe-import-snapshot-tasks", "--import-task-ids", taskID, "--output", "json",
			"--query", "ImportSnapshotTasks[0].SnapshotTaskDetail")
		var detail struct{ Status, StatusMessage, SnapshotId, Format string } // AWS's name
		if err := json.Unmarshal([]byte(out), &detail); err != nil {
			t.Fatalf("reading %s: %v", out, err)
		}
		switch detail.Status {
		case "completed":
			return detail.SnapshotId
		case "active":
		default:
			t.Fatalf("task is %+v", detail)
		}
	}
	t.Fatalf("task %s did not end within a minute", taskID)
	return ""
}

// lookAround makes the calls that users make once they have a snapshot.
func (s *service) lookAround(t *testing.T, snapshotID string) {
	t.Helper()
	want := "100%\tcompleted\t1\tMy server VM"
	got := s.aws(t, "ec2", "describe-snapshots", "--owner-ids", "self", "--snapshot-ids", snapshotID,
		"--query", "Snapshots[0].[Progress,State,VolumeSize,Description]")
	if got != want {
		t.Errorf("describe-snapshots says %q, want %q", got, want)
	}
	s.aws(t, "ec2", "wait", "snapshot-completed", "--snapshot-ids", snapshotID)
	s.aws(t, "ec2", "create-tags", "--resources", snapshotID, "--tags", "Key=Name,Value=web")
	got = s.aws(t, "ec2", "describe-tags", "--filters", "Name=key,Values=Name,stage", "--query", "sort_by(Tags,&Key)[].[ResourceType,Key,Value]")
	if want := "snapshot\tName\tweb\nimport-snapshot-task\tstage\ttest"; got != want {
		t.Errorf("describe-tags says %q, want %q", got, want)
	}
	s.aws(t, "ec2", "delete-tags", "--resources", snapshotID, "--tags", "Key=Name")
	if got := s.aws(t, "ec2", "describe-snapshots", "--filters", "Name=tag:Name,Values=web", "--query", "Snapshots[].SnapshotId"); got != "" {
		t.Errorf("after delete-tags, %q has the tag", got)
	}
	token := s.aws(t, "ebs", "list-snapshot-blocks", "--snapshot-id", snapshotID, "--query", "Blocks[0].BlockToken")
	sum := s.aws(t, "ebs", "get-snapshot-block", "--snapshot-id", snapshotID, "--block-index", "0", "--block-token", token,
		"--query", "ChecksumAlgorithm", filepath.Join(t.TempDir(), "block"))
	if sum != "SHA256" {
		t.Errorf("get-snapshot-block says %q", sum)
	}
	if got := s.aws(t, "sts", "get-caller-identity", "--query", "Arn"); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("get-caller-identity says %q", got)
	}
}

// undo removes everything that the recipe made.
func (s *service) undo(t *testing.T, snapshotID string) {
	t.Helper()
	s.aws(t, "ec2", "delete-snapshot", "--snapshot-id", snapshotID)
	if out, err := s.tryAWS("ec2", "describe-snapshots", "--snapshot-ids", snapshotID); err == nil || !strings.Contains(out, "InvalidSnapshot.NotFound") {
		t.Errorf("after delete-snapshot, describe-snapshots says %q (%v)", out, err)
	}
	s.aws(t, "iam", "delete-role-policy", "--role-name", "vmimport", "--policy-name", "vmimport")
	s.aws(t, "iam", "delete-role", "--role-name", "vmimport")
	if out, err := s.tryAWS("iam", "get-role", "--role-name", "vmimport"); err == nil || !strings.Contains(out, "NoSuchEntity") {
		t.Errorf("after delete-role, get-role says %q (%v)", out, err)
	}
	s.aws(t, "s3", "rm", "--only-show-errors", "s3://my-import-bucket/vms/my-server-vm.vmdk")
	s.aws(t, "s3", "rb", "s3://my-import-bucket")
	freed := s.diskport(t, "gc")
	if !strings.HasPrefix(freed, "freed ") || strings.HasPrefix(freed, "freed 0 B") {
		t.Errorf("diskport gc says %q, want what the snapshot took", freed)
	}
}
