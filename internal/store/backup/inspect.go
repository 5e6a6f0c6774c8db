package backup

import (
	"context"
	"fmt"
	"io"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
)

// span is a part of a file that can be checked by itself.
type span struct {
	off, size int64
	check     func([]byte) error
}

// inspector checks what is written to it, span by span, and what is between them not. It
// keeps what it finds wrong first, and fails no write: what is damaged is copied too.
type inspector struct {
	spans []span // ascending
	off   int64
	part  []byte // of the first span
	wrong error
}

// spansOf returns what can be checked of a file, which r reads.
func (c *copying) spansOf(ctx context.Context, n Need, r io.ReaderAt) ([]span, error) {
	switch n.File.Kind {
	case blockstore.PackFile:
		index, err := blockstore.ReadPackIndex(r, n.Bytes)
		if err == nil && index.File.ID != n.File.ID {
			err = fmt.Errorf("%w: it says that it is file %x", blockstore.ErrBadPack, index.File.ID)
		}
		return framesOf(index.Blocks), err
	case blockstore.PagesFile:
		places, err := c.copy.Pages(ctx, n.File.ID)
		var spans []span
		for _, p := range places {
			spans = append(spans, span{p.Off, p.Len, func(b []byte) error { return c.Authority.CheckPage(p.ID, b) }})
		}
		return spans, err
	case blockstore.RootFile:
		return []span{{0, n.Bytes, c.Authority.CheckRoot}}, nil
	}
	return nil, nil
}

func framesOf(blocks []blockstore.Placement) []span {
	spans := make([]span, len(blocks))
	for i, b := range blocks {
		spans[i] = span{int64(b.Off) * blockstore.Align, int64(b.Len) * blockstore.Align, func(p []byte) error {
			info, err := frame.Inspect(p)
			if err == nil && info.ID != b.ID {
				err = fmt.Errorf("%w: it is of block %s, and the trailer says %s", frame.ErrCorrupt, info.ID, b.ID)
			}
			return err
		}}
	}
	return spans
}

// Write follows io.Writer.
func (i *inspector) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && len(i.spans) > 0 {
		s := i.spans[0]
		if s.size <= 0 || len(i.part) == 0 && s.off < i.off { // a damaged row says so
			i.note(s, fmt.Errorf("%d bytes are said to lie there, within what lies before", s.size))
			i.spans = i.spans[1:]
			continue
		}
		if gap := s.off + int64(len(i.part)) - i.off; gap > 0 {
			gap = min(gap, int64(len(p)))
			p, i.off = p[gap:], i.off+gap
			continue
		}
		some := min(s.size-int64(len(i.part)), int64(len(p)))
		if len(i.part) == 0 && some == s.size {
			i.look(s, p[:some])
		} else if i.part = append(i.part, p[:some]...); int64(len(i.part)) == s.size {
			i.look(s, i.part)
		}
		p, i.off = p[some:], i.off+some
	}
	i.off += int64(len(p))
	return n, nil
}

func (i *inspector) look(s span, p []byte) {
	i.note(s, s.check(p))
	i.spans, i.part = i.spans[1:], i.part[:0]
}

// note keeps what is wrong with a span, if anything is and it is the first.
func (i *inspector) note(s span, err error) {
	if err != nil && i.wrong == nil {
		i.wrong = fmt.Errorf("at %d: %w", s.off, err)
	}
}

// err returns what is wrong with all that was written.
func (i *inspector) err() error {
	if i.wrong == nil && len(i.spans) > 0 {
		return fmt.Errorf("it ends at %d, within what begins at %d", i.off, i.spans[0].off)
	}
	return i.wrong
}
