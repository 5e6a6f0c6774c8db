package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

const blockBytes = 512 << 10

func (s *service) ebs() *ebs.Client {
	return ebs.New(ebs.Options{BaseEndpoint: &s.endpoint, Region: region, Credentials: s.creds, HTTPClient: s.http})
}

func (s *service) ec2() *ec2.Client {
	return ec2.New(ec2.Options{BaseEndpoint: &s.endpoint, Region: region, Credentials: s.creds, HTTPClient: s.http})
}

func blockOf(i int32) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "block %07d of the disk\n.", i), blockBytes/24+1)[:blockBytes]
}

func (s *service) putBlock(ctx context.Context, id string, i int32) error {
	p := blockOf(i)
	sum := sha256.Sum256(p)
	_, err := s.ebs().PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
		SnapshotId: &id, BlockIndex: &i, BlockData: bytes.NewReader(p), DataLength: aws.Int32(blockBytes),
		Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
	})
	return err
}

// TestDirectWrites writes a snapshot with many clients at once, kills the service
// in the middle, goes on, and completes: no block whose write was acknowledged is
// lost. The AWS CLI does the rest: it waits, copies, shares, compares and archives.
func TestDirectWrites(t *testing.T) {
	const before, all = 60, 100
	ctx := t.Context()
	s := start(t, filepath.Join(t.TempDir(), "data"))
	started, err := s.ebs().StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(2), Description: aws.String("direct")})
	if err != nil {
		t.Fatal(err)
	}
	id := *started.SnapshotId
	write := func(first, end int32) {
		t.Helper()
		var wg sync.WaitGroup
		for i := first; i < end; i++ {
			wg.Go(func() {
				if err := s.putBlock(ctx, id, i*7); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	write(0, before)
	s.kill(t)
	s = start(t, s.data)
	write(before, all)
	sum := sha256.New()
	for i := range int32(all) {
		d := sha256.Sum256(blockOf(i * 7))
		sum.Write(d[:])
	}
	if _, err := s.ebs().CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: &id, ChangedBlocksCount: aws.Int32(all), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
		ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: types.ChecksumAggregationMethodChecksumAggregationLinear,
	}); err != nil {
		t.Fatal(err)
	}
	s.awaitSnapshot(t, id)
	s.hasBlocks(t, id, all)
	s.afterwards(t, id)
}

// awaitSnapshot waits as the SDK does, only more eagerly.
func (s *service) awaitSnapshot(t *testing.T, id string) {
	t.Helper()
	waiter := ec2.NewSnapshotCompletedWaiter(s.ec2(), func(o *ec2.SnapshotCompletedWaiterOptions) { o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second })
	if err := waiter.Wait(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}}, patience); err != nil {
		t.Fatal(err)
	}
}

// hasBlocks compares every block of a snapshot with what was written.
func (s *service) hasBlocks(t *testing.T, id string, n int) {
	t.Helper()
	listed, err := s.ebs().ListSnapshotBlocks(t.Context(), &ebs.ListSnapshotBlocksInput{SnapshotId: &id})
	if err != nil || len(listed.Blocks) != n {
		t.Fatalf("%d blocks, %v, want %d", len(listed.Blocks), err, n)
	}
	for _, b := range listed.Blocks {
		got, err := s.ebs().GetSnapshotBlock(t.Context(), &ebs.GetSnapshotBlockInput{SnapshotId: &id, BlockIndex: b.BlockIndex, BlockToken: b.BlockToken})
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(got.BlockData)
		if err != nil || !bytes.Equal(p, blockOf(*b.BlockIndex)) {
			t.Fatalf("block %d differs, %v", *b.BlockIndex, err)
		}
	}
}

// afterwards does with the CLI what people do with a snapshot.
func (s *service) afterwards(t *testing.T, id string) {
	t.Helper()
	copied := s.aws(t, "ec2", "copy-snapshot", "--source-region", region, "--source-snapshot-id", id, "--description", "a copy",
		"--tag-specifications", "ResourceType=snapshot,Tags=[{Key=k,Value=v}]", "--query", "SnapshotId")
	s.awaitSnapshot(t, copied)
	s.hasBlocks(t, copied, 100)
	if out := s.aws(t, "ebs", "list-changed-blocks", "--first-snapshot-id", id, "--second-snapshot-id", copied, "--query", "length(ChangedBlocks)"); out != "0" {
		t.Errorf("the copy differs in %s blocks", out)
	}
	s.aws(t, "ec2", "modify-snapshot-attribute", "--snapshot-id", copied, "--attribute", "createVolumePermission", "--operation-type", "add", "--user-ids", "111122223333")
	if out := s.aws(t, "ec2", "describe-snapshot-attribute", "--snapshot-id", copied, "--attribute", "createVolumePermission", "--query", "CreateVolumePermissions[].UserId"); out != "111122223333" {
		t.Errorf("shared with %q", out)
	}
	s.aws(t, "ec2", "reset-snapshot-attribute", "--snapshot-id", copied, "--attribute", "createVolumePermission")
	s.aws(t, "ec2", "modify-snapshot-tier", "--snapshot-id", copied, "--storage-tier", "archive")
	if out := s.aws(t, "ec2", "describe-snapshot-tier-status", "--filters", "Name=snapshot-id,Values="+copied, "--query", "SnapshotTierStatuses[].LastTieringOperationStatus"); out != "archival-completed" {
		t.Errorf("archived: %q", out)
	}
	image := s.aws(t, "ec2", "register-image", "--name", "img", "--root-device-name", "/dev/sda1", "--architecture", "x86_64", "--virtualization-type", "hvm",
		"--block-device-mappings", "DeviceName=/dev/sda1,Ebs={SnapshotId="+copied+"}", "--query", "ImageId")
	if out, err := s.tryAWS("ec2", "delete-snapshot", "--snapshot-id", copied); err == nil || !strings.Contains(out, "InvalidSnapshot.InUse") {
		t.Errorf("deleting what is in use: %q, %v", out, err)
	}
	s.aws(t, "ec2", "deregister-image", "--image-id", image)
	s.aws(t, "ec2", "delete-snapshot", "--snapshot-id", id)
	s.diskport(t, "gc")
	s.hasBlocks(t, copied, 100)
	s.aws(t, "ec2", "delete-snapshot", "--snapshot-id", copied)
	s.diskport(t, "gc")
	if left := tree(t, s.blocks(t)); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}
