package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// batch is how many files, roots or pages are looked up at a time.
const batch = 256

// fate is what becomes of a file that may be garbage.
type fate int

const (
	stays   fate = iota // it is in use, and no candidate any more
	waits               // it is not garbage yet: it stays a candidate
	rotten              // its rows contradict each other
	garbage             // nothing can refer to it any more
)

// judge decides on a file with a row, and says why if it is rotten.
func judge(f FileFacts) (fate, string) {
	switch {
	case f.Open && f.Leased:
		return waits, ""
	case f.Open && (f.Named || f.Kept || f.Entries > 0):
		return rotten, "it was never closed, but something lies in it"
	case f.Open:
		return garbage, ""
	case f.Named && f.Dead < f.Entries:
		return stays, ""
	case f.Named:
		return rotten, "all that lay in it was let go, but something in it is named"
	case f.Dead < f.Entries && f.File.Kind != blockstore.RootFile:
		return rotten, "something in it has lost its row"
	case f.Dead < f.Entries:
		return rotten, "no snapshot names it, and none that did was deleted"
	case f.Kept, f.File.Kind == blockstore.RootFile && !f.Expanded:
		return waits, ""
	}
	return garbage, ""
}

// removeDead removes files that nothing can refer to any more. The file goes
// first: a row without a file is tried again, a file without a row would be set
// aside. A writer that still runs, although its lease is lost, can't make the file
// anew: either it was there while the lease was held, and then it was removed, or its
// writer drops it. All orders are enumerated in filemodel_test.go.
func (c *Collector) removeDead(ctx context.Context, r *Report) error {
	pass, err := c.Store.NextPass(ctx)
	if err != nil {
		return err
	}
	after := blockstore.FileID(0)
	for {
		ids, err := c.Store.TakeFiles(ctx, pass, after, batch)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := c.removeIfDead(ctx, pass, id, r); err != nil {
				return err
			}
		}
		after = ids[len(ids)-1]
	}
}

// removeIfDead looks at a file at the last moment, and removes it if it is garbage.
func (c *Collector) removeIfDead(ctx context.Context, pass int64, id blockstore.FileID, r *Report) error {
	one := []blockstore.FileID{id}
	facts, err := c.Store.Look(ctx, one)
	if err != nil {
		return err
	}
	f, ok := facts[id]
	if !ok || !f.Row {
		return c.Store.SettleFiles(ctx, pass, one) // lookThrough finds it if it is there
	}
	switch fate, why := judge(f); fate {
	case stays:
		return c.Store.SettleFiles(ctx, pass, one)
	case rotten:
		r.damaged("%s: %s", f.File.Name(), why)
	case garbage:
		if err := c.remove(ctx, f); err != nil {
			return c.goOn(ctx, r, f.File.Name(), err)
		}
		if err := c.Store.ForgetFiles(ctx, one); err != nil {
			return err
		}
		r.Files++
		r.Bytes += f.Bytes
	case waits:
	}
	return nil
}

// remove removes a file that is garbage. After a database that is older than the store
// was accepted, a file that it knows as open may have been closed since.
func (c *Collector) remove(ctx context.Context, f FileFacts) error {
	if f.Open && c.Older {
		if err := c.Backend.SetAside(ctx, f.File.Name(), c.Now()); err != nil {
			return err
		}
	}
	return c.Backend.Remove(ctx, f.File.Name())
}

// goOn notes that a file could not be dealt with: one such must not keep all others.
func (c *Collector) goOn(ctx context.Context, r *Report, name string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, blockstore.ErrUnavailable) {
		return err // it is so with all others
	}
	r.damaged("%s: %v", name, err)
	return nil
}

// lookThrough looks for files without rows, every ListEvery, and purges what was
// set aside longer than Keep ago.
func (c *Collector) lookThrough(ctx context.Context, r *Report) error {
	every, keep := c.ListEvery, c.Keep
	if every == 0 {
		every = 24 * time.Hour
	}
	if keep == 0 {
		keep = 30 * 24 * time.Hour
	}
	now := c.Now()
	if last := c.listed.Load(); last != 0 && now.Sub(time.Unix(0, last)).Abs() < every {
		return nil
	}
	if err := c.bringBackNamed(ctx); err != nil {
		if err := c.goOn(ctx, r, "quarantine", err); err != nil {
			return err
		}
		return c.setAside(ctx, now, r) // nothing is purged that could not be looked at
	}
	purged, err := c.Backend.Purge(ctx, c.by(c.Aged).Add(-keep))
	r.Purged = purged
	if err != nil {
		if err := c.goOn(ctx, r, "quarantine", err); err != nil {
			return err
		}
	}
	if err := c.setAside(ctx, now, r); err != nil {
		return err
	}
	c.listed.Store(now.UnixNano())
	return nil
}

// bringBackNamed brings back what was set aside although rows know it by now: the right
// database is back, or a row was entered while its file was being set aside. What is never
// removed while rows name it must not be purged either.
func (c *Collector) bringBackNamed(ctx context.Context) error {
	var aside []blockstore.File
	flush := func() error {
		ids := make([]blockstore.FileID, len(aside))
		for i, f := range aside {
			ids[i] = f.ID
		}
		facts, err := c.Store.Look(ctx, ids)
		for _, f := range aside {
			// One whose row says that it is open was set aside by remove.
			if x := facts[f.ID]; err == nil && (x.Named || x.Kept || x.Row && !x.Open) {
				err = c.Aside.BringBack(ctx, f.Name())
			}
		}
		aside = aside[:0]
		return err
	}
	err := c.Aside.EachAside(ctx, func(name string) error {
		if f, ok := blockstore.ParseName(name); ok {
			aside = append(aside, f)
		}
		if len(aside) < batch {
			return nil
		}
		return flush()
	})
	if err == nil && len(aside) > 0 {
		err = flush()
	}
	return err
}

// stillThere returns those of the files that are there when they are listed again, and how
// many closed ones are not: another cycle has removed them, and then their rows.
func (c *Collector) stillThere(ctx context.Context, files []blockstore.FoundFile) (still []blockstore.FoundFile, gone int, err error) {
	if len(files) == 0 {
		return nil, 0, nil
	}
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.Name()] = false
	}
	err = blockstore.EachFile(ctx, c.Backend, func(found []blockstore.FoundFile) error {
		for _, f := range found {
			if _, asked := there[f.Name()]; asked {
				there[f.Name()] = true
			}
		}
		return nil
	})
	for _, f := range files {
		switch {
		case there[f.Name()]:
			still = append(still, f)
		case f.Closed:
			gone++
		}
	}
	return still, gone, err
}

// maxUnknown is how many unknown files are remembered: more than are plausible.
const maxUnknown = 1 << 10

// setAside sets aside closed files without a row, and removes open ones. Those can
// never be closed any more: a row is committed before its file and names are never
// used again, so the file had a row once, and its unit is gone. Its writer looks at its
// lease before it goes on with a file that it has just created (blockstore.Store).
func (c *Collector) setAside(ctx context.Context, now time.Time, r *Report) error {
	var known, closed int
	var unknown []blockstore.FoundFile
	err := blockstore.EachFile(ctx, c.Backend, func(found []blockstore.FoundFile) error {
		strange, err := c.withoutRows(ctx, found, r)
		known += len(found) - len(strange)
		for _, f := range strange {
			if f.Closed {
				closed++
			}
			if len(unknown) < maxUnknown {
				unknown = append(unknown, f)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	unknown, gone, err := c.stillThere(ctx, unknown)
	if err != nil {
		return err
	}
	if closed -= gone; !blockstore.Plausible(known, closed) {
		r.Implausible = fmt.Sprintf("the database does not know %d of %d files in the store: it is not the one that they were written with, "+
			"or an older state of it. They were left alone; bring back the right database, or move them away", closed, known+closed)
		return nil
	}
	for _, f := range unknown {
		if f.Closed {
			err = c.Backend.SetAside(ctx, f.Name(), now)
		} else {
			err = c.Backend.Remove(ctx, f.Name())
		}
		switch {
		case err != nil:
			if err := c.goOn(ctx, r, f.Name(), err); err != nil {
				return err
			}
		case f.Closed:
			r.Aside = append(r.Aside, f.Name())
		default:
			r.Files++
		}
	}
	slices.Sort(r.Aside)
	return nil
}

// withoutRows returns the files that no row names. A file that has no row of its
// own but is named by another row is damage, and stays.
func (c *Collector) withoutRows(ctx context.Context, found []blockstore.FoundFile, r *Report) (strange []blockstore.FoundFile, err error) {
	ids := make([]blockstore.FileID, len(found))
	for i, f := range found {
		ids[i] = f.ID
	}
	rows, err := c.Store.FilesWithRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	var rowless []blockstore.FileID
	for _, id := range ids {
		if !rows[id] {
			rowless = append(rowless, id)
		}
	}
	if len(rowless) == 0 {
		return nil, nil
	}
	facts, err := c.Store.Look(ctx, rowless)
	for _, f := range found {
		if rows[f.ID] {
			continue
		}
		if _, ok := facts[f.ID]; ok {
			r.damaged("%s: it has no row, but something in it is named", f.Name())
		} else {
			strange = append(strange, f)
		}
	}
	return strange, err
}
