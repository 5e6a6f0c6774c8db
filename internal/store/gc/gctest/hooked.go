package gctest

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// hooked is a gc.Store that calls before, when set, ahead of every call, and fails
// with its error. It answers a limited number of calls of InFlight, lest gc wait
// for ever for a unit that never ends.
type hooked struct {
	gc.Store
	before func(method string) error
	calls  map[string]int // of every method
	blocks []block.ID     // that were condemned
	pages  []snapshot.PageID
	waited int
}

const patience = 1000

func (h *hooked) at(method string) error {
	if h.calls == nil {
		h.calls = map[string]int{}
	}
	h.calls[method]++
	if h.before == nil {
		return nil
	}
	return h.before(method)
}

// once runs fn ahead of the nth call of the method, counted from 1.
func (h *hooked) once(method string, nth int, fn func()) {
	calls := 0
	h.before = func(m string) error {
		if m == method {
			calls++
		}
		if m == method && calls == nth {
			h.before = nil
			fn()
		}
		return nil
	}
}

func (h *hooked) ReleasedRoots(ctx context.Context, after blockstore.FileID, limit int) (out []blockstore.File, err error) {
	if err := h.at("ReleasedRoots"); err != nil {
		return out, err
	}
	return h.Store.ReleasedRoots(ctx, after, limit)
}

func (h *hooked) NotePages(ctx context.Context, ids []snapshot.PageID) error {
	if err := h.at("NotePages"); err != nil {
		return err
	}
	return h.Store.NotePages(ctx, ids)
}

func (h *hooked) Expanded(ctx context.Context, root blockstore.FileID) error {
	if err := h.at("Expanded"); err != nil {
		return err
	}
	return h.Store.Expanded(ctx, root)
}

func (h *hooked) SuspectPages(ctx context.Context) error {
	if err := h.at("SuspectPages"); err != nil {
		return err
	}
	return h.Store.SuspectPages(ctx)
}

func (h *hooked) SuspectBlocks(ctx context.Context) error {
	if err := h.at("SuspectBlocks"); err != nil {
		return err
	}
	return h.Store.SuspectBlocks(ctx)
}

func (h *hooked) Pending(ctx context.Context) (out bool, err error) {
	if err := h.at("Pending"); err != nil {
		return out, err
	}
	return h.Store.Pending(ctx)
}

func (h *hooked) TakePages(ctx context.Context, pass int64, after snapshot.PageID, limit int) (out []snapshot.PagePlace, err error) {
	if err := h.at("TakePages"); err != nil {
		return out, err
	}
	return h.Store.TakePages(ctx, pass, after, limit)
}

func (h *hooked) TakeBlocks(ctx context.Context, pass int64, after block.ID, limit int) (out []block.ID, err error) {
	if err := h.at("TakeBlocks"); err != nil {
		return out, err
	}
	return h.Store.TakeBlocks(ctx, pass, after, limit)
}

func (h *hooked) NoteBlocks(ctx context.Context, pass int64, ids []block.ID) error {
	if err := h.at("NoteBlocks"); err != nil {
		return err
	}
	return h.Store.NoteBlocks(ctx, pass, ids)
}

func (h *hooked) Settle(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID) error {
	if err := h.at("Settle"); err != nil {
		return err
	}
	return h.Store.Settle(ctx, pass, pages, blocks)
}

func (h *hooked) RangePages(ctx context.Context, fn func([]gc.RangePage) error) error {
	if err := h.at("Drafts"); err != nil {
		return err
	}
	return h.Store.RangePages(ctx, fn)
}

func (h *hooked) DraftBlocks(ctx context.Context, fn func([]block.ID) error) error {
	if err := h.at("DraftBlocks"); err != nil {
		return err
	}
	return h.Store.DraftBlocks(ctx, fn)
}

func (h *hooked) Roots(ctx context.Context, fn func(gc.Root) error) error {
	if err := h.at("Roots"); err != nil {
		return err
	}
	return h.Store.Roots(ctx, fn)
}

func (h *hooked) LocatePages(ctx context.Context, ids []snapshot.PageID) (out map[snapshot.PageID]snapshot.PagePlace, err error) {
	if err := h.at("LocatePages"); err != nil {
		return out, err
	}
	return h.Store.LocatePages(ctx, ids)
}

func (h *hooked) InFlight(ctx context.Context, now time.Time) (out []gc.Fence, err error) {
	if err := h.at("InFlight"); err != nil {
		return out, err
	}
	if h.waited++; h.waited > patience {
		return nil, errors.New("a unit does not end")
	}
	return h.Store.InFlight(ctx, now)
}

func (h *hooked) NextPass(ctx context.Context) (out int64, err error) {
	if err := h.at("NextPass"); err != nil {
		return out, err
	}
	return h.Store.NextPass(ctx)
}

func (h *hooked) Condemn(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d gc.Doubt) error {
	if err := h.at("Condemn"); err != nil {
		return err
	}
	h.pages, h.blocks = append(h.pages, pages...), append(h.blocks, blocks...)
	return h.Store.Condemn(ctx, pass, pages, blocks, d)
}

func (h *hooked) DeleteCondemned(ctx context.Context, pass int64, pages []snapshot.PageID, blocks []block.ID, d gc.Doubt) (out gc.Report, err error) {
	if err := h.at("DeleteCondemned"); err != nil {
		return out, err
	}
	return h.Store.DeleteCondemned(ctx, pass, pages, blocks, d)
}

func (h *hooked) Spare(ctx context.Context, pass int64) error {
	if err := h.at("Spare"); err != nil {
		return err
	}
	return h.Store.Spare(ctx, pass)
}

func (h *hooked) TakeFiles(ctx context.Context, pass int64, after blockstore.FileID, limit int) (out []blockstore.FileID, err error) {
	if err := h.at("TakeFiles"); err != nil {
		return out, err
	}
	return h.Store.TakeFiles(ctx, pass, after, limit)
}

func (h *hooked) Look(ctx context.Context, ids []blockstore.FileID) (out map[blockstore.FileID]gc.FileFacts, err error) {
	if err := h.at("Look"); err != nil {
		return out, err
	}
	return h.Store.Look(ctx, ids)
}

func (h *hooked) SettleFiles(ctx context.Context, pass int64, ids []blockstore.FileID) error {
	if err := h.at("SettleFiles"); err != nil {
		return err
	}
	return h.Store.SettleFiles(ctx, pass, ids)
}

func (h *hooked) ForgetFiles(ctx context.Context, ids []blockstore.FileID) error {
	if err := h.at("ForgetFiles"); err != nil {
		return err
	}
	return h.Store.ForgetFiles(ctx, ids)
}

func (h *hooked) FilesWithRows(ctx context.Context, ids []blockstore.FileID) (out map[blockstore.FileID]bool, err error) {
	if err := h.at("FilesWithRows"); err != nil {
		return out, err
	}
	return h.Store.FilesWithRows(ctx, ids)
}
