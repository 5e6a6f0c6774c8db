package server

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
)

// damaged tells of a snapshot that a read has found damaged, if it is still there: a read
// that comes too late finds its files gone. Of one that is known to be it only reads.
func (a *App) damaged(ctx context.Context, rec snapshot.Record, cause error) {
	c := outbox.Condition{Topic: outbox.Damage, Place: rec.ID, Seen: a.parts.db.Now()}
	if met, err := outbox.Met(ctx, a.parts.db.Outbox(), c); err == nil && met {
		return
	}
	now, err := a.parts.db.Snapshots().Get(ctx, rec.Region, rec.ID)
	if err != nil || now.State != snapshot.Completed || now.Root != rec.Root {
		return
	}
	a.log.ErrorContext(ctx, "a snapshot is damaged", logkey.Account, rec.Account, logkey.Snapshot, rec.ID, logkey.Error, cause)
	err = a.parts.db.Outbox().Begin(ctx, c, outbox.Event{
		Kind: outbox.DamageFound, Account: rec.Account, Region: rec.Region, Resource: rec.ID,
		Detail: outbox.Detail{Snapshot: rec.ID, Part: string(verify.Data), Message: cause.Error(), Advice: "diskport verify " + rec.ID + " says what is damaged, and what to do"},
	})
	if err != nil {
		a.log.ErrorContext(ctx, "telling of damage", logkey.Account, rec.Account, logkey.Snapshot, rec.ID, logkey.Error, err)
	}
}

// watchDiskEvery is how soon it is told that the disk is nearly full.
const watchDiskEvery = 2 * time.Second

// watchDisk tells when the disk becomes nearly full, and when it has room again, until ctx
// ends.
func (a *App) watchDisk(ctx context.Context) {
	tick := time.NewTicker(watchDiskEvery)
	defer tick.Stop()
	var told outbox.Kind // what is known to be noted
	for {
		if kind := a.roomOf(a.space.State()); kind != "" && kind != told {
			switch err := a.tellDisk(ctx, kind, a.space.State()); {
			case err == nil:
				told = kind
			case ctx.Err() == nil:
				a.log.Error("telling how much room the disk has", logkey.Error, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// roomOf says whether a disk is nearly full, which it is while less is free than twice what
// imports leave alone, or has room; empty if it is between the two, so that what is told
// does not change with every block.
func (a *App) roomOf(s space.State) outbox.Kind {
	least := 2 * a.leaves(s)
	switch {
	case s.Full != nil || s.Free < least:
		return outbox.DiskNearlyFull
	case s.Free >= least+least/4:
		return outbox.DiskHasRoom
	}
	return ""
}

// leaves returns how many bytes imports leave free.
func (a *App) leaves(s space.State) int64 { return max(a.cfg.Reserve, s.Mark) }

// tellDisk tells that the disk is nearly full, unless that was told and has not ended, or
// that it has ended.
func (a *App) tellDisk(ctx context.Context, kind outbox.Kind, s space.State) error {
	c := outbox.Condition{Topic: outbox.Disk, Place: "data", Seen: a.parts.db.Now()}
	e := outbox.Event{Kind: kind, Resource: s.Dir, Detail: outbox.Detail{Free: s.Free}}
	store := a.parts.db.Outbox()
	if kind == outbox.DiskHasRoom {
		return store.End(ctx, c, e)
	}
	e.Detail.Message = "imports are refused soon"
	if s.Full != nil {
		e.Detail.Message = "imports and writes are refused until there is room"
	}
	return store.Begin(ctx, c, e)
}
