package server

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// TestEveryKindHasALane, and none that may be held for long is in the lane of one that
// is short.
func TestEveryKindHasALane(t *testing.T) {
	handlers := (&importtask.Engine{}).Handlers()
	maps.Copy(handlers, (&snapshot.Drafts{}).Handlers())
	maps.Copy(handlers, (&gc.Collector{}).Handlers(time.Hour))
	for kind := range handlers {
		if !slices.ContainsFunc(lanes, func(lane []work.Kind) bool { return slices.Contains(lane, kind) }) {
			t.Errorf("no lane takes %q", kind)
		}
	}
	for _, long := range []work.Kind{work.Range, work.Unpack, work.Survey, work.Copy, work.LetGo, work.GC} {
		for _, lane := range lanes {
			if slices.Contains(lane, long) && len(lane) > 1 {
				t.Errorf("%q may keep the others of its lane waiting: %q", long, lane)
			}
		}
	}
	for _, short := range []work.Kind{work.Publish, work.Cleanup, work.Complete} {
		if !slices.ContainsFunc(lanes, func(lane []work.Kind) bool { return slices.Contains(lane, short) && !slices.Contains(lane, work.Plan) }) {
			t.Errorf("%q always waits behind plans", short)
		}
	}
}

// pile is a work.Store of units that lie on it: enough for a runner whose units end by
// being done.
type pile struct {
	work.Store
	mu    sync.Mutex // guards units
	units []work.Kind
}

func (p *pile) add(units ...work.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units = append(p.units, units...)
}

func (p *pile) Claim(_ context.Context, c work.Claimer, now time.Time) (work.Lease, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, kind := range p.units {
		if slices.Contains(c.Kinds, kind) {
			p.units = slices.Delete(p.units, i, i+1)
			return work.Lease{Unit: work.Unit{Kind: kind}, Until: now.Add(work.LeaseFor)}, true, nil
		}
	}
	return work.Lease{}, false, nil
}

func (p *pile) Renew(_ context.Context, l work.Lease, now time.Time, _ work.Progress) (work.Lease, error) {
	l.Until = now.Add(work.LeaseFor)
	return l, nil
}

func (p *pile) Release(context.Context, work.Lease, work.Kind, time.Time) error { return nil }

// TestShortUnitsGoBeforeLongOnes: while every worker of the lanes of long units is busy
// with one that does not end, and more of them are queued than there will ever be workers
// for, short ones are done without delay. So are those that end an import while plans
// take long too, and duties while drafts do.
func TestShortUnitsGoBeforeLongOnes(t *testing.T) {
	long := []work.Kind{work.Range, work.Unpack, work.Survey, work.Copy, work.LetGo, work.GC, work.Compact, work.Scrub}
	duties := []work.Kind{work.Expire, work.Retain, work.Purge, work.Outbox}
	for _, tt := range []struct {
		name    string
		endless []work.Kind
		short   []work.Kind
	}{
		{"long ones", long, append([]work.Kind{work.Plan, work.Publish, work.Cleanup, work.Complete}, duties...)},
		{"plans", append([]work.Kind{work.Plan}, long...), append([]work.Kind{work.Publish, work.Cleanup, work.Complete}, duties...)},
		{"drafts", append([]work.Kind{work.Complete}, long...), append([]work.Kind{work.Plan, work.Publish, work.Cleanup}, duties...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, did, handlers := &pile{}, make(chan work.Kind, 100), map[work.Kind]work.Handler{}
				for _, kind := range tt.endless {
					handlers[kind] = work.Handler{Do: func(ctx context.Context, _ *work.Held) (work.Lease, bool, error) {
						<-ctx.Done()
						return work.Lease{}, false, ctx.Err()
					}}
					for range 2 * len(lanes) {
						p.add(kind)
					}
				}
				for _, kind := range tt.short {
					handlers[kind] = work.Handler{Do: func(context.Context, *work.Held) (work.Lease, bool, error) {
						did <- kind
						return work.Lease{}, false, nil
					}}
				}
				bus := &wake.Bus{}
				r := &work.Runner{Store: p, Handlers: handlers, Lanes: lanes, Bus: bus, Log: slog.New(slog.DiscardHandler), Now: time.Now, Poll: poll}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- r.Run(ctx) }()
				synctest.Wait()
				began := time.Now()
				for range 3 {
					for _, kind := range tt.short {
						p.add(kind)
						bus.Wake(work.Due(kind))
						synctest.Wait()
						select {
						case got := <-did:
							if got != kind {
								t.Errorf("did %q, want %q", got, kind)
							}
						default:
							t.Errorf("%q waits behind long units", kind)
						}
					}
				}
				if waited := time.Since(began); waited != 0 {
					t.Errorf("short units waited %v", waited)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
