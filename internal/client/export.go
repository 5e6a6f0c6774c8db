package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"golang.org/x/sync/errgroup"
)

// Export writes a snapshot's disk to a new sparse file, every block verified. Only
// its owner can read the file: policies decided who may read the blocks, and a file
// has none. On any error the file is removed. progress is called with the bytes
// written so far.
func (c *Client) Export(ctx context.Context, s Snapshot, path string, progress func(done, total int64)) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	size := s.Size()
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("making %s %d bytes long: %w", path, size, err)
	}
	count := counter{total: s.DataBytes, report: progress}
	err = c.EachBlock(ctx, s.ID, func(index int64, data []byte) error {
		if _, err := f.WriteAt(clip(data, index, size), index*BlockSize); err != nil {
			return fmt.Errorf("writing block %d to %s: %w", index, path, err)
		}
		count.add(BlockSize)
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// ExportStream writes a snapshot's disk to w from its first byte to its last.
func (c *Client) ExportStream(ctx context.Context, s Snapshot, w io.Writer, progress func(done, total int64)) error {
	out := orderedWriter{w: w, size: s.Size(), count: counter{total: s.DataBytes, report: progress}}
	var batch []types.Block
	err := c.listBlocks(ctx, s.ID, func(b types.Block) error {
		batch = append(batch, b)
		if len(batch) < parallel {
			return nil
		}
		err := c.writeBatch(ctx, s.ID, batch, &out)
		batch = batch[:0]
		return err
	})
	if err != nil {
		return err
	}
	if err := c.writeBatch(ctx, s.ID, batch, &out); err != nil {
		return err
	}
	return out.zerosUpTo(out.size)
}

// writeBatch reads blocks in parallel and writes them in order.
func (c *Client) writeBatch(ctx context.Context, id string, batch []types.Block, out *orderedWriter) error {
	bufs := make([][]byte, len(batch))
	g, gctx := errgroup.WithContext(ctx)
	for i, b := range batch {
		bufs[i] = make([]byte, BlockSize)
		g.Go(func() error { return c.readBlock(gctx, id, b, bufs[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, b := range batch {
		if err := out.block(int64(aws.ToInt32(b.BlockIndex)), bufs[i]); err != nil {
			return err
		}
	}
	return nil
}

// orderedWriter writes ascending blocks to a stream, with zeros between them.
type orderedWriter struct {
	w     io.Writer
	off   int64
	size  int64
	count counter
}

func (o *orderedWriter) block(index int64, data []byte) error {
	if err := o.zerosUpTo(index * BlockSize); err != nil {
		return err
	}
	n, err := o.w.Write(clip(data, index, o.size))
	o.off += int64(n)
	o.count.add(BlockSize)
	return err
}

func (o *orderedWriter) zerosUpTo(off int64) error {
	zeros := make([]byte, BlockSize)
	for o.off < off {
		n, err := o.w.Write(zeros[:min(off-o.off, BlockSize)])
		o.off += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// clip cuts a block that extends beyond the end of the disk.
func clip(data []byte, index, size int64) []byte {
	return data[:max(0, min(int64(len(data)), size-index*BlockSize))]
}

// counter adds up what several goroutines did.
type counter struct {
	mu     sync.Mutex // guards done, and calls of report
	done   int64
	total  int64
	report func(done, total int64)
}

func (c *counter) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += n
	c.report(c.done, c.total)
}
