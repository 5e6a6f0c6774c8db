package server

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// wireDrafts makes the service behind direct writes and copies, and its jobs.
func (a *App) wireDrafts(p *parts, jobs map[work.Kind]importtask.Job) {
	p.drafts = &snapshot.Drafts{
		Store: p.db.Snapshots(), Records: p.db.Snapshots(), Library: p.library, Domains: p.ring,
		Now: time.Now, Owner: owner(),
	}
	jobs[work.Complete] = func(ctx context.Context, h *importtask.Held) (next work.Lease, ok bool, err error) {
		err = p.drafts.Settle(ctx, h.Lease)
		if failed := (*snapshot.SettleError)(nil); errors.As(err, &failed) {
			h.Log.Error("a snapshot failed", "error", err)
			err = nil
		}
		return next, false, err
	}
	jobs[work.Expire] = a.expire(p)
}

// expireEvery is how late a draft may end after its timeout, which is 10 minutes at
// least.
const expireEvery = time.Minute

func (a *App) expire(p *parts) importtask.Job {
	return func(ctx context.Context, h *importtask.Held) (next work.Lease, ok bool, err error) {
		n, err := p.db.Snapshots().ExpireDrafts(ctx)
		if err != nil {
			return next, false, err
		}
		if n > 0 {
			h.Log.Info("ended snapshots that nobody wrote to", "snapshots", n)
		}
		return next, false, p.db.Work().Release(ctx, h.Lease, time.Now().Add(expireEvery))
	}
}
