package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"golang.org/x/sync/errgroup"
)

// BlockSize is the bytes of a block, as EBS direct has it.
const BlockSize = 512 << 10

// parallel is how many blocks are read at once.
const parallel = 8

// EachBlock reads every block of a snapshot through EBS direct and calls fn with
// its index and contents, from several goroutines at once and in no order. Each
// block's checksum has been verified; fn may use data only until it returns.
func (c *Client) EachBlock(ctx context.Context, snapshotID string, fn func(index int64, data []byte) error) error {
	buffers := sync.Pool{New: func() any { b := make([]byte, BlockSize); return &b }}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	err := c.listBlocks(gctx, snapshotID, func(b types.Block) error {
		g.Go(func() error {
			buf := buffers.Get().(*[]byte)
			defer buffers.Put(buf)
			if err := c.readBlock(gctx, snapshotID, b, *buf); err != nil {
				return err
			}
			return fn(int64(aws.ToInt32(b.BlockIndex)), *buf)
		})
		return gctx.Err()
	})
	if werr := g.Wait(); werr != nil {
		return werr // the cause; the listing only saw its context end
	}
	return err
}

// listBlocks calls fn with every block of a snapshot, in ascending order.
func (c *Client) listBlocks(ctx context.Context, snapshotID string, fn func(types.Block) error) error {
	pages := ebs.NewListSnapshotBlocksPaginator(c.ebs, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(snapshotID)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing blocks of %s: %w", snapshotID, err)
		}
		for _, b := range page.Blocks {
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// readBlock fills buf with a block and checks it against its checksum.
func (c *Client) readBlock(ctx context.Context, snapshotID string, b types.Block, buf []byte) error {
	index := aws.ToInt32(b.BlockIndex)
	out, err := c.ebs.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{
		SnapshotId: aws.String(snapshotID),
		BlockIndex: b.BlockIndex,
		BlockToken: b.BlockToken,
	})
	if err != nil {
		return fmt.Errorf("reading block %d of %s: %w", index, snapshotID, err)
	}
	defer out.BlockData.Close()
	if _, err := io.ReadFull(out.BlockData, buf); err != nil {
		return fmt.Errorf("reading block %d of %s: %w", index, snapshotID, err)
	}
	sum := sha256.Sum256(buf)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != aws.ToString(out.Checksum) {
		return fmt.Errorf("reading block %d of %s: its checksum is %s, the service said %s",
			index, snapshotID, got, aws.ToString(out.Checksum))
	}
	return nil
}

// BlockDiff is a run of blocks in which two snapshots differ.
type BlockDiff struct {
	Offset int64  `json:"offset"` // on the volume
	Bytes  int64  `json:"bytes"`
	Kind   string `json:"kind"` // what the second has there: "changed", "added", or "gone", which reads as zeros
}

// EachChange compares two snapshots and calls fn with each run of blocks in which they differ,
// ascending.
func (c *Client) EachChange(ctx context.Context, first, second string, fn func(BlockDiff)) error {
	pages := ebs.NewListChangedBlocksPaginator(c.ebs, &ebs.ListChangedBlocksInput{FirstSnapshotId: aws.String(first), SecondSnapshotId: aws.String(second)})
	var run BlockDiff
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("comparing %s with %s: %w", first, second, err)
		}
		for _, b := range page.ChangedBlocks {
			next := BlockDiff{int64(aws.ToInt32(b.BlockIndex)) * BlockSize, BlockSize, changeOf(b)}
			if run.Kind == next.Kind && run.Offset+run.Bytes == next.Offset {
				run.Bytes += BlockSize
				continue
			}
			if run.Bytes > 0 {
				fn(run)
			}
			run = next
		}
	}
	if run.Bytes > 0 {
		fn(run)
	}
	return nil
}

// changeOf says what the second of two snapshots has instead of a block of the first.
func changeOf(b types.ChangedBlock) string {
	switch {
	case b.SecondBlockToken == nil:
		return "gone"
	case b.FirstBlockToken == nil:
		return "added"
	}
	return "changed"
}
