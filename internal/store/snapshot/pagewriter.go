package snapshot

import (
	"context"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/work"
)

// pageWriter writes the pages of one unit of work into one file, equal ones once.
// It must not be used concurrently.
type pageWriter struct {
	lib     *Library
	lease   work.Lease
	size    int64 // bytes that there may be, for reserving space
	file    *blockstore.Stream
	written map[PageID]PagePlace
	places  []PagePlace
	buf     []byte
	closed  bool
}

func (l *Library) newPageWriter(lease work.Lease, size int64) *pageWriter {
	return &pageWriter{lib: l, lease: lease, size: size, written: map[PageID]PagePlace{}}
}

// write writes the page with an index, which names entries: ascending, at least
// one, all on this page. Pages come in ascending order.
func (w *pageWriter) write(ctx context.Context, index int64, entries []Block) error {
	w.buf = appendPage(w.buf[:0], index*PageBlocks, entries)
	id := PageID(w.lib.PageKey.mac(w.buf))
	at, ok := w.written[id]
	if !ok {
		if err := w.begin(ctx); err != nil {
			return err
		}
		at = PagePlace{ID: id, File: w.file.File().ID, Off: w.file.Size(), Len: int64(len(w.buf))}
		if err := w.file.Write(ctx, w.buf); err != nil {
			return err
		}
		w.written[id] = at
	}
	at.Page, at.Blocks = index, len(entries)
	w.places = append(w.places, at)
	return nil
}

// begin starts the file for the first page.
func (w *pageWriter) begin(ctx context.Context) (err error) {
	if w.file == nil {
		w.file, err = w.lib.Store.NewStream(ctx, w.lease, blockstore.PagesFile, w.size)
	}
	return err
}

// added makes the pages durable and returns them.
func (w *pageWriter) added(ctx context.Context) (p NewPages, err error) {
	p.Pages = w.places
	if w.file == nil {
		return p, nil
	}
	p.File = w.file.File()
	p.Bytes, err = w.file.Close(ctx)
	w.closed = err == nil
	return p, err
}

// abort drops the file unless it is finished.
func (w *pageWriter) abort() {
	if w.file != nil && !w.closed {
		_ = w.file.Abort() // if it stays, it has a row, so gc finds it
	}
}

// remove drops the file even when it is finished.
func (w *pageWriter) remove(ctx context.Context) {
	if w.file != nil {
		_ = w.lib.Store.Backend.Remove(ctx, w.file.File().Name()) // as in abort
	}
}
