package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// parts are the domains of one service, wired together.
type parts struct {
	db      *metadb.DB
	iam     *iam.Service
	kms     *kms.Service
	ring    *keyring.Ring
	objects *objects.Store
	gateway *objects.Gateway
	sources *source.Opener
	library *snapshot.Library
	imports *importtask.Service
	drafts  *snapshot.Drafts
	runner  *importtask.Runner
	gc      *gc.Collector
	tokens  []byte // MAC key of the tokens that clients hand back
}

// writesInFlight is how many workers may wait for the disk while the
// others compute: a queue of 4 MiB writes this deep keeps a virtual disk busy.
const writesInFlight = 10

// slotBudget is the memory for blocks in flight, in bytes: enough for the groups
// of all workers to fill while others are being written.
const slotBudget = 96 << 20

func (a *App) openParts(ctx context.Context, metrics prometheus.Registerer) (*parts, error) {
	p := &parts{}
	master, err := a.data.masterKey()
	if err != nil {
		return nil, err
	}
	if p.db, err = metadb.Open(ctx, a.data.file(databaseName), metadb.Options{Now: time.Now}); err != nil {
		return nil, err
	}
	a.closers.add(p.db.Close)
	if err := a.openIdentities(ctx, p, master); err != nil {
		return nil, err
	}
	if err := a.openSources(ctx, p); err != nil {
		return nil, err
	}
	if p.sources.Foreign, err = a.foreignS3(master); err != nil {
		return nil, err
	}
	p.kms = kms.New(kms.Options{Store: p.db.KMS(), Wrapper: master})
	p.ring = &keyring.Ring{Domains: p.db.Catalog(), Wrapper: master, KMS: a.keys(p.kms)}
	if err := a.openStore(ctx, p, master); err != nil {
		return nil, err
	}
	a.wireImports(p, master, countSources(p.sources, metrics))
	return p, a.recover(ctx, p)
}

// openIdentities makes the root key known.
func (a *App) openIdentities(ctx context.Context, p *parts, master *secret.MasterKey) (err error) {
	if a.keyID, a.secret, err = a.data.rootKey(a.cfg); err != nil {
		return err
	}
	p.iam = iam.New(iam.Options{Store: p.db.IAM(), Wrapper: master, Partition: awsid.Partition(a.cfg.Region)})
	return p.iam.SetRootKey(ctx, a.cfg.AccountID, a.keyID, a.secret)
}

// openSources starts the embedded S3.
func (a *App) openSources(ctx context.Context, p *parts) (err error) {
	if p.objects, err = objects.Open(a.data.path); err != nil {
		return err
	}
	a.closers.add(p.objects.Close)
	p.gateway, err = objects.Start(ctx, objects.Config{Store: p.objects, Keys: p.iam, Region: a.cfg.Region, Domain: a.cfg.Domain})
	if err != nil {
		return err
	}
	a.closers.add(p.gateway.Close)
	p.sources = &source.Opener{Objects: p.objects, Handovers: source.NewHandovers(), Keys: p.iam, Region: a.cfg.Region, AllowSigV2: a.cfg.AllowSigV2}
	return nil
}

// openStore opens blocks and manifests.
func (a *App) openStore(ctx context.Context, p *parts, master *secret.MasterKey) error {
	dir, err := blobdir.New(a.data.file("blocks"))
	if err != nil {
		return err
	}
	slots, err := blockstore.NewSlots(slotBudget)
	if err != nil {
		return err
	}
	a.closers.add(slots.Close)
	store := blockstore.NewStore(p.db.Catalog(), dir, slots, blockstore.Options{})
	a.closers.add(store.Close)
	key, err := serviceKey(ctx, p.db, master, "page key")
	if err != nil {
		return err
	}
	pages, err := snapshot.NewPageKey(key)
	if err != nil {
		return err
	}
	if p.tokens, err = serviceKey(ctx, p.db, master, "token key"); err != nil {
		return err
	}
	p.library = &snapshot.Library{Store: store, Index: p.db.Snapshots(), PageKey: pages, Keys: p.ring.Keys}
	p.gc = &gc.Collector{Store: p.db.Garbage(), Backend: dir, Pages: p.library.RootPages, Blocks: p.library.PageBlocks, Now: time.Now}
	return nil
}

// serviceKey returns a service-wide key, which the database keeps wrapped.
func serviceKey(ctx context.Context, db *metadb.DB, master *secret.MasterKey, name string) ([]byte, error) {
	wrapped, err := db.Secret(ctx, name, func() ([]byte, error) {
		key := make([]byte, secret.KeySize)
		_, _ = rand.Read(key) // never fails
		return master.Wrap(key, []byte(name)), nil
	})
	if err != nil {
		return nil, err
	}
	key, err := master.Unwrap(wrapped, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("server: %s: %w", name, err)
	}
	return key, nil
}

// wireImports makes the import service, its runner and its jobs.
func (a *App) wireImports(p *parts, master *secret.MasterKey, counted countedSources) {
	images := importtask.Images{
		Sources: p.sources, Scratch: scratch.Dir{Path: a.data.file("scratch"), Free: a.room}, Strict: a.cfg.StrictAWS,
	}
	if images.Strict {
		images.Limits.VirtualSize = importtask.StrictVirtualSize
	}
	p.imports = &importtask.Service{
		Store: p.db.Tasks(), Roles: p.iam, Sources: p.sources, Images: images, Keys: p.ring, Secrets: master,
		Now: time.Now, Log: a.log, Limit: a.cfg.QuotaImports,
	}
	images.Sources = counted // dry runs don't count
	engine := &importtask.Engine{
		Store: p.db.Tasks(), Drafts: p.db.Tasks(), Work: p.db.Work(), Sources: p.sources, Images: images,
		Roles: p.iam, Domains: p.ring, Records: p.db.Snapshots(), Library: p.library, Now: time.Now,
		FreeSpace: a.room, Workers: ingest.NewWorkers(runtime.GOMAXPROCS(0) + writesInFlight), Target: a.cfg.RangeBytes,
		Ended: p.imports.Ended,
	}
	a.closers.add(engine.Close)
	jobs := engine.Jobs()
	jobs[work.GC] = a.collect(p)
	jobs[work.Retain] = a.retain(p)
	a.wireDrafts(p, jobs)
	short := []work.Kind{work.Plan, work.Publish, work.Cleanup}
	p.runner = &importtask.Runner{
		Owner: owner(), Work: p.db.Work(), Tasks: p.db.Tasks(), Jobs: jobs,
		Lanes: [][]work.Kind{short, short, {work.Range}, {work.Range}, {work.Complete}, {work.Complete, work.Expire}, {work.GC, work.Retain}},
		Log:   a.log, Now: time.Now, Poll: 2 * time.Second, Grace: gracePeriod,
	}
	engine.Wake = p.runner.Wake
	p.imports.Runner, p.imports.Wake = p.runner, p.runner.Wake
	p.drafts.Wake = p.runner.Wake
}

// room is how much imports may still write.
func (a *App) room() (int64, error) {
	free, err := a.data.free()
	return free - a.cfg.Reserve, err
}

// owner names this process in leases.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return fmt.Sprintf("%s/%d/%x", host, os.Getpid(), awsid.Source{}.Int63()&0xffff)
}

// retention is how long ended tasks are shown, as at AWS.
const retention = 7 * 24 * time.Hour

func (a *App) collect(p *parts) importtask.Job {
	return func(ctx context.Context, h *importtask.Held) (next work.Lease, ok bool, err error) {
		r, err := p.gc.Run(ctx)
		if err != nil {
			return next, false, err
		}
		h.Log.Info("collected garbage", "blocks", r.Blocks, "files", r.Files, "bytes", r.Bytes)
		return next, false, p.db.Work().Release(ctx, h.Lease, time.Now().Add(a.cfg.GCEvery))
	}
}

func (a *App) retain(p *parts) importtask.Job {
	return func(ctx context.Context, h *importtask.Held) (next work.Lease, ok bool, err error) {
		n, err := p.db.Tasks().Forget(ctx, time.Now().Add(-retention))
		if err != nil {
			return next, false, err
		}
		if n > 0 {
			h.Log.Info("forgot tasks after their retention", "tasks", n)
		}
		if n, err = p.kms.Purge(ctx); err != nil {
			return next, false, err
		}
		if n > 0 {
			h.Log.Info("destroyed KMS keys whose waiting period is over", "keys", n)
		}
		return next, false, p.db.Work().Release(ctx, h.Lease, time.Now().Add(time.Hour))
	}
}

// recover picks up what a dead process left: nobody else can hold a lease on
// this data directory, and pins that no running task knows are dropped.
func (a *App) recover(ctx context.Context, p *parts) error {
	units := p.db.Work()
	return errors.Join(
		units.ExpireAll(ctx),
		units.Ensure(ctx, work.GC),
		units.Ensure(ctx, work.Retain),
		units.Ensure(ctx, work.Expire),
		a.sweepPins(ctx, p),
	)
}

func (a *App) sweepPins(ctx context.Context, p *parts) error {
	accounts, err := p.iam.Accounts(ctx)
	if err != nil {
		return err
	}
	pinned := map[string]bool{}
	for _, account := range accounts {
		tasks, err := p.db.Tasks().List(ctx, account.ID)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			pinned[t.ID] = running(t)
		}
	}
	return p.sources.Sweep(ctx, func(id string) bool { return pinned[id] })
}
