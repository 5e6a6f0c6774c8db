package ec2api

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// goldenEncryption is the exchanges that are different when a key is named.
func goldenEncryption(t *testing.T, f *fixture, w *wire) {
	ctx := t.Context()
	in := fullImport()
	in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String("alias/x")
	imported, err := w.ImportSnapshot(ctx, in)
	w.check(t, "import-encrypted", imported, err)
	in.Encrypted = nil
	imported, err = w.ImportSnapshot(ctx, in)
	w.check(t, "import-key-alone", imported, err)
	f.imports.tasks = goldenTasks()[1:]
	for i := range f.imports.tasks {
		f.imports.tasks[i].Encrypted, f.imports.tasks[i].KMSKey = true, keyARN
	}
	f.imports.tasks[0].KMSKey, f.imports.tasks[0].Failure.Message = "alias/x", "ClientError: Given key ID is not accessible"
	listed, err := w.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{})
	w.check(t, "describe-tasks-encrypted", listed, err)
	f.snapshots.records = goldenSnapshots()[:1]
	f.snapshots.records[0].KMSKey, f.snapshots.records[0].DataKey = keyARN, "8d9a2c2e-0000-4000-8000-000000000000"
	shown, err := w.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{Filters: []types.Filter{{Name: aws.String("encrypted"), Values: []string{"true"}}}})
	w.check(t, "describe-snapshots-encrypted", shown, err)
	copied, err := w.CopySnapshot(ctx, &ec2.CopySnapshotInput{
		SourceRegion: aws.String("us-east-1"), SourceSnapshotId: aws.String(snapA), Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/k"),
	})
	w.request.Reset() // as in copy-snapshot
	w.check(t, "copy-snapshot-encrypted", copied, err)
	if got := f.copies.got.Encrypt; got == nil || got.Key != "alias/k" {
		t.Errorf("the copy is encrypted as %+v", got)
	}
	f.snapshots.records[0].KMSKey = awsKeyARN
	shared, err := w.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
		SnapshotId: aws.String(snapA), CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: []types.CreateVolumePermission{{UserId: aws.String(other)}}},
	})
	w.check(t, "modify-attribute-default-key", shared, err)
}
