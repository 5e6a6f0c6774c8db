package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// batch is how many rows are read at a time.
const batch = 256

// The states of a file.
const (
	stateOpen   = "open"
	stateClosed = "closed"
)

// files checks the files that have rows, behind the one with the number after.
func (r *run) files(ctx context.Context, after string, reached func(string) error) error {
	at := blockstore.FileID(math.MinInt64) // no event writes a number below 0, damage does
	if after != "" {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil {
			return fmt.Errorf("verify: going on behind file %q: %w", after, err)
		}
		at = blockstore.FileID(n)
	}
	if err := r.addUp(ctx, at); err != nil {
		return err
	}
	return r.eachFile(ctx, at, func(row FileRow) error {
		if err := r.file(ctx, row.ID); err != nil {
			return err
		}
		r.summary.Files++
		return reached(strconv.FormatInt(int64(row.ID), 10))
	})
}

func (r *run) eachFile(ctx context.Context, after blockstore.FileID, fn func(FileRow) error) error {
	for {
		rows, err := r.Store.Files(ctx, after, batch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := fn(row); err != nil {
				return err
			}
		}
		if len(rows) < batch {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}

// addUp finds out how much there is to read.
func (r *run) addUp(ctx context.Context, after blockstore.FileID) (err error) {
	if r.Objects != nil {
		if r.total, err = r.Objects.ObjectBytes(ctx); err != nil {
			return err
		}
	}
	return r.eachFile(ctx, after, func(row FileRow) error {
		if row.Bytes > 0 && row.Bytes < 1<<40 { // others are damage
			r.total += row.Bytes
		}
		return nil
	})
}

// did counts bytes that were read, and keeps them within the rate.
func (r *run) did(ctx context.Context, n int64) error {
	r.summary.Bytes += n
	r.o.Progress(min(r.summary.Bytes, r.total), r.total)
	return r.pace.Wait(ctx, n)
}

// file checks a file that has a row.
func (r *run) file(ctx context.Context, id blockstore.FileID) error {
	c, err := r.Store.Contents(ctx, id)
	if err != nil || !c.HasRow { // it was removed meanwhile
		return err
	}
	f, held := c.Row.File, len(c.Blocks)+len(c.Pages)+int(c.Roots)
	switch {
	case c.Row.State == stateOpen && held == 0:
		return nil // it is being written, or gc's
	case c.Row.State == stateOpen:
		err = errors.New("its row says that it was never closed, but something lies in it")
	case c.Row.State != stateClosed:
		err = fmt.Errorf("its row says that it is %q", c.Row.State)
	}
	if err != nil {
		r.needs.file(id)
		if err := r.found(inFile(Row, f, -1, err)); err != nil {
			return err
		}
	}
	if err := r.counts(c); err != nil {
		return err
	}
	size, err := r.size(ctx, f, c.Row.Bytes)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return r.missing(ctx, id, err)
	case size != c.Row.Bytes:
		r.needs.file(id)
		if err := r.found(inFile(Missing, f, min(size, max(0, c.Row.Bytes)), fmt.Errorf("it has %d bytes, its row says %d", size, c.Row.Bytes))); err != nil {
			return err
		}
	}
	switch f.Kind {
	case blockstore.PackFile:
		return r.pack(ctx, c, size)
	case blockstore.PagesFile:
		return r.pages(ctx, c, size)
	case blockstore.RootFile:
		return r.root(ctx, f, size)
	}
	return r.found(inFile(Row, f, -1, fmt.Errorf("its row says that it is of kind %q", f.Kind)))
}

// counts checks what a row counts.
func (r *run) counts(c Contents) error {
	row, lying := c.Row, int64(len(c.Blocks)+len(c.Pages))
	var err error
	switch {
	case row.State == stateOpen:
	case nameless(c):
		return r.found(inFile(Row, row.File, -1, errors.New("no snapshot names it, and none that did was deleted")).advised(enterSnapshot))
	case row.Kind == blockstore.RootFile && row.Entries == 1 && (row.Dead == 0 && c.Roots > 0 || row.Dead == 1 && c.Roots == 0):
	case row.Kind == blockstore.RootFile:
		err = fmt.Errorf("its row counts %d roots, of which %d were let go, and %d snapshots name it", row.Entries, row.Dead, c.Roots)
	case row.Entries-row.Dead != lying || row.Dead < 0:
		err = fmt.Errorf("its row counts %d blocks or pages, of which %d were let go, but %d have a row", row.Entries, row.Dead, lying)
	}
	if err == nil {
		return nil
	}
	r.needs.file(row.ID)
	return r.found(inFile(Row, row.File, -1, err))
}

// lacksRows reports whether fewer blocks or pages of a file have a row than were not let go: rows
// are lost, it can't be told which. A snapshot that needs one says so, but a volume, or what is
// being made, is not looked at. Those that can be read and have no row are all entered again, and gc frees
// what nothing needs.
func lacksRows(c Contents) bool {
	row := c.Row
	return row.State == stateClosed && row.Kind != blockstore.RootFile && row.Entries-row.Dead > int64(len(c.Blocks)+len(c.Pages))
}

// nameless reports whether a file is the root of a snapshot whose row is lost: a deletion
// would have let go of it.
func nameless(c Contents) bool {
	row := c.Row
	return row.State == stateClosed && row.Kind == blockstore.RootFile && row.Entries == 1 && row.Dead == 0 && c.Roots == 0
}

// size returns how long a file is; its row says likely bytes.
func (r *run) size(ctx context.Context, f blockstore.File, likely int64) (int64, error) {
	var p [1]byte
	there := func(off int64) (bool, error) {
		n, err := r.store.Backend.ReadAt(ctx, f.Name(), p[:], off)
		if n == 1 || errors.Is(err, io.EOF) {
			return n == 1, nil
		}
		return false, err
	}
	if likely > 0 {
		last, err := there(likely - 1)
		if err != nil {
			return 0, err
		}
		more, err := there(likely)
		if err != nil || last && !more {
			return likely, err
		}
	}
	low, high := int64(0), int64(1)<<40 // the size lies in [low, high]
	for low < high {
		mid := low + (high-low)/2
		ok, err := there(mid)
		switch {
		case err != nil:
			return 0, err
		case ok:
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, nil
}

// missing deals with a file that can't be read at all. One that was removed meanwhile has
// no row any more.
func (r *run) missing(ctx context.Context, id blockstore.FileID, cause error) error {
	if errors.Is(cause, blockstore.ErrUnavailable) {
		return cause // a store that does not answer says nothing of its files
	}
	c, err := r.Store.Contents(ctx, id)
	if err != nil || !c.HasRow {
		return err
	}
	if len(c.Blocks)+len(c.Pages)+int(c.Roots) == 0 && c.Row.Dead >= c.Row.Entries {
		return nil // gc removes the file first, then its row
	}
	r.needs.file(id)
	f := inFile(Missing, c.Row.File, -1, cause)
	if c.Row.Kind == blockstore.RootFile {
		f = f.advised(advice[Root])
	}
	if err := r.found(f); err != nil {
		return err
	}
	for _, b := range c.Blocks {
		r.unreadable(b.ID, cause.Error())
		if !errors.Is(cause, blockstore.ErrNotExist) {
			continue // it may be there the next time
		}
		if err := r.Store.MarkDamaged(ctx, b.ID, blockstore.Location{File: c.Row.File, Span: b.Span}); err != nil {
			return err
		}
	}
	return nil
}

// pages checks a pages file: every page in it is under a MAC, which is its name.
func (r *run) pages(ctx context.Context, c Contents, size int64) error {
	f := c.Row.File
	rows := map[int64]snapshot.PagePlace{}
	for _, p := range c.Pages {
		rows[p.Off] = p
	}
	whole := map[snapshot.PageID]snapshot.PagePlace{}
	damaged := map[int64]bool{}
	buf := make([]byte, snapshot.MaxPageBytes)
	for off := int64(0); off < size; {
		b := buf[:min(int64(len(buf)), size-off)]
		if err := r.store.ReadAt(ctx, f, b, off); err != nil {
			return r.missing(ctx, f.ID, err)
		}
		p, err := r.Shelf.Library.ParsePage(b)
		row, named := rows[off]
		if err == nil && named && row.ID != p.ID {
			err = fmt.Errorf("%w: the page is not the one that its row names, %x", snapshot.ErrCorrupt, row.ID[:])
		}
		p.File, p.Off = f.ID, off
		next := off + p.Len
		if err != nil {
			damaged[off] = true
			if named {
				r.needs.oddPage(row.ID)
			}
			odd := inFile(Page, f, off, err)
			odd.Harmless = !named // it was written anew elsewhere, or let go
			if ferr := r.found(odd); ferr != nil {
				return ferr
			}
			next = nextPage(rows, off, size)
		} else {
			whole[p.ID] = p
		}
		if err := r.did(ctx, next-off); err != nil {
			return err
		}
		off = next
	}
	if err := r.lostPages(ctx, c, whole); err != nil {
		return err
	}
	return r.pageRows(ctx, c, whole, damaged)
}

// lostPages notes whole pages of a file that lacks rows of its pages and that have none
// anywhere, so that a repair enters them again.
func (r *run) lostPages(ctx context.Context, c Contents, whole map[snapshot.PageID]snapshot.PagePlace) error {
	if r.needs == nil || !lacksRows(c) {
		return nil
	}
	ids := slices.Collect(maps.Keys(whole))
	known, err := r.Shelf.Library.Index.LocatePages(ctx, ids)
	for _, id := range ids {
		if _, ok := known[id]; !ok && err == nil {
			r.needs.page("", id)
		}
	}
	return err
}

// nextPage returns where the next page lies that a row knows.
func nextPage(rows map[int64]snapshot.PagePlace, off, size int64) int64 {
	next := size
	for at := range rows {
		if at > off {
			next = min(next, at)
		}
	}
	return next
}

// pageRows checks the rows of pages in a file, of which those in whole were found, and of
// which those at the offsets in damaged are findings already.
func (r *run) pageRows(ctx context.Context, c Contents, whole map[snapshot.PageID]snapshot.PagePlace, damaged map[int64]bool) error {
	var doubtful []snapshot.PagePlace
	for _, p := range c.Pages {
		if !samePage(whole[p.ID], p) && !damaged[p.Off] {
			doubtful = append(doubtful, p)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	now, err := r.Store.Contents(ctx, c.Row.ID)
	if err != nil {
		return err
	}
	still := map[snapshot.PageID]snapshot.PagePlace{}
	for _, p := range now.Pages {
		still[p.ID] = p
	}
	for _, p := range doubtful {
		if !samePage(still[p.ID], p) {
			continue
		}
		r.needs.oddPage(p.ID)
		err := fmt.Errorf("the row of page %x says that it lies here, with %d bytes and %d blocks", p.ID[:], p.Len, p.Blocks)
		if err := r.found(inFile(Row, c.Row.File, p.Off, err)); err != nil {
			return err
		}
	}
	return nil
}

func samePage(a, b snapshot.PagePlace) bool {
	return a.ID == b.ID && a.Off == b.Off && a.Len == b.Len && a.Blocks == b.Blocks
}

// root checks a root, all of which is under a MAC.
func (r *run) root(ctx context.Context, f blockstore.File, size int64) error {
	t, err := r.Shelf.Library.ReadTree(ctx, f)
	if err == nil && t.Bytes() != size {
		err = fmt.Errorf("%w: a root of %d bytes in a file of %d", snapshot.ErrCorrupt, t.Bytes(), size)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, blockstore.ErrNotExist) {
		return r.missing(ctx, f.ID, err)
	}
	if err != nil {
		if err := r.found(inFile(Root, f, 0, err)); err != nil {
			return err
		}
	}
	return r.did(ctx, size)
}

// homeless looks for rows of blocks and pages whose file has none.
func (r *run) homeless(ctx context.Context) error {
	for after := blockstore.FileID(math.MinInt64); ; {
		ids, err := r.Store.Homeless(ctx, after, batch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			c, err := r.Store.Contents(ctx, id)
			if err != nil {
				return err
			}
			if n := len(c.Blocks) + len(c.Pages); c.HasRow || n == 0 {
				continue
			}
			for _, b := range c.Blocks {
				r.unreadable(b.ID, "the file that it is said to lie in has no row")
			}
			for _, p := range c.Pages {
				r.needs.oddPage(p.ID)
			}
			err = fmt.Errorf("%d blocks and %d pages are said to lie in it, but it has no row", len(c.Blocks), len(c.Pages))
			f := blockstore.File{ID: id, Kind: blockstore.PagesFile}
			if len(c.Blocks) > 0 {
				f.Kind = blockstore.PackFile
			}
			if err := r.found(inFile(Row, f, -1, err)); err != nil {
				return err
			}
		}
		if len(ids) < batch {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// strays looks for files that no row knows.
func (r *run) strays(ctx context.Context) error {
	return r.eachStray(ctx, func(f blockstore.FoundFile) error {
		if _, err := r.size(ctx, f.File, f.Bytes); errors.Is(err, blockstore.ErrNotExist) {
			return nil // it was removed, and its row after it
		}
		return r.found(inFile(Stray, f.File, -1, errors.New("the database does not know this file")))
	})
}

// eachStray calls fn with the closed files that have no row.
func (r *run) eachStray(ctx context.Context, fn func(blockstore.FoundFile) error) error {
	return r.eachClosed(ctx, func(f blockstore.FoundFile, known bool) error {
		if known {
			return nil
		}
		return fn(f)
	})
}

// eachClosed calls fn with the closed files, and whether they have a row.
func (r *run) eachClosed(ctx context.Context, fn func(f blockstore.FoundFile, known bool) error) error {
	return blockstore.EachFile(ctx, r.store.Backend, func(some []blockstore.FoundFile) error {
		ids := make([]blockstore.FileID, len(some))
		for i, f := range some {
			ids[i] = f.ID
		}
		rows, err := r.Store.FilesWithRows(ctx, ids)
		if err != nil {
			return err
		}
		for _, f := range some {
			if !f.Closed {
				continue
			}
			if err := fn(f, rows[f.ID]); err != nil {
				return err
			}
		}
		return nil
	})
}
