// Package blobtest tests back ends of the block store: Check is the conformance
// suite that each of them passes. The rest is what tests of the block store
// and of everything above it are made of: a back end and a catalog in memory,
// and a Journal that records what is done to them in which order and fails
// where it is told to.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Backend is all that a back end can do.
type Backend interface {
	blockstore.Backend
	blockstore.Identified
	blockstore.Quarantine
	blockstore.Aside
}

// Run fails t where Check does.
func Run(t testing.TB, b Backend) {
	t.Helper()
	if err := Check(context.Background(), b); err != nil {
		t.Errorf("%T: %v", b, err)
	}
}

// Check tests b, which holds no file and has no identity, and leaves it without
// files. It returns everything that is wrong.
func Check(ctx context.Context, b Backend) error {
	c := checker{ctx, b}
	var errs []error
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"write, close, read", c.roundTrip},
		{"a file of no bytes", c.empty},
		{"concurrent writes", c.concurrent},
		{"not closed", c.notClosed},
		{"abort", c.abort},
		{"remove", c.remove},
		{"remove what is read", c.removeRead},
		{"remove what is open", c.removeOpen},
		{"names that exist", c.exists},
		{"misaligned writes", c.misaligned},
		{"cancelled", c.cancelled},
		{"list", c.list},
		{"set aside", c.setAside},
		{"bring back", c.bringBack},
		{"set aside what is open or missing", c.setNothingAside},
		{"identity", c.identity},
	} {
		if err := step.run(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return errors.Join(errs...)
}

type checker struct {
	ctx context.Context
	b   Backend
}

const unit = blockstore.Align

// page returns n aligned units, which differ from those of any other seed.
func page(n int, seed byte) []byte {
	p := blockstore.AlignedBytes(n * unit)
	for i := range p {
		p[i] = byte(i/unit) ^ byte(i) ^ seed
	}
	return p
}

// write makes a closed file of size bytes of data.
func (c checker) write(name string, data []byte, size int64) error {
	w, err := c.b.Create(c.ctx, name, size)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		if err := w.WriteAt(c.ctx, [][]byte{data}, 0); err != nil {
			return err
		}
	}
	if err := w.Close(c.ctx, size); err != nil {
		return err
	}
	if err := w.Abort(); err != nil {
		return fmt.Errorf("abort after close: %w", err)
	}
	return nil
}

// same checks that the file holds want, and nothing behind it.
func (c checker) same(name string, want []byte) error {
	got := make([]byte, len(want)+1)
	if n, err := c.b.ReadAt(c.ctx, name, got, 0); n != len(want) || err != io.EOF {
		return fmt.Errorf("reading %d bytes of %d gave %d, %v", len(got), len(want), n, err)
	}
	if !bytes.Equal(got[:len(want)], want) {
		return errors.New("contents differ")
	}
	if len(want) > 10 {
		if n, err := c.b.ReadAt(c.ctx, name, got[:7], 3); n != 7 || err != nil || !bytes.Equal(got[:7], want[3:10]) {
			return fmt.Errorf("reading 7 bytes at 3 gave %d, %v", n, err)
		}
	}
	return nil
}

func (c checker) absent(name string) error {
	n, err := c.b.ReadAt(c.ctx, name, make([]byte, 1), 0)
	if !errors.Is(err, blockstore.ErrNotExist) {
		return fmt.Errorf("reading %s: %d, %w, want ErrNotExist", name, n, err)
	}
	return nil
}

func (c checker) roundTrip() error {
	const name = "pack/01/0000000000000001"
	data := page(20, 1)
	if err := c.write(name, data, 19*unit+5); err != nil {
		return err
	}
	if err := c.same(name, data[:19*unit+5]); err != nil {
		return err
	}
	return c.b.Remove(c.ctx, name)
}

func (c checker) empty() error {
	const name = "root/ff/00000000000000ff"
	if err := c.write(name, nil, 0); err != nil {
		return err
	}
	return errors.Join(c.same(name, nil), c.b.Remove(c.ctx, name))
}

// concurrent writes pieces of several buffers each, the last ones first, from
// several goroutines.
func (c checker) concurrent() error {
	const name, pieces, bufs = "pack/02/0000000000000002", 12, 3
	data := page(pieces*bufs, 2)
	w, err := c.b.Create(c.ctx, name, 1<<20)
	if err != nil {
		return err
	}
	errs := make([]error, pieces)
	var wg sync.WaitGroup
	for i := range pieces {
		at := (pieces - 1 - i) * bufs * unit
		wg.Go(func() {
			v := slices.Collect(slices.Chunk(data[at:at+bufs*unit], unit))
			errs[i] = w.WriteAt(c.ctx, v, int64(at))
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, w.Close(c.ctx, int64(len(data))))...); err != nil {
		return err
	}
	return errors.Join(c.same(name, data), c.b.Remove(c.ctx, name))
}

func (c checker) notClosed() error {
	const name = "pack/03/0000000000000003"
	w, err := c.b.Create(c.ctx, name, unit)
	if err != nil {
		return err
	}
	if err := w.WriteAt(c.ctx, [][]byte{page(1, 3)}, 0); err != nil {
		return err
	}
	if err := c.absent(name); err != nil {
		return err
	}
	if err := c.b.Remove(c.ctx, name); err != nil {
		return fmt.Errorf("removing: %w", err)
	}
	return errors.Join(c.listed(), w.Abort())
}

func (c checker) abort() error {
	const name = "pack/04/0000000000000004"
	w, err := c.b.Create(c.ctx, name, unit)
	if err != nil {
		return err
	}
	if err := w.WriteAt(c.ctx, [][]byte{page(1, 4)}, 0); err != nil {
		return err
	}
	return errors.Join(w.Abort(), w.Abort(), c.absent(name), c.listed())
}

func (c checker) remove() error {
	const name = "pack/05/0000000000000005"
	if err := c.write(name, page(1, 5), unit); err != nil {
		return err
	}
	return errors.Join(c.b.Remove(c.ctx, name), c.absent(name), c.b.Remove(c.ctx, name),
		c.b.Remove(c.ctx, "pages/77/0000000000000077"), c.absent("pages/77/0000000000000077"))
}

// removeRead removes a file that was read before and one that is being read: a
// reader gets all of it or ErrNotExist, never part of it.
func (c checker) removeRead() error {
	const name, readers = "pack/0d/000000000000000d", 4
	want := page(8, 13)
	if err := errors.Join(c.write(name, want, int64(len(want))), c.same(name, want)); err != nil {
		return err
	}
	errs := make([]error, readers)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() { errs[i] = c.readUntilGone(name, want) })
	}
	err := c.b.Remove(c.ctx, name)
	wg.Wait()
	return errors.Join(append(errs, err, c.absent(name))...)
}

// removeOpen removes a file before it is closed, and files while they are: either way
// there is none afterwards.
func (c checker) removeOpen() error {
	const name, times = "pack/11/0000000000000011", 16
	w, err := c.b.Create(c.ctx, name, unit)
	if err != nil {
		return err
	}
	if err := errors.Join(w.WriteAt(c.ctx, [][]byte{page(1, 17)}, 0), c.b.Remove(c.ctx, name)); err != nil {
		return err
	}
	if w.Close(c.ctx, unit) == nil {
		return errors.New("it was closed")
	}
	errs := []error{w.Abort(), c.absent(name), c.listed()}
	for i := range times {
		name := fmt.Sprintf("pack/11/%014x11", i+1)
		w, err := c.b.Create(c.ctx, name, unit)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.Close(c.ctx, unit) }) // it may come first or not
		err = c.b.Remove(c.ctx, name)
		wg.Wait()
		errs = append(errs, err, w.Abort(), c.absent(name))
	}
	return errors.Join(append(errs, c.listed())...)
}

func (c checker) readUntilGone(name string, want []byte) error {
	got := make([]byte, len(want))
	for {
		switch n, err := c.b.ReadAt(c.ctx, name, got, 0); {
		case errors.Is(err, blockstore.ErrNotExist):
			return nil
		case n != len(want) || err != nil && err != io.EOF || !bytes.Equal(got, want):
			return fmt.Errorf("reading while it was removed gave %d, %w", n, err)
		}
	}
}

func (c checker) exists() error {
	const closed, open = "pack/06/0000000000000006", "pack/06/0000000000000106"
	if err := c.write(closed, page(1, 6), unit); err != nil {
		return err
	}
	w, err := c.b.Create(c.ctx, open, unit)
	if err != nil {
		return err
	}
	for _, name := range []string{closed, open} {
		second, err := c.b.Create(c.ctx, name, unit)
		if err != nil {
			continue
		}
		if second.Close(c.ctx, unit) == nil {
			return fmt.Errorf("%s was created twice", name)
		}
		if err := second.Abort(); err != nil {
			return err
		}
	}
	return errors.Join(w.Abort(), c.same(closed, page(1, 6)), c.b.Remove(c.ctx, closed))
}

func (c checker) misaligned() error {
	w, err := c.b.Create(c.ctx, "pack/07/0000000000000007", 4*unit)
	if err != nil {
		return err
	}
	p := page(2, 7)
	for name, err := range map[string]error{
		"offset":  w.WriteAt(c.ctx, [][]byte{p}, 512),
		"length":  w.WriteAt(c.ctx, [][]byte{p[:100]}, 0),
		"address": w.WriteAt(c.ctx, [][]byte{p[8 : 8+unit]}, 0),
	} {
		if err == nil {
			return fmt.Errorf("a misaligned %s was taken", name)
		}
	}
	return w.Abort()
}

func (c checker) cancelled() error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	w, err := c.b.Create(ctx, "pack/08/0000000000000008", unit)
	if err != nil {
		return err
	}
	cancel()
	if err := w.WriteAt(ctx, [][]byte{page(1, 8)}, 0); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("writing gave %v, want context.Canceled", err)
	}
	if err := w.Close(ctx, unit); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing gave %v, want context.Canceled", err)
	}
	if _, err := c.b.ReadAt(ctx, "pack/08/0000000000000008", make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("reading gave %v, want context.Canceled", err)
	}
	return errors.Join(w.Abort(), c.absent("pack/08/0000000000000008"))
}

func (c checker) list() error {
	names := []string{"pack/0a/000000000000000a", "pages/0a/000000000000000b", "root/0c/000000000000000c"}
	for _, name := range names[:2] {
		if err := c.write(name, page(1, 9), unit); err != nil {
			return err
		}
	}
	w, err := c.b.Create(c.ctx, names[2], unit)
	if err != nil {
		return err
	}
	stop := errors.New("stop")
	if err := c.b.List(c.ctx, func(blockstore.Entry) error { return stop }); !errors.Is(err, stop) {
		return fmt.Errorf("an error of fn gave %v", err)
	}
	errs := []error{c.listed(names...), c.listedAs(map[string]bool{names[0]: true, names[1]: true, names[2]: false}), w.Abort()}
	for _, name := range names {
		errs = append(errs, c.b.Remove(c.ctx, name))
	}
	return errors.Join(append(errs, c.listed())...)
}

// listed checks that the back end has these files, in the order of their names.
func (c checker) listed(want ...string) error {
	var got []string
	err := c.b.List(c.ctx, func(e blockstore.Entry) error {
		got = append(got, e.Name)
		return nil
	})
	slices.Sort(got)
	if err == nil && !slices.Equal(got, want) {
		return fmt.Errorf("list gives %q, want %q", got, want)
	}
	return err
}

// listedAs checks which files are listed as closed, each of them unit bytes long.
func (c checker) listedAs(closed map[string]bool) error {
	return c.b.List(c.ctx, func(e blockstore.Entry) error {
		if e.Closed != closed[e.Name] || e.Closed && e.Bytes != unit {
			return fmt.Errorf("list gives %+v, closed wanted: %v", e, closed[e.Name])
		}
		return nil
	})
}

// setAside sets two files aside and purges them one after the other.
func (c checker) setAside() error {
	const early, late = "pack/0e/000000000000000e", "root/0e/000000000000010e"
	when := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	for i, name := range []string{early, late} {
		if err := errors.Join(c.write(name, page(3, 14), 3*unit), c.same(name, page(3, 14))); err != nil {
			return err
		}
		if err := c.b.SetAside(c.ctx, name, when.Add(time.Duration(i)*time.Hour)); err != nil {
			return err
		}
		if err := errors.Join(c.absent(name), c.listed(), c.b.Remove(c.ctx, name)); err != nil {
			return err
		}
	}
	for _, p := range []struct {
		before time.Time
		files  int64
	}{
		{when, 0}, {when.Add(time.Minute), 1}, {when.Add(time.Minute), 0}, {when.Add(2 * time.Hour), 1}, {when.Add(9 * time.Hour), 0},
	} {
		got, err := c.b.Purge(c.ctx, p.before)
		if want := (blockstore.Purged{Files: p.files, Bytes: p.files * 3 * unit}); got != want || err != nil {
			return fmt.Errorf("purging what was set aside before %v gave %+v, %v, want %+v", p.before, got, err, want)
		}
	}
	return c.listed()
}

// bringBack brings a file back that was set aside, but not over another.
func (c checker) bringBack() error {
	const name = "pack/12/0000000000000012"
	when := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	aside := func(want int) error {
		n := 0
		err := c.b.EachAside(c.ctx, func(got string) error {
			if n++; got != name {
				return fmt.Errorf("%s is set aside", got)
			}
			return nil
		})
		if err == nil && n != want {
			err = fmt.Errorf("%d files are set aside, want %d", n, want)
		}
		return err
	}
	err := errors.Join(aside(0), c.b.BringBack(c.ctx, name), c.write(name, page(2, 5), 2*unit), c.b.SetAside(c.ctx, name, when), aside(1))
	err = errors.Join(err, c.b.BringBack(c.ctx, name), aside(0), c.same(name, page(2, 5)), c.listed(name))
	return errors.Join(err, c.b.BringBack(c.ctx, name), c.same(name, page(2, 5)), c.b.Remove(c.ctx, name), c.listed())
}

func (c checker) setNothingAside() error {
	const open = "pack/0f/000000000000000f"
	w, err := c.b.Create(c.ctx, open, unit)
	if err != nil {
		return err
	}
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	err = errors.Join(c.b.SetAside(c.ctx, open, now), c.b.SetAside(c.ctx, "pack/10/0000000000000010", now), c.listed(open))
	return errors.Join(err, w.Close(c.ctx, 0), c.same(open, nil), c.b.Remove(c.ctx, open))
}

// identity: the first one stays, and is not listed as a file.
func (c checker) identity() error {
	const first, second = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"
	if got, err := c.b.Identity(c.ctx); got != "" || err != nil {
		return fmt.Errorf("a new store is %q, %v", got, err)
	}
	for _, id := range []string{first, second, first} {
		if got, err := c.b.SetIdentity(c.ctx, id); got != first || err != nil {
			return fmt.Errorf("making %s the identity gave %q, %v, want the first", id, got, err)
		}
		if got, err := c.b.Identity(c.ctx); got != first || err != nil {
			return fmt.Errorf("the identity is %q, %v, want %s", got, err, first)
		}
	}
	return c.listed()
}
