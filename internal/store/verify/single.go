package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Snapshot reads every block of one completed snapshot, which may be deleted meanwhile: it is
// held. Progress is in blocks.
func (v *Verifier) Snapshot(ctx context.Context, rec snapshot.Record, o Observer) (Checked, error) {
	r := v.start(Effort{}, o)
	r.current = &Checked{ID: rec.ID, Account: rec.Account, Region: rec.Region, Blocks: rec.Blocks}
	err := r.single(ctx, rec)
	if isLocked(err) {
		r.current.Locked, err = err.Error(), nil
	}
	if err == nil {
		err = r.tell(ctx)
	}
	return *r.current, err
}

func (r *run) single(ctx context.Context, rec snapshot.Record) error {
	b, release, err := r.Shelf.OpenHeld(ctx, rec, "verify")
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case areBroken(err):
		return r.found(ofSnapshot(Data, rec, err).advised(restoreRow))
	case snapshot.IsDamage(err):
		return r.found(ofSnapshot(Root, rec, err))
	default:
		return err
	}
	defer release()
	done, read := int64(0), []snapshot.Reading{}
	err = b.Check(ctx, func(x snapshot.Reading) error {
		if isLocked(x.Err) || errors.Is(x.Err, blockstore.ErrUnavailable) {
			return x.Err
		}
		if x.OfPage {
			done += int64(x.Missing)
		} else if done++; x.Err == nil {
			read = append(read, x)
		}
		if len(read) == batch {
			if err := r.heal(ctx, read); err != nil {
				return err
			}
			read = read[:0]
		}
		r.o.Progress(done, rec.Blocks)
		if x.Err == nil {
			return nil
		}
		return r.found(ofReading(rec, x))
	})
	if err == nil {
		err = r.heal(ctx, read)
	}
	if err == nil && done != rec.Blocks {
		err = r.found(ofSnapshot(Root, rec, fmt.Errorf("its pages name %d blocks, its root %d", done, rec.Blocks)))
	}
	return err
}

// heal takes away the marks of blocks that were read and proven.
func (r *run) heal(ctx context.Context, read []snapshot.Reading) error {
	ids := make([]block.ID, len(read))
	for i, x := range read {
		ids[i] = x.ID
	}
	places, err := r.Store.Places(ctx, ids)
	if err != nil {
		return err
	}
	for _, x := range read {
		if !places[x.ID].Damaged || places[x.ID].Location != x.At {
			continue
		}
		r.summary.Healed++
		if err := r.Store.ClearDamage(ctx, x.ID, x.At); err != nil {
			return err
		}
	}
	return nil
}

// ofReading returns the finding about a block or page of a snapshot that can't be read.
func ofReading(rec snapshot.Record, x snapshot.Reading) Finding {
	if x.OfPage {
		return ofPage(rec, x.Page, x.Missing, x.Err)
	}
	// A finding names the place by itself, as some of the errors do.
	f := about(Data, strings.TrimPrefix(x.Err.Error(), fmt.Sprintf("%s, block %d: ", rec.ID, x.Index)))
	f.Snapshot = rec.ID
	f.Index, f.Block = x.Index, x.ID.String()
	if x.At.File.ID != 0 {
		f.File, f.Offset = x.At.File.Name(), int64(x.At.Off)*blockstore.Align
	}
	return f
}
