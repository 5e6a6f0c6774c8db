package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Export writes a snapshot's disk to a new sparse file, every block verified. Only
// its owner can read the file: policies decided who may read the blocks, and a file
// has none. On any error the file is removed. progress is called with the bytes
// read so far, of all that the snapshot holds.
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
	out, count := newDiskFile(f), counter{total: s.DataBytes, report: progress}
	defer out.close()
	err = c.data(ctx, s, func(some []piece) error {
		for len(some) > 0 {
			n := neighbours(some)
			if err := out.write(some[:n], size); err != nil {
				return fmt.Errorf("writing at %d to %s: %w", some[0].off, path, err)
			}
			count.reach(some[:n])
			some = some[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	count.all()
	return nil
}

// ExportStream writes a snapshot's disk to w from its first byte to its last.
func (c *Client) ExportStream(ctx context.Context, s Snapshot, w io.Writer, progress func(done, total int64)) error {
	out, count := orderedWriter{w: w}, counter{total: s.DataBytes, report: progress}
	size := s.Size()
	err := c.data(ctx, s, func(some []piece) error {
		for _, p := range some {
			if err := out.write(p.clip(size)); err != nil {
				return err
			}
		}
		count.reach(some)
		return nil
	})
	if err != nil {
		return err
	}
	if err := out.zerosUpTo(size); err != nil {
		return err
	}
	count.all()
	return nil
}

// orderedWriter writes ascending pieces to a stream, with zeros between them.
type orderedWriter struct {
	w   io.Writer
	off int64
}

func (o *orderedWriter) write(p piece) error {
	if len(p.data) == 0 {
		return nil
	}
	if err := o.zerosUpTo(p.off); err != nil {
		return err
	}
	n, err := o.w.Write(p.data)
	o.off += int64(n)
	return err
}

func (o *orderedWriter) zerosUpTo(off int64) error {
	if o.off >= off {
		return nil
	}
	zeros := make([]byte, min(off-o.off, BlockSize))
	for o.off < off {
		n, err := o.w.Write(zeros[:min(off-o.off, BlockSize)])
		o.off += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// clip cuts a piece that extends beyond the end of the disk.
func (p piece) clip(size int64) piece {
	p.data = p.data[:max(0, min(int64(len(p.data)), size-p.off))]
	return p
}

// counter reports how many bytes of blocks have been read.
type counter struct {
	done   int64
	total  int64
	next   int64 // the first block that is not counted
	report func(done, total int64)
}

// reach counts the blocks of pieces.
func (c *counter) reach(some []piece) {
	for _, p := range some {
		if index := p.off / BlockSize; index >= c.next {
			c.next = index + 1
			c.done = min(c.done+BlockSize, c.total)
		}
	}
	c.report(c.done, c.total)
}

// all reports that everything was read: blocks of zeros come in no piece.
func (c *counter) all() { c.report(c.total, c.total) }
