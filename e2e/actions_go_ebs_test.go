package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// askDirect writes a snapshot and one that follows it, and reads them.
func (s *service) askDirect(t *testing.T) {
	ctx := t.Context()
	sum := sha256.Sum256(blockOf(3))
	whole := sha256.Sum256(sum[:]) // LINEAR, of one block
	one := must(s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{
		VolumeSize: aws.Int64(1), Description: aws.String("written"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	}))(t)
	says(t, "pending 524288 1 written 1", one.Status, one.BlockSize, one.VolumeSize, one.Description, len(one.Tags))
	put := s.put(t, one.SnapshotId, 3)
	says(t, sha256Of(3)+" SHA256", put.Checksum, put.ChecksumAlgorithm)
	done := must(s.EBS.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: one.SnapshotId, ChangedBlocksCount: aws.Int32(1), Checksum: aws.String(base64.StdEncoding.EncodeToString(whole[:])),
		ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: types.ChecksumAggregationMethodChecksumAggregationLinear,
	}))(t)
	says(t, "pending", done.Status)
	s.awaitSnapshot(t, *one.SnapshotId)
	two := must(s.EBS.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ParentSnapshotId: one.SnapshotId}))(t)
	says(t, *one.SnapshotId, two.ParentSnapshotId)
	s.put(t, two.SnapshotId, 4)
	must(s.EBS.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{SnapshotId: two.SnapshotId, ChangedBlocksCount: aws.Int32(1)}))(t)
	s.awaitSnapshot(t, *two.SnapshotId)

	list := must(s.EBS.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: two.SnapshotId}))(t).Blocks
	if len(list) != 2 {
		t.Fatalf("blocks %+v", list)
	}
	says(t, "3 4", list[0].BlockIndex, list[1].BlockIndex)
	changed := must(s.EBS.ListChangedBlocks(ctx, &ebs.ListChangedBlocksInput{FirstSnapshotId: one.SnapshotId, SecondSnapshotId: two.SnapshotId}))(t).ChangedBlocks
	if len(changed) != 1 {
		t.Fatalf("changed blocks %+v", changed)
	}
	says(t, "4 true false", changed[0].BlockIndex, changed[0].FirstBlockToken == nil, changed[0].SecondBlockToken == nil)
	for i, b := range list {
		got := must(s.EBS.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: two.SnapshotId, BlockIndex: b.BlockIndex, BlockToken: b.BlockToken}))(t)
		says(t, "524288 "+sha256Of(*b.BlockIndex), got.DataLength, got.Checksum)
		if data := must(io.ReadAll(got.BlockData))(t); !bytes.Equal(data, blockOf(*b.BlockIndex)) {
			t.Errorf("block %d differs", *b.BlockIndex)
		}
		refused(s.EBS.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: two.SnapshotId, BlockIndex: list[1-i].BlockIndex, BlockToken: b.BlockToken}))(t, "ValidationException")
	}
	for _, id := range []*string{two.SnapshotId, one.SnapshotId} {
		must(s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: id}))(t)
	}
}

func sha256Of(i int32) string {
	sum := sha256.Sum256(blockOf(i))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// put writes a block of blockOf at its index.
func (s *service) put(t *testing.T, id *string, i int32) *ebs.PutSnapshotBlockOutput {
	t.Helper()
	return must(s.EBS.PutSnapshotBlock(t.Context(), &ebs.PutSnapshotBlockInput{
		SnapshotId: id, BlockIndex: &i, BlockData: bytes.NewReader(blockOf(i)), DataLength: aws.Int32(blockBytes),
		Checksum: aws.String(sha256Of(i)), ChecksumAlgorithm: types.ChecksumAlgorithmChecksumAlgorithmSha256,
	}))(t)
}
