package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/s3api"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/imports/ssekms"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/steady"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// parts are the domains of one service, wired together.
type parts struct {
	db          *metadb.DB
	iam         *iam.Service
	kms         *kms.Service
	keys        keyService
	ring        *keyring.Ring
	ssekms      ssekms.Keys
	objects     *objects.Service // nil, with what follows, where there is no embedded S3
	objectFiles guardedFiles     // of objects
	s3          *s3api.Edge
	sources     *source.Opener
	library     *snapshot.Library
	shelf       *snapshot.Shelf
	imports     *importtask.Service
	backend     blockBackend
	rewriting   blockstore.Backend // backend, for what gives back more than it takes
	drafts      *snapshot.Drafts
	gc          *gc.Collector
	compact     *compact.Compactor
	verify      *verify.Verifier
	measure     *footprint.Measurer
	usage       *usageMetrics
	scrubbed    *toldGauges[verify.Round]
	bus         wake.Bus
	wakes       *metadb.Wakes // its link to other nodes; nil: there are none
	engine      *importtask.Engine
	runner      *work.Runner
	master      *secret.MasterKey
	pages       *snapshot.PageKey
	tokens      []byte // MAC key of the tokens that clients hand back
}

// slotBudget is the memory for blocks in flight, in bytes: enough for the groups
// of all workers to fill while others are being written.
const slotBudget = 96 << 20

// bucketSlotBudget is slotBudget where blocks go on to parts of uploads, which take memory of
// their own (blobs3.Options.Memory): no block waits for a disk.
const bucketSlotBudget = 72 << 20

// openedBudget is the memory for blocks that are read again and again, in bytes: 31 of
// them, a few for each of several clients.
const openedBudget = 16 << 20

func (a *App) openParts(ctx context.Context, metrics prometheus.Registerer) (*parts, error) {
	p := &parts{scrubbed: newScrubMetrics()}
	master, err := a.masterKey()
	if err != nil {
		return nil, err
	}
	p.master = master
	// The block store comes first: one of another format is refused before the
	// database is migrated.
	if err := a.openBackend(ctx, p, metrics); err != nil {
		return nil, err
	}
	open, err := choose(databases, "--database", a.cfg.Database)
	if err != nil {
		return nil, err
	}
	if p.db, err = open(ctx, a); err != nil {
		return nil, err
	}
	a.database.Store(p.db)
	if p.wakes = p.db.Wakes(&p.bus, func(err error) { a.log.Warn("waking and being woken by other nodes", logkey.Error, err) }); p.wakes != nil {
		p.bus.Link = p.wakes
	}
	if err := a.openClock(ctx, p); err != nil {
		return nil, err
	}
	// Whatever is wrapped under another master key is found out before anything is written.
	if err := a.openServiceKeys(ctx, p, master); err != nil {
		return nil, err
	}
	if err := a.openIdentities(ctx, p, master); err != nil {
		return nil, err
	}
	if err := a.openKeys(p, master); err != nil {
		return nil, err
	}
	if err := a.openSources(p); err != nil {
		return nil, err
	}
	foreign, err := choose(sources, "--source-endpoint", a.cfg.SourceEndpoint)
	if err != nil {
		return nil, err
	}
	if p.sources.Foreign, err = foreign(a, master); err != nil {
		return nil, err
	}
	if err := a.openStore(ctx, p); err != nil {
		return nil, err
	}
	p.engine = a.wireImports(p, master, countSources(p.sources, metrics))
	a.wireDrafts(p)
	a.wireRunner(p, p.engine, metrics)
	a.watch(p, p.engine, metrics)
	return p, a.recover(ctx, p)
}

// openBackend opens the place of the blocks.
func (a *App) openBackend(ctx context.Context, p *parts, metrics prometheus.Registerer) error {
	open, err := choose(blockStores, "--store", a.cfg.Store)
	if err != nil {
		return err
	}
	backend, err := open(ctx, a, metrics)
	if err != nil {
		return err
	}
	p.backend = guardedBackend{backend, a.space, a.mayGrow}
	p.rewriting = p.backend
	if !a.cfg.shared() {
		p.rewriting = guardedBackend{backend, a.space, a.space.Rewriting}
	}
	return nil
}

// openClock makes the clock for what must not happen too early.
func (a *App) openClock(ctx context.Context, p *parts) (err error) {
	a.clock, err = steady.New(ctx, steady.Options{
		Store: p.db.Clock(), Now: p.db.Now,
		Lagging: func(ahead time.Duration) {
			a.log.Warn("the clock has jumped ahead, or the service was stopped for long: nothing is purged, expired or forgotten because of that until the service has run for some days",
				"ahead", ahead.String(), "days", int(steady.Trust/(24*time.Hour)))
		},
		Failed: func(err error) { a.log.Warn("saving the state of the clock", logkey.Error, err) },
	})
	return err
}

// openIdentities makes the root key known.
func (a *App) openIdentities(ctx context.Context, p *parts, master *secret.MasterKey) (err error) {
	p.iam = iam.New(iam.Options{
		Store: p.db.IAM(), Wrapper: master.For(secret.AccessKeys), Tokens: master.For(secret.SessionTokens), Partition: awsid.Partition(a.cfg.Region), Now: p.db.Now,
	})
	return a.rootKey(ctx, p)
}

// openServiceKeys opens the service-wide keys.
func (a *App) openServiceKeys(ctx context.Context, p *parts, master *secret.MasterKey) error {
	key, err := a.pageKey(ctx, p.db, master)
	if err != nil {
		return err
	}
	if p.pages, err = snapshot.NewPageKey(key); err != nil {
		return err
	}
	p.tokens, err = a.serviceKey(ctx, p.db, master, serviceKeys[1], randomKey)
	return err
}

// openKeys opens the KMS, or the way to the one that is elsewhere, and what uses it.
func (a *App) openKeys(p *parts, master *secret.MasterKey) (err error) {
	if p.keys, err = choose(keyServices, "--kms-endpoint", a.cfg.KMSEndpoint); err != nil {
		return err
	}
	p.kms = kms.New(kms.Options{Store: p.db.KMS(), Wrapper: master.For(secret.KeyMaterial), Principals: p.iam, Now: p.db.Now, Aged: a.clock.Now})
	keys := tracedKMS{p.keys.keys(a, p.kms)}
	p.ring = &keyring.Ring{Domains: p.db.Catalog(), Wrapper: master, KMS: keys}
	p.ssekms = ssekms.Keys{KMS: keys}
	return nil
}

// openSources opens the embedded S3, which many nodes have not.
func (a *App) openSources(p *parts) error {
	p.sources = &source.Opener{
		Handovers: source.NewHandovers(), Keys: p.iam, Encryption: p.ssekms, Region: a.cfg.Region, AllowSigV2: !a.cfg.StrictAWS,
	}
	if a.cfg.shared() {
		return nil
	}
	if err := a.openObjects(p); err != nil {
		return err
	}
	p.s3 = a.s3Edge(p)
	p.sources.Objects, p.sources.Buckets = p.objects, bucketpolicy.New(p.objects, awsid.Partition(a.cfg.Region))
	return nil
}

// openStore opens blocks and manifests.
func (a *App) openStore(ctx context.Context, p *parts) error {
	if a.cfg.Rebuild {
		if err := blockstore.Adopt(ctx, p.db.Catalog(), p.backend); err != nil {
			return err
		}
	}
	if err := blockstore.Attach(ctx, p.backend.String(), p.db.Catalog(), p.backend); err != nil {
		return err
	}
	budget := int64(slotBudget)
	if a.cfg.Store != embedded {
		budget = bucketSlotBudget
	}
	slots, err := blockstore.NewSlots(budget)
	if err != nil {
		return err
	}
	a.closers.add(slots.Close)
	store := blockstore.NewStore(p.db.Catalog(), p.backend, slots, blockstore.Options{})
	store.Keys = p.ring
	p.library = &snapshot.Library{Store: store, Index: p.db.Snapshots(), PageKey: p.pages, Keys: p.ring.Keys, Opened: snapshot.NewOpened(openedBudget), Damaged: a.damaged}
	p.shelf = &snapshot.Shelf{Library: p.library, Holds: p.db.Holds(), Now: p.db.Now}
	p.gc = &gc.Collector{Store: p.db.Garbage(), Backend: p.backend, Aside: p.backend, Older: a.cfg.AcceptOlderDatabase, Pages: p.library.RootPages, Blocks: p.library.PageBlocks, Now: p.db.Now, Lapsed: a.clock.Leases, Aged: a.clock.Now}
	p.measure = footprint.New(footprint.Config{
		Store: p.db.Footprints(), Locate: p.db.Catalog().Locate, Hold: p.shelf.Hold, Pages: p.library.RootPages, Blocks: p.library.PageBlocks,
	})
	a.wireCompaction(p)
	p.verify = &verify.Verifier{Store: p.db.Inventory(), Fixes: p.db.Inventory(), Mender: p.compact, Entries: p.db.Inventory(), Between: p.gc.Between, Conditions: p.db.Outbox(), Region: a.cfg.Region, Shelf: p.shelf, Keys: p.ring, Now: p.db.Now}
	if p.objects != nil {
		p.verify.Objects = p.objects
	}
	return nil
}

// serviceKeys names the service-wide keys: those of pages, and of tokens.
var serviceKeys = []string{"page key", "token key"}

func randomKey() ([]byte, error) {
	key := make([]byte, secret.KeySize)
	_, _ = rand.Read(key) // never fails
	return key, nil
}

// serviceKey returns a service-wide key, which the database keeps wrapped; fresh makes it if there
// is none.
func (a *App) serviceKey(ctx context.Context, db *metadb.DB, master *secret.MasterKey, name string, fresh func() ([]byte, error)) ([]byte, error) {
	wrapped, err := db.Secret(ctx, name, func() ([]byte, error) {
		key, err := fresh()
		return master.Wrap(key, []byte(name)), err
	})
	if err != nil {
		return nil, err
	}
	key, err := master.Unwrap(wrapped, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("server: the %s in the database cannot be read under the master key: put back the %s that belongs to this database: %w", name, a.masterFile(), err)
	}
	return key, nil
}

// recover mends what a process that died left behind: duties that were not made,
// and pins that belong to no running task. Nothing is pinned for many nodes, one of which
// may be about to create the task of a pin.
func (a *App) recover(ctx context.Context, p *parts) error {
	err := p.db.Work().Ensure(ctx, duties(p.runner.Handlers)...)
	if a.cfg.shared() {
		return err
	}
	return errors.Join(err, importtask.SweepPins(ctx, p.db.Tasks(), p.sources))
}
