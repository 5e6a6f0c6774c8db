package footprint

import (
	"context"
	"fmt"
	"sync"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// Footprint is what a snapshot takes of the store at one moment. Bytes are those on
// disk, of frames and of the manifest. Compaction makes them fewer.
type Footprint struct {
	Blocks       int64 // different ones
	UniqueBlocks int64 // of them, those that nothing else names
	Stored       int64 // bytes: Shared and Unique
	Shared       int64 // bytes of what is named elsewhere too
	Unique       int64 // bytes that deleting the snapshot gives back, after gc and compaction
	// Margin is how many bytes each of the sums may be off, for they are estimates;
	// 0: they are exact.
	Margin int64
	// Volumes that were made from the snapshot and Drafts that begin as it keep all of
	// it, so while there are any, nothing is unique.
	Volumes, Drafts int64
	// Damaged says what could not be read, at most 100 lines; see the package comment
	// for what that means for the sums.
	Damaged []string
}

// Config is the parts of a Measurer.
type Config struct {
	Store Store
	// Locate returns where blocks lie, as blockstore.Catalog.Locate does.
	Locate func(ctx context.Context, ids []block.ID) (map[block.ID]blockstore.Location, error)
	// Pages calls fn with the ids of the pages under a root, a batch at a time, and
	// returns the domain of its blocks. snapshot.Library.RootPages does.
	Pages func(ctx context.Context, root blockstore.File, fn func([]snapshot.PageID) error) (domain string, err error)
	// Blocks returns the ids of the blocks that a page names.
	// snapshot.Library.PageBlocks does.
	Blocks func(ctx context.Context, page snapshot.PagePlace) ([]block.ID, error)
	// Hold keeps a snapshot alive until release is called. snapshot.Shelf.Hold does.
	Hold func(ctx context.Context, rec snapshot.Record, why string) (release func(), err error)
	// Sample is the most blocks that are gathered; 0: 1,048,576, which take 64 MiB.
	Sample int
}

// Measurer measures snapshots, one at a time. Accounts take turns: one of each waits for
// the next turn, and its others behind it. It may be used concurrently.
type Measurer struct {
	cfg  Config
	turn turn

	mu    sync.Mutex      // guards turns
	turns map[string]turn // of accounts that have measured something
}

// turn holds one token while somebody has it. Those who wait get it in their order.
type turn chan struct{}

// New returns a Measurer.
func New(cfg Config) *Measurer {
	if cfg.Sample == 0 {
		cfg.Sample = 1 << 20
	}
	return &Measurer{cfg: cfg, turn: make(turn, 1), turns: map[string]turn{}}
}

// turnOf returns the turn among the measurements of an account.
func (m *Measurer) turnOf(account string) turn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turns[account] == nil {
		m.turns[account] = make(turn, 1)
	}
	return m.turns[account]
}

// Measure measures a completed snapshot, calling progress now and then with how much
// of the domain was looked at, and of about how much, in pages under roots. It ends with
// ctx. An error says why there is
// no answer, such as a root of the snapshot that can't be read; other damage is in the
// Footprint.
func (m *Measurer) Measure(ctx context.Context, rec snapshot.Record, progress func(done, total int64)) (Footprint, error) {
	for _, t := range []turn{m.turnOf(rec.Account), m.turn} {
		select {
		case t <- struct{}{}:
			defer func() { <-t }()
		case <-ctx.Done():
			return Footprint{}, ctx.Err()
		}
	}
	f, err := m.measure(ctx, rec, progress)
	if err != nil {
		return Footprint{}, fmt.Errorf("measuring %s: %w", rec.ID, err)
	}
	return f, nil
}

func (m *Measurer) measure(ctx context.Context, rec snapshot.Record, progress func(done, total int64)) (Footprint, error) {
	release, err := m.cfg.Hold(ctx, rec, "measure")
	if err != nil {
		return Footprint{}, err
	}
	defer release()
	w := &walk{
		Config: m.cfg, rec: rec, progress: progress, sample: newSample(m.cfg.Sample),
		own: map[snapshot.PageID]*ownPage{}, seen: map[snapshot.PageID]struct{}{},
	}
	keepers, err := m.cfg.Store.Keepers(ctx, rec.Root.ID)
	if err != nil {
		return Footprint{}, err
	}
	for _, step := range []func(context.Context) error{w.gather, w.pending, w.roots, w.again, w.locate} {
		if err := step(ctx); err != nil {
			return Footprint{}, err
		}
	}
	return w.footprint(keepers), nil
}

// footprint adds up what was found.
func (w *walk) footprint(k Keepers) Footprint {
	t := w.sample.sum()
	f := Footprint{
		Blocks: t.blocks, UniqueBlocks: t.unique, Shared: t.shared, Unique: t.own + k.Bytes, Margin: t.margin,
		Volumes: k.Volumes, Drafts: k.Drafts, Damaged: w.damaged,
	}
	for _, p := range w.own {
		if p.shared {
			f.Shared += p.bytes
		} else {
			f.Unique += p.bytes
		}
	}
	f.Stored = f.Shared + f.Unique
	if k.Volumes+k.Drafts > 0 {
		f.Shared, f.Unique, f.UniqueBlocks = f.Stored, 0, 0
	}
	return f
}
