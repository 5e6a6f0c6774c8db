package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/diskport/diskport/internal/work"
)

// files copies the files that the copy of the database needs, and returns them.
func (c *copying) files(ctx context.Context) (files []File, err error) {
	if err := c.copy.Needs(ctx, func(some []Need) error {
		for _, n := range some {
			c.total += n.Bytes
		}
		return nil
	}); err != nil {
		return nil, err
	}
	err = c.copy.Needs(ctx, func(some []Need) error {
		for _, n := range some {
			f, err := c.file(ctx, n)
			switch {
			case err != nil:
				return err
			case f.Missing && n.Spare:
				continue
			case f.Damage != "":
				note(&c.r.Damaged, "%s: %s", f.Name, f.Damage)
			}
			files = append(files, f)
			c.r.Files++
			c.r.Bytes += f.Bytes
		}
		return nil
	})
	return files, err
}

// file makes sure that a file is in the target.
func (c *copying) file(ctx context.Context, n Need) (File, error) {
	size, there := c.there[n.name()]
	known, ok := c.known[n.name()]
	before := c.done
	switch {
	case !there:
		if ok {
			note(&c.r.Again, "%s: it is missing", n.name())
		}
	case ok && size != known.Bytes, n.Tree == Blocks && size != n.Bytes:
		note(&c.r.Again, "%s: it has %d bytes", n.name(), size)
	case ok && known.Damage != "" && c.isWhole(ctx, n):
		note(&c.r.Again, "%s: it was damaged when it was copied, and is whole now", n.name())
	case ok && c.Check == Sizes:
		c.tell(n.Bytes)
		return known, nil
	case ok:
		if c.reread(ctx, n, known) {
			return known, nil
		}
	case n.Tree == Blocks: // of a backup that was cut off
		if f, ok := c.adopt(ctx, n); ok {
			return f, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return File{}, err
	}
	c.done = before
	return c.copyFile(ctx, n)
}

// reread reports whether a file of the target has its checksum; else it is to be copied
// again.
func (c *copying) reread(ctx context.Context, n Need, known File) bool {
	r, err := c.to.Get(ctx, n.name())
	if err == nil {
		in := c.summing(ctx, r)
		_, err = io.Copy(io.Discard, in)
		if err = errors.Join(err, r.Close()); err == nil && in.n == known.Bytes && in.sum() == known.SHA256 {
			return true
		}
	}
	if err == nil {
		err = errors.New("it is not what was written")
	}
	if ctx.Err() == nil {
		note(&c.r.Again, "%s: %v", n.name(), err)
	}
	return false
}

// isWhole reports whether a file of the service is as it should be.
func (c *copying) isWhole(ctx context.Context, n Need) bool {
	from := readerAt{ctx, c.Trees[n.Tree], n.Name}
	spans, err := c.spansOf(ctx, n, from)
	if err != nil {
		return false
	}
	i := &inspector{spans: spans}
	in := &summing{ctx: ctx, r: &sourceReader{from: from}, pace: c.pace, told: func(int64) {}}
	_, err = io.Copy(i, in)
	return errors.Join(err, i.err()) == nil && in.n == n.Bytes
}

// adopt takes a file for copied that no manifest names, if it is whole. What is wrong with
// it otherwise, copying it again tells.
func (c *copying) adopt(ctx context.Context, n Need) (File, bool) {
	f := File{Name: n.name()}
	spans, err := c.spansOf(ctx, n, readerAt{ctx, c.Trees[n.Tree], n.Name})
	if err != nil {
		return f, false
	}
	r, err := c.to.Get(ctx, f.Name)
	if err != nil {
		return f, false
	}
	i := &inspector{spans: spans}
	in := c.summing(ctx, r)
	_, err = io.Copy(i, in)
	if errors.Join(err, r.Close(), i.err()) != nil || in.n != n.Bytes {
		return f, false
	}
	f.Bytes, f.SHA256 = in.n, in.sum()
	return f, true
}

// copyFile copies a file. What is damaged is copied as it is; what can't be read is missing,
// unless the target has it.
func (c *copying) copyFile(ctx context.Context, n Need) (File, error) {
	f := File{Name: n.name()}
	from := readerAt{ctx, c.Trees[n.Tree], n.Name}
	spans, wrong := c.spansOf(ctx, n, from)
	i := &inspector{spans: spans}
	body := &sourceReader{from: from}
	in := c.summing(ctx, io.TeeReader(body, i))
	err := c.to.Put(ctx, f.Name, in, n.Bytes)
	switch {
	case ctx.Err() != nil:
		return f, ctx.Err()
	case body.err != nil:
		f.Missing, f.Damage = true, body.err.Error()
		return f, nil
	case err != nil:
		return f, fmt.Errorf("writing %s: %w", f.Name, err)
	}
	if wrong == nil {
		wrong = i.err()
	}
	if wrong == nil && n.Tree == Blocks && in.n != n.Bytes {
		wrong = fmt.Errorf("it has %d bytes, and should have %d", in.n, n.Bytes)
	}
	if wrong != nil {
		f.Damage = wrong.Error()
	}
	f.Bytes, f.SHA256 = in.n, in.sum()
	c.there[f.Name] = in.n
	c.r.Copied++
	c.r.CopiedBytes += in.n
	return f, nil
}

// put stores a few bytes.
func (c *copying) put(ctx context.Context, name string, b []byte) error {
	if err := c.to.Put(ctx, name, bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// tell notes that n more bytes are dealt with.
func (c *copying) tell(n int64) {
	c.done += n
	if c.Progress != nil {
		c.Progress(min(c.done, c.total), c.total)
	}
}

// summing returns a reader that keeps to the rate and tells how far it is.
func (c *copying) summing(ctx context.Context, r io.Reader) *summing {
	return &summing{ctx: ctx, r: r, pace: c.pace, told: c.tell}
}

// summing is a reader that sums up what is read, and keeps to a rate.
type summing struct {
	ctx  context.Context
	r    io.Reader
	pace *work.Pace
	told func(n int64)
	hash hash.Hash
	n    int64
}

func (s *summing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.hash == nil {
		s.hash = sha256.New()
	}
	_, _ = s.hash.Write(p[:n]) // never fails
	s.n += int64(n)
	s.told(int64(n))
	if perr := s.pace.Wait(s.ctx, int64(n)); perr != nil {
		return n, perr
	}
	return n, err
}

func (s *summing) sum() string {
	if s.hash == nil {
		s.hash = sha256.New()
	}
	return hex.EncodeToString(s.hash.Sum(nil))
}

// readerAt is a file of a tree.
type readerAt struct {
	ctx  context.Context
	tree Reader
	name string
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	return r.tree.ReadAt(r.ctx, r.name, p, off)
}

// sourceReader reads a file of a tree from front to back, and keeps the error that it
// fails with, which is not one of the target.
type sourceReader struct {
	from readerAt
	off  int64
	err  error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.from.ReadAt(p, s.off)
	s.off += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
