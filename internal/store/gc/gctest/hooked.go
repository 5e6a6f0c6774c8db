package gctest

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// hooked is a gc.Store that calls before, when set, ahead of every call, and fails
// with its error.
type hooked struct {
	gc.Store
	before func(method string) error
}

func (h *hooked) at(method string) error {
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

func (h *hooked) NextPass(ctx context.Context) (int64, error) {
	if err := h.at("NextPass"); err != nil {
		return 0, err
	}
	return h.Store.NextPass(ctx)
}

func (h *hooked) MarkPages(ctx context.Context, pass int64, ids []snapshot.PageID) ([]snapshot.PagePlace, error) {
	if err := h.at("MarkPages"); err != nil {
		return nil, err
	}
	return h.Store.MarkPages(ctx, pass, ids)
}

func (h *hooked) MarkBlocks(ctx context.Context, pass int64, ids []block.ID) error {
	if err := h.at("MarkBlocks"); err != nil {
		return err
	}
	return h.Store.MarkBlocks(ctx, pass, ids)
}

func (h *hooked) SpareBlocks(ctx context.Context, ids []block.ID) error {
	if err := h.at("SpareBlocks"); err != nil {
		return err
	}
	return h.Store.SpareBlocks(ctx, ids)
}

func (h *hooked) Drafts(ctx context.Context, fn func([]snapshot.PageID) error) error {
	if err := h.at("Drafts"); err != nil {
		return err
	}
	return h.Store.Drafts(ctx, fn)
}

func (h *hooked) DraftBlocks(ctx context.Context, fn func([]block.ID) error) error {
	if err := h.at("DraftBlocks"); err != nil {
		return err
	}
	return h.Store.DraftBlocks(ctx, fn)
}

func (h *hooked) Roots(ctx context.Context, fn func(blockstore.File) error) error {
	if err := h.at("Roots"); err != nil {
		return err
	}
	return h.Store.Roots(ctx, fn)
}

func (h *hooked) InFlight(ctx context.Context, now time.Time) ([]gc.Fence, error) {
	if err := h.at("InFlight"); err != nil {
		return nil, err
	}
	return h.Store.InFlight(ctx, now)
}

func (h *hooked) Condemn(ctx context.Context, pass int64) (int64, error) {
	if err := h.at("Condemn"); err != nil {
		return 0, err
	}
	return h.Store.Condemn(ctx, pass)
}

func (h *hooked) DeleteCondemned(ctx context.Context, pass int64) (gc.Report, error) {
	if err := h.at("DeleteCondemned"); err != nil {
		return gc.Report{}, err
	}
	return h.Store.DeleteCondemned(ctx, pass)
}

func (h *hooked) DeadFiles(ctx context.Context, after blockstore.FileID, limit int) ([]gc.DeadFile, error) {
	if err := h.at("DeadFiles"); err != nil {
		return nil, err
	}
	return h.Store.DeadFiles(ctx, after, limit)
}

func (h *hooked) ForgetFiles(ctx context.Context, ids []blockstore.FileID) error {
	if err := h.at("ForgetFiles"); err != nil {
		return err
	}
	return h.Store.ForgetFiles(ctx, ids)
}

func (h *hooked) KnownFiles(ctx context.Context, ids []blockstore.FileID) (map[blockstore.FileID]bool, error) {
	if err := h.at("KnownFiles"); err != nil {
		return nil, err
	}
	return h.Store.KnownFiles(ctx, ids)
}
