package compact

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// errNewerKey reports a frame that stays where it is, since the header of the new pack does
// not have its data key.
var errNewerKey = errors.New("it is under a data key that was made just now")

// errDroppedKey reports a frame that stays where it is, since the header of its own pack is
// the last place that has its data key. The row of the pack was wrong when that was dropped.
var errDroppedKey = errors.New("its data key was dropped too early: only its own pack still has it")

// Rotated says what a rotation has done.
type Rotated struct {
	Report
	Domain blockstore.Domain // as it is afterwards: Retiring if old data keys are still there
}

// drop drops data keys that are to go and that nothing is under any more.
func (r *run) drop(ctx context.Context) error {
	retiring, err := r.Keys.Retiring(ctx)
	for _, id := range retiring {
		d, err := r.Keys.Drop(ctx, id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.report.locked(id, err)
		case !d.Retiring():
			r.report.Dropped = append(r.report.Dropped, id)
		}
	}
	return err
}

// Rotate makes a new data key for a domain, encrypts all blocks anew that are under older
// ones, and drops those. If a rotation of the domain is under way, it goes on with that. It
// may stop anywhere, and be run again; the periodic duty goes on with it too.
func (c *Compactor) Rotate(ctx context.Context, domain string, rate int64, progress func(Progress)) (Rotated, error) {
	var done Rotated
	var err error
	if done.Domain, err = c.Keys.Rotate(ctx, domain); err != nil {
		return done, fmt.Errorf("compact: rotating the data key of %s: %w", domain, err)
	}
	e := Thorough(rate)
	e.Outdated = domain
	if done.Report, err = c.Run(ctx, e, progress); err != nil {
		return done, err
	}
	if done.Domain, err = c.Domain(ctx, domain); err != nil {
		return done, fmt.Errorf("compact: rotating the data key of %s: %w", domain, err)
	}
	return done, nil
}
