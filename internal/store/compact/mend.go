package compact

import (
	"context"
	"errors"

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
// those of their blocks lie there that can't be read where they lie, or have no row. Those of an
// encrypted domain are encrypted anew: a pack that no row knows may have data keys of its own
// (Pack.Entered). It leaves out frames that are not what they should be, and returns how many
// blocks it has mended. The domain's key must be usable. Nothing else is changed, and nothing
// removed.
func (c *Compactor) Mend(ctx context.Context, domain string, some []Intact) (mended int64, err error) {
	d, keys, err := c.Keys.Open(ctx, domain)
	if err != nil {
		return 0, err
	}
	err = c.begun(ctx, domain, func(ctx context.Context, l work.Lease) error {
		n := len(some)
		if keys.Cipher() == frame.None {
			n = 0
		}
		w, err := c.Blocks.NewRewriter(ctx, l, d, keys, MaxMended, n)
		if err != nil {
			return err
		}
		defer w.Abort(ctx)
		m := newMending(c, w.Keys())
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
	keys                        *frame.Keys // of the new pack
	buf, opened, plain, scratch []byte
}

func newMending(c *Compactor, keys *frame.Keys) *mending {
	return &mending{c, keys, make([]byte, frame.Size), make([]byte, frame.Size), make([]byte, block.Size), make([]byte, frame.ScratchSize)}
}

// read returns a frame that was proven to be that of its block, under the newest data key.
func (m *mending) read(ctx context.Context, x Intact) ([]byte, error) {
	if err := x.At.Check(); err != nil {
		return nil, err
	}
	framed := m.buf[:int(x.At.Len)*blockstore.Align]
	if err := m.Blocks.ReadAt(ctx, x.At.File, framed, int64(x.At.Off)*blockstore.Align); err != nil {
		return nil, err
	}
	if _, err := frame.Inspect(framed); err != nil {
		return nil, err
	}
	other := m.opened[:len(framed)]
	if m.keys.Cipher() != frame.None {
		return other, m.Blocks.Reencrypt(ctx, m.keys, x.At, framed, m.plain, other, x.ID, m.scratch)
	}
	copy(other, framed) // the compressed bytes of one that is opened in place are gone
	_, _, err := m.Blocks.Open(ctx, m.keys, x.At, other, m.plain, x.ID)
	return framed, err
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
