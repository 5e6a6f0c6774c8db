package server

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// lanes go by cost, so that short units never wait for long ones. Each lane is one
// claimer; a kind has as many lanes as a node may do units of it at the same time.
var lanes = [][]work.Kind{
	{work.Publish, work.Cleanup}, // a plan reads the tables of its image, for seconds
	{work.Plan, work.Publish, work.Cleanup},
	{work.Plan},
	{work.Survey},
	{work.Survey},
	{work.Complete},
	{work.Complete},
	{work.Expire, work.Retain, work.Purge, work.Outbox}, // a draft of many blocks takes minutes to compare
	{work.Range},
	{work.Range},
	{work.Unpack},
	{work.Unpack},
	{work.Copy},
	{work.Copy},
	{work.LetGo},
	{work.GC},
	{work.Compact},
	{work.Scrub},
}

// writesInFlight is how many workers may wait for the disk while the others
// compute: a queue of 4 MiB writes this deep keeps a virtual disk busy.
const writesInFlight = 10

// poll is how long a claimer sleeps when it is not woken. What events and the agenda wake
// it for it does at once; this is for a wake that was lost.
const poll = 30 * time.Second

// wireImports makes the import service, and the engine that does its units.
func (a *App) wireImports(p *parts, master *secret.MasterKey, counted countedSources) *importtask.Engine {
	a.scratch = &scratch.Room{Quota: a.cfg.QuotaScratch}
	windows := runtime.GOMAXPROCS(0) + writesInFlight
	a.strays = work.NewStrays(2 * windows) // two images whose every window is one
	images := importtask.Images{
		Sources: p.sources, Strict: a.cfg.StrictAWS, Strays: a.strays,
		Scratch: scratch.Dir{Path: a.data.file("scratch"), Free: a.spare(func() (int64, error) { return space.Free(a.data.path) }), Room: a.scratch},
	}
	if images.Strict {
		images.Limits.VirtualSize = importtask.StrictVirtualSize
	}
	live := &importtask.Live{}
	p.imports = &importtask.Service{
		Store: p.db.Tasks(), Roles: p.iam, Sources: p.sources, Records: p.db.Snapshots(), Images: images, Keys: p.ring, Secrets: master.For(secret.URLs),
		Live: live, Bus: &p.bus,
		Now: p.db.Now, Log: a.log, Limit: a.cfg.QuotaImports, Growth: a.mayGrow,
	}
	images.Sources = counted // dry runs don't count
	engine := &importtask.Engine{
		Store: p.db.Tasks(), Pages: p.db.Tasks(), Work: p.db.Work(), Sources: p.sources, Images: images,
		Roles: p.iam, Domains: p.ring, Records: p.db.Snapshots(), Library: p.library, Now: p.db.Now, Aged: a.clock.Now,
		FreeSpace: a.spare(p.backend.Free), Space: a.space, Workers: ingest.NewWorkers(windows, a.strays), Target: a.cfg.RangeBytes,
		Slice: ingest.Slice{Pages: a.cfg.SlicePages}, Bus: &p.bus, Live: live, Owner: a.owner,
	}
	if p.wakes != nil {
		engine.Affinities = p.db.Work()
	}
	if a.cfg.shared() {
		engine.FreeSpace, engine.Space = p.backend.Free, elsewhere{a.space}
	}
	a.closers.add(engine.Close)
	return engine
}

// wireDrafts makes the service behind direct writes and copies.
func (a *App) wireDrafts(p *parts) {
	p.drafts = &snapshot.Drafts{
		Store: p.db.Snapshots(), Images: p.db.Images(), Volumes: p.db.Volumes(), Records: p.db.Snapshots(), Library: p.library, Domains: p.ring,
		Now: p.db.Now, Owner: a.owner, Bus: &p.bus, Growth: a.mayGrow, Aged: a.clock.Now,
	}
}

// wireCompaction makes what rewrites packs.
func (a *App) wireCompaction(p *parts) {
	rewriting := blockstore.NewStore(p.db.Catalog(), p.rewriting, p.library.Store.Slots, blockstore.Options{})
	rewriting.Keys = p.ring
	p.compact = &compact.Compactor{
		Store: p.db.Packs(), Mender: p.db.Packs(), Leases: p.db.Work(), Blocks: rewriting, Domain: p.db.Catalog().Domain, Keys: p.ring,
		Collect: func(ctx context.Context) (int64, error) {
			freed, err := p.gc.Run(ctx)
			freed.Log(ctx, a.log)
			return freed.Bytes, err
		},
		Free: a.spare(p.backend.Free), Tight: func() int64 { return a.space.Squeeze(a.data.file("blocks")) }, Owner: a.owner, Now: p.db.Now,
	}
	if a.cfg.shared() {
		p.compact.Free, p.compact.Tight = nil, nil
	}
}

// compaction returns the handler of the periodic rewriting of packs, unless it is off.
func (a *App) compaction(p *parts) map[work.Kind]work.Handler {
	if a.cfg.CompactRate < 0 {
		return nil
	}
	return p.compact.Handlers(a.cfg.GCEvery, a.cfg.CompactRate)
}

// telling returns the handler of what tells a webhook of events, if there is one.
func (a *App) telling(p *parts, metrics *outbox.Metrics) map[work.Kind]work.Handler {
	if a.cfg.Webhook == "" {
		return nil
	}
	hook := outbox.Webhook{
		URL: a.cfg.Webhook, Secret: a.cfg.WebhookSecret, Home: awsid.Home{Account: a.cfg.AccountID, Region: a.cfg.Region},
		Client: outbox.NewClient(), Now: p.db.Now, Metrics: metrics,
	}
	return hook.Telling(p.db.Outbox())
}

// wireRunner makes what claims and does the units of all domains.
func (a *App) wireRunner(p *parts, engine *importtask.Engine, metrics prometheus.Registerer) {
	handlers, events := map[work.Kind]work.Handler{}, outbox.NewMetrics(metrics)
	for _, domain := range []map[work.Kind]work.Handler{
		engine.Handlers(), p.drafts.Handlers(), p.gc.Handlers(a.cfg.GCEvery), a.compaction(p), a.scrub(p), p.kms.Handlers(), outbox.Handlers(p.db.Outbox(), a.clock.Now, events), a.telling(p, events),
	} {
		maps.Copy(handlers, domain)
	}
	lanes := lanes
	if a.cfg.Webhook != "" {
		lanes = append(slices.Clone(lanes), []work.Kind{work.Tell}) // a receiver may be slow
	}
	p.runner = &work.Runner{
		Owner: a.owner, Store: p.db.Work(), Handlers: handlers, Lanes: handled(lanes, handlers), Bus: &p.bus, Agenda: p.db.Work(),
		Log: a.log, Now: p.db.Now, Poll: poll, Grace: gracePeriod, Tracer: a.tracer,
	}
}

// handled returns lanes with those kinds that have handlers. A duty that is off here has a
// unit all the same, if it was on before or is so on another node.
func handled(lanes [][]work.Kind, handlers map[work.Kind]work.Handler) (left [][]work.Kind) {
	for _, lane := range lanes {
		kinds := slices.DeleteFunc(slices.Clone(lane), func(k work.Kind) bool { return handlers[k].Do == nil })
		if len(kinds) > 0 {
			left = append(left, kinds)
		}
	}
	return left
}

// duties returns the kinds of periodic duties.
func duties(handlers map[work.Kind]work.Handler) []work.Kind {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(handlers)), func(k work.Kind) bool { return handlers[k].Every == 0 })
}

// spare returns a function that returns how many of the free bytes may be written:
// all but the reserve, and none of what must always stay free.
func (a *App) spare(free func() (int64, error)) func() (int64, error) {
	return func() (int64, error) {
		n, err := free()
		return min(n-a.cfg.Reserve, a.space.Spare(n)), err
	}
}

// newOwner names this process in leases.
func newOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s/%d/%x", host, os.Getpid(), awsid.Source{}.Int63()&0xffff)
}
