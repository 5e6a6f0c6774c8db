package gc

import (
	"context"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// batch is how many files are looked up at a time.
const batch = 256

// removeDead removes files without live rows. Nothing can refer to them any more,
// so the file goes first: a row without a file is tried again, a file without a
// row would be left to removeUnknown.
func (c *Collector) removeDead(ctx context.Context, r *Report) error {
	// Leases that have lapsed are lost from here on, and their open files are dead.
	if _, err := c.Store.InFlight(ctx, c.Now()); err != nil {
		return err
	}
	after := blockstore.FileID(0)
	for {
		dead, err := c.Store.DeadFiles(ctx, after, batch)
		if err != nil || len(dead) == 0 {
			return err
		}
		ids := make([]blockstore.FileID, len(dead))
		for i, f := range dead {
			if err := c.Backend.Remove(ctx, f.Name()); err != nil {
				return err
			}
			ids[i] = f.ID
		}
		if err := c.Store.ForgetFiles(ctx, ids); err != nil {
			return err
		}
		for _, f := range dead {
			r.Files++
			r.Bytes += f.Bytes
		}
		after = ids[len(ids)-1]
	}
}

// removeUnknown removes files of the store's naming that have no row: a row comes
// before its file and names are never used again, so its row is gone.
func (c *Collector) removeUnknown(ctx context.Context, r *Report) error {
	var seen []blockstore.File
	flush := func() error {
		ids := make([]blockstore.FileID, len(seen))
		for i, f := range seen {
			ids[i] = f.ID
		}
		known, err := c.Store.KnownFiles(ctx, ids)
		if err != nil {
			return err
		}
		for _, f := range seen {
			if known[f.ID] {
				continue
			}
			if err := c.Backend.Remove(ctx, f.Name()); err != nil {
				return err
			}
			r.Files++
		}
		seen = seen[:0]
		return nil
	}
	err := c.Backend.List(ctx, func(e blockstore.Entry) error {
		if f, ok := parse(e.Name); ok {
			seen = append(seen, f)
		}
		if len(seen) < batch {
			return nil
		}
		return flush()
	})
	if err != nil || len(seen) == 0 {
		return err
	}
	return flush()
}

// parse is the inverse of blockstore.File.Name. What else lies there is not ours.
func parse(name string) (f blockstore.File, ok bool) {
	kind, _, _ := strings.Cut(name, "/")
	id, err := strconv.ParseUint(name[strings.LastIndexByte(name, '/')+1:], 16, 63)
	f = blockstore.File{ID: blockstore.FileID(id), Kind: blockstore.FileKind(kind)}
	return f, err == nil && f.Name() == name
}
