package compact

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Intact is a frame that may replace one that is damaged, in a pack that rows know or not.
type Intact struct {
	ID block.ID
	At blockstore.Location
}

// MaxMended is how many bytes of frames one Mend takes at most.
const MaxMended = 64 << 20

// Mend copies frames of a domain to a new pack, each of which it opens before, and makes
// those of their blocks lie there that can't be read where they lie, or have no row. It
// leaves out frames that are not what they should be, and returns how many blocks it has
// mended. The domain's key must be usable. Nothing else is changed, and nothing removed.
func (c *Compactor) Mend(ctx context.Context, domain string, some []Intact) (mended int64, err error) {
	d, keys, err := c.Keys.Open(ctx, domain)
	if err != nil {
		return 0, err
	}
	err = c.begun(ctx, domain, func(ctx context.Context, l work.Lease) error {
		w, err := c.Blocks.NewRewriter(ctx, l, d, nil, MaxMended, 0)
		if err != nil {
			return err
		}
		defer w.Abort(ctx)
		m := mending{Compactor: c, domain: d, keys: keys, buf: make([]byte, frame.Size), opened: make([]byte, frame.Size), plain: make([]byte, block.Size)}
		whole := 0
		for _, x := range some {
			framed, err := m.read(ctx, x)
			if err == nil {
				whole++
				_, err = w.Add(ctx, x.ID, framed)
			}
			if err != nil && (ctx.Err() != nil || !snapshot.IsDamage(err)) {
				return err
			}
		}
		if whole == 0 {
			return c.Store.End(ctx, l)
		}
		closed, err := w.Finish(ctx)
		if err != nil {
			return err
		}
		mended, err = c.Mender.Mend(ctx, l, Mended{Pack: &closed})
		return err
	})
	return mended, err
}

// mending is the memory of a Mend.
type mending struct {
	*Compactor
	domain             blockstore.Domain
	keys               *frame.Keys
	buf, opened, plain []byte
}

// read returns a frame that was proven to be that of its block, and that can be opened with the
// header of a new pack.
func (m *mending) read(ctx context.Context, x Intact) ([]byte, error) {
	if err := x.At.Check(); err != nil {
		return nil, err
	}
	framed := m.buf[:int(x.At.Len)*blockstore.Align]
	if err := m.Blocks.ReadAt(ctx, x.At.File, framed, int64(x.At.Off)*blockstore.Align); err != nil {
		return nil, err
	}
	info, err := frame.Inspect(framed)
	if err != nil {
		return nil, err
	}
	if info.Key < m.domain.Oldest || info.Key > m.domain.Newest {
		return nil, fmt.Errorf("%w: %w", frame.ErrUnknown, errDroppedKey)
	}
	copied := m.opened[:copy(m.opened, framed)]
	if _, _, err := m.Blocks.Open(ctx, m.keys, x.At.File, copied, m.plain, x.ID); err != nil {
		return nil, err
	}
	return framed, nil
}

// MendPages writes pages anew, and makes them lie there.
func (c *Compactor) MendPages(ctx context.Context, domain string, pages [][]byte, places []snapshot.PagePlace) error {
	return c.begun(ctx, domain, func(ctx context.Context, l work.Lease) error {
		s, err := c.Blocks.NewStream(ctx, l, blockstore.PagesFile, int64(len(pages)*snapshot.MaxPageBytes))
		if err != nil {
			return err
		}
		defer func() { _ = s.Abort() }() // a file that stays has a row, so gc finds it
		m := Mended{PagesFile: s.File()}
		for i, p := range pages {
			at := places[i]
			at.File, at.Off = s.File().ID, s.Size()
			m.Pages = append(m.Pages, at)
			if err := s.Write(ctx, p); err != nil {
				return err
			}
		}
		if m.PagesBytes, err = s.Close(ctx); err != nil {
			return err
		}
		_, err = c.Mender.Mend(ctx, l, m)
		return err
	})
}

// begun runs fn under the lease of the unit that rewrites packs of a domain, when no other has
// it. fn ends it with its event.
func (c *Compactor) begun(ctx context.Context, domain string, fn func(context.Context, work.Lease) error) error {
	for {
		l, err := c.Store.Begin(ctx, domain, c.Owner, c.Now().Add(work.LeaseFor))
		if errors.Is(err, ErrBusy) {
			if err := work.Pause(ctx, busyPause); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		return c.hold(ctx, l, func(ctx context.Context) error { return fn(ctx, l) })
	}
}
